"""What the tests share: the real data, a cut-down scale, and a copy of the project to run it in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PROJECT = Path(__file__).parent.parent
REAL_DATA = Path(os.environ.get("GPTBENCH_DATA", PROJECT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real rows of all data sets; the test is skipped where there is none."""
    if not (REAL_DATA / "glue").is_dir():
        pytest.skip(f"real data not found at {REAL_DATA}; set GPTBENCH_DATA to its folder")
    return REAL_DATA


@pytest.fixture
def exact_products() -> Iterator[None]:
    """The highest precision of matrix products, whatever a job before has set; seed 0."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(0)
    yield
    torch.set_float32_matmul_precision(before)


def tiny_config() -> dict[str, Any]:
    """The quick scale, cut down to seconds: a few rows, two layers, some steps."""
    config: dict[str, Any] = yaml.safe_load((PROJECT / "config" / "config.yaml").read_text())
    config["scale"] = "tiny"
    config["world"] |= {
        "books_train": 4,
        "books_validation": 1,
        "words_per_book": 2000,
        "train_rows": 24,
        "eval_rows": 20,
    }
    config["tokenizer"]["merges"] = 300
    for model in config["models"].values():
        model["backbone"] |= {"n_embd": 16}
        model["pretrain"] |= {
            "steps": 12,
            "batch_size": 4,
            "warmup_steps": 2,
            "checkpoints": 3,
            "validation_tokens": 1024,
        }
    config["models"]["transformer"]["backbone"] |= {"n_layer": 2, "n_head": 2}
    config["models"]["lstm"]["backbone"] |= {"n_hidden": 16}
    config["finetune"] |= {"epochs": 1}
    config["finetune_seeds"] = [0, 1]
    config["keep"] = "first-seed"
    return deepcopy(config)


class Project:
    """A copy of the workflow in another folder, run as a user runs it."""

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        shutil.copytree(PROJECT / "workflow", folder / "workflow")
        shutil.copytree(PROJECT / "config", folder / "config")
        shutil.copytree(PROJECT / "profiles", folder / "profiles")
        shutil.copy(PROJECT / "Snakefile", folder)
        shutil.copy(PROJECT / "environment.yml", folder)
        self.config = dict(tiny_config() if config is None else config)
        self.files = ["config/tiny.yaml"]
        self.save()

    def save(self) -> None:
        """Write the config as it is now."""
        (self.folder / "config" / "tiny.yaml").write_text(yaml.safe_dump(self.config))

    @property
    def results(self) -> Path:
        """The results folder of the tiny scale."""
        return self.folder / "results" / str(self.config["scale"])

    def command(self, *words: str) -> list[str]:
        """The Snakemake command line."""
        return [
            *(sys.executable, "-m", "snakemake", *words),
            *("--cores", "2", "--configfile", *self.files),
        ]

    def environment(self) -> dict[str, str]:
        """The environment of a run: the commands of this Python come first."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path}

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the workflow to its end."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(),
            text=True,
            capture_output=True,
            timeout=900,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"snakemake ended with {done.returncode}:\n{done.stderr[-6000:]}")
        return done

    def planned(self, *words: str) -> dict[str, int]:
        """How many jobs of each rule a dry run would run."""
        done = self.run("--dry-run", *words)
        text = done.stdout + done.stderr
        if "Nothing to be done" in text:
            return {}
        stats = text[text.rindex("Job stats:") :]
        return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", stats, re.M)} | {}


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The whole chain, run once on the tiny scale. Tests leave its results as they are."""
    project = Project(tmp_path_factory.mktemp("first") / "a project")
    project.run()
    return project


@pytest.fixture
def copied(finished_project: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, times kept, to edit and to run again."""
    project = object.__new__(Project)
    project.folder = tmp_path / "copy"
    project.config = deepcopy(finished_project.config)  # tests change it at any depth
    project.files = list(finished_project.files)
    shutil.copytree(finished_project.folder, project.folder, copy_function=shutil.copy2)
    return project


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A headless Chromium; the test is skipped where there is none."""
    from tests.chromium import started

    yield from started(tmp_path_factory.mktemp("chrome"))


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on made-up numbers; one title would be a script if it were not escaped."""
    from gptbench.report.build import run
    from tests.report_tree import make_job, make_tree

    job = make_job()
    tasks = dict(job.tasks)
    tasks["rte"] = tasks["rte"].model_copy(update={"title": "<script>document.title='x'</script>"})
    job = job.model_copy(update={"tasks": tasks})
    root = make_tree(job, tmp_path_factory.mktemp("report"), skip=("finetune/lstm/rte/pre0-seed1",))
    run(job, root)
    return root / "report" / "index.html"
