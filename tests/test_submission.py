"""Leaderboard files, made by the models of a real run on hidden test files written here."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gptbench.cli import main
from gptbench.data.tasks import load_texts
from gptbench.errors import UserError
from gptbench.evaluation import submission
from gptbench.settings import load_tasks
from tests.conftest import PROJECT, Project

pytestmark = pytest.mark.workflow
TASKS = load_tasks(PROJECT / "config" / "tasks.yaml")
ROWS = {"CoLA": 3, "SST-2": 2, "MRPC": 2, "STS-B": 3, "QQP": 2, "MNLI-m": 3, "MNLI-mm": 2}
ROWS |= {"QNLI": 2, "RTE": 2, "AX": 4}

HEADERS = {
    "CoLA/test.tsv": "index\tsentence",
    "SST-2/test.tsv": "index\tsentence",
    "MRPC/test.tsv": "index\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "STS-B/test.tsv": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
    ),
    "QQP/test.tsv": "id\tquestion1\tquestion2",
    "MNLI/test_matched.tsv": "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2",
    "MNLI/test_mismatched.tsv": "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2",
    "QNLI/test.tsv": "index\tquestion\tsentence",
    "RTE/test.tsv": "index\tsentence1\tsentence2",
    "diagnostic/diagnostic.tsv": "index\tsentence1\tsentence2",
}
"""The headers of GLUE's hidden test files."""


def write_hidden(root: Path) -> None:
    """Hidden test files in GLUE's form, a few rows each."""
    for (name, header), rows in zip(HEADERS.items(), ROWS.values(), strict=True):
        columns = header.split("\t")
        lines = [header]
        for number in range(rows):
            words = [f"word {number} of {column}" for column in columns[1:]]
            lines.append("\t".join([str(number), *words]))
        path = root / "glue" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with hidden test files."""
    root = tmp_path_factory.mktemp("hidden")
    write_hidden(root)
    return root


@pytest.fixture(scope="module")
def source(finished_project: Project, hidden: Path) -> submission.Source:
    return submission.Source(finished_project.results, "full", "pre0-seed0", hidden)


@pytest.fixture(scope="module")
def made(source: submission.Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "glue.zip"
    remarks = submission.glue(source, TASKS, out)
    assert any(r.startswith("WNLI: its majority class (0)") for r in remarks)
    assert any(r == "CoLA: 3 rows, the hidden test set has 1063" for r in remarks)
    return out


def test_the_zip_is_what_glue_takes(made: Path) -> None:
    with zipfile.ZipFile(made) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert sorted(files) == sorted(
        f"{name}.tsv"
        for name in "AX CoLA MNLI-m MNLI-mm MRPC QNLI QQP RTE SST-2 STS-B WNLI".split()
    )
    three, two = {"entailment", "neutral", "contradiction"}, {"entailment", "not_entailment"}
    allowed = {"MNLI-m": three, "MNLI-mm": three, "AX": three, "QNLI": two, "RTE": two}
    allowed |= {name: {"0", "1"} for name in ("CoLA", "SST-2", "MRPC", "QQP", "WNLI")}
    for name, rows in {**ROWS, "WNLI": 146}.items():
        lines = files[f"{name}.tsv"].splitlines()
        assert lines[0] == "index\tprediction"
        cells = [line.split("\t") for line in lines[1:]]
        assert [index for index, _ in cells] == [str(i) for i in range(rows)]
        if name == "STS-B":
            assert all(0 <= float(value) <= 5 for _, value in cells)
        else:
            assert {value for _, value in cells} <= allowed[name]
    assert set(files["WNLI.tsv"].split("prediction\n")[1].split()[1::2]) == {"0"}
    about = json.loads(made.with_name("glue.zip.json").read_text())
    assert about["files"]["AX"]["task"] == "mnli"
    assert about["files"]["WNLI"] == {"rows": 146, "majority": "0"}
    assert about["files"]["AX"]["run_id"] == about["files"]["MNLI-m"]["run_id"]


def test_the_same_predictions_are_the_same_bytes(
    made: Path, source: submission.Source, tmp_path: Path
) -> None:
    submission.glue(source, TASKS, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == made.read_bytes()


def test_what_was_made_is_in_order(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submission.check_glue(made, ROWS) == []
    assert main(["submit", "check", "glue", str(made)]) == 1, "the sizes are not the real ones"
    out, err = capsys.readouterr()
    assert f"{made}: CoLA.tsv: 3 rows, 1063 expected" in out
    assert "10 fault(s)" in err


Change = Callable[[dict[str, str]], None]


def put(name: str, text: str) -> Change:
    return lambda files: files.update({name: text})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda files: files.pop("AX.tsv"), "AX.tsv is missing"),
        (put("notes.txt", "x"), "notes.txt does not belong there"),
        (put("RTE.tsv", "id\tlabel\n"), "RTE.tsv, line 1: the header"),
        (put("RTE.tsv", "index\tprediction\n0\tentailment\n"), "RTE.tsv: 1 rows, 2 expected"),
        (
            put("RTE.tsv", "index\tprediction\n0\tentailment\n2\tentailment\n"),
            "RTE.tsv, line 3: index 2, 1 expected",
        ),
        (
            put("RTE.tsv", "index\tprediction\n0\tyes\n1\tentailment\n"),
            "RTE.tsv, line 2: prediction `yes`, one of entailment, not_entailment expected",
        ),
        (put("RTE.tsv", "index\tprediction\n0 yes\n1\tentailment\n"), "line 2: not two columns"),
        (
            put("STS-B.tsv", "index\tprediction\n0\t5.5\n1\t1\n2\t1\n"),
            "STS-B.tsv, line 2: prediction `5.5`, a number from 0 to 5 expected",
        ),
    ],
)
def test_the_checker_finds_each_fault(
    made: Path, tmp_path: Path, change: Change, fault: str
) -> None:
    with zipfile.ZipFile(made) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    change(files)
    path = tmp_path / "changed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    assert any(fault in found for found in submission.check_glue(path, ROWS))


def test_a_missing_test_file_or_model_is_one_line(
    source: submission.Source, tmp_path: Path
) -> None:
    nowhere = submission.Source(source.results, "full", "pre0-seed0", tmp_path)
    with pytest.raises(UserError, match=r"CoLA.*test"):
        submission.glue(nowhere, TASKS, tmp_path / "x.zip")
    unkept = submission.Source(source.results, "full", "pre0-seed1", source.data)
    with pytest.raises(UserError, match="only runs with `keep`"):
        submission.glue(unkept, TASKS, tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())
    (tmp_path / "y.zip").write_text("no")
    with pytest.raises(UserError, match="not a zip file"):
        submission.check_glue(tmp_path / "y.zip")


def test_story_cloze_and_race(
    finished_project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, world = finished_project.results, finished_project.results / "world"
    for what in ("story_cloze", "race"):
        out = tmp_path / what
        words = ["--results", str(results), "--data", str(world), "--out", str(out)]
        assert main(["submit", what, *words]) == 0
        assert main(["submit", "check", what, str(out), "--data", str(world)]) == 0
        assert f"{out}: in order" in capsys.readouterr().out
    rows = list(csv.reader(io.StringIO((tmp_path / "story_cloze").read_text())))
    ids = [row.id for row in load_texts(TASKS["story_cloze"], "test", world)]
    assert rows[0] == ["InputStoryid", "AnswerRightEnding"]
    assert [row[0] for row in rows[1:]] == ids
    assert {row[1] for row in rows[1:]} <= {"1", "2"}
    answers = json.loads((tmp_path / "race").read_text())
    assert sum(map(len, answers.values())) == sum(
        len(load_texts(TASKS["race"], s, world)) for s in TASKS["race"].scored["test"]
    )
    (tmp_path / "story_cloze").write_text("InputStoryid,AnswerRightEnding\nx,3\n")
    faults = submission.check_story_cloze(tmp_path / "story_cloze", ids)
    assert any("an id and 1 or 2 expected" in fault for fault in faults)
    assert any(f"{ids[0]} is missing ({len(ids)} in all)" in fault for fault in faults)
    first = next(iter(answers))
    (tmp_path / "race").write_text(json.dumps({**answers, first: ["E"]}))
    sizes = {passage: len(letters) for passage, letters in answers.items()}
    assert submission.check_race(tmp_path / "race", sizes) == [
        f"{first}: a list of letters A to D expected"
    ]
