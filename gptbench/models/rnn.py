"""The recurrent network that came first (Elman 1990), in the framework of the LSTM.

    h_t = tanh(W x_t + U h_(t-1) + b)

Its states are projected to the embedding's width, as the LSTM's are, and the softmax is tied.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptbench.settings import RnnSettings


class Rnn(nn.Module):
    """The same interface as `Transformer`: ids to hidden states and the tied embedding.

    Parameters
    ----------
    settings : sizes, dropouts and initialisation.
    vocab_size : rows of the token embedding.
    n_ctx : not used; a recurrent network has no positions.
    """

    def __init__(self, settings: RnnSettings, vocab_size: int, n_ctx: int) -> None:
        super().__init__()
        self.settings = settings
        self.tokens = nn.Parameter(torch.empty(vocab_size, settings.n_embd))
        self.rnn = nn.RNN(settings.n_embd, settings.n_hidden, settings.n_layer, batch_first=True)
        self.proj = nn.Linear(settings.n_hidden, settings.n_embd)
        self._initialise()

    def _initialise(self) -> None:
        """Weights N(0, init_std), embeddings N(0, embd_std), biases 0."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                nn.init.zeros_(parameter)
                continue
            std = self.settings.embd_std if name == "tokens" else self.settings.init_std
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5 if std == "fan_in" else std)

    def embeddings(self) -> tuple[Tensor]:
        """The embedding with this step's dropout, which the softmax shares (as `Transformer`)."""
        return (F.dropout(self.tokens, self.settings.embd_dropout, self.training),)

    def decode(self, ids: Tensor, tokens: Tensor) -> Tensor:
        """States [batch, time, n_embd] for ids [batch, time], from a zero state."""
        states, _ = self.rnn(F.embedding(ids, tokens))
        states = F.dropout(states, self.settings.output_dropout, self.training)
        out: Tensor = self.proj(states)
        return out

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(hidden [batch, time, n_embd], table [vocab, n_embd]); logits are hidden @ table.T."""
        (tokens,) = self.embeddings()
        return self.decode(ids, tokens), tokens
