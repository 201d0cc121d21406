"""Do the intervals hold what they say? A simulation with known truth.

    python -m benchmarks.coverage [--replications N] [--out FILE]   (about three minutes)

Runs are drawn from a known population: a seed's true score is normal around the mean, with a
standard deviation of 0 to 3 times the example error (the standard deviation of one run's score
over draws of the examples), and its answers to the examples depend on the example's difficulty,
which all runs share, on what the runs of a variant share, and on the run alone. Two variants have
the same mean, share seeds in part and answer the same examples, so every difference that is found
between them is a false positive. Everything goes through `gptbench.evaluation.statistics` as the
report calls it.

Writes the tables of docs/statistics.md and docs/ko/statistics.md (between the markers) and prints
them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gptbench.evaluation import statistics
from gptbench.evaluation.statistics import Group, Key, Sample

Floats = NDArray[np.float64]

EXAMPLES, RESAMPLES, REPLICATIONS = 300, 400, 2000
METRICS = ("accuracy", "f1", "matthews", "pearson")
SEEDS = (3, 5, 10)
RATIOS = (0.0, 0.5, 1.0, 2.0, 3.0)
MEAN = {"accuracy": 0.70, "f1": 0.75, "matthews": 0.40, "pearson": 0.75}
POSITIVES = {"accuracy": 0.5, "f1": 0.65, "matthews": 0.65}
SHARED_SEED, SHARED_EXAMPLES, SHARED_VARIANT = 0.3, 0.5, 0.2
"""Shares of variance: seeds, both variants; answers, all runs; answers, a variant's runs."""
FAMILY = 8
FAILED = 0.15
_GRID = np.linspace(-1, 6, 2_001)
_NAMES = 8
MARKS = ("<!-- coverage: begin -->", "<!-- coverage: end -->")


def true_score(metric: str, skill: Floats) -> Floats:
    """The score on endless examples at a skill: closed forms of the normal model."""
    hit: Floats = ndtr(skill)
    false: Floats = ndtr(-skill)
    if metric == "pearson":
        return skill
    if metric == "accuracy":
        return hit
    share = POSITIVES[metric]
    said = share * hit + (1 - share) * false
    f1: Floats = 2 * share * hit / (said + share)
    if metric == "f1":
        return f1
    spread = np.sqrt(share * (1 - share) * said * (1 - said))
    matthews: Floats = (share * hit - share * said) / spread
    return matthews


def skill_of(metric: str, score: Floats) -> Floats:
    """The skill at which the true score is `score`."""
    if metric == "pearson":
        return np.clip(score, -0.999, 0.999)
    return np.interp(score, _grid_scores(metric), _GRID)


@cache
def _grid_scores(metric: str) -> Floats:
    return true_score(metric, _GRID)


def answers(
    metric: str, skill: Floats, failed: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Labels [n] and answers [variants, runs, n] of runs with these skills [variants, runs].

    A failed run answers 1 to everything; a failed regression answers with noise.
    """
    variants, runs = skill.shape
    own = 1 - SHARED_EXAMPLES - SHARED_VARIANT
    luck = (
        SHARED_EXAMPLES**0.5 * rng.standard_normal(EXAMPLES, np.float32)
        + SHARED_VARIANT**0.5 * rng.standard_normal((variants, 1, EXAMPLES), np.float32)
        + own**0.5 * rng.standard_normal((variants, runs, EXAMPLES), np.float32)
    )
    if metric == "pearson":
        gold = rng.standard_normal(EXAMPLES)
        skill = np.where(failed, 0, skill)[..., None]
        return gold, skill * gold + np.sqrt(1 - skill**2) * luck
    labels = (rng.random(EXAMPLES) < POSITIVES[metric]).astype(np.int64)
    said = ((2 * labels - 1) * skill[..., None] + luck > 0).astype(np.int64)
    return labels, np.where(failed[..., None], 1, said)


def failed_score(metric: str) -> float:
    """The true score of a failed run."""
    if metric in ("matthews", "pearson"):
        return 0.0
    share = POSITIVES[metric]
    return share if metric == "accuracy" else 2 * share / (1 + share)


def example_error(metric: str, rng: np.random.Generator) -> float:
    """The standard deviation of one run's score over draws of the examples (a share, not %)."""
    skill = skill_of(metric, np.full((1, 500), MEAN[metric]))
    intact = np.zeros((1, 1), bool)
    scores = []
    for one in skill[0]:
        gold, said = answers(metric, np.full((1, 1), one), intact, rng)
        (scored,) = statistics.samples(
            metric, gold, [Group(((0, 0),), said[0])], examples="", resamples=1
        )
        scores.append(scored.values[0])
    return float(np.std(scores, ddof=1)) / 100


@dataclass
class Cell:
    """What was found in a cell's replications."""

    covered: list[bool] = field(default_factory=list)
    half: list[float] = field(default_factory=list)
    p_values: list[float] = field(default_factory=list)
    boot_covered: list[bool] = field(default_factory=list)
    boot_half: list[float] = field(default_factory=list)
    boot_false: list[bool] = field(default_factory=list)

    @property
    def coverage(self) -> float:
        """The share of intervals that hold the true mean."""
        return float(np.mean(self.covered))

    @property
    def false_positives(self) -> float:
        """The share of differences between equals with p < 0.05."""
        return float(np.mean(np.array(self.p_values) < 0.05))


def replications(
    metric: str,
    keys: Sequence[Key],
    spread: tuple[float, float],
    number: int,
    rng: np.random.Generator,
    failing: float = 0.0,
) -> Iterator[tuple[Sample, Sample]]:
    """Pairs of variants with the same true mean, drawn anew each time.

    `spread` are the standard deviations of pre-training and of fine-tuning seeds (shares).
    """
    pretrainings = np.unique([key[0] for key in keys], return_inverse=True)[1]
    groups = int(pretrainings.max()) + 1
    for index in range(number):
        effects = []
        for size in (groups, len(keys)):
            shared, own = rng.standard_normal((1, size)), rng.standard_normal((2, size))
            effects.append(SHARED_SEED**0.5 * shared + (1 - SHARED_SEED) ** 0.5 * own)
        score = MEAN[metric] + spread[0] * effects[0][:, pretrainings] + spread[1] * effects[1]
        failed = rng.random((2, len(keys))) < failing
        gold, said = answers(metric, skill_of(metric, score), failed, rng)
        first, second = statistics.samples(
            metric,
            gold,
            [Group(tuple(keys), variant) for variant in said],
            examples=str(index % _NAMES),
            resamples=RESAMPLES,
        )
        yield first, second


def run_cell(
    metric: str,
    keys: Sequence[Key],
    spread: tuple[float, float],
    number: int,
    rng: np.random.Generator,
    failing: float = 0.0,
) -> Cell:
    """Intervals, tests and the plain multi-bootstrap on `number` replications."""
    truth = 100 * ((1 - failing) * MEAN[metric] + failing * failed_score(metric))
    cell = Cell()
    for first, second in replications(metric, keys, spread, number, rng, failing):
        found = statistics.interval(first)
        change = statistics.difference(first, second)
        assert change is not None
        assert found.low is not None
        assert found.high is not None
        cell.covered.append(found.includes(truth))
        cell.half.append((found.high - found.low) / 2)
        cell.p_values.append(statistics.interval(change).p_value)
        boot, changed = statistics.multibootstrap(first), statistics.multibootstrap(change)
        assert boot is not None
        assert changed is not None
        cell.boot_covered.append(boot[0] <= truth <= boot[1])
        cell.boot_half.append((boot[1] - boot[0]) / 2)
        cell.boot_false.append(changed[0] > 0 or changed[1] < 0)
    return cell


def family_errors(cells: Sequence[Cell]) -> list[bool]:
    """Whether a family of `FAMILY` tests, from all cells in equal parts, has a false verdict."""
    each = FAMILY // len(cells)
    p_values = [np.array(cell.p_values) for cell in cells]
    families = min(len(values) for values in p_values) // each
    made = np.concatenate([p[: families * each].reshape(families, each) for p in p_values], axis=1)
    return [min(statistics.holm(family.tolist())) < 0.05 for family in made]


def seeds(number: int, each: int = 1) -> list[Key]:
    """`number` pre-training seeds with `each` fine-tuning seeds."""
    return [(p, k) for p in range(number) for k in range(each)]


def tables(number: int) -> Iterator[str]:
    """The tables as Markdown lines."""
    errors = {m: example_error(m, np.random.default_rng([1, i])) for i, m in enumerate(METRICS)}
    yield (
        "Example error (one run, in points): "
        + ", ".join(f"{m} {100 * error:.2f}" for m, error in errors.items())
        + "."
    )
    yield ""
    yield (
        "| seeds | seed sd / example error | metric | coverage % | half-width | false positives %"
        " | multi-bootstrap: coverage % | half-width | false positives % |"
    )
    yield "| --: | --: | --- | --: | --: | --: | --: | --: | --: |"
    families: dict[tuple[int, float], list[bool]] = {}
    for size in SEEDS:
        for ratio in RATIOS:
            made = []
            for i, metric in enumerate(METRICS):
                rng = np.random.default_rng([2, size, int(10 * ratio), i])
                cell = run_cell(metric, seeds(size), (ratio * errors[metric], 0), number, rng)
                made.append(cell)
                yield f"| {size} | {ratio:g} | {metric} | {_row(cell)} |"
            families[size, ratio] = family_errors(made)
    yield ""
    yield f"Family-wise error under Holm, {FAMILY} tests (two of each metric), in %:"
    yield ""
    yield "| seeds | " + " | ".join(f"ratio {r:g}" for r in RATIOS) + " | all | families |"
    yield "| --: |" + " --: |" * (len(RATIOS) + 2)
    for size in SEEDS:
        rates = [families[size, ratio] for ratio in RATIOS]
        whole = [error for rate in rates for error in rate]
        shown = [f"{100 * np.mean(rate):.1f}" for rate in [*rates, whole]]
        yield f"| {size} | {' | '.join(shown)} | {len(whole):,} |"
    yield ""
    yield (
        "Several fine-tuning seeds a pre-training seed (accuracy; sd of pre-training seeds, of"
        " fine-tuning seeds, in example errors):"
    )
    yield ""
    yield (
        "| pre-training x fine-tuning seeds | sd | coverage % | half-width | false positives %"
        " | multi-bootstrap: coverage % | half-width | false positives % |"
    )
    yield "| --- | --- | --: | --: | --: | --: | --: | --: |"
    for pre, fine, one, two in ((3, 2, 1, 1), (5, 2, 1, 1), (3, 3, 0, 2), (5, 2, 2, 0.5)):
        rng = np.random.default_rng([3, pre, fine, int(10 * one), int(10 * two)])
        error = errors["accuracy"]
        cell = run_cell("accuracy", seeds(pre, fine), (one * error, two * error), number, rng)
        yield f"| {pre} x {fine} | {one:g}, {two:g} | {_row(cell)} |"
    yield ""
    yield (
        f"With {100 * FAILED:.0f} % failed runs (constant answers; seed sd one example error)."
        " The mean over runs, failed ones included, is then no normal variable: printed, no"
        " promise made."
    )
    yield ""
    yield (
        "| seeds | metric | coverage % | half-width | false positives %"
        " | multi-bootstrap: coverage % | half-width | false positives % |"
    )
    yield "| --: | --- | --: | --: | --: | --: | --: | --: |"
    for size in SEEDS:
        for i, metric in enumerate(METRICS):
            rng = np.random.default_rng([4, size, i])
            cell = run_cell(metric, seeds(size), (errors[metric], 0), number, rng, FAILED)
            yield f"| {size} | {metric} | {_row(cell)} |"


def _row(cell: Cell) -> str:
    return (
        f"{100 * cell.coverage:.1f} | {np.mean(cell.half):.1f} | {100 * cell.false_positives:.1f}"
        f" | {100 * np.mean(cell.boot_covered):.1f} | {np.mean(cell.boot_half):.1f}"
        f" | {100 * np.mean(cell.boot_false):.1f}"
    )


def main() -> None:
    """Run the simulation and write its tables into the document, in both languages."""
    docs = Path(__file__).parent.parent / "docs"
    pages = [docs / "statistics.md", docs / "ko" / "statistics.md"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=REPLICATIONS)
    parser.add_argument("--out", type=Path, nargs="+", default=pages)
    options = parser.parse_args()
    start = time.process_time()
    lines = []
    for line in tables(options.replications):
        print(line, flush=True)
        lines.append(line)
    for page in options.out:
        text = page.read_text("utf-8")
        before, rest = text.split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        made = "\n".join([before + MARKS[0], "", *lines, "", MARKS[1] + after])
        page.write_text(made, "utf-8")
    written = ", ".join(str(page) for page in options.out)
    print(f"{time.process_time() - start:.0f} s of one core; written to {written}")


if __name__ == "__main__":
    main()
