"""`gptbench compare A B`: differences of two results, a CSV of scores, or the paper's numbers.

A difference is paired by seed and example where both sides have predictions on the same examples
and runs with the same seeds, with the combined error of two independent scores otherwise. Holm's
correction is over the table. Scores that don't measure the same thing get a warning in their row
and no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gptbench.artifacts import write_text
from gptbench.errors import UserError
from gptbench.evaluation.statistics import (
    Interval,
    Sample,
    difference,
    independent,
    interval,
)
from gptbench.report import csvfile
from gptbench.report.scores import number_text
from gptbench.report.sides import PAPER, Entry, Side, read_side
from gptbench.report.tables import DASH, Block, Cell, Row, Table, plus_minus
from gptbench.report.uncertainty import family, verdict
from gptbench.settings import TaskSpec

UNLIKE = "unlike"
NO_INTERVAL = "no interval"
SHORT = {"accuracy": "acc", "f1": "F1", "matthews": "mc", "pearson": "pc", "spearman": "sc"}
"""The paper's abbreviations of the metrics, and one more."""
SPELT = {
    "accuracy": "accuracy",
    "f1": "the F1 score",
    "matthews": "the Matthews correlation",
    "pearson": "the Pearson correlation",
    "spearman": "the Spearman correlation",
}


@dataclass(frozen=True)
class Difference:
    """A row: the scores, A minus B, and what to know before believing it."""

    variant: str
    task: str
    metric: str
    split: str
    split_b: str
    a: float
    a_half: float | None
    b: float
    b_half: float | None
    difference: float
    low: float | None
    high: float | None
    paired: bool
    runs_a: int
    runs_b: int
    p: float | None
    p_holm: float | None
    verdict: str
    given: str
    warnings: list[str]
    remarks: list[str]

    @property
    def half(self) -> float | None:
        """The half-width of the difference's interval, of the wider side."""
        if self.low is None or self.high is None:
            return None
        return max(self.high - self.difference, self.difference - self.low)


@dataclass(frozen=True)
class Comparison:
    """Both sides, their differences, and which of their scores the other side lacks."""

    a: Side
    b: Side
    rows: list[Difference]
    left_out: list[str]


def compare(first: str, second: str, tasks: Mapping[str, TaskSpec]) -> Comparison:
    """Compare two sides, each a results folder, a CSV file or `paper`.

    `tasks` are the data sets that the rows of a CSV file may name. Raises `UserError` where a side
    is none of these or the two have nothing in common.
    """
    if first == second == PAPER:
        raise UserError("compare: the paper with itself; give a results folder or a CSV file")
    a, b = read_side(first, tasks), read_side(second, tasks)
    pairs = [(x, y) for names in _variants(a, b) for x, y in _matched(a, b, *names)]
    if not pairs:
        raise UserError(
            f"compare: no score that both have: {first} has {_has(a)}, {second} has {_has(b)}"
        )
    rows = _corrected([_difference(a, b, x, y) for x, y in pairs])
    used = {id(entry) for pair in pairs for entry in pair}
    left_out = [
        f"only in {letter}: {_has(side, used)}"
        for letter, side in (("A", a), ("B", b))
        if any(id(entry) not in used for entry in side.entries)
    ]
    return Comparison(a, b, rows, left_out)


def _has(side: Side, used: set[int] | None = None) -> str:
    """A side's scores that are not used, by variant, in short."""
    counts: dict[str, int] = {}
    for entry in side.entries:
        if not used or id(entry) not in used:
            counts[entry.variant] = counts.get(entry.variant, 0) + 1
    shown = [f"{variant} ({count})" for variant, count in list(counts.items())[:4]]
    return "scores of " + ", ".join([*shown, *["and others"] * (len(counts) > 4)])


# What is compared with what. ------------------------------------------------------------------


def _variants(a: Side, b: Side) -> list[tuple[str, str]]:
    """The pairs of variants; a system of a file stands against its namesake, or the full model."""
    names_a, names_b = ([*dict.fromkeys(e.variant for e in side.entries)] for side in (a, b))
    if a.systems == b.systems:
        common = [(name, name) for name in names_a if name in names_b]
        if not common and a.systems and len(names_a) == len(names_b) == 1:
            return [(names_a[0], names_b[0])]
        return common
    if b.systems:
        return [(_namesake(a, names_a, name), name) for name in names_b]
    return [(name, _namesake(b, names_b, name)) for name in names_a]


def _namesake(side: Side, names: list[str], system: str) -> str:
    for name in names:
        if system.casefold() in (name.casefold(), side.titles.get(name, "").casefold()):
            return name
    return "full" if "full" in names else names[0]


def _matched(a: Side, b: Side, variant_a: str, variant_b: str) -> Iterator[tuple[Entry, Entry]]:
    """Scores of the same task and metric on the same split, or on its development counterpart."""
    others = [entry for entry in b.entries if entry.variant == variant_b]
    for x in a.entries:
        if x.variant != variant_a:
            continue
        same = [y for y in others if (y.task, y.metric) == (x.task, x.metric)]
        exact = [y for y in same if y.split == x.split]
        near = [y for y in same if _as_test(y.split) == _as_test(x.split)]
        for y in (exact or near)[:1]:
            yield x, y


def _as_test(split: str) -> str:
    return split.replace("dev", "test")


# One difference. ------------------------------------------------------------------------------


def _difference(a: Side, b: Side, x: Entry, y: Entry) -> tuple[Difference, Interval | None]:
    warnings, remarks = _warnings(a, b, x, y), list(_remarks(a, b, x))
    change, paired = None, False
    if x.sample and y.sample and not warnings and _same_examples(a, b, x, y):
        both = difference(x.sample, y.sample)
        if both is not None:
            change, paired = interval(both), True
            x = replace(x, whole=interval(_on(x.sample, both)))
            y = replace(y, whole=interval(_on(y.sample, both)))
            known = len(x.sample.keys) if x.sample else 0, len(y.sample.keys) if y.sample else 0
            if known != (len(both.keys), len(both.keys)):
                remarks.append(
                    f"on the {len(both.keys)} runs of the same seeds, of {known[0]} and {known[1]}"
                )
    if change is None:
        change = independent(x.whole, y.whole)
        if x.sample and y.sample and not warnings:
            remarks.append("unpaired: not the same examples, or no runs of the same seeds")
    for side, entry in ((a, x), (b, y)):
        if entry.whole.low is None:
            remarks.append(f"{side.name} has no interval for this number")
    value = x.whole.value - y.whole.value if change is None else change.value
    title = x.variant if x.variant == y.variant else f"{x.variant} - {y.variant}"
    row = Difference(
        title,
        x.task,
        x.metric,
        x.split,
        y.split,
        x.whole.value,
        x.whole.half,
        y.whole.value,
        y.whole.half,
        value,
        change.low if change else None,
        change.high if change else None,
        paired,
        x.whole.runs,
        y.whole.runs,
        change.p_value if change and change.verdict_given and not warnings else None,
        None,
        "",
        change.given if change else "",
        warnings,
        remarks,
    )
    return row, change


def _on(found: Sample, both: Sample) -> Sample:
    """A sample's runs that both sides have."""
    picks = [found.keys.index(key) for key in both.keys]
    resampled = None if found.resampled is None else found.resampled[:, picks]
    return Sample(both.keys, found.values[picks], resampled, found.n, found.bounds)


def _same_examples(a: Side, b: Side, x: Entry, y: Entry) -> bool:
    if a.results is None or b.results is None:
        return False
    if x.sample is None or y.sample is None or x.split != y.split:
        return False
    if x.sample.resampled is None or y.sample.resampled is None:
        return False
    found = a.results.examples(x.variant, x.task, x.split)
    return bool(found) and found == b.results.examples(y.variant, y.task, y.split)


def _warnings(a: Side, b: Side, x: Entry, y: Entry) -> list[str]:
    """Why two scores don't measure the same thing."""
    found = []
    if x.split != y.split:
        kinds = ["test" if "test" in each.split else "development" for each in (x, y)]
        found.append(f"{kinds[0]} set (A) against {kinds[1]} set (B)")
    data = [each.data for each in (a, b)]
    if "synthetic" in data and data != ["synthetic", "synthetic"]:
        other = "real data" if "real" in data else "scores on data that nobody states"
        found.append(f"synthetic world against {other}")
        return found
    found += _other_data(a, b, x.task, x.split)
    for letter, side, entry in (("A", a, x), ("B", b, y)):
        rows = (y if entry is x else x).n
        if side.results is None and entry.n is not None and rows not in (None, entry.n):
            found.append(f"{letter} states {entry.n:,} rows, the other has {rows:,}")
    return found


def _other_data(a: Side, b: Side, task: str, split: str) -> Iterator[str]:
    if a.job is None or b.job is None:
        return
    versions = [side.job.tasks[task].version for side in (a, b) if side.job]
    if versions[0] != versions[1]:
        yield f"version {versions[0]} of the task against version {versions[1]}"
    if a.results is None or b.results is None:
        return
    facts = [side.results.facts.get(task) for side in (a, b) if side.results]
    if None in facts:
        return
    splits = [name for part in split.split("+") for name in a.results.job.tasks[task].scored[part]]
    digests: list[dict[str, Any]] = [(known or {}).get("digest", {}) for known in facts]
    if any(digests[0].get(name) != digests[1].get(name) for name in splits):
        yield "the scored files differ"


def _remarks(a: Side, b: Side, x: Entry) -> Iterator[str]:
    """What differs in how the two came about, or was cut, on the same data."""
    rows = []
    for letter, side in (("A", a), ("B", b)):
        if a.job and b.job and side.results is None:
            yield f"unpaired: {letter} is a report without its runs"
        facts = side.results.facts.get(x.task) if side.results else None
        if not facts or not side.results:
            continue
        train = side.results.job.tasks[x.task].train
        rows.append(facts["rows"].get(train))
        used, found = facts["rows"], facts["rows_found"]
        cut = [name for name in used if used[name] < found.get(name, used[name])]
        if cut:
            yield f"{letter} uses a subset of {', '.join(cut)}"
    if len(rows) == 2 and rows[0] != rows[1]:
        yield f"trained on {rows[0]:,} (A) and {rows[1]:,} (B) rows"


def _corrected(found: list[tuple[Difference, Interval | None]]) -> list[Difference]:
    """The rows with Holm's adjusted p over all that can have a verdict, and their verdicts."""
    tested = [change for row, change in found if change and row.p is not None]
    adjusted = iter(family(tested))
    rows = []
    for row, change in found:
        if row.warnings:
            rows.append(replace(row, verdict=UNLIKE))
        elif change is None:
            rows.append(replace(row, verdict=NO_INTERVAL))
        else:
            p_holm = next(adjusted) if row.p is not None else None
            said = verdict(row.difference, p_holm)
            rows.append(replace(row, p_holm=p_holm, verdict=said))
    return rows


# The table, the page, the file. ---------------------------------------------------------------


def table(found: Comparison, halves: bool = True) -> Table:
    """The differences by variant; `halves` are the intervals of A and B beside their numbers."""
    rows = found.rows
    texts = [text for row in rows for text in [*row.warnings, *row.remarks]]
    numbers = {text: str(i + 1) for i, text in enumerate(dict.fromkeys(texts))}
    blocks: dict[str, list[Row]] = {}
    for row in rows:
        warned = ["!" + numbers[text] for text in row.warnings]
        cells = [
            Cell(plus_minus(row.a, row.a_half if halves else None)),
            Cell(plus_minus(row.b, row.b_half if halves else None)),
            Cell(plus_minus(row.difference, row.half, signed=True)),
            Cell(_p_text(row.p_holm)),
            Cell(row.verdict.partition(":")[0]),
            Cell(" ".join([*warned, *(numbers[text] for text in row.remarks)]) or DASH),
        ]
        split = "both" if "+" in row.split else row.split
        label = f"{row.task} {split} {SHORT.get(row.metric, row.metric)}"
        blocks.setdefault(row.variant, []).append(Row(label, "", "", cells))
    signs = [f"{SHORT[name]} is {text}" for name, text in SPELT.items() if _has_metric(rows, name)]
    notes = [f"{'!' if _warns(rows, text) else ''}{n}: {text}." for text, n in numbers.items()]
    if any(row.warnings for row in rows):
        notes.append(f"{UNLIKE}, and ! at a note: not like for like, so no verdict is given.")
    notes += [
        "± is half the 95 % interval; p is Holm-adjusted over the table; higher or lower is A"
        " against B at the 5 % level; no verdict: too few seeds to say more than what holds for"
        " these runs.",
        f"{', '.join(signs)}, times 100.",
        *(f"{text[0].upper()}{text[1:]}." for text in found.left_out),
    ]
    return Table(
        "A - B",
        f"{found.a.name} minus {found.b.name}",
        ["task, split, metric", "", ""],
        ["A", "B", "A - B", "p (Holm)", "verdict", "notes"],
        [Block(name, lines) for name, lines in blocks.items()],
        notes,
    )


def _warns(rows: list[Difference], text: str) -> bool:
    return any(text in row.warnings for row in rows)


def _has_metric(rows: list[Difference], name: str) -> bool:
    return any(row.metric == name for row in rows)


def _p_text(p: float | None) -> str:
    return DASH if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def to_csv(found: Comparison) -> str:
    """compare.csv: a row a difference, warnings and remarks joined by semicolons."""
    names = [item.name for item in fields(Difference)]
    rows = ([_text(name, getattr(row, name)) for name in names] for row in found.rows)
    return csvfile.to_text(names, rows)


def _text(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if name in ("p", "p_holm") and value is not None else number_text(value)


def to_html(found: Comparison) -> str:
    """The page: one self-contained file."""
    environment = Environment(
        loader=PackageLoader("gptbench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("compare.html.j2").render(found=found, table=table(found))


def write(found: Comparison, folder: Path) -> None:
    """compare.html and compare.csv."""
    write_text(folder / "compare.html", to_html(found))
    write_text(folder / "compare.csv", to_csv(found))
