"""A results folder with a real tokenizer, random models, encoded rows and the stage `attention`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gptbench.artifacts import file_digest, read_json, write_json
from gptbench.data.encoded import EXAMPLES, Encoded, EncodedTask
from gptbench.data.inputs import fine_tuning_inputs
from gptbench.data.tokenizer import Tokenizer, train_on_counts
from gptbench.evaluation import attention
from gptbench.models.weights import Origin, build, save
from gptbench.plan import Plan
from gptbench.settings import AttentionJob, Backbone, ReportJob, TaskSpec, TokenizerSettings

WORDS = "the cook saw nurse because she he was kind and fond of soup . , - = <b>".split()
TASKS: dict[str, list[tuple[str, ...]]] = {
    "cola": [("the cook was kind and fond of soup .",), ("she was fond of the soup",)],
    "rte": [("the cook saw the nurse .", "she was kind")],
    "mrpc": [("the cook was kind .", "he was kind")],
    "story_cloze": [("the cook saw the soup .", "", "he was fond of soup", "she was kind")],
}
"""Rows by task; of cola's the second is the shortest."""


def tokenizer() -> Tokenizer:
    """Trained on a few words."""
    counts = Counter({word: 9 - i % 5 for i, word in enumerate(WORDS)})
    return train_on_counts(counts, TokenizerSettings(merges=40))


def pretrained(folder: Path, bpe: Tokenizer, backbone: Backbone, n_ctx: int) -> Path:
    """A folder as pre-training leaves it, with random weights."""
    torch.manual_seed(3)
    model = build(backbone, bpe.vocab_size, n_ctx)
    origin = Origin(bpe.id, bpe.vocab_size, n_ctx, backbone, "run", 1)
    save(folder / "model.safetensors", model.state_dict(), origin.metadata())
    if not (folder / "manifest.json").is_file():
        write_json(folder / "manifest.json", {"run_id": "the-model", "stage": "pretrain"})
    return folder


def attention_job(backbone: Backbone, n_ctx: int, *sentences: str) -> AttentionJob:
    """Sentences through a model called transformer."""
    return AttentionJob(
        model="transformer", backbone=backbone, n_ctx=n_ctx, seed=0, sentences=list(sentences)
    )


def add_inside(job: ReportJob, root: Path) -> Path:
    """Put a tokenizer, encoded rows and `attention/` into a results folder."""
    bpe = tokenizer()
    bpe.save(root / "tokenizer")
    for name, rows in TASKS.items():
        encode(root / "tasks" / name, job.tasks[name], rows, bpe, job.config.n_ctx)
    ((model, seed),) = Plan(job.config, job.tasks, job.experiments).attention_models()
    looked = Plan(job.config, job.tasks, job.experiments).attention_job(model, seed)
    folder = pretrained(
        root / "pretrain" / model / f"seed{seed}", bpe, looked.backbone, looked.n_ctx
    )
    out = root / "attention" / model / f"seed{seed}"
    attention.run(looked, folder, root / "tokenizer", out)
    return root


def encode(folder: Path, task: TaskSpec, rows: list[Any], bpe: Tokenizer, n_ctx: int) -> None:
    """Rows as the stage `encode` leaves them, all with label 1."""
    found = [fine_tuning_inputs(row, task.format, bpe, n_ctx)[0] for row in rows]
    sequences = [ids for each in found for ids in each]
    data = Encoded(
        np.concatenate([np.asarray(ids, np.int32) for ids in sequences]),
        np.cumsum([0, *map(len, sequences)]).astype(np.int64),
        len(found[0]),
        np.ones(len(rows), np.int64),
        np.arange(len(rows), dtype=np.int64) + 7,
    )
    split = next(iter(task.scored.values()))[0]
    folder.mkdir(parents=True, exist_ok=True)
    EncodedTask(task.name, bpe.vocab_size, bpe.id, {split: data}).save(folder / EXAMPLES)
    path = folder / "manifest.json"
    manifest = read_json(path) if path.is_file() else {"run_id": "x"}
    write_json(path, manifest | {"files": {EXAMPLES: file_digest(folder / EXAMPLES)}})
