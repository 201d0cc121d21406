"""`scores.csv`: every number of the paper and of the runs, one row a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace

from gptbench.evaluation.statistics import Sample, interval, mean
from gptbench.report import csvfile
from gptbench.report.reference import Column, Reference
from gptbench.report.results import (
    TRAIN,
    Results,
    ZeroPoint,
    figure_score,
    main_score,
    study_variants,
)
from gptbench.settings import TaskSpec, Variant


@dataclass(frozen=True)
class Score:
    """A row; `pretrain_seed` and `seed` are None for the mean over seeds, with its interval."""

    table: str
    method: str
    source: str
    variant: str
    model: str
    task: str
    metric: str
    split: str
    pretrain_seed: int | None = None
    seed: int | None = None
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    steps: int | None = None
    run_id: str = ""


COLUMNS = tuple(item.name for item in fields(Score))


def collect(results: Results, reference: Reference) -> list[Score]:
    """All rows in a fixed order: tables 2 to 5, the two halves of figure 2, added studies."""
    rows: list[Score] = []
    for name in reference.tables:
        rows += _reference_rows(name, reference)
        rows += _system_rows(name, results, reference)
        rows += _table_rows(name, results, reference)
    rows += _figure_left(results)
    rows += _figure_right(results)
    for study in added_studies(results):
        rows += _study_rows(study, results)
    return rows


def to_csv(rows: Sequence[Score]) -> str:
    """The rows as CSV with fixed number formatting: equal inputs give equal bytes."""
    return csvfile.to_text(COLUMNS, ([number_text(value) for value in astuple(r)] for r in rows))


def number_text(value: object) -> str:
    """A number with at most four decimals, other things as they are, nothing for None."""
    if isinstance(value, float):
        text = f"{value:.4f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return "" if value is None else str(value)


def our_score(column: Column, tasks: dict[str, TaskSpec]) -> str | None:
    """Our score of a column; None where the column is no data set or the task lacks it."""
    task = tasks.get(column.task)
    if task is None:
        return None
    score = column.score if column.score is not None else next(iter(task.scored))
    return score if all(part in task.scored for part in score.split("+")) else None


def table_variants(name: str, results: Results, reference: Reference) -> dict[str, Variant]:
    """The variants with a row in a table: the paper's, then those that the study adds."""
    job = results.job
    paper = [row.variant for row in reference.tables[name].rows if row.variant]
    added = study_variants(job, name)
    tasks = {column.task for column in reference.tables[name].columns}
    planned = {variant for variant, task in results.asked.cells if task in tasks}
    return {
        variant: results.asked.variants[variant]
        for variant in dict.fromkeys([*paper, *added])
        if variant in planned
    }


ELSEWHERE = frozenset(
    "table2 table3 table4 table5 transformer_ablations gains figure2_left figure2_right".split()
)
"""The studies of `config/experiments.yaml` that have their own place in the report."""


def added_studies(results: Results) -> list[str]:
    """The config's studies that fine-tune and have no other place; on request, if they ran."""
    studies = results.job.experiments.studies
    asked = [*results.job.config.studies, *results.requested]
    return [name for name in asked if name not in ELSEWHERE and studies[name].variants]


def study_samples(
    results: Results, study: str, variant: str
) -> Iterator[tuple[str, str, str, Sample]]:
    """(task, score, metric, sample) of a variant on the study's tasks that ran."""
    for task in results.job.experiments.studies[study].tasks:
        spec = results.job.tasks[task]
        score, metric = main_score(spec), spec.metrics[0]
        if (found := results.sample(variant, task, score, metric)) is not None:
            yield task, score, metric, found


def degenerate_runs(results: Results, variant: str, task: str, score: str) -> list[tuple[int, int]]:
    """The runs of a cell that their own flag calls degenerate on a score (on a part of `a+b`)."""
    return [
        key
        for key, metrics in results.runs.get((variant, task), {}).items()
        if any(metrics.get("degenerate", {}).get(part, False) for part in score.split("+"))
    ]


def column_sample(
    results: Results, reference: Reference, table: str, column: Column, variant: str
) -> Sample | None:
    """The runs' scores in a column of a table; the average is over the table's data sets."""
    if column.task == "average":
        return average(results, reference, variant, table)
    score = our_score(column, results.job.tasks)
    return results.sample(variant, column.task, score, column.metric) if score else None


def average(
    results: Results, reference: Reference, variant: str, table: str = "table5"
) -> Sample | None:
    """The unweighted mean over all data sets of a table; None unless all of them ran."""
    columns = [c for c in reference.tables[table].columns if c.task in results.job.tasks]
    parts = [column_sample(results, reference, table, column, variant) for column in columns]
    whole = [part for part in parts if part is not None]
    return mean(whole) if whole and len(whole) == len(parts) else None


def _reference_rows(name: str, reference: Reference) -> Iterator[Score]:
    table = reference.tables[name]
    for row in table.rows:
        for column in table.columns:
            if column.key in row.values:
                yield Score(
                    name,
                    row.label,
                    row.source,
                    row.variant or "",
                    row.model or "",
                    column.task,
                    column.metric,
                    column.split,
                    value=row.values[column.key],
                )


def _system_rows(name: str, results: Results, reference: Reference) -> Iterator[Score]:
    """Other systems' scores from the config's files, in every metric that ours have there."""
    wanted = {
        (column.task, metric)
        for column in reference.tables[name].columns
        for metric in _metrics(name, column, results.job.tasks)
    }
    for row in results.systems:
        if (row.task, row.metric) in wanted:
            yield Score(
                name, row.system, "user", "", "", row.task, row.metric, row.split,
                value=row.value, n=row.n,
            )  # fmt: skip


def _table_rows(name: str, results: Results, reference: Reference) -> Iterator[Score]:
    for variant, spec in table_variants(name, results, reference).items():
        for column in reference.tables[name].columns:
            for metric in _metrics(name, column, results.job.tasks):
                wanted = column.model_copy(update={"metric": metric})
                found = column_sample(results, reference, name, wanted, variant)
                if found is None:
                    continue
                score = our_score(column, results.job.tasks) or ""
                base = Score(
                    name, spec.title, "gptbench", variant, spec.model, column.task, metric, score
                )
                yield from _runs_and_mean(base, found, results)


def _metrics(name: str, column: Column, tasks: dict[str, TaskSpec]) -> list[str]:
    """The column's metric; outside table 5 the task's other metrics as well."""
    others = tasks[column.task].metrics if column.task in tasks and name != "table5" else []
    return list(dict.fromkeys([column.metric, *others]))


def _runs_and_mean(base: Score, found: Sample, results: Results) -> Iterator[Score]:
    runs = results.runs.get((base.variant, base.task), {})
    for key, value in zip(found.keys, found.values, strict=True):
        run_id = str(runs[key]["run_id"]) if key in runs else ""
        yield replace(
            base, pretrain_seed=key[0], seed=key[1], value=float(value), n=found.n, run_id=run_id
        )
    yield _mean(base, found)


def _mean(base: Score, found: Sample) -> Score:
    whole = interval(found)
    return replace(base, value=whole.value, ci_low=whole.low, ci_high=whole.high, n=found.n)


def _study_rows(study: str, results: Results) -> Iterator[Score]:
    for variant in study_variants(results.job, study):
        spec = results.asked.variants[variant]
        for task, score, metric, found in study_samples(results, study, variant):
            base = Score(study, spec.title, "gptbench", variant, spec.model, task, metric, score)
            yield from _runs_and_mean(base, found, results)


def _figure_left(results: Results) -> Iterator[Score]:
    for task, variants in left_cells(results).items():
        spec = results.job.tasks[task]
        for score in (figure_score(spec), TRAIN):
            for variant in variants:
                found = results.sample(variant, task, score, spec.metrics[0])
                if found is None:
                    continue
                settings = results.asked.variants[variant]
                base = Score(
                    "figure2_left",
                    settings.title,
                    "gptbench",
                    variant,
                    settings.model,
                    task,
                    spec.metrics[0],
                    score,
                )
                yield from _runs_and_mean(base, found, results)


def left_cells(results: Results) -> dict[str, list[str]]:
    """The variants of figure 2, left, by task: none to all layers transferred."""
    variants = study_variants(results.job, "figure2_left")
    if not variants:
        return {}
    ordered = sorted(variants, key=lambda name: layers(results, name))
    return dict.fromkeys(results.job.experiments.studies["figure2_left"].tasks, ordered)


def layers(results: Results, variant: str) -> int:
    """How many layers a variant transfers."""
    spec = results.asked.variants[variant]
    everything = results.job.config.models[spec.model].backbone.n_layer
    return everything if spec.transfer_layers is None else spec.transfer_layers


def _figure_right(results: Results) -> Iterator[Score]:
    for model, tasks in results.asked.zeroshot.items():
        for task in tasks:
            for point in results.zero_points(model, task):
                yield from _zero_rows(model, task, point, results)


def _zero_rows(model: str, task: str, point: ZeroPoint, results: Results) -> Iterator[Score]:
    base = Score(
        "figure2_right",
        f"{model}, zero-shot",
        "gptbench",
        "zero-shot",
        model,
        task,
        point.metric,
        point.split,
        n=point.sample.n,
        steps=point.step,
    )
    for key, value in zip(point.sample.keys, point.sample.values, strict=True):
        run_id = str(results.zeroshot[model][key[0]]["run_id"])
        yield replace(base, pretrain_seed=key[0], value=float(value), run_id=run_id)
    yield _mean(base, point.sample)
