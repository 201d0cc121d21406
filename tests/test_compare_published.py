"""`gptbench compare` with published reports: numbers and intervals alone, without the runs."""

from __future__ import annotations

import csv
import shutil
from math import hypot
from pathlib import Path

import pytest

from gptbench.errors import UserError
from gptbench.report.build import run
from gptbench.report.compare import Comparison, Difference, compare, table
from gptbench.settings import load_tasks
from tests.conftest import PROJECT
from tests.report_tree import make_job, make_tree

TASKS = load_tasks(PROJECT / "config" / "tasks.yaml")
REFERENCE = PROJECT / "results" / "reference"


def cells(folder: Path) -> dict[tuple[str, str, str, str], dict[str, str]]:
    """The rows of statistics.csv, the first of each cell."""
    with (folder / "statistics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {(r["variant"], r["task"], r["metric"], r["split"]): r for r in reversed(rows)}


def row(found: Comparison, *key: str) -> Difference:
    return next(r for r in found.rows if (r.variant, r.task, r.metric, r.split) == key)


def test_two_published_reports() -> None:
    """Against the files themselves: the half-widths added in squares."""
    paths = REFERENCE / "local-seeds", REFERENCE / "local"
    found = compare(str(paths[0]), str(paths[1]), TASKS)
    a, b = (cells(path) for path in paths)
    assert len(found.rows) > 40
    for each in found.rows:
        key = (each.variant, each.task, each.metric, each.split)
        assert each.difference == pytest.approx(float(a[key]["mean"]) - float(b[key]["mean"]))
        halves = [
            max(float(r["high"]) - float(r["mean"]), float(r["mean"]) - float(r["low"]))
            for r in (a[key], b[key])
        ]
        assert each.half == pytest.approx(hypot(*halves), abs=1e-3)
        assert (each.runs_a, each.runs_b) == (int(a[key]["runs"]), int(b[key]["runs"]))
        assert not each.paired
        assert each.remarks[0] == "unpaired: A is a report without its runs"
    given = [
        each for each in found.rows if b[each.variant, each.task, each.metric, each.split]["given"]
    ]
    assert given, "one pre-training seed: what holds for these runs"
    assert {each.verdict for each in given} == {"no verdict: too few seeds"}
    assert any("commit 1054895eb0eb" in fact for fact in found.a.facts)
    assert not {each.task for each in found.rows} & {"average", "dprd"}


def test_the_paper_and_a_synthetic_report_are_not_like_for_like() -> None:
    found = compare(str(REFERENCE / "showcase"), "paper", TASKS)
    assert {each.verdict for each in found.rows} == {"unlike"}
    assert all("synthetic world against real data" in each.warnings for each in found.rows)
    assert "unpaired" not in str(table(found).notes), "the paper has no runs to pair with"


def test_a_run_and_its_own_published_report(tmp_path: Path) -> None:
    root = make_tree(make_job(), tmp_path / "run")
    run(make_job(), root)
    published = tmp_path / "published"
    shutil.copytree(root / "report", published)
    whole = compare(str(root), str(root), TASKS)
    found = compare(str(root), str(published), TASKS)
    assert all(each.paired for each in whole.rows)
    assert {each.difference for each in whole.rows} == {0.0}
    for each in found.rows:
        assert each.difference == pytest.approx(0, abs=1e-4), "statistics.csv has four decimals"
        assert not each.paired
        assert not each.warnings
        same = row(whole, each.variant, each.task, each.metric, each.split)
        assert each.a == same.a
        if each.a_half is not None:
            assert each.half == pytest.approx(2**0.5 * each.a_half, abs=1e-3)
    assert {"unpaired: B is a report without its runs"} <= set(found.rows[0].remarks)


def test_other_rows_than_the_other_side_are_a_warning(tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(REFERENCE / "local", other)
    text = (other / "statistics.csv").read_text()
    (other / "statistics.csv").write_text(text.replace(",277,", ",200,"))
    found = compare(str(REFERENCE / "local-seeds"), str(other), TASKS)
    rte = row(found, "full", "rte", "accuracy", "dev")
    assert rte.verdict == "unlike"
    assert "B states 200 rows, the other has 277" in rte.warnings


def test_a_report_without_statistics_is_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(REFERENCE / "local", other)
    (other / "statistics.csv").unlink()
    with pytest.raises(UserError, match=r"no runs and no statistics\.csv in it"):
        compare(str(other), "paper", TASKS)
