"""The optimizer against the released rule in plain NumPy, and the schedules' values."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from gptbench.training.optim import Adam, warmup_cosine, warmup_linear
from tests import slow_numpy as slow

SHAPES = [(4, 3), (5,), (2, 2), (3, 7)]
SCALES = [10.0, 1e-7, 1e-3, 1e-9]
"""Of the gradients: tiny ones show where epsilon is added."""
SCHEDULES = pytest.mark.parametrize(
    ("ours", "theirs"),
    [(warmup_linear, slow.warmup_linear), (warmup_cosine, slow.warmup_cosine)],
    ids=["linear", "cosine"],
)


def run(
    ours: Any, theirs: Any, warmup: float, dtype: Any, updates: int = 200, clip: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """Parameters after `updates` updates of ours in `dtype` and of the rule in float64, and before.

    With `clip` the gradients are clipped to that global norm first.
    """
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype(dtype) for shape in SHAPES]
    parameters = [torch.nn.Parameter(torch.tensor(p)) for p in start]
    adam = Adam(parameters, 0.01, partial(ours, warmup=warmup), updates, 0.1)
    rule = slow.Adam([p.astype(np.float64) for p in start], 0.01, theirs, warmup, updates, 0.1)
    for _ in range(updates):
        found = [
            (scale * rng.normal(size=shape)).astype(dtype)
            for scale, shape in zip(SCALES, SHAPES, strict=True)
        ]
        for parameter, g in zip(parameters, found, strict=True):
            parameter.grad = torch.tensor(g)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
            found = slow.clip([g.astype(np.float64) for g in found], clip)
        rule.step([g.astype(np.float64) for g in found])
        adam.step()
    return [p.detach().numpy() for p in parameters], rule.arrays, start


@SCHEDULES
@pytest.mark.parametrize("warmup", [0.002, 0.1])
def test_the_released_rule_over_200_updates(ours: Any, theirs: Any, warmup: float) -> None:
    """In float64 to 1e-12, far below the 1e-6 that would do."""
    found, expected, start = run(ours, theirs, warmup, np.float64)
    for one, other, before in zip(found, expected, start, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
        assert np.abs(other - before).max() > 0.01


@SCHEDULES
def test_the_released_rule_in_float32(ours: Any, theirs: Any) -> None:
    """Ours in float32 against the rule in float64: within 5e-6 after 200 updates.

    Weights are of the order of 1, so one rounding is 6e-8 and 200 of them at most 1.2e-5.
    """
    found, expected, _ = run(ours, theirs, 0.1, np.float32)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-6)


def test_clipping_is_the_released_one() -> None:
    """torch divides by norm + 1e-6, the released code by the norm: 1e-6 of a gradient at most."""
    found, expected, _ = run(warmup_linear, slow.warmup_linear, 0.1, np.float64, clip=1.0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_another_place_of_epsilon_is_seen() -> None:
    """torch's own AdamW adds epsilon to the corrected root: that is another rule here."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(4, 3))
    parameter = torch.nn.Parameter(torch.tensor(start))
    plain = torch.optim.AdamW([parameter], 0.01, eps=1e-8, weight_decay=0.0)
    rule = slow.Adam([start], 0.01, lambda x, _: 1.0, 0.0, 20, 0.0)
    for _ in range(20):
        g = 1e-7 * rng.normal(size=(4, 3))
        parameter.grad = torch.tensor(g)
        plain.step()
        rule.step([g])
    assert np.abs(parameter.detach().numpy() - rule.arrays[0]).max() > 1e-3


def test_the_first_update_has_rate_0() -> None:
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    adam = Adam([parameter], 0.1, partial(warmup_linear, warmup=0.5), 10, 0.01)
    parameter.grad = torch.ones(2, 2)
    adam.step()
    assert torch.equal(parameter, torch.ones(2, 2))
    adam.step()
    assert not torch.equal(parameter, torch.ones(2, 2))


def test_state_goes_on_exactly() -> None:
    def run(adam: Any, parameter: Any, begin: int, end: int) -> None:
        for i in range(begin, end):
            parameter.grad = torch.full((3, 2), float(i + 1)).cos()
            adam.step()

    def fresh(value: torch.Tensor) -> tuple[Any, Any]:
        parameter = torch.nn.Parameter(value.clone())
        return Adam([parameter], 0.1, partial(warmup_cosine, warmup=0.1), 10, 0.01), parameter

    whole, one = fresh(torch.ones(3, 2))
    run(whole, one, 0, 10)
    first, two = fresh(torch.ones(3, 2))
    run(first, two, 0, 4)
    second, three = fresh(two.detach())
    second.load_state_dict(first.state_dict())
    assert second.updates == 4
    run(second, three, 4, 10)
    assert torch.equal(one, three)


@pytest.mark.parametrize(
    ("schedule", "x", "warmup", "value"),
    [
        (warmup_linear, 0.0, 0.002, 0.0),
        (warmup_linear, 0.001, 0.002, 0.5 * 0.999),
        (warmup_linear, 0.002, 0.002, 0.998),
        (warmup_linear, 0.5, 0.002, 0.5),
        (warmup_linear, 1.0, 0.002, 0.0),
        (warmup_linear, 0.0, 0.0, 1.0),
        (warmup_cosine, 0.0, 0.1, 0.0),
        (warmup_cosine, 0.05, 0.1, 0.5),
        (warmup_cosine, 0.1, 0.1, 1.0),
        (warmup_cosine, 0.25, 0.1, (1 + math.cos(math.pi / 4)) / 2),
        (warmup_cosine, 0.5, 0.1, 0.5),
        (warmup_cosine, 1.0, 0.1, 0.0),
        (warmup_cosine, 0.0, 0.0, 1.0),
    ],
)
def test_schedules(schedule: Any, x: float, warmup: float, value: float) -> None:
    assert schedule(x, warmup) == pytest.approx(value, abs=1e-12)
