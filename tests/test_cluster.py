"""The workflow on a cluster: what its rules ask for, and a run under the Slurm profile."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from gptbench import sizes
from gptbench.plan import Plan
from gptbench.settings import read_yaml
from tests import fake_slurm
from tests.conftest import PROJECT, Project, tiny_config

CONFIG = PROJECT / "config"
PLUGIN = find_spec("snakemake_executor_plugin_slurm")


@pytest.mark.parametrize("scale", "config showcase local one-gpu paper released".split())
def test_a_job_asks_for_a_little_more_memory_than_is_reckoned(scale: str) -> None:
    """The request is a bound in closed form; the reckoning counts a model that is built."""
    plan = Plan.read({**read_yaml(CONFIG / f"{scale}.yaml"), "data_root": "data"}, CONFIG)
    reckoned, asked = sizes.memory_mb(plan), sizes.request_mb(plan)
    assert reckoned <= asked < max(8001, 1.15 * reckoned)


def test_the_profile_asks_for_gpus_where_something_is_trained() -> None:
    profile = yaml.safe_load((PROJECT / "profiles/slurm/config.yaml").read_text())
    for rule, resources in profile["set-resources"].items():
        text = (PROJECT / "workflow" / "rules" / f"{rule}.smk").read_text()
        assert "mem_mb=TRAINING_MB" in text
        assert "runtime=TRAINING_MINUTES" in text
        assert resources == {"gpu": 1}


def one_task() -> dict[str, Any]:
    """The tiny scale with one model, one task and one seed: nine jobs."""
    config = tiny_config()
    study = {"title": "Two runs", "variants": ["full", "no-pretraining"], "tasks": ["rte"]}
    return config | {
        "experiments": {"studies": {"two": study}},
        "studies": ["two"],
        "on_request": [],
        "finetune_seeds": [0],
    }


def value(words: list[str], option: str) -> str:
    """What follows an option on a command line."""
    return words[words.index(option) + 1]


@pytest.mark.workflow
@pytest.mark.skipif(PLUGIN is None, reason="pip install snakemake-executor-plugin-slurm to run it")
def test_a_run_under_slurm(
    tmp_path: Path, finished_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm's commands are fakes that run the jobs here; plugin and profile are the real ones."""
    fakes = tmp_path / "bin"
    fake_slurm.install(fakes)
    project = Project(tmp_path / "a project", one_task())
    environment = project.environment()
    environment["PATH"] = f"{fakes}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = os.pathsep.join([str(PROJECT), environment.get("PYTHONPATH", "")])
    words = ["--profile", "profiles/slurm", "--jobs", "4", "--latency-wait", "10"]
    words += ["--slurm-init-seconds-before-status-checks", "1"]
    done = subprocess.run(
        [word for word in project.command("two", *words) if word not in ("--cores", "2")],
        cwd=project.folder,
        env=environment,
        text=True,
        capture_output=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    asked = {}
    for line in (fakes / "calls.jsonl").read_text().splitlines():
        call = json.loads(line)
        asked[value(call, "--comment").split("_wildcards_")[0]] = call
    mb = sizes.request_mb(Plan.read(project.config, CONFIG))
    for rule in ("pretrain", "finetune"):
        call = asked[f"rule_{rule}"]
        assert (value(call, "--mem"), value(call, "-t")) == (str(mb), str(24 * 60))
        assert any("gpu" in word and word.endswith("1") for word in call if word[:2] == "--")
    call = asked["rule_encode"]
    assert (value(call, "--mem"), value(call, "-t")) == ("8000", "240")
    assert not any(word.startswith("--gpu") for word in call)
    assert not (project.results / "logs" / "worker.log").exists(), "no worker for other nodes"
    run = "finetune/full/rte/pre0-seed0"
    ours, local = (
        json.loads((each.results / run / "metrics.json").read_text())
        for each in (project, finished_project)
    )
    for metrics in (ours, local):
        del metrics["cost"], metrics["run_id"]
    assert ours == local, "a cluster's numbers are this machine's"
