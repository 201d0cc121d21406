"""The paper's model, objectives and update rule again, in plain NumPy with loops.

Written from the paper's equations and its released code's facts; nothing of gptbench is used. Slow
on purpose: one sequence, one head, one position, one token at a time, in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]


def log_softmax(x: Array) -> Array:
    """log(exp(x_i) / sum_j exp(x_j)) of a vector."""
    shifted = x - x.max()
    out: Array = shifted - math.log(sum(math.exp(value) for value in shifted))
    return out


def layer_norm(x: Array, gain: Array, bias: Array) -> Array:
    """LayerNorm of a vector, epsilon 1e-5."""
    mean = sum(x) / len(x)
    variance = sum((value - mean) ** 2 for value in x) / len(x)
    out: Array = gain * (x - mean) / math.sqrt(variance + 1e-5) + bias
    return out


def gelu(x: Array) -> Array:
    """The tanh form of the released code."""
    out: Array = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return out


def gpt(w: Weights, ids: Sequence[int], layers: int, heads: int) -> list[Array]:
    """h_n of each token of one sequence, equation 2; weights are [out, in]."""
    h = [w["tokens"][token] + w["positions"][place] for place, token in enumerate(ids)]
    for layer in range(layers):
        b = {
            name.removeprefix(f"blocks.{layer}."): value
            for name, value in w.items()
            if name.startswith(f"blocks.{layer}.")
        }
        width = len(h[0])
        size = width // heads
        joint = [b["attn.qkv.weight"] @ x + b["attn.qkv.bias"] for x in h]
        after = []
        for i, x in enumerate(h):
            mixed = np.zeros(width)
            for head in range(heads):
                at = slice(head * size, (head + 1) * size)
                query = joint[i][:width][at]
                keys = [joint[j][width : 2 * width][at] for j in range(len(h))]
                # Masked scores get -1e9 as in the released code.
                scores = [
                    query @ key / math.sqrt(size) if j <= i else -1e9 for j, key in enumerate(keys)
                ]
                chances = np.exp(log_softmax(np.asarray(scores)))
                for j in range(len(h)):
                    mixed[at] += chances[j] * joint[j][2 * width :][at]
            a = b["attn.proj.weight"] @ mixed + b["attn.proj.bias"]
            n = layer_norm(x + a, b["ln_1.weight"], b["ln_1.bias"])
            inner = gelu(b["mlp.fc.weight"] @ n + b["mlp.fc.bias"])
            m = b["mlp.proj.weight"] @ inner + b["mlp.proj.bias"]
            after.append(layer_norm(n + m, b["ln_2.weight"], b["ln_2.bias"]))
        h = after
    return h


def lstm(w: Weights, ids: Sequence[int]) -> list[Array]:
    """The state of each token, Hochreiter and Schmidhuber's cell with a forget gate, projected."""
    units = w["proj.weight"].shape[1]
    hidden, cell = np.zeros(units), np.zeros(units)
    out = []
    for token in ids:
        gates = w["lstm.weight_ih_l0"] @ w["tokens"][token] + w["lstm.bias_ih_l0"]
        gates = gates + w["lstm.weight_hh_l0"] @ hidden + w["lstm.bias_hh_l0"]
        enter, keep, new, leave = gates.reshape(4, units)
        cell = cell / (1 + np.exp(-keep)) + np.tanh(new) / (1 + np.exp(-enter))
        hidden = np.tanh(cell) / (1 + np.exp(-leave))
        out.append(w["proj.weight"] @ hidden + w["proj.bias"])
    return out


def l1(states: Sequence[Array], table: Array, ids: Sequence[int], skip: int | None = None) -> float:
    """Mean log P(u_i | those before) of one sequence's tokens but the first (equation 1).

    With `skip`, tokens from that id on are neither predicted nor in the softmax.
    """
    rows = table[:skip]
    found = [
        float(log_softmax(rows @ states[i - 1])[ids[i]])
        for i in range(1, len(ids))
        if ids[i] < len(rows)
    ]
    return sum(found) / len(found)


def l2(logits: Array, label: int) -> float:
    """log P(y | x) of one example (equations 3 and 4)."""
    return float(log_softmax(logits)[label])


def l2_of_score(logits: Array, score: float) -> float:
    """The same for a score, a distribution over whole numbers from 0 (Tai et al. 2015)."""
    below = math.floor(score)
    target = np.zeros(len(logits))
    target[below] = below - score + 1
    if score > below:
        target[below + 1] = score - below
    return float(target @ log_softmax(logits))


def l3(classes: float, language: float, lm_coef: float) -> float:
    """L2 + lambda L1 (equation 5)."""
    return classes + lm_coef * language


def classify(states: Sequence[Sequence[Array]], form: str, weight: Array, bias: Array) -> Array:
    """Logits of one example from the states of its sequences; the last of each is `classify`."""
    last = [sequence[-1] for sequence in states]
    if form == "choice":
        return np.asarray([float(weight[0] @ state + bias[0]) for state in last])
    state = last[0] + last[1] if form == "similarity" else last[0]
    out: Array = weight @ state + bias
    return out


# The released optimizer. ---------------------------------------------------------------------


def warmup_linear(x: float, warmup: float) -> float:
    """Share of the peak rate at x = step / total, fine-tuning."""
    s = float(x <= warmup)
    return (s * (x / warmup) + (1 - s)) * (1 - x)


def warmup_cosine(x: float, warmup: float) -> float:
    """Share of the peak rate at x = step / total, pre-training."""
    s = float(x <= warmup)
    return s * (x / warmup) + (1 - s) * (0.5 * (1 + math.cos(math.pi * x)))


def clip(gradients: Sequence[Array], limit: float) -> list[Array]:
    """All gradients scaled so that their global norm is at most `limit`."""
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    return [g * limit / max(norm, limit) for g in gradients]


class Adam:
    """The released `adam`: one `step` an update, on arrays in the precision that they have."""

    def __init__(
        self,
        arrays: Sequence[npt.NDArray[Any]],
        lr: float,
        schedule: Callable[[float, float], float],
        warmup: float,
        total: int,
        l2: float,
    ) -> None:
        self.arrays = [array.copy() for array in arrays]
        self.m = [np.zeros_like(array) for array in arrays]
        self.v = [np.zeros_like(array) for array in arrays]
        self.lr, self.schedule, self.warmup, self.total, self.l2 = lr, schedule, warmup, total, l2
        self.t = 0

    def step(self, gradients: Sequence[npt.NDArray[Any]]) -> None:
        """One update."""
        b1, b2, e = 0.9, 0.999, 1e-8
        tt = self.t + 1
        lrt = self.lr * math.sqrt(1 - b2**tt) / (1 - b1**tt)
        lrt *= self.schedule(self.t / self.total, self.warmup)
        self.t = tt
        for i, g in enumerate(gradients):
            p = self.arrays[i]
            self.m[i] = b1 * self.m[i] + (1 - b1) * g
            self.v[i] = b2 * self.v[i] + (1 - b2) * g * g
            change = self.m[i] / (np.sqrt(self.v[i]) + e)
            if p.ndim > 1:
                change = change + self.l2 * p
            self.arrays[i] = p - lrt * change


def rnn(w: Weights, ids: Sequence[int]) -> list[Array]:
    """The state of each token, Elman's network with one layer, projected."""
    hidden = np.zeros(w["proj.weight"].shape[1])
    out = []
    for token in ids:
        x = w["tokens"][token]
        drive = w["rnn.weight_ih_l0"] @ x + w["rnn.bias_ih_l0"]
        hidden = np.tanh(drive + w["rnn.weight_hh_l0"] @ hidden + w["rnn.bias_hh_l0"])
        out.append(w["proj.weight"] @ hidden + w["proj.bias"])
    return out


def gpt_later(
    w: Weights, ids: Sequence[int], layers: int, heads: int, windows: Sequence[int]
) -> list[Array]:
    """As `gpt`, with LayerNorm before each branch and at the end.

    In layer l a place sees the last `windows[l]` places, itself among them.
    """
    h = [w["tokens"][token] + w["positions"][place] for place, token in enumerate(ids)]
    width = len(h[0])
    size = width // heads
    for layer in range(layers):
        b = {
            name.removeprefix(f"blocks.{layer}."): value
            for name, value in w.items()
            if name.startswith(f"blocks.{layer}.")
        }
        normed = [layer_norm(x, b["ln_1.weight"], b["ln_1.bias"]) for x in h]
        joint = [b["attn.qkv.weight"] @ x + b["attn.qkv.bias"] for x in normed]
        after = []
        for i, x in enumerate(h):
            mixed = np.zeros(width)
            seen = [j for j in range(i + 1) if i - j < windows[layer]]
            for head in range(heads):
                at = slice(head * size, (head + 1) * size)
                query = joint[i][:width][at]
                scores = [query @ joint[j][width : 2 * width][at] / math.sqrt(size) for j in seen]
                chances = np.exp(log_softmax(np.asarray(scores)))
                for chance, j in zip(chances, seen, strict=True):
                    mixed[at] += chance * joint[j][2 * width :][at]
            x = x + b["attn.proj.weight"] @ mixed + b["attn.proj.bias"]
            n = layer_norm(x, b["ln_2.weight"], b["ln_2.bias"])
            inner = gelu(b["mlp.fc.weight"] @ n + b["mlp.fc.bias"])
            after.append(x + b["mlp.proj.weight"] @ inner + b["mlp.proj.bias"])
        h = after
    return [layer_norm(x, w["ln_f.weight"], w["ln_f.bias"]) for x in h]
