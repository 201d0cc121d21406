"""`gptbench compare`: paired and unpaired differences, warnings, the page and the file."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import t as student

from gptbench import cli
from gptbench.artifacts import read_json, write_json
from gptbench.errors import UserError
from gptbench.evaluation.statistics import GIVEN_SEEDS, accuracy_of, independent
from gptbench.report import compare
from gptbench.report.compare import Comparison, Difference
from gptbench.settings import Experiments, ReportJob, Study, load_tasks
from tests import report_tree
from tests.report_tree import ROOT, make_job, make_tree

REAL = {"source": "folder", "data_root": "somewhere", "world": None}
TASKS = load_tasks(ROOT / "config/tasks.yaml")
SEEDS, ROWS = [0, 1, 2], 100


def small_job(**changes: object) -> ReportJob:
    """A study of two variants on three tasks, three pre-training seeds."""
    job = make_job(**{**REAL, "pretrain_seeds": SEEDS, "finetune_seeds": [0]} | changes,
                   studies=["mine"])  # fmt: skip
    study = Study(title="Mine", variants=["full", "lstm"], tasks=["rte", "cola", "mnli"])
    merged = job.experiments.merged(Experiments(studies={"mine": study}))
    return job.model_copy(update={"experiments": merged})


def tree(job: ReportJob, root: Path, full: float = 0.8, rows: int = ROWS) -> Path:
    """Results with what a finished report leaves for others to read."""
    before = report_tree.SKILL["full"]
    report_tree.SKILL["full"] = full
    try:
        make_tree(job, root, rows=rows)
    finally:
        report_tree.SKILL["full"] = before
    write_json(root / "report/manifest.json", {"settings": job.model_dump(mode="json")})
    (root / "report/scores.csv").write_text("")
    return root


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of one experiment, the full model of the second less able."""
    folder = tmp_path_factory.mktemp("sides")
    return tree(small_job(), folder / "one"), tree(small_job(), folder / "two", full=0.4)


def compared(first: object, second: object) -> Comparison:
    return compare.compare(str(first), str(second), TASKS)


def row_of(found: Comparison, variant: str, task: str, metric: str = "accuracy") -> Difference:
    return next(r for r in found.rows if (r.variant, r.task, r.metric) == (variant, task, metric))


def predictions(root: Path, task: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    path = root / f"finetune/full/{task}/pre{seed}-seed0/predictions.parquet"
    rows = pq.read_table(path).to_pandas()
    rows = rows[rows["split"] == "dev"]
    return rows["gold"].to_numpy(), rows["prediction"].to_numpy()


# Differences. ---------------------------------------------------------------------------------


def test_the_same_examples_and_seeds_are_paired(sides: tuple[Path, Path]) -> None:
    row = row_of(compared(*sides), "full", "rte")
    right = []
    for root in sides:
        pairs = [predictions(root, "rte", seed) for seed in SEEDS]
        right.append([gold == said for gold, said in pairs])
    change = 100 * (np.array(right[0], float) - np.array(right[1], float))  # [seeds, rows]
    assert row.paired
    assert row.a == pytest.approx(100 * np.mean(right[0]))
    assert row.difference == pytest.approx(change.mean())
    # The parts of docs/statistics.md in closed form; gptbench resamples the examples.
    seeds = change.mean(1).var(ddof=1) / len(SEEDS)
    whole = change.mean(0).var() / ROWS
    own = (change - change.mean(0)).var(1).mean() / ROWS
    examples = max(whole - own * 3 / 2 / (len(SEEDS) - 1), whole - seeds)
    half = np.sqrt(
        student.ppf(0.975, 2) ** 2 * seeds + student.ppf(0.975, ROWS - 1) ** 2 * examples
    )
    assert row.half == pytest.approx(half, rel=0.05)


def test_other_seeds_or_examples_are_unpaired(sides: tuple[Path, Path], tmp_path: Path) -> None:
    others = tree(small_job(pretrain_seeds=[7, 8, 9]), tmp_path / "seeds", full=0.6)
    fewer = tree(small_job(), tmp_path / "rows", full=0.6, rows=80)
    for root in (others, fewer):
        row = row_of(compared(sides[0], root), "full", "rte")
        assert not row.paired
        assert any("unpaired" in text for text in row.remarks)
        assert row.a_half is not None
        assert row.b_half is not None
        # Banerjee's interval of a difference: the half-widths in squares.
        assert row.half == pytest.approx(np.hypot(row.a_half, row.b_half), rel=0.01)
    assert "trained on 100 (A) and 80 (B) rows" in row.remarks


def test_seeds_that_one_side_lacks_are_left_out(sides: tuple[Path, Path], tmp_path: Path) -> None:
    more = tree(small_job(pretrain_seeds=[0, 1, 2, 3]), tmp_path, full=0.6)
    row = row_of(compared(sides[0], more), "full", "rte")
    assert (row.paired, row.runs_a, row.runs_b) == (True, 3, 3)
    assert "on the 3 runs of the same seeds, of 3 and 4" in row.remarks
    values = [
        read_json(more / f"finetune/full/rte/pre{p}-seed0/metrics.json")["scores"]["dev"]
        for p in SEEDS
    ]
    assert row.b == pytest.approx(np.mean([value["accuracy"] for value in values]))


def test_a_side_with_itself_shows_nothing(sides: tuple[Path, Path]) -> None:
    for row in compared(sides[0], sides[0]).rows:
        assert (row.difference, row.p_holm, row.verdict) == (0, 1, "not shown")


def test_holm_is_over_the_whole_table(sides: tuple[Path, Path]) -> None:
    rows = compared(*sides).rows
    raw = [row.p for row in rows if row.p is not None]
    assert len(raw) == len(rows) == 2 * 6
    running, adjusted = 0.0, {}
    for rank, p in enumerate(sorted(raw)):
        running = max(running, min(1.0, (len(raw) - rank) * p))
        adjusted[p] = running
    for row in rows:
        assert row.p is not None
        assert row.p_holm == pytest.approx(adjusted[row.p])
        said = "higher" if row.difference > 0 else "lower"
        assert row.verdict == (said if adjusted[row.p] < 0.05 else "not shown")
    assert {row.verdict for row in rows if row.variant == "full"} >= {"higher"}


def test_few_seeds_get_no_verdict(tmp_path: Path) -> None:
    job = small_job(pretrain_seeds=[0])
    a, b = tree(job, tmp_path / "a"), tree(job, tmp_path / "b", full=0.2)
    row = row_of(compared(a, b), "full", "rte")
    assert row.half is not None
    assert (row.p, row.p_holm) == (None, None)
    assert row.verdict.startswith("no verdict")


def test_an_accuracy_of_n_rows_has_the_binomial_interval() -> None:
    found = accuracy_of(80, 1000)
    assert found.half == pytest.approx(196 * np.sqrt(0.8 * 0.2 / 1000), rel=0.01)
    alike = accuracy_of(100, 50)
    assert alike.low is not None
    assert alike.low < 97
    assert alike.high == 100


def test_independent_scores_add_their_errors() -> None:
    first, second = accuracy_of(80, 400), accuracy_of(70, 900)
    both = independent(first, second)
    assert both is not None
    assert both.value == 10
    z = 10 / np.hypot(first.error, second.error)
    assert both.p_value == pytest.approx(2 * student.sf(z, 1200), rel=0.1)
    assert independent(first, replace(second, low=None)) is None
    seeds = independent(first, replace(second, given=GIVEN_SEEDS))
    assert seeds is not None
    assert not seeds.verdict_given


# What is not like for like. -------------------------------------------------------------------


def warned(first: object, second: object, task: str = "rte") -> list[str]:
    found = compared(first, second)
    row = row_of(found, found.rows[0].variant, task)
    assert row.verdict == "unlike"
    assert row.p is None
    assert "unlike" in {
        cell.text
        for block in compare.table(found).blocks
        for line in block.rows
        for cell in line.cells
    }
    return row.warnings


def test_synthetic_against_real_is_marked(sides: tuple[Path, Path], tmp_path: Path) -> None:
    job = make_job()
    world = {"source": "world", "world": job.config.world, "data_root": None}
    synthetic = tree(small_job(**world), tmp_path)
    assert warned(synthetic, sides[0]) == ["synthetic world against real data"]
    assert warned(synthetic, "paper") == [
        "development set (A) against test set (B)", "synthetic world against real data",
    ]  # fmt: skip


def test_other_files_and_versions_are_marked(sides: tuple[Path, Path], tmp_path: Path) -> None:
    job = small_job()
    newer = job.tasks | {"rte": job.tasks["rte"].model_copy(update={"version": 2})}
    other = tree(job.model_copy(update={"tasks": newer}), tmp_path)
    facts = other / "tasks/rte/facts.json"
    known = read_json(facts)
    write_json(facts, known | {"digest": known["digest"] | {"dev": "another"}})
    assert warned(sides[0], other) == [
        "version 1 of the task against version 2", "the scored files differ",
    ]  # fmt: skip
    assert row_of(compared(sides[0], other), "full", "cola").warnings == []


def test_a_subset_is_noted(sides: tuple[Path, Path], tmp_path: Path) -> None:
    other = tree(small_job(), tmp_path)
    facts = other / "tasks/rte/facts.json"
    known = read_json(facts)
    write_json(facts, known | {"rows_found": known["rows_found"] | {"train": 10_000}})
    assert "B uses a subset of train" in row_of(compared(sides[0], other), "full", "rte").remarks


def test_development_against_the_papers_test_set(sides: tuple[Path, Path]) -> None:
    found = compared(sides[0], "paper")
    row = row_of(found, "full", "rte")
    assert (row.b, row.split, row.split_b) == (56.0, "dev", "test")
    assert row.difference == pytest.approx(row.a - 56)
    assert row.low is None
    assert "the paper has no interval for this number" in row.remarks
    mnli = [r.split for r in found.rows if (r.variant, r.task) == ("lstm", "mnli")]
    assert mnli == ["dev_matched+dev_mismatched"]
    assert {(r.variant, r.b) for r in found.rows if r.task == "mnli" and "+" in r.split} == {
        ("full", 81.8), ("lstm", 73.7),
    }  # fmt: skip
    assert all(row.warnings for row in found.rows)


# A file. --------------------------------------------------------------------------------------


def mine(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["system,task,metric,split,value,n", *rows]) + "\n")
    return path


def test_a_file_stands_against_its_namesake_or_the_full_model(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    path = mine(tmp_path, f"Mine,rte,accuracy,dev,50,{ROWS}", f"LSTM,rte,accuracy,dev,50,{ROWS}",
                "LSTM,cola,matthews,dev,20,", "LSTM w/ aux LM,rte,accuracy,dev,30,70",
                "Mine,snli,accuracy,test,90,")  # fmt: skip
    found = compared(sides[0], path)
    assert [row.variant for row in found.rows] == [
        "full - Mine", "lstm - LSTM", "lstm - LSTM", "lstm - LSTM w/ aux LM",
    ]  # fmt: skip
    first = found.rows[0]
    assert (first.paired, first.warnings) == (False, [])
    assert first.verdict in ("higher", "not shown")
    assert first.given == "given the other system"
    assert first.half == pytest.approx(np.hypot(first.a_half or 0, first.b_half or 0), rel=0.01)
    assert found.rows[2].verdict == "no interval"
    assert found.rows[3].warnings == ["B states 70 rows, the other has 100"]
    assert found.left_out[-1] == "only in B: scores of Mine (1)"


def test_two_files_by_the_systems_name(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    a = mine(tmp_path, "X,rte,accuracy,test,80,3000", "Y,rte,accuracy,test,80,3000")
    b = mine(tmp_path / "b", "X,rte,accuracy,test,70,3000")
    (row,) = compared(a, b).rows
    assert (row.variant, row.difference, row.verdict) == ("X", 10, "higher")
    assert compared(b, a).rows[0].verdict == "lower"


# Output. --------------------------------------------------------------------------------------


def test_the_command_prints_80_columns_and_writes_page_and_file(
    sides: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(sides[0].parent)
    assert cli.main(["compare", "one", "two", "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    head, _, rest = out.partition("\nA - B. one minus two\n")
    assert head.count("commit fake-commit") == 2
    table = rest.partition("\n- ")[0]
    assert max(map(len, head.splitlines() + table.splitlines())) <= 80
    assert "notes" in table
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out/compare.csv").read_text("utf-8"))))
    assert len(rows) == 12
    found = compared("one", "two")
    assert [float(row["difference"]) for row in rows] == pytest.approx(
        [row.difference for row in found.rows], abs=1e-4
    )
    assert {row["paired"] for row in rows} == {"yes"}
    page = (tmp_path / "out/compare.html").read_text("utf-8")
    assert page.count('<tr><th scope="row">') == 12
    assert "src=" not in page
    assert "href=" not in page


def test_markup_in_a_file_is_text(sides: tuple[Path, Path], tmp_path: Path) -> None:
    path = mine(tmp_path, f"<script>alert(1)</script>,rte,accuracy,dev,50,{ROWS}",
                f'"=HYPERLINK(""x"")",rte,accuracy,dev,50,{ROWS}')  # fmt: skip
    found = compared(path, sides[0])
    page = compare.to_html(found)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; - full" in page
    cells = [cell for row in csv.reader(io.StringIO(compare.to_csv(found))) for cell in row]
    assert '\'=HYPERLINK("x") - full' in cells


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("paper", "paper", "the paper with itself"),
        ("nowhere", "paper", "nowhere: no such folder or file; give a results folder"),
        ("nowhere.csv", "paper", "nowhere.csv: No such file"),
        (".", "paper", "no report in it"),
        ("empty", "paper", "no fine-tuned run in it"),
        ("a.csv", "b.csv", "no score that both have: a.csv has scores of A (1)"),
    ],
)
def test_a_mistake_is_one_line(
    first: str, second: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("system,task,metric,split,value\nA,rte,accuracy,test,70\n")
    Path("b.csv").write_text("system,task,metric,split,value\nB,cola,matthews,test,70\n")
    settings = json.loads(small_job().to_json())
    write_json(Path("empty/report/manifest.json"), {"settings": settings})
    Path("empty/report/scores.csv").write_text("")
    with pytest.raises(UserError) as caught:
        compared(first, second)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
