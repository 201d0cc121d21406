"""Small fake corpora, tasks and jobs for the tests of models, training and zero-shot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptbench.artifacts import file_digest, write_json
from gptbench.data.encoded import EXAMPLES, ZEROSHOT, Encoded, EncodedTask
from gptbench.settings import (
    BertSettings,
    EncoderDecoderSettings,
    FinetuneJob,
    Gpt2Settings,
    Gpt3Settings,
    LstmSettings,
    PretrainJob,
    RnnSettings,
    Seq2SeqSettings,
    TaskSpec,
    TransformerSettings,
)
from gptbench.training.batches import Batch
from gptbench.training.resume import Resume

VOCAB = 50
NEWLINE = VOCAB - 1
CONTEXT = 16


def transformer(**changes: Any) -> TransformerSettings:
    """A tiny transformer without dropout."""
    data: dict[str, Any] = {
        "kind": "transformer",
        "n_layer": 2,
        "n_embd": 16,
        "n_head": 2,
        "embd_dropout": 0.0,
        "attn_dropout": 0.0,
        "resid_dropout": 0.0,
        "init_std": "fan_in",
        "embd_std": 0.1,
    }
    return TransformerSettings.model_validate(data | changes)


def lstm(**changes: Any) -> LstmSettings:
    """A tiny LSTM without dropout."""
    data: dict[str, Any] = {
        "kind": "lstm",
        "n_layer": 1,
        "n_embd": 16,
        "n_hidden": 24,
        "embd_dropout": 0.0,
        "output_dropout": 0.0,
        "init_std": "fan_in",
        "embd_std": 0.1,
    }
    return LstmSettings.model_validate(data | changes)


def rnn(**changes: Any) -> RnnSettings:
    """A tiny RNN without dropout."""
    return RnnSettings.model_validate(lstm().model_dump() | {"kind": "rnn"} | changes)


def gpt2(**changes: Any) -> Gpt2Settings:
    """A tiny GPT-2 without dropout."""
    data = transformer().model_dump() | {"kind": "gpt2"}
    return Gpt2Settings.model_validate(data | changes)


def gpt3(**changes: Any) -> Gpt3Settings:
    """A tiny GPT-3 without dropout, its second block banded."""
    data = transformer().model_dump() | {"kind": "gpt3", "window": 4}
    return Gpt3Settings.model_validate(data | changes)


def bert(**changes: Any) -> BertSettings:
    """A tiny masked encoder without dropout."""
    return BertSettings.model_validate(transformer().model_dump() | {"kind": "bert"} | changes)


def encoder_decoder(**changes: Any) -> EncoderDecoderSettings:
    """A tiny encoder-decoder transformer without dropout."""
    data = transformer().model_dump() | {"kind": "encoder-decoder"} | changes
    return EncoderDecoderSettings.model_validate(data)


def seq2seq(attention: bool = False, **changes: Any) -> Seq2SeqSettings:
    """A tiny LSTM encoder and decoder without dropout."""
    data = lstm().model_dump() | {"kind": "seq2seq", "attention": attention} | changes
    return Seq2SeqSettings.model_validate(data)


def write_corpus(folder: Path, tokens: int = 2000, seed: int = 0) -> Path:
    """A corpus in which each token tells the next; lines of 10 to 29 tokens."""
    rng = np.random.default_rng(seed)
    splits = {}
    for split, size in (("train", tokens), ("validation", 400)):
        ids = (np.arange(size) * 7 + rng.integers(0, 2, size)) % (VOCAB - 2) + 1
        ids[np.cumsum(rng.integers(10, 30, size // 30))] = NEWLINE
        path = folder / split / "tokens-00000.bin"
        path.parent.mkdir(parents=True)
        ids.astype("<u2").tofile(path)
        splits[split] = {
            "tokens": size,
            "words": size,
            "bytes": 4 * size,
            "shards": [{"file": path.name, "tokens": size, "sha256": file_digest(path)}],
            "books": [{"name": "a", "start": 0, "tokens": size, "words": size, "bytes": size}],
        }
    index = {"tokenizer_id": "tok", "vocab_size": VOCAB, "newline": NEWLINE, "dtype": "uint16"}
    write_json(folder / "index.json", {**index, "splits": splits})
    write_json(folder / "manifest.json", {"run_id": "corpus"})
    return folder


def pretrain_job(backbone: Any = None, seed: int = 0, **changes: Any) -> PretrainJob:
    """Twelve updates of 4 windows."""
    settings: dict[str, Any] = {
        "steps": 12,
        "epochs": None,
        "batch_size": 4,
        "window_start": "anywhere",
        "lr": 0.01,
        "warmup_steps": 2,
        "weight_decay": 0.01,
        "clip": 1.0,
        "checkpoints": 3,
        "validation_tokens": 100,
    }
    data = {
        "model": "small",
        "backbone": (backbone or transformer()).model_dump(),
        "pretrain": settings | changes,
        "n_ctx": CONTEXT,
        "seed": seed,
    }
    return PretrainJob.model_validate(data)


def encode(sequences: list[list[int]], labels: list[Any], each: int = 1, **more: Any) -> Encoded:
    """Sequences of one split."""
    flat = [token for sequence in sequences for token in sequence]
    return Encoded(
        np.asarray(flat, np.int32),
        np.cumsum([0, *map(len, sequences)]).astype(np.int64),
        each,
        np.asarray(labels),
        np.arange(len(labels), dtype=np.int64) + 100,
        **more,
    )


def random_split(n: int, each: int, classes: int, seed: int, score: bool = False) -> Encoded:
    """Random sequences of 6 to 15 tokens whose token 3 tells the label."""
    rng = np.random.default_rng(seed)
    sequences, labels = [], []
    for _ in range(n):
        label = int(rng.integers(classes))
        length = int(rng.integers(6, 16))
        for k in range(each):
            ids = rng.integers(1, VOCAB - 1, length)
            ids[0], ids[-1] = VOCAB, VOCAB + 2
            ids[2] = VOCAB + 1
            ids[3] = 40 + (k == label if each > 2 else label)
            sequences.append(ids.tolist())
        labels.append(label)
    kind = np.float32 if score else np.int64
    return encode(sequences, np.asarray(labels, kind).tolist(), each)


def in_double(batch: Batch) -> Batch:
    """A batch for a module in double precision: weights 1 / n anew, labels of a score too."""
    weights = batch.weights.double()
    weights[weights > 0] = 1 / (1 / weights[weights > 0]).round()
    labels = batch.labels.double() if batch.labels.is_floating_point() else batch.labels
    return batch._replace(weights=weights, labels=labels)


def task_spec(form: str = "pair", **changes: Any) -> TaskSpec:
    """A task with the splits `train` and `dev`."""
    data: dict[str, Any] = {
        "name": "rte",
        "title": "A task",
        "kind": "classification",
        "format": form,
        "parser": "tsv",
        "labels": None if form == "choice" else ["no", "yes"],
        "files": {},
        "scored": {"dev": ["dev"]},
        "metrics": ["accuracy"],
        "paper_split": "test",
        "home": "",
    }
    return TaskSpec.model_validate(data | changes)


def write_task(folder: Path, splits: dict[str, Encoded], name: str, zero: bool = False) -> Path:
    """An encoded task's folder."""
    folder.mkdir(parents=True)
    path = folder / (ZEROSHOT if zero else EXAMPLES)
    EncodedTask(name, VOCAB, "tok", splits).save(path)
    manifest = {"run_id": f"task-{name}", "files": {path.name: file_digest(path)}}
    write_json(folder / "manifest.json", manifest)
    return folder


def finetune_job(task: TaskSpec | None = None, backbone: Any = None, **changes: Any) -> FinetuneJob:
    """Two epochs on a task; keys of `finetune` and of the job can be changed."""
    settings: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 4,
        "lr": 0.01,
        "warmup": 0.1,
        "weight_decay": 0.01,
        "clip": 1.0,
        "classifier_dropout": 0.1,
        "dropout": None,
        "special_init": "match",
        "lm_on_special": True,
    }
    data: dict[str, Any] = {
        "variant": "full",
        "model": "small",
        "backbone": (backbone or transformer()).model_dump(),
        "n_ctx": CONTEXT,
        "pretrained": False,
        "transfer_layers": None,
        "lm_coef": 0.5,
        "task": (task or task_spec()).model_dump(),
        "score_train": False,
        "keep": True,
        "pretrain_seed": 0,
        "seed": 0,
    }
    inner = {key: changes.pop(key) for key in list(changes) if key in settings}
    return FinetuneJob.model_validate({**data, **changes, "finetune": settings | inner})


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], None]:
    """Make the next job be interrupted after so many updates; returns how to undo it."""
    original = Resume.due

    def due(self: Resume) -> bool:
        due.calls += 1  # type: ignore[attr-defined]
        self.interrupted = due.calls == step  # type: ignore[attr-defined]
        return original(self)

    due.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(Resume, "due", due)
    return lambda: monkeypatch.setattr(Resume, "due", original)


def without_cost(path: Path) -> dict[str, Any]:
    """metrics.json without its timings."""
    from gptbench.artifacts import read_json

    data: dict[str, Any] = read_json(path)
    data.pop("cost")
    return data
