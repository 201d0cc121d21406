"""Intervals over seeds and examples, tests of differences, effect sizes and power.

A score of several runs on the same examples varies because another pre-training, another
fine-tuning or other examples could have been drawn. `interval` estimates the variance of the
mean over runs in two parts:

* seeds: with three or more pre-training seeds, the variance of their means divided by their
  number (fine-tuning seeds are inside those means); with fewer, the pooled variance over
  fine-tuning seeds, given the pre-training. With fewer than two degrees of freedom at either
  level the interval is over the examples alone, given the seeds, and says so.
* examples: the variance of the mean over runs when the examples are resampled (bootstrap),
  less the part that differs from seed to seed, which the seeds' variance holds already.

The half-width is the root of the summed squares of the parts' half-widths, each with the t
quantile of its own degrees of freedom: sqrt(t1^2 v1 + t2^2 v2) (Banerjee 1960), which covers at
least as often as it says for any share of the two parts. Satterthwaite's single quantile is
narrower and falls short at three seeds, the plain multi-bootstrap (`multibootstrap`) more so:
docs/statistics.md has the simulation.

Two variants on the same seeds and examples are compared by the interval of their difference
(`difference`): resampling is seeded by the name of the example set, so both see the same
resamples and the comparison is paired.

References: Banerjee 1960, Sankhya 22; Sellam et al. 2022, The MultiBERTs; Satterthwaite 1946;
Holm 1979; Cohen 1988; Card et al. 2020, With Little Power Comes Great Responsibility.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import nctdtrinc, stdtrit

Floats = NDArray[np.float64]
Key = tuple[int, int]
"""A run: its pre-training seed and its fine-tuning seed."""

RESAMPLES = 10_000
FEWEST_DF = 2
"""Degrees of freedom of the seeds below which an interval is given the seeds that were run."""
GIVEN_SEEDS = "given the seeds"
"""What an interval is conditional on where too few seeds ran for a verdict."""
GIVEN_SYSTEM = "given the other system"
"""The same for a system of which there is one number: a verdict is on that system alone."""
POWER = 0.8
LEVEL = 0.05
_CHUNK = 4_000_000
_KEPT = 4_000_000
_IN_CACHE = 20_000
_SMALLEST_LOG = -600.0
_SIGNED = ("matthews", "pearson", "spearman")


@dataclass(frozen=True)
class Sample:
    """A score of several runs on the same examples.

    `values` has one percentage a run; `resampled` [resamples, runs] the same score on
    resampled examples, None where there are no predictions to resample. `n` counts examples.
    """

    keys: tuple[Key, ...]
    values: Floats
    resampled: Floats | None
    n: int
    bounds: tuple[float, float]


@dataclass(frozen=True)
class Interval:
    """A mean over runs with its 95 % interval (None where nothing can be said).

    `given` says what the interval is conditional on, empty if on nothing. `parts` are the
    variances of the mean with their degrees of freedom, `error` is the root of their sum and
    `df` Satterthwaite's degrees of freedom of it. `sd` is over runs.
    """

    value: float
    low: float | None
    high: float | None
    error: float
    df: float
    sd: float | None
    runs: int
    given: str
    parts: tuple[tuple[float, float], ...] = ()

    @property
    def half(self) -> float | None:
        """The half-width, of the wider side where a bound cuts the interval."""
        if self.low is None or self.high is None:
            return None
        return max(self.high - self.value, self.value - self.low)

    def includes(self, value: float) -> bool:
        """Whether `value` lies within the interval."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    @property
    def p_value(self) -> float:
        """Two-sided p-value of the value being 0: the level whose interval just reaches 0."""
        if self.error == 0:
            return 1.0 if self.value == 0 or self.low is None else 0.0

        def gap(log_level: float) -> float:
            return _reach(self.parts, float(np.exp(log_level))) - abs(self.value)

        if self.value == 0 or gap(_SMALLEST_LOG) <= 0:
            return 1.0 if self.value == 0 else 0.0
        return float(np.exp(brentq(gap, _SMALLEST_LOG, 0.0)))

    @property
    def verdict_given(self) -> bool:
        """Whether enough seeds ran to say more than what holds for just these seeds."""
        return self.low is not None and self.given != GIVEN_SEEDS

    def smallest(self, tests: int = 1, power: float = POWER) -> float | None:
        """The smallest true value that a two-sided test would show with this power.

        The test is at `LEVEL / tests`, Holm's first step among `tests` differences; the spread
        is the one found here. None where there is no interval.
        """
        if self.low is None or self.error == 0:
            return None
        quantile = _reach(self.parts, LEVEL / tests) / self.error
        return float(nctdtrinc(self.df, 1 - power, quantile)) * self.error


# Scores of resampled examples. ----------------------------------------------------------------


def sample(
    metric: str,
    gold: NDArray[np.generic],
    predictions: NDArray[np.generic],
    keys: Sequence[Key],
    *,
    examples: str,
    values: Sequence[float] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Sample:
    """Score runs on their examples and on resamples of them.

    Parameters
    ----------
    metric
        `accuracy`, `f1`, `macro_f1`, `matthews`, `pearson` or `spearman` (resampled by its
        ranks).
    gold, predictions
        [n] and [runs, n].
    keys
        The seeds of each run.
    examples
        The name of the example set: equal names and sizes give equal resamples.
    values
        The runs' scores where they are known; computed otherwise.
    """
    group = Group(tuple(keys), predictions, values)
    return samples(metric, gold, [group], examples=examples, resamples=resamples, seed=seed)[0]


@dataclass(frozen=True)
class Group:
    """The runs of a variant: seeds, predictions [runs, n], and scores where they are known."""

    keys: tuple[Key, ...]
    predictions: NDArray[np.generic]
    values: Sequence[float] | None = None


def samples(
    metric: str,
    gold: NDArray[np.generic],
    groups: Sequence[Group],
    *,
    examples: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Sample]:
    """`sample` for several variants on the same examples, whose resamples are drawn once."""
    stacked = np.concatenate([np.atleast_2d(group.predictions) for group in groups])
    prepared, gold, stacked = _prepare(metric, gold, stacked)
    n = len(gold)
    scores = prepared(np.ones((1, n), np.float32), gold, stacked)[0]
    parts = [prepared(w, gold, stacked) for w in _weights(examples, n, resamples, seed)]
    resampled = np.concatenate(parts) if parts else None
    made, start = [], 0
    for group in groups:
        mine = slice(start, start := start + len(group.keys))
        values = scores[mine] if group.values is None else np.asarray(group.values, np.float64)
        own = None if resampled is None else resampled[:, mine]
        made.append(Sample(group.keys, values, own, n, bounds(metric)))
    return made


def bounds(metric: str) -> tuple[float, float]:
    """The lowest and the highest value of a metric."""
    return (-100.0, 100.0) if metric in _SIGNED else (0.0, 100.0)


def constant_score(metric: str, gold: NDArray[np.generic]) -> float:
    """The best score of a constant answer: the majority, all positive, or no correlation."""
    if metric in _SIGNED:
        return 0.0
    if metric == "f1":
        share = float(np.mean(gold == 1))
        return 100 * 2 * share / (1 + share)
    if metric == "macro_f1":
        labels, counts = np.unique(gold, return_counts=True)
        most = float(counts.max()) / len(gold)
        return 100 * 2 * most / (1 + most) / len(labels)
    return 100 * float(np.unique(gold, return_counts=True)[1].max()) / len(gold)


def _weights(examples: str, n: int, resamples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """How often each example is drawn in each resample, in blocks of resamples."""
    if n * resamples <= _KEPT:
        yield _kept_weights(examples, n, resamples, seed)
        return
    rng = np.random.default_rng([seed, zlib.crc32(examples.encode())])
    block = max(1, _CHUNK // max(n, 1))
    for start in range(0, resamples, block):
        yield _draw(rng, min(block, resamples - start), n)


@lru_cache(maxsize=8)
def _kept_weights(examples: str, n: int, resamples: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([seed, zlib.crc32(examples.encode())])
    return _draw(rng, resamples, n)


def _draw(rng: np.random.Generator, rows: int, n: int) -> NDArray[np.float32]:
    counts = np.empty((rows, n), np.float32)
    step = max(1, _IN_CACHE // n)  # so many rows at once stay in the processor's cache
    for start in range(0, rows, step):
        part = counts[start : start + step]
        drawn = rng.integers(0, n, part.shape) + np.arange(len(part))[:, None] * n
        part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
    return counts


_Scorer = Callable[[NDArray[np.float32], NDArray[np.generic], NDArray[np.generic]], Floats]


def _prepare(
    metric: str, gold: NDArray[np.generic], predictions: NDArray[np.generic]
) -> tuple[_Scorer, NDArray[np.generic], NDArray[np.generic]]:
    if metric == "spearman":
        return _pearson, _ranks(gold), np.stack([_ranks(row) for row in predictions])
    scorers: dict[str, _Scorer] = {
        "accuracy": _accuracy,
        "f1": _f1,
        "macro_f1": _macro_f1,
        "matthews": _matthews,
        "pearson": _pearson,
    }
    return scorers[metric], gold, predictions


def _ranks(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Ranks, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    ranks: NDArray[np.generic] = mean_rank[inverse]
    return ranks


def _product(weights: NDArray[np.float32], values: NDArray[np.generic]) -> Floats:
    return (weights @ values.T.astype(np.float32)).astype(np.float64)


def _accuracy(
    weights: NDArray[np.float32], gold: NDArray[np.generic], predictions: NDArray[np.generic]
) -> Floats:
    return 100 * _product(weights, predictions == gold) / len(gold)


def _f1(
    weights: NDArray[np.float32], gold: NDArray[np.generic], predictions: NDArray[np.generic]
) -> Floats:
    both = _product(weights, (predictions == 1) & (gold == 1))
    total = _product(weights, predictions == 1) + _product(weights, gold[None] == 1)
    return 100 * _ratio(2 * both, total)


def _macro_f1(
    weights: NDArray[np.float32], gold: NDArray[np.generic], predictions: NDArray[np.generic]
) -> Floats:
    """The mean over the classes that a resample's labels or predictions hold."""
    total, present = np.zeros((1, 1)), np.zeros((1, 1))
    for label in np.union1d(gold, predictions):
        both = _product(weights, (predictions == label) & (gold == label))
        seen = _product(weights, predictions == label) + _product(weights, gold[None] == label)
        total, present = total + _ratio(2 * both, seen), present + (seen > 0)
    return 100 * _ratio(total, present)


def _matthews(
    weights: NDArray[np.float32], gold: NDArray[np.generic], predictions: NDArray[np.generic]
) -> Floats:
    n = len(gold)
    both = _product(weights, (predictions == 1) & (gold == 1))
    said, true = _product(weights, predictions == 1), _product(weights, gold[None] == 1)
    return 100 * _ratio(n * both - said * true, np.sqrt(said * (n - said) * true * (n - true)))


def _pearson(
    weights: NDArray[np.float32], gold: NDArray[np.generic], predictions: NDArray[np.generic]
) -> Floats:
    x = predictions.astype(np.float64)
    y = gold.astype(np.float64)[None]
    x, y = x - x.mean(1, keepdims=True), y - y.mean()
    n = len(gold)
    mean_x, mean_y = _product(weights, x) / n, _product(weights, y) / n
    covariance = _product(weights, x * y) / n - mean_x * mean_y
    var_x = np.maximum(_product(weights, x**2) / n - mean_x**2, 0)
    var_y = np.maximum(_product(weights, y**2) / n - mean_y**2, 0)
    return 100 * _ratio(covariance, np.sqrt(var_x * var_y))


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / below, 0 where below is 0 (a constant answer)."""
    out = np.zeros(np.broadcast(above, below).shape)
    return np.divide(above, below, out=out, where=below > 1e-9)


# Sums and differences of samples. -------------------------------------------------------------


def difference(first: Sample, second: Sample) -> Sample | None:
    """first - second on the seeds that both have, paired by seed and by example."""
    width = first.bounds[1] - first.bounds[0]
    return combine([first, second], [1.0, -1.0], (-width, width))


def mean(samples: Sequence[Sample]) -> Sample | None:
    """The unweighted mean of several scores (an average over tasks), by run."""
    low = float(np.mean([s.bounds[0] for s in samples]))
    high = float(np.mean([s.bounds[1] for s in samples]))
    return combine(samples, [1 / len(samples)] * len(samples), (low, high))


def combine(
    samples: Sequence[Sample], factors: Sequence[float], limits: tuple[float, float]
) -> Sample | None:
    """A linear combination on the runs that all samples have; None if they share none."""
    keys = [key for key in samples[0].keys if all(key in other.keys for other in samples[1:])]
    if not keys:
        return None
    picks = [[s.keys.index(key) for key in keys] for s in samples]
    parts = list(zip(samples, factors, picks, strict=True))
    values = sum((f * s.values[pick] for s, f, pick in parts), np.zeros(len(keys)))
    resampled: Floats | None = None
    if all(s.resampled is not None for s in samples):
        resampled = sum(
            (f * s.resampled[:, pick] for s, f, pick in parts if s.resampled is not None),
            np.zeros((1, len(keys))),
        )
    return Sample(tuple(keys), values, resampled, min(s.n for s in samples), limits)


def independent(first: Interval, second: Interval) -> Interval | None:
    """first - second of two scores that share no runs or examples; None if one has no interval."""
    if first.low is None or second.low is None:
        return None
    value, parts = first.value - second.value, (*first.parts, *second.parts)
    reach = _reach(parts, LEVEL)
    given = [each.given for each in (first, second) if each.given]
    return Interval(
        value,
        value - reach,
        value + reach,
        float(np.sqrt(sum(variance for variance, _ in parts))),
        _satterthwaite(parts),
        None,
        min(first.runs, second.runs),
        GIVEN_SEEDS if GIVEN_SEEDS in given else "; ".join(dict.fromkeys(given)),
        parts,
    )


def accuracy_of(value: float, n: int) -> Interval:
    """The interval of one system's accuracy (a percentage) of which only the n rows are known."""
    variance = value * (100 - value) / (n - 1)
    if variance == 0:  # as in `_example_variance`
        variance = 100**2 * 2 * (n + 2) / (n + 4) ** 3
    parts = ((variance, n - 1.0),)
    reach = _reach(parts, LEVEL)
    low, high = max(value - reach, 0.0), min(value + reach, 100.0)
    return Interval(value, low, high, variance**0.5, n - 1.0, None, 1, GIVEN_SYSTEM, parts)


# The interval. --------------------------------------------------------------------------------


def interval(scored: Sample, confidence: float = 0.95) -> Interval:
    """The mean over runs with its interval over seeds and examples."""
    values, runs = scored.values, len(scored.values)
    seeds, seeds_df, given = _seed_variance(scored)
    examples, shared = _example_variance(scored)
    rest = max(shared, examples - seeds)
    found = [(seeds, seeds_df), (rest, float(max(scored.n - 1, 1)))]
    parts = tuple((variance, df) for variance, df in found if variance > 0 and df > 0)
    value = float(values.mean())
    sd = float(values.std(ddof=1)) if runs > 1 else None
    if scored.resampled is None and not seeds_df:
        return Interval(value, None, None, 0.0, 1.0, sd, runs, given)
    error = float(np.sqrt(sum(variance for variance, _ in parts)))
    reach = _reach(parts, 1 - confidence)
    low = max(value - reach, scored.bounds[0])
    high = min(value + reach, scored.bounds[1])
    return Interval(value, low, high, error, _satterthwaite(parts), sd, runs, given, parts)


def multibootstrap(
    scored: Sample, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float] | None:
    """The percentile interval of Sellam et al. 2022: seeds and examples resampled together.

    For comparison: with few seeds it covers less often than it says (docs/statistics.md). None
    where there is nothing to resample.
    """
    if scored.resampled is None:
        return None
    units = scored.resampled @ _unit_means(scored.keys)
    resamples, number = units.shape
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), resamples)
    tail = 50 * (1 - confidence)
    low, high = np.percentile((units * drawn).sum(1) / number, [tail, 100 - tail])
    return float(low), float(high)


def _reach(parts: Sequence[tuple[float, float]], level: float) -> float:
    """The half-width at a level: each part's own, added in squares (Banerjee 1960)."""
    return float(np.sqrt(sum(v * stdtrit(df, level / 2) ** 2 for v, df in parts)))


def _by_pretraining(keys: Sequence[Key]) -> bool:
    """Whether pre-training seeds are the units: there are enough of them to tell their spread."""
    return len({key[0] for key in keys}) > FEWEST_DF


def _unit_means(keys: Sequence[Key]) -> Floats:
    """[runs, units]: the weights that turn runs into means by unit, a pre-training or a run."""
    if not _by_pretraining(keys):
        return np.eye(len(keys))
    names = np.array([key[0] for key in keys])
    member = (names[:, None] == np.unique(names)).astype(np.float64)
    weights: Floats = member / member.sum(0)
    return weights


def _seed_variance(scored: Sample) -> tuple[float, float, str]:
    """The seeds' variance of the mean, its degrees of freedom (0: none), what it is given."""
    keys, values = scored.keys, scored.values
    pretrainings = {key[0] for key in keys}
    if _by_pretraining(keys):
        means = values @ _unit_means(keys)
        return float(np.var(means, ddof=1)) / len(means), len(means) - 1.0, ""
    df = len(keys) - len(pretrainings)
    if df < FEWEST_DF:
        # Two seeds say nearly nothing of their spread: the interval is then over the examples.
        return 0.0, 0.0, GIVEN_SEEDS
    groups = [values[[key[0] == p for key in keys]] for p in sorted(pretrainings)]
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    plural = "s" if len(pretrainings) > 1 else ""
    return squares / df / len(keys), float(df), f"given the pre-training seed{plural}"


def _example_variance(scored: Sample) -> tuple[float, float]:
    """The examples' variance of the mean over runs: the whole, and the part all seeds share."""
    if scored.resampled is None:
        return 0.0, 0.0
    whole = float(scored.resampled.mean(1).var(ddof=1))
    if whole < 1e-12:
        # All rows score alike: resampling shows nothing, two rows of each kind are added.
        whole = 100**2 * 2 * (scored.n + 2) / (scored.n + 4) ** 3
        return whole, whole
    units = scored.resampled @ _unit_means(scored.keys)
    if units.shape[1] == 1:
        return whole, whole
    own = units - units.mean(1, keepdims=True)
    interaction = float(own.var(0, ddof=1).mean()) / (units.shape[1] - 1)
    return whole, max(whole - interaction, 0.0)


def _satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variance estimates."""
    below = sum(variance**2 / df for variance, df in parts)
    return sum(variance for variance, _ in parts) ** 2 / below if below > 0 else 1.0


# Effect sizes, and many tests. ----------------------------------------------------------------


def d_z(change: Sample) -> float | None:
    """The mean paired difference in standard deviations of the paired differences over seeds.

    Units are pre-training seeds where there are three or more, runs otherwise. None below three
    units, and where they don't differ (Cohen 1988, section 2.3.5; Lakens 2013).
    """
    units = change.values @ _unit_means(change.keys)
    if len(units) <= FEWEST_DF or (spread := float(units.std(ddof=1))) < 1e-9:
        return None
    return float(units.mean()) / spread


def cohen_h(first: float, second: float) -> float:
    """Cohen's h of two percentages of right answers: the distance of their arcsine transforms.

    0.2 is called small, 0.5 medium, 0.8 large (Cohen 1988, chapter 6).

    >>> round(cohen_h(75, 50), 3)
    0.524
    """
    arcs = [2 * np.arcsin(np.sqrt(value / 100)) for value in (first, second)]
    return float(arcs[0] - arcs[1])


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[int(index)]))
        adjusted[int(index)] = running
    return adjusted
