# The embedded world, data sets of the hub, and the data sets as token ids.

if plan.config.synthetic:

    rule world:
        output:
            books=book_files(),
            tasks=world_files(),
            summary=f"{DATA}/world.json",
        log:
            f"{ROOT}/logs/world.log",
        conda:
            "../../environment.yml"
        params:
            settings=lambda wildcards: plan.world_job().to_json(),
            out=lambda wildcards, output: str(Path(output.summary).parent),
        shell:
            "gptbench --log {log:q} world --settings {params.settings:q} --out {params.out:q}"

    rule gates:
        input:
            world_files(),
        output:
            shown(f"{ROOT}/world-gates.json", "gates", "Data", shows="gates of the world"),
        log:
            f"{ROOT}/logs/gates.log",
        conda:
            "../../environment.yml"
        params:
            data=lambda wildcards, input: os.path.commonpath(input),
        shell:
            "gptbench --log {log:q} gates --data {params.data:q} --out {output:q}"


for task in [name for name in plan.tasks if plan.fetches(name)]:

    rule:
        name:
            f"fetch_{task}"
        output:
            files=task_files(task),
            manifest=f"{plan.fetched_root}/hub/{task}/manifest.json",
        log:
            f"{ROOT}/logs/fetch/{task}.log",
        conda:
            "../../environment.yml"
        params:
            task=task,
            settings=plan.fetch_job(task).to_json(),
            out=str(plan.fetched_root),
        shell:
            "gptbench --log {log:q} data fetch {params.task} --settings {params.settings:q}"
            " --out {params.out:q}"


rule encode:
    input:
        files=lambda wildcards: task_files(wildcards.task),
        tokenizer=f"{ROOT}/tokenizer/manifest.json",
    output:
        facts=f"{ROOT}/tasks/{{task}}/facts.json",
        manifest=f"{ROOT}/tasks/{{task}}/manifest.json",
    log:
        f"{ROOT}/logs/encode/{{task}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: plan.encode_job(wildcards.task).to_json(),
        data=lambda wildcards: str(plan.task_root(wildcards.task)),
        tokenizer=folder("tokenizer"),
        out=out,
    shell:
        "gptbench --log {log:q} encode --settings {params.settings:q} --data {params.data:q}"
        " --tokenizer {params.tokenizer:q} --out {params.out:q}"
