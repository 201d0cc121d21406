"""The encoder-decoder transformer (Vaswani et al. 2017), of GPT-1's parts.

    m_0 = U W_e + W_p, m_l = block(m_(l-1))          the encoder: every token sees every other
    h_0 = Y W_e + W_p, h_l = block(h_(l-1), m_n)     the decoder: causal, then over the encoder's
    P(y) = softmax(h_n W_e^T)

Against the original: GELU and learned positions as GPT-1 has them, and one embedding for the
source, the target and the softmax. Both halves of a passage share one matrix of positions, of which
the second half's go on where the first's end.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptbench.models.parts import Attention, Block, initialise, real, weights_of
from gptbench.models.transformer import EPSILON, Mlp
from gptbench.settings import EncoderDecoderSettings


class DecoderBlock(nn.Module):
    """Causal attention, attention over the encoder's states, MLP; LayerNorm after each sum."""

    def __init__(self, settings: EncoderDecoderSettings) -> None:
        super().__init__()
        width = settings.n_embd
        self.attn = Attention(settings)
        self.ln_1 = nn.LayerNorm(width, eps=EPSILON)
        self.cross = Attention(settings)
        self.ln_2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(settings)
        self.ln_3 = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = settings.resid_dropout

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor | None = None) -> Tensor:
        """[batch, time, width] to the same shape; `seen` tells the memory's padding."""
        p, training = self.dropout, self.training
        x = self.ln_1(x + F.dropout(self.attn(x, x, causal=True), p, training))
        x = self.ln_2(x + F.dropout(self.cross(x, memory, seen), p, training))
        x = self.ln_3(x + F.dropout(self.mlp(x), p, training))
        return x


class EncoderDecoder(nn.Module):
    """`n_layer` blocks on either side and the tied embedding that both read.

    Parameters
    ----------
    settings : sizes, dropouts and initialisation.
    vocab_size : rows of the token embedding.
    n_ctx : rows of the position embedding: the longest passage, source and target together.
    """

    def __init__(self, settings: EncoderDecoderSettings, vocab_size: int, n_ctx: int) -> None:
        super().__init__()
        self.settings = settings
        self.tokens = nn.Parameter(torch.empty(vocab_size, settings.n_embd))
        self.positions = nn.Parameter(torch.empty(n_ctx, settings.n_embd))
        self.encoder = nn.ModuleList(Block(settings) for _ in range(settings.n_layer))
        self.decoder = nn.ModuleList(DecoderBlock(settings) for _ in range(settings.n_layer))
        initialise(self, settings.init_std, settings.embd_std)

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Tokens and positions with this step's dropout, on the matrices (as `Transformer`)."""
        p = self.settings.embd_dropout
        tokens = F.dropout(self.tokens, p, self.training)
        return tokens, F.dropout(self.positions, p, self.training)

    def decode(
        self,
        source: Tensor,
        target: Tensor,
        tokens: Tensor,
        positions: Tensor,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """States [batch, time, width] that predict what follows each token of `target`.

        The encoder reads `source` [batch, places] (of which the first `lengths` [batch] tokens are
        no padding). `target` [batch, time] begins with the source's last token, always at the place
        that this one has in pre-training: in the middle of the context.
        """
        places, time = source.shape[1], target.shape[1]
        first = (len(positions) + 1) // 2 - 1
        seen = None if lengths is None else real(lengths, places)[:, None, None]
        memory = F.embedding(source, tokens) + positions[:places]
        for block in self.encoder:
            memory = block(memory, seen)
        x = F.embedding(target, tokens) + positions[first : first + time]
        for block in self.decoder:
            x = block(x, memory, seen)
        return x

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(the decoder's state [batch, width] at each sequence's last token, table [vocab, width]).

        The encoder reads the whole sequence, the decoder its last token: as in pre-training, where
        the decoder begins with the source's last.
        """
        tokens, positions = self.embeddings()
        last = ids.gather(1, lengths[:, None] - 1)
        return self.decode(ids, last, tokens, positions, lengths)[:, 0], tokens

    def flops(self, source: int, predicted: int) -> float:
        """Operations of a training step a window of which `predicted` tokens follow `source`."""
        settings = self.settings
        memory = source * 6 * (weights_of(self.encoder) + self._memory_weights())
        decoder = weights_of(self.decoder) - self._memory_weights() + self.tokens.numel()
        pairs = source * source + predicted * predicted + predicted * source
        attention = 12 * settings.n_layer * settings.n_embd * pairs
        return memory + predicted * 6 * decoder + attention

    def _memory_weights(self) -> int:
        """Weights that the decoder's blocks apply to the encoder's states, not to their own."""
        blocks = (block for block in self.decoder if isinstance(block, DecoderBlock))
        return sum(weights_of(block.cross.key_value) for block in blocks)
