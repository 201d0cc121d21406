# Unsupervised pre-training (section 3.1). The folder also holds the checkpoints that the
# zero-shot study reads, and while it runs the state that an interrupted run goes on from.


rule pretrain:
    input:
        corpus=f"{ROOT}/corpus/manifest.json",
    output:
        model=f"{ROOT}/pretrain/{{model}}/seed{{p}}/model.safetensors",
        metrics=f"{ROOT}/pretrain/{{model}}/seed{{p}}/metrics.json",
        manifest=f"{ROOT}/pretrain/{{model}}/seed{{p}}/manifest.json",
    log:
        f"{ROOT}/logs/pretrain/{{model}}-seed{{p}}.log",
    priority: 20
    conda:
        "../../environment.yml"
    threads: lambda wildcards: plan.config.models[wildcards.model].pretrain.threads
    params:
        settings=lambda wildcards: plan.pretrain_job(wildcards.model, int(wildcards.p)).to_json(),
        corpus=folder("corpus"),
        out=out,
    shell:
        "gptbench --log {log:q} pretrain --settings {params.settings:q}"
        " --corpus {params.corpus:q} --out {params.out:q}"
