"""Resampled scores and intervals: against scikit-learn, scipy, hand-worked numbers, coverage."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics

from benchmarks import coverage
from gptbench.evaluation.statistics import (
    Group,
    Sample,
    cohen_h,
    constant_score,
    d_z,
    difference,
    holm,
    interval,
    mean,
    multibootstrap,
    sample,
    samples,
)

KEYS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def made(values: list[float], keys: list[tuple[int, int]], n: int = 100) -> Sample:
    """Runs with these scores and nothing to resample."""
    return Sample(tuple(keys), np.array(values), None, n, (0.0, 100.0))


def answers(metric: str, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    if metric in ("pearson", "spearman"):
        score = rng.normal(3, 1, 80)
        return score, score + rng.normal(0, 1, (2, 80))
    if metric == "macro_f1":  # the last class is rare: some resamples lack it
        gold = rng.choice(5, 80, p=[0.3, 0.3, 0.2, 0.18, 0.02])
        return gold, np.where(rng.random((2, 80)) < 0.7, gold, rng.integers(0, 4, (2, 80)))
    gold = rng.integers(0, 2, 80)
    return gold, np.where(rng.random((2, 80)) < 0.7, gold, 1 - gold)


PEERS: dict[str, Any] = {
    "accuracy": metrics.accuracy_score,
    "f1": metrics.f1_score,
    "macro_f1": lambda gold, said: metrics.f1_score(gold, said, average="macro"),
    "matthews": metrics.matthews_corrcoef,
    "pearson": lambda gold, said: stats.pearsonr(gold, said)[0],
    "spearman": lambda gold, said: stats.spearmanr(gold, said)[0],
}


@pytest.mark.parametrize("metric", PEERS)
def test_scores_agree_with_their_peers(metric: str) -> None:
    gold, said = answers(metric, np.random.default_rng(0))
    found = sample(metric, gold, said, KEYS[:2], examples="x", resamples=2)
    expected = [100 * PEERS[metric](gold, row) for row in said]
    assert found.values == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("metric", [name for name in PEERS if name != "spearman"])
def test_a_resample_is_the_score_of_the_drawn_examples(metric: str) -> None:
    gold, said = answers(metric, np.random.default_rng(1))
    found = sample(metric, gold, said, KEYS[:2], examples="name", resamples=3, seed=5)
    rng = np.random.default_rng([5, zlib.crc32(b"name")])
    for row, drawn in enumerate(rng.integers(0, 80, (3, 80))):
        expected = [100 * PEERS[metric](gold[drawn], run[drawn]) for run in said]
        assert found.resampled is not None
        assert found.resampled[row] == pytest.approx(expected, abs=1e-3)


def test_a_constant_answer_has_no_correlation() -> None:
    gold, said = answers("pearson", np.random.default_rng(0))
    for metric in ("pearson", "spearman"):
        found = sample(metric, gold, np.full_like(said, 2.7), KEYS[:2], examples="x", resamples=20)
        assert not found.values.any()
        assert found.resampled is not None
        assert not found.resampled.any()


def test_what_a_constant_answer_reaches() -> None:
    gold = np.array([1, 1, 1, 0])
    assert constant_score("accuracy", gold) == 75
    assert constant_score("f1", gold) == pytest.approx(100 * metrics.f1_score(gold, [1] * 4))
    assert constant_score("matthews", gold) == 0
    macro = metrics.f1_score([0, 1, 1, 2], [1] * 4, average="macro")
    assert constant_score("macro_f1", np.array([0, 1, 1, 2])) == pytest.approx(100 * macro)


def test_seeds_alone_by_hand() -> None:
    """Values 70, 72, 74: sd 2, standard error 2 / sqrt(3), t(2) = 4.3027."""
    found = interval(made([70, 72, 74], [(0, 0), (1, 0), (2, 0)]))
    assert found.value == 72
    assert found.sd == pytest.approx(2)
    assert found.half == pytest.approx(4.3027 * 2 / 3**0.5, abs=1e-3)
    assert found.given == ""


def test_the_pretraining_seed_is_the_unit_where_there_are_several() -> None:
    """Means 71, 76 and 81 by pre-training seed: their variance 25 over 3, t(2) = 4.3027."""
    found = interval(made([70, 72, 75, 77, 80, 82], [(p, k) for p in range(3) for k in range(2)]))
    assert found.value == 76
    assert found.error == pytest.approx((25 / 3) ** 0.5)
    assert found.df == 2
    reach = 4.3027 * (25 / 3) ** 0.5
    assert (found.low, found.high) == pytest.approx((76 - reach, 76 + reach), abs=0.01)


def test_two_seeds_give_the_interval_of_the_examples_given_the_seeds() -> None:
    gold = np.zeros(500, int)
    said = np.stack([np.arange(500) >= 400, np.arange(500) >= 350]).astype(int)
    found = interval(sample("accuracy", gold, said, KEYS[:2], examples="x", resamples=5000))
    assert found.value == 75
    assert found.given == "given the seeds"
    assert found.half is not None
    assert found.half < 5


def test_pretraining_seeds_that_happen_to_agree_do_not_hide_the_fine_tuning_seeds() -> None:
    """Means are equal, but runs differ: pooled variance 50 over 4 runs, 2 degrees of freedom."""
    found = interval(made([65, 75, 65, 75], KEYS))
    assert found.error == pytest.approx((50 / 4) ** 0.5)
    assert found.df == 2
    assert found.given == "given the pre-training seeds"


def test_one_run_has_the_examples_interval_given_its_seeds() -> None:
    """400 of 500 right: sqrt(.8 x .2 / 500) = 1.789 points; t(499) = 1.9647."""
    gold = np.zeros(500, int)
    said = (np.arange(500) >= 400).astype(int)
    found = interval(sample("accuracy", gold, said, [(0, 0)], examples="x", resamples=20_000))
    assert found.value == 80
    assert found.half == pytest.approx(1.9647 * 1.7889, rel=0.02)
    assert found.given == "given the seeds"


def with_examples(values: list[float], sd: float) -> Sample:
    """Runs, and an examples' part of exactly this standard deviation that all runs share."""
    noise = np.array([-1.0, 1.0] * 500)
    noise *= sd / noise.std(ddof=1)
    keys = tuple((seed, 0) for seed in range(len(values)))
    resampled = np.array(values)[None] + noise[:, None]
    return Sample(keys, np.array(values), resampled, 201, (-100.0, 100.0))


def test_seeds_and_examples_are_added_in_squares() -> None:
    """t(2) = 4.3027 and t(200) = 1.9719, each with its own part (Banerjee 1960)."""
    found = interval(with_examples([1, 3, 5], 1.5))
    assert found.half == pytest.approx((4.3027**2 * 4 / 3 + 1.9719**2 * 1.5**2) ** 0.5, abs=1e-3)
    assert found.error == pytest.approx((4 / 3 + 1.5**2) ** 0.5)


def test_the_p_value_is_the_level_whose_interval_reaches_0() -> None:
    scored = with_examples([4, 6, 9, 5], 0.7)
    p = interval(scored).p_value
    assert 0 < p < 0.05
    assert interval(scored, confidence=1 - p).low == pytest.approx(0, abs=1e-6)
    alone = made([4, 6, 9, 5], [(k, 0) for k in range(4)])
    assert interval(alone).p_value == pytest.approx(stats.ttest_1samp([4, 6, 9, 5], 0).pvalue)
    assert interval(made([0, 0, 0], [(k, 0) for k in range(3)])).p_value == 1


@pytest.mark.parametrize("tests", [1, 8])
def test_the_smallest_difference_is_found_four_times_in_five(tests: int) -> None:
    """Power by simulation with scipy's t-test, five seeds of standard deviation 1."""
    five = np.array([-1.0, -1, 0, 1, 1])
    five /= five.std(ddof=1)
    smallest = interval(made(list(five + 50), [(k, 0) for k in range(5)])).smallest(tests)
    assert smallest is not None
    rng = np.random.default_rng(0)
    drawn = rng.normal(smallest, 1, (20_000, 5))
    power = np.mean(stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05 / tests)
    assert power == pytest.approx(0.8, abs=4 * (0.8 * 0.2 / 20_000) ** 0.5)


def test_effect_sizes_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, sd 1. Cohen's h of 75 % and 25 %: 2 pi / 3 - pi / 3."""
    keys = [(k, 0) for k in range(3)]
    assert d_z(made([1, 2, 3], keys)) == pytest.approx(2)
    assert d_z(made([1, 1, 2, 2, 3, 3], [(p, k) for p in range(3) for k in range(2)])) == 2
    assert d_z(made([1, 2], KEYS[:2])) is None
    assert d_z(made([2, 2, 2], keys)) is None
    assert cohen_h(75, 25) == pytest.approx(np.pi / 3)


def test_the_multibootstrap_resamples_seeds_and_examples() -> None:
    """Two seeds at 0 and 10: a quarter of the draws has one of them twice."""
    pair = Sample(((0, 0), (0, 1)), np.array([0.0, 10]), np.tile([0.0, 10], (1000, 1)), 9, (0, 100))
    assert multibootstrap(pair) == (0, 10)
    low, high = multibootstrap(with_examples([5, 5, 5], 2)) or (0, 0)
    assert (low, high) == pytest.approx((3, 7), abs=0.01)
    assert multibootstrap(made([1, 2, 3], KEYS[:3])) is None


def test_variants_share_their_resamples() -> None:
    gold, said = answers("matthews", np.random.default_rng(3))
    both = samples(
        "matthews",
        gold,
        [Group(((0, 0),), said[:1]), Group(((1, 0),), said[1:], [12.0])],
        examples="x",
        resamples=50,
    )
    for index, part in enumerate(both):
        alone = sample("matthews", gold, said[index], [(index, 0)], examples="x", resamples=50)
        assert part.keys == alone.keys
        assert part.resampled is not None
        assert alone.resampled is not None
        assert np.array_equal(part.resampled, alone.resampled)
    assert both[1].values.tolist() == [12]


def test_one_run_without_predictions_has_no_interval() -> None:
    found = interval(made([80], [(0, 0)]))
    assert (found.low, found.high, found.half) == (None, None, None)


def test_all_right_is_no_proof_of_perfection() -> None:
    gold = np.ones(100, int)
    found = interval(sample("accuracy", gold, gold, [(0, 0)], examples="x"))
    assert found.high == 100
    assert found.low is not None
    assert 94 < found.low < 98.5


def test_a_paired_difference_is_narrower_than_its_parts() -> None:
    """The same wrong rows in both cancel: B has 10 of 200 more wrong, and nothing else differs."""
    gold = np.zeros(200, int)
    first = np.tile((np.arange(200) < 60).astype(int), (2, 1))
    second = np.tile((np.arange(200) < 70).astype(int), (2, 1))
    a, b = (sample("accuracy", gold, s, KEYS[:2], examples="x") for s in (first, second))
    change = difference(a, b)
    assert change is not None
    found = interval(change)
    assert found.value == pytest.approx(5)
    assert found.error == pytest.approx(100 * (0.05 * 0.95 / 200) ** 0.5, rel=0.1)
    assert found.error < interval(a).error


def test_a_difference_uses_shared_seeds_only() -> None:
    a = made([70, 80, 90], [(0, 0), (1, 0), (2, 0)])
    b = made([75, 60], [(1, 0), (3, 0)])
    change = difference(a, b)
    assert change is not None
    assert change.keys == ((1, 0),)
    assert change.values == pytest.approx([5])
    assert difference(a, made([1], [(9, 9)])) is None


def test_the_mean_of_two_sets_halves_each() -> None:
    both = mean([made([70, 80], KEYS[:2]), made([50, 40], KEYS[:2])])
    assert both is not None
    assert both.values == pytest.approx([60, 60])


def test_equal_inputs_give_equal_intervals() -> None:
    gold, said = answers("f1", np.random.default_rng(2))
    pair = [interval(sample("f1", gold, said, KEYS[:2], examples="x")) for _ in range(2)]
    assert pair[0] == pair[1]


def test_blocks_of_resamples_have_the_right_shape() -> None:
    gold = np.zeros(3001, int)
    found = sample("accuracy", gold, gold[None], [(0, 0)], examples="x", resamples=2000)
    assert found.resampled is not None
    assert found.resampled.shape == (2000, 1)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


# Coverage: benchmarks/coverage.py in small; docs/statistics.md has the whole. -----------------


@pytest.mark.parametrize("metric", coverage.METRICS)
def test_the_simulations_truth_is_that_of_many_examples(metric: str) -> None:
    """The closed forms of the true score, against scikit-learn and scipy on 90,000 examples."""
    rng = np.random.default_rng(0)
    skill = coverage.skill_of(metric, np.full((1, 1), coverage.MEAN[metric]))
    drawn = [coverage.answers(metric, skill, np.zeros((1, 1), bool), rng) for _ in range(300)]
    gold = np.concatenate([labels for labels, _ in drawn])
    said = np.concatenate([answer[0, 0] for _, answer in drawn])
    assert PEERS[metric](gold, said) == pytest.approx(coverage.MEAN[metric], abs=0.012)


def within(rate: float, stated: float, number: int) -> float:
    """How far a rate lies from what is stated, in standard errors of the simulation."""
    return float((rate - stated) / np.sqrt(stated * (1 - stated) / number))


@pytest.mark.parametrize(("size", "ratio"), [(3, 0), (3, 2), (3, 3), (5, 1), (10, 3)])
def test_coverage_and_false_positives(size: int, ratio: float) -> None:
    number = 150
    cells = []
    for index, metric in enumerate(coverage.METRICS):
        error = coverage.example_error(metric, np.random.default_rng(index))
        rng = np.random.default_rng([size, int(ratio), index])
        cells.append(
            coverage.run_cell(metric, coverage.seeds(size), (ratio * error, 0), number, rng)
        )
    assert all(within(cell.coverage, 0.93, number) > -3 for cell in cells)
    whole = float(np.mean([cell.coverage for cell in cells]))
    assert within(whole, 0.95, number * len(cells)) > -3
    false = float(np.mean([cell.false_positives for cell in cells]))
    assert within(false, 0.05, number * len(cells)) < 3
    assert within(float(np.mean(coverage.family_errors(cells))), 0.05, number // 2) < 3
    boot = float(np.mean([cell.boot_covered for cell in cells]))
    if (size, ratio) == (3, 3):  # why the plain multi-bootstrap is not the method
        assert within(boot, 0.95, number * len(cells)) < -3


@pytest.mark.parametrize(("pretrain", "finetune"), [(3, 2), (1, 5)])
def test_coverage_of_two_levels(pretrain: int, finetune: int) -> None:
    keys = coverage.seeds(pretrain, finetune)
    spread = (0.02, 0.02) if pretrain > 1 else (0.0, 0.03)
    rng = np.random.default_rng([pretrain, finetune])
    cell = coverage.run_cell("accuracy", keys, spread, 300, rng)
    assert within(cell.coverage, 0.95, 300) > -3
    assert within(cell.false_positives, 0.05, 300) < 3
