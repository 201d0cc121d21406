"""GPT-3 (Brown et al. 2020): GPT-2 with "alternating dense and locally banded" attention.

The first, third, ... block attends to all places up to its own, the second, fourth, ... to the
last `window` of them, its own included. The paper does not give the band's width, nor which kind
comes first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gptbench.models.gpt2 import Gpt2
from gptbench.models.transformer import Attention
from gptbench.settings import Gpt3Settings


def band(time: int, window: int, device: torch.device) -> Tensor:
    """[time, time], true where place i sees j: i - window < j <= i."""
    return torch.ones(time, time, dtype=torch.bool, device=device).tril().triu(1 - window)


class BandedAttention(Attention):
    """Causal self-attention to the last `window` places."""

    def __init__(self, settings: Gpt3Settings) -> None:
        super().__init__(settings)
        self.window = settings.window

    def mix(self, q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
        """Values weighted by softmax(q k / sqrt(head size)) within the band."""
        seen = band(q.shape[-2], self.window, q.device)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout)


class Gpt3(Gpt2):
    """GPT-2 whose every second block looks at a band; the same parameters."""

    settings: Gpt3Settings

    def __init__(self, settings: Gpt3Settings, vocab_size: int, n_ctx: int) -> None:
        super().__init__(settings, vocab_size, n_ctx)

    def attention(self, layer: int) -> Attention:
        """Dense in the first layer, banded in the second, and so on."""
        return BandedAttention(self.settings) if layer % 2 else Attention(self.settings)
