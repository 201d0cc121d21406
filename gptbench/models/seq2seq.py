"""A sequence to sequence LSTM (Sutskever et al. 2014), with attention if wanted (Bahdanau 2015).

    h_j, (h, c) = LSTM(u_1 ... u_m)                 the encoder, over the source
    s_0 = (h, c)                                    the decoder goes on from its last state
    s_i = LSTM(s_(i-1), y_(i-1))                    without attention
    s_i = LSTM(s_(i-1), [y_(i-1); c_i])             with: c_i = sum_j a_ij h_j,
          a_i = softmax_j(v^T tanh(W s_(i-1) + U h_j))
    P(y_i) = softmax(proj(s_i) W_e^T), or of proj([s_i; c_i]) with attention

y_0 is the source's last token. So that attention alone differs, the encoder reads from left to
right in both (Bahdanau's reads both ways), and in order (Sutskever's reads backwards: there the
first words of a translation are what matters first, here what was read last).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gptbench.models.parts import initialise, real, weights_of
from gptbench.settings import Seq2SeqSettings


class AdditiveAttention(nn.Module):
    """Bahdanau et al. 2015, section A.1.2: a_ij from v^T tanh(W s + U h_j)."""

    def __init__(self, n_hidden: int) -> None:
        super().__init__()
        self.w = nn.Linear(n_hidden, n_hidden, bias=False)
        self.u = nn.Linear(n_hidden, n_hidden, bias=False)
        self.v = nn.Linear(n_hidden, 1, bias=False)

    def forward(self, state: Tensor, memory: Tensor, keys: Tensor, hidden: Tensor | None) -> Tensor:
        """The context [batch, width] of a state [batch, width].

        `memory` [batch, places, width] holds the h_j, `keys` U h_j (the same at every step), and
        `hidden` (bool [batch, places]) is true where there is padding.
        """
        scores = self.v(torch.tanh(self.w(state)[:, None] + keys)).squeeze(-1)
        if hidden is not None:
            scores = scores.masked_fill(hidden, -torch.inf)
        return torch.bmm(scores.softmax(-1)[:, None], memory).squeeze(1)


class Seq2Seq(nn.Module):
    """An encoder and a decoder of one layer each, and the tied embedding that both read.

    Parameters
    ----------
    settings : sizes, dropouts, initialisation, and whether the decoder attends.
    vocab_size : rows of the token embedding.
    n_ctx : not used; an LSTM has no positions.
    """

    def __init__(self, settings: Seq2SeqSettings, vocab_size: int, n_ctx: int) -> None:
        super().__init__()
        width, units = settings.n_embd, settings.n_hidden
        self.settings = settings
        self.tokens = nn.Parameter(torch.empty(vocab_size, width))
        self.encoder = nn.LSTM(width, units, batch_first=True)
        if settings.attention:
            self.attention = AdditiveAttention(units)
            self.cell = nn.LSTMCell(width + units, units)
            self.proj = nn.Linear(2 * units, width)
        else:
            self.decoder = nn.LSTM(width, units, batch_first=True)
            self.proj = nn.Linear(units, width)
        initialise(self, settings.init_std, settings.embd_std)

    def embeddings(self) -> tuple[Tensor]:
        """The embedding with this step's dropout, which the softmax shares (as `Transformer`)."""
        return (F.dropout(self.tokens, self.settings.embd_dropout, self.training),)

    def decode(
        self, source: Tensor, target: Tensor, tokens: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """States [batch, time, n_embd] that predict what follows each token of `target`.

        `source` [batch, places] is read whole (its first `lengths` [batch] tokens, the rest is
        padding), `target` [batch, time] from left to right.
        """
        memory, (h, c) = self._encode(F.embedding(source, tokens), lengths)
        y = F.embedding(target, tokens)
        if self.settings.attention:
            padding = None if lengths is None else ~real(lengths, source.shape[1])
            states = self._attend(y, memory, h[0], c[0], padding)
        else:
            states, _ = self.decoder(y, (h, c))
        states = F.dropout(states, self.settings.output_dropout, self.training)
        out: Tensor = self.proj(states)
        return out

    def _encode(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """All states and the last of each sequence: padding is not read."""
        if lengths is None:
            memory, last = self.encoder(x)
            return memory, last
        # Lengths must be on the CPU here.
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])
        return memory, last

    def _attend(
        self, y: Tensor, memory: Tensor, h: Tensor, c: Tensor, padding: Tensor | None
    ) -> Tensor:
        """[s_i; c_i] of each step, [batch, time, 2 n_hidden]; c_i comes from s_(i-1)."""
        keys = self.attention.u(memory)
        states = []
        for each in y.unbind(1):
            context = self.attention(h, memory, keys, padding)
            h, c = self.cell(torch.cat([each, context], -1), (h, c))
            states.append(torch.cat([h, context], -1))
        return torch.stack(states, 1)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(the decoder's state [batch, n_embd] after each sequence's last token, table).

        The encoder reads the whole sequence, the decoder its last token: as in pre-training, where
        the decoder begins with the source's last.
        """
        (tokens,) = self.embeddings()
        last = ids.gather(1, lengths[:, None] - 1)
        return self.decode(ids, last, tokens, lengths)[:, 0], tokens

    def flops(self, source: int, predicted: int) -> float:
        """Operations of a training step a window of which `predicted` tokens follow `source`."""
        units, heads = self.settings.n_hidden, self.proj
        if not self.settings.attention:
            body = source * weights_of(self.encoder) + predicted * weights_of(self.decoder)
        else:
            # U h_j once a token of the source; v, tanh and the sum at every pair of tokens.
            body = source * (weights_of(self.encoder) + weights_of(self.attention.u))
            body += predicted * (weights_of(self.cell) + weights_of(self.attention.w))
            body += predicted * source * 2 * units
        return 6 * (body + predicted * (weights_of(heads) + self.tokens.numel()))
