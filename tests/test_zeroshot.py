"""Zero-shot: log-probabilities, thresholds, ties, and a constant model at chance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from gptbench.artifacts import read_json
from gptbench.data.encoded import Encoded
from gptbench.device import prepare
from gptbench.errors import UserError
from gptbench.evaluation import zeroshot
from gptbench.evaluation.zeroshot import Sequences, mean_log_probabilities
from gptbench.models.weights import Origin, build, read, save
from gptbench.settings import TaskSpec, ZeroshotJob
from gptbench.training import pretrain
from tests.training_fakes import (
    CONTEXT,
    VOCAB,
    encode,
    pretrain_job,
    task_spec,
    transformer,
    write_corpus,
    write_task,
)

COLA = {"name": "cola", "metrics": ["matthews", "accuracy"]}
EACH = {"sst2": 2, "race": 4, "dprd": 2}


def specs() -> list[TaskSpec]:
    halves = {"middle": ["middle"], "high": ["high"], "test": ["middle", "high"]}
    return [
        task_spec("single", **COLA),
        task_spec("single", name="sst2"),
        task_spec("choice", name="race", scored=halves),
        task_spec("choice", name="dprd", scored={"test": ["test"]}),
    ]


def split(n: int, each: int, seed: int) -> Encoded:
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(1, VOCAB, int(rng.integers(5, 16))).tolist() for _ in range(n * each)]
    first = np.asarray([int(rng.integers(1, len(ids))) for ids in sequences], np.int64)
    labels = [i % max(each, 2) for i in range(n)]
    return encode(sequences, labels, each, scored_from=first)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tasks")
    cola = {"train": split(30, 1, 0), "dev": split(20, 1, 1)}
    write_task(root / "cola", cola, "cola", zero=True)
    write_task(root / "sst2", {"dev": split(20, 2, 2)}, "sst2", zero=True)
    race = {"middle": split(8, 4, 3), "high": split(12, 4, 4)}
    write_task(root / "race", race, "race", zero=True)
    write_task(root / "dprd", {"test": split(16, 2, 5)}, "dprd", zero=True)
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    pretrain.run(pretrain_job(), write_corpus(folder / "corpus"), folder / "model")
    return folder / "model"


def job(**changes: Any) -> ZeroshotJob:
    data: dict[str, Any] = {
        "model": "small",
        "backbone": transformer().model_dump(),
        "n_ctx": CONTEXT,
        "seed": 0,
        "tasks": [task.model_dump() for task in specs()],
        "probe_seed": None,
    }
    return ZeroshotJob.model_validate(data | changes)


def changed(model: Path, out: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of a model with one checkpoint, its weights changed."""
    tensors, _ = read(model / "model.safetensors")
    change(tensors)
    origin = Origin("tok", VOCAB, CONTEXT, transformer(), "run", 3)
    save(out / "checkpoints" / "step-00000003.safetensors", tensors, origin.metadata())
    (out / "manifest.json").write_bytes((model / "manifest.json").read_bytes())
    return out


def test_mean_log_probabilities_by_hand() -> None:
    device = prepare(1)
    net = build(transformer(), VOCAB, CONTEXT).double().eval()
    rng = np.random.default_rng(0)
    sequences = Sequences()
    for length, first in ((7, 3), (12, 1), (5, 4), (1, 1), (16, 9)):
        sequences.add(rng.integers(1, VOCAB, length), first)
    found = mean_log_probabilities(net, sequences.batches(device.place), 5, device)
    for ids, first, value in zip(sequences.ids, sequences.scored_from, found, strict=True):
        with torch.no_grad():
            hidden, table = net(torch.as_tensor(ids)[None])
            chances = (hidden[0] @ table.t()).log_softmax(-1)
        each = [float(chances[i - 1, ids[i]]) for i in range(first, len(ids))]
        assert value == pytest.approx(np.mean(each) if each else 0)


def test_a_constant_model_is_at_chance(tasks: Path, model: Path, tmp_path: Path) -> None:
    def forget(tensors: dict[str, torch.Tensor]) -> None:
        tensors["tokens"].zero_()

    same = changed(model, tmp_path / "same", forget)
    zeroshot.run(job(), same, tasks, tmp_path / "out")
    scores = read_json(tmp_path / "out" / "metrics.json")["scores"]
    assert [entry["task"] for entry in scores] == ["cola", "sst2", "race", "dprd"]
    for entry in scores:
        assert entry["value"] == pytest.approx(entry["chance"], abs=1e-9)
        assert entry["chance"] == {"cola": 0, "sst2": 50, "race": 25, "dprd": 50}[entry["task"]]


def test_every_checkpoint_is_scored(
    tasks: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zeroshot.run(job(), model, tasks, tmp_path)
    metrics = read_json(tmp_path / "metrics.json")
    steps = read_json(model / "metrics.json")["checkpoints"]
    assert [entry["step"] for entry in metrics["scores"]] == [s for s in steps for _ in range(4)]
    race = next(entry for entry in metrics["scores"] if entry["task"] == "race")
    assert (race["split"], race["metric"], race["n"]) == ("test", "accuracy", 20)
    assert metrics["probes"] == []
    table = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    assert list(table) == list(zeroshot.COLUMNS)
    assert len(table["step"]) == len(steps) * (20 + 20 + 20 + 16)
    last = steps[-1]
    rows = [
        i for i, task in enumerate(table["task"]) if task == "sst2" and table["step"][i] == last
    ]
    right = [table["prediction"][i] == table["gold"][i] for i in rows]
    value = next(e["value"] for e in metrics["scores"] if e["task"] == "sst2" and e["step"] == last)
    assert value == pytest.approx(100 * np.mean(right))
    out = capsys.readouterr().out
    assert out.startswith("zeroshot: small seed 0, ")
    assert len(out.splitlines()) == 2 + 4
    zeroshot.run(job(), model, tasks, tmp_path / "again")
    again = tmp_path / "again" / "predictions.parquet"
    assert again.read_bytes() == (tmp_path / "predictions.parquet").read_bytes()


def test_probes(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gptbench.data import tokenizer
    from gptbench.data.world import probes as world

    class Letters:
        id = "tok"

        @classmethod
        def load(cls, folder: Path) -> Letters:
            return cls()

        def encode(self, text: str) -> list[int]:
            return [ord(letter) - ord("a") + 1 for letter in text]

    pairs = {"same": [("abc", "d", "d")] * 3, "long": [("a" * 40, "bc", "cb")]}
    monkeypatch.setattr(tokenizer, "Tokenizer", Letters)
    monkeypatch.setattr(world, "probes", lambda seed: pairs)
    empty = job(tasks=[], probe_seed=1)
    zeroshot.run(empty, model, tmp_path, tmp_path / "out", tokenizer=tmp_path)
    found = read_json(tmp_path / "out" / "metrics.json")["probes"]
    assert {entry["value"] for entry in found if entry["knowledge"] == "same"} == {50}
    assert {entry["n"] for entry in found if entry["knowledge"] == "same"} == {3}
    assert {entry["value"] for entry in found if entry["knowledge"] == "long"} <= {0, 50, 100}
    with pytest.raises(UserError, match="give --tokenizer"):
        zeroshot.run(empty, model, tmp_path, tmp_path / "out")


def test_inputs_that_do_not_belong_together(tasks: Path, model: Path, tmp_path: Path) -> None:
    wider = job(backbone=transformer(n_embd=32).model_dump())
    with pytest.raises(UserError, match="n_embd 16, the settings say 32"):
        zeroshot.run(wider, model, tasks, tmp_path / "out")
    (tmp_path / "manifest.json").write_text('{"run_id": "x"}')
    with pytest.raises(UserError, match="no checkpoints"):
        zeroshot.run(job(), tmp_path, tasks, tmp_path / "out")
