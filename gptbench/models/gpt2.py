"""GPT-2 (Radford et al. 2019): what it changed of GPT-1's blocks.

    x = x + attention(LayerNorm(x))
    x = x + mlp(LayerNorm(x))
    P(u) = softmax(LayerNorm(h_n) W_e^T)

LayerNorm stands at the input of each branch, one more after the last block, and the projections
that end a branch start smaller: by 1 / sqrt(N), N the number of branches (two a block), so that
the sum of all branches keeps its size. Attention and MLP are GPT-1's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptbench.models.transformer import EPSILON, Attention, Mlp
from gptbench.settings import Gpt2Settings, Gpt3Settings


class PreNormBlock(nn.Module):
    """Attention and MLP, each a residual branch with LayerNorm before it."""

    def __init__(self, settings: Gpt2Settings | Gpt3Settings, attention: Attention) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(settings.n_embd, eps=EPSILON)
        self.attn = attention
        self.ln_2 = nn.LayerNorm(settings.n_embd, eps=EPSILON)
        self.mlp = Mlp(settings)
        self.dropout = settings.resid_dropout

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, width] to the same shape."""
        x = x + F.dropout(self.attn(self.ln_1(x)), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.ln_2(x)), self.dropout, self.training)


class Gpt2(nn.Module):
    """The same interface as `Transformer`: ids to hidden states and the tied embedding.

    Parameters
    ----------
    settings : sizes, dropouts and initialisation.
    vocab_size : rows of the token embedding.
    n_ctx : rows of the position embedding: the longest input.
    """

    def __init__(self, settings: Gpt2Settings | Gpt3Settings, vocab_size: int, n_ctx: int) -> None:
        super().__init__()
        self.settings = settings
        self.tokens = nn.Parameter(torch.empty(vocab_size, settings.n_embd))
        self.positions = nn.Parameter(torch.empty(n_ctx, settings.n_embd))
        self.blocks = nn.ModuleList(
            PreNormBlock(settings, self.attention(layer)) for layer in range(settings.n_layer)
        )
        self.ln_f = nn.LayerNorm(settings.n_embd, eps=EPSILON)
        self._initialise()

    def attention(self, layer: int) -> Attention:
        """The attention of a layer, counted from 0."""
        return Attention(self.settings)

    def _initialise(self) -> None:
        """Weights N(0, init_std), smaller at the ends of branches; biases 0, gains 1."""
        nn.init.normal_(self.tokens, std=self.settings.embd_std)
        nn.init.normal_(self.positions, std=self.settings.embd_std)
        branches = 2 * self.settings.n_layer
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                given = self.settings.init_std
                std = module.in_features**-0.5 if given == "fan_in" else given
                if name.endswith(".proj"):
                    std *= branches**-0.5
                nn.init.normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Token and position embeddings with this step's dropout (as `Transformer`)."""
        p = self.settings.embd_dropout
        tokens = F.dropout(self.tokens, p, self.training)
        return tokens, F.dropout(self.positions, p, self.training)

    def decode(self, ids: Tensor, tokens: Tensor, positions: Tensor) -> Tensor:
        """States after the last LayerNorm, [batch, time, width], for ids [batch, time]."""
        x = F.embedding(ids, tokens) + positions[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.ln_f(x)
        return out

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(hidden [batch, time, width], table [vocab, width]); logits are hidden @ table.T."""
        tokens, positions = self.embeddings()
        return self.decode(ids, tokens, positions), tokens
