"""A BERT-style encoder (Devlin et al. 2019): every token sees every other, blanks are filled in.

    h_0 = LayerNorm(U W_e + W_p)       a masked token has the mask's row in place of its own
    h_l = block(h_(l-1))               GPT-1's block without the causal mask
    P(u_i) = softmax(h_n W_e^T)        at the chosen places (`gptbench/training/objectives.py`)

What BERT has besides is left out: segments and the next-sentence objective (here a delimiter token
parts two texts), a dense layer before the softmax and one before the classifier. The classifier
reads the last token, as everywhere in gptbench, not the first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptbench.models.parts import Block, initialise, real, weights_of
from gptbench.models.transformer import EPSILON
from gptbench.settings import BertSettings


class Bert(nn.Module):
    """Ids and blanks to states; the tied embedding has no row for the mask, which is never right.

    Parameters
    ----------
    settings : sizes, dropouts and initialisation.
    vocab_size : rows of the token embedding.
    n_ctx : rows of the position embedding: the longest input.
    """

    def __init__(self, settings: BertSettings, vocab_size: int, n_ctx: int) -> None:
        super().__init__()
        self.settings = settings
        self.tokens = nn.Parameter(torch.empty(vocab_size, settings.n_embd))
        self.positions = nn.Parameter(torch.empty(n_ctx, settings.n_embd))
        self.mask = nn.Parameter(torch.empty(1, settings.n_embd))
        self.ln = nn.LayerNorm(settings.n_embd, eps=EPSILON)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.n_layer))
        initialise(self, settings.init_std, settings.embd_std)

    def embeddings(self) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, positions and mask with this step's dropout, on the matrices (`Transformer`)."""
        p = self.settings.embd_dropout
        tokens = F.dropout(self.tokens, p, self.training)
        positions = F.dropout(self.positions, p, self.training)
        return tokens, positions, F.dropout(self.mask, p, self.training)

    def decode(
        self,
        ids: Tensor,
        blanks: Tensor | None,
        tokens: Tensor,
        positions: Tensor,
        mask: Tensor,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """States of the last block, [batch, time, width], for ids [batch, time].

        `blanks` (bool [batch, time]) says which tokens are masked; `lengths` [batch] how many
        tokens of a sequence are no padding (None: all).
        """
        x: Tensor = F.embedding(ids, tokens)
        if blanks is not None:
            x = torch.where(blanks[..., None], mask, x)
        x = self.ln(x + positions[: ids.shape[1]])
        seen = None if lengths is None else real(lengths, ids.shape[1])[:, None, None]
        for block in self.blocks:
            x = block(x, seen)
        return x

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(state of each sequence's last token [batch, width], table [vocab, width])."""
        tokens, positions, mask = self.embeddings()
        hidden = self.decode(ids, None, tokens, positions, mask, lengths)
        return hidden[torch.arange(len(ids), device=ids.device), lengths - 1], tokens

    def flops(self, n_ctx: int, predicted: int) -> float:
        """Operations of a training step a window of `n_ctx` tokens, `predicted` of them blanks."""
        settings = self.settings
        attention = 12 * settings.n_embd * settings.attended(n_ctx)
        body = 6 * weights_of(self.blocks) + attention
        return n_ctx * body + predicted * 6 * self.tokens.numel()
