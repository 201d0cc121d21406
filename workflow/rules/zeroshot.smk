# Zero-shot scores of every checkpoint (section 5, figure 2 right).


rule zeroshot:
    input:
        model=f"{ROOT}/pretrain/{{model}}/seed{{p}}/model.safetensors",
        tasks=[f"{ROOT}/tasks/{task}/manifest.json" for task in plan.encoded_zeroshot()],
        tokenizer=f"{ROOT}/tokenizer/manifest.json",
    output:
        metrics=shown(
            f"{ROOT}/zeroshot/{{model}}/seed{{p}}/metrics.json",
            "zeroshot",
            "Zero-shot",
            model="{model}",
            seed="{p}",
        ),
        manifest=f"{ROOT}/zeroshot/{{model}}/seed{{p}}/manifest.json",
    log:
        f"{ROOT}/logs/zeroshot/{{model}}-seed{{p}}.log",
    priority: 10
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: plan.zeroshot_job(wildcards.model, int(wildcards.p)).to_json(),
        pretrained=folder("model"),
        tasks=lambda wildcards, input: os.path.commonpath(input.tasks),
        tokenizer=folder("tokenizer"),
        out=out,
    shell:
        "gptbench --log {log:q} zeroshot --settings {params.settings:q}"
        " --pretrained {params.pretrained:q} --tasks {params.tasks:q}"
        " --tokenizer {params.tokenizer:q} --out {params.out:q}"
