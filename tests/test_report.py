"""The whole report on made-up results: synthetic, reduced and full real data, missing runs."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gptbench.errors import UserError
from gptbench.report import figures, findings, formats, page, scores, tables
from gptbench.report.build import run
from gptbench.report.reference import load
from gptbench.report.results import Results
from gptbench.report.tables import Cell, Row
from gptbench.settings import ReportJob
from tests.report_tree import make_job, make_tree

GONE = "finetune/lstm/rte/pre0-seed1"
REAL = {"source": "folder", "data_root": "somewhere", "world": None}


FIGURES = (
    "figure2_left figure2_right forest_table5 forest_gains curves_pretrain curves_finetune"
    " calibration confusion"
).split()


def read_scores(root: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((root / "report/scores.csv").read_text("utf-8"))))


def built(job: ReportJob, root: Path, **options: Any) -> Path:
    run(job, make_tree(job, root, **options))
    return root


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(make_job(), tmp_path_factory.mktemp("synthetic"), skip=(GONE,))


@pytest.fixture(scope="module")
def real_job() -> ReportJob:
    """Real data, the official row numbers taken away so that small fake files are whole sets."""
    job = make_job(**REAL, pretrain_seeds=[0, 1])
    whole = {n: t.model_copy(update={"official": {}}) for n, t in job.tasks.items()}
    return job.model_copy(update={"tasks": whole})


@pytest.fixture(scope="module")
def real(real_job: ReportJob, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(real_job, tmp_path_factory.mktemp("real"))


def test_every_file_is_there(synthetic: Path) -> None:
    names = {p.relative_to(synthetic / "report").as_posix()
             for p in (synthetic / "report").rglob("*") if p.is_file()}  # fmt: skip
    assert names == {
        "index.html", "scores.csv", "statistics.csv", "differences.csv", "claims.csv",
        "manifest.json", "tables.json", "calibration.csv", "errors.csv",
        *(f"tables/averages.{e}" for e in ("csv", "md", "tex")),
        *(f"tables/table{n}.{e}" for n in range(1, 6) for e in ("csv", "md", "tex")),
        *(f"figures/{name}.{e}" for name in FIGURES for e in ("svg", "png", "csv")),
        "figures/regression.csv",
    }  # fmt: skip
    assert not list(synthetic.glob(".report.*"))


def test_a_second_run_gives_the_same_bytes(synthetic: Path, tmp_path: Path) -> None:
    before = synthetic / "report"
    copy = tmp_path / "copy"
    shutil.copytree(synthetic, copy, ignore=shutil.ignore_patterns("report"))
    run(make_job(), copy)
    run(make_job(), copy)
    for file in before.rglob("*.*"):
        if file.name != "manifest.json":
            assert file.read_bytes() == (copy / "report" / file.relative_to(before)).read_bytes()


# scores.csv. ----------------------------------------------------------------------------------


def test_what_is_no_longer_made_goes_and_a_new_page_is_whole(
    synthetic: Path, tmp_path: Path
) -> None:
    shutil.copytree(synthetic, tmp_path / "quick")
    report = tmp_path / "quick" / "report"
    for name in ("figures/forest_old.svg", "tables/old.csv"):
        (report / name).write_text("of an earlier report", "utf-8")
    (report / "mine.txt").write_text("somebody's", "utf-8")
    (report / "figures" / "notes").mkdir()
    before = {path.relative_to(report) for path in report.rglob("*")}
    run(make_job(), tmp_path / "quick")
    after = {path.relative_to(report) for path in report.rglob("*")}
    assert before - after == {Path("figures/forest_old.svg"), Path("tables/old.csv")}
    assert not after - before
    html = (report / "index.html").read_text("utf-8")
    linked = {name for name in re.findall(r'href="([^"#:]+)"', html) if not name.startswith("../")}
    assert len(linked) > 10
    assert not [name for name in linked if not (report / name).is_file()]


def test_scores_have_the_contracts_columns(synthetic: Path) -> None:
    assert (synthetic / "report/scores.csv").read_text("utf-8").splitlines()[0] == (
        "table,method,source,variant,model,task,metric,split,pretrain_seed,seed,value,ci_low,"
        "ci_high,n,steps,run_id"
    )


def test_only_the_mean_row_carries_the_interval(synthetic: Path) -> None:
    rows = [r for r in read_scores(synthetic) if r["source"] == "gptbench"]
    for row in rows:
        assert bool(row["ci_low"]) == (row["pretrain_seed"] == ""), row
        assert bool(row["run_id"]) == bool(row["pretrain_seed"] and row["task"] != "average"), row


def test_runs_and_mean_are_those_of_the_files(synthetic: Path) -> None:
    wanted = ("table2", "full", "snli", "accuracy")
    rows = [r for r in read_scores(synthetic) if r["source"] == "gptbench"
            and (r["table"], r["variant"], r["task"], r["metric"]) == wanted]  # fmt: skip
    files = [
        json.loads((synthetic / f"finetune/full/snli/pre0-seed{k}/metrics.json").read_text())
        for k in (0, 1)
    ]
    expected = [file["scores"]["test"]["accuracy"] for file in files]
    assert [float(row["value"]) for row in rows] == pytest.approx(
        [*expected, np.mean(expected)], abs=1e-3
    )
    assert [row["run_id"] for row in rows[:2]] == [file["run_id"] for file in files]
    assert [row["seed"] for row in rows] == ["0", "1", ""]


def test_table_5_averages_eight_and_mnli_is_the_mean_of_both(synthetic: Path) -> None:
    rows = {r["task"]: r for r in read_scores(synthetic)
            if (r["table"], r["source"], r["variant"], r["seed"])
            == ("table5", "gptbench", "full", "1")}  # fmt: skip
    eight = [float(row["value"]) for task, row in rows.items() if task != "average"]
    assert len(eight) == 8
    assert float(rows["average"]["value"]) == pytest.approx(np.mean(eight), abs=1e-3)
    file = synthetic / "finetune/full/mnli/pre0-seed1/metrics.json"
    both = json.loads(file.read_text())["scores"]
    halves = [both[name]["accuracy"] for name in ("dev_matched", "dev_mismatched")]
    assert float(rows["mnli"]["value"]) == pytest.approx(np.mean(halves), abs=1e-3)


def test_figure_rows(synthetic: Path) -> None:
    rows = [r for r in read_scores(synthetic) if r["pretrain_seed"] == ""]
    left = {(r["task"], r["split"], r["variant"]) for r in rows if r["table"] == "figure2_left"}
    variants = ["transfer-0", "transfer-1", "transfer-2", "full"]
    assert left == {
        (task, split, variant) for variant in variants
        for task, split in [("mnli", "dev_matched"), ("mnli", "train"), ("race", "test"),
                            ("race", "train")]
    }  # fmt: skip
    right = [r for r in rows if r["table"] == "figure2_right"]
    assert {r["variant"] for r in right} == {"zero-shot"}
    assert {r["task"] for r in right} == {"sst2", "cola", "race", "dprd"}
    assert {int(r["steps"]) for r in right} >= {0, 2500}


def test_the_papers_numbers_are_in_the_scores(synthetic: Path) -> None:
    rows = [r for r in read_scores(synthetic) if r["source"] != "gptbench"]
    count = sum(len(row.values) for table in load().tables.values() for row in table.rows)
    assert len(rows) == count
    assert {"paper", "reported"} == {row["source"] for row in rows}


def test_numbers_have_one_form() -> None:
    rows = [scores.Score("t", "m", "s", "", "", "", "", "", value=v) for v in (71.0, -0.00001)]
    values = [row.split(",")[10] for row in scores.to_csv(rows).splitlines()[1:]]
    assert values == ["71", "0"]


# What is missing or does not fit. -------------------------------------------------------------


def test_a_missing_run_is_listed_and_left_out(synthetic: Path) -> None:
    assert GONE.rsplit("/", 1)[0] in (synthetic / "report/index.html").read_text("utf-8")
    assert "Incomplete: lstm on rte, 1 of 2 runs." in (
        synthetic / "report/tables/table5.md"
    ).read_text("utf-8")
    rows = [r for r in read_scores(synthetic)
            if (r["table"], r["variant"], r["task"]) == ("table5", "lstm", "rte")]  # fmt: skip
    assert [r["seed"] for r in rows if r["source"] == "gptbench"] == ["0", ""]


def test_runs_that_the_config_does_not_ask_for_are_not_read(synthetic: Path) -> None:
    job = make_job(studies=["table3"], finetune_seeds=[1])
    results = Results(job, synthetic)
    assert set(results.runs) == {("full", "story_cloze"), ("full", "race")}
    assert all(list(runs) == [(0, 1)] for runs in results.runs.values())
    names = {table.name: len(table.blocks) for table in tables.all_tables(results, load())}
    assert names["table3"] == 2
    assert names["table2"] == 1


def test_an_empty_folder_gives_a_report_of_missing_runs(tmp_path: Path) -> None:
    run(make_job(), tmp_path)
    text = (tmp_path / "report/index.html").read_text("utf-8")
    assert re.search(r"0 of \d+</span> runs there", text)


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        run(make_job(), tmp_path / "nowhere")


def test_other_examples_in_one_run_are_refused(tmp_path: Path) -> None:
    job = make_job(studies=["table3"])
    make_tree(job, tmp_path)
    path = tmp_path / "finetune/full/race/pre0-seed1/predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(UserError, match="not the same examples"):
        run(job, tmp_path)


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    job = make_job(studies=["table3"])
    make_tree(job, tmp_path)
    (tmp_path / "finetune/full/race/pre0-seed1/predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="cannot be read"):
        run(job, tmp_path)


def test_the_page_works_byte_pair_encoding_out(synthetic: Path) -> None:
    html = (synthetic / "report/index.html").read_text("utf-8")
    section = html[html.index('<h2 id="bpe">') : html.index('<h2 id="model">')]
    assert "low 5, lower 2, newest 6, widest 3" in section
    tables = section.split("<caption>")[1:]
    steps = [re.findall(r"<tr><th .*?</tr>", table)[2:] for table in tables]

    def symbols(row: str) -> list[str]:
        cells = re.findall(r"<td><code>(.*?)</code></td>", row)
        return [unescape(re.sub("</?b>", "", cell)) for cell in cells]

    assert "<b>low</b> &lt;/w&gt;" in steps[0][-1], "what was merged is bold"
    codes = [symbols(row) for row in steps[0]]
    assert [row[0] for row in codes] == ["e + s", "es + t", "est + </w>", "l + o", "lo + w"]
    assert codes[-1][1:] == [
        *("low </w>", "low e r </w>", "n e w est</w>", "w i d est</w>"),
        "low est</w>",
    ]
    codes = [symbols(row) for row in steps[1]]
    assert [row[0] for row in codes][:4] == ["e + s", "es + t</w>", "l + o", "e + w"]
    assert codes[-1][-1] == "lo w est</w>"


# What may stand beside the paper. -------------------------------------------------------------


def all_tables(root: Path) -> str:
    return "".join(p.read_text("utf-8") for p in sorted((root / "report/tables").iterdir()))


def own_lines(root: Path) -> list[str]:
    files = [*root.glob("report/tables/table[2-5].md"), *root.glob("report/tables/table[2-5].tex")]
    return [line for f in files for line in f.read_text("utf-8").splitlines() if "this run" in line]


def test_synthetic_results_stand_apart(synthetic: Path) -> None:
    text = all_tables(synthetic)
    assert "SYNTHETIC WORLD - not comparable" in text
    assert "difference to the paper" not in text
    assert len(own_lines(synthetic)) == 2 * (3 + 4)
    for line in own_lines(synthetic):
        assert not re.search(r"\*\*|<u>|textbf|underline", line)
    html = (synthetic / "report/index.html").read_text("utf-8")
    assert "<strong>SYNTHETIC DATA</strong>" in html
    assert "SYNTHETIC" in (synthetic / "report/figures/figure2_left.svg").read_text("utf-8")
    own = re.findall(r'<tr class="gptbench">.*?</tr>', html, re.DOTALL)
    assert own
    assert not any('class="n best"' in row or 'class="n second"' in row for row in own)
    for row in [table.row("full") for table in load().tables.values()]:
        assert row.values  # the paper's rows are ranked among themselves as it prints them
    assert "**86.5**" in text


def test_reduced_data_stands_apart(tmp_path: Path) -> None:
    job = make_job(**REAL, studies=["table3"])
    built(job, tmp_path, found=3)
    text = all_tables(tmp_path)
    assert "REDUCED REAL DATA - not comparable" in text
    assert "difference to the paper" not in text
    assert not any("**" in line for line in own_lines(tmp_path))
    assert "REDUCED REAL DATA</strong>" in (tmp_path / "report/index.html").read_text("utf-8")


def test_fewer_rows_than_the_official_ones_are_reduced(tmp_path: Path) -> None:
    job = make_job(**REAL, studies=["table3"])
    results = Results(job, make_tree(job, tmp_path))
    assert tables.reservation(results, ["race"]).startswith("REDUCED")


def test_whole_real_data_is_compared_where_the_split_is_the_papers(
    real: Path, real_job: ReportJob
) -> None:
    text = (real / "report/tables/table3.md").read_text("utf-8")
    assert "not comparable" not in text
    own = next(line for line in text.splitlines() if "this run" in line)
    assert own.count("**") >= 2  # made-up scores above the paper's
    assert "difference to the paper" in text
    glue = (real / "report/tables/table4.md").read_text("utf-8")
    assert "difference to the paper" not in glue  # development sets against the test server
    assert not any("**" in line for line in glue.splitlines() if "this run" in line)
    natural = tables.score_table("table2", Results(real_job, real), load())
    last = natural.blocks[-1].rows[-1]
    assert [cell.text == "-" for cell in last.cells] == [True, True, False, True, True, True]


def test_the_difference_is_ours_minus_the_papers(real: Path, real_job: ReportJob) -> None:
    table = tables.score_table("table3", Results(real_job, real), load())
    ours, change = table.blocks[-1].rows
    assert ours.cells[0].value is not None
    assert float(change.cells[0].text.split(" ± ")[0]) == pytest.approx(
        ours.cells[0].value - 86.5, abs=0.051
    )


def test_best_and_second_by_column() -> None:
    rows = [Row(str(v), "", "", [Cell(f"{v}", v)]) for v in (70.0, 90.0, 80.0, 80.04)]
    marks = [row.cells[0].mark for row in tables._ranked(rows)]
    assert marks == ["", "best", "second", "second"]
    apart = [row.cells[0].mark for row in tables._ranked(rows, [False], 1)]
    assert apart == ["", "", "", ""]


def test_table_formats(synthetic: Path) -> None:
    tex = (synthetic / "report/tables/table5.tex").read_text("utf-8")
    assert "\\toprule" in tex
    assert "$\\pm$" in tex
    assert tex.count("{") == tex.count("}")
    rows = list(csv.reader(io.StringIO(
        (synthetic / "report/tables/table5.csv").read_text("utf-8"))))  # fmt: skip
    assert {len(row) for row in rows} == {13}
    assert any(re.fullmatch(r"\d+\.\d ± \d+\.\d", cell) for cell in rows[-1])
    assert formats._tex("a_b & 5 % {x}") == "a\\_b \\& 5 \\% \\{x\\}"


def test_table_1_counts_rows(synthetic: Path) -> None:
    text = (synthetic / "report/tables/table1.csv").read_text("utf-8")
    rows = csv.DictReader(io.StringIO(text))
    train = next(row for row in rows if (row["name"], row["split"]) == ("mnli", "train"))
    assert (train["used"], train["found"], train["official"]) == ("120", "120", "392,702")
    assert train["tokens"] == "21.0"


# Findings. ------------------------------------------------------------------------------------


def test_gains_are_paired_differences(synthetic: Path) -> None:
    results = Results(make_job(), synthetic)
    gains = findings.gains(results)
    assert len(gains) == 12
    for gain in gains:
        assert gain.change.value == pytest.approx(gain.first.value - gain.second.value)
        assert gain.p_holm is None  # one pre-training and two fine-tuning seeds: no verdicts


def test_comparisons_by_pretraining_seed(real: Path, real_job: ReportJob) -> None:
    results = Results(real_job, real)
    found = {row.title: row for row in findings.comparisons(results, load())}
    assert len(found) == 4
    first = next(iter(found.values()))
    assert [line.seed for line in first.lines] == [0, 1]
    assert np.mean([line.first - line.second for line in first.lines]) == pytest.approx(
        first.change.value
    )


def test_what_is_at_chance(synthetic: Path) -> None:
    results = Results(make_job(), synthetic)
    for row in findings.at_chance(results, "full"):
        assert row.found.low is not None
        assert row.found.low <= row.constant


def test_zero_shot_ends(synthetic: Path) -> None:
    ends = findings.zero_ends(Results(make_job(), synthetic))
    assert {(end.model, end.task) for end in ends} == {
        (model, task) for model in ("transformer", "lstm")
        for task in ("sst2", "cola", "race", "dprd")
    }  # fmt: skip
    assert all(end.step == 2500 for end in ends)
    race = next(p for p in Results(make_job(), synthetic).zero_points("lstm", "race")[-1:])
    assert (race.split, race.sample.n) == ("test", 240)  # middle and high school joined
    assert race.sample.resampled is not None
    assert {end.chance for end in ends} == {0, 25, 50}


def test_zero_shot_normalisation(synthetic: Path, real: Path, real_job: ReportJob) -> None:
    """Synthetic: 100 is 1. Real: the constants of reference.yaml."""
    points = figures.right_points(Results(make_job(), synthetic), load())
    for point in points:
        assert point.raw is not None
        assert point.chance is not None
        assert point.value == pytest.approx((point.raw - point.chance) / (100 - point.chance))
    others = figures.right_points(Results(real_job, real), load())
    assert {p.task: p.one for p in others} == {
        "sst2": 93.2, "cola": 35.0, "race": 53.3, "dprd": 76.41,
    }  # fmt: skip


def test_deviations_name_what_differs(synthetic: Path) -> None:
    rows = {r["setting"]: r for r in page.deviations(Results(make_job(), synthetic), load())}
    assert rows["context (tokens)"]["paper"] == "512"
    assert rows["context (tokens)"]["here"] == str(make_job().config.n_ctx)
    assert "transformer layers" in rows
    assert "lambda of the auxiliary objective" not in rows
    assert "books" in rows


def test_wall_time_counts_overlaps_once() -> None:
    assert page._union([(0, 10), (5, 12), (20, 25)]) == 17


# The page. ------------------------------------------------------------------------------------


def test_the_page_is_self_contained_and_escaped(synthetic: Path) -> None:
    html = (synthetic / "report/index.html").read_text("utf-8")
    assert not re.search(r'src="(?!data:)', html)
    assert not re.search(r'href="(?!#|\.\./|figures/|tables/|[a-z]+\.csv")', html)
    scripts = re.findall("<script([^>]*)>", html)
    assert scripts == [' id="early"', ' type="application/json" id="mlflow"', ' id="behaviour"']
    assert "fake &lt;processor&gt;" in html
    assert "gender <b>" not in html
    for part in ("tables", "figure2", "gains", "zeroshot", "pretraining", "deviations", "cost",
                 "provenance"):  # fmt: skip
        assert f'id="{part}"' in html
    assert "light-dark(" in html
    assert "@media print" in html


def test_markup_in_a_title_is_text(tmp_path: Path) -> None:
    run(make_job(title="<script>x</script>", studies=["table3"]), tmp_path)
    html = (tmp_path / "report/index.html").read_text("utf-8")
    assert "<script>" not in html


# Statistics. ----------------------------------------------------------------------------------


def read_rows(root: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((root / "report" / name).read_text("utf-8"))))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pre-training seeds, and one run of full on rte that answered 1 to everything."""
    job = make_job(pretrain_seeds=[0, 1, 2], finetune_seeds=[0], studies=["table5", "gains"])
    root = make_tree(job, tmp_path_factory.mktemp("three"))
    path = root / "finetune/full/rte/pre1-seed0/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["degenerate"]["dev"] = True
    path.write_text(json.dumps(metrics))
    run(job, root)
    return root


def test_statistics_of_a_cell(three: Path) -> None:
    rows = {(r["table"], r["variant"], r["task"]): r for r in read_rows(three, "statistics.csv")}
    values = [
        json.loads((three / f"finetune/full/rte/pre{p}-seed0/metrics.json").read_text())["scores"][
            "dev"
        ]["accuracy"]
        for p in range(3)
    ]
    row = rows["table5", "full", "rte"]
    assert (row["runs"], row["degenerate"], row["examples"], row["given"]) == ("3", "1", "120", "")
    for name, value in {
        "mean": np.mean(values),
        "sd": np.std(values, ddof=1),
        "median": np.median(values),
        "mean_without": np.mean([values[0], values[2]]),
    }.items():
        assert float(row[name]) == pytest.approx(value, abs=1e-3), name
    assert float(row["low"]) < float(row["mean"]) < float(row["high"])
    assert rows["table5", "full", "average"]["degenerate"] == "1"
    assert rows["table5", "full", "cola"]["degenerate"] == "0"
    assert rows["table5", "full", "cola"]["mean_without"] == ""


def test_degenerate_runs_are_marked_in_the_tables(three: Path, synthetic: Path) -> None:
    lines = (three / "report/tables/table5.md").read_text("utf-8").splitlines()
    own = next(line for line in lines if "full) | this run" in line).split(" | ")
    assert [cell.strip(" |").endswith("†1") for cell in own[3:]] == [True, *[False] * 7, True]
    assert any("†k: k of the runs" in line for line in lines)
    assert "$\\dagger$1" in (three / "report/tables/table5.tex").read_text("utf-8")
    assert "†" not in (synthetic / "report/tables/table5.md").read_text("utf-8")


def test_differences_are_paired_and_corrected_over_the_tasks(three: Path) -> None:
    cells = {(r["variant"], r["task"]): r for r in read_rows(three, "statistics.csv")
             if r["table"] == "table5"}  # fmt: skip
    rows = [r for r in read_rows(three, "differences.csv") if r["table"] == "table5"]
    pairs = dict.fromkeys((r["first"], r["second"]) for r in rows)
    assert list(pairs) == [("full", v) for v in ("no-pretraining", "no-aux-lm", "lstm")]
    for pair in pairs:
        here = {r["task"]: r for r in rows if (r["first"], r["second"]) == pair}
        assert len(here) == 9
        for task, row in here.items():
            apart = float(cells[pair[0], task]["mean"]) - float(cells[pair[1], task]["mean"])
            assert float(row["difference"]) == pytest.approx(apart, abs=1e-3)
            shown = float(row["p_holm"]) < 0.05
            above = float(row["difference"]) > 0
            assert row["verdict"] == (["lower", "higher"][above] if shown else "not shown")
            assert bool(row["cohen_h"]) == (task in ("sst2", "mnli", "qnli", "rte"))
            assert float(row["smallest"]) > 0
        assert here["average"]["p_holm"] == here["average"]["p"]
        eight = [row for task, row in here.items() if task != "average"]
        smallest = min(eight, key=lambda row: float(row["p"]))
        assert float(smallest["p_holm"]) == pytest.approx(
            min(1, 8 * float(smallest["p"])), rel=0.01
        )
    gains = [r for r in read_rows(three, "differences.csv") if r["table"] == "gains"]
    assert len(gains) == 12


def test_few_seeds_get_intervals_and_no_verdicts(synthetic: Path) -> None:
    rows = read_rows(synthetic, "differences.csv")
    assert {r["table"] for r in rows} == {"table5", "gains", "figure2_left", "figure2_right"}
    for row in rows:
        assert row["verdict"] == "no verdict: too few seeds"
        assert (row["p"], row["p_holm"], row["given"]) == ("", "", "given the seeds")
        assert float(row["low"]) <= float(row["difference"]) <= float(row["high"])
    left = [r for r in rows if r["table"] == "figure2_left" and r["task"] == "race"]
    assert [(r["first"], r["second"]) for r in left] == [
        ("full", f"transfer-{n}") for n in (2, 1, 0)
    ]
    right = [r for r in rows if r["table"] == "figure2_right"]
    assert {r["task"] for r in right} == {"sst2", "cola", "race", "dprd"}
    assert {(r["first"], r["second"]) for r in right} == {
        ("transformer zero-shot", "lstm zero-shot")
    }
    html = (synthetic / "report/index.html").read_text("utf-8")
    assert "no verdicts: too few seeds" in html
    assert "too few for a verdict" in (synthetic / "report/tables/table5.md").read_text("utf-8")


def test_averages_are_four_and_labelled(synthetic: Path) -> None:
    rows = read_rows(synthetic, "tables/averages.csv")
    assert [row["GPT-1 (paper, test)"] for row in rows] == ["72.82", "75.24", "74.65", "75.13"]
    ours = [row["full (this run, dev)"] for row in rows]
    assert ours[0] == ""  # needs WNLI: for quoted rows only
    wanted = ("table5", "gptbench", "full", "average", "")
    keys = ("table", "source", "variant", "task", "seed")
    mean = next(r for r in read_scores(synthetic) if tuple(r[key] for key in keys) == wanted)
    assert float(ours[2].split(" ± ")[0]) == pytest.approx(float(mean["value"]), abs=0.051)
    file = json.loads((synthetic / "finetune/full/mrpc/pre0-seed0/metrics.json").read_text())
    assert set(file["scores"]["dev"]) == {"f1", "accuracy"}  # what the official average joins


def test_a_score_that_is_no_number_is_one_line(tmp_path: Path) -> None:
    job = make_job(studies=["table3"])
    make_tree(job, tmp_path)
    path = tmp_path / "finetune/full/race/pre0-seed1/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["scores"]["test"]["accuracy"] = float("nan")
    path.write_text(json.dumps(metrics))
    with pytest.raises(UserError, match="accuracy of test is no number"):
        run(job, tmp_path)
