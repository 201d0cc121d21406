# How much of the scored texts stands in the books that are pre-trained on.

if plan.pretrains:

    rule contamination:
        input:
            books=book_files(),
            files=sorted({path for task in plan.task_names() for path in task_files(task)}),
        output:
            found=shown(
                f"{ROOT}/contamination.json", "contamination", "Data", shows="contamination"
            ),
            manifest=f"{ROOT}/contamination/manifest.json",
        log:
            f"{ROOT}/logs/contamination.log",
        conda:
            "../../environment.yml"
        threads: plan.config.corpus.workers
        params:
            settings=lambda wildcards: plan.contamination_job().to_json(),
            books=lambda wildcards: BOOKS,
            data=lambda wildcards: data_folders(plan.task_names()),
        shell:
            "gptbench --log {log:q} contamination --settings {params.settings:q}"
            " --books {params.books:q} --data {params.data:q} --out {output.found:q}"
