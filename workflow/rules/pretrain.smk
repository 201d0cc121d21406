# Unsupervised pre-training (section 3.1), or the import of weights that take its place. The folder
# also holds the checkpoints that the zero-shot study reads, and while it runs the state that an
# interrupted run goes on from.


rule pretrain:
    input:
        corpus=lambda wildcards: f"{plan.corpus_folder(wildcards.model)}/manifest.json",
    output:
        model=f"{ROOT}/pretrain/{{model}}/seed{{p}}/model.safetensors",
        metrics=shown(
            f"{ROOT}/pretrain/{{model}}/seed{{p}}/metrics.json",
            "pretrain",
            "Pre-training",
            model="{model}",
            seed="{p}",
        ),
        manifest=f"{ROOT}/pretrain/{{model}}/seed{{p}}/manifest.json",
    log:
        f"{ROOT}/logs/pretrain/{{model}}-seed{{p}}.log",
    wildcard_constraints:
        model=one_of(set(plan.config.models) - set(plan.imported())),
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


rule weights:
    input:
        files=lambda wildcards: [str(path) for path in plan.weight_files(wildcards.model)],
        tokenizer=f"{ROOT}/tokenizer/manifest.json",
    output:
        model=f"{ROOT}/pretrain/{{model}}/seed{{p}}/model.safetensors",
        metrics=shown(
            f"{ROOT}/pretrain/{{model}}/seed{{p}}/metrics.json",
            "pretrain",
            "Pre-training",
            model="{model}",
            seed="{p}",
        ),
        manifest=f"{ROOT}/pretrain/{{model}}/seed{{p}}/manifest.json",
    log:
        f"{ROOT}/logs/pretrain/{{model}}-seed{{p}}.log",
    wildcard_constraints:
        model=one_of(plan.imported()),
    priority: 20
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: plan.import_job(wildcards.model, int(wildcards.p)).to_json(),
        path=lambda wildcards: str(plan.weights_folder(wildcards.model)),
        tokenizer=folder("tokenizer"),
        out=out,
    shell:
        "gptbench --log {log:q} weights import {params.path:q} --settings {params.settings:q}"
        " --tokenizer {params.tokenizer:q} --out {params.out:q}"
