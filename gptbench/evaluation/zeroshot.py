"""Zero-shot scores of every checkpoint (section 5, "Zero-shot behaviors"; figure 2, right).

All heuristics rest on one number, a language model's mean log-probability of some tokens: CoLA's
sentences against a threshold chosen on its training split; SST-2, RACE and DPRD by the best
candidate. A tie of k candidates counts 1/k, so a model that knows nothing scores chance.

`python -m gptbench zeroshot --settings JSON --pretrained DIR --tasks DIR --tokenizer DIR --out DIR`
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gptbench.artifacts import MANIFEST, Run, atomic, input_id, write_json
from gptbench.data.encoded import EncodedTask
from gptbench.device import Device, prepare
from gptbench.errors import UserError
from gptbench.evaluation.metrics import best_threshold, chance, score, tie_score
from gptbench.models.heads import token_losses
from gptbench.models.weights import LanguageModel, build, check, load, read
from gptbench.progress import Progress
from gptbench.settings import TaskSpec, ZeroshotJob

BATCH_TOKENS = 8192
COLUMNS = ("step", "task", "split", "index", "gold", "prediction", "scores")

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


# Mean log-probabilities. ---------------------------------------------------------------------


@dataclass
class Sequences:
    """Token sequences to score, collected from tasks and probes, batched once for all models."""

    ids: list[Array] = field(default_factory=list)
    scored_from: list[int] = field(default_factory=list)

    def add(self, ids: Array, scored_from: int) -> None:
        """A sequence; tokens from place `scored_from` (at least 1) on are scored."""
        self.ids.append(ids)
        self.scored_from.append(max(1, scored_from))

    def batches(self, device: torch.device) -> list[tuple[Tensor, ...]]:
        """(numbers of the sequences, padded ids, flat places, targets, row of each target)."""
        lengths = np.asarray([len(ids) for ids in self.ids])
        order = np.argsort(lengths, kind="stable")
        out, start = [], 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * lengths[order[stop]] <= BATCH_TOKENS:
                stop += 1
            out.append(tuple(part.to(device) for part in self._batch(order[start:stop])))
            start = stop
        return out

    def _batch(self, numbers: Array) -> tuple[Tensor, ...]:
        longest = max(1, max(len(self.ids[i]) for i in numbers))
        padded = np.zeros((len(numbers), longest), np.int64)
        places, targets, rows = [], [], []
        for row, i in enumerate(numbers):
            ids, first = self.ids[i], self.scored_from[i]
            padded[row, : len(ids)] = ids
            column = np.arange(first, len(ids))
            places.append(row * longest + column - 1)
            targets.append(ids[first:])
            rows.append(np.full(len(column), row))
        flat = (np.concatenate(part).astype(np.int64) for part in (places, targets, rows))
        return tuple(torch.from_numpy(part) for part in (np.asarray(numbers), padded, *flat))

    def __len__(self) -> int:
        return len(self.ids)


@torch.inference_mode()
def mean_log_probabilities(
    model: LanguageModel, batches: Iterable[tuple[Tensor, ...]], count: int, device: Device
) -> Floats:
    """[count]: the mean of log P(token | those before) over each sequence's scored tokens.

    In double precision from the logits' losses on, so that equal candidates come out equal; 0
    where nothing is scored.
    """
    model.eval()
    out = np.zeros(count, np.float64)
    for numbers, ids, places, targets, rows in batches:
        with device.autocast():
            hidden, table = model(ids)
            losses = token_losses(hidden.flatten(0, 1)[places], table, targets).double()
        sums = torch.zeros(len(numbers), dtype=torch.float64, device=losses.device)
        sums.index_add_(0, rows, losses)
        counts = torch.bincount(rows, minlength=len(numbers)).clamp(min=1)
        out[numbers.cpu().numpy()] = -(sums / counts).cpu().numpy()
    return out


# Tasks. --------------------------------------------------------------------------------------


def main_score(task: TaskSpec) -> str:
    """The score that the study reports: `test` where there is one, else the first."""
    return "test" if "test" in task.scored else next(iter(task.scored))


@dataclass
class Part:
    """One split of a task and where its sequences begin in `Sequences`."""

    split: str
    gold: Array
    index: Array
    each: int
    first: int

    def values(self, scores: Floats) -> Floats:
        """[n, each] of all sequences' scores."""
        n = len(self.gold)
        return scores[self.first : self.first + n * self.each].reshape(n, self.each)


class ZeroTask:
    """A task's zero-shot inputs and its heuristic."""

    def __init__(self, task: TaskSpec, data: EncodedTask, sequences: Sequences) -> None:
        self.task = task
        self.name = main_score(task)
        self.by_threshold = task.format == "single" and task.metrics[0] == "matthews"
        splits = list(task.scored[self.name])
        if self.by_threshold:
            splits.append(task.train)
        self.parts = {split: self._part(split, data, sequences) for split in dict.fromkeys(splits)}

    def _part(self, split: str, data: EncodedTask, sequences: Sequences) -> Part:
        if split not in data.splits:
            raise UserError(f"task {self.task.name}: no zero-shot inputs for split `{split}`")
        encoded = data.splits[split]
        assert encoded.scored_from is not None
        part = Part(split, encoded.labels, encoded.index, encoded.per_example, len(sequences))
        for i, (start, end) in enumerate(
            zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
        ):
            sequences.add(encoded.tokens[start:end], int(encoded.scored_from[i]))
        return part

    def evaluate(self, scores: Floats) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The entry of metrics.json (without its step) and the rows of predictions.parquet."""
        if np.isnan(scores).any():
            raise UserError(f"{self.task.name}: the model's log-probabilities are not numbers")
        threshold = self._threshold(scores) if self.by_threshold else 0.0
        rows: list[dict[str, Any]] = []
        credit: list[float] = []
        for split in self.task.scored[self.name]:
            part = self.parts[split]
            for values, gold, index in zip(part.values(scores), part.gold, part.index, strict=True):
                best = int(values[0] > threshold) if self.by_threshold else int(values.argmax())
                if not self.by_threshold:
                    credit.append(tie_score(values, int(gold)))
                row = (self.task.name, split, int(index), int(gold), best, values.tolist())
                rows.append(dict(zip(COLUMNS[1:], row, strict=True)))
        metric = self.task.metrics[0] if self.by_threshold else "accuracy"
        value = (
            100 * float(np.mean(credit))
            if credit
            else score(metric, [row["gold"] for row in rows], [row["prediction"] for row in rows])
        )
        classes = 2 if self.by_threshold else self.parts[split].each
        entry = {
            "task": self.task.name,
            "split": self.name,
            "metric": metric,
            "value": value,
            "n": len(rows),
            "chance": chance(metric, classes),
        }
        return entry, rows

    def _threshold(self, scores: Floats) -> float:
        train = self.parts[self.task.train]
        return best_threshold(train.values(scores)[:, 0], train.gold)


# Probes. -------------------------------------------------------------------------------------


class Probes:
    """Minimal pairs of the embedded world: is the right continuation the more probable one?"""

    def __init__(self, seed: int, tokenizer: Path, n_ctx: int, sequences: Sequences) -> None:
        from gptbench.data.tokenizer import Tokenizer
        from gptbench.data.world.probes import probes

        bpe = Tokenizer.load(tokenizer)
        self.tokenizer_id = bpe.id
        self.kinds: dict[str, tuple[int, int]] = {}
        for kind, pairs in probes(seed).items():
            self.kinds[kind] = (len(sequences), len(pairs))
            for prefix, *continuations in pairs:
                context = bpe.encode(prefix)
                for continuation in continuations:
                    scored = bpe.encode(continuation)[: n_ctx - 1]
                    kept = context[max(0, len(context) + len(scored) - n_ctx) :]
                    sequences.add(np.asarray([*kept, *scored], np.int64), len(kept))

    def evaluate(self, scores: Floats) -> list[dict[str, Any]]:
        """Entries of metrics.json without their step: the share of pairs, a tie counting half."""
        out = []
        for kind, (first, n) in self.kinds.items():
            pairs = scores[first : first + 2 * n].reshape(n, 2)
            share = float(np.mean([tie_score(pair, 0) for pair in pairs]))
            out.append({"knowledge": kind, "value": 100 * share, "n": n})
        return out


# The stage. ----------------------------------------------------------------------------------


def checkpoints(pretrained: Path) -> dict[int, Path]:
    """The checkpoints of a pre-trained model by step; imported weights are their only one.

    Raises `UserError` where there are none.
    """
    found = sorted((pretrained / "checkpoints").glob("step-*.safetensors"))
    whole = pretrained / "model.safetensors"
    if not found and whole.is_file():
        return {int(read(whole)[1]["step"]): whole}
    if not found:
        raise UserError(f"{pretrained}: no checkpoints; pre-train the model first")
    return {int(path.stem.removeprefix("step-")): path for path in found}


def write_predictions(path: Path, rows: list[dict[str, Any]], first: str = "step") -> None:
    """`predictions.parquet`: step (or text, named `first`), then the rest of `COLUMNS`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = (
        pa.int64() if first == "step" else pa.string(),
        pa.string(),
        pa.string(),
        pa.int64(),
        pa.int64(),
        pa.int64(),
        pa.list_(pa.float32()),
    )
    schema = pa.schema(list(zip((first, *COLUMNS[1:]), types, strict=True)))
    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema), temporary)


def table(entries: Sequence[dict[str, Any]], name: str, steps: Sequence[int]) -> str:
    """Values by step, one line a task or kind of knowledge."""
    width = max([len(str(entry[name])) for entry in entries], default=0)
    lines = [f"{'step':{width}}" + "".join(f"{step:>9,}" for step in steps)]
    by_name: dict[str, list[float]] = {}
    for entry in entries:
        by_name.setdefault(str(entry[name]), []).append(entry["value"])
    for key, values in by_name.items():
        lines.append(f"{key:{width}}" + "".join(f"{value:9.1f}" for value in values))
    return "\n".join(lines)


class Study:
    """One model's zero-shot job: its inputs once, its checkpoints one after another."""

    def __init__(
        self, job: ZeroshotJob, pretrained: Path, tasks: Path, tokenizer: Path | None
    ) -> None:
        if not job.backbone.causal:
            raise UserError(
                f"zeroshot: {job.model} is a {job.backbone.kind}, no language model; give one whose"
                " tokens see only those before them"
            )
        inputs = {f"tasks/{task.name}": input_id(tasks / task.name) for task in job.tasks}
        self.job = job
        self.stage = Run("zeroshot", job, {"pretrained": input_id(pretrained), **inputs})
        self.device = prepare(1)
        self.files = checkpoints(pretrained)
        self.sequences = Sequences()
        self.tokenizers: set[str] = set()
        self.tasks = [self._task(task, tasks) for task in job.tasks]
        self.probes: Probes | None = None
        if job.probe_seed is not None:
            if tokenizer is None:
                raise UserError("probes need the tokenizer; give --tokenizer")
            self.probes = Probes(job.probe_seed, tokenizer, job.n_ctx, self.sequences)
            self.tokenizers.add(self.probes.tokenizer_id)
        self.scores: list[dict[str, Any]] = []
        self.probed: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []

    @property
    def label(self) -> str:
        """How the job is called in what it prints."""
        return f"zeroshot: {self.job.model} seed {self.job.seed}"

    def _task(self, task: TaskSpec, folder: Path) -> ZeroTask:
        data = EncodedTask.load(folder / task.name, zeroshot=True)
        self.tokenizers.add(data.tokenizer_id)
        return ZeroTask(task, data, self.sequences)

    def _model(self, path: Path) -> LanguageModel:
        """An empty model for the checkpoints, once the tokenizers are known to agree."""
        _, found = read(path)
        for tokenizer_id in sorted(self.tokenizers):
            check(path, found, tokenizer_id, self.job.backbone)
        model = build(self.job.backbone, int(found["vocab_size"]), self.job.n_ctx)
        return model.to(self.device.place)

    def evaluate(self) -> None:
        """Score all checkpoints."""
        batches = self.sequences.batches(self.device.place)
        progress = Progress(len(self.files) * len(batches), self.label, "batches")

        def counted() -> Iterator[tuple[Tensor, ...]]:
            for batch in batches:
                yield batch
                progress.update(1, checkpoint=step)

        model = self._model(next(iter(self.files.values())))
        for step, path in self.files.items():
            load(path, model)
            values = mean_log_probabilities(model, counted(), len(self.sequences), self.device)
            for task in self.tasks:
                entry, rows = task.evaluate(values)
                self.scores.append({"step": step, **entry})
                self.rows += [{"step": step, **row} for row in rows]
            for entry in self.probes.evaluate(values) if self.probes else []:
                self.probed.append({"step": step, **entry})
        progress.close()

    def write(self, out: Path, seconds: float) -> None:
        """Predictions, metrics and manifest; and a short table of the scores to the reader."""
        write_predictions(out / "predictions.parquet", self.rows)
        metrics = {
            "model": self.job.model,
            "seed": self.job.seed,
            "run_id": self.stage.id,
            "scores": self.scores,
            "probes": self.probed,
            "cost": {"seconds": seconds},
        }
        write_json(out / "metrics.json", metrics)
        self.stage.finish(out, device=self.device.name, precision=self.device.precision)
        print(
            f"{self.label}, {len(self.sequences):,} sequences, {len(self.files)} checkpoints,"
            f" {seconds:.1f} s"
        )
        print(table(self.scores, "task", list(self.files)), flush=True)
        if self.probed:
            print(f"probes\n{table(self.probed, 'knowledge', list(self.files))}", flush=True)


def run(
    job: ZeroshotJob, pretrained: Path, tasks: Path, out: Path, tokenizer: Path | None = None
) -> None:
    """The stage `zeroshot`: score every checkpoint of `pretrained` on the job's tasks.

    Probes are scored too if the job has a `probe_seed`; that needs `tokenizer`. Raises
    `UserError` for inputs that are missing or don't belong together.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    start = time.perf_counter()
    study = Study(job, pretrained, tasks, tokenizer)
    study.evaluate()
    study.write(out, round(time.perf_counter() - start, 3))
