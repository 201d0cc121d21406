"""The study on request: what a target runs, and the section "from RNN to GPT" on made-up runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptbench.errors import UserError
from gptbench.evaluation.statistics import interval
from gptbench.plan import Plan
from gptbench.report import timeline
from gptbench.report.build import run
from gptbench.report.results import Results
from gptbench.settings import read_yaml
from tests.report_tree import add_on_request, make_job, make_tree

CONFIG = Path(__file__).parent.parent / "config"
CAUSAL = {"rnn", "lstm-matched", "transformer", "gpt2", "gpt3"}


def quick(**changes: Any) -> Plan:
    return Plan.read(read_yaml(CONFIG / "config.yaml") | changes, CONFIG)


# What runs. ----------------------------------------------------------------------------------


def test_the_quick_scale_runs_none_of_it_by_itself() -> None:
    plan, without = quick(), quick(on_request=[])
    assert plan.runs() == without.runs()
    assert plan.pretrained() == without.pretrained() == [("lstm", 0), ("transformer", 0)]
    assert plan.zeroshot_models() == without.zeroshot_models()
    assert plan.fewshot_models() == []
    assert {run.variant for run in plan.runs()}.isdisjoint({"rnn", "lstm-matched", "gpt2", "gpt3"})


def test_by_its_name_it_runs_whole() -> None:
    plan = quick()
    runs = plan.runs("timeline")
    assert {r.variant for r in runs} >= {"rnn", "lstm-matched", "full", "gpt2", "gpt3"}
    assert {r.task for r in runs} == {t for t in plan.tasks if t != "dprd"}
    assert len(runs) == len({r.variant for r in runs}) * 12 * len(plan.config.finetune_seeds)
    assert {m for m, _ in plan.zeroshot_models("timeline")} == CAUSAL
    assert {m for m, _ in plan.fewshot_models("timeline")} == {"transformer", "gpt2", "gpt3"}
    models = {plan.variant(r.variant).model for r in runs}
    assert {m for m, _ in plan.pretrained("timeline")} == models | CAUSAL


def test_jobs_are_the_same_with_the_study_on_request_or_without() -> None:
    plan, without = quick(), quick(on_request=[])
    for run_ in without.runs():
        assert plan.finetune_job(run_).to_json() == without.finetune_job(run_).to_json()
    for model, seed in without.pretrained():
        assert (
            plan.pretrain_job(model, seed).to_json() == without.pretrain_job(model, seed).to_json()
        )
        assert (
            plan.zeroshot_job(model, seed).to_json() == without.zeroshot_job(model, seed).to_json()
        )
    for task in without.task_names():
        assert plan.encode_job(task).to_json() == without.encode_job(task).to_json()


def test_each_model_differs_from_gpt1_in_backbone_and_rate_alone() -> None:
    models = quick().config.models
    same = models["transformer"].pretrain
    assert same is not None
    for name in ("rnn", "lstm-matched", "gpt2", "gpt3"):
        pretrain = models[name].pretrain
        assert pretrain is not None
        assert pretrain.model_copy(update={"lr": same.lr}) == same


def test_a_scale_without_a_model_runs_the_others() -> None:
    models = read_yaml(CONFIG / "config.yaml")["models"]
    models.pop("rnn")
    plan = quick(models=models)
    assert "rnn" not in {r.variant for r in plan.runs("timeline")}
    assert "gpt2" in {r.variant for r in plan.runs("timeline")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"on_request": ["timelin"]}, "on_request: `timelin` is not defined; did you mean `time"),
        ({"on_request": ["figure2_right"]}, "`figure2_right` fine-tunes nothing; put it in `st"),
        (
            {"experiments": {"studies": {"x": {"title": "X", "variants": [], "against": "y"}}}},
            "against: `y` is not one of the study's variants",
        ),
    ],
)
def test_a_wrong_key_is_one_line(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        quick(**change)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# The section. --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs of the causal models and the default ones; another model's lie not there."""
    job = make_job()
    root = make_tree(job, tmp_path_factory.mktemp("timeline"))
    add_on_request(job, root, "timeline", models=tuple(CAUSAL))
    run(job, root)
    return root


def rows(root: Path) -> list[dict[str, str]]:
    with (root / "report" / "scores.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["table"] == "timeline"]


def test_the_page_has_the_section_and_no_missing_runs(whole: Path) -> None:
    page = (whole / "report" / "index.html").read_text("utf-8")
    at = page.index('<h2 id="timeline">From RNN to GPT</h2>')
    part = page[at : page.index("<h2", at + 1)]
    for name in ("RNN", "LSTM", "GPT-1", "GPT-2-style decoder", "GPT-3-style decoder"):
        assert f"{name} <small>" in part
    assert part.count("SYNTHETIC WORLD - not comparable") >= 2
    assert "Missing:" not in page
    assert "+6.0 %" in part, "the RNN's parameters beside GPT-1's"
    for ending in ("svg", "png"):
        assert (whole / "report" / "figures" / f"timeline.{ending}").stat().st_size > 1000
    drawn = (whole / "report" / "figures" / "timeline.csv").read_text("utf-8").splitlines()
    assert drawn[0] == "variant,name,year,mean,low,high,runs"
    assert "full,GPT-1,2018," in "\n".join(drawn)
    for ending in ("csv", "md", "tex"):
        assert (whole / "report" / "tables" / f"timeline.{ending}").is_file()
    assert json.loads((whole / "report" / "manifest.json").read_text())["missing"] == []


def test_one_colour_a_model(whole: Path) -> None:
    found = timeline.section(Results(make_job(), whole))
    assert found is not None
    colours = [line.style.colour for line in found.lines]
    assert len(set(colours)) == len(colours)
    drawn = (whole / "report" / "figures" / "timeline.svg").read_text("utf-8")
    page = (whole / "report" / "index.html").read_text("utf-8")
    for line in found.lines:
        assert f"background: {line.style.colour}" in page
        if line.eight is not None:
            assert line.style.colour in drawn


def test_means_are_those_of_the_runs(whole: Path) -> None:
    job = make_job()
    glue = job.experiments.studies["table5"].tasks
    twelve = job.experiments.studies["timeline"].tasks
    found = timeline.section(Results(job, whole))
    assert found is not None
    line = next(each for each in found.lines if each.facts.variant == "gpt2")

    def by_hand(tasks: list[str]) -> float:
        each = []
        for task in tasks:
            spec = job.tasks[task]
            names = ["test"] if "test" in spec.scored else list(spec.scored)
            for path in (whole / "finetune" / "gpt2" / task).glob("*/metrics.json"):
                scores = json.loads(path.read_text())["scores"]
                each.append(np.mean([scores[name][spec.metrics[0]] for name in names]))
        return float(np.mean(each))

    assert line.twelve is not None
    assert line.eight is not None
    assert line.twelve.value == pytest.approx(by_hand(twelve))
    assert line.eight.value == pytest.approx(by_hand(glue))
    assert (line.done, line.asked) == (24, 24)
    assert line.flops == pytest.approx(3e6)
    assert line.perplexity == pytest.approx(12.2)


def test_every_model_is_compared_with_gpt1(whole: Path) -> None:
    with (whole / "report" / "differences.csv").open() as file:
        found = [row for row in csv.DictReader(file) if row["table"] == "timeline"]
    assert {row["first"] for row in found if row["second"] != "zero-shot"} == {"full"}
    assert {row["second"] for row in found} >= {"rnn", "lstm-matched", "gpt2", "gpt3"}
    table = (whole / "report" / "tables" / "timeline.md").read_text("utf-8")
    assert "difference to Transformer w/ aux LM (full)" in table


def test_rows_of_the_scores(whole: Path) -> None:
    found = rows(whole)
    assert {r["model"] for r in found} == CAUSAL
    kinds = {r["variant"] for r in found if r["model"] == "gpt3"}
    assert kinds == {"gpt3", "zero-shot", "few-shot-0", "few-shot-1", "few-shot-2", "few-shot-fit"}
    assert {r["task"] for r in found if r["variant"] == "zero-shot"} == {
        "sst2", "cola", "race", "dprd",
    }  # fmt: skip
    means = [r for r in found if r["task"] == "average" and r["variant"] == "rnn"]
    assert [(r["pretrain_seed"], r["seed"]) for r in means] == [("0", "0"), ("0", "1"), ("", "")]
    for row in found:
        assert bool(row["ci_low"]) is (not row["pretrain_seed"])


def test_few_shot_scores_are_the_files(whole: Path) -> None:
    found = Results(make_job(), whole)
    entries = json.loads((whole / "fewshot/gpt3/seed0/metrics.json").read_text())["scores"]
    wanted = [e for e in entries if e["task"] == "sst2"]
    points = found.few_points("gpt3", "sst2")
    assert [p.shots for p in points] == ["0", "1", "2", "fit"]
    for point, entry in zip(points, wanted, strict=True):
        reach = interval(point.sample)
        assert reach.value == pytest.approx(entry["value"])
        assert reach.low is not None
        assert reach.low < reach.value


def test_a_model_without_runs_has_a_line_and_dashes(tmp_path: Path) -> None:
    job = make_job()
    add_on_request(job, make_tree(job, tmp_path), "timeline", models=("gpt3",))
    run(job, tmp_path)
    found = timeline.section(Results(job, tmp_path))
    assert found is not None
    line = next(each for each in found.lines if each.facts.variant == "rnn")
    assert (line.twelve, line.parameters, line.done, line.zero, line.few) == (None, None, 0, {}, [])
    assert "0 of 24" in (tmp_path / "report" / "index.html").read_text("utf-8")
    assert {r["variant"] for r in rows(tmp_path)} >= {"full", "gpt3"}
    assert "rnn" not in {r["variant"] for r in rows(tmp_path)}


def test_without_its_runs_the_report_does_not_speak_of_it(tmp_path: Path) -> None:
    job = make_job()
    run(job, make_tree(job, tmp_path))
    page = (tmp_path / "report" / "index.html").read_text("utf-8")
    assert 'id="timeline"' not in page
    assert rows(tmp_path) == []
    assert not (tmp_path / "report" / "figures" / "timeline.svg").exists()
    assert json.loads((tmp_path / "report" / "manifest.json").read_text())["missing"] == []
    assert "<b>rnn</b>" not in page, "the first screen names the models that ran"


def test_the_history_names_the_studys_variants() -> None:
    study = make_job().experiments.studies["timeline"]
    facts = timeline.history()
    assert [each.variant for each in facts] == study.variants
    assert [each.year for each in facts] == sorted(each.year for each in facts)
    assert study.against == timeline.BASE
