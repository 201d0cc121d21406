"""`statistics.csv`, `differences.csv` and the averages of GLUE: what the numbers can say.

A cell is a variant on a task in a table; a difference is the table's first variant minus another,
paired by seed and example, with Holm's correction over the tasks of the table.
docs/statistics.md explains the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from gptbench.evaluation.statistics import (
    LEVEL,
    Interval,
    Sample,
    cohen_h,
    d_z,
    difference,
    holm,
    interval,
    mean,
    multibootstrap,
)
from gptbench.report import csvfile
from gptbench.report.reference import Column, GlueAverage, Reference
from gptbench.report.results import (
    TRAIN,
    Results,
    figure_score,
    study_variants,
)
from gptbench.report.runs import of_cell
from gptbench.report.scores import (
    added_studies,
    column_sample,
    degenerate_runs,
    left_cells,
    number_text,
    our_score,
    study_samples,
    table_variants,
)
from gptbench.report.tables import DASH, Block, Cell, Row, Table, plus_minus, reservation

AVERAGE = "average"
HIGHER, LOWER, NOT_SHOWN = "higher", "lower", "not shown"
NO_VERDICT = "no verdict: too few seeds"


@dataclass(frozen=True)
class Found:
    """A variant's runs on a task of a table; `degenerate` are their keys (all for an average)."""

    table: str
    variant: str
    task: str
    metric: str
    split: str
    sample: Sample
    degenerate: list[tuple[int, int]]


@dataclass(frozen=True)
class CellRow:
    """A row of statistics.csv; `mean_without` is over the runs that are not degenerate."""

    table: str
    variant: str
    task: str
    metric: str
    split: str
    runs: int
    mean: float
    sd: float | None
    median: float
    low: float | None
    high: float | None
    degenerate: int
    mean_without: float | None
    examples: int
    given: str


@dataclass(frozen=True)
class DifferenceRow:
    """A row of differences.csv: `first` minus `second` on the `runs` that both have.

    `p_holm` is None where no verdict is given, `smallest` is the smallest true difference that
    these examples and seeds would show with 80 % power, `bootstrap_*` the plain multi-bootstrap.
    """

    table: str
    first: str
    second: str
    task: str
    metric: str
    split: str
    runs: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    d_z: float | None
    cohen_h: float | None
    smallest: float | None
    bootstrap_low: float | None
    bootstrap_high: float | None
    given: str
    verdict: str


@dataclass(frozen=True)
class Uncertainty:
    """All of it."""

    cells: list[CellRow]
    differences: list[DifferenceRow]
    averages: Table

    @property
    def by_table(self) -> dict[str, list[DifferenceRow]]:
        """The differences of each table."""
        tables: dict[str, list[DifferenceRow]] = {}
        for row in self.differences:
            tables.setdefault(row.table, []).append(row)
        return tables


def collect(results: Results, reference: Reference) -> Uncertainty:
    """The statistics of all cells, all differences, and the averages."""
    cells = found_cells(results, reference)
    return Uncertainty(cell_rows(cells), difference_rows(cells), averages_table(results, reference))


# Cells. ---------------------------------------------------------------------------------------


def found_cells(results: Results, reference: Reference) -> list[Found]:
    """Every variant on every task of every table and study, and zero-shot at the end."""
    cells: list[Found] = []
    for table in reference.tables:
        for variant in table_variants(table, results, reference):
            cells += _table_cells(results, reference, table, variant)
    for task, variants in left_cells(results).items():
        spec = results.job.tasks[task]
        for split in (figure_score(spec), TRAIN):
            for variant in variants:
                cells += _cell(results, "figure2_left", variant, task, split, spec.metrics[0])
    cells += _zero_shot(results)
    for study in [name for name in ("gains",) if name in results.job.config.studies]:
        cells += _study_cells(results, study)
    for study in added_studies(results):
        cells += _study_cells(results, study)
    return cells


def _table_cells(
    results: Results, reference: Reference, table: str, variant: str
) -> Iterator[Found]:
    columns = reference.tables[table].columns
    for column in columns:
        sample = column_sample(results, reference, table, column, variant)
        if sample is None:
            continue
        score = our_score(column, results.job.tasks) or ""
        parts = [column] if column.task in results.job.tasks else columns
        flagged = [
            key
            for part in parts
            if (name := our_score(part, results.job.tasks))
            for key in degenerate_runs(results, variant, part.task, name)
        ]
        yield Found(table, variant, column.task, column.metric, score, sample, flagged)


def _zero_shot(results: Results) -> Iterator[Found]:
    """The zero-shot scores at the end of pre-training: a model is a variant here."""
    for model, tasks in results.asked.zeroshot.items():
        for task in tasks:
            for last in results.zero_points(model, task)[-1:]:
                variant = f"{model} zero-shot"
                yield Found(
                    "figure2_right", variant, task, last.metric, last.split, last.sample, []
                )


def _study_cells(results: Results, study: str) -> Iterator[Found]:
    against = results.job.experiments.studies[study].against
    for variant in sorted(study_variants(results.job, study), key=lambda name: name != against):
        for task, score, metric, _ in study_samples(results, study, variant):
            yield from _cell(results, study, variant, task, score, metric)


def _cell(
    results: Results, table: str, variant: str, task: str, score: str, metric: str
) -> Iterator[Found]:
    if (sample := results.sample(variant, task, score, metric)) is not None:
        flagged = degenerate_runs(results, variant, task, score)
        yield Found(table, variant, task, metric, score, sample, flagged)


def cell_rows(cells: Sequence[Found]) -> list[CellRow]:
    """The rows of statistics.csv."""
    return [_cell_row(cell) for cell in cells]


def _cell_row(cell: Found) -> CellRow:
    whole, values = interval(cell.sample), cell.sample.values
    keep = [key not in cell.degenerate for key in cell.sample.keys]
    mixed = any(keep) and not all(keep)
    return CellRow(
        cell.table,
        cell.variant,
        cell.task,
        cell.metric,
        cell.split,
        whole.runs,
        whole.value,
        whole.sd,
        float(np.median(values)),
        whole.low,
        whole.high,
        len(cell.degenerate),
        float(values[keep].mean()) if mixed else None,
        cell.sample.n,
        whole.given,
    )


# Differences. ---------------------------------------------------------------------------------


def difference_rows(cells: Sequence[Found]) -> list[DifferenceRow]:
    """The first variant of each table (a study's `against`) minus each of the others.

    Holm's correction is over the tasks of a pair of variants; an average is a test of its own.
    On figure 2, left, the first variant is the full model; training scores are not compared.
    """
    rows: list[DifferenceRow] = []
    for table in dict.fromkeys(cell.table for cell in cells):
        here = [cell for cell in cells if cell.table == table and cell.split != TRAIN]
        variants = list(dict.fromkeys(cell.variant for cell in here))
        if table == "figure2_left":
            variants.reverse()  # from all layers to none
        for second in variants[1:]:
            rows += _pair(here, variants[0], second)
    return rows


def _pair(cells: Sequence[Found], first: str, second: str) -> list[DifferenceRow]:
    others = {(c.task, c.metric, c.split): c for c in cells if c.variant == second}
    pairs = []
    for cell in cells:
        other = others.get((cell.task, cell.metric, cell.split))
        if cell.variant != first or other is None:
            continue
        if (change := difference(cell.sample, other.sample)) is not None:
            pairs.append((cell, other, change, interval(change)))
    adjusted = family([found for cell, *_, found in pairs if cell.task != AVERAGE])
    tests = max(sum(p is not None for p in adjusted), 1)
    each = iter(adjusted)
    return [
        _difference_row(cell, other, change, found, family([found])[0], 1)
        if cell.task == AVERAGE
        else _difference_row(cell, other, change, found, next(each), tests)
        for cell, other, change, found in pairs
    ]


def family(found: Sequence[Interval]) -> list[float | None]:
    """Holm's adjusted p-values of the differences that a verdict can be given on, else None."""
    adjusted = iter(holm([each.p_value for each in found if each.verdict_given]))
    return [next(adjusted) if each.verdict_given else None for each in found]


def verdict(value: float, p_holm: float | None) -> str:
    """What a difference shows at the 5 % level after Holm."""
    if p_holm is None:
        return NO_VERDICT
    if p_holm >= LEVEL:
        return NOT_SHOWN
    return HIGHER if value > 0 else LOWER


def _difference_row(
    cell: Found, other: Found, change: Sample, found: Interval, p_holm: float | None, tests: int
) -> DifferenceRow:
    shared = [
        float(part.sample.values[[part.sample.keys.index(key) for key in change.keys]].mean())
        for part in (cell, other)
    ]
    boot = multibootstrap(change)
    return DifferenceRow(
        cell.table,
        cell.variant,
        other.variant,
        cell.task,
        cell.metric,
        cell.split,
        found.runs,
        found.value,
        found.low,
        found.high,
        found.p_value if found.verdict_given else None,
        p_holm,
        d_z(change),
        cohen_h(shared[0], shared[1]) if cell.metric == "accuracy" else None,
        found.smallest(tests),
        boot[0] if boot else None,
        boot[1] if boot else None,
        found.given,
        verdict(found.value, p_holm),
    )


# Averages of GLUE. ----------------------------------------------------------------------------


def averages_table(results: Results, reference: Reference) -> Table:
    """The four averages, each by its name: the paper's on test sets, ours in columns of our own."""
    glue = reference.glue
    variants = table_variants("table5", results, reference)
    kept: dict[str, list[Sample | None]] = {
        variant: [_average(results, glue.parts(average), variant) for average in glue.averages]
        for variant in variants
    }
    kept = {variant: found for variant, found in kept.items() if any(found)}
    rows = []
    for i, average in enumerate(glue.averages):
        ours = [_average_cell(found[i], of_cell(name)) for name, found in kept.items()]
        rows.append(Row(average.title, average.how, "", [_quoted(average, reference), *ours]))
    splits = sorted(
        {
            score
            for column in glue.scores
            for score in (our_score(column, results.job.tasks) or "").split("+")
            if score
        }
    )
    notes = [
        f"The paper's column: {glue.where}. Its numbers are from the GLUE test server.",
        "The official average needs WNLI, which is no task here: it is for quoted rows only.",
    ]
    if kept:
        notes.append(
            f"This run's columns are scored on {', '.join(splits)}, never on the test server"
            " (QNLI is version 2); half the 95 % interval beside each number."
        )
        if why := reservation(
            results, [c.task for c in glue.scores if c.task in results.job.tasks]
        ):
            notes.append(f"{why}.")
    heads = [f"{variant} (this run, dev)" for variant in kept]
    return Table(
        "averages",
        "GLUE, averaged in four ways",
        ["average", "how", ""],
        ["GPT-1 (paper, test)", *heads],
        [Block("", rows)],
        notes,
    )


def _quoted(average: GlueAverage, reference: Reference) -> Cell:
    value = reference.glue.value(average)
    return Cell(f"{value:.2f}", value)


def _average_cell(found: Sample | None, runs: str) -> Cell:
    if found is None:
        return Cell(DASH)
    whole = interval(found)
    return Cell(plus_minus(whole.value, whole.half), whole.value, runs=runs)


def _average(results: Results, parts: list[list[Column]], variant: str) -> Sample | None:
    """The mean over the parts of the mean within each; None unless all of it ran."""
    samples = []
    for part in parts:
        within = []
        for column in part:
            score = our_score(column, results.job.tasks)
            found = results.sample(variant, column.task, score, column.metric) if score else None
            if found is None:
                return None
            within.append(found)
        if (joined := mean(within)) is None:
            return None
        samples.append(joined)
    return mean(samples)


# Files. ---------------------------------------------------------------------------------------


def cells_csv(rows: Sequence[CellRow]) -> str:
    """statistics.csv."""
    return _csv([field.name for field in fields(CellRow)], rows)


def differences_csv(rows: Sequence[DifferenceRow]) -> str:
    """differences.csv."""
    return _csv([field.name for field in fields(DifferenceRow)], rows)


def _csv(columns: Sequence[str], rows: Sequence[CellRow | DifferenceRow]) -> str:
    texts = ([_text(name, getattr(row, name)) for name in columns] for row in rows)
    return csvfile.to_text(columns, texts)


def _text(name: str, value: object) -> str:
    return f"{value:.3g}" if name in ("p", "p_holm") and value is not None else number_text(value)
