# A few sentences through the first pre-trained model: its attention, states and predictions.


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
