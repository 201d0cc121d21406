"""The rules of `claims.yaml`: each makes the comparisons (`Part`) that a claim consists of.

A new rule is a class whose fields are its parameters, and a line in `RULES`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    Interval,
    Sample,
    difference,
    interval,
    mean,
)
from gptbench.report.figures import one_of
from gptbench.report.reference import Column, Reference
from gptbench.report.results import Results, figure_score, main_score
from gptbench.report.scores import column_sample, layers, left_cells
from gptbench.report.tables import reservation, same_split
from gptbench.settings import Settings, TransformerSettings, nearest

RESERVED = {
    "SYNTHETIC": "synthetic data",
    "REDUCED": "data sets in part",
    "WITH": "this scale's notes",
}
"""The beginnings of `tables.reservation` and what they mean in an evidence."""


# What the scores say. -------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """What a rule is evaluated on."""

    results: Results
    reference: Reference
    file: Path

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
    to a constant, `span` what the value is taken over, `whole` the difference's interval. The
    claim says that the value is above the neutral one, or below it where `below`.
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
