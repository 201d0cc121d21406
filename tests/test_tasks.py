"""Parsers of the distribution formats, labels, and the real files."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptbench.data import formats
from gptbench.data.tasks import Example, files_of, halve, load_examples, load_split
from gptbench.errors import UserError
from gptbench.settings import TaskSpec, load_tasks

TASKS = load_tasks(Path(__file__).parent.parent / "config" / "tasks.yaml")


def put(root: Path, task: TaskSpec, split: str, content: str | bytes) -> TaskSpec:
    """Write the file of a split."""
    path = root / formats.split_source(task.files[split])[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return task


def archive(root: Path, passages: dict[str, Any]) -> TaskSpec:
    """Write RACE.tar.gz."""
    with tarfile.open(root / "RACE.tar.gz", "w:gz") as tar:
        for name, item in passages.items():
            data = item if isinstance(item, bytes) else json.dumps(item).encode()
            member = tarfile.TarInfo(f"RACE/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return TASKS["race"]


def passage(n: int = 1, **changed: Any) -> dict[str, Any]:
    item = {
        "article": "Once.",
        "questions": [f"q{i}?" for i in range(n)],
        "options": [["a", "b", "c", "d"]] * n,
        "answers": ["C"] * n,
        "id": "high1.txt",
    }
    return item | changed


# Good files. ---------------------------------------------------------------------------------


def test_tsv_with_header(tmp_path: Path) -> None:
    rows = (
        'index\tquestion\tsentence\tlabel\n0\tWho "is?\tHe.\tentailment\n1\tA?\tB\tnot_entailment\n'
    )
    task = put(tmp_path, TASKS["qnli"], "train", rows)
    assert load_examples(task, "train", tmp_path) == [
        Example(('Who "is?', "He."), 0, 0),
        Example(("A?", "B"), 1, 1),
    ]


def test_tsv_without_header(tmp_path: Path) -> None:
    task = put(tmp_path, TASKS["cola"], "dev", "gj04\t1\t\tFine.\r\ngj04\t0\t*\tNot fine.\r\n\r\n")
    assert load_examples(task, "dev", tmp_path) == [
        Example(("Fine.",), 1, 0),
        Example(("Not fine.",), 0, 1),
    ]


def test_byte_order_mark(tmp_path: Path) -> None:
    rows = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t2\t3\tOne.\tTwo.\n"
    task = put(tmp_path, TASKS["mrpc"], "train", rows)
    assert load_examples(task, "train", tmp_path) == [Example(("One.", "Two."), 1, 0)]


def test_jsonl_leaves_unlabelled_rows_out(tmp_path: Path) -> None:
    rows = [
        {"gold_label": label, "sentence1": "A \u2028 b", "sentence2": "C"}
        for label in ("-", "neutral", "", "entailment")
    ]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    parsed = load_split(put(tmp_path, TASKS["snli"], "dev", content), "dev", tmp_path)
    assert [(e.label, e.index) for e in parsed.examples] == [(1, 1), (0, 3)]
    assert (parsed.found, parsed.unlabelled, parsed.skipped) == (4, 2, 0)
    assert parsed.examples[0].texts == ("A \u2028 b", "C")


def test_regression(tmp_path: Path) -> None:
    rows = "sentence1\tsentence2\tscore\nA\tB\t3.8\nC\tD\t5\n"
    task = put(tmp_path, TASKS["stsb"], "dev", rows)
    assert [e.label for e in load_examples(task, "dev", tmp_path)] == [3.8, 5.0]


def test_race_is_one_example_a_question(tmp_path: Path) -> None:
    passages = {
        "train/middle/2.txt": passage(2),
        "train/high/1.txt": passage(1, answers=["A"], article="Twice."),
        "train/notes.md": b"no passage",
        "test/high/9.txt": passage(3),
        "test/middle/8.txt": passage(1),
    }
    task = archive(tmp_path, passages)
    examples = load_examples(task, "train", tmp_path)
    assert [(e.label, e.index) for e in examples] == [(2, 0), (2, 1), (0, 2)]
    assert examples[1].texts == ("Once.", "q1?", "a", "b", "c", "d")
    assert len(load_examples(task, "test_high", tmp_path)) == 3
    assert len(load_examples(task, "test_middle", tmp_path)) == 1


def stories(n: int) -> str:
    head = "InputStoryid," + ",".join(f"InputSentence{i}" for i in range(1, 5))
    head += ",RandomFifthSentenceQuiz1,RandomFifthSentenceQuiz2,AnswerRightEnding\n"
    rows = (f'{i},"One, {i}.",Two.,Three.,"Say ""four"".",E1.,E2.,{i % 2 + 1}\n' for i in range(n))
    return head + "".join(rows)


def test_story_cloze(tmp_path: Path) -> None:
    task = put(tmp_path, TASKS["story_cloze"], "test", stories(3))
    examples = load_examples(task, "test", tmp_path)
    assert examples[2] == Example(('One, 2. Two. Three. Say "four".', "", "E1.", "E2."), 0, 2)
    assert [e.label for e in examples] == [0, 1, 0]


def test_stories_are_halved(tmp_path: Path) -> None:
    task = put(tmp_path, TASKS["story_cloze"], "dev", stories(11))
    train, dev = (load_split(task, split, tmp_path) for split in ("train", "dev"))
    assert (train.found, dev.found) == (8, 3)
    assert {e.index for e in [*train.examples, *dev.examples]} == set(range(11))


@pytest.mark.parametrize(("n", "size"), [(1871, 374), (11, 0.2), (1000, 0.2)])
def test_halving_is_scikit_learns(n: int, size: float) -> None:
    examples = [Example(("",), 0, i) for i in range(n)]
    from sklearn.model_selection import train_test_split

    train, dev = train_test_split(np.arange(n), test_size=size, random_state=3535999445)
    assert [[e.index for e in part] for part in halve(examples)] == [train.tolist(), dev.tolist()]


def test_one_story_cannot_be_halved(tmp_path: Path) -> None:
    task = put(tmp_path, TASKS["story_cloze"], "train", stories(1))
    with pytest.raises(UserError, match="split `train` has no labelled rows"):
        load_split(task, "train", tmp_path)


def test_dprd(tmp_path: Path) -> None:
    blocks = "The dog bit Bob because it was mad.\nit\nThe dog,Bob\nthe dog\n\nB.\nhe\nA, B\nB\n"
    task = put(tmp_path, TASKS["dprd"], "test", blocks)
    assert load_examples(task, "test", tmp_path) == [
        Example(("The dog bit Bob because it was mad.", "it", "The dog", "Bob"), 0, 0),
        Example(("B.", "he", "A", "B"), 1, 1),
    ]


def parsed_lines(content: str, name: str) -> formats.Rows:
    """A file's text through the parser of a task."""
    rows, task = formats.Rows(), TASKS[name]
    formats.PARSERS[task.parser](rows, iter(io.StringIO(content, newline="\n")), "file x", task)
    return rows


CELL = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(CELL, CELL, st.sampled_from("01-")), min_size=1))
def test_any_tsv_row_comes_back(rows: list[tuple[str, str, str]]) -> None:
    content = "question1\tquestion2\tis_duplicate\n" + "\n".join(map("\t".join, rows))
    parsed = parsed_lines(content, "qqp")
    labelled = [(one, two, label) for one, two, label in rows if label != "-"]
    assert [(*row.texts, row.label) for row in parsed.rows] == labelled
    assert parsed.found == len(rows) == len(parsed.rows) + parsed.unlabelled


@given(st.lists(st.tuples(st.text(), st.text(), st.sampled_from(["neutral", "-"])), min_size=1))
def test_any_json_row_comes_back(rows: list[tuple[str, str, str]]) -> None:
    keys = ("sentence1", "sentence2", "gold_label")
    content = "\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows)
    parsed = parsed_lines(content, "snli")
    assert [row.texts for row in parsed.rows] == [r[:2] for r in rows if r[2] != "-"]


# Broken files. -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cola", "a\t1\t\tx\na\t1\tx\n", "train.tsv, line 2: 3 columns, 4 expected"),
        ("cola", "a\t1\tx\n", "line 1: 3 columns, 4 expected"),
        ("cola", "a\t7\t\tx\n", "line 1: label `7`, one of 0, 1 expected"),
        ("cola", "\n", "train.tsv: the file is empty; get it again from https"),
        ("cola", "a\t-\t\tx\n", "CoLA: split `train` has no labelled rows"),
        ("cola", b"a\t1\t\tx\na\t1\t\t\xe9\n", r"line 2: not UTF-8 text \(byte 0xe9\)"),
        ("sst2", "text\tlabel\nx\t1\n", "line 1: no column `sentence` .*; found text, label"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\t6\n", "line 2: score `6`, a number from 0"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\tnan\n", "score `nan`, a number from 0 to 5"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\thigh\n", "score `high`, a number"),
        ("snli", '{"sentence1": "a", "sentence2": "b"}\n', "line 1: no key `gold_label` .*; found"),
        ("snli", "{}\n".replace("{}", "{"), "line 1: not JSON"),
        ("snli", "\n[1]\n", "line 2: expected a JSON object"),
        ("story_cloze", "a,b\n", "line 1: no column `InputSentence1`; found a, b"),
        ("story_cloze", "", "line 1: no column `InputSentence1`; found an empty file"),
        ("story_cloze", stories(2) + "1,2\n", "line 4: 2 columns, 8 expected"),
        ("story_cloze", stories(1)[:-2] + "3\n", "line 2: AnswerRightEnding is `3`, 1 or 2"),
        ("story_cloze", stories(1) + '"x', "line 3: not csv"),
        ("dprd", "a it b\nit\n\n", "line 1: a block of 2 lines; sentence, pronoun"),
        ("dprd", "\na it b\nit\nA\nA\n", "line 2: 1 candidates in `A`, 2 expected"),
        ("dprd", "a it b\nit\nA,B\nC\n", "line 1: the answer `C` is none of the candidates"),
        ("dprd", "\n", "train.c.txt: the file is empty"),
    ],
)
def test_errors_name_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    task = put(tmp_path, TASKS[name], "train", content)
    with pytest.raises(UserError, match=message) as caught:
        load_examples(task, "train", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (passage(2, answers=["A"]), r"train/high/1.txt: 2 questions, 2 options, 1 answers"),
        (passage(1, answers=["E"]), "question 1: answer `E`, one of A, B, C, D expected"),
        ({"article": "x"}, "no key `questions`; found article"),
        (
            passage(1, options=[["a", "b"]], answers=["A"]),
            "2 answers, 4 expected as in the rows before",
        ),
        (passage(1, options="abc"), "`options` is not a list"),
        ([], "expected a JSON object"),
        (b"{", "1.txt: not JSON"),
        (b"\xff", "1.txt: not UTF-8"),
    ],
)
def test_race_errors(tmp_path: Path, item: Any, message: str) -> None:
    task = archive(tmp_path, {"train/high/0.txt": passage(), "train/high/1.txt": item})
    with pytest.raises(UserError, match=message):
        load_examples(task, "train", tmp_path)


def test_broken_archive(tmp_path: Path) -> None:
    (tmp_path / "RACE.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(UserError, match="not a whole tar archive"):
        load_examples(TASKS["race"], "train", tmp_path)
    with pytest.raises(UserError, match="nothing below dev/middle or dev/high"):
        load_examples(archive(tmp_path, {"train/high/0.txt": passage()}), "dev", tmp_path)


def test_missing_file_says_which_and_where(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_examples(TASKS["rte"], "dev", tmp_path)
    for part in ("RTE", "glue/RTE/dev.tsv", str(tmp_path), "https://gluebenchmark.com/tasks"):
        assert part in str(caught.value)
    with pytest.raises(UserError, match="no split `valid`; there is train, dev"):
        load_examples(TASKS["rte"], "valid", tmp_path)


def test_columns_that_are_not_named(tmp_path: Path) -> None:
    task = TASKS["qqp"].model_copy(update={"columns": {"text1": "question1", "label": "x"}})
    put(tmp_path, task, "dev", "question1\tx\na\t1\n")
    with pytest.raises(UserError, match="`columns` needs `text2`"):
        load_examples(task, "dev", tmp_path)


def test_few_malformed_rows_of_a_large_file_are_counted(tmp_path: Path) -> None:
    good = "0\t1\t2\tA?\tB?\t1\n"
    head = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    content = head + good * 10_000 + "0\t1\tbroken\n" + good * 9_999
    parsed = load_split(put(tmp_path, TASKS["qqp"], "train", content), "train", tmp_path)
    assert (parsed.found, parsed.skipped, len(parsed.examples)) == (20_000, 1, 19_999)
    assert parsed.examples[-1].index == 19_999
    put(tmp_path, TASKS["qqp"], "train", head + "0\t1\tbroken\n" * 3 + good * 20_000)
    with pytest.raises(UserError, match="line 4: 3 columns, 6 expected"):
        load_split(TASKS["qqp"], "train", tmp_path)


def test_files_of(tmp_path: Path) -> None:
    archive(tmp_path, {"train/high/0.txt": passage()})
    put(tmp_path, TASKS["snli"], "dev", "")
    assert files_of(TASKS["race"], tmp_path) == [tmp_path / "RACE.tar.gz"]
    assert files_of(TASKS["snli"], tmp_path) == [tmp_path / "snli_1.0/snli_1.0_dev.jsonl"]
    assert files_of(TASKS["rte"], tmp_path) == []


# The real files (SOURCES.md). ----------------------------------------------------------------

REAL = {
    "mnli": {"train": 43477, "dev_matched": 9815, "dev_mismatched": 1913},
    "snli": {"train": 44008, "dev": 9842, "test": 9824},
    "qnli": {"train": 18869, "dev": 5463},
    "rte": {"train": 2490, "dev": 277},
    "scitail": {"train": 2126, "dev": 1304},
    "race": {"train": 87866, "dev": 4887, "test_middle": 1436, "test_high": 3498},
    "story_cloze": {"train": 1497, "dev": 374, "test": 1871},
    "mrpc": {"train": 4076, "dev": 1725},
    "qqp": {"train": 44302, "dev": 8000},
    "stsb": {"train": 5749, "dev": 1500},
    "sst2": {"train": 67349, "dev": 872},
    "cola": {"train": 8551, "dev": 1043},
    "dprd": {"train": 1322, "test": 564},
}


@pytest.mark.parametrize("name", REAL)
def test_real_data(real_data: Path, name: str) -> None:
    for split, rows in REAL[name].items():
        parsed = load_split(TASKS[name], split, real_data)
        assert (parsed.found, len(parsed.examples)) == (rows, rows)
        assert all(text.strip() for text in parsed.examples[0].texts[:1])
    assert set(REAL[name]) == set(TASKS[name].files)
