# Tables 1 to 5, figure 2 and the page. What `snakemake --report` shows of them is marked `shown`.

TABLES = (
    "Table 1, data sets",
    "Table 2, language inference",
    "Table 3, question answering",
    "Table 4, similarity and classification",
    "Table 5, ablations",
)


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
        page=shown(f"{ROOT}/report/index.html", "page", "All on one page", shows="everything"),
        scores=shown(f"{ROOT}/report/scores.csv", "scores", "Numbers", shows="scores"),
        statistics=shown(
            f"{ROOT}/report/statistics.csv", "statistics", "Numbers", shows="statistics"
        ),
        differences=shown(
            f"{ROOT}/report/differences.csv", "differences", "Numbers", shows="differences"
        ),
        averages=[
            shown(
                f"{ROOT}/report/tables/averages.{e}",
                "averages",
                "Tables",
                "Averages of GLUE",
                table="averages",
                format=e,
            )
            for e in ("csv", "md", "tex")
        ],
        claims=shown(f"{ROOT}/report/claims.csv", "claims", "Claims of the paper", shows="claims"),
        calibration=shown(
            f"{ROOT}/report/calibration.csv", "calibration", "Numbers", shows="calibration"
        ),
        # Texts of data sets: no part of what is passed on.
        errors=f"{ROOT}/report/errors.csv",
        table_data=f"{ROOT}/report/tables.json",
        tables=[
            shown(
                f"{ROOT}/report/tables/table{n}.{e}",
                f"table{n}",
                "Tables",
                title,
                table=str(n),
                format=e,
            )
            for n, title in enumerate(TABLES, 1)
            for e in ("csv", "md", "tex")
        ],
        # Those that any run has; docs/report.md names the others.
        figures=[
            shown(
                f"{ROOT}/report/figures/{name}.{e}",
                name,
                "Figures",
                figure=figure,
                shows=what,
                format=e,
            )
            for name, figure, what in (
                ("figure2_left", "2 left", "layers transferred"),
                ("figure2_right", "2 right", "zero-shot"),
                ("forest_table5", "differences", "table 5, full minus each other variant"),
            )
            for e in ("svg", "png", "csv")
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
# Its table is touched last: the page that it depends on was written again in the same job.
for study, _ in plan.on_request():

    rule:
        name:
            study
        input:
            runs=study_inputs(study),
            pretrain=[
                f"{ROOT}/pretrain/{m}/seed{p}/metrics.json" for m, p in plan.pretrained(study)
            ],
            report=rules.report.output.page,
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
            " --results {params.results:q} && touch {output:q}"
