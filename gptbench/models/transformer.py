"""GPT-1: a decoder-only transformer (sections 3.1 and 4.1 of the paper).

    h_0 = U W_e + W_p
    h_l = block(h_(l-1))
    P(u) = softmax(h_n W_e^T)

LayerNorm comes after each residual sum and there is none after the last block.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptbench.settings import StackSettings, TransformerSettings

EPSILON = 1e-5


class Attention(nn.Module):
    """Causal self-attention; queries, keys and values come from one joint projection."""

    def __init__(self, settings: StackSettings) -> None:
        super().__init__()
        self.heads = settings.n_head
        self.dropout = settings.attn_dropout
        self.qkv = nn.Linear(settings.n_embd, 3 * settings.n_embd)
        self.proj = nn.Linear(settings.n_embd, settings.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, width] to the same shape; position i sees positions up to i."""
        batch, time, width = x.shape
        split = (batch, time, self.heads, width // self.heads)
        q, k, v = (part.view(split).transpose(1, 2) for part in self.qkv(x).split(width, dim=-1))
        mixed = self.mix(q, k, v, self.dropout if self.training else 0.0)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, time, width))
        return out

    def mix(self, q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
        """Values weighted by softmax(q k / sqrt(head size)), all [batch, heads, time, size]."""
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)


class Mlp(nn.Module):
    """Position-wise: to `n_inner` states, GELU (tanh form, as released), and back."""

    def __init__(self, settings: StackSettings) -> None:
        super().__init__()
        inner = settings.n_inner or 4 * settings.n_embd
        self.fc = nn.Linear(settings.n_embd, inner)
        self.proj = nn.Linear(inner, settings.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] to the same shape."""
        out: Tensor = self.proj(F.gelu(self.fc(x), approximate="tanh"))
        return out


class Block(nn.Module):
    """Attention and MLP, each a residual branch with LayerNorm after the sum."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        self.attn = Attention(settings)
        self.ln_1 = nn.LayerNorm(settings.n_embd, eps=EPSILON)
        self.mlp = Mlp(settings)
        self.ln_2 = nn.LayerNorm(settings.n_embd, eps=EPSILON)
        self.dropout = settings.resid_dropout

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, width] to the same shape."""
        x = self.ln_1(x + F.dropout(self.attn(x), self.dropout, self.training))
        x = self.ln_2(x + F.dropout(self.mlp(x), self.dropout, self.training))
        return x


class Transformer(nn.Module):
    """The language model's body and its tied embedding.

    Parameters
    ----------
    settings : sizes, dropouts and initialisation.
    vocab_size : rows of the token embedding (fine-tuning passes three more than the tokenizer's).
    n_ctx : rows of the position embedding: the longest input.

    Inputs padded on the right need no mask: no token sees what comes after it.
    """

    def __init__(self, settings: TransformerSettings, vocab_size: int, n_ctx: int) -> None:
        super().__init__()
        self.settings = settings
        self.tokens = nn.Parameter(torch.empty(vocab_size, settings.n_embd))
        if settings.positions == "learned":
            self.positions = nn.Parameter(torch.empty(n_ctx, settings.n_embd))
        else:
            self.register_buffer("positions", torch.zeros(n_ctx, settings.n_embd), persistent=False)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.n_layer))
        self._initialise()

    def _initialise(self) -> None:
        """Weights N(0, init_std), embeddings N(0, embd_std), biases 0, gains 1."""
        nn.init.normal_(self.tokens, std=self.settings.embd_std)
        if self.settings.positions == "learned":
            nn.init.normal_(self.positions, std=self.settings.embd_std)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                std = self.settings.init_std
                nn.init.normal_(
                    module.weight, std=module.in_features**-0.5 if std == "fan_in" else std
                )
                nn.init.zeros_(module.bias)

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Token and position embeddings with this step's dropout.

        Dropout acts on the embedding matrix, not on the looked-up vectors: all occurrences of a
        token in a batch share its mask, and the softmax sees the same dropped matrix. The released
        code has tokens and positions in one matrix; element by element that is the same.
        """
        p = self.settings.embd_dropout
        tokens = F.dropout(self.tokens, p, self.training)
        return tokens, F.dropout(self.positions, p, self.training)

    def decode(self, ids: Tensor, tokens: Tensor, positions: Tensor) -> Tensor:
        """States of the last block, [batch, time, width], for ids [batch, time]."""
        x = F.embedding(ids, tokens) + positions[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(hidden [batch, time, width], table [vocab, width]); logits are hidden @ table.T."""
        tokens, positions = self.embeddings()
        return self.decode(ids, tokens, positions), tokens
