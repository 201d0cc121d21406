"""Adam as in the paper's released code, and its learning rate schedules.

With gradient g at the t-th update (t from 1), schedule s and peak rate lr:

    m = b1 m + (1 - b1) g              v = b2 v + (1 - b2) g^2
    lrt = lr s sqrt(1 - b2^t) / (1 - b1^t)
    p = p - lrt (m / (sqrt(v) + eps) + decay p)

The bias correction is folded into the step size, so eps is added to the uncorrected sqrt(v), and
the decoupled decay (Loshchilov and Hutter 2017) is scaled by correction and schedule too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

Schedule = Callable[[float], float]


def warmup_cosine(x: float, warmup: float) -> float:
    """Share of the peak rate at `x` = step / total (pre-training, section 4.1).

    x / warmup up to x = warmup; after it (1 + cos(pi x)) / 2, not re-based.
    """
    return x / warmup if x <= warmup and warmup else (1 + math.cos(math.pi * x)) / 2


def warmup_linear(x: float, warmup: float) -> float:
    """Share of the peak rate at `x` = step / total (fine-tuning, section 4.1).

    (x / warmup) (1 - x) up to x = warmup; after it 1 - x.
    """
    return (x / warmup if x <= warmup and warmup else 1.0) * (1 - x)


class Adam(torch.optim.AdamW):
    """The rule above, on torch's fused AdamW.

    That one computes p - rate (decay p + (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)). With
    c = sqrt(1 - b2^t) it is the released rule if it is given eps / c, and decay c / (1 - b1^t).

    Parameters
    ----------
    parameters : those with two dimensions or more are decayed.
    lr : the peak rate.
    schedule : share of the peak rate for x = step / `total`, steps counted from 0.
    total : number of updates.
    decay : decoupled weight decay.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        schedule: Schedule,
        total: int,
        decay: float,
    ) -> None:
        every = list(parameters)
        groups = [
            {"params": [p for p in every if p.dim() >= 2], "released_decay": decay},
            {"params": [p for p in every if p.dim() < 2], "released_decay": 0.0},
        ]
        super().__init__(
            [group for group in groups if group["params"]],
            lr=lr,
            betas=(BETA1, BETA2),
            eps=EPSILON,
            weight_decay=0.0,
            fused=True,
        )
        self.peak, self.schedule, self.total = lr, schedule, total

    @property
    def updates(self) -> int:
        """Updates made so far (part of the state that is saved)."""
        return int(self.param_groups[0].get("updates", 0))

    def rate(self) -> float:
        """The rate of the next update, without the bias correction."""
        return self.peak * self.schedule(self.updates / self.total)

    def step(self, closure: Any = None) -> Any:
        """One update, after `closure` (if given) has made the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        rate, t = self.rate(), self.updates + 1
        correction = math.sqrt(1 - BETA2**t)
        for group in self.param_groups:
            group["lr"] = rate
            group["eps"] = EPSILON / correction
            group["weight_decay"] = group["released_decay"] * correction / (1 - BETA1**t)
            group["updates"] = t
        super().step()
        return loss
