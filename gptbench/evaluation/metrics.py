"""Scores as percentages, chance, and what makes a run degenerate."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn import metrics as sk

from gptbench.errors import UserError

Values = Sequence[float] | npt.NDArray[Any]

_CORRELATIONS = ("matthews", "pearson", "spearman")


def _constant(values: npt.NDArray[Any]) -> bool:
    """All the same, up to rounding."""
    return len(values) == 0 or float(np.ptp(values)) <= 1e-6 * max(1.0, float(abs(values[0])))


def _finite(values: npt.NDArray[Any]) -> bool:
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def _accuracy(gold: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
    return float(np.mean(gold == prediction))


def _f1(gold: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
    return float(sk.f1_score(gold, prediction, pos_label=1, average="binary", zero_division=0))


def _macro_f1(gold: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
    return float(sk.f1_score(gold, prediction, average="macro", zero_division=0))


def _matthews(gold: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
    return float(sk.matthews_corrcoef(gold, prediction))


def _pearson(gold: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
    return float(stats.pearsonr(gold, prediction).statistic)


def _spearman(gold: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
    return float(stats.spearmanr(gold, prediction).statistic)


METRICS: dict[str, Callable[[npt.NDArray[Any], npt.NDArray[Any]], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}


def score(metric: str, gold: Values, prediction: Values) -> float:
    """A score as a percentage.

    `f1` is of class 1, `macro_f1` the mean over the classes that occur. A correlation with
    something constant is 0, never NaN. Raises ValueError for an unknown metric, or lengths that
    differ or are 0, and `UserError` where a label, a prediction or the score is not a finite
    number: a failed metric is a failed job.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric}; there are {', '.join(METRICS)}")
    one, two = np.asarray(gold), np.asarray(prediction)
    if len(one) != len(two) or not len(one):
        raise ValueError(f"{len(one)} labels and {len(two)} predictions cannot be scored")
    if not (_finite(one) and _finite(two)):
        raise UserError(f"{metric}: a label or a prediction is not a finite number")
    if metric in _CORRELATIONS and (_constant(one) or _constant(two)):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = 100 * METRICS[metric](one, two)
    if not np.isfinite(value):
        raise UserError(f"{metric}: the score is not a finite number")
    return value


def chance(metric: str, classes: int, positives: float = 0.5) -> float:
    """What guessing evenly among `classes` scores, as a percentage.

    F1 depends on the share of positives as well: precision is that share, recall one half. The
    mean F1 (`macro_f1`) is given for classes of one size.
    """
    if metric in ("accuracy", "macro_f1"):
        return 100 / classes
    if metric == "f1":
        return 100 * 2 * positives * 0.5 / (positives + 0.5)
    if metric in _CORRELATIONS:
        return 0.0
    raise ValueError(f"unknown metric {metric}; there are {', '.join(METRICS)}")


def degenerate(metric: str, gold: Values, prediction: Values) -> bool:
    """Whether a run has learned nothing: a run to flag, not a number to average.

    That is a constant prediction; a correlation of 0 or less; an accuracy (for F1 as well) not
    above the share of the most frequent label.
    """
    one, two = np.asarray(gold), np.asarray(prediction)
    if _constant(two):
        return True
    if metric in _CORRELATIONS:
        return score(metric, one, two) <= 0
    _, counts = np.unique(one, return_counts=True)
    return bool(score("accuracy", one, two) <= 100 * int(counts.max()) / len(one))


def best_threshold(scores: Values, gold: Values) -> float:
    """The threshold above which class 1 is predicted, with the highest Matthews correlation.

    Candidates lie half-way between neighbouring scores, and below all of them (everything is
    class 1, which is also the answer when all scores are the same). Of equals the lowest is taken.
    """
    values, labels = np.asarray(scores, np.float64), np.asarray(gold)
    order = np.argsort(values, kind="stable")
    values, positive = values[order], (labels[order] == 1).astype(np.float64)
    cut = np.flatnonzero(np.diff(values) > 0)  # scores up to here are class 0
    if not len(cut):
        return -np.inf
    below_true, below = np.cumsum(positive)[cut], cut + 1.0
    p, n = positive.sum(), float(len(values))
    tp, fn = p - below_true, below_true
    fp, tn = n - below - tp, below - fn
    spread = np.sqrt(p * (n - p) * below * (n - below))
    correlation = (tp * tn - fp * fn) / np.where(spread > 0, spread, np.inf)
    best = int(np.argmax(correlation))
    if correlation[best] <= 0:
        return -np.inf
    return float((values[cut[best]] + values[cut[best] + 1]) / 2)


def tie_score(candidates: npt.NDArray[np.float64], gold: int, tolerance: float = 1e-6) -> float:
    """Expected accuracy of taking the best candidate: 1/k where k are tied and gold is one."""
    best = candidates >= candidates.max() - tolerance
    return float(best[gold] / best.sum())
