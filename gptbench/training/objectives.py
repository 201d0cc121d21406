"""What pre-training asks a model to predict in a window of tokens.

- A language model (a causal backbone): each token from those before it (section 3.1, L1).
- `masked` (BERT): 15 % of the tokens from all others; of the chosen, 80 % are masked, 10 %
  replaced by a random token, 10 % left as they are (Devlin et al. 2019, section 3.1).
- `second half` (encoder and decoder): each token of a passage's second half from the first half
  and those before it in the second.

All read the same windows. A loss is the mean over the tokens that are predicted, and losses of
different objectives are not comparable.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from gptbench.settings import Backbone, BertSettings

SHARE = 0.15
MASKED, SWAPPED = 0.8, 0.1
"""Shares of the chosen tokens that are masked, and that are replaced by a random one."""

Objective = Literal["language model", "masked", "second half"]


class Exercise(NamedTuple):
    """Some windows as a model gets them.

    given : what the model's `decode` takes, before its embeddings.
    chosen : bool [rows, time]: the states that predict; None is all of them.
    targets : int64 [m], what those states have to predict, row by row.
    """

    given: tuple[Tensor, ...]
    chosen: Tensor | None
    targets: Tensor

    def states(self, hidden: Tensor) -> Tensor:
        """[m, width]: those of `hidden` [rows, time, width] that predict."""
        return hidden.flatten(0, 1) if self.chosen is None else hidden[self.chosen]


def objective(backbone: Backbone) -> Objective:
    """What models of this kind are pre-trained on."""
    if backbone.causal:
        return "language model"
    return "masked" if isinstance(backbone, BertSettings) else "second half"


def exercise(backbone: Backbone, vocab_size: int, ids: Tensor, seed: int) -> Exercise:
    """The exercise of windows `ids` [rows, n_ctx + 1]; only blanks depend on `seed`."""
    match objective(backbone):
        case "masked":
            return blanks(ids[:, :-1], vocab_size, seed)
        case "second half":
            return second_half(ids)
        case _:
            return Exercise((ids[:, :-1],), None, ids[:, 1:].flatten())


def chosen_of(time: int) -> int:
    """How many of `time` tokens are chosen: 15 %, at least one."""
    return max(1, round(SHARE * time))


def blanks(ids: Tensor, vocab_size: int, seed: int) -> Exercise:
    """Fill in the blanks of `ids` [rows, time]; the same for the same seed.

    Each row has the same number of chosen tokens, so that a mean over micro-batches is one over
    the batch. A masked token's id does not reach the model: 0 stands in its place.
    """
    device = ids.device
    random = torch.Generator(device).manual_seed(seed)
    order = torch.rand(ids.shape, generator=random, device=device)
    places = order.topk(chosen_of(ids.shape[1])).indices
    chosen = torch.zeros_like(ids, dtype=torch.bool).scatter_(1, places, True)
    fate = torch.rand(ids.shape, generator=random, device=device)
    masked = chosen & (fate < MASKED)
    swapped = chosen & (fate >= MASKED) & (fate < MASKED + SWAPPED)
    others = torch.randint(vocab_size, ids.shape, generator=random, device=device)
    given = torch.where(swapped, others, ids).masked_fill(masked, 0)
    return Exercise((given, masked), chosen, ids[chosen])


def halves(tokens: int) -> tuple[int, int]:
    """Tokens of the source and of the target in a window of `tokens`."""
    return tokens // 2, tokens - tokens // 2


def second_half(ids: Tensor) -> Exercise:
    """Produce the second half of `ids` [rows, n_ctx + 1] from the first.

    The decoder begins with the source's last token, so it needs none of its own to start with.
    """
    source, _ = halves(ids.shape[1])
    return Exercise((ids[:, :source], ids[:, source - 1 : -1]), None, ids[:, source:].flatten())
