"""Ablations in YAML only: the tutorial's file, what each of its keys does, and its mistakes."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from gptbench.cli import main
from gptbench.errors import UserError
from gptbench.models.transformer import Transformer
from gptbench.plan import FinetuneRun, Plan
from gptbench.settings import merged_yaml, read_yaml
from gptbench.training import finetune
from tests.conftest import PROJECT, Project, tiny_config
from tests.training_fakes import encode, finetune_job, transformer

CONFIG = PROJECT / "config"
TUTORIAL = (PROJECT / "docs" / "howto-ablation.md").read_text("utf-8")


def tutorial() -> dict[str, Any]:
    """The YAML of the tutorial."""
    found: dict[str, Any] = yaml.safe_load(TUTORIAL.split("```yaml")[1].split("```")[0])
    return found


def plan_with(**changes: Any) -> Plan:
    """The quick scale's plan with keys on top."""
    return Plan.read({**read_yaml(CONFIG / "config.yaml"), **changes}, CONFIG, "mine.yaml")


@pytest.mark.workflow
def test_the_tutorial_as_it_stands(tmp_path: Path) -> None:
    project = Project(tmp_path / "a project", tiny_config())
    (project.folder / "my-ablation.yaml").write_text(yaml.safe_dump(tutorial()))
    for split, text in (
        ("train", "the cat sat on a mat .\n" * 400),
        ("validation", "a cat .\n" * 99),
    ):
        folder = project.folder / "my-books" / split
        folder.mkdir(parents=True)
        (folder / "book.txt").write_text(text)
    project.files.append("my-ablation.yaml")
    project.run()
    report = project.folder / "results" / "my-ablation" / "report"
    with (report / "scores.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["table"] == "mine"]
    study = tutorial()["experiments"]["studies"]["mine"]
    assert {row["variant"] for row in rows} == set(study["variants"])
    assert {row["task"] for row in rows} == {"rte", "cola"}
    assert "My first ablation" in (report / "index.html").read_text("utf-8")
    with (report / "tables" / "mine.csv").open() as file:
        blocks = [row["block"] for row in csv.DictReader(file)]
    assert sum("difference to" in block for block in blocks) == len(study["variants"]) - 1
    metrics = json.loads(
        (report.parent / "finetune/rows-10/rte/pre0-seed0/metrics.json").read_text()
    )
    assert metrics["train_rows"] == 10
    corpora = {
        model: json.loads((report.parent / f"pretrain/{model}/seed0/manifest.json").read_text())[
            "inputs"
        ]["corpus"]
        for model in ("transformer", "two-layers", "other-books")
    }
    assert corpora["transformer"] == corpora["two-layers"] != corpora["other-books"]


def test_like_takes_over_and_overrides() -> None:
    plan = plan_with(
        models={
            **read_yaml(CONFIG / "config.yaml")["models"],
            "flat": {"like": "transformer", "backbone": {"n_layer": 1}},
            "flatter": {"like": "flat", "pretrain": {"lr": 0.5}},
        }
    )
    base, flat, flatter = (plan.config.models[n] for n in ("transformer", "flat", "flatter"))
    assert flat.backbone == base.backbone.model_copy(update={"n_layer": 1})
    assert flat.pretrain == base.pretrain
    assert flatter.backbone == flat.backbone
    assert base.pretrain is not None
    assert flatter.pretrain == base.pretrain.model_copy(update={"lr": 0.5})


def test_files_on_top_of_each_other_as_snakemake_merges_them(tmp_path: Path) -> None:
    for name, content in (("a", "x: {y: 1, z: [1]}\nw: 2"), ("b", "x: {z: [2, 3]}\nv: 1")):
        (tmp_path / name).write_text(content)
    assert merged_yaml([tmp_path / "a", tmp_path / "b"]) == {
        "x": {"y": 1, "z": [2, 3]},
        "w": 2,
        "v": 1,
    }


def study(**keys: Any) -> dict[str, Any]:
    return {"studies": {"s": {"title": "S", "variants": ["full"], "tasks": ["rte"], **keys}}}


def variant(**keys: Any) -> dict[str, Any]:
    return {"variants": {"v": {"title": "V", "model": "transformer", **keys}}}


MODELS = read_yaml(CONFIG / "config.yaml")["models"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experiments": variant(lm_coeff=1)}, "key `experiments.variants.v.lm_coeff`; did"),
        ({"experiments": variant(frozen=True)}, "add `lm_coef: 0`"),
        ({"experiments": variant(train_rows=0)}, "experiments.variants.v.train_rows"),
        (
            {"experiments": variant(transfer_layers=1, pretrained=False)},
            "transfer_layers copies from a pre-trained model",
        ),
        (
            {"models": {**MODELS, "m": {"like": "transformr"}}},
            "models.m.like: `transformr` is not defined; did you mean `transformer`?",
        ),
        (
            {"models": {**MODELS, "m": {"like": "m"}}},
            "models.m.like: `m` leads back to itself",
        ),
        (
            {"models": {**MODELS, "m": {"like": "transformer", "backbone": {"positions": "no"}}}},
            "models.m.backbone.positions",
        ),
        (
            {
                "models": {**MODELS, "m": {"like": "transformer", "corpus": "b"}},
                "corpora": {"bb": "x"},
            },
            "models.m.corpus: `b` is not one of corpora; did you mean `bb`?",
        ),
        (
            {
                "experiments": {**variant(model="transformr"), **study(variants=["v"])},
                "studies": ["s"],
            },
            "`transformr` is not defined; did you mean `transformer`?",
        ),
        (
            {"experiments": study(variants=["ful"])},
            "experiments: variants: `ful` is not defined; did you mean `full`?",
        ),
        (
            {"experiments": study(tasks=["rtee"])},
            "studies.s.tasks: `rtee` is not defined; did you mean `rte`?",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_mend(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        plan_with(**changes)
    assert "\n" not in str(caught.value)


def test_new_keys_leave_old_jobs_as_they_were() -> None:
    job = plan_with().finetune_job(FinetuneRun("full", "rte", 0, 0))
    keys = job.to_json()
    assert not {"frozen", "train_rows", "positions"} & set(re.findall(r'"(\w+)":', keys))
    changed = job.model_copy(update={"frozen": True, "lm_coef": 0.0})
    assert '"frozen":true' in changed.to_json()
    assert type(job).from_json(changed.to_json()) == changed


def test_without_positions_the_order_of_what_came_before_is_not_seen() -> None:
    torch.manual_seed(0)
    ids = torch.randint(1, 50, (1, 10))
    turned = torch.cat([ids[:, :9].flip(1), ids[:, 9:]], 1)
    for positions, same in (("none", True), ("learned", False)):
        model = Transformer(transformer(n_layer=1, positions=positions), 50, 16).double().eval()
        one, two = (model(each)[0][0, -1] for each in (ids, turned))
        assert torch.allclose(one, two, atol=1e-12) == same
    assert "positions" not in Transformer(transformer(positions="none"), 50, 16).state_dict()


def test_a_frozen_backbone_stays_and_its_classifier_learns() -> None:
    job = finetune_job(frozen=True, lm_coef=0.0)
    module = finetune.Finetuning(job, 50, "tok", None, 10)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    data = encode([[50, 3, 4, 52], [50, 7, 8, 9, 52]], [0, 1])
    from gptbench.training.batches import collate

    batch = collate(data, np.arange(2), 16, 50, "none")
    for _ in range(3):
        module.optimizer.zero_grad()
        torch.autograd.backward(module.loss(batch))
        module.optimizer.step()
    changed = {n for n, value in module.state_dict().items() if not torch.equal(value, before[n])}
    assert changed
    assert all(name.startswith("classifier.") for name in changed)


def test_training_rows_are_nested_and_the_same_for_every_seed() -> None:
    data = encode([[50, i, 52] for i in range(1, 31)], [0] * 30)
    picks = {
        (n, seed): finetune.some(data, finetune_job(train_rows=n, seed=seed)).index.tolist()
        for n in (5, 12)
        for seed in (0, 1)
    }
    assert picks[5, 0] == picks[5, 1]
    assert picks[12, 0] == picks[12, 1]
    assert set(picks[5, 0]) < set(picks[12, 0])
    assert [len(p) for p in picks.values()] == [5, 5, 12, 12]
    taken = finetune.some(data, finetune_job(train_rows=5))
    assert [taken.sequence(i).tolist() for i in range(5)] == [
        [50, n - 99, 52] for n in taken.index.tolist()
    ]
    with pytest.raises(UserError, match="train_rows is 31, rte has 30"):
        finetune.some(data, finetune_job(train_rows=31))


def test_the_plan_says_what_runs_and_what_stays(
    finished_project: Project, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Against Snakemake's own dry run, for five changes."""
    config = finished_project.config
    everything = {"world", "gates", "tokenizer", "corpus", "encode", "contamination", "pretrain"}
    everything |= {"finetune", "zeroshot", "attention", "report"}
    for changes, rules in (
        ({}, set()),
        ({"title": "Another name"}, {"report"}),
        ({"lm_coef": 0.25}, {"finetune", "report"}),
        ({"finetune_seeds": [0, 1, 2]}, {"finetune", "report"}),
        ({"world": config["world"] | {"words_per_book": 2001}}, everything),
    ):
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**config, **changes}))
        words = ["plan", str(path), "--results-root", str(finished_project.folder / "results")]
        assert main([*words, "--json"]) == 0
        due: dict[str, int] = {}
        for line in capsys.readouterr().out.splitlines():
            job = json.loads(line)
            if job["why"]:
                due[job["stage"]] = due.get(job["stage"], 0) + 1
                assert job["seconds"] > 0
        (finished_project.folder / "config" / "tiny.yaml").write_text(path.read_text())
        planned = finished_project.planned()
        finished_project.save()
        assert set(due) == rules
        assert due == {rule: n for rule, n in planned.items() if rule not in ("all", "total")}
        assert main(words) == 0
        text = capsys.readouterr().out
        assert "lm_coef 0.5 -> 0.25" in text or "lm_coef" not in changes
