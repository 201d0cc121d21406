"""What Snakemake itself shows of the workflow: its report, and the picture of its rules."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import PROJECT, Project


def embedded(page: str, name: str) -> Any:
    """A variable of the report's script, which is JSON."""
    text = re.split(rf"\bvar {name} ?= ?(?=\{{\")", page)[1]
    return json.JSONDecoder().raw_decode(text)[0]


@pytest.fixture(scope="module")
def report(finished_project: Project, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("snakemake") / "report.html"
    finished_project.run("--report", str(path))
    return path.read_text("utf-8")


@pytest.mark.workflow
def test_the_report_has_categories_labels_and_captions(report: str) -> None:
    categories = embedded(report, "categories")
    assert set(categories) == {
        *("All on one page", "Claims of the paper", "Data", "Figures", "Numbers"),
        *("Pre-training", "Tables", "Zero-shot"),
    }
    assert len(categories["Tables"]) == 6, "tables 1 to 5 and the averages"
    shown = embedded(report, "results")
    results = {Path(path).name: each for path, each in shown.items()}
    found = results["table5.csv"]
    assert found["labels"] == {"table": "5", "format": "csv"}
    assert "the ablations" in found["caption"]
    assert "fine-tuning seeds\n0, 1" in found["caption"]
    assert results["figure2_right.png"]["labels"] == {
        "figure": "2 right",
        "shows": "zero-shot",
        "format": "png",
    }
    for name, each in shown.items():
        caption = unescape(re.sub(r"<[^>]+>", "", each["caption"]))
        assert "Synthetic data" in caption, name
        assert "{" not in caption, name
    assert sum("/pretrain/" in path for path in shown) == 2
    assert not any("/finetune/" in path for path in shown), "scores.csv has them all"


@pytest.mark.workflow
def test_marks_make_nothing_run_again(finished_project: Project, tmp_path: Path) -> None:
    """Results made without a mark are as good as those made with them, and the other way."""
    project = object.__new__(Project)
    project.folder = tmp_path / "copy"
    project.config, project.files = dict(finished_project.config), list(finished_project.files)
    shutil.copytree(finished_project.folder, project.folder, copy_function=shutil.copy2)
    rules = project.folder / "workflow" / "rules" / "common.smk"
    text = rules.read_text()
    assert "return report(" in text
    rules.write_text(text.replace("return report(", "return path\n    report("))
    assert project.planned() == {}


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    path = PROJECT / "docs" / "_rulegraph.py"
    spec = importlib.util.spec_from_file_location("rulegraph", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_has_the_rules_of_today(drawing: ModuleType) -> None:
    """`make rulegraph` draws it again."""
    text = (PROJECT / "docs" / "figures" / "rulegraph.svg").read_text("utf-8")
    titles = [
        (kind, unescape(title))
        for kind, title in re.findall(r'class="(node|edge)">\s*<title>(.*?)</title>', text)
    ]
    rules, edges = drawing.workflow_graph()
    assert {"world", "pretrain", "finetune", "report"} < set(rules)
    assert sorted(title for kind, title in titles if kind == "node") == rules
    drawn = sorted(tuple(title.split("->")) for kind, title in titles if kind == "edge")
    assert drawn == edges
