"""Scores by hand, constant predictions, ties, thresholds, degenerate runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gptbench.errors import UserError
from gptbench.evaluation.metrics import (
    METRICS,
    best_threshold,
    chance,
    degenerate,
    score,
    tie_score,
)

GOLD = [1, 1, 1, 0, 0, 1]
FOUND = [1, 1, 0, 0, 1, 1]  # tp 3, fn 1, tn 1, fp 1


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("accuracy", 100 * 4 / 6),
        ("f1", 100 * 2 * 3 / (2 * 3 + 1 + 1)),
        ("macro_f1", 100 * (2 * 3 / (2 * 3 + 1 + 1) + 2 * 1 / (2 * 1 + 1 + 1)) / 2),
        ("matthews", 100 * (3 * 1 - 1 * 1) / math.sqrt(4 * 4 * 2 * 2)),
        ("pearson", 100 * (3 * 1 - 1 * 1) / math.sqrt(4 * 4 * 2 * 2)),
    ],
)
def test_by_hand(metric: str, value: float) -> None:
    assert score(metric, GOLD, FOUND) == pytest.approx(value)


def test_correlations_by_hand() -> None:
    gold, found = [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 4.0, 9.0]
    assert score("spearman", gold, found) == pytest.approx(100)
    centred = np.asarray(found) - 3.5
    value = float(np.dot([-1.5, -0.5, 0.5, 1.5], centred) / math.sqrt(5 * np.dot(centred, centred)))
    assert score("pearson", gold, found) == pytest.approx(100 * value)


@pytest.mark.parametrize("metric", ["matthews", "pearson", "spearman"])
def test_constant_predictions_correlate_0(metric: str) -> None:
    assert score(metric, GOLD, [1] * 6) == 0
    assert score(metric, [1] * 6, FOUND) == 0
    assert score(metric, GOLD, [2.5 + 1e-9 * i for i in range(6)]) == 0


def test_no_prediction_of_the_class_is_f1_0() -> None:
    assert score("f1", GOLD, [0] * 6) == 0


def test_what_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="unknown metric"):
        score("bleu", GOLD, FOUND)
    with pytest.raises(ValueError, match="cannot be scored"):
        score("accuracy", [], [])


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_no_number_fails(metric: str) -> None:
    with pytest.raises(UserError, match="not a finite number"):
        score(metric, GOLD, [1.0, math.nan, 0.0, 1.0, 0.0, 1.0])


def test_chance() -> None:
    assert chance("accuracy", 4) == 25
    assert chance("f1", 2, 0.68) == pytest.approx(100 * 2 * 0.68 * 0.5 / 1.18)
    assert chance("macro_f1", 5) == 20
    shares = ("accuracy", "f1", "macro_f1")
    assert {chance(metric, 2) for metric in METRICS if metric not in shares} == {0}
    with pytest.raises(ValueError, match="unknown metric"):
        chance("bleu", 2)


def test_degenerate_runs_are_flagged() -> None:
    assert degenerate("accuracy", [0, 1, 1], [1, 1, 1])
    assert degenerate("matthews", GOLD, [0] * 6)
    assert degenerate("matthews", [0, 1, 0, 1], [1, 0, 1, 0])
    assert degenerate("f1", GOLD, [1, 0, 0, 1, 0, 1])
    assert degenerate("pearson", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    assert not degenerate("accuracy", [0, 1, 1, 0], [0, 1, 1, 1])
    assert not degenerate("matthews", GOLD, FOUND)
    assert not degenerate("pearson", [1.0, 2.0, 3.0], [1.0, 2.0, 2.5])


def test_ties_share_the_credit() -> None:
    assert tie_score(np.asarray([1.0, 1.0, 0.0]), 0) == 0.5
    assert tie_score(np.asarray([1.0, 1.0, 0.0]), 2) == 0
    assert tie_score(np.zeros(4), 3) == 0.25
    assert tie_score(np.asarray([-3.0, -2.0]), 1) == 1


def test_the_threshold_is_the_best_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 12, 60) / 4
    gold = (values + rng.normal(size=60) > 1.5).astype(int)
    found = best_threshold(values, gold)
    tried = [score("matthews", gold, (values > t).astype(int)) for t in np.arange(-1, 4, 0.01)]
    assert score("matthews", gold, (values > found).astype(int)) == pytest.approx(max(tried))


def test_equal_scores_or_no_signal_have_no_threshold() -> None:
    assert best_threshold([1.0, 1.0, 1.0], [0, 1, 1]) == -np.inf
    assert best_threshold([1.0, 2.0], [1, 0]) == -np.inf
    assert best_threshold([1.0, 2.0], [0, 1]) == 1.5
