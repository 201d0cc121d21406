"""The sections behind the scores, against scikit-learn, hand-worked cases and broken results."""

from __future__ import annotations

import csv
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, confusion_matrix

from gptbench.data.tokenizer import Tokenizer
from gptbench.errors import UserError
from gptbench.report import calibration, confusion, curves, errors, forest, outputs, reference
from gptbench.report.build import run
from gptbench.report.outputs import Outputs
from gptbench.report.results import Results
from gptbench.report.uncertainty import DifferenceRow
from gptbench.settings import ReportJob
from tests.report_tree import FORMULA, HOSTILE, add_texts, make_job, make_tree

REAL = {"source": "folder", "data_root": "somewhere", "world": None}
STUDIES = {"studies": ["table3"]}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def page(root: Path) -> str:
    return (root / "report/index.html").read_text("utf-8")


def section(html: str, name: str) -> str:
    """The page from a heading to the next."""
    return html[html.index(f'<h2 id="{name}">') :].split("<h2", 2)[1]


@pytest.fixture(scope="module")
def job() -> ReportJob:
    """Table 5, with STS-B, and RACE and Story Cloze of the gains."""
    return make_job(studies=["table5", "gains"])


@pytest.fixture(scope="module")
def tree(job: ReportJob, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = add_texts(job, make_tree(job, tmp_path_factory.mktemp("tree")))
    run(job, root)
    return root


@pytest.fixture(scope="module")
def found(job: ReportJob, tree: Path) -> dict[str, Outputs]:
    results = Results(job, tree)
    read = {task: outputs.read(results, "full", task) for task in job.tasks if task != "dprd"}
    return {task: one for task, one in read.items() if one is not None}


def made_up(job: ReportJob, task: str, runs: int = 2, n: int = 200, seed: int = 0) -> Outputs:
    """Random probabilities and their largest as prediction."""
    rng = np.random.default_rng(seed)
    spec = job.tasks[task]
    classes = len(spec.labels or []) or 4
    drawn = rng.dirichlet(np.ones(classes), (runs, n))
    gold = rng.integers(0, classes, n)
    keys = [(0, k) for k in range(runs)]
    splits = np.full(n, "dev")
    return Outputs(spec, keys, splits, np.arange(n), gold, drawn.argmax(2), drawn)


# What the runs answered. ----------------------------------------------------------------------


def test_outputs_are_those_of_the_files(found: dict[str, Outputs], tree: Path) -> None:
    mnli = found["mnli"]
    assert sorted(set(mnli.splits)) == ["dev_matched", "dev_mismatched"], "not the training rows"
    for at, seed in enumerate((0, 1)):
        rows = pq.read_table(tree / f"finetune/full/mnli/pre0-seed{seed}/predictions.parquet")
        held = [row for row in rows.to_pylist() if row["split"] != "train"]
        assert mnli.gold.tolist() == [row["gold"] for row in held]
        assert mnli.prediction[at].tolist() == [row["prediction"] for row in held]
        assert mnli.probabilities is not None
        assert mnli.probabilities[at].tolist() == [row["scores"] for row in held]
    assert found["stsb"].regression
    assert found["stsb"].probabilities is None
    assert found["race"].labels == [f"answer {k}" for k in (1, 2, 3, 4)]
    assert found["mnli"].labels == ["entailment", "neutral", "contradiction"]
    assert found["cola"].labels == ["unacceptable", "acceptable"]


def test_names_of_0_and_1_are_the_hubs(job: ReportJob) -> None:
    """A report's tasks are settled on one layout, so these are written down once more."""
    known = {
        name: task.hub.labels
        for name, task in job.tasks.items()
        if task.labels == ["0", "1"] and task.hub and task.format != "choice"
    }
    assert known == outputs.NAMES


# Calibration. ---------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["rte", "mnli", "race"])
def test_bins_are_scikit_learns(job: ReportJob, task: str) -> None:
    one = made_up(job, task)
    assert one.probabilities is not None
    sure = one.probabilities.max(2).ravel()
    right = (one.prediction == one.gold).ravel()
    accuracy, confidence = calibration_curve(right, sure, n_bins=10, strategy="uniform")
    ours = [each for each in calibration.measure(task, one).bins if each.n]
    assert [each.accuracy for each in ours] == pytest.approx(accuracy)
    assert [each.confidence for each in ours] == pytest.approx(confidence)
    gaps = [
        each.n * abs(each.accuracy - each.confidence)
        for each in ours
        if each.accuracy is not None and each.confidence is not None
    ]
    assert calibration.measure(task, one).ece == pytest.approx(sum(gaps) / len(sure))


@pytest.mark.parametrize("task", ["rte", "mnli", "race"])
def test_brier_is_scikit_learns_summed_over_the_classes(job: ReportJob, task: str) -> None:
    one = made_up(job, task, runs=1)
    assert one.probabilities is not None
    by_class = [
        brier_score_loss(one.gold == k, one.probabilities[0][:, k])
        for k in range(one.probabilities.shape[2])
    ]
    assert calibration.brier(one.probabilities, one.gold) == pytest.approx(sum(by_class))
    shares = np.bincount(one.gold) / len(one.gold)
    constant = calibration.brier(np.tile(shares, (1, len(one.gold), 1)), one.gold)
    assert calibration.measure(task, one).brier_constant == pytest.approx(constant)


def test_calibration_error_by_hand() -> None:
    """Two answers of 0.55 with one right: gap 0.1 of 2; two of 0.95, both right: 0.1 of 2."""
    sure = np.array([0.55, 0.55, 0.95, 0.95])
    right = np.array([True, False, True, True])
    assert calibration.expected_error(sure, right) == pytest.approx((0.1 + 0.1) / 4)
    ece, low, high = calibration.with_interval(sure[None], right[None], "x")
    assert ece == pytest.approx(0.05)
    assert 0 <= low <= ece <= high


def test_bin_edges_belong_below() -> None:
    assert calibration.places(np.array([0.0, 0.1, 0.1000001, 0.9, 1.0])).tolist() == [0, 0, 1, 8, 9]


def test_the_interval_of_the_error_covers_the_truth() -> None:
    """Answers that are right 0.8 of the time and say 0.95: the true error is 0.15."""
    rng = np.random.default_rng(1)
    covered = 0
    for i in range(60):
        right = rng.random((1, 300)) < 0.8
        _, low, high = calibration.with_interval(np.full((1, 300), 0.95), right, f"draw {i}")
        covered += low <= 0.15 <= high
    assert covered >= 52, "95 % of 60 is 57; fewer than 52 has a chance below 1 %"


def test_calibration_files(tree: Path, found: dict[str, Outputs]) -> None:
    scores = {row["task"]: row for row in table(tree / "report/calibration.csv")}
    assert set(scores) == set(found) - {"stsb"}
    assert scores["mnli"]["n"] == "240"
    assert scores["mnli"]["runs"] == "2"
    bins = [row for row in table(tree / "report/figures/calibration.csv") if row["task"] == "mnli"]
    assert len(bins) == 10
    assert sum(int(row["n"]) for row in bins) == 480
    text = section(page(tree), "calibration")
    assert "No probabilities of classes, so not here: STS Benchmark." in text


# Confusion. -----------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["mnli", "race", "cola"])
def test_counts_are_scikit_learns(found: dict[str, Outputs], tree: Path, task: str) -> None:
    one = found[task]
    size = len(one.labels)
    known = sum(confusion_matrix(one.gold, said, labels=range(size)) for said in one.prediction)
    assert np.array_equal(confusion.matrix(task, one).counts, known)
    rows = [row for row in table(tree / "report/figures/confusion.csv") if row["task"] == task]
    assert [int(row["n"]) for row in rows] == known.ravel().tolist()
    shares = known / known.sum(1, keepdims=True)
    assert [float(r["share_of_gold"]) for r in rows] == pytest.approx(shares.ravel(), abs=1e-4)
    assert [row["gold"] for row in rows[::size]] == one.labels


def test_a_regression_has_its_points(found: dict[str, Outputs], tree: Path) -> None:
    rows = table(tree / "report/figures/regression.csv")
    assert [float(row["gold"]) for row in rows] == pytest.approx(found["stsb"].gold, abs=1e-4)
    first = found["stsb"].prediction[0]
    assert [float(row["prediction"]) for row in rows] == pytest.approx(first, abs=1e-4)


def test_one_class_only(job: ReportJob) -> None:
    gold = np.zeros(30, np.int64)
    shares = np.tile([0.9, 0.1], (1, 30, 1))
    one = Outputs(
        job.tasks["rte"], [(0, 0)], np.full(30, "dev"), np.arange(30), gold, gold[None], shares
    )
    assert confusion.matrix("rte", one).counts.tolist() == [[30, 0], [0, 0]]
    assert confusion.matrix("rte", one).shares.tolist() == [[1, 0], [0, 0]]
    measured = calibration.measure("rte", one)
    assert measured.ece == pytest.approx(0.1)
    assert measured.brier_constant == 0
    assert len(errors.largest(one)) == 0


# Errors. --------------------------------------------------------------------------------------


def test_the_surest_wrong_answers_come_first(job: ReportJob) -> None:
    shares = np.array([[[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05], [0.1, 0.9]]])
    gold = np.array([1, 0, 0, 0, 0])
    one = Outputs(
        job.tasks["rte"], [(0, 0)], np.full(5, "dev"), np.arange(5), gold, shares.argmax(2), shares
    )
    assert errors.largest(one).tolist() == [1, 4, 2, 0], "the fourth is right; equals in order"
    assert errors.largest(one, 2).tolist() == [1, 4]


def test_the_largest_differences_of_a_regression(job: ReportJob) -> None:
    gold, said = np.array([1.0, 2.0, 5.0, 0.0]), np.array([[1.5, 2.0, 1.0, 1.0]])
    one = Outputs(job.tasks["stsb"], [(0, 0)], np.full(4, "dev"), np.arange(4), gold, said, None)
    assert errors.largest(one, 3).tolist() == [2, 3, 0]


def test_errors_are_shown_with_their_texts(tree: Path, found: dict[str, Outputs]) -> None:
    rows = [row for row in table(tree / "report/errors.csv") if row["task"] == "race"]
    one = found["race"]
    assert len(rows) == 5
    for row, at in zip(rows, errors.largest(one), strict=True):
        assert (row["split"], int(row["index"])) == (one.splits[at], one.index[at])
        assert row["gold"] == f"answer {one.gold[at] + 1}" != row["prediction"]
        assert one.probabilities is not None
        assert float(row["probability"]) == pytest.approx(one.probabilities[0][at].max(), abs=1e-4)
        assert row["part_1"].endswith(f"race {row['split']} row {row['index']}")
        assert row["part_5"] == f"answer 4 of row {row['index']}"
    shown = unescape(section(page(tree), "errors"))
    assert all(row["part_1"].lstrip("'") in shown for row in rows)


def test_texts_are_texts_in_page_and_csv(tree: Path) -> None:
    html, rows = page(tree), table(tree / "report/errors.csv")
    assert HOSTILE.lower() not in html
    assert HOSTILE not in html
    assert HOSTILE in unescape(section(html, "errors"))
    firsts = [row["part_1"] for row in rows]
    assert any(text.startswith("'" + FORMULA.lower()) for text in firsts)
    assert not any(text.startswith("=") for text in firsts)


def test_long_texts_are_cut() -> None:
    text = errors.cut("word " * 200)
    assert text.endswith("word …")
    assert len(text) <= errors.LONGEST + 2


@pytest.mark.parametrize("asked", [False, True])
def test_texts_of_real_data_are_shown_on_request_only(tmp_path: Path, asked: bool) -> None:
    job = make_job(**REAL, **STUDIES, show_texts=asked)
    run(job, add_texts(job, make_tree(job, tmp_path)))
    everything = page(tmp_path) + (tmp_path / "report/errors.csv").read_text("utf-8")
    assert ("answer 2 of row" in everything) == asked
    assert ("show_texts: true" in section(page(tmp_path), "errors")) == (not asked)
    assert len(table(tmp_path / "report/errors.csv")) == 10, "the rows are named all the same"


# Differences. ---------------------------------------------------------------------------------


def difference(**changes: Any) -> DifferenceRow:
    names = "table first second task metric split runs difference low high p p_holm d_z cohen_h"
    names += " smallest bootstrap_low bootstrap_high given verdict"
    values = [
        "t",
        "full",
        "lstm",
        "rte",
        "accuracy",
        "dev",
        3,
        2.0,
        1.0,
        3.0,
        0.01,
        0.02,
        *[None] * 5,
    ]
    row = dict(zip(names.split(), [*values, "", "higher"], strict=True))
    return DifferenceRow(**{**row, **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "+2.0 [1.0, 3.0] p = 0.020"),
        ({"p_holm": 1e-5}, "+2.0 [1.0, 3.0] p < 0.001"),
        ({"p_holm": None}, "+2.0 [1.0, 3.0] no verdict"),
        ({"low": None, "high": None, "p_holm": None}, "+2.0 no interval"),
        ({"difference": -0.04, "low": -1.0, "high": 0.9}, "+0.0 [-1.0, 0.9] p = 0.020"),
    ],
)
def test_what_stands_beside_a_difference(changes: dict[str, Any], text: str) -> None:
    assert forest.said(difference(**changes)) == text


def test_forest_plots_have_the_numbers_of_differences_csv(tree: Path) -> None:
    for name in ("table5", "gains"):
        all_rows = table(tree / "report/differences.csv")
        known = [row for row in all_rows if row["table"] == name]
        drawn = table(tree / f"report/figures/forest_{name}.csv")
        assert len(known) == len(drawn) > 0
        for a, b in zip(known, drawn, strict=True):
            assert all(a[column] == b[column] for column in b)
    svg = unescape((tree / "report/figures/forest_table5.svg").read_text("utf-8"))
    for second in ("no-pretraining", "no-aux-lm", "lstm"):
        assert f"full minus {second}" in svg
        assert f"favours {second}" in svg
    assert "favours full" in svg
    assert "no verdict" in svg
    assert "average" in svg
    assert "No verdicts: too few seeds." in section(page(tree), "differences")


# Curves. --------------------------------------------------------------------------------------


def test_means_and_bands_by_hand(job: ReportJob, tree: Path) -> None:
    made = curves.finetune_means(Results(job, tree), reference.load())
    first = next(m for m in made if (m.name, m.task, m.step) == ("full", "rte", 1))
    assert (first.mean, first.low, first.high, first.runs) == pytest.approx((4.05, 4.0, 4.1, 2))
    held = [m for m in curves.pretrain_means(Results(job, tree)) if m.quantity == "validation_loss"]
    last = next(m for m in held if (m.name, m.step) == ("transformer", 2500))
    assert (last.x, last.mean) == (2_560_000, 4.0), "2,560,000 tokens in 2,500 updates"
    rows = table(tree / "report/figures/curves_pretrain.csv")
    assert {row["name"] for row in rows} == {"transformer", "lstm"}
    assert {row["quantity"] for row in rows} == {"loss", "validation_loss"}


def test_runs_of_other_lengths_are_joined_where_both_are() -> None:
    made = list(curves._means("a", "", "loss", [{1: 2.0, 5: 1.0}, {1: 4.0}, {1: float("nan")}], 10))
    assert [(m.x, m.mean, m.low, m.high, m.runs) for m in made] == [
        (10, 3.0, 2.0, 4.0, 2),
        (50, 1.0, 1.0, 1.0, 1),
    ]


def test_broken_curves_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text("step,loss\n1,much\n", "utf-8")
    with pytest.raises(UserError, match=r"curves.csv: row .* delete the folder and run again"):
        curves.read(path)
    assert curves.read(tmp_path / "none.csv") == {}


# What is not there. ---------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> tuple[ReportJob, Path]:
    job = make_job(studies=["table2"])
    return job, make_tree(job, tmp_path)


def test_nothing_but_metrics(small: tuple[ReportJob, Path]) -> None:
    job, root = small
    for path in [*root.rglob("predictions.parquet"), *root.rglob("curves.csv")]:
        path.unlink()
    run(job, root)
    html = page(root)
    assert "No run has a curves.csv." in section(html, "curves")
    assert "Without curves" in section(html, "curves")
    for name in ("calibration", "confusion", "errors"):
        assert "No run of the full model has predictions" in section(html, name)
    assert table(root / "report/errors.csv") == []
    assert not (root / "report/figures/calibration.svg").exists()
    assert "nothing to compare" in section(html, "differences")


def test_without_the_first_run_the_next_is_shown(small: tuple[ReportJob, Path]) -> None:
    job, root = small
    shutil.rmtree(root / "finetune/full/rte/pre0-seed0")
    run(job, root)
    runs = {row["task"]: row["run"] for row in table(root / "report/errors.csv")}
    assert (runs["rte"], runs["mnli"]) == ("pre0-seed1", "pre0-seed0")
    assert "the results have no tokenizer" in section(page(root), "errors")


def test_another_tokenizers_texts_are_not_shown(small: tuple[ReportJob, Path]) -> None:
    job, root = small
    add_texts(job, root)
    shutil.rmtree(root / "tasks/snli")
    run(job, root)
    assert "tasks/snli/examples.npz is not there" in section(page(root), "errors")
    known = Tokenizer.load(root / "tokenizer")
    Tokenizer({**known.encoder, "ab": known.vocab_size}, [("a", "b")]).save(root / "tokenizer")
    run(job, root)
    assert "the task was encoded with another tokenizer" in section(page(root), "errors")


def test_predictions_without_probabilities(small: tuple[ReportJob, Path]) -> None:
    job, root = small
    for path in root.rglob("predictions.parquet"):
        rows = pq.read_table(path)
        pq.write_table(rows.drop_columns(["scores"]), path)
    run(job, root)
    assert "predictions with probabilities" in section(page(root), "calibration")
    assert "The matrices as tables" in section(page(root), "confusion")
    assert len(table(root / "report/errors.csv")) > 0


def test_broken_probabilities_are_one_line(small: tuple[ReportJob, Path]) -> None:
    job, root = small
    path = root / "finetune/full/rte/pre0-seed0/predictions.parquet"
    rows = pq.read_table(path).to_pydict()
    rows["scores"][0] = [1.0, 0.0, 0.0]
    pq.write_table(pa.table(rows), path)
    with pytest.raises(UserError, match=r"rte/pre0-seed0/predictions\.parquet: cannot be read"):
        run(job, root)


def test_imported_weights_have_no_curves(small: tuple[ReportJob, Path]) -> None:
    job, root = small
    (root / "pretrain/transformer/seed0/curves.csv").unlink()
    run(job, root)
    text = section(page(root), "curves")
    assert "not there: transformer." in text
    assert "Fine-tuning:" in text
    assert not (root / "report/figures/curves_pretrain.svg").exists()


# The page. ------------------------------------------------------------------------------------


def test_each_figure_has_words_and_files_that_are_there(tree: Path) -> None:
    html = page(tree)
    images = re.findall(r'<img src="data:image/svg\+xml;base64,[^"]+" alt="([^"]*)"', html)
    assert len(images) == 8, "two curves, two forests, calibration, confusion, and figure 2's two"
    assert all(len(alt) > 40 for alt in images)
    links = [link for link in re.findall(r'href="([^"#]+)"', html) if ":" not in link]
    assert len(links) >= 21
    for link in links:
        assert (tree / "report" / link).exists(), link
