"""What stands on top of the states: the classifier of the four input formats, and the softmax.

Section 3.2 and figure 1: P(y | x) = softmax(h W_y), h the state at the classify token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptbench.settings import TaskSpec

WEIGHT_STD = 0.02


def outputs(task: TaskSpec) -> int:
    """Rows of W_y: the classes; a score's whole numbers; 1 for a choice (one score an answer)."""
    if task.format == "choice":
        return 1
    if task.range is not None:
        return int(task.range[1] - task.range[0]) + 1
    return len(task.labels or [])


class Classifier(nn.Module):
    """The linear layer W_y of one task; weights N(0, 0.02), bias 0."""

    def __init__(self, task: TaskSpec, n_embd: int, dropout: float) -> None:
        super().__init__()
        self.form = task.format
        self.dropout = dropout
        self.linear = nn.Linear(n_embd, outputs(task))
        nn.init.normal_(self.linear.weight, std=WEIGHT_STD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Logits [examples, classes or answers] of the classify states [examples, each, n_embd].

        `each` is 1 for single and pair. For similarity the states of both orders are added. The
        answers of a choice share one dropout mask (released code).
        """
        if self.form == "similarity":
            states = states.sum(1, keepdim=True)
        if self.training and self.dropout:
            ones = torch.ones_like(states[:, :1])
            states = states * F.dropout(ones, self.dropout)
        logits: Tensor = self.linear(states)
        return logits.squeeze(-1) if self.form == "choice" else logits.squeeze(1)


def score_distribution(scores: Tensor, low: float, classes: int) -> Tensor:
    """Targets [n, classes] of scores [n]: weight on the two nearest whole numbers, mean = score.

    Tai, Socher and Manning 2015, equation 15: p_floor = floor(y) - y + 1, p_floor+1 = y - floor(y).
    """
    shifted = (scores - low).clamp(0, classes - 1)
    grid = torch.arange(classes, dtype=scores.dtype, device=scores.device)
    return (1 - (shifted[:, None] - grid).abs()).clamp(min=0)


def expected_score(logits: Tensor, low: float) -> Tensor:
    """The expectation [n] of the distribution that logits [n, classes] give."""
    grid = torch.arange(logits.shape[1], dtype=logits.dtype, device=logits.device) + low
    return logits.softmax(-1) @ grid


def classifier_loss(logits: Tensor, labels: Tensor, task: TaskSpec) -> Tensor:
    """-L2 (equation 4): the mean of -log P(y | x); for a score the cross entropy to its targets."""
    if task.range is None:
        return F.cross_entropy(logits, labels)
    targets = score_distribution(labels, task.range[0], logits.shape[1])
    return F.cross_entropy(logits, targets)


def token_losses(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """-log P(u) [m] of targets [m] under softmax(h W_e^T), states [m, width] (equation 2)."""
    return F.cross_entropy(hidden @ table.t(), targets, reduction="none")
