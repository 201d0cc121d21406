"""Supervised fine-tuning (section 3.2): L3(C) = L2(C) + lambda L1(C).

`python -m gptbench finetune --settings JSON --task DIR [--pretrained DIR] --out DIR`
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gptbench.artifacts import MANIFEST, Run, atomic, input_id, write_json
from gptbench.data.encoded import Encoded, EncodedTask
from gptbench.data.tokenizer import SPECIAL
from gptbench.device import Device, prepare
from gptbench.errors import UserError
from gptbench.evaluation import metrics
from gptbench.models.heads import Classifier, classifier_loss, expected_score, token_losses
from gptbench.models.weights import Origin, build, load, new_token_rows, save
from gptbench.progress import Progress
from gptbench.settings import Backbone, FinetuneJob
from gptbench.training.batches import Batch, Epochs, collate, ordered_batches
from gptbench.training.live import Live
from gptbench.training.loop import Module, Steps, derive, fit, reseed, write_curves
from gptbench.training.optim import Adam, warmup_linear
from gptbench.training.resume import Resume

COLUMNS = ("step", "loss", "lr", "gradient_norm")
POINTS = 50
SCORING_TOKENS = 4096

Array = npt.NDArray[Any]


def with_dropout(backbone: Backbone, dropout: float | None) -> Backbone:
    """A backbone with all its dropouts set to `dropout`, if that is given."""
    if dropout is None:
        return backbone
    names = [name for name in type(backbone).model_fields if name.endswith("_dropout")]
    return backbone.model_copy(update=dict.fromkeys(names, dropout))


def some(train: Encoded, job: FinetuneJob) -> Encoded:
    """The rows to learn from: all, or `train_rows` of them, the same for every seed.

    Raises `UserError` where there are fewer.
    """
    if job.train_rows is None:
        return train
    if job.train_rows > len(train):
        raise UserError(
            f"variant {job.variant}: train_rows is {job.train_rows}, {job.task.name} has"
            f" {len(train)}; give fewer, or raise limits"
        )
    order = np.random.default_rng(derive("train_rows", job.task.name)).permutation(len(train))
    return train.take(np.sort(order[: job.train_rows]))


class Finetuning(Module):
    """A backbone and a classifier under L3.

    Fresh weights of the backbone are drawn with the pre-training seed, everything else (the
    special tokens' rows, the classifier, dropout) with the fine-tuning seed.
    """

    def __init__(
        self, job: FinetuneJob, vocab_size: int, tokenizer_id: str, weights: Path | None, steps: int
    ) -> None:
        settings = job.finetune
        super().__init__(settings.clip, max(1, steps // POINTS))
        self.job, self.vocab_size = job, vocab_size
        backbone = with_dropout(job.backbone, settings.dropout)
        reseed(torch.device("cpu"), "weights", job.pretrain_seed)
        self.backbone = build(backbone, vocab_size + len(SPECIAL), job.n_ctx)
        if weights:
            load(weights, self.backbone, job.transfer_layers, tokenizer_id)
        reseed(torch.device("cpu"), "head", job.seed)
        new_token_rows(self.backbone, settings.special_init)
        width = self.backbone.settings.n_embd
        self.classifier = Classifier(job.task, width, settings.classifier_dropout)
        if job.frozen:
            self.backbone.requires_grad_(False)
        schedule = partial(warmup_linear, warmup=settings.warmup)
        parameters = [p for p in self.parameters() if p.requires_grad]
        self.optimizer = Adam(parameters, settings.lr, schedule, steps, settings.weight_decay)

    @property
    def predicts(self) -> str:
        """What L1 predicts, see `collate`."""
        if not self.job.lm_coef:
            return "none"
        return "all" if self.job.finetune.lm_on_special else "ordinary"

    def classify(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [examples, classes or answers], states and the embedding table.

        The states are all of a language model's, and of others that of the classify token alone.
        """
        if self.backbone.settings.causal:
            hidden, table = self.backbone(batch.ids)
            rows = torch.arange(len(batch.last), device=hidden.device)
            states = hidden[rows, batch.last]
        else:  # tokens see what comes after them, so padding has to be told apart
            states, table = self.backbone(batch.ids, batch.last + 1)
            hidden = states[:, None]
        return self.classifier(states.view(-1, batch.each, states.shape[-1])), hidden, table

    def language_loss(self, hidden: Tensor, table: Tensor, batch: Batch) -> Tensor:
        """-L1: the mean over a sequence's tokens, then over the sequences.

        Where special tokens are not predicted, they are not in the softmax either: P(u) is over
        the vocabulary that the model was pre-trained on.
        """
        if self.predicts == "ordinary":
            table = table[: self.vocab_size]
        states = hidden.flatten(0, 1)[batch.places]
        return (token_losses(states, table, batch.targets) * batch.weights).sum()

    def loss(self, batch: Batch) -> Tensor:
        """-L3 (equation 5)."""
        logits, hidden, table = self.classify(batch)
        loss = classifier_loss(logits, batch.labels, self.job.task)
        if self.job.lm_coef:
            loss = loss + self.job.lm_coef * self.language_loss(hidden, table, batch)
        return loss

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """-L3 with this step's dropout."""
        reseed(batch.ids.device, "dropout", self.job.seed, batch.step)
        return self.loss(batch)


class Scored:
    """Predictions for one split: `gold`, `prediction` [n], `scores` [n, classes or answers]."""

    def __init__(self, module: Finetuning, data: Encoded, device: Device) -> None:
        task = module.job.task
        self.index, self.gold = data.index, data.labels
        n = len(data.labels)
        self.prediction = np.zeros(n, np.float64 if task.range else np.int64)
        self.scores = np.zeros((n, 0), np.float32)
        module.eval()
        with torch.inference_mode(), device.autocast():
            for rows in ordered_batches(data, SCORING_TOKENS):
                batch = collate(data, rows, module.job.n_ctx, module.vocab_size, "none")
                moved = batch._replace(
                    ids=batch.ids.to(device.place), last=batch.last.to(device.place)
                )
                logits = module.classify(moved)[0].float().cpu()
                if not logits.isfinite().all():  # argmax would make a class of it
                    job = module.job
                    raise UserError(
                        f"{job.variant} on {task.name}, pre{job.pretrain_seed}-seed{job.seed}: the "
                        "model's outputs are not finite numbers, so it cannot be scored; lower "
                        "finetune.lr or lengthen finetune.warmup"
                    )
                if not self.scores.size:
                    self.scores = np.zeros((n, logits.shape[1]), np.float32)
                self.scores[rows] = logits.softmax(-1).numpy()
                if task.range:
                    self.prediction[rows] = expected_score(logits, task.range[0]).numpy()
                else:
                    self.prediction[rows] = logits.argmax(-1).numpy()


def score_splits(job: FinetuneJob, scored: dict[str, Scored]) -> dict[str, Any]:
    """`scores`, `n` and `degenerate` of metrics.json, by score name."""
    names = dict(job.task.scored)
    if job.score_train:
        names.setdefault("train", [job.task.train])
    out: dict[str, dict[str, Any]] = {"scores": {}, "n": {}, "degenerate": {}}
    for name, splits in names.items():
        gold = np.concatenate([scored[split].gold for split in splits])
        prediction = np.concatenate([scored[split].prediction for split in splits])
        out["scores"][name] = {m: metrics.score(m, gold, prediction) for m in job.task.metrics}
        out["n"][name] = len(gold)
        out["degenerate"][name] = metrics.degenerate(job.task.metrics[0], gold, prediction)
    return out


def wanted_splits(job: FinetuneJob) -> list[str]:
    """The file splits that are scored, each once."""
    names = [split for splits in job.task.scored.values() for split in splits]
    return list(dict.fromkeys([*names, *([job.task.train] if job.score_train else [])]))


def write_predictions(path: Path, scored: dict[str, Scored]) -> None:
    """`predictions.parquet`: split, index, gold, prediction, scores."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "split": np.concatenate([np.full(len(s.gold), name) for name, s in scored.items()]),
        "index": np.concatenate([s.index for s in scored.values()]),
        "gold": np.concatenate([s.gold for s in scored.values()]),
        "prediction": np.concatenate([s.prediction for s in scored.values()]),
    }
    arrays = {name: pa.array(values) for name, values in columns.items()}
    arrays["scores"] = pa.array(
        [row for s in scored.values() for row in s.scores.tolist()], pa.list_(pa.float32())
    )
    with atomic(path) as temporary:
        pq.write_table(pa.table(arrays), temporary)


class Training:
    """One fine-tuning job from its task to its files."""

    def __init__(self, job: FinetuneJob, task: Path, pretrained: Path | None, out: Path) -> None:
        if job.pretrained and pretrained is None:
            raise UserError(f"variant {job.variant}: give --pretrained, the model to start from")
        self.job, self.out = job, out
        weights = pretrained / "model.safetensors" if job.pretrained and pretrained else None
        inputs = {"task": input_id(task)}
        if weights and pretrained:
            inputs["pretrained"] = input_id(pretrained)
        self.run = Run("finetune", job, inputs)
        self.device = prepare(job.finetune.threads)
        self.task = EncodedTask.load(task)
        for split in [job.task.train, *wanted_splits(job)]:
            if split not in self.task.splits:
                raise UserError(
                    f"{task}: no split `{split}`; there is {', '.join(self.task.splits)}"
                )
        train = some(self.task.splits[job.task.train], job)
        if not len(train):
            raise UserError(f"{task}: the split `{job.task.train}` has no rows")
        settings = job.finetune
        lm = "none" if not job.lm_coef else "all" if settings.lm_on_special else "ordinary"
        order = derive("order", job.seed)
        self.batches = Epochs(
            train, job.n_ctx, self.task.vocab_size, lm, settings.batch_size, settings.epochs, order
        )
        self.module = Finetuning(
            job, self.task.vocab_size, self.task.tokenizer_id, weights, self.batches.steps
        )
        self.live = Live(out, self.run, "steps", self.batches.steps)

    @property
    def label(self) -> str:
        """How the job is called in what it prints."""
        job = self.job
        seeds = f"pre{job.pretrain_seed}-seed{job.seed}"
        return f"finetune: {job.variant} {job.task.name} {seeds}"

    def train(self) -> float:
        """All updates that are left; returns the seconds."""
        resume = Resume(self.out, self.run.id)
        if (state := resume.load()) is not None:
            self.module.restore(state)
            self.live.resume(self.module.step)
        self.batches.start = begin = self.module.step
        progress = Progress(self.batches.steps, self.label, "steps", begin)
        start = time.perf_counter()
        self.module.train()
        steps = Steps(resume, progress, 1, live=self.live, columns=COLUMNS)
        fit(self.module, self.batches, self.device, steps, len(self.batches))
        return time.perf_counter() - start

    def finish(self, seconds: float) -> None:
        """Score, and write predictions, metrics, curves, manifest and (if kept) weights."""
        job, module = self.job, self.module
        module.to(self.device.place)
        start = time.perf_counter()
        scored = {
            split: Scored(module, self.task.splits[split], self.device)
            for split in wanted_splits(job)
        }
        scoring = time.perf_counter() - start
        tokens, places = self.batches.counts()
        write_predictions(self.out / "predictions.parquet", scored)
        write_curves(self.out / "curves.csv", module.curves, COLUMNS)
        self.live.finish()
        share = (self.batches.steps - self.batches.start) / self.batches.steps
        cost = {
            "seconds": round(seconds, 3),
            "scoring_seconds": round(scoring, 3),
            "tokens_per_second": round(share * tokens / seconds, 1),
        }
        result = {
            "variant": job.variant,
            "model": job.model,
            "task": job.task.name,
            "pretrain_seed": job.pretrain_seed,
            "seed": job.seed,
            "lm_coef": job.lm_coef,
            "run_id": self.run.id,
            "steps": self.batches.steps,
            "tokens": tokens,
            "padding_share": round(1 - tokens / places, 6),
            "train_rows": len(self.batches.data),
            "parameters": sum(p.numel() for p in module.parameters()),
            "final_loss": module.curves[-1]["loss"],
            **score_splits(job, scored),
            "cost": cost,
        }
        if job.keep:
            self._keep()
        write_json(self.out / "metrics.json", result)
        facts: dict[str, Any] = {"device": self.device.name, "precision": self.device.precision}
        facts |= {"tokenizer_id": self.task.tokenizer_id, **cost}
        self.run.finish(self.out, **facts)
        self._say(result, seconds)

    def _keep(self) -> None:
        job, task = self.job, self.task
        origin = Origin(
            task.tokenizer_id,
            task.vocab_size + len(SPECIAL),
            job.n_ctx,
            job.backbone,
            self.run.id,
            self.batches.steps,
        )
        metadata = {**origin.metadata(), "task": job.task.name}
        save(self.out / "model.safetensors", self.module.state_dict(), metadata)

    def _say(self, result: dict[str, Any], seconds: float) -> None:
        metric = self.job.task.metrics[0]
        shown = [f"{name} {metric} {each[metric]:.1f}" for name, each in result["scores"].items()]
        print(
            f"{self.label}: {', '.join(shown)}, loss {result['final_loss']:.3f},"
            f" {result['cost']['tokens_per_second']:,.0f} tokens/s, {seconds:.1f} s,"
            f" padding {100 * result['padding_share']:.1f} %",
            flush=True,
        )


def run(job: FinetuneJob, task: Path, pretrained: Path | None, out: Path) -> None:
    """The stage `finetune`: fine-tune on `task` from `pretrained` and score it, into `out`.

    Goes on where an interrupted run of the same job was. Raises `UserError` for inputs that are
    broken or don't belong together, KeyboardInterrupt after a signal, its state written.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    training = Training(job, task, pretrained, out)
    training.finish(training.train())
    Resume(out, training.run.id).remove()
    training.live.remove()
