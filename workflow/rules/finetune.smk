# Supervised fine-tuning (section 3.2): tables 2 to 5 and figure 2 left are all this rule.


rule finetune:
    input:
        task=f"{ROOT}/tasks/{{task}}/manifest.json",
        model=pretrained_model,
    output:
        metrics=f"{ROOT}/finetune/{{variant}}/{{task}}/pre{{p}}-seed{{k}}/metrics.json",
        predictions=f"{ROOT}/finetune/{{variant}}/{{task}}/pre{{p}}-seed{{k}}/predictions.parquet",
        manifest=f"{ROOT}/finetune/{{variant}}/{{task}}/pre{{p}}-seed{{k}}/manifest.json",
    log:
        f"{ROOT}/logs/finetune/{{variant}}-{{task}}-pre{{p}}-seed{{k}}.log",
    conda:
        "../../environment.yml"
    threads: plan.config.finetune.threads
    resources:
        mem_mb=TRAINING_MB,
        runtime=TRAINING_MINUTES,
    params:
        settings=lambda wildcards: plan.finetune_job(this_run(wildcards)).to_json(),
        task=folder("task"),
        pretrained=option("--pretrained", "model"),
        out=out,
    shell:
        "gptbench --log {log:q} finetune --settings {params.settings:q} --task {params.task:q}"
        " {params.pretrained:q} --out {params.out:q}"
