"""Intervals over seeds and examples, by variance decomposition.

A score of several runs on the same examples varies because another pre-training, another
fine-tuning or other examples could have been drawn. `interval` estimates the variance of the
mean over runs from its parts:

* seeds: with several pre-training seeds, the variance of their means divided by their number
  (fine-tuning seeds are inside those means); with one, the variance over fine-tuning seeds.
  Not below what the spread of fine-tuning seeds alone gives.
  With fewer than three seeds at either level the interval is over the examples alone, given
  the seeds, and says so.
* examples: the variance of the mean over runs when the examples are resampled (bootstrap),
  less the part that differs from run to run, which the seeds' variance holds already.

The half-width is the t quantile at Satterthwaite's degrees of freedom times the square root of
the sum. Two variants on the same seeds and examples are compared by the interval of their
difference (`difference`): resampling is seeded by the name of the example set, so both see the
same resamples and the comparison is paired.

References: Sellam et al. 2022, The MultiBERTs; Satterthwaite 1946.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]
Key = tuple[int, int]
"""A run: its pre-training seed and its fine-tuning seed."""

RESAMPLES = 1000
FEWEST_DF = 2
"""Degrees of freedom of the seeds below which an interval is given the seeds that were run."""
_CHUNK = 4_000_000
_KEPT = 500_000
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

    `given` says what the interval is conditional on, empty if on nothing.
    """

    value: float
    low: float | None
    high: float | None
    error: float
    df: float
    sd: float | None
    runs: int
    given: str

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
        """Two-sided p-value of the value being 0."""
        if self.error == 0:
            return 1.0 if self.value == 0 or self.low is None else 0.0
        return float(2 * stdtr(self.df, -abs(self.value) / self.error))


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
        `accuracy`, `f1`, `matthews`, `pearson` or `spearman` (resampled by its ranks).
    gold, predictions
        [n] and [runs, n].
    keys
        The seeds of each run.
    examples
        The name of the example set: equal names and sizes give equal resamples.
    values
        The runs' scores where they are known; computed otherwise.
    """
    prepared, gold, predictions = _prepare(metric, gold, predictions)
    n = len(gold)
    if values is None:
        values = prepared(np.ones((1, n), np.float32), gold, predictions)[0].tolist()
    parts = [prepared(w, gold, predictions) for w in _weights(examples, n, resamples, seed)]
    return Sample(
        keys=tuple(keys),
        values=np.asarray(values, np.float64),
        resampled=np.concatenate(parts) if parts else None,
        n=n,
        bounds=bounds(metric),
    )


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


@lru_cache(maxsize=32)
def _kept_weights(examples: str, n: int, resamples: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([seed, zlib.crc32(examples.encode())])
    return _draw(rng, resamples, n)


def _draw(rng: np.random.Generator, rows: int, n: int) -> NDArray[np.float32]:
    drawn = rng.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float32)


_Scorer = Callable[[NDArray[np.float32], NDArray[np.generic], NDArray[np.generic]], Floats]


def _prepare(
    metric: str, gold: NDArray[np.generic], predictions: NDArray[np.generic]
) -> tuple[_Scorer, NDArray[np.generic], NDArray[np.generic]]:
    predictions = np.atleast_2d(predictions)
    if metric == "spearman":
        return _pearson, _ranks(gold), np.stack([_ranks(row) for row in predictions])
    scorers: dict[str, _Scorer] = {
        "accuracy": _accuracy,
        "f1": _f1,
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


# The interval. --------------------------------------------------------------------------------


def interval(scored: Sample, confidence: float = 0.95) -> Interval:
    """The mean over runs with its interval over seeds and examples."""
    values, runs = scored.values, len(scored.values)
    seeds, seeds_df = _seed_variance(scored)
    given = _given(scored.keys)
    if seeds_df < FEWEST_DF:
        # Two seeds say nearly nothing of their spread: the interval is then over the examples.
        seeds, seeds_df, given = 0.0, 0.0, "given the seeds"
    examples, shared = _example_variance(scored)
    variance = max(seeds + shared, examples)
    rest = variance - seeds
    df = _satterthwaite([(seeds, seeds_df), (rest, max(scored.n - 1, 1))])
    value = float(values.mean())
    sd = float(values.std(ddof=1)) if runs > 1 else None
    error = float(np.sqrt(variance))
    if scored.resampled is None and not seeds_df:
        return Interval(value, None, None, 0.0, df, sd, runs, given)
    reach = float(stdtrit(df, 0.5 + confidence / 2)) * error
    low = max(value - reach, scored.bounds[0])
    high = min(value + reach, scored.bounds[1])
    return Interval(value, low, high, error, df, sd, runs, given)


def _seed_variance(scored: Sample) -> tuple[float, float]:
    """The seeds' variance of the mean over runs, and its degrees of freedom (0: unknown)."""
    groups = [
        scored.values[[i for i, key in enumerate(scored.keys) if key[0] == pretrain_seed]]
        for pretrain_seed in sorted({key[0] for key in scored.keys})
    ]
    runs, within_df = len(scored.values), sum(len(group) - 1 for group in groups)
    within = 0.0
    if within_df:
        squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
        within = squares / within_df / runs
    if len(groups) < 2:
        return within, within_df
    between = float(np.var([group.mean() for group in groups], ddof=1)) / len(groups)
    return (between, len(groups) - 1) if between >= within else (within, within_df)


def _example_variance(scored: Sample) -> tuple[float, float]:
    """The examples' variance of the mean over runs: the whole, and the part all runs share."""
    if scored.resampled is None:
        return 0.0, 0.0
    runs = scored.resampled.shape[1]
    means = scored.resampled.mean(1)
    whole = float(means.var(ddof=1))
    if whole < 1e-12:
        # All rows score alike: resampling shows nothing, two rows of each kind are added.
        whole = 100**2 * 2 * (scored.n + 2) / (scored.n + 4) ** 3
        return whole, whole
    if runs == 1:
        return whole, whole
    own = scored.resampled - means[:, None]
    interaction = float(own.var(0, ddof=1).mean()) / (runs - 1)
    return whole, max(whole - interaction, 0.0)


def _satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variance estimates."""
    total = sum(variance for variance, _ in parts)
    below = sum(variance**2 / df for variance, df in parts if variance > 0 and df > 0)
    return total**2 / below if below > 0 else float(max((df for _, df in parts), default=1) or 1)


def _given(keys: Sequence[Key]) -> str:
    pretrain_seeds = {key[0] for key in keys}
    if len(keys) == 1:
        return "given the seeds"
    return "given the pre-training seed" if len(pretrain_seeds) == 1 else ""


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[int(index)]))
        adjusted[int(index)] = running
    return adjusted
