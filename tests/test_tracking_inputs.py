"""MLflow: data sets as inputs, logged models, the report's links. All jobs here are fakes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gptbench import tracking
from gptbench.tracking import page
from gptbench.tracking.datasets import context, data_of
from gptbench.tracking.jobs import find_jobs
from gptbench.tracking.sync import LEDGER
from tests.test_tracking import STARTED, client, fake_job, fake_report, runs

SHA = {split: hashlib.sha256(split.encode()).hexdigest() for split in ("train", "dev", "test")}
BLOCK = '<script type="application/json" id="mlflow">{}</script>'
TASK = {"name": "rte", "train": "train", "scored": {"dev": ["dev"]}, "files": {}}


def facts(
    root: Path, rows: dict[str, int], found: dict[str, int], run_id: str = "fake-rte"
) -> None:
    """The fake encode job of a task with three splits."""
    files = {split: f"glue/RTE/{split}.tsv" for split in rows}
    settings = {"task": {**TASK, "files": files}, "limits": {"train": 50}, "seed": 3}
    settings["zeroshot_rows"] = 4
    fake_job(root / "tasks/rte", "encode", settings, run_id=run_id)
    told = {"name": "rte", "digest": {s: SHA[s] for s in rows}, "rows": rows}
    told |= {"rows_found": found, "tokens": dict.fromkeys(rows, 99)}
    told["labels"] = {s: {"yes": n} for s, n in rows.items()}
    (root / "tasks/rte/facts.json").write_text(json.dumps(told))


def corpus(root: Path) -> None:
    """The fake corpus, of one shard of training and two of held-out text."""
    fake_job(root / "corpus", "corpus", {"corpus": {}}, run_id="fake-corpus")
    part = {"books": [{}, {}], "words": 7, "bytes": 70}
    shards = {"train": ["a" * 64], "validation": ["b" * 64, "c" * 64]}
    splits = {
        name: {**part, "tokens": 10 * len(each), "shards": [{"sha256": x} for x in each]}
        for name, each in shards.items()
    }
    (root / "corpus/index.json").write_text(json.dumps({"splits": splits, "tokenizer_id": "t"}))


def job(
    folder: Path, stage: str, settings: dict[str, Any], inputs: dict[str, str], **more: Any
) -> None:
    """A fake job with inputs of its own."""
    fake_job(folder, stage, settings, more.pop("metrics", None), **more)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "inputs": inputs}))


def scale(root: Path) -> Path:
    """A scale whose training jobs have data and weights."""
    facts(root, {"train": 50, "dev": 20, "test": 5}, {"train": 300, "dev": 20, "test": 5})
    corpus(root)
    pretrain = {"model": "transformer", "seed": 0, "n_ctx": 8}
    pretrain["backbone"] = {"kind": "transformer", "n_layer": 2}
    job(
        root / "pretrain/transformer/seed0",
        "pretrain",
        pretrain,
        {"corpus": "fake-corpus"},
        metrics={"steps": 4, "validation_loss": 1.5, "perplexity": 4.5, "device": "cpu"},
        curves="step,loss,validation_loss\n2,2.0,\n4,1.75,1.5\n",
    )
    job(
        root / "finetune/full/rte/pre0-seed1",
        "finetune",
        {"variant": "full", "model": "transformer", "task": TASK, "seed": 1, "pretrain_seed": 0},
        {"task": "fake-rte", "pretrained": "fake-pretrain-seed0"},
        metrics={"steps": 3, "scores": {"dev": {"accuracy": 55.0}}, "n": {"dev": 20}},
    )
    job(
        root / "zeroshot/transformer/seed0",
        "zeroshot",
        {"model": "transformer", "seed": 0, "tasks": [TASK]},
        {"tasks/rte": "fake-rte"},
    )
    for folder in ("pretrain/transformer/seed0", "finetune/full/rte/pre0-seed1"):
        (root / folder / "model.safetensors").write_bytes(b"fake weights")
    fake_report(root)
    (root / "report/index.html").write_text(f"<p>fake</p>{BLOCK}<p>end</p>")
    return root


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that was synced with its models; tests only read it."""
    root = tmp_path_factory.mktemp("results")
    tracking.sync(scale(root / "quick"), models=True)
    return root


def inputs(run: Any) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """A run's data sets: context, digest and profile by name."""
    return {
        each.dataset.name: (
            {tag.key: tag.value for tag in each.tags}["mlflow.data.context"],
            each.dataset.digest,
            json.loads(each.dataset.profile),
        )
        for each in run.inputs.dataset_inputs
    }


def run_of(root: Path, stage: str) -> Any:
    (run,) = runs(root, f"tags.`gptbench.stage` = '{stage}'")
    return client(root).get_run(run.info.run_id)


def test_runs_have_the_splits_they_read_with_digests(logged: Path) -> None:
    encode = inputs(run_of(logged, "encode"))
    assert {name: each[0] for name, each in encode.items()} == {
        "rte/train": "training",
        "rte/dev": "validation",
        "rte/test": "test",
    }
    assert encode["rte/dev"][1] == SHA["dev"][:32], "all rows of a file: the file's digest"
    assert encode["rte/dev"][2]["sha256 of the file"] == SHA["dev"]
    assert encode["rte/dev"][2]["rows"] == 20
    assert encode["rte/train"][1] not in SHA["train"], "50 of 300 rows are other data"
    assert encode["rte/train"][2]["rows of the file"] == 300
    finetune = inputs(run_of(logged, "finetune"))
    assert finetune == {name: encode[name] for name in ("rte/train", "rte/dev")}
    zeroshot = inputs(run_of(logged, "zeroshot"))
    assert list(zeroshot) == ["rte/dev"]
    assert zeroshot["rte/dev"][2]["rows"] == 4
    assert zeroshot["rte/dev"][1] != encode["rte/dev"][1]


def test_pretraining_has_its_corpus(logged: Path) -> None:
    found = inputs(run_of(logged, "pretrain"))
    assert found["corpus/train"][:2] == ("training", "a" * 32)
    assert found["corpus/train"][2]["tokens"] == 10
    assert found["corpus/train"][2]["books"] == 2
    both = hashlib.sha256(f"{'b' * 64}\0{'c' * 64}".encode()).hexdigest()
    assert found["corpus/validation"][:2] == ("validation", both[:32])


def test_a_job_whose_data_was_made_again_gets_none(tmp_path: Path) -> None:
    root = scale(tmp_path / "quick")
    facts(root, {"train": 60, "dev": 20}, {"train": 300, "dev": 20}, run_id="fake-rte-new")
    names = {job.stage: [each.name for each in data_of(root, job)] for job in find_jobs(root)}
    assert names["finetune"] == names["zeroshot"] == []
    assert names["encode"] == ["rte/train", "rte/dev"]


def test_a_subset_of_the_training_rows_is_other_data(tmp_path: Path) -> None:
    root = scale(tmp_path / "quick")
    path = root / "finetune/full/rte/pre0-seed1/manifest.json"
    manifest = json.loads(path.read_text())
    digests = []
    for rows in (None, 10, 20):
        manifest["settings"]["train_rows"] = rows
        path.write_text(json.dumps(manifest))
        (found,) = [job for job in find_jobs(root) if job.stage == "finetune"]
        train, dev = data_of(root, found)
        assert train.profile["rows"] == (rows or 50)
        assert dev.short == SHA["dev"][:32]
        digests.append(train.short)
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("split", "what"),
    [("train", "training"), ("dev_matched", "validation"), ("test_middle", "test")],
)
def test_what_a_split_is_for(split: str, what: str) -> None:
    assert context(split, "train") == what


def test_a_language_models_losses_are_perplexities_too(logged: Path) -> None:
    run = run_of(logged, "pretrain")
    history = client(logged).get_metric_history(run.info.run_id, "train_perplexity")
    assert [point.step for point in history] == [2, 4]
    assert [point.value for point in history] == pytest.approx([7.389056, 5.754603])
    (only,) = client(logged).get_metric_history(run.info.run_id, "perplexity")
    assert (only.step, only.value) == (4, 4.5), "the final number stands for the curve's point"


def test_kept_weights_are_logged_models(logged: Path) -> None:
    found = client(logged).search_logged_models([run_of(logged, "pretrain").info.experiment_id])
    models = {model.name: model for model in found}
    assert sorted(models) == ["finetune-full-rte-pre0-seed1", "pretrain-transformer-seed0"]
    pretrain, finetune = (
        models["pretrain-transformer-seed0"],
        models["finetune-full-rte-pre0-seed1"],
    )
    assert {str(model.status) for model in found} == {"READY"}
    assert pretrain.source_run_id == run_of(logged, "pretrain").info.run_id
    assert pretrain.params["backbone.n_layer"] == "2"
    assert pretrain.tags["gptbench.weights"] == "quick/pretrain/transformer/seed0/model.safetensors"
    assert pretrain.tags["gptbench.bytes"] == "12"
    on = {m.key: (m.value, m.dataset_name) for m in finetune.metrics}
    assert on["scores/dev/accuracy"] == (55.0, "rte/dev")
    on = {m.key: (m.value, m.dataset_name) for m in pretrain.metrics}
    assert on["perplexity"] == (4.5, "corpus/validation")
    (output,) = run_of(logged, "finetune").outputs.model_outputs
    assert (output.model_id, output.step) == (finetune.model_id, 3)
    assert not list((logged / "mlartifacts").rglob("*.safetensors")), "nothing is copied"
    run = run_of(logged, "finetune").info.run_id
    assert len(client(logged).get_metric_history(run, "scores/dev/accuracy")) == 1


def test_models_are_registered_once(tmp_path: Path) -> None:
    root = scale(tmp_path / "quick")
    assert tracking.sync(root).models == 0, "on request only"
    assert tracking.sync(root, models=True).models == 2
    assert tracking.sync(root, models=True).models == 0
    (root / LEDGER).unlink()
    assert tracking.sync(root, models=True).logged == 0
    experiment = run_of(tmp_path, "pretrain").info.experiment_id
    assert len(client(tmp_path).search_logged_models([experiment])) == 2
    path = root / "finetune/full/rte/pre0-seed1/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "started": STARTED + 50}))
    summary = tracking.sync(root, models=True)
    assert (summary.logged, summary.superseded, summary.models) == (1, 1, 1)
    found = client(tmp_path).search_logged_models([experiment])
    assert len(found) == 3
    assert sum("gptbench.superseded" in model.tags for model in found) == 1


# The report's page. ----------------------------------------------------------------------------


def told(root: Path) -> dict[str, Any]:
    """What the page's block says."""
    text = (root / "report/index.html").read_text()
    found = re.fullmatch(r'<p>fake</p><script [^>]*id="mlflow">(.*)</script><p>end</p>', text)
    assert found
    return dict(json.loads(found[1]))


def test_the_report_gets_its_links_and_keeps_its_time(tmp_path: Path) -> None:
    root = scale(tmp_path / "quick")
    before = (root / "report/index.html").stat().st_mtime_ns
    tracking.sync(root)
    assert (root / "report/index.html").stat().st_mtime_ns == before
    says = told(root)
    parent = run_of(tmp_path, "reproduction").info
    assert (says["ui"], says["experiment"]) == ("http://127.0.0.1:5000", parent.experiment_id)
    assert says["parent"] == parent.run_id
    ids = {
        run.data.tags["gptbench.run_id"]: run.info.run_id
        for run in runs(tmp_path)
        if "gptbench.folder" in run.data.tags
    }
    assert says["runs"] == ids
    assert len(ids) == 5
    artifacts = tmp_path / "mlartifacts/quick" / parent.run_id / "artifacts/report"
    assert (artifacts / "index.html").read_bytes() == (root / "report/index.html").read_bytes()

    (root / "report/index.html").write_text(f"<p>fake</p>{BLOCK}<p>end</p>")
    assert tracking.sync(root).logged == 0
    assert told(root) == says, "put in again where nothing was logged"

    tracking.sync(root, ui="http://127.0.0.1:6000")
    tracking.sync(root)
    assert told(root) == {**says, "ui": "http://127.0.0.1:6000"}, "remembered"


def test_a_page_without_the_block_stays_as_it_is(tmp_path: Path) -> None:
    root = scale(tmp_path / "quick")
    (root / "report/index.html").write_text("<p>old</p>")
    tracking.sync(root)
    assert (root / "report/index.html").read_text() == "<p>old</p>"


def test_nothing_in_the_block_ends_its_script() -> None:
    entry = {
        "experiment": "1",
        "parent": "p",
        "runs": {"k": {"run_id": "</script>", "mlflow": "m"}},
    }
    made = page.block(entry, page.UI)
    assert "<" not in made
    assert json.loads(made)["runs"] == {"</script>": "m"}
