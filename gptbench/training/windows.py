"""Which tokens a pre-training update sees: a pure function of the seed and the update's number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gptbench.data.corpus import TokenCorpus
from gptbench.errors import UserError

Starts = npt.NDArray[Any]


class Windows:
    """Windows of `n_ctx` tokens and the one that follows, shuffled anew each epoch.

    Parameters
    ----------
    corpus : the training split.
    n_ctx, batch_size : tokens a window; windows an update.
    where : `anywhere`: disjoint windows side by side from an offset drawn each epoch; `line`:
        one window from the start of each line, so that it begins with a whole text.
    seed : of offsets and order.

    Raises `UserError` for a corpus shorter than a window.
    """

    def __init__(
        self,
        corpus: TokenCorpus,
        n_ctx: int,
        batch_size: int,
        where: Literal["anywhere", "line"],
        seed: int,
    ) -> None:
        if len(corpus) < n_ctx + 1:
            raise UserError(
                f"the corpus has {len(corpus)} tokens, a window needs {n_ctx + 1};"
                " give more books or a smaller n_ctx"
            )
        self.corpus, self.n_ctx, self.batch_size, self.seed = corpus, n_ctx, batch_size, seed
        self._lines: Starts | None = None
        # One window fewer than would fit, so that every offset below n_ctx leaves as many.
        self.per_epoch = max(1, (len(corpus) - 1) // n_ctx - 1)
        if where == "line":
            starts = corpus.line_starts()
            self._lines = starts[: int(np.searchsorted(starts, len(corpus) - n_ctx))]
            self.per_epoch = len(self._lines)
        self._epoch = -1
        self._order: Starts = np.zeros(0, np.int64)

    def steps(self, epochs: int) -> int:
        """Updates in so many epochs (at least one)."""
        return max(1, epochs * self.per_epoch // self.batch_size)

    def order(self, epoch: int) -> Starts:
        """The starts of an epoch's windows in the order in which they are read."""
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, epoch])
            starts = self._lines
            if starts is None:
                room = len(self.corpus) - self.per_epoch * self.n_ctx
                offset = int(rng.integers(min(room, self.n_ctx)))
                starts = offset + self.n_ctx * np.arange(self.per_epoch, dtype=np.int64)
            self._order = rng.permutation(starts)
            self._epoch = epoch
        return self._order

    def batch(self, step: int) -> Tensor:
        """int64 [batch_size, n_ctx + 1]: the windows of an update (from 0)."""
        rows = np.empty((self.batch_size, self.n_ctx + 1), np.int64)
        for i in range(self.batch_size):
            epoch, place = divmod(step * self.batch_size + i, self.per_epoch)
            rows[i] = self.corpus.read(int(self.order(epoch)[place]), self.n_ctx + 1)
        return torch.from_numpy(rows)


class Batches:
    """The micro-batches of the updates from `start` on: an iterable for a Trainer."""

    def __init__(self, windows: Windows, start: int, steps: int, micro: int) -> None:
        self.windows, self.start, self.steps, self.micro = windows, start, steps, micro

    def __len__(self) -> int:
        return (self.steps - self.start) * (self.windows.batch_size // self.micro)

    def __iter__(self) -> Iterator[tuple[Tensor, int, int]]:
        """(ids, number of the update, number of the micro-batch in it)."""
        for step in range(self.start, self.steps):
            for part, ids in enumerate(self.windows.batch(step).split(self.micro)):
                yield ids, step, part


def contiguous(corpus: TokenCorpus, n_ctx: int, limit: int) -> Iterator[tuple[Tensor, int]]:
    """The first `limit` predicted tokens, side by side: (ids [1, at most n_ctx + 1], count)."""
    start, end = 0, min(limit, len(corpus) - 1)
    while start < end:
        ids = corpus.read(start, min(n_ctx, end - start) + 1)
        yield torch.from_numpy(ids)[None], len(ids) - 1
        start += n_ctx
