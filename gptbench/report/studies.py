"""Studies that a config adds to the paper's: a table each, against the study's first variant."""

from __future__ import annotations

from gptbench.evaluation.statistics import Sample, difference, interval, mean
from gptbench.report.results import Results, main_score, study_variants
from gptbench.report.runs import of_cell
from gptbench.report.scores import added_studies, degenerate_runs, study_samples
from gptbench.report.tables import (
    DASH,
    DEGENERATE_NOTE,
    Block,
    Cell,
    Row,
    Table,
    dagger,
    plus_minus,
    reservation,
)


def study_tables(results: Results) -> list[Table]:
    """A table for each added study: the variants, then their paired differences to the first."""
    return [_table(name, results) for name in added_studies(results)]


def _table(name: str, results: Results) -> Table:
    study = results.job.experiments.studies[name]
    tasks = list(study.tasks)
    variants = study_variants(results.job, name)
    columns = {v: _columns(results, name, v) for v in variants}
    why = reservation(results, tasks)
    rows = [
        _row(results, v, {k: (s, False) for k, s in columns[v].items()}, tasks) for v in variants
    ]
    blocks = [Block(why, rows)]
    first = study.against or (variants[0] if variants else "")
    against = []
    for v in [v for v in variants if v != first]:
        changed = {
            key: (change, True)
            for key, found in columns[v].items()
            if key in columns[first] and (change := difference(found, columns[first][key]))
        }
        against.append(_row(results, v, changed, tasks))
    if against:
        title = results.asked.variants[first].title
        blocks.append(Block(f"difference to {title}, paired by seed and example", against))
    metrics = ", ".join(
        f"{results.job.tasks[t].title}: {results.job.tasks[t].metrics[0]},"
        f" {main_score(results.job.tasks[t])}"
        for t in tasks
    )
    return Table(
        name,
        study.title,
        ["variant", "model", "source"],
        [*(results.job.tasks[t].title for t in tasks), *(["mean"] if len(tasks) > 1 else [])],
        blocks,
        [
            f"Scored on {metrics}. Half the 95 % interval beside each number.",
            *([DEGENERATE_NOTE] if any("†" in c.text for r in rows for c in r.cells) else []),
        ],
    )


def _columns(results: Results, study: str, variant: str) -> dict[str, Sample]:
    """Samples by task; `mean` over all tasks of the study, where every one ran."""
    found = {task: sample for task, _, _, sample in study_samples(results, study, variant)}
    tasks = results.job.experiments.studies[study].tasks
    if len(tasks) > 1 and len(found) == len(tasks) and (whole := mean(list(found.values()))):
        found["mean"] = whole
    return found


def _row(
    results: Results, variant: str, found: dict[str, tuple[Sample, bool]], tasks: list[str]
) -> Row:
    cells = []
    for key in [*tasks, *(["mean"] if len(tasks) > 1 else [])]:
        if key not in found:
            cells.append(Cell(DASH))
            continue
        scored, signed = found[key]
        whole = interval(scored)
        count = 0
        for task in tasks if key == "mean" else [key]:
            score = main_score(results.job.tasks[task])
            count += len(degenerate_runs(results, variant, task, score))
        text = plus_minus(whole.value, whole.half, signed)
        runs = of_cell(variant, "" if key == "mean" else key)
        cells.append(Cell(text if signed else dagger(text, count), whole.value, runs=runs))
    spec = results.asked.variants[variant]
    return Row(spec.title, spec.model, "gptbench", cells)
