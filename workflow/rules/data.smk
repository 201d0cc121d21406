# The embedded world, and the data sets as token ids.

if plan.config.synthetic:

    rule world:
        output:
            books=book_files(),
            tasks=sorted({path for task in plan.tasks for path in task_files(task)}),
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
            sorted({path for task in plan.tasks for path in task_files(task)}),
        output:
            f"{ROOT}/world-gates.json",
        log:
            f"{ROOT}/logs/gates.log",
        conda:
            "../../environment.yml"
        params:
            data=lambda wildcards, input: os.path.commonpath(input),
        shell:
            "gptbench --log {log:q} gates --data {params.data:q} --out {output:q}"


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
        data=DATA,
        tokenizer=folder("tokenizer"),
        out=out,
    shell:
        "gptbench --log {log:q} encode --settings {params.settings:q} --data {params.data:q}"
        " --tokenizer {params.tokenizer:q} --out {params.out:q}"
