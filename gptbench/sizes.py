"""How large a scale's models are, and what they take: memory, disk, operations. Nothing is run."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from gptbench.plan import Plan
from gptbench.settings import Backbone, PretrainJob

if TYPE_CHECKING:
    from gptbench.models.weights import LanguageModel

BASE_MB = 450
"""Memory of a job before it does anything: the packages (Intel Xeon, torch 2.13)."""
LEAST_REQUEST_MB = 8000
"""What a job asks of a cluster at least: Snakemake runs twice beside it there."""


def vocabulary(plan: Plan) -> int:
    """The tokens of a scale before its tokenizer is made: a little more than it will have."""
    return plan.config.tokenizer.merges + 500


def parameters(plan: Plan, model: str) -> int:
    """Parameters of a model, counted on one that is built without memory for its weights."""
    built = _built(plan.config.models[model].backbone, vocabulary(plan), plan.config.n_ctx)
    return sum(p.numel() for p in built.parameters())


def flops(job: PretrainJob, words: int) -> int:
    """Operations a token of training, forward and backward, with so many tokens."""
    from gptbench.training.pretrain import flops_per_token

    return flops_per_token(job, _built(job.backbone, words, job.n_ctx))


@cache
def _built(backbone: Backbone, words: int, n_ctx: int) -> LanguageModel:
    import torch

    from gptbench.models.weights import build

    with torch.device("meta"):
        return build(backbone, words, n_ctx)


def memory_mb(plan: Plan) -> int:
    """What the largest training job needs on a processor, reckoned.

    Weights, gradients, Adam's two states, and the activations of one micro-batch.
    """
    return _memory_mb(plan, {name: parameters(plan, name) for name in plan.config.models})


def request_mb(plan: Plan) -> int:
    """What a training job asks of a cluster: no less than `memory_mb`, without building models."""
    bounds = {}
    for name, model in plan.config.models.items():
        backbone = model.backbone
        width = max(backbone.n_embd, getattr(backbone, "n_hidden", 0))
        layers = 30 * backbone.n_layer * width**2  # the largest block, a decoder's, has 28
        bounds[name] = (vocabulary(plan) + plan.config.n_ctx) * backbone.n_embd + layers
    return max(LEAST_REQUEST_MB, _memory_mb(plan, bounds))


def _memory_mb(plan: Plan, counts: dict[str, int]) -> int:
    largest = 0.0
    for name, model in plan.config.models.items():
        training, backbone = model.pretrain, model.backbone
        size = (training.micro_batch or training.batch_size) if training else 1
        tokens = max(size, plan.config.finetune.batch_size) * plan.config.n_ctx
        activations = tokens * (34 * backbone.n_embd * backbone.n_layer + 3 * vocabulary(plan))
        largest = max(largest, 4 * (4 * counts[name] + activations))
    return round(BASE_MB + largest / 1e6)


def disk_mb(plan: Plan) -> int:
    """What the results of a scale take, reckoned: token shards, checkpoints, kept weights."""
    counts = {name: parameters(plan, name) for name in plan.config.models}
    size = 0.0
    if not plan.config.synthetic:
        books = (plan.data_root / "books").glob("*/*")
        each = 2 if vocabulary(plan) < 65_000 else 4
        size += each * sum(file.stat().st_size for file in books if file.is_file()) / 4.5
    for name, _ in plan.pretrained():
        training = plan.config.models[name].pretrain
        copies = 1 + (training.checkpoints if training else 0)
        size += 4 * counts[name] * copies
    for run in plan.runs():
        size += 2e4
        if plan.finetune_job(run).keep:
            size += 4 * counts[plan.variant(run.variant).model]
    return round(20 + size / 1e6)
