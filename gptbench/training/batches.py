"""Fine-tuning batches: similar lengths together, and what the auxiliary objective predicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gptbench.data.encoded import Encoded

Rows = npt.NDArray[np.int64]
POOL = 64
"""Batches sorted by length together; within a pool lengths are blurred by `BLUR`."""
BLUR = 0.05
TARGET_STEP = 64
"""The number of targets is rounded up to this (and widths a little, see `width`): matrix products
of few different shapes are set up once and used again."""


class Batch(NamedTuple):
    """Some examples, their sequences one after another, padded on the right to the longest.

    ids : int64 [rows, time]; an example has `each` rows.
    last : int64 [rows], the place of the last real token (classify).
    each : sequences an example.
    labels : [examples].
    places, targets, weights : the auxiliary objective: flat positions [m] in rows x time whose
        next token `targets` [m] is predicted, and float32 weights [m] by which the losses are
        added to the mean over a sequence's tokens, then over sequences. Empty without it.
    step : number of the update, from 0.

    The last places have weight 0 and count nothing (see `TARGET_STEP`).
    """

    ids: Tensor
    last: Tensor
    each: int
    labels: Tensor
    places: Tensor
    targets: Tensor
    weights: Tensor
    step: int


def example_lengths(data: Encoded) -> Rows:
    """int64 [n]: the longest sequence of each example."""
    longest: Rows = data.lengths().max(1)
    return longest


def epoch_batches(lengths: Rows, size: int, seed: int, epoch: int) -> list[Rows]:
    """The examples of each batch of an epoch: all once, in batches of nearly equal size.

    Shuffled by (seed, epoch): drawn into pools, sorted by (blurred) length in each, cut, and the
    batches shuffled.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    key = lengths[order] * (1 + BLUR * rng.random(len(order)))
    batches: list[Rows] = []
    for start in range(0, len(order), size * POOL):
        pool = order[start : start + size * POOL]
        pool = pool[np.argsort(key[start : start + size * POOL], kind="stable")]
        batches += np.array_split(pool, -(-len(pool) // size))
    return [batches[i] for i in rng.permutation(len(batches))]


def width(longest: int, n_ctx: int) -> int:
    """Columns of a batch whose longest sequence has `longest` tokens: up to a twelfth more."""
    step = max(1, min(8, longest // 12))
    return min(-(-longest // step) * step, n_ctx)


def collate(
    data: Encoded, examples: Rows, n_ctx: int, vocab_size: int, lm: str, step: int = 0
) -> Batch:
    """A batch of these examples.

    `lm` is what the auxiliary objective predicts: `none`, `ordinary` tokens only (ids below
    `vocab_size`), or `all` real tokens but the first, the delimiter and classify tokens too.
    """
    rows = (examples[:, None] * data.per_example + np.arange(data.per_example)).ravel()
    start = data.offsets[rows]
    length = data.offsets[rows + 1] - start
    column = np.arange(width(int(length.max()), n_ctx))
    real = column < length[:, None]
    ids = data.tokens[np.minimum(start[:, None] + column, len(data.tokens) - 1)]
    ids = np.where(real, ids, 0).astype(np.int64)
    places, targets, weights = _predicted(ids, real, vocab_size, lm)
    return Batch(
        ids=torch.from_numpy(ids),
        last=torch.from_numpy(length - 1),
        each=data.per_example,
        labels=torch.from_numpy(np.asarray(data.labels[examples])),
        places=torch.from_numpy(places),
        targets=torch.from_numpy(targets),
        weights=torch.from_numpy(weights),
        step=step,
    )


def _predicted(
    ids: Rows, real: npt.NDArray[np.bool_], vocab_size: int, lm: str
) -> tuple[Rows, Rows, npt.NDArray[np.float32]]:
    """Places, targets and weights of the auxiliary objective (equation 5; see `Batch`)."""
    if lm == "none":
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    wanted = real[:, 1:] & (ids[:, 1:] < vocab_size) if lm == "ordinary" else real[:, 1:]
    row, column = np.nonzero(wanted)
    counts = wanted.sum(1)
    weights = (1 / (counts[row] * len(ids))).astype(np.float32)
    found = row * ids.shape[1] + column, ids[row, column + 1], weights
    idle = -len(row) % TARGET_STEP
    places, targets, weights = (np.pad(part, (0, idle)) for part in found)
    return places, targets, weights


class Epochs:
    """The batches of the updates from `start` on: an iterable for a Trainer."""

    def __init__(
        self,
        data: Encoded,
        n_ctx: int,
        vocab_size: int,
        lm: str,
        size: int,
        epochs: int,
        seed: int,
    ) -> None:
        self.data, self.n_ctx, self.vocab_size, self.lm = data, n_ctx, vocab_size, lm
        self.start = 0
        self._lengths = example_lengths(data)
        self._size, self._seed = size, seed
        self.per_epoch = len(self._plan(0))
        self.steps = epochs * self.per_epoch

    def _plan(self, epoch: int) -> list[Rows]:
        return epoch_batches(self._lengths, self._size, self._seed, epoch)

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[Batch]:
        """One batch an update."""
        plan: list[Rows] = []
        for step in range(self.start, self.steps):
            epoch, place = divmod(step, self.per_epoch)
            if not place or not plan:
                plan = self._plan(epoch)
            yield collate(self.data, plan[place], self.n_ctx, self.vocab_size, self.lm, step)

    def counts(self) -> tuple[int, int]:
        """Real tokens, and places in the padded batches, of the whole training."""
        lengths: npt.NDArray[Any] = self.data.lengths()
        places = 0
        for epoch in range(self.steps // self.per_epoch):
            for rows in self._plan(epoch):
                places += lengths[rows].size * width(int(lengths[rows].max()), self.n_ctx)
        return int(lengths.sum()) * (self.steps // self.per_epoch), places


def ordered_batches(data: Encoded, tokens: int) -> list[Rows]:
    """All examples in batches of at most about `tokens` padded tokens, by length: for scoring."""
    lengths = example_lengths(data)
    order = np.argsort(lengths, kind="stable")
    batches: list[Rows] = []
    start = 0
    while start < len(order):
        size, stop = data.per_example, start + 1
        while stop < len(order) and (stop + 1 - start) * size * lengths[order[stop]] <= tokens:
            stop += 1
        batches.append(order[start:stop])
        start = stop
    return batches
