"""Zero-shot heuristics over the checkpoints of pre-training (section 5, figure 2 right).

CoLA: the mean token log-probability against a threshold, chosen on the training split. SST-2:
`very` is appended and P(positive) compared with P(negative). RACE: the answer with the highest
mean token log-probability given document and question. DPRD: each referent in the pronoun's
place, and the one after which the rest of the sentence is more probable.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn import functional as F

from gptbench import device
from gptbench.artifacts import Run, atomic, input_id, read_json, write_json
from gptbench.data.inputs import Encoded, EncodedTask
from gptbench.data.tokenizer import Tokenizer
from gptbench.errors import UserError
from gptbench.evaluation import metrics
from gptbench.models import weights
from gptbench.settings import TaskSpec, ZeroshotJob
from gptbench.training.batches import by_length, collate

TOKENS = 16384
Values = npt.NDArray[Any]


@torch.no_grad()
def mean_log_probability(model: weights.Backbone, data: Encoded) -> Values:
    """Mean log P of the scored tokens of each sequence, [n, per_example]; 0 where none is."""
    assert data.scored_from is not None
    model.eval()
    where = next(model.parameters()).device
    starts = torch.from_numpy(np.asarray(data.scored_from, np.int64)).view(-1, data.per_example)
    out = torch.zeros(len(data), data.per_example)
    for rows in by_length(data, TOKENS):
        batch = collate(data, rows).to(where)
        states, table = model(batch.ids)
        places = torch.arange(1, batch.ids.shape[1], device=where)
        first = starts[torch.from_numpy(rows)].reshape(-1, 1).to(where)
        real = (places < batch.lengths[:, None]) & (places >= first)
        logits = states[:, :-1][real] @ table.T
        nll = F.cross_entropy(logits.float(), batch.ids[:, 1:][real], reduction="none")
        total = torch.zeros(len(real), device=where).index_add_(0, real.nonzero()[:, 0], -nll)
        mean = total / real.sum(1).clamp(min=1)
        out[torch.from_numpy(rows)] = mean.view(len(rows), -1).cpu()
    return out.numpy()


def choose(scores: Values, gold: Values) -> tuple[Values, Values]:
    """The best candidate [n], and its credit: a tie of k candidates scores 1/k if gold is in it.

    So a model that finds everything equally probable comes out at chance, whatever the labels.
    """
    best = scores.max(1, keepdims=True)
    tied = scores == best
    credit = tied[np.arange(len(gold)), gold.astype(int)] / tied.sum(1)
    return scores.argmax(1), credit


def threshold(scores: Values, gold: Values) -> float:
    """The threshold on the mean log-probability with the best Matthews correlation.

    Candidates lie halfway between neighbouring scores; the first of equal ones is taken.
    Above the threshold is acceptable (label 1).
    """
    order = np.argsort(scores, kind="stable")
    s, y = scores[order], gold[order].astype(float)
    positives, n = y.sum(), len(y)
    # With the threshold before position i: i rows below, n - i above.
    below = np.arange(1, n)
    hit = positives - np.cumsum(y)[:-1]
    above = n - below
    hit_expected = above * positives / n
    spread = np.sqrt(above * below * positives * (n - positives)) / n
    with np.errstate(invalid="ignore", divide="ignore"):
        matthews = np.where(spread > 0, (hit - hit_expected) / spread, 0.0)
    matthews[s[1:] == s[:-1]] = -2.0
    if not len(matthews) or matthews.max() <= 0:
        return float("-inf")
    i = int(matthews.argmax())
    return float((s[i] + s[i + 1]) / 2)


def _score(
    task: TaskSpec, data: EncodedTask, model: weights.Backbone
) -> list[tuple[str, str, float, float, Values, Values, Values]]:
    """(split, metric, value, chance, index and gold, prediction, scores) of one checkpoint."""
    rows = []
    cut = None
    for split, encoded in data.splits.items():
        scores = mean_log_probability(model, encoded)
        gold = encoded.labels
        if encoded.per_example == 1:
            if split == task.train:
                cut = threshold(scores[:, 0], gold)
                continue
            if cut is None:
                raise UserError(f"{task.name}: no training split to choose the threshold on")
            prediction = (scores[:, 0] > cut).astype(int)
            value, guess = metrics.score("matthews", gold, prediction), 0.0
            rows.append((split, "matthews", value, guess, gold, prediction, scores))
        else:
            prediction, credit = choose(scores, gold)
            guess = metrics.chance("accuracy", encoded.per_example)
            value = 100 * float(credit.mean())
            rows.append((split, "accuracy", value, guess, gold, prediction, scores))
    return rows


def probe_inputs(tokenizer: Tokenizer, seed: int) -> dict[str, Encoded]:
    """The embedded world's minimal pairs, a kind of knowledge each: candidate 0 is right."""
    from gptbench.data.world.gates import probes

    inputs = {}
    for kind, pairs in probes(seed).items():
        sequences: list[list[int]] = []
        starts: list[int] = []
        for prefix, *candidates in pairs:
            before = tokenizer.encode(prefix)
            for candidate in candidates:
                sequences.append(before + tokenizer.encode(candidate))
                starts.append(max(1, len(before)))
        inputs[kind] = Encoded(
            tokens=np.concatenate([np.asarray(x, np.int32) for x in sequences]),
            offsets=np.cumsum([0, *map(len, sequences)]),
            per_example=2,
            labels=np.zeros(len(pairs), np.int64),
            index=np.arange(len(pairs)),
            scored_from=np.asarray(starts, np.int64),
        )
    return inputs


def run(
    job: ZeroshotJob, pretrained: Path, tasks: Path, out: Path, tokenizer: Path | None = None
) -> None:
    """Score every checkpoint of one model; see `docs/design.md` for what it writes."""
    names = [task.name for task in job.tasks]
    inputs = {name: input_id(tasks / name) for name in names}
    stage = Run("zeroshot", job, {**inputs, "pretrained": input_id(pretrained)})
    place = device.prepare(1)
    data = {name: EncodedTask.load(tasks / name, zeroshot=True) for name in names}
    first = next(iter(data.values()))
    probes: dict[str, Encoded] = {}
    if job.probe_seed is not None and tokenizer is not None:
        probes = probe_inputs(Tokenizer.load(tokenizer), job.probe_seed)
    steps = read_json(pretrained / "metrics.json")["checkpoints"]
    model = weights.build(job.backbone, first.vocab_size, job.n_ctx).to(place.torch)
    scores: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    tables: list[pa.Table] = []
    for step in steps:
        path = pretrained / "checkpoints" / f"step-{step:08d}.safetensors"
        weights.load(path, model, first.tokenizer_id)
        for task in job.tasks:
            results = _score(task, data[task.name], model)
            for split, metric, value, guess, gold, prediction, each in results:
                key = {"step": step, "task": task.name, "split": split}
                facts = {"metric": metric, "value": value, "n": len(gold), "chance": guess}
                scores.append({**key, **facts})
                index = data[task.name].splits[split].index
                columns = {name: [value] * len(gold) for name, value in key.items()}
                tables.append(
                    pa.table(
                        {
                            **columns,
                            "index": np.asarray(index),
                            "gold": np.asarray(gold, np.float64),
                            "prediction": np.asarray(prediction, np.float64),
                            "scores": pa.array(each.tolist()),
                        }
                    )
                )
            scores += _joined(task, step, scores)
        for kind, encoded in probes.items():
            _, credit = choose(mean_log_probability(model, encoded), encoded.labels)
            value = 100 * float(credit.mean())
            found.append({"step": step, "knowledge": kind, "value": value, "n": len(encoded)})
    out.mkdir(parents=True, exist_ok=True)
    with atomic(out / "predictions.parquet") as temporary:
        pq.write_table(pa.concat_tables(tables), temporary)
    content = {"model": job.model, "seed": job.seed, "run_id": stage.id}
    write_json(out / "metrics.json", {**content, "scores": scores, "probes": found})
    stage.finish(out, device=place.facts())
    last = [row for row in scores if row["step"] == steps[-1]]
    shown = [f"{row['task']} {row['split']} {row['value']:.1f}" for row in last]
    shown += [f"{re.sub('_', ' ', p['knowledge'])} {p['value']:.0f}" for p in found
              if p["step"] == steps[-1]]
    print(f"zero-shot {job.model} seed {job.seed}, step {steps[-1]}: {', '.join(shown)}", flush=True)


def _joined(task: TaskSpec, step: int, scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scores that join several splits (RACE: middle and high school)."""
    rows = []
    for name, splits in task.scored.items():
        parts = [
            s for s in scores if s["step"] == step and s["task"] == task.name and s["split"] in splits
        ]
        if len(splits) > 1 and len(parts) == len(splits):
            n = sum(part["n"] for part in parts)
            value = sum(part["value"] * part["n"] for part in parts) / n
            rows.append({**parts[0], "split": name, "value": value, "n": n})
    return rows
