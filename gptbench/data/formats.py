"""One parser a distribution format; `parse` reads the files of one split of a data set.

Rows come back as they stand in the files: texts, the label as a string, the row's number and
its place, for error messages. Rows without a label are counted and left out, never guessed.
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from gptbench.errors import UserError
from gptbench.settings import TaskSpec

UNLABELLED = ("", "-")
ANSWER_LETTERS = [*"ABCDEFGH"]
TOLERATED = 10_000
"""One malformed TSV row in so many is skipped and counted: the official QQP training file
has three in 363,849. Any more, and any in a smaller file, is an error."""


class Row(NamedTuple):
    """A labelled row. For choice tasks `label` is the number of the right answer."""

    texts: tuple[str, ...]
    label: str
    number: int
    where: str


@dataclass
class Rows:
    """The rows of one split, and what was left out.

    `found` counts all data rows of the files, `unlabelled` those without a label, `skipped`
    malformed ones.
    """

    rows: list[Row] = field(default_factory=list)
    found: int = 0
    unlabelled: int = 0
    skipped: int = 0

    def add(self, texts: tuple[str, ...], label: str, where: str) -> None:
        """Count a row and keep it if it has a label."""
        if label.strip() in UNLABELLED:
            self.unlabelled += 1
        else:
            self.rows.append(Row(texts, label.strip(), self.found, where))
        self.found += 1


def split_source(source: str) -> tuple[str, list[str]]:
    """A `files` entry as file name and the folders inside an archive.

    >>> split_source("RACE.tar.gz:train/middle,train/high")
    ('RACE.tar.gz', ['train/middle', 'train/high'])
    """
    name, _, inside = source.partition(":")
    return name, [part.strip("/") for part in inside.split(",") if part]


def parse(task: TaskSpec, split: str, root: Path) -> Rows:
    """The rows of a split; raises `UserError` naming file, line, what was expected and the mend."""
    if split not in task.files:
        raise UserError(f"{task.name}: no split `{split}`; there is {', '.join(task.files)}")
    name, inside = split_source(task.files[split])
    path = root / name
    if not path.is_file():
        raise UserError(
            f"{task.title}: the file {name} of split `{split}` is missing; looked in"
            f" {root.resolve()}; get the data set from {task.home} and put the file there"
        )
    if task.parser == "race":
        return _race(path, name, inside)
    if task.parser == "csv" or (task.parser == "jsonl" and task.format == "choice"):
        from gptbench.data import tables  # which needs this module

        return tables.rows(_read(path, name), name, task)
    return PARSERS[task.parser](_read(path, name), name, task)


def _read(path: Path, name: str) -> str:
    """A file's text (a byte order mark is dropped); raises `UserError` with the line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"file {name}: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"file {name}, line {line}: not UTF-8 text (byte 0x{data[error.start]:02x});"
            " convert the file to UTF-8"
        ) from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines without their ends; blank lines are left out."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if line.strip(" "):
            yield number, line


def _text_keys(task: TaskSpec) -> list[str]:
    """The keys of `columns` that hold texts; raises `UserError` where one is not given."""
    keys = ["text1"] if task.format == "single" else ["text1", "text2"]
    for key in [*keys, "label"]:
        if key not in task.columns:
            raise UserError(f"task {task.name}: `columns` needs `{key}` (format {task.format})")
    return keys


# Tab-separated values. -----------------------------------------------------------------------


def _tsv(text: str, name: str, task: TaskSpec) -> Rows:
    """GLUE's and SciTail's form: tabs, no quoting, a header unless columns are numbers."""
    keys = _text_keys(task)
    lines = list(_lines(text))
    if not lines:
        raise UserError(f"file {name}: the file is empty; get it again from {task.home}")
    header = lines[0][1].split("\t")
    width = len(header)
    if any(isinstance(column, str) for column in task.columns.values()):
        column = _by_header(header, name, lines.pop(0)[0], task)
    else:
        column = {key: int(number) for key, number in task.columns.items()}
        need = max(column.values()) + 1
        if width < need:
            raise UserError(_columns_message(name, lines[0][0], width, need))
    rows = Rows()
    fields = [column[key] for key in keys]
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) != width:
            rows.skipped += 1
            if rows.skipped > len(lines) // TOLERATED:
                raise UserError(_columns_message(name, number, len(cells), width))
            rows.found += 1
            continue
        texts = tuple(cells[i] for i in fields)
        rows.add(texts, cells[column["label"]], f"file {name}, line {number}")
    return rows


def _columns_message(name: str, line: int, found: int, expected: int) -> str:
    return (
        f"file {name}, line {line}: {found} columns, {expected} expected;"
        " columns are separated by one tab, and a text holds no tab or line break"
    )


def _by_header(header: list[str], name: str, line: int, task: TaskSpec) -> dict[str, int]:
    names = [cell.strip() for cell in header]
    for wanted in task.columns.values():
        if str(wanted) not in names:
            raise UserError(
                f"file {name}, line {line}: no column `{wanted}`; found {', '.join(names)};"
                f" mend the header or the task's `columns`"
            )
    return {key: names.index(str(wanted)) for key, wanted in task.columns.items()}


# JSON lines. ---------------------------------------------------------------------------------


def _jsonl(text: str, name: str, task: TaskSpec) -> Rows:
    """SNLI's form: one JSON object a line."""
    rows = Rows()
    keys = [str(task.columns[key]) for key in _text_keys(task)]
    for number, line in _lines(text):
        where = f"file {name}, line {number}"
        item = _json(line, where)
        if not isinstance(item, dict):
            raise UserError(f"{where}: expected a JSON object, one a line")
        for key in [*keys, str(task.columns["label"])]:
            if key not in item:
                raise UserError(f"{where}: no key `{key}`; found {', '.join(item)}")
        texts = tuple(str(item[key]) for key in keys)
        label = item[str(task.columns["label"])]
        rows.add(texts, "" if label is None else str(label), where)
    return rows


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None


# RACE. ---------------------------------------------------------------------------------------


def _race(path: Path, name: str, folders: list[str]) -> Rows:
    """RACE's archive: a JSON object a passage, one row a question, in the archive's order."""
    rows = Rows()
    passages = _passages(path, path.stat().st_mtime_ns, path.stat().st_size)
    for member, data in passages:
        if not any(f"/{folder}/" in f"/{member}" for folder in folders):
            continue
        where = f"file {name}, {member}"
        try:
            item = _json(data.decode("utf-8"), where)
        except UnicodeDecodeError:
            raise UserError(f"{where}: not UTF-8 text; get the archive again") from None
        _add_questions(rows, item, where)
    if not rows.found:
        raise UserError(
            f"file {name}: nothing below {' or '.join(folders)}; expected"
            " RACE/{train,dev,test}/{middle,high}/N.txt as in the original archive"
        )
    return rows


@lru_cache(maxsize=1)
def _passages(path: Path, _changed: int, _size: int) -> tuple[tuple[str, bytes], ...]:
    """Name and content of every .txt file of an archive, read once and sequentially."""
    try:
        with tarfile.open(path, "r|*") as archive:
            found = []
            for member in archive:
                if member.isfile() and member.name.endswith(".txt"):
                    file = archive.extractfile(member)
                    found.append((member.name, file.read() if file else b""))
            return tuple(found)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"file {path}: not a whole tar archive ({error}); get it again") from None


def _add_questions(rows: Rows, item: Any, where: str) -> None:
    if not isinstance(item, dict):
        raise UserError(f"{where}: expected a JSON object")
    for key in ("article", "questions", "options", "answers"):
        if key not in item:
            raise UserError(f"{where}: no key `{key}`; found {', '.join(item)}")
        if key != "article" and not isinstance(item[key], list):
            raise UserError(f"{where}: `{key}` is not a list, one entry a question expected")
    counts = {key: len(item[key]) for key in ("questions", "options", "answers")}
    if len(set(counts.values())) != 1:
        found = ", ".join(f"{n} {key}" for key, n in counts.items())
        raise UserError(f"{where}: {found}; one of each a question expected")
    parts = zip(item["questions"], item["options"], item["answers"], strict=True)
    for number, (question, options, answer) in enumerate(parts, 1):
        letter = str(answer).strip()
        letters = ANSWER_LETTERS[: len(options)]
        right = str(letters.index(letter)) if letter and letter in letters else letter
        texts = (item["article"], question, *map(str, options))
        rows.add(texts, right, f"{where}, question {number}")


# Story Cloze. --------------------------------------------------------------------------------


def _story_cloze(text: str, name: str, task: TaskSpec) -> Rows:
    """The Story Cloze csv: four sentences, two endings, the number (1, 2) of the right one."""
    sentences = [f"InputSentence{i}" for i in range(1, 5)]
    endings = [f"RandomFifthSentenceQuiz{i}" for i in (1, 2)]
    answer = "AnswerRightEnding"
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = Rows()
    try:
        header = next(reader, [])
        for wanted in [*sentences, *endings]:
            if wanted not in header:
                found = ", ".join(header) or "an empty file"
                raise UserError(f"file {name}, line 1: no column `{wanted}`; found {found}")
        for cells in reader:
            if not cells:
                continue
            where = f"file {name}, line {reader.line_num}"
            if len(cells) != len(header):
                raise UserError(f"{where}: {len(cells)} columns, {len(header)} expected")
            item = dict(zip(header, cells, strict=True))
            label = item.get(answer, "").strip()
            if label not in (*UNLABELLED, "1", "2"):
                raise UserError(f"{where}: {answer} is `{label}`, 1 or 2 expected")
            story = " ".join(item[key] for key in sentences)
            right = str(int(label) - 1) if label in ("1", "2") else ""
            rows.add((story, "", *(item[key] for key in endings)), right, where)
    except csv.Error as error:
        raise UserError(f"file {name}, line {reader.line_num}: not csv ({error})") from None
    return rows


# DPRD. ---------------------------------------------------------------------------------------


def _dprd(text: str, name: str, task: TaskSpec) -> Rows:
    """DPRD's blocks: sentence, pronoun, two candidates, answer, a blank line."""
    rows = Rows()
    block: list[str] = []
    first = 0
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip():
            if not block:
                first = number
            block.append(line.strip())
        elif block:
            _add_block(rows, block, f"file {name}, line {first}")
            block = []
    if not rows.found:
        raise UserError(f"file {name}: the file is empty; get it again from {task.home}")
    return rows


def _add_block(rows: Rows, block: list[str], where: str) -> None:
    if len(block) not in (3, 4):
        raise UserError(
            f"{where}: a block of {len(block)} lines; sentence, pronoun, candidates, answer"
            " and a blank line expected"
        )
    sentence, pronoun, both = block[:3]
    candidates = [part.strip() for part in both.split(",")]
    if len(candidates) != 2:
        raise UserError(f"{where}: {len(candidates)} candidates in `{both}`, 2 expected")
    answer = block[3] if len(block) == 4 else ""
    names = [candidate.casefold() for candidate in candidates]
    if answer and answer.casefold() not in names:
        raise UserError(f"{where}: the answer `{answer}` is none of the candidates `{both}`")
    right = str(names.index(answer.casefold())) if answer else ""
    rows.add((sentence, pronoun, *candidates), right, where)


PARSERS: dict[str, Callable[[str, str, TaskSpec], Rows]] = {
    "tsv": _tsv,
    "jsonl": _jsonl,
    "story_cloze": _story_cloze,
    "dprd": _dprd,
}
