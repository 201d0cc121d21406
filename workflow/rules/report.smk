# Tables 1 to 5, figure 2 and the page.


rule report:
    input:
        runs=run_outputs(plan.runs()),
        zeroshot=zeroshot_outputs(),
        fewshot=fewshot_outputs(),
        attention=attention_outputs(),
        facts=[f"{ROOT}/tasks/{task}/facts.json" for task in plan.task_names()],
        pretrain=[f"{ROOT}/pretrain/{m}/seed{p}/metrics.json" for m, p in plan.pretrained()],
        contamination=[f"{ROOT}/contamination.json"] if plan.pretrains else [],
        gates=[f"{ROOT}/world-gates.json"] if plan.config.synthetic else [],
        systems=list(plan.config.systems),
    output:
        page=f"{ROOT}/report/index.html",
        scores=f"{ROOT}/report/scores.csv",
        statistics=f"{ROOT}/report/statistics.csv",
        differences=f"{ROOT}/report/differences.csv",
        averages=[f"{ROOT}/report/tables/averages.{e}" for e in ("csv", "md", "tex")],
        claims=f"{ROOT}/report/claims.csv",
        table_data=f"{ROOT}/report/tables.json",
        tables=[
            f"{ROOT}/report/tables/table{n}.{e}" for n in range(1, 6) for e in ("csv", "md", "tex")
        ],
        figures=[
            f"{ROOT}/report/figures/figure2_{side}.{e}"
            for side in ("left", "right")
            for e in ("svg", "png")
        ],
    log:
        f"{ROOT}/logs/report.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: plan.report_job().to_json(),
        results=lambda wildcards, output: str(Path(output.page).parents[1]),
    shell:
        "gptbench --log {log:q} report --settings {params.settings:q} --results {params.results:q}"


# A study on request: its runs on top of the default ones, and the report again, with them in it.
for study, _ in plan.on_request():

    rule:
        name:
            study
        input:
            runs=study_inputs(study),
            pretrain=[
                f"{ROOT}/pretrain/{m}/seed{p}/metrics.json" for m, p in plan.pretrained(study)
            ],
            report=ancient(rules.report.output.page),
        output:
            f"{ROOT}/report/tables/{study}.csv",
        log:
            f"{ROOT}/logs/{study}.log",
        conda:
            "../../environment.yml"
        params:
            settings=lambda wildcards: plan.report_job().to_json(),
            results=lambda wildcards: str(plan.root),
        shell:
            "gptbench --log {log:q} report --settings {params.settings:q}"
            " --results {params.results:q}"
