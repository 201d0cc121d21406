# A few sentences through the first pre-trained model: its attention, states and predictions.


def attention_outputs():
    """What the report shows of the inside of a model; nothing where no model has attention."""
    return [f"{ROOT}/attention/{m}/seed{p}/attention.json" for m, p in plan.attention_models()]


rule attention:
    input:
        model=f"{ROOT}/pretrain/{{model}}/seed{{p}}/model.safetensors",
        tokenizer=f"{ROOT}/tokenizer/manifest.json",
    output:
        seen=f"{ROOT}/attention/{{model}}/seed{{p}}/attention.json",
        manifest=f"{ROOT}/attention/{{model}}/seed{{p}}/manifest.json",
    log:
        f"{ROOT}/logs/attention/{{model}}-seed{{p}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: plan.attention_job(wildcards.model, int(wildcards.p)).to_json(),
        pretrained=folder("model"),
        tokenizer=folder("tokenizer"),
        out=out,
    shell:
        "gptbench --log {log:q} attention --settings {params.settings:q}"
        " --pretrained {params.pretrained:q} --tokenizer {params.tokenizer:q}"
        " --out {params.out:q}"
