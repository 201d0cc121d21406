"""What is wrong in a file is said in one line; any bytes give examples or that line.

The fuzzing takes `GPTBENCH_FUZZ` inputs a parser (25 unless it is set).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptbench.data import archives
from gptbench.data.tasks import load_split, load_texts, settle
from gptbench.errors import UserError
from gptbench.settings import TaskSpec, load_tasks

TASKS = load_tasks(Path(__file__).parent.parent / "config" / "tasks.yaml")
FUZZ = int(os.environ.get("GPTBENCH_FUZZ", "25"))

STORY = (
    "InputStoryid,InputSentence1,InputSentence2,InputSentence3,InputSentence4,"
    "RandomFifthSentenceQuiz1,RandomFifthSentenceQuiz2,AnswerRightEnding\n"
    + "".join(f'x{i},A.,"B, c.",C.,D.,E.,F.,{i % 2 + 1}\n' for i in range(6))
)
PASSAGE = json.dumps(
    {"article": "A.", "questions": ["Q?"], "options": [["a", "b"]], "answers": ["B"], "id": "1"}
)

GOOD: dict[str, tuple[str, str | None, str]] = {
    # parser's case: task, layout, a whole file of it
    "tsv": (
        "rte",
        None,
        "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n1\tC\tD\tnot_entailment\n",
    ),
    "tsv without header": ("cola", None, "gj04\t1\t\tFine.\ngj04\t0\t*\tNot fine.\n"),
    "tsv, score": ("stsb", "original", "g\tf\t2012\t1\t4.5\tA\tB\ng\tf\t2012\t2\t0\tA\tB\tx\n"),
    "tsv_quoted": (
        "qqp",
        "quora",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
        + "".join(f'{i}\t1\t2\t"A ""b"""\tC\t{i % 2}\n' for i in range(12)),
    ),
    "jsonl": (
        "snli",
        None,
        '{"gold_label": "neutral", "sentence1": "A", "sentence2": "B", "pairID": "1"}\n' * 2,
    ),
    "race": ("race", "jsonl", f"{PASSAGE}\n{PASSAGE}\n"),
    "story_cloze": ("story_cloze", None, STORY),
    "dprd": ("dprd", None, "The dog bit Bob as it was mad.\nit\nThe dog,Bob\nthe dog\n\n"),
}


def task_of(case: str) -> TaskSpec:
    """The task of a case, in its layout alone."""
    name, layout, _ = GOOD[case]
    task = TASKS[name].model_copy(update={"layout": layout or "default"})
    return task


def place(root: Path, case: str) -> Path:
    """Where the training file of a case lies."""
    task = task_of(case)
    files = task.files if task.layout == "default" else task.layouts[str(task.layout)].files
    name, inside = archives.split_source(files["train"])
    path = root / name / inside[0] if inside else root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(inside) > 1:  # RACE's lines: the second file of the split
        (root / name / inside[1]).write_text(PASSAGE)
    return path


def refused(root: Path, case: str) -> str:
    """The one line that a broken training file gives."""
    with pytest.raises(UserError) as caught:
        load_split(task_of(case), "train", root)
    message = str(caught.value)
    assert "\n" not in message
    assert "\0" not in message
    assert len(message) < 1000
    return message


@pytest.mark.parametrize("case", GOOD)
def test_the_good_files_are_read(case: str, tmp_path: Path) -> None:
    place(tmp_path, case).write_text(GOOD[case][2])
    assert load_split(task_of(case), "train", tmp_path).examples


# Faults that are errors. ---------------------------------------------------------------------

Damage = Callable[[str], bytes]


def long_line(text: str) -> bytes:
    return (text + "x" * 10_000_000 + "\n").encode()


FAULTS: dict[str, tuple[Damage, str]] = {
    "latin-1": (
        lambda text: text.encode() + "café\t\n".encode("latin-1") * 5,
        r"line \d+: not UTF-8 text \(byte 0xe9\); convert the file to UTF-8",
    ),
    "NUL": (
        lambda text: text.encode() + b"a\0b\n",
        r"line \d+: it holds a NUL byte, .*; get the file again or convert it",
    ),
    "UTF-16": (lambda text: text.encode("utf-16-le"), r"line 1: it holds a NUL byte"),
    "a line of 10 MB": (long_line, r"line \d+: more than 1,000,000 bytes in one line"),
    "empty": (
        lambda text: b"",
        r"the file is empty; get it again from https|no column `InputSentence1`",
    ),
    "blank lines": (
        lambda text: b"\n \r\n\n",
        r"the file is empty; get it again|no column `InputSentence1`",
    ),
}


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_any_file(case: str, fault: str, tmp_path: Path) -> None:
    damage, message = FAULTS[fault]
    path = place(tmp_path, case)
    path.write_bytes(damage(GOOD[case][2]))
    said = refused(tmp_path, case)
    assert path.name in said

    assert re.search(message, said), said


@pytest.mark.parametrize(
    ("case", "old", "new", "message"),
    [
        (
            "tsv",
            "sentence2\t",
            "",
            r"train.tsv, line 1: no column `sentence2` .*; found index",
        ),
        (
            "tsv",
            "label",
            "gold",
            "no column `label` .*; found .*; mend the header or the task",
        ),
        ("tsv", "\tnot_entailment", "\tmaybe", "line 3: label `maybe`, one of entailment, not_"),
        ("tsv", "D\tnot", "D\tx\tnot", "line 3: 5 columns, 4 expected; columns are separated"),
        ("tsv without header", "gj04\t0\t*\t", "gj04\t0\t", "line 2: 3 columns, 4 expected"),
        ("tsv, score", "4.5", "5.5", "line 1: score `5.5`, a number from 0 to 5 expected"),
        ("tsv, score", "\t0\tA\tB\tx", "\t0", "line 2: 5 columns, 7 expected"),
        ("tsv_quoted", "question2", "other", "line 1: no column `question2` .*; found id, qid1"),
        ("tsv_quoted", "C\t1\n", "C\t2\n", "line 3: label `2`, one of 0, 1 expected"),
        ("tsv_quoted", '"""\tC\t1', '""\tC\t1', r"line \d+: \d columns, 6 expected"),
        ("jsonl", '"gold_label"', '"label"', "line 1: no key `gold_label` .*; found label, sent"),
        ("jsonl", '"neutral"', '"unknown"', "line 1: label `unknown`, one of entailment, neu"),
        ("jsonl", '"A"', "null", "line 1: `sentence1` is NoneType, a text expected"),
        ("jsonl", '"A"', '"\\ud800"', r"line 1: `sentence1` has half of a \\u pair"),
        ("jsonl", '"A"', "9" * 5000, "line 1: not JSON .a number of too many digits"),
        ("jsonl", '{"gold', "[" * 100_000 + '{"gold', "line 1: not JSON .nested too deep"),
        ("jsonl", '"}', '"', "line 1: not JSON .Expecting"),
        ("race", '"B"', '"C"', "line 1, question 1: answer `C`, one of A, B expected"),
        ("race", '"B"', '"1"', "line 1, question 1: answer `1`, one of A, B expected"),
        ("race", '["a", "b"]', '"ab"', "question 1: its options are not a list of texts"),
        ("race", '["a", "b"]', '["a", null]', "question 1: `options` is NoneType, a text"),
        ("race", '"A."', "{}", "line 1: `article` is dict, a text expected"),
        ("story_cloze", "AnswerRightEnding", "Answer", "line 1: no column `AnswerRightEnding`"),
        ("story_cloze", "F.,2", "F.,3", "line 3: AnswerRightEnding is `3`, 1 or 2 expected"),
        ("story_cloze", 'c.",C', "c. C", "not csv|columns, 8 expected"),
        ("dprd", "the dog\n", "the cat\n", "line 1: the answer `the cat` is none of the cand"),
        ("dprd", ",Bob", "", "line 1: 1 candidates in `The dog`, 2 expected"),
    ],
)
def test_faults_of_rows(case: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    text = GOOD[case][2]
    assert old in text
    place(tmp_path, case).write_text(text.replace(old, new))

    assert re.search(message, refused(tmp_path, case))


@pytest.mark.parametrize("case", GOOD)
def test_no_labels_at_all(case: str, tmp_path: Path) -> None:
    empty = {
        "tsv": "index\tsentence1\tsentence2\tlabel\n0\tA\tB\t-\n",
        "tsv without header": "gj04\t-\t\tx\n",
        "tsv, score": "g\tf\ty\t1\t\tA\tB\n",
        "tsv_quoted": "id\tquestion1\tquestion2\tis_duplicate\n0\tA\tB\t\n",
        "jsonl": '{"gold_label": null, "sentence1": "A", "sentence2": "B"}\n',
        "race": "",
        "story_cloze": STORY.splitlines()[0] + "\nx,A,B,C,D,E,F,\n",
        "dprd": "A b.\nb\nc,d\n\n",
    }[case]
    path = place(tmp_path, case)
    if case == "race":
        empty = PASSAGE.replace('"B"', '""')
        path.with_name("high.jsonl").write_text(empty)
    path.write_text(empty)
    said = refused(tmp_path, case)
    assert "split `train` has no labelled rows in" in said


# Faults that are handled. --------------------------------------------------------------------


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("ends", ["\r\n", "\n\n", "\ufeff"])
def test_line_ends_blank_lines_and_marks_change_nothing(
    case: str, ends: str, tmp_path: Path
) -> None:
    path, text = place(tmp_path, case), GOOD[case][2]
    path.write_text(text)
    expected = load_split(task_of(case), "train", tmp_path)
    if ends == "\ufeff":
        changed = ends + text
    elif ends == "\n\n" and case == "dprd":
        changed = text + "\n\n\n"
    else:
        changed = text.replace("\n", ends)
    path.write_bytes(changed.encode())
    assert load_split(task_of(case), "train", tmp_path) == expected


# What lies in a file's place. ----------------------------------------------------------------


def test_a_folder_in_a_files_place(tmp_path: Path) -> None:
    place(tmp_path, "tsv").mkdir()
    assert "glue/RTE/train.tsv is a folder" in refused(tmp_path, "tsv")
    (tmp_path / "glue/RTE/dev.tsv").write_text(GOOD["tsv"][2])
    assert "RTE: glue/RTE/train.tsv is a folder; looked in" in refused(tmp_path, "tsv")
    task = TASKS["rte"].model_copy(update={"files": {"train": "glue/RTE"}, "archives": []})
    with pytest.raises(UserError, match="glue/RTE is a folder"):
        settle(task, tmp_path)


def test_a_symbolic_link_in_a_circle(tmp_path: Path) -> None:
    path = place(tmp_path, "tsv")
    path.symlink_to(path)
    said = refused(tmp_path, "tsv")
    assert "glue/RTE/train.tsv is a symbolic link that leads nowhere or to itself" in said


def test_folders_that_link_to_each_other(tmp_path: Path) -> None:
    (tmp_path / "glue").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "glue")
    assert "cannot be read (Too many levels of symbolic links)" in refused(tmp_path, "tsv")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_no_permission(tmp_path: Path) -> None:
    path = place(tmp_path, "tsv")
    path.write_text(GOOD["tsv"][2])
    path.chmod(0)
    assert "no permission to read it; mend it with chmod u+r" in refused(tmp_path, "tsv")


def test_no_permission_as_the_system_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for the superuser, with a system that refuses."""
    path = place(tmp_path, "tsv")
    path.write_text(GOOD["tsv"][2])

    def denied(self: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    said = refused(tmp_path, "tsv")
    assert said.startswith("file glue/RTE/train.tsv: no permission to read it; mend it with chmod")


def test_a_pipe_in_a_files_place(tmp_path: Path) -> None:
    os.mkfifo(place(tmp_path, "tsv"))
    assert "train.tsv is neither a file nor a folder" in refused(tmp_path, "tsv")


# Archives. -----------------------------------------------------------------------------------


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes], packed: bool = True) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz" if packed else "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


LONG = "".join(f"{i}\tSentence {i * i * 7919}.\tOther {i**3}.\tentailment\n" for i in range(3000))
RTE = ("index\tsentence1\tsentence2\tlabel\n" + LONG).encode()
STS = "".join(f"g\tf\ty\t{i}\t1.5\tSentence {i * i * 7919}\tB\n" for i in range(3000)).encode()


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.98])
def test_truncated_gz(tmp_path: Path, keep: float) -> None:
    data = gzip.compress(RTE)
    place(tmp_path, "tsv").with_name("train.tsv.gz").write_bytes(data[: int(len(data) * keep)])
    said = refused(tmp_path, "tsv")
    assert said.startswith("file glue/RTE/train.tsv.gz, after line ")
    assert "not a whole gzip file" in said
    assert said.endswith("get it again")


def test_not_gz_at_all(tmp_path: Path) -> None:
    place(tmp_path, "tsv").with_name("train.tsv.gz").write_bytes(RTE)
    assert "train.tsv.gz, after line 0: not a whole gzip file" in refused(tmp_path, "tsv")


@pytest.mark.parametrize("keep", [0, 0.3, 0.98])
def test_truncated_zip(tmp_path: Path, keep: float) -> None:
    data = zipped({"RTE/train.tsv": RTE, "RTE/dev.tsv": RTE})
    (tmp_path / "RTE.zip").write_bytes(data[: int(len(data) * keep)])
    said = refused(tmp_path, "tsv")
    assert said.startswith("file RTE.zip: not a whole zip archive")
    assert said.endswith("get it again")


def test_damaged_member_of_a_zip(tmp_path: Path) -> None:
    data = bytearray(zipped({"RTE/train.tsv": RTE, "RTE/dev.tsv": RTE}))
    data[500:520] = bytes(20)
    (tmp_path / "RTE.zip").write_bytes(data)
    said = refused(tmp_path, "tsv")
    assert said.startswith("file RTE.zip, RTE/train.tsv, after line ")
    assert "not a whole zip archive" in said


@pytest.mark.parametrize("keep", [0, 0.3, 0.7, 0.98])
def test_truncated_tar(tmp_path: Path, keep: float) -> None:
    data = tarred({f"stsbenchmark/sts-{split}.csv": STS for split in ("train", "dev", "test")})
    (tmp_path / "Stsbenchmark.tar.gz").write_bytes(data[: int(len(data) * keep)])
    said = refused(tmp_path, "tsv, score")
    assert said.startswith("file Stsbenchmark.tar.gz")
    assert "not a whole tar archive" in said


OUTSIDE = ["../train.tsv", "RTE/../../train.tsv", "/etc/passwd", "C:/train.tsv", "..\\train.tsv"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_outside_the_archive(tmp_path: Path, name: str, kind: str) -> None:
    case, archive, write, inside = {
        "zip": ("tsv", "RTE.zip", zipped, {"RTE/train.tsv": RTE, "RTE/dev.tsv": RTE}),
        "tar": (
            "tsv, score",
            "Stsbenchmark.tar.gz",
            tarred,
            {f"stsbenchmark/sts-{split}.csv": STS for split in ("train", "dev", "test")},
        ),
    }[kind]
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / archive).write_bytes(write({**inside, name: b"evil"}))
    said = refused(tmp_path / "below", case)
    assert said.startswith(f"file {archive}: it holds ")
    assert "a name outside the archive's own folder; the archive is refused" in said
    assert [path.name for path in tmp_path.rglob("*")] == ["below", archive]


def test_race_archive_with_a_name_outside(tmp_path: Path) -> None:
    data = tarred({"RACE/train/high/1.txt": PASSAGE.encode(), "../x.txt": b""})
    (tmp_path / "RACE.tar.gz").write_bytes(data)
    with pytest.raises(UserError, match="a name outside the archive's own folder"):
        load_split(TASKS["race"], "train", tmp_path)


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(STS)
    with tarfile.open(tmp_path / "Stsbenchmark.tar.gz", "w:gz") as tar:
        for split in ("train", "dev", "test"):
            member = tarfile.TarInfo(f"stsbenchmark/sts-{split}.csv")
            member.type, member.linkname = tarfile.SYMTYPE, str(secret)
            tar.addfile(member)
    assert "STS Benchmark: none of its files is in" in refused(tmp_path, "tsv, score")


def test_an_encrypted_zip(tmp_path: Path) -> None:
    data = bytearray(zipped({"RTE/train.tsv": RTE, "RTE/dev.tsv": RTE}))
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(b"PK\x01\x02"))
    data[at + 8] |= 1
    data[6] |= 1
    (tmp_path / "RTE.zip").write_bytes(data)
    assert "is encrypted, password required" in refused(tmp_path, "tsv")


def test_a_large_passage(tmp_path: Path) -> None:
    (tmp_path / "RACE.tar.gz").write_bytes(tarred({"RACE/train/high/1.txt": b" " * 2_000_000}))
    with pytest.raises(
        UserError, match=r"1\.txt: more than 1,000,000 bytes; no passage is as long"
    ):
        load_split(TASKS["race"], "train", tmp_path)


# Any bytes. ----------------------------------------------------------------------------------


@st.composite
def mutated(draw: st.DrawFn, good: bytes) -> bytes:
    """A good file with pieces cut, doubled, replaced or put in; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = good
    pieces = st.one_of(
        st.binary(max_size=6),
        st.sampled_from(
            [
                *(b"\t", b"\n", b'"', b'""', b",", b"\r", b"\\ud800", b"null", b"[", b"{}"),
                *(b"\xef\xbb\xbf", b"-", b"\xff", b"\0", b"A", b"9" * 40, b"\xe2\x80\xa8"),
                *(b"1e999", b"NaN"),
            ]
        ),
    )
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        data = data[:start] + draw(pieces) + data[end:]
    return data


def survives(task: TaskSpec, root: Path) -> None:
    """Examples that are whole, or one line of error."""
    with expected():
        parsed = load_split(task, "train", root)
        for example in parsed.examples:
            for text in example.texts:
                text.encode()
        if task.layout != "quora" and task.parser != "story_cloze":  # those are a part of a file
            assert parsed.found == len(parsed.examples) + parsed.unlabelled + parsed.skipped
    with expected():
        load_texts(task, "train", root)


@contextmanager
def expected() -> Iterator[None]:
    """No exception but a `UserError` of one line."""
    try:
        yield
    except UserError as error:
        message = str(error)
        if not message.isprintable() or len(message) > 1500:
            raise AssertionError(repr(message)) from error


fuzz = settings(
    max_examples=FUZZ,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("case", GOOD)
def test_any_bytes_in_a_file(case: str, tmp_path: Path) -> None:
    path, task = place(tmp_path, case), task_of(case)

    @fuzz
    @given(mutated(GOOD[case][2].encode()))
    def run(data: bytes) -> None:
        path.write_bytes(data)
        survives(task, tmp_path)

    run()


ARCHIVED: dict[str, tuple[str, str, bytes]] = {
    "zip": (
        "tsv",
        "RTE.zip",
        zipped(dict.fromkeys(["RTE/train.tsv", "RTE/dev.tsv"], GOOD["tsv"][2].encode())),
    ),
    "gz": ("tsv", "glue/RTE/train.tsv.gz", gzip.compress(GOOD["tsv"][2].encode(), mtime=0)),
    "tar.gz": (
        "tsv, score",
        "Stsbenchmark.tar.gz",
        tarred(
            {
                f"stsbenchmark/sts-{split}.csv": GOOD["tsv, score"][2].encode()
                for split in ("train", "dev", "test")
            }
        ),
    ),
    "RACE.tar": (
        "race",
        "RACE.tar",
        tarred({f"RACE/train/high/{i}.txt": PASSAGE.encode() for i in range(3)}, packed=False),
    ),
    "RACE.zip": (
        "race",
        "RACE.zip",
        zipped({f"RACE/train/high/{i}.txt": PASSAGE.encode() for i in range(3)}),
    ),
}


@pytest.mark.parametrize("kind", ARCHIVED)
def test_any_bytes_in_an_archive(kind: str, tmp_path: Path) -> None:
    case, name, good = ARCHIVED[kind]
    task = task_of(case)
    if kind.startswith("RACE"):
        files = {"train": f"{name}:train/middle,train/high"}
        task = TASKS["race"].model_copy(update={"files": files, "layout": "default"})
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(good)
    assert load_split(task, "train", tmp_path).examples

    @fuzz
    @given(mutated(good))
    def run(data: bytes) -> None:
        path.write_bytes(data)
        for cache in (archives._names_in, archives._archived_passages):
            cache.cache_clear()
        survives(task, tmp_path)

    run()


def test_any_bytes_in_a_passage(tmp_path: Path) -> None:
    path = tmp_path / "RACE/train/high/1.txt"
    path.parent.mkdir(parents=True)
    task = TASKS["race"].model_copy(update={"layout": "folder"})

    @fuzz
    @given(mutated(PASSAGE.encode()))
    def run(data: bytes) -> None:
        path.write_bytes(data)
        survives(task, tmp_path)

    for folder in ("train/middle", "dev/middle", "dev/high", "test/middle", "test/high"):
        (tmp_path / "RACE" / folder).mkdir(parents=True)
    run()
