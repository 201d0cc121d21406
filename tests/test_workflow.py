"""The real workflow under the real Snakemake, on a cut-down scale."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import yaml

from tests.conftest import Project, tiny_config

pytestmark = pytest.mark.workflow


def scores(project: Project) -> list[dict[str, str]]:
    with (project.results / "report" / "scores.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_whole_paper_comes_out(finished_project: Project) -> None:
    report = finished_project.results / "report"
    for n in range(1, 6):
        for ending in ("csv", "md", "tex"):
            assert (report / "tables" / f"table{n}.{ending}").stat().st_size > 100
    for side in ("left", "right"):
        assert (report / "figures" / f"figure2_{side}.svg").stat().st_size > 1000
        assert (report / "figures" / f"figure2_{side}.png").read_bytes()[:4] == b"\x89PNG"
    overlap = json.loads((finished_project.results / "contamination.json").read_text())
    assert (overlap["books"], set(overlap["tasks"]) >= {"mnli", "race", "dprd"}) == (4, True)
    page = (report / "index.html").read_text()
    assert "SYNTHETIC" in page
    seen = finished_project.results / "attention" / "transformer" / "seed0" / "attention.json"
    first = json.loads(seen.read_text())["sentences"][0]
    assert (len(first["weights"]), len(first["weights"][0])) == (2, 2)
    assert f"The sentence: <q>{first['text']}</q>" in page
    assert 'src="http' not in page, "the page is self-contained"
    rows = scores(finished_project)
    ours = {(r["table"], r["variant"], r["task"]) for r in rows if r["source"] == "gptbench"}
    for task in ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"):
        for variant in ("full", "no-pretraining", "no-aux-lm", "lstm"):
            assert ("table5", variant, task) in ours
    assert {t for table, _, t in ours if table == "figure2_right"} == {
        "cola",
        "sst2",
        "race",
        "dprd",
    }
    assert list(rows[0]) == (
        "table,method,source,variant,model,task,metric,split,pretrain_seed,seed,value,"
        "ci_low,ci_high,n,steps,run_id"
    ).split(",")


def test_nothing_changed_is_nothing_to_be_done(finished_project: Project) -> None:
    assert finished_project.planned() == {}


def test_another_lambda_runs_fine_tuning_and_report(finished_project: Project) -> None:
    planned = finished_project.planned("--config", "lm_coef=0.25")
    assert set(planned) <= {"finetune", "report", "all", "total"}
    everything = len(list(finished_project.results.glob("finetune/*/*/*/metrics.json")))
    unchanged = len(list(finished_project.results.glob("finetune/no-aux-lm/*/*/metrics.json")))
    assert planned["finetune"] == everything - unchanged
    assert planned["report"] == 1


def test_other_sentences_run_their_stage_and_the_report_alone(finished_project: Project) -> None:
    own = {"sentences": ["Leo saw the cook because he was hungry."]}
    planned = finished_project.planned("--config", f"attention={json.dumps(own)}")
    assert planned == {"all": 1, "attention": 1, "report": 1, "total": 3}


def test_a_study_on_request_runs_beside_a_report_that_is_out_of_date(
    finished_project: Project,
) -> None:
    """A stale report must not hide that the study's own models and runs are missing."""
    fresh = finished_project.planned("timeline")
    stale = finished_project.planned("timeline", "--config", "title=Another")
    assert {"pretrain", "finetune", "timeline"} <= set(fresh)
    for rule in ("pretrain", "finetune", "timeline"):
        assert stale[rule] == fresh[rule]
    assert stale["report"] == 1
    assert "report" not in fresh


def test_exchanged_settings_are_noticed(finished_project: Project) -> None:
    world = finished_project.config["world"]
    first, second = world["books_train"], world["books_validation"]
    assert first != second
    rows = {"train": 12, "eval": 8}
    limits = {"default": rows, "tasks": {"race": rows}}
    one = finished_project.planned("--config", f"limits={json.dumps(limits)}")
    assert one["encode"] == 12 + 1
    finetune = finished_project.config["finetune"]
    exchanged = {"clip": finetune["classifier_dropout"], "classifier_dropout": 0.5}
    planned = finished_project.planned("--config", f"finetune={json.dumps(exchanged)}")
    assert planned["finetune"] > 0
    assert "pretrain" not in planned


def test_one_tasks_row_runs_that_task_alone(copied: Project) -> None:
    path = copied.folder / "config" / "tasks.yaml"
    tasks = yaml.safe_load(path.read_text())
    tasks["rte"]["version"] = 2
    path.write_text(yaml.safe_dump(tasks))
    done = copied.run("--dry-run")
    planned = copied.planned()
    assert planned["encode"] == 1
    assert "pretrain" not in planned
    runs = len(list(copied.results.glob("finetune/*/rte/*/metrics.json")))
    assert planned["finetune"] == runs
    assert "task=mnli" not in done.stdout + done.stderr


def test_a_caption_runs_the_report_alone(copied: Project) -> None:
    for name, *keys in (("tasks.yaml", "rte"), ("experiments.yaml", "studies", "table2")):
        path = copied.folder / "config" / name
        data = entry = yaml.safe_load(path.read_text())
        for key in keys:
            entry = entry[key]
        entry["title"] = "Another name"
        path.write_text(yaml.safe_dump(data))
    assert copied.planned() == {"all": 1, "report": 1, "total": 2}


def test_another_systems_scores_run_the_report_alone(copied: Project) -> None:
    path = copied.folder / "mine.csv"
    path.write_text("system,task,metric,split,value\nMine,rte,accuracy,test,71.0\n")
    copied.config["systems"] = ["mine.csv"]
    copied.save()
    assert copied.planned() == {"all": 1, "report": 1, "total": 2}
    copied.run()
    assert [row["value"] for row in scores(copied) if row["source"] == "user"] == ["71", "71"]
    assert copied.planned() == {}
    path.write_text(path.read_text().replace("71.0", "72.0"))
    assert copied.planned() == {"all": 1, "report": 1, "total": 2}
    path.write_text(path.read_text().replace("accuracy", "acuracy"))
    done = copied.run("--dry-run", check=False)
    assert done.returncode
    assert "mine.csv, row 2: column `metric`: rte has no metric 'acuracy'" in done.stderr


def test_two_folders_give_the_same_numbers(finished_project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "elsewhere")
    other.run()
    compared = 0
    for path in sorted(finished_project.results.glob("finetune/*/*/*/predictions.parquet")):
        twin = other.results / path.relative_to(finished_project.results)
        assert twin.read_bytes() == path.read_bytes(), path
        compared += 1
    assert compared > 50
    without_ids = [[{**r, "run_id": ""} for r in scores(p)] for p in (finished_project, other)]
    assert without_ids[0] == without_ids[1]


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


class Long(NamedTuple):
    """A job that takes some seconds, to be interrupted: its target, log and other results."""

    target: str
    log: str
    beside: str

    def config(self) -> dict[str, Any]:
        """The tiny scale with many more updates."""
        config = tiny_config()
        for model in config["models"].values():
            model["pretrain"]["steps"] = 1500
        config["finetune"]["epochs"] = 150
        config["studies"] = ["gains", "figure2_right"]
        return config


LONG = {
    "pretrain": Long(
        "results/tiny/pretrain/transformer/seed0/metrics.json",
        "pretrain/transformer-seed0.log",
        "model.safetensors",
    ),
    "finetune": Long(
        "results/tiny/finetune/no-pretraining/rte/pre0-seed0/metrics.json",
        "finetune/no-pretraining-rte-pre0-seed0.log",
        "predictions.parquet",
    ),
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Project]:
    """The project in which a stage's long job ran to its end at once."""

    @cache
    def whole(stage: str) -> Project:
        project = Project(tmp_path_factory.mktemp("whole") / stage, LONG[stage].config())
        project.run(LONG[stage].target)
        return project

    return whole


def job_of(project: Project) -> psutil.Process:
    """The process of the job that runs: a child of the project's warm worker."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            family = [process, process.parent()]
            if process.cwd() == str(project.folder) and all(
                one and "gptbench.worker" in " ".join(one.cmdline()) for one in family
            ):
                return process
    raise AssertionError("no job runs")


@pytest.mark.parametrize("how", ["snakemake-killed", "job-killed", "ctrl-c"])
@pytest.mark.parametrize("stage", LONG)
def test_an_interrupted_run_goes_on_with_the_same_numbers(
    tmp_path: Path, uninterrupted: Callable[[str], Project], stage: str, how: str
) -> None:
    long = LONG[stage]
    project = Project(tmp_path / how, long.config())
    running = subprocess.Popen(
        project.command(long.target),
        cwd=project.folder,
        env={**project.environment(), "GPTBENCH_RESUME_SECONDS": "0.5"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    path = project.folder / long.target
    wait_for(lambda: path.with_name("resume.ckpt").exists() or running.poll() is not None, 120)
    assert running.poll() is None, "the run was over before it could be interrupted"
    if how == "snakemake-killed":
        os.kill(running.pid, signal.SIGKILL)
        assert list((project.folder / ".snakemake" / "locks").iterdir()), "the lock stays"
    elif how == "job-killed":
        job_of(project).kill()
    else:
        os.killpg(running.pid, signal.SIGINT)
    assert running.wait(60) != 0
    assert not path.exists()
    project.run(long.target)
    assert "going on from step" in (project.results / "logs" / long.log).read_text()
    whole = uninterrupted(stage).folder / long.target
    left, right = (json.loads(one.read_text()) for one in (path, whole))
    assert {**left, "cost": 0} == {**right, "cost": 0}
    assert path.with_name(long.beside).read_bytes() == whole.with_name(long.beside).read_bytes()


def test_without_the_worker_everything_still_works(
    finished_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPTBENCH_NO_WORKER", "1")
    project = Project(tmp_path / "cold")
    target = "results/tiny/finetune/no-pretraining/rte/pre0-seed0/metrics.json"
    project.run(target)
    path = Path(target).with_name("predictions.parquet")
    warm = finished_project.folder / path
    assert (project.folder / path).read_bytes() == warm.read_bytes()


def test_nothing_of_quick_leaks_into_another_scale(tmp_path: Path) -> None:
    project = Project(tmp_path / "leak")
    del project.config["limits"]
    project.save()
    done = project.run("--dry-run", check=False)
    assert done.returncode != 0
    assert "key `limits` is missing" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "lm_coeff=1"], "unknown key `lm_coeff`; did you mean `lm_coef`?"),
        (["--config", "source=folder", "data_root=/nowhere/at/all"], "/nowhere/at/all: no such"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    project = Project(tmp_path / "mistake")
    done = project.run("--dry-run", *words, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
