"""What the encoders share: attention in which tokens see each other, its block, fresh weights.

Layers, activation and LayerNorm are GPT-1's (`transformer.py`), so that models differ in what they
see and what they predict, not in their parts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptbench.models.transformer import EPSILON, Mlp
from gptbench.settings import StackSettings


class Attention(nn.Module):
    """Multi-head attention from states `x` to a `memory`: `x` itself, or another sequence's."""

    def __init__(self, settings: StackSettings) -> None:
        super().__init__()
        self.heads = settings.n_head
        self.dropout = settings.attn_dropout
        self.query = nn.Linear(settings.n_embd, settings.n_embd)
        self.key_value = nn.Linear(settings.n_embd, 2 * settings.n_embd)
        self.proj = nn.Linear(settings.n_embd, settings.n_embd)

    def forward(
        self, x: Tensor, memory: Tensor, seen: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """[batch, time, width] from `x` of that shape and `memory` [batch, places, width].

        `seen` (bool [batch, 1, 1, places]) says which places are no padding; with `causal`
        position i sees places up to i.
        """
        width = x.shape[-1]
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(x), *self.key_value(memory).split(width, dim=-1))
        )
        dropout = self.dropout if self.training else 0.0
        # Scores are scaled by 1 / sqrt(head size) in here.
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=seen, dropout_p=dropout, is_causal=causal
        )
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention in both directions and MLP, each with LayerNorm after its residual sum."""

    def __init__(self, settings: StackSettings) -> None:
        super().__init__()
        self.attn = Attention(settings)
        self.ln_1 = nn.LayerNorm(settings.n_embd, eps=EPSILON)
        self.mlp = Mlp(settings)
        self.ln_2 = nn.LayerNorm(settings.n_embd, eps=EPSILON)
        self.dropout = settings.resid_dropout

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """[batch, time, width] to the same shape; `seen` as `Attention` has it."""
        x = self.ln_1(x + F.dropout(self.attn(x, x, seen), self.dropout, self.training))
        x = self.ln_2(x + F.dropout(self.mlp(x), self.dropout, self.training))
        return x


def real(lengths: Tensor, places: int) -> Tensor:
    """bool [batch, places]: which places of sequences padded on the right hold a token."""
    return torch.arange(places, device=lengths.device) < lengths[:, None]


@torch.no_grad()
def initialise(model: nn.Module, init_std: float | str, embd_std: float) -> None:
    """Weights N(0, init_std) or 1 / sqrt(fan-in), embeddings N(0, embd_std), biases 0, gains 1.

    Embeddings are the parameters that `model` has itself, not in one of its parts.
    """
    for embedding in model.parameters(recurse=False):
        embedding.normal_(std=embd_std)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.LSTM | nn.LSTMCell):
            for weight in module.parameters():
                if weight.dim() == 1:
                    weight.zero_()
                else:
                    std = weight.shape[1] ** -0.5 if init_std == "fan_in" else float(init_std)
                    weight.normal_(std=std)


def weights_of(module: nn.Module) -> int:
    """Number of parameters, for counting operations."""
    return sum(p.numel() for p in module.parameters())
