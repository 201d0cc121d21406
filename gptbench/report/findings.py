"""What the page says beyond the tables: gains, levels by seed, chance, zero-shot, probes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gptbench.artifacts import read_json
from gptbench.evaluation.statistics import (
    Interval,
    Sample,
    constant_score,
    difference,
    interval,
)
from gptbench.report.reference import Reference
from gptbench.report.results import Results, figure_score, main_score
from gptbench.report.scores import average
from gptbench.report.uncertainty import family

FULL, SCRATCH, LSTM, NONE = "full", "no-pretraining", "lstm", "transfer-0"


@dataclass(frozen=True)
class Gain:
    """Two variants on one task, and their paired difference.

    `p_holm` is None where too few seeds ran for a verdict.
    """

    task: str
    title: str
    metric: str
    first: Interval
    second: Interval
    change: Interval
    p_holm: float | None = None

    @property
    def beyond(self) -> bool:
        """Whether the difference's interval lies above 0."""
        return self.change.low is not None and self.change.low > 0


@dataclass(frozen=True)
class SeedLine:
    """A mean by pre-training seed of two variants."""

    seed: int
    first: float
    second: float

    @property
    def above(self) -> bool:
        """Whether the first is above the second."""
        return self.first > self.second


@dataclass(frozen=True)
class Comparison:
    """Two variants by pre-training seed, with the paired difference over all.

    `task` is empty for a mean over tasks.
    """

    title: str
    first: str
    second: str
    lines: list[SeedLine]
    change: Interval
    task: str = ""

    @property
    def above(self) -> int:
        """On how many seeds the first is above the second."""
        return sum(line.above for line in self.lines)


@dataclass(frozen=True)
class AtChance:
    """A score whose interval includes what a constant answer reaches."""

    variant: str
    task: str
    split: str
    metric: str
    found: Interval
    constant: float


@dataclass(frozen=True)
class ZeroEnd:
    """The zero-shot score at the last step: the mean, and every seed for itself."""

    model: str
    task: str
    metric: str
    step: int
    chance: float
    found: Interval
    seeds: list[tuple[int, Interval]]

    @property
    def above(self) -> bool:
        """Whether the mean's interval lies above chance."""
        return self.found.low is not None and self.found.low > self.chance


def gains(results: Results) -> list[Gain]:
    """Full minus no pre-training on each task of the study `gains`, with Holm's p-values."""
    if "gains" not in results.job.config.studies:
        return []
    found = []
    for task in results.job.experiments.studies["gains"].tasks:
        spec = results.job.tasks[task]
        score, metric = main_score(spec), spec.metrics[0]
        pair = [results.sample(variant, task, score, metric) for variant in (FULL, SCRATCH)]
        if pair[0] is None or pair[1] is None:
            continue
        if (change := difference(pair[0], pair[1])) is not None:
            first, second, gained = interval(pair[0]), interval(pair[1]), interval(change)
            found.append(Gain(task, spec.title, metric, first, second, gained))
    adjusted = family([gain.change for gain in found])
    return [replace(gain, p_holm=p) for gain, p in zip(found, adjusted, strict=True)]


def comparisons(results: Results, reference: Reference) -> list[Comparison]:
    """The claims by seed: pre-training, transformer above LSTM, all layers above none."""
    eight = "mean of the eight tasks of table 5"
    pairs = [
        (
            f"Pre-training, {eight}",
            FULL,
            SCRATCH,
            average(results, reference, FULL),
            average(results, reference, SCRATCH),
            "",
        ),
        (
            f"Transformer and LSTM, {eight}",
            FULL,
            LSTM,
            average(results, reference, FULL),
            average(results, reference, LSTM),
            "",
        ),
    ]
    left = results.job.experiments.studies.get("figure2_left")
    for task in left.tasks if left and "figure2_left" in results.job.config.studies else []:
        spec = results.job.tasks[task]
        first, second = (
            results.sample(variant, task, figure_score(spec), spec.metrics[0])
            for variant in (FULL, NONE)
        )
        title = f"All layers and none transferred, {spec.title}"
        pairs.append((title, FULL, NONE, first, second, task))
    made = (_comparison(*pair) for pair in pairs)
    return [comparison for comparison in made if comparison is not None]


def _comparison(
    title: str, first: str, second: str, a: Sample | None, b: Sample | None, task: str
) -> Comparison | None:
    if a is None or b is None:
        return None
    change = difference(a, b)
    if change is None:
        return None
    means = [_by_seed(part, change.keys) for part in (a, b)]
    lines = [SeedLine(seed, means[0][seed], means[1][seed]) for seed in means[0]]
    return Comparison(title, first, second, lines, interval(change), task)


def _by_seed(scored: Sample, keys: Sequence[tuple[int, int]]) -> dict[int, float]:
    """Means over fine-tuning seeds by pre-training seed, of the runs in `keys`."""
    groups: dict[int, list[float]] = {}
    for key, value in zip(scored.keys, scored.values, strict=True):
        if key in keys:
            groups.setdefault(key[0], []).append(float(value))
    return {seed: float(np.mean(groups[seed])) for seed in sorted(groups)}


def at_chance(results: Results, variant: str = FULL) -> list[AtChance]:
    """The scores of a variant that its interval does not tell from a constant answer."""
    found = []
    for name, task in results.asked.cells:
        if name != variant:
            continue
        spec = results.job.tasks[task]
        for score in spec.scored:
            scored = results.sample(variant, task, score, spec.metrics[0])
            if scored is None or scored.resampled is None:
                continue
            gold, _, _ = results.predictions(variant, task, score)
            constant, whole = constant_score(spec.metrics[0], gold), interval(scored)
            if whole.low is not None and whole.low <= constant:
                found.append(AtChance(variant, task, score, spec.metrics[0], whole, constant))
    return found


def degenerate(results: Results) -> list[str]:
    """Runs that answered (nearly) the same to everything, by their own flag, with the scores."""
    found = []
    for (variant, task), runs in results.runs.items():
        for key, metrics in runs.items():
            flagged = [score for score, flag in metrics.get("degenerate", {}).items() if flag]
            if flagged:
                name = f"{variant}/{task}/pre{key[0]}-seed{key[1]}"
                found.append(f"{name} ({', '.join(flagged)})")
    return found


def zero_ends(results: Results) -> list[ZeroEnd]:
    """Zero-shot scores at the end of pre-training against chance."""
    found = []
    for model, tasks in results.asked.zeroshot.items():
        for task in tasks:
            points = results.zero_points(model, task)
            if not points:
                continue
            last = points[-1]
            seeds = [
                (key[0], interval(_only(last.sample, i))) for i, key in enumerate(last.sample.keys)
            ]
            found.append(
                ZeroEnd(
                    model, task, last.metric, last.step, last.chance, interval(last.sample), seeds
                )
            )
    return found


def _only(scored: Sample, index: int) -> Sample:
    """One run of a sample."""
    resampled = None if scored.resampled is None else scored.resampled[:, [index]]
    return replace(
        scored, keys=(scored.keys[index],), values=scored.values[[index]], resampled=resampled
    )


def probes(results: Results) -> list[dict[str, Any]]:
    """Probes of the language model by kind of knowledge: the mean over seeds at each step."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for model, seeds in results.zeroshot.items():
        for metrics in seeds.values():
            for probe in metrics.get("probes", []):
                steps = found.setdefault((model, str(probe["knowledge"])), {})
                steps.setdefault(int(probe["step"]), []).append(float(probe["value"]))
    return [
        {
            "model": model,
            "knowledge": knowledge,
            "steps": sorted(steps),
            "values": [float(np.mean(steps[step])) for step in sorted(steps)],
        }
        for (model, knowledge), steps in sorted(
            found.items(), key=lambda item: (item[0][1], item[0][0] != "transformer", item[0][0])
        )
    ]


def gates(root: Path) -> list[dict[str, Any]]:
    """The checks of the world against methods without word order or without the first text."""
    path = root / "world-gates.json"
    if not path.is_file():
        return []
    found = read_json(path)
    rows: list[dict[str, Any]] = found if isinstance(found, list) else found.get("gates", [])
    return rows


def pretraining(results: Results) -> Iterator[dict[str, Any]]:
    """The pre-training runs' own numbers."""
    for model, seeds in results.pretrained.items():
        for seed, metrics in seeds.items():
            yield {"model": model, "seed": seed, **metrics, **metrics["cost"]}
