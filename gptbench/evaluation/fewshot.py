"""Scores with k solved examples in the context, as GPT-3 was used (Brown et al. 2020).

The heuristics and the rule for ties are those of zero-shot (`zeroshot.py`); the model is the one
at the end of pre-training. With k = 0 the scores are the zero-shot ones.

`python -m gptbench fewshot --settings JSON --pretrained DIR --data ROOT --tokenizer DIR --out DIR`
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gptbench.artifacts import MANIFEST, Run, input_id, write_json
from gptbench.data.fewshot import Questions
from gptbench.data.tasks import input_digests
from gptbench.data.tokenizer import Tokenizer
from gptbench.device import prepare
from gptbench.errors import UserError
from gptbench.evaluation.zeroshot import (
    Sequences,
    ZeroTask,
    main_score,
    mean_log_probabilities,
    write_predictions,
)
from gptbench.models.weights import build, check, load, read
from gptbench.progress import watched
from gptbench.settings import FewShotJob


def run(
    job: FewShotJob,
    pretrained: Path,
    data: Path,
    tokenizer: Path,
    out: Path,
    roots: Mapping[str, Path] | None = None,
) -> None:
    """The stage `fewshot`: score one pre-trained model for each number of examples.

    `roots` are the folders, by name, of data sets that are not below `data`.
    Writes `metrics.json`, `predictions.parquet` and the manifest. Raises `UserError` for inputs
    that are missing or don't belong together, and for a model that is no language model.
    """
    if not job.backbone.causal:
        raise UserError(
            f"fewshot: {job.model} is a {job.backbone.kind}, no language model; give one whose"
            " tokens see only those before them"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    start = time.perf_counter()
    bpe = Tokenizer.load(tokenizer)
    tasks = [(task, (roots or {}).get(task.name, data)) for task in job.tasks]
    digests = input_digests(tasks, data)
    inputs = {"pretrained": input_id(pretrained), "tokenizer": bpe.id, **digests}
    stage, device = Run("fewshot", job, inputs), prepare(1)
    weights = pretrained / "model.safetensors"
    check(weights, read(weights)[1], bpe.id, job.backbone)
    model = build(job.backbone, bpe.vocab_size, job.n_ctx).to(device.place)
    load(weights, model)
    sequences = Sequences()
    asked = []
    for task, root in tasks:
        questions = Questions(job, task, root, bpe)
        for shots in job.shots:
            found, fitted = questions.encoded(task.scored[main_score(task)], shots)
            asked.append((str(shots), fitted, ZeroTask(task, found, sequences)))
    batches = sequences.batches(device.place)
    label = f"fewshot: {job.model} seed {job.seed}"
    steps = watched(batches, label, "batches")
    values = mean_log_probabilities(model, steps, len(sequences), device)
    scores: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for name, fitted, each in asked:
        entry, made = each.evaluate(values)
        scores.append({"shots": name, **entry, "fitted": round(fitted, 4)})
        rows += [{"shots": name, **row} for row in made]
    write_predictions(out / "predictions.parquet", rows, "shots")
    seconds = round(time.perf_counter() - start, 3)
    metrics = {"model": job.model, "seed": job.seed, "run_id": stage.id, "scores": scores}
    write_json(out / "metrics.json", {**metrics, "cost": {"seconds": seconds}})
    stage.finish(out, device=device.name, precision=device.precision)
    print(f"fewshot: {job.model} seed {job.seed}, {len(sequences):,} sequences, {seconds:.1f} s")
    for entry in scores:
        print(
            f"{entry['task']:8} {entry['shots']:>4} shots ({entry['fitted']:.1f} fitted)"
            f" {entry['value']:6.1f}",
            flush=True,
        )
