"""`claims.csv`: what the paper claims (`claims.yaml`), and what our scores say about it.

A claim has a rule, one of `RULES`. A rule makes the comparisons (`Part`) that the claim consists
of, each with an interval; `judge` turns them into a verdict. docs/claims.md says how.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from scipy.stats import f as f_distribution

from gptbench.errors import UserError
from gptbench.evaluation.statistics import (
    FEWEST_DF,
    GIVEN_SEEDS,
    LEVEL,
    POWER,
    Interval,
    Sample,
    difference,
    holm,
    interval,
    mean,
)
from gptbench.report.figures import one_of
from gptbench.report.findings import NONE
from gptbench.report.reference import Column, Reference
from gptbench.report.results import Results, figure_score, main_score
from gptbench.report.scores import column_sample, degenerate_runs, layers, left_cells
from gptbench.report.tables import reservation, same_split
from gptbench.settings import Settings, TransformerSettings, nearest, parse, read_yaml

FILE = Path(__file__).with_name("claims.yaml")

RESERVED = {
    "SYNTHETIC": "synthetic data",
    "REDUCED": "data sets in part",
    "WITH": "this scale's notes",
}
"""The beginnings of `tables.reservation` and what they mean in an evidence."""

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
NOT_TESTABLE = "not testable here"
SYNTHETIC = {
    SUPPORTED: "shown in the synthetic world",
    CONTRADICTED: "opposite in the synthetic world",
    UNDECIDED: "not shown in the synthetic world",
    NOT_TESTABLE: NOT_TESTABLE,
}
"""The verdicts' words where the data is the embedded world."""
MARKS = {SUPPORTED: "✓", CONTRADICTED: "✗", UNDECIDED: "?", NOT_TESTABLE: "–"}


# What the scores say. -------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """What a rule is evaluated on."""

    results: Results
    reference: Reference
    file: Path = FILE

    def title(self, task: str) -> str:
        """A data set's title."""
        return self.results.job.tasks[task].title if task in self.results.job.tasks else task

    def table5(self, tasks: Sequence[str]) -> dict[str, Column]:
        """The columns of table 5 of some data sets, by data set."""
        columns = self.reference.tables["table5"].columns
        return {column.task: column for column in columns if column.task in tasks}


@dataclass(frozen=True)
class Part:
    """One comparison of a claim.

    `key` is the column of the paper's table that it answers to. `value` with `low` and `high` is
    the difference (or, if `ratio`, a ratio, whose neutral value is 1); None where it did not run,
    and `missing` says why. `p` is two-sided, `level` our own score where the value is a difference
    to a constant, `span` what the value is taken over, `whole` the difference's interval. The claim says that the value is above the
    neutral one, or below it where `below`.
    """

    key: str
    label: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float = 1.0
    runs: int = 0
    given: str = ""
    missing: str = ""
    below: bool = False
    ratio: bool = False
    level: float | None = None
    span: str = ""
    whole: Interval | None = None

    @property
    def above(self) -> bool:
        """Whether the value is above the neutral one."""
        return self.value is not None and self.value > (1.0 if self.ratio else 0.0)

    def text(self) -> str:
        """The value with its interval."""
        if self.value is None:
            return f"{self.label}: {self.missing}"
        form = "{:.2f}" if self.ratio else "{:+.1f}"
        said = f"{self.label} {form.format(self.value)}"
        if self.low is None or self.high is None:
            return f"{said} (no interval)"
        return f"{said} ({form.format(self.low)} to {form.format(self.high)})"


def _part(key: str, label: str, change: Sample | None, missing: str, below: bool = False) -> Part:
    if change is None:
        return Part(key, label, missing=missing or "no seeds in common", below=below)
    found: Interval = interval(change)
    return Part(
        key,
        label,
        found.value,
        found.low,
        found.high,
        found.p_value,
        found.runs,
        found.given,
        below=below,
        whole=found,
    )


# Rules. ---------------------------------------------------------------------------------------


class Rule(Settings):
    """A way to evaluate a claim; its fields are the claim's `parameters`."""

    def parts(self, view: View) -> list[Part]:
        """The comparisons that the claim consists of."""
        raise NotImplementedError

    def cells(self, view: View) -> list[tuple[str, str]]:
        """The (variant, task) pairs whose fine-tuned runs are compared."""
        return []

    def columns_of(self, view: View) -> list[Column]:
        """The columns of the paper's tables whose numbers the claim is about."""
        return []

    def data_sets(self, view: View) -> list[str]:
        """The data sets that the claim is about."""
        return list(dict.fromkeys(task for _, task in self.cells(view)))

    def obstacles(self, view: View) -> list[str]:
        """Why these results can't test the claim; none if they can."""
        return []

    @property
    def needed(self) -> int | None:
        """How many parts have to be as claimed; None for all of them."""
        return None


Scores = Literal["table", "figure"]


def _sample(view: View, variant: str, task: str, scores: Scores) -> Sample | None:
    """A cell's score as in table 5 (MultiNLI's halves joined) or as in figure 2 (matched)."""
    spec = view.results.job.tasks.get(task)
    if spec is None:
        return None
    score = main_score(spec) if scores == "table" else figure_score(spec)
    return view.results.sample(variant, task, score, spec.metrics[0])


class EachTask(Rule):
    """`first` is above `second` on each of `tasks`, and below it on those of `below`."""

    first: str
    second: str
    tasks: list[str]
    below: tuple[str, ...] = ()
    scores: Scores = "table"

    def cells(self, view: View) -> list[tuple[str, str]]:
        return [(variant, task) for task in self.tasks for variant in (self.first, self.second)]

    def columns_of(self, view: View) -> list[Column]:
        return list(view.table5(self.tasks).values()) if self.scores == "table" else []

    def parts(self, view: View) -> list[Part]:
        found = []
        columns = view.table5(self.tasks) if self.scores == "table" else {}
        for task in self.tasks:
            pair = [_sample(view, v, task, self.scores) for v in (self.first, self.second)]
            gone = [v for v, s in zip((self.first, self.second), pair, strict=True) if s is None]
            change = difference(pair[0], pair[1]) if pair[0] and pair[1] else None
            missing = f"no runs of {' and '.join(gone)}" if gone else ""
            label = columns[task].title if task in columns else view.title(task)
            found.append(_part(task, label, change, missing, task in self.below))
        return found

    @model_validator(mode="after")
    def _below_are_tasks(self) -> Self:
        if unknown := sorted(set(self.below) - set(self.tasks)):
            raise ValueError(f"`below` names {unknown[0]!r}, which is not among `tasks`")
        return self


class Average(Rule):
    """`first` is above `second` on the unweighted mean over `tasks`."""

    first: str
    second: str
    tasks: list[str]

    def cells(self, view: View) -> list[tuple[str, str]]:
        return [(variant, task) for task in self.tasks for variant in (self.first, self.second)]

    def columns_of(self, view: View) -> list[Column]:
        return list(view.table5(self.tasks).values())

    def parts(self, view: View) -> list[Part]:
        label = f"{self.first} - {self.second}, mean of {len(self.tasks)} tasks"
        means = []
        for variant in (self.first, self.second):
            found = {task: _sample(view, variant, task, "table") for task in self.tasks}
            gone = [view.title(task) for task, sample in found.items() if sample is None]
            if gone:
                missing = f"no runs of {variant} on {', '.join(gone)}"
                return [_part("average", label, None, missing)]
            means.append(mean([sample for sample in found.values() if sample is not None]))
        change = difference(means[0], means[1]) if means[0] and means[1] else None
        return [_part("average", label, change, "")]


class EachLayer(Rule):
    """On each of `tasks`, each number of layers transferred is above the one before it."""

    tasks: list[str]

    def cells(self, view: View) -> list[tuple[str, str]]:
        planned = left_cells(view.results)
        return [(variant, task) for task in self.tasks for variant in planned.get(task, [])]

    def parts(self, view: View) -> list[Part]:
        found = []
        planned = left_cells(view.results)
        for task in self.tasks:
            variants = planned.get(task, [])
            if not variants:
                found.append(Part(task, view.title(task), missing="no runs of layer transfer"))
            for fewer, more in pairwise(variants):
                pair = [_sample(view, variant, task, "figure") for variant in (more, fewer)]
                change = difference(pair[0], pair[1]) if pair[0] and pair[1] else None
                steps = f"{layers(view.results, fewer)} to {layers(view.results, more)}"
                missing = "no runs" if pair[0] is None or pair[1] is None else ""
                found.append(_part(task, f"{view.title(task)} {steps}", change, missing))
        return found


class ZeroShotRises(Rule):
    """The zero-shot score of `model` is higher at the last checkpoint than at the first."""

    model: str
    tasks: list[str]

    def parts(self, view: View) -> list[Part]:
        found = []
        for task in self.tasks:
            points = _zero_points(view, self.model, task)
            if len(points) < 2:
                why = f"{len(points)} checkpoint(s) of {self.model}"
                found.append(Part(task, view.title(task), missing=why))
                continue
            change = difference(points[-1].sample, points[0].sample)
            span = f"step {points[0].step:,} to {points[-1].step:,}"
            found.append(replace(_part(task, view.title(task), change, ""), span=span))
        return found

    def data_sets(self, view: View) -> list[str]:
        return self.tasks


class VariesMore(Rule):
    """Over pre-training seeds, zero-shot scores of the model `first` vary more than `second`'s.

    The variance over seeds is the mean over the tasks and over the checkpoints after step 0, of
    scores normalised as in figure 2. The ratio of the two models' variances is judged by the F
    distribution; its degrees of freedom allow for scores that move together (see `_spread`). What
    is shown is the ratio of the standard deviations.
    """

    first: str
    second: str
    tasks: list[str]

    def parts(self, view: View) -> list[Part]:
        label = f"standard deviation over seeds of {self.first} / {self.second}"
        spreads = []
        counts = []
        for model in (self.first, self.second):
            scores = self._scores(view, model)
            if scores is None:
                return [Part("", label, missing=f"no zero-shot scores of {model}")]
            if len(scores) < 2:
                return [Part("", label, missing="one pre-training seed has no spread")]
            spreads.append(_spread(scores))
            counts.append(len(scores))
        (above, df_above), (below, df_below) = spreads
        if above <= 0 or below <= 0:
            return [Part("", label, missing="all seeds score alike")]
        ratio = above / below
        quantiles = f_distribution.ppf([1 - LEVEL / 2, LEVEL / 2], df_above, df_below)
        low, high = np.sqrt(ratio / quantiles)
        tails = (f(ratio, df_above, df_below) for f in (f_distribution.sf, f_distribution.cdf))
        few = min(counts) - 1 < FEWEST_DF
        return [
            Part(
                "",
                label,
                float(np.sqrt(ratio)),
                float(low),
                float(high),
                min(1.0, 2 * float(min(tails))),
                min(counts),
                GIVEN_SEEDS if few else "",
                ratio=True,
            )
        ]

    def _scores(self, view: View, model: str) -> NDArray[np.float64] | None:
        """[seeds, tasks and checkpoints] normalised scores, of the seeds that have them all."""
        columns: list[dict[int, float]] = []
        for task in self.tasks:
            one = one_of(view.results, view.reference, task)
            for point in _zero_points(view, model, task):
                if point.step > 0 and one is not None:
                    scaled = (point.sample.values - point.chance) / (one - point.chance)
                    seeds = [key[0] for key in point.sample.keys]
                    columns.append(dict(zip(seeds, scaled.tolist(), strict=True)))
        if not columns:
            return None
        seeds = sorted(set.intersection(*(set(column) for column in columns)))
        return np.asarray([[column[seed] for column in columns] for seed in seeds])

    def data_sets(self, view: View) -> list[str]:
        return self.tasks


def _spread(scores: NDArray[np.float64]) -> tuple[float, float]:
    """The mean variance of columns over rows, and its degrees of freedom.

    Satterthwaite's for columns of any covariance S: (n - 1) (trace S)^2 / trace S^2, with the
    covariance estimated; the estimate is low rather than high, so that a test holds its level.
    """
    covariance = np.atleast_2d(np.cov(scores, rowvar=False))
    trace, squares = float(np.trace(covariance)), float((covariance**2).sum())
    if squares <= 0:
        return 0.0, 1.0
    return trace / len(covariance), (len(scores) - 1) * trace**2 / squares


def _zero_points(view: View, model: str, task: str) -> list[Any]:
    asked = view.results.asked.zeroshot.get(model, [])
    return view.results.zero_points(model, task) if task in asked else []


class AboveReported(Rule):
    """`variant` is above the best reported system on `at_least` (default: all) of `columns`.

    Columns are those of tables 2 to 4. Testable only with the paper's data, splits and model.
    """

    variant: str
    columns: list[str]
    at_least: int | None = None

    def cells(self, view: View) -> list[tuple[str, str]]:
        return [(self.variant, column.task) for _, column in self._columns(view)]

    def parts(self, view: View) -> list[Part]:
        return [self._part(view, table, column) for table, column in self._columns(view)]

    def _columns(self, view: View) -> list[tuple[str, Column]]:
        known = {
            column.key: (name, column)
            for name, table in view.reference.tables.items()
            if name != "table5"
            for column in table.columns
        }
        for key in self.columns:
            if key not in known:
                raise UserError(
                    f"{view.file}: no column `{key}` in tables 2 to 4{nearest(key, known)}"
                )
        return [known[key] for key in self.columns]

    def _part(self, view: View, table: str, column: Column) -> Part:
        found = column_sample(view.results, view.reference, table, column, self.variant)
        if found is None:
            return Part(column.key, column.title, missing=f"no runs of {self.variant}")
        best = max(
            row.values[column.key]
            for row in view.reference.tables[table].rows
            if row.source == "reported" and column.key in row.values
        )
        resampled = None if found.resampled is None else found.resampled - best
        low, high = (bound - best for bound in found.bounds)
        change = replace(found, values=found.values - best, resampled=resampled, bounds=(low, high))
        level = float(found.values.mean())
        return replace(_part(column.key, column.title, change, ""), level=level)

    def columns_of(self, view: View) -> list[Column]:
        return [column for _, column in self._columns(view)]

    def obstacles(self, view: View) -> list[str]:
        return unlike(view, self)

    @property
    def needed(self) -> int | None:
        return self.at_least


RULES: dict[str, type[Rule]] = {
    "each_task": EachTask,
    "average": Average,
    "each_layer": EachLayer,
    "zero_shot_rises": ZeroShotRises,
    "varies_more": VariesMore,
    "above_reported": AboveReported,
}


def unlike(view: View, rule: Rule) -> list[str]:
    """In what a rule's numbers are not like the paper's: data, model, pre-training, split."""
    tasks = [task for task in rule.data_sets(view) if task in view.results.job.tasks]
    why = reservation(view.results, tasks)
    found = [text for start, text in RESERVED.items() if why.startswith(start)]
    found += _other_model(view)
    columns = rule.columns_of(view)
    other = [column.title for column in columns if not same_split(column, view.results)]
    if other and len(other) == len(columns):
        found.append("another split than the paper's")
    elif other:
        found.append(f"another split than the paper's on {', '.join(other)}")
    return found


def _other_model(view: View) -> list[str]:
    """How the transformer differs from the paper's in size or pre-training, if it does."""
    config = view.results.job.config
    model = config.models.get("transformer")
    if model is None or not isinstance(model.backbone, TransformerSettings):
        return []
    paper = {setting.key: setting.paper for setting in view.reference.settings}
    block = "models.transformer.backbone"
    wanted = [paper[key] for key in (f"{block}.n_layer", f"{block}.n_embd", "n_ctx")]
    ours = [model.backbone.n_layer, model.backbone.n_embd, config.n_ctx]
    if ours != wanted:
        sizes = ["{:g} x {:g} with context {:g}".format(*size) for size in (ours, wanted)]
        return [f"a model of {sizes[0]}, not {sizes[1]}"]
    epochs = paper["models.transformer.pretrain.epochs"]
    if model.pretrain and model.pretrain.epochs != epochs:
        return ["another length of pre-training"]
    return []


# Claims as data. ------------------------------------------------------------------------------


class PaperNumber(Settings):
    """A number of the paper and its place in `reference.yaml`.

    `at` is a table and a column (`first` and `second` are variants, or `reported` for the best
    reported system: the value is their difference), `figure2_left.<task>` (all layers minus none),
    `figure2_right.<task>`, `text.<key>` or `claims.best`.
    """

    value: float
    at: str
    first: str | None = None
    second: str | None = None


class Sizes(Settings):
    """Data sets whose training rows must all be more, here too, than those of others."""

    large: list[str]
    small: list[str]


class Claim(Settings):
    """A claim of the paper; `section` is the paper's."""

    id: str
    claim: str
    section: str
    paper: tuple[PaperNumber, ...] = ()
    said: str = ""
    sizes: Sizes | None = None
    rule: str
    parameters: dict[str, Any]

    def evaluator(self, where: str) -> Rule:
        """The rule with its parameters; raises `UserError` for an unknown one of either."""
        if self.rule not in RULES:
            raise UserError(f"{where}: no rule `{self.rule}`{nearest(self.rule, RULES)}")
        return parse(RULES[self.rule], self.parameters, f"{where}, rule {self.rule}")


class ClaimsFile(Settings):
    """All of `claims.yaml`, its claims not read yet."""

    claims: list[dict[str, Any]]


def load(path: Path = FILE) -> list[tuple[Claim, Rule]]:
    """The claims with their rules; raises `UserError`: the file, the claim, the nearest name."""
    found: dict[str, tuple[Claim, Rule]] = {}
    for number, entry in enumerate(parse(ClaimsFile, read_yaml(path), str(path)).claims, 1):
        where = f"{path}: claim {entry.get('id', number)}"
        claim = parse(Claim, entry, where)
        if claim.id in found:
            raise UserError(f"{where}: two claims have this id; give one of them another")
        found[claim.id] = claim, claim.evaluator(where)
    return list(found.values())


def _check_names(claim: Claim, rule: Rule, view: View) -> None:
    """Every task, variant and model that a claim names is one of the config's or the paper's."""
    job, tables = view.results.job, view.reference.tables.values()
    rows = [row for table in tables for row in table.rows]
    variants = job.experiments.variants
    known: dict[str, set[str | None]] = {
        "task": {*job.tasks, *(column.task for table in tables for column in table.columns)},
        "variant": {*variants, *view.results.asked.variants, NONE, *(row.variant for row in rows)},
        "model": {*job.config.models, *(row.model for row in rows)},
    }
    kind = "model" if isinstance(rule, VariesMore | ZeroShotRises) else "variant"
    named = [("task", task) for task in getattr(rule, "tasks", [])]
    for key in ("first", "second", "variant", "model"):
        if name := getattr(rule, key, None):
            named.append((kind, name))
    for what, name in named:
        if name not in known[what]:
            mend = nearest(name, sorted(filter(None, known[what])))
            raise UserError(f"{view.file}: claim {claim.id}: no {what} `{name}`{mend}")


# Verdicts. ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """A claim with its verdict: a row of `claims.csv` and of the report's first table.

    `state` is the verdict for real data, `verdict` its words for these data; `short` is the
    evidence in a few words, `evidence` all of it; `paper` are the paper's numbers in words.
    """

    claim: Claim
    state: str
    verdict: str
    short: str
    evidence: str
    paper: str

    @property
    def rest(self) -> str:
        """The evidence after its short form; empty if there is no more."""
        return self.evidence.removeprefix(f"{self.short}.").strip()

    @property
    def mark(self) -> str:
        """The verdict as a character, the same in black and white."""
        return MARKS[self.state]


def evaluate(results: Results, reference: Reference, path: Path = FILE) -> list[Finding]:
    """A verdict on every claim, in the order of the file."""
    view = View(results, reference, path)
    found = []
    for claim, rule in load(path):
        _check_names(claim, rule, view)
        found.append(judge(claim, rule, view))
    return found


def judge(claim: Claim, rule: Rule, view: View) -> Finding:
    """The verdict on one claim.

    It is supported if as many parts as it needs (all, unless the rule says otherwise) are shown
    as claimed, p below 0.05 after Holm over the parts; contradicted if the opposite is shown on
    so many that it can't hold; not testable if what it is about was not run, is not at the
    paper's size and split where the rule asks for that, or the data sets don't differ in size
    as claimed; undecided otherwise, and always with too few seeds for an interval over seeds.
    """
    parts = rule.parts(view)
    shown = _shown(parts)
    groups = {
        name: [part for part, state in zip(parts, shown, strict=True) if state == name]
        for name in ("as claimed", "open", "opposite", "missing")
    }
    obstacles = [*rule.obstacles(view), *_same_sizes(claim, view)]
    few = any(part.given == GIVEN_SEEDS for part in parts)
    state = _state(groups, obstacles, few, rule.needed or len(parts))
    told = _told(parts, groups, obstacles, few, rule, view)
    closing = list(_closing(claim, rule, view, parts, groups, state))
    return Finding(
        claim,
        state,
        SYNTHETIC[state] if view.results.job.config.synthetic else state,
        told[0],
        ". ".join([*told, *closing]) + ".",
        paper_text(claim, view),
    )


def _shown(parts: Sequence[Part]) -> list[str]:
    """For each part: `as claimed`, `opposite`, `open` or `missing`, after Holm."""
    ran = [part for part in parts if part.value is not None]
    adjusted = iter(holm([part.p for part in ran]))
    found = []
    for part in parts:
        if part.value is None:
            found.append("missing")
        elif next(adjusted) >= LEVEL:
            found.append("open")
        else:
            found.append("as claimed" if part.above != part.below else "opposite")
    return found


def _state(groups: dict[str, list[Part]], obstacles: list[str], few: bool, needed: int) -> str:
    total = sum(map(len, groups.values()))
    if obstacles or len(groups["missing"]) == total:
        return NOT_TESTABLE
    if few:
        return UNDECIDED
    if len(groups["opposite"]) > total - needed:
        return CONTRADICTED
    if len(groups["as claimed"]) >= needed:
        return SUPPORTED
    return NOT_TESTABLE if groups["missing"] else UNDECIDED


def _same_sizes(claim: Claim, view: View) -> list[str]:
    """Why the data sets called large are not larger than the small ones here, if so."""
    if claim.sizes is None:
        return []
    rows = {}
    for task in [*claim.sizes.large, *claim.sizes.small]:
        facts, spec = view.results.facts.get(task), view.results.job.tasks.get(task)
        if facts is None or spec is None:
            return [f"how many rows {task} has is not known"]
        rows[task] = int(facts["rows"][spec.train])
    large = min(rows[task] for task in claim.sizes.large)
    small = max(rows[task] for task in claim.sizes.small)
    if large > small:
        return []
    return [
        f"the data sets called large train on {large:,} rows or more here,"
        f" the small ones on up to {small:,}"
    ]


def _told(
    parts: list[Part],
    groups: dict[str, list[Part]],
    obstacles: list[str],
    few: bool,
    rule: Rule,
    view: View,
) -> list[str]:
    """The evidence as sentences without their full stops; the first one is the short form."""
    ran = [part for part in parts if part.value is not None]
    if not ran:
        gone = dict.fromkeys(part.text() for part in groups["missing"])
        return [_sentence("; ".join([*obstacles, *gone]))]
    before = [_sentence("; ".join(obstacles))] if obstacles else []
    if obstacles and isinstance(rule, AboveReported) and view.results.job.config.synthetic:
        levels = (f"{part.label} {part.level:.1f}" for part in ran)
        return [*before, f"Here: {', '.join(levels)}"]
    what = "difference to the best reported" if isinstance(rule, AboveReported) else "difference"
    if ran[0].ratio:
        what = "ratio"
    given = "given these seeds, no verdict: " if few else ""
    if len(parts) == 1:
        return [*before, _sentence(f"{given}{what}, {parts[0].text()}")]
    if few or obstacles:
        above = sum(part.above != part.below for part in ran)
        listed = f"{what} " + ", ".join(part.text() for part in parts)
        return [
            *before,
            _sentence(f"{given}{above} of {len(parts)} have the claimed sign"),
            _sentence(listed),
        ]
    counts = ", ".join(f"{len(group)} {name}" for name, group in groups.items() if group)
    lists = [
        f"{_sentence(name)}: " + ", ".join(part.text() for part in group)
        for name, group in groups.items()
        if group
    ]
    return [f"Of {len(parts)}: {counts} (Holm)", *lists]


def _sentence(text: str) -> str:
    """With a capital letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def _closing(
    claim: Claim,
    rule: Rule,
    view: View,
    parts: list[Part],
    groups: dict[str, list[Part]],
    state: str,
) -> Iterator[str]:
    """What was run, what could have been shown, and how like the paper's the numbers are."""
    ran = [part for part in parts if part.value is not None]
    if not ran:
        return
    if any(part.given == GIVEN_SEEDS for part in ran):
        yield "So few seeds could show no difference of any size"
    elif state == UNDECIDED and (smallest := _smallest(groups["open"], len(ran))):
        yield smallest
    more = {text for part in ran for text in (part.given, part.span)} - {"", GIVEN_SEEDS}
    units = "seed" if ran[0].ratio or isinstance(rule, ZeroShotRises) else "paired run"
    if isinstance(rule, AboveReported):
        units = "run"
    runs = sorted({part.runs for part in ran})
    count = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    yield ", ".join([f"{count} {units}{'s' * (runs[-1] > 1)}", *sorted(more)])
    if degenerate := _degenerate(rule, view):
        yield degenerate
    if state == NOT_TESTABLE or view.results.job.config.synthetic:
        return
    if different := unlike(view, rule):
        yield "Not like for like with the paper's numbers: " + "; ".join(different)
    else:
        yield from _beside_the_paper(claim, parts)


def _smallest(parts: Sequence[Part], tests: int) -> str:
    """The smallest differences (or the ratio) that could have been shown on the open parts."""
    if parts and parts[0].ratio and parts[0].value and parts[0].low:
        return f"A ratio must be beyond {parts[0].value / parts[0].low:.2f} to be told from 1"
    found = []
    for part in parts:
        smallest = part.whole.smallest(tests) if part.whole else None
        if smallest is not None and np.isfinite(smallest):
            found.append(f"{smallest:.1f}" + f" {part.label}" * (len(parts) > 1))
    if not found:
        return ""
    return f"Smallest difference that {POWER:.0%} of such runs would show: {', '.join(found)}"


def _degenerate(rule: Rule, view: View) -> str:
    """How many of the runs behind a claim are degenerate, by their own flag."""
    total = bad = 0
    for variant, task in dict.fromkeys(rule.cells(view)):
        if task in view.results.job.tasks:
            total += len(view.results.runs.get((variant, task), {}))
            score = main_score(view.results.job.tasks[task])
            bad += len(degenerate_runs(view.results, variant, task, score))
    return f"{bad} of the {total} runs behind it are degenerate" if bad else ""


def _beside_the_paper(claim: Claim, parts: Sequence[Part]) -> Iterator[str]:
    """Whether the paper's numbers lie within our intervals, for numbers like for like."""
    numbers = {number.at.rpartition(".")[2]: number.value for number in claim.paper}
    for part in parts:
        value = numbers.get(part.key)
        if value is None or part.low is None or part.high is None:
            continue
        where = "below" if value < part.low else "above" if value > part.high else "within"
        yield f"The paper's {value:+.1f} on {part.label} is {where} the interval"


# The paper's numbers in words, and the file. --------------------------------------------------


def paper_text(claim: Claim, view: View) -> str:
    """The paper's numbers of a claim, then what it says beside them."""
    numbers = ", ".join(_number_text(number, view, claim.id) for number in claim.paper)
    read_off = "read off figure 2" if "figure2" in " ".join(n.at for n in claim.paper) else ""
    return "; ".join(text for text in (numbers, claim.said, read_off) if text)


def _number_text(number: PaperNumber, view: View, claim: str) -> str:
    table, _, key = number.at.partition(".")
    reference = view.reference
    right = {point.task: point.title for point in reference.figure2.right}
    titles: dict[str, dict[str, str]] = {
        **{name: {c.key: c.title for c in t.columns} for name, t in reference.tables.items()},
        "figure2_left": {p.task: view.title(p.task) for p in reference.figure2.left},
        "figure2_right": right,
        "text": {stated.key: stated.title for stated in reference.text},
        "claims": {"best": ""},
    }
    for name, known in ((table, titles), (key, titles.get(table, {}))):
        if name not in known:
            raise UserError(
                f"{view.file}: claim {claim}: `{number.at}` is not in reference.yaml"
                f"{nearest(name, known)}"
            )
    title = titles[table][key]
    if table == "claims":
        return f"{number.value:.0f} of {reference.claims.best.datasets}"
    if table == "figure2_left":
        return f"{title} about {number.value:+.0f}"
    if table == "figure2_right":
        return f"{title} about {number.value:.2f}"
    if table == "text":
        return f"{title}: {number.value:g}"
    return f"{title} {number.value:+.1f}" if number.second else f"{title} {number.value:.1f}"


def to_csv(findings: Sequence[Finding]) -> str:
    """`claims.csv`: id, claim, section, verdict, evidence."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "claim", "section", "verdict", "evidence"])
    for row in findings:
        claim = row.claim
        writer.writerow([claim.id, claim.claim, claim.section, row.verdict, row.evidence])
    return out.getvalue()


def counts(findings: Sequence[Finding]) -> list[tuple[str, str, int]]:
    """How often each verdict was given: its mark, its words, its number; those given only."""
    rows = [
        (mark, [row for row in findings if row.state == state]) for state, mark in MARKS.items()
    ]
    return [(mark, found[0].verdict, len(found)) for mark, found in rows if found]
