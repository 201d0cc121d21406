"""The optimizer against its rule in NumPy, and the schedules' values."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from gptbench.training.optim import Adam, warmup_cosine, warmup_linear


def test_the_released_rule_over_200_updates() -> None:
    rng = np.random.default_rng(0)
    shapes = [(4, 3), (5,), (2, 2)]
    start = [rng.normal(size=shape) for shape in shapes]
    scale = [10.0, 1e-7, 1e-3]  # tiny gradients show where eps is added
    schedule = partial(warmup_linear, warmup=0.1)
    parameters = [torch.nn.Parameter(torch.tensor(p)) for p in start]
    adam = Adam(parameters, 0.01, schedule, 200, 0.1)
    values = [p.copy() for p in start]
    m = [np.zeros(shape) for shape in shapes]
    v = [np.zeros(shape) for shape in shapes]
    for t in range(1, 201):
        lrt = 0.01 * schedule((t - 1) / 200) * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for i, shape in enumerate(shapes):
            g = scale[i] * rng.normal(size=shape)
            parameters[i].grad = torch.tensor(g)
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g * g
            decay = 0.1 if len(shape) > 1 else 0.0
            values[i] = values[i] - lrt * (m[i] / (np.sqrt(v[i]) + 1e-8) + decay * values[i])
        adam.step()
    for parameter, value in zip(parameters, values, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=1e-9, atol=1e-12)


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
