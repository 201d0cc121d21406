"""Fine-tuning: batches, L2 and L3 by hand, what is written, and going on exactly."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from gptbench.artifacts import read_json
from gptbench.errors import UserError
from gptbench.models.weights import read
from gptbench.settings import FinetuneJob
from gptbench.training import finetune, pretrain
from gptbench.training.batches import Batch, Epochs, collate, epoch_batches, ordered_batches, width
from gptbench.training.finetune import Finetuning, with_dropout
from tests.training_fakes import (
    CONTEXT,
    VOCAB,
    encode,
    finetune_job,
    lstm,
    pretrain_job,
    random_split,
    stop_after,
    task_spec,
    transformer,
    without_cost,
    write_corpus,
    write_task,
)

START, DELIMITER, CLASSIFY = VOCAB, VOCAB + 1, VOCAB + 2
SCORE = {"labels": None, "range": (0, 5), "metrics": ["pearson", "spearman"]}


def module(job: FinetuneJob) -> Any:
    """A module in double precision."""
    return Finetuning(job, VOCAB, "tok", None, 10).double()


def moved(batch: Batch) -> Batch:
    return batch._replace(weights=batch.weights.double())


# Batches. ------------------------------------------------------------------------------------


def test_an_epoch_has_each_example_once_and_little_padding() -> None:
    rng = np.random.default_rng(0)
    data = encode([[1] * int(n) for n in rng.integers(30, 61, 450)], [0] * 450)
    epochs = Epochs(data, 64, VOCAB, "none", 16, 5, 0)
    seen = [batch.ids.shape[0] for batch in epochs]
    assert sum(seen) == 5 * 450
    assert len(seen) == epochs.steps == 5 * 29
    assert min(seen) == 15
    tokens, places = epochs.counts()
    assert places == sum(int(batch.ids.numel()) for batch in epochs)
    assert 1 - tokens / places < 0.1
    lengths = np.diff(data.offsets)
    one, again, two = (epoch_batches(lengths, 16, 0, epoch) for epoch in (0, 0, 1))
    assert sorted(np.concatenate(one).tolist()) == list(range(450))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert {tuple(sorted(rows)) for rows in one}.isdisjoint(tuple(sorted(rows)) for rows in two)
    order = [len(data.sequence(int(rows[0]))) for rows in one]
    assert order != sorted(order)
    epochs.start = 100
    assert torch.equal(
        next(iter(epochs)).ids, list(Epochs(data, 64, VOCAB, "none", 16, 5, 0))[100].ids
    )


def test_scoring_batches_hold_everything_within_the_budget() -> None:
    data = random_split(40, 2, 2, 0)
    batches = ordered_batches(data, 100)
    assert sorted(np.concatenate(batches).tolist()) == list(range(40))
    for rows in batches:
        assert len(rows) == 1 or data.lengths()[rows].size * data.lengths()[rows].max() <= 100


def test_what_the_auxiliary_objective_predicts() -> None:
    data = encode([[START, 5, DELIMITER, 6, 7, CLASSIFY], [START, 8, CLASSIFY]], [0, 1])
    everything = collate(data, np.asarray([0, 1]), CONTEXT, VOCAB, "all")
    assert everything.ids.tolist()[1] == [START, 8, CLASSIFY, 0, 0, 0]
    assert everything.last.tolist() == [5, 2]
    assert everything.targets[:7].tolist() == [5, DELIMITER, 6, 7, CLASSIFY, 8, CLASSIFY]
    assert everything.places[:7].tolist() == [0, 1, 2, 3, 4, 6, 7]
    np.testing.assert_allclose(everything.weights, [1 / 10] * 5 + [1 / 4] * 2 + [0] * 57)
    ordinary = collate(data, np.asarray([0, 1]), CONTEXT, VOCAB, "ordinary")
    assert ordinary.targets[:4].tolist() == [5, 6, 7, 8]
    np.testing.assert_allclose(ordinary.weights, [1 / 6] * 3 + [1 / 2] + [0] * 60)
    assert [width(longest, 64) for longest in (6, 25, 47, 63)] == [6, 26, 48, 64]
    assert width(47, 47) == 47
    assert not len(collate(data, np.asarray([0, 1]), CONTEXT, VOCAB, "none").targets)


# Losses. -------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("special", [True, False])
def test_l3_by_hand(special: bool) -> None:
    job = finetune_job(lm_coef=0.3, lm_on_special=special, classifier_dropout=0.0)
    net = module(job)
    data = encode([[START, 5, DELIMITER, 6, 7, CLASSIFY], [START, 8, CLASSIFY]], [0, 1])
    batch = moved(collate(data, np.asarray([0, 1]), CONTEXT, VOCAB, net.predicts))
    classes, language = 0.0, 0.0
    for i, label in enumerate([0, 1]):
        ids = torch.as_tensor(data.sequence(i)).long()[None]
        hidden, table = net.backbone(ids)
        logits = net.classifier.linear(hidden[0, -1])
        classes += float(logits.logsumexp(0) - logits[label]) / 2
        table = table if special else table[:VOCAB]
        losses = []
        for place in range(1, ids.shape[1]):
            target = int(ids[0, place])
            if special or target < VOCAB:
                scores = hidden[0, place - 1] @ table.t()
                losses.append(float(scores.logsumexp(0) - scores[target]))
        language += sum(losses) / len(losses) / 2
    assert float(net.loss(batch)) == pytest.approx(classes + 0.3 * language, rel=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("backbone", [transformer(), lstm()], ids=["transformer", "lstm"])
def test_padding_never_changes_a_loss(backbone: Any) -> None:
    net = module(finetune_job(backbone=backbone, classifier_dropout=0.0))
    data = random_split(6, 1, 2, 0)
    every = moved(collate(data, np.arange(6), CONTEXT, VOCAB, "all"))
    alone = [
        float(net.loss(moved(collate(data, np.asarray([i]), CONTEXT, VOCAB, "all"))))
        for i in range(6)
    ]
    assert float(net.loss(every)) == pytest.approx(float(np.mean(alone)), rel=1e-6)


def test_without_lambda_no_language_model_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("the softmax over the vocabulary was computed")

    monkeypatch.setattr(finetune, "token_losses", fail)
    net = module(finetune_job(lm_coef=0))
    assert net.predicts == "none"
    net.loss(
        collate(random_split(4, 1, 2, 0), np.arange(4), CONTEXT, VOCAB, net.predicts)
    ).backward()


def test_a_step_of_each_format() -> None:
    for form, each, classes, changes in (
        ("single", 1, 2, {}),
        ("similarity", 2, 2, {}),
        ("similarity", 2, 6, SCORE),
        ("choice", 4, 4, {}),
    ):
        net = module(finetune_job(task_spec(form, **changes)))
        data = random_split(5, each, classes, 0, score=bool(changes))
        batch = moved(collate(data, np.arange(5), CONTEXT, VOCAB, "all"))
        logits = net.classify(batch)[0]
        assert logits.shape == (5, 6 if changes else max(2, each if form == "choice" else 2))
        if changes:
            batch = batch._replace(labels=batch.labels.double())
        net.loss(batch).backward()


def test_dropout_is_a_function_of_seed_and_step() -> None:
    net = module(finetune_job(dropout=0.3))
    settings = net.backbone.settings
    assert (settings.embd_dropout, settings.attn_dropout, settings.resid_dropout) == (0.3,) * 3
    assert with_dropout(transformer(), None) == transformer()
    assert with_dropout(lstm(), 0.2).embd_dropout == 0.2
    batch = moved(collate(random_split(4, 1, 2, 0), np.arange(4), CONTEXT, VOCAB, "all", step=5))
    losses = [net.training_step(each, 0).item() for each in (batch, batch, batch._replace(step=6))]
    assert losses[0] == losses[1] != losses[2]


# The stage. ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    pretrain.run(pretrain_job(), write_corpus(folder / "corpus"), folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"train": random_split(40, 1, 2, 0), "dev": random_split(20, 1, 2, 1)}
    return write_task(tmp_path_factory.mktemp("tasks") / "rte", splits, "rte")


def test_it_learns_and_says_so(
    pair: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    job = finetune_job(pretrained=True, epochs=8, score_train=True)
    finetune.run(job, pair, pretrained, tmp_path)
    metrics = read_json(tmp_path / "metrics.json")
    assert metrics["scores"]["dev"]["accuracy"] > 80
    assert metrics["n"] == {"dev": 20, "train": 40}
    assert metrics["degenerate"] == {"dev": False, "train": False}
    assert metrics["steps"] == 80
    assert metrics["train_rows"] == 40
    assert metrics["padding_share"] < 0.2
    table = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    assert list(table) == ["split", "index", "gold", "prediction", "scores"]
    assert table["split"] == ["dev"] * 20 + ["train"] * 40
    assert table["index"][:3] == [100, 101, 102]
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in table["scores"])
    right = [g == p for g, p in zip(table["gold"][:20], table["prediction"][:20], strict=True)]
    assert metrics["scores"]["dev"]["accuracy"] == pytest.approx(100 * sum(right) / 20)
    with (tmp_path / "curves.csv").open() as file:
        assert next(csv.reader(file)) == ["step", "loss", "lr", "gradient_norm"]
    _, found = read(tmp_path / "model.safetensors")
    assert found["run_id"] == metrics["run_id"] == read_json(tmp_path / "manifest.json")["run_id"]
    assert read_json(tmp_path / "manifest.json")["inputs"]["task"] == "task-rte"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("finetune: full rte pre0-seed0: dev accuracy ")


def test_a_regression_predicts_its_expectation(tmp_path: Path) -> None:
    splits = {
        name: random_split(30, 2, 5, i, score=True) for i, name in enumerate(("train", "dev"))
    }
    folder = write_task(tmp_path / "stsb", splits, "stsb")
    task = task_spec("similarity", name="stsb", **SCORE)
    finetune.run(finetune_job(task, epochs=10), folder, None, tmp_path / "out")
    metrics = read_json(tmp_path / "out" / "metrics.json")
    assert metrics["scores"]["dev"]["pearson"] > 30
    table = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pydict()
    assert all(0 <= value <= 5 for value in table["prediction"])
    assert len(table["scores"][0]) == 6


def test_scores_that_join_splits(tmp_path: Path) -> None:
    splits = {
        "train": random_split(12, 3, 3, 0),
        "middle": random_split(6, 3, 3, 1),
        "high": random_split(9, 3, 3, 2),
    }
    scored = {"middle": ["middle"], "high": ["high"], "test": ["middle", "high"]}
    task = task_spec("choice", scored=scored)
    folder = write_task(tmp_path / "race", splits, "race")
    finetune.run(finetune_job(task, keep=False), folder, None, tmp_path / "out")
    metrics = read_json(tmp_path / "out" / "metrics.json")
    assert metrics["n"] == {"middle": 6, "high": 9, "test": 15}
    one, two, both = (metrics["scores"][name]["accuracy"] for name in scored)
    assert both == pytest.approx((6 * one + 9 * two) / 15)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def outputs(folder: Path) -> dict[str, Any]:
    """Everything that must come out the same, as bytes."""
    names = ("predictions.parquet", "curves.csv", "model.safetensors")
    files = {name: (folder / name).read_bytes() for name in names}
    return {"metrics": without_cost(folder / "metrics.json"), **files}


def test_interrupted_anywhere_the_bytes_are_the_same(
    pair: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = finetune_job(pretrained=True, dropout=0.1)
    finetune.run(job, pair, pretrained, tmp_path / "whole")
    expected = outputs(tmp_path / "whole")
    for step in (1, 13, 20):
        out = tmp_path / f"after-{step}"
        undo = stop_after(monkeypatch, step)
        with pytest.raises(KeyboardInterrupt):
            finetune.run(job, pair, pretrained, out)
        undo()
        assert (out / "resume.ckpt").exists()
        finetune.run(job, pair, pretrained, out)
        assert outputs(out) == expected


def test_seeds_decide_what_they_should(pair: Path) -> None:
    def weights(**changes: Any) -> dict[str, torch.Tensor]:
        net = Finetuning(finetune_job(**changes), VOCAB, "tok", None, 10)
        return {name: tensor.clone() for name, tensor in net.state_dict().items()}

    base, other, earlier = weights(), weights(seed=1), weights(pretrain_seed=1)
    qkv, head = "backbone.blocks.0.attn.qkv.weight", "classifier.linear.weight"
    assert torch.equal(base[qkv], other[qkv])
    assert not torch.equal(base[head], other[head])
    assert not torch.equal(base[qkv], earlier[qkv])
    assert torch.equal(base[head], earlier[head])
    tokens = "backbone.tokens"
    assert torch.equal(base[tokens][:VOCAB], other[tokens][:VOCAB])
    assert not torch.equal(base[tokens][VOCAB:], other[tokens][VOCAB:])


def test_transfer_starts_from_the_first_blocks(pretrained: Path) -> None:
    job = finetune_job(pretrained=True, transfer_layers=1)
    weights = pretrained / "model.safetensors"
    trained, _ = read(weights)
    net = Finetuning(job, VOCAB, "tok", weights, 10)
    fresh = Finetuning(finetune_job(), VOCAB, "tok", None, 10)
    own, other = net.backbone.state_dict(), fresh.backbone.state_dict()
    for name in trained:
        rows = slice(VOCAB) if name == "tokens" else slice(None)
        source = other if name.startswith("blocks.1.") else trained
        assert torch.equal(own[name][rows], source[name][rows]), name


def test_outputs_that_are_no_numbers_fail_the_job(pair: Path, tmp_path: Path) -> None:
    """A diverged model would answer one class to everything: no score, and no metrics file."""
    with pytest.raises(UserError, match="cannot be scored; lower finetune"):
        finetune.run(finetune_job(lr=1e30, epochs=1), pair, None, tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_mistakes_are_one_line(pair: Path, pretrained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --pretrained"):
        finetune.run(finetune_job(pretrained=True), pair, None, tmp_path)
    wrong = task_spec(scored={"test": ["test"]})
    with pytest.raises(UserError, match="no split `test`; there is train, dev"):
        finetune.run(finetune_job(wrong), pair, None, tmp_path)
    deeper = finetune_job(pretrained=True, backbone=transformer(n_layer=3))
    with pytest.raises(UserError, match="n_layer 2, the settings say 3"):
        finetune.run(deeper, pair, pretrained, tmp_path)
