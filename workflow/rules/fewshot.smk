# Scores with solved examples in the context, as GPT-3 was used.


rule fewshot:
    input:
        model=f"{ROOT}/pretrain/{{model}}/seed{{p}}/model.safetensors",
        files=lambda wildcards: [
            path for task in plan.fewshot_tasks(wildcards.model) for path in task_files(task)
        ],
        tokenizer=f"{ROOT}/tokenizer/manifest.json",
    output:
        metrics=f"{ROOT}/fewshot/{{model}}/seed{{p}}/metrics.json",
        predictions=f"{ROOT}/fewshot/{{model}}/seed{{p}}/predictions.parquet",
        manifest=f"{ROOT}/fewshot/{{model}}/seed{{p}}/manifest.json",
    log:
        f"{ROOT}/logs/fewshot/{{model}}-seed{{p}}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=TRAINING_MB,
        runtime=TRAINING_MINUTES,
    params:
        settings=lambda wildcards: plan.fewshot_job(wildcards.model, int(wildcards.p)).to_json(),
        pretrained=folder("model"),
        data=lambda wildcards: data_folders(plan.fewshot_tasks(wildcards.model)),
        tokenizer=folder("tokenizer"),
        out=out,
    shell:
        "gptbench --log {log:q} fewshot --settings {params.settings:q}"
        " --pretrained {params.pretrained:q} --data {params.data:q}"
        " --tokenizer {params.tokenizer:q} --out {params.out:q}"
