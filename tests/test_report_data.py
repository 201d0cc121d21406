"""The page's data section: new and old results, contamination there, absent or not to be had."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml

from gptbench.plan import Plan
from gptbench.report import data
from gptbench.report.build import run
from gptbench.report.reference import load
from gptbench.report.results import Results
from gptbench.settings import Config, ReportJob, parse
from tests.report_tree import ROOT, make_job, make_tree

REAL = {"source": "folder", "data_root": "somewhere", "world": None}
FOUND = {
    "n": 13,
    "shortest": 8,
    "books": 60,
    "words": 1234567,
    "tasks": {
        "race": {
            "test_middle": {"examples": 120, "testable": 100, "overlapping": 7, "first": "a <b> c"},
            "test_high": {"examples": 120, "testable": 0, "overlapping": 0, "first": None},
        }
    },
}


def results_of(job: ReportJob, root: Path, counted: bool, contamination: bool) -> Path:
    """Fake results, as made with or without the counts of repeated rows and the overlap."""
    make_tree(job, root)
    for path in root.glob("tasks/*/facts.json") if counted else ():
        facts = json.loads(path.read_text())
        facts |= {key: dict.fromkeys(facts["rows"], 3) for key in ("duplicates", "empty")}
        facts["overlap"] = {split: 5 * (split != "train") for split in facts["rows"]}
        path.write_text(json.dumps(facts))
    if contamination:
        (root / "contamination.json").write_text(json.dumps(FOUND))
    return root


def section(job: ReportJob, root: Path) -> str:
    """The section as text, a space for every tag."""
    run(job, root)
    html = (root / "report/index.html").read_text("utf-8")
    part = html[html.index('<h2 id="data">') : html.index('<h2 id="pretraining">')]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", part)).split())


def test_new_results_show_counts_and_overlap(tmp_path: Path) -> None:
    job = make_job(studies=["table3"])
    text = section(job, results_of(job, tmp_path, counted=True, contamination=True))
    assert re.search(r"RACE train 120 87,866 0 0 3 3 - ", text)
    assert re.search(r"RACE test_middle 120 1,436 0 0 3 3 5 ", text)
    assert "A dash" not in text
    assert "RACE test_middle 120 100 7 7.00 % a <b> c" in text
    assert "RACE test_high 120 0 0 0.00 %" in text
    assert "60 training books (1,234,567 words)" in text
    assert "In the embedded world one generator writes" in text


def test_old_results_have_dashes_and_say_why(tmp_path: Path) -> None:
    job = make_job(studies=["table3"], **REAL)
    text = section(job, results_of(job, tmp_path, counted=False, contamination=False))
    assert re.search(r"RACE test_middle 120 1,436 0 0 - - - ", text)
    assert "A dash: these results were made before that was counted." in text
    assert "these results have no contamination.json" in text
    assert "by its number of rows" not in text
    assert "the number of rows is not version 2's" in text


def test_every_metric_of_every_score_is_there(tmp_path: Path) -> None:
    job = make_job(studies=["table2", "table3", "table4"])
    found = data.section(Results(job, make_tree(job, tmp_path), resamples=10), load())
    rows = {(row.title, row.score.split()[0]): row for row in found["scored"]}
    metrics = {key: [metric for metric, _ in row.metrics] for key, row in rows.items()}
    assert metrics["MSR Paraphrase Corpus", "dev"] == ["f1", "accuracy"]
    assert metrics["STS Benchmark", "dev"] == ["pearson", "spearman"]
    assert {score for title, score in rows if title == "MultiNLI"} == {
        "dev_matched",
        "dev_mismatched",
    }
    assert rows["RACE", "test"].score == "test (test_middle + test_high)"
    file = tmp_path / "finetune/full/mrpc/pre0-seed{}/metrics.json"
    runs = [json.loads(Path(str(file).format(k)).read_text())["scores"]["dev"] for k in (0, 1)]
    for metric, whole in rows["MSR Paraphrase Corpus", "dev"].metrics:
        assert whole is not None
        assert whole.value == pytest.approx(sum(one[metric] for one in runs) / 2)


def test_published_shares_stand_beside_real_labels_alone(tmp_path: Path) -> None:
    make_tree(make_job(), tmp_path)
    for job, expected in ((make_job(**REAL), 0.6751), (make_job(), None)):
        rows = data.section(Results(job, tmp_path, resamples=10), load())["rows"]
        label, share, known = next(
            row.labels[1] for row in rows if (row.title, row.split)
            == ("MSR Paraphrase Corpus", "train")
        )  # fmt: skip
        assert (label, share) == ("1", 0.5)
        assert known == (expected if expected is None else pytest.approx(expected, abs=1e-3))


def released_job() -> ReportJob:
    entry: dict[str, Any] = yaml.safe_load((ROOT / "config/released.yaml").read_text("utf-8"))
    plan = Plan.read({**entry, "data_root": "x"}, ROOT / "config")
    return plan.report_job()


def test_imported_weights_cannot_be_checked(tmp_path: Path) -> None:
    job = released_job()
    config = parse(Config, {**job.config.model_dump(mode="json"), "studies": ["table3"]}, "test")
    job = job.model_copy(update={"config": config})
    text = section(job, results_of(job, tmp_path, counted=True, contamination=False))
    assert "the books that they were trained on are not here" in text
