"""Unsupervised pre-training (section 3.1): L1(U) = sum_i log P(u_i | u_(i-k) ... u_(i-1)).

Models that are no language models have other objectives (`objectives.py`) on the same windows.

`python -m gptbench pretrain --settings JSON --corpus DIR --out DIR`
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gptbench.artifacts import MANIFEST, Run, input_id, write_json
from gptbench.data.corpus import TokenCorpus
from gptbench.device import Device, prepare
from gptbench.models.bert import Bert
from gptbench.models.encoder_decoder import EncoderDecoder
from gptbench.models.heads import token_losses
from gptbench.models.seq2seq import Seq2Seq
from gptbench.models.weights import LanguageModel, Origin, build, save
from gptbench.progress import Progress
from gptbench.settings import Backbone, PretrainJob
from gptbench.training.live import Live
from gptbench.training.loop import Module, Row, Steps, derive, fit, reseed, write_curves
from gptbench.training.objectives import chosen_of, exercise, halves, objective
from gptbench.training.optim import Adam, warmup_cosine
from gptbench.training.resume import Resume
from gptbench.training.windows import Batches, Windows, contiguous

COLUMNS = ("step", "loss", "lr", "gradient_norm", "validation_loss")
POINTS = 200
_VALIDATION_BATCH = 4096


def checkpoint_steps(steps: int, count: int) -> list[int]:
    """At most `count` steps: 0 (untrained) and, up to the last, each twice the one before."""
    halves = {max(1, round(steps / 2**i)) for i in range(max(1, count - 1))}
    return sorted(halves | ({0} if count > 1 else set()))


class Pretraining(Module):
    """Prediction of tokens over windows, by the model's objective; `backbone` is the model."""

    def __init__(self, job: PretrainJob, vocab_size: int, steps: int) -> None:
        settings = job.pretrain
        super().__init__(settings.clip, max(1, steps // POINTS))
        self.seed, self.last = job.seed, steps
        self.accumulate = settings.batch_size // (settings.micro_batch or settings.batch_size)
        reseed(torch.device("cpu"), "weights", job.seed)
        self.backbone: LanguageModel = build(job.backbone, vocab_size, job.n_ctx)
        self.decode: Any = self.backbone.decode
        self.losses: Any = token_losses
        schedule = partial(warmup_cosine, warmup=settings.warmup_steps / steps)
        parameters = self.backbone.parameters()
        self.optimizer = Adam(parameters, settings.lr, schedule, steps, settings.weight_decay)

    def fuse(self) -> None:
        """Let torch.compile fuse what runs each step (on a GPU)."""
        self.decode = torch.compile(self.backbone.decode)
        self.losses = torch.compile(token_losses)

    def logged(self, step: int) -> bool:
        """Every `log_every` updates, and the last."""
        return super().logged(step) or step == self.last - 1

    def training_step(self, batch: tuple[Tensor, int, int], index: int) -> Tensor:
        """-L1, the mean over the batch's tokens; the embedding's mask is one for the update."""
        ids, step, part = batch
        model = self.backbone
        blanks = derive("blanks", self.seed, step, part)
        asked = exercise(model.settings, len(model.tokens), ids, blanks)
        reseed(ids.device, "dropout", self.seed, step)
        tables = model.embeddings()
        if part:
            reseed(ids.device, "dropout", self.seed, step, part)
        hidden = self.decode(*asked.given, *tables)
        loss: Tensor = self.losses(asked.states(hidden), tables[0], asked.targets).mean()
        return loss


@torch.no_grad()
def validation_loss(
    model: LanguageModel, corpus: TokenCorpus, n_ctx: int, limit: int, device: Device
) -> tuple[float, int]:
    """Nats a predicted token over the first `limit` of held-out books, and how many those are.

    Windows lie side by side: a language model predicts a token from those before it in its window.
    Blanks are the same at every call, for any seed.
    """
    model.eval()
    decode: Any = model.decode
    windows = list(contiguous(corpus, n_ctx, limit))
    whole = [ids for ids, count in windows if count == n_ctx]
    size = max(1, _VALIDATION_BATCH // n_ctx)
    batches = [torch.cat(whole[i : i + size]) for i in range(0, len(whole), size)]
    batches += [ids for ids, count in windows if count < n_ctx]
    total, count = 0.0, 0
    for number, batch in enumerate(batches):
        blanks = derive("validation blanks", number)
        asked = exercise(model.settings, len(model.tokens), batch.to(device.place), blanks)
        tables = model.embeddings()
        with device.autocast():
            states = asked.states(decode(*asked.given, *tables))
            losses = token_losses(states, tables[0], asked.targets)
        total += float(losses.double().sum())
        count += len(losses)
    model.train()
    return total / count, count


def flops_per_token(job: PretrainJob, model: LanguageModel) -> int:
    """Training operations a token: 6 a weight, and 12 x width a place attended to in a layer.

    Kaplan et al. 2020, section 2.1; the tied embedding counts once (the softmax), positions not.
    Where not all tokens go through all weights, each model counts for itself.
    """
    if isinstance(model, Bert):
        return round(model.flops(job.n_ctx, chosen_of(job.n_ctx)) / job.n_ctx)
    if isinstance(model, Seq2Seq | EncoderDecoder):
        return round(model.flops(*halves(job.n_ctx + 1)) / job.n_ctx)
    weights = sum(p.numel() for name, p in model.named_parameters() if name != "positions")
    return 6 * weights + 12 * job.backbone.n_embd * job.backbone.attended(job.n_ctx)


class Training:
    """One pre-training job from its corpus to its files."""

    def __init__(self, job: PretrainJob, corpus: Path, out: Path) -> None:
        settings = job.pretrain
        micro = settings.micro_batch or settings.batch_size
        self.job, self.out, self.micro = job, out, micro
        self.run = Run("pretrain", job, {"corpus": input_id(corpus)})
        self.device = prepare(settings.threads)
        self.corpus = TokenCorpus.open(corpus, "train")
        self.held_out = TokenCorpus.open(corpus, "validation")
        order = derive("windows", job.seed)
        self.windows = Windows(
            self.corpus, job.n_ctx, settings.batch_size, settings.window_start, order
        )
        self.steps = settings.steps or self.windows.steps(settings.epochs or 1)
        self.module = Pretraining(job, self.corpus.vocab_size, self.steps)
        self.checkpoints = checkpoint_steps(self.steps, settings.checkpoints)
        self.live = Live(out, self.run, "tokens", self.steps)

    @property
    def label(self) -> str:
        """How the job is called in what it prints."""
        return f"pretrain: {self.job.model} seed {self.job.seed}"

    def tokens(self, step: int) -> int:
        """Tokens predicted in the first `step` updates."""
        return step * self.job.pretrain.batch_size * self.job.n_ctx

    def validate(self) -> tuple[float, int]:
        """The loss on the held-out books as the model is now."""
        limit = self.job.pretrain.validation_tokens
        return validation_loss(
            self.module.backbone, self.held_out, self.job.n_ctx, limit, self.device
        )

    def write_weights(self, path: Path) -> None:
        """The model as it is now."""
        job, step = self.job, self.module.step
        origin = Origin(
            self.corpus.tokenizer_id,
            self.corpus.vocab_size,
            job.n_ctx,
            job.backbone,
            self.run.id,
            step,
        )
        save(path, self.module.backbone.state_dict(), origin.metadata())

    def checkpoint(self, step: int, row: Row | None) -> None:
        """After an update: weights and validation loss at the log-spaced steps."""
        if step not in self.checkpoints:
            return
        self.write_weights(self.out / "checkpoints" / f"step-{step:08d}.safetensors")
        if row is None:
            row = {"step": step}
            self.module.curves.append(row)
        row["validation_loss"] = self.validate()[0]

    def train(self) -> tuple[float, int]:
        """All updates that are left; returns the seconds and the tokens that they took."""
        resume = Resume(self.out, self.run.id)
        state = resume.load()
        if state is None:
            for old in (self.out / "checkpoints").glob("step-*.safetensors"):
                old.unlink()
            if 0 in self.checkpoints:
                self.checkpoint(0, None)
        else:
            self.module.restore(state)
            self.live.resume(self.module.step)
        begin = self.module.step
        if self.device.kind == "cuda":
            self.module.fuse()
        progress = Progress(self.tokens(self.steps), self.label, "tokens", self.tokens(begin))
        unit = self.tokens(1)
        steps = Steps(resume, progress, unit, self.checkpoint, self.live, COLUMNS)
        batches = Batches(self.windows, begin, self.steps, self.micro)
        start = time.perf_counter()
        fit(self.module, batches, self.device, steps, self.steps - begin)
        return time.perf_counter() - start, self.tokens(self.steps - begin)

    def finish(self, seconds: float, tokens: int) -> None:
        """Write model, curves, metrics and manifest."""
        module, job = self.module, self.job
        module.to(self.device.place)
        loss, count = self.validate()
        self.write_weights(self.out / "model.safetensors")
        write_curves(self.out / "curves.csv", module.curves, COLUMNS)
        self.live.finish()
        speed = round(tokens / seconds, 1) if tokens else None
        cost = {"seconds": round(seconds, 3), "tokens_per_second": speed}
        metrics = {
            "model": job.model,
            "seed": job.seed,
            "run_id": self.run.id,
            "steps": self.steps,
            "tokens": self.tokens(self.steps),
            "epochs": self.steps * job.pretrain.batch_size / self.windows.per_epoch,
            "parameters": sum(p.numel() for p in module.backbone.parameters()),
            "validation_loss": loss,
            **measures(job.backbone, loss),
            "validation_tokens": count,
            "flops": flops_per_token(job, module.backbone) * self.tokens(self.steps),
            "device": self.device.name,
            "precision": self.device.precision,
            "checkpoints": self.checkpoints,
            "cost": cost,
        }
        write_json(self.out / "metrics.json", metrics)
        facts: dict[str, Any] = {"device": self.device.name, "precision": self.device.precision}
        facts |= {"tokenizer_id": self.corpus.tokenizer_id, **cost}
        self.run.finish(self.out, **facts)
        print(
            f"{self.label}, {self.steps:,} steps, loss {final_loss(module.curves):.3f},"
            f" held-out {said(job.backbone, loss)}, {speed or 0:,.0f} tokens/s, {seconds:.1f} s",
            flush=True,
        )


def measures(backbone: Backbone, loss: float) -> dict[str, Any]:
    """What a validation loss says besides: perplexity a token is a language model's alone."""
    if backbone.causal:
        return {"perplexity": math.exp(loss)}
    name = objective(backbone)
    given = {"perplexity_given_source": math.exp(loss)} if name == "second half" else {}
    return {"objective": name, "perplexity": None, **given}


def said(backbone: Backbone, loss: float) -> str:
    """A validation loss in words."""
    if backbone.causal:
        return f"perplexity {math.exp(loss):.2f}"
    return f"loss {loss:.3f} ({objective(backbone)})"


def final_loss(curves: Sequence[Row]) -> float:
    """The last training loss of the curves."""
    return next((row["loss"] for row in reversed(curves) if "loss" in row), math.nan)


def run(job: PretrainJob, corpus: Path, out: Path) -> None:
    """The stage `pretrain`: train one model on `corpus` and write it to `out`.

    Goes on where an interrupted run of the same job was. Raises `UserError` for a corpus that
    is broken or too short, KeyboardInterrupt after a signal, its state written.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    training = Training(job, corpus, out)
    training.finish(*training.train())
    Resume(out, training.run.id).remove()
    training.live.remove()
