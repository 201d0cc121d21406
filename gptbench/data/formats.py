"""One parser a distribution format; `parse` reads the files of one split of a data set.

Rows come back as they stand in the files: texts, the label as a string, the row's number and
its place, for error messages. Rows without a label are counted and left out, never guessed.
"""

from __future__ import annotations

import csv
import json
import re
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gptbench.data.archives import MAX_BYTES, is_archive, kind, passages, split_source, texts
from gptbench.errors import UserError
from gptbench.settings import TEXTS, TaskSpec, nearest

__all__ = ["ANSWER_LETTERS", "Row", "Rows", "parse", "shown", "split_source"]

UNLABELLED = ("", "-")
ANSWER_LETTERS = [*string.ascii_uppercase]
TOLERATED = 10_000
"""One malformed TSV row in so many is skipped and counted: the official QQP training file
has three in 363,849. Any more, and any in a smaller file, is an error."""

ID_NAMES = ("index", "id", "pairID", "InputStoryid")
"""The columns or keys that number the rows in the distributions; `columns` may name another."""


class Row(NamedTuple):
    """A row. For choice tasks `label` is the number of the right answer; "" is no label.

    `id` is the row's id in the file, or "" where it has none.
    """

    texts: tuple[str, ...]
    label: str
    number: int
    where: str
    id: str = ""


@dataclass
class Rows:
    """The rows of one split, and what was left out.

    `found` counts all data rows of the files, `unlabelled` those without a label, `skipped`
    malformed ones, `repeated_ids` rows whose id an earlier row has. With `labelled` False rows
    without a label are kept, to be predicted.
    """

    rows: list[Row] = field(default_factory=list)
    found: int = 0
    unlabelled: int = 0
    skipped: int = 0
    repeated_ids: int = 0
    labelled: bool = True
    ids: set[str] = field(default_factory=set)

    def add(self, texts: tuple[str, ...], label: str, where: str, row_id: str = "") -> None:
        """Count a row and keep it if it has a label."""
        label = label.strip()
        if label in UNLABELLED:
            self.unlabelled += 1
            label = ""
        if row_id:
            self.repeated_ids += row_id in self.ids
            self.ids.add(row_id)
        if label or not self.labelled:
            self.rows.append(Row(texts, label, self.found, where, row_id))
        self.found += 1


def parse(task: TaskSpec, split: str, root: Path, labelled: bool = True) -> Rows:
    """The rows of a split of a task whose layout is settled (`tasks.settle`).

    With `labelled` False the split is one of `unlabelled`, or its labels are not looked at: all
    rows come back, with empty labels. Raises `UserError` naming file, line, what was expected and
    the mend.
    """
    source = (task.files if labelled else task.unlabelled)[split]
    if not labelled:
        columns = {**task.columns, **task.unlabelled_columns}
        columns.pop("label", None)
        task = task.model_copy(update={"columns": columns})
    rows = Rows(labelled=labelled)
    name, inside = split_source(source)
    folders = is_archive(name) or any(kind(root / name / part) == "folder" for part in inside)
    if task.parser == "race" and folders and not source.endswith((".jsonl", ".jsonl.gz")):
        _race_folders(rows, root, source)
        return rows
    for where, lines in texts(root, source):
        before = rows.found
        PARSERS[task.parser](rows, lines, where, task)
        if rows.found == before and task.parser != "story_cloze":
            mend = f"get it again from {task.home}" if task.home else "rows are expected"
            raise UserError(f"{where}: the file is empty; {mend}")
    return rows


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines without their ends; blank lines are left out."""
    for number, line in enumerate(lines, 1):
        line = line.removesuffix("\n").removesuffix("\r")
        if line.strip(" "):
            yield number, line


def _used(task: TaskSpec, labelled: bool) -> dict[str, str | int]:
    """The columns of a row's texts in their order, then of its label.

    A choice has `context`, `question` (may be left out) and its answers: `answer1`, `answer2`, ...
    or, in JSON, `answers` with a list. Raises `UserError` where a key is not given.
    """
    keys = list(TEXTS[task.format])
    if task.format == "choice":
        numbered = [key for key in task.columns if re.fullmatch(r"answer\d+", key)]
        numbered.sort(key=lambda key: int(key.removeprefix("answer")))
        keys = [key for key in keys if key != "question" or key in task.columns]
        keys += ["answers"] if "answers" in task.columns else numbered or ["answer1"]
    for key in [*keys, "label"] if labelled else keys:
        if key not in task.columns:
            raise UserError(f"task {task.name}: `columns` needs `{key}` (format {task.format})")
    return {key: task.columns[key] for key in [*keys, *(["label"] if labelled else [])]}


def _choice(
    task: TaskSpec, cells: Sequence[str], label: str, where: str
) -> tuple[tuple[str, ...], str]:
    """(context, question, answers ...) of a choice, and its label as the right answer's number.

    The label is that number from 0, or one of the task's `labels`, which stand for the answers
    in their order.
    """
    texts = (*cells,) if "question" in task.columns else (cells[0], "", *cells[1:])
    answers = texts[2:]
    for number, answer in enumerate(answers, 1):
        if not answer.strip():
            raise UserError(f"{where}: answer {number} is empty; each row needs all its answers")
    label = label.strip()
    if label in UNLABELLED or task.labels is None:
        return texts, label
    label = task.label_map.get(label, label)
    names = task.labels[: len(answers)]
    if label not in names:
        raise UserError(f"{where}: answer `{shown(label)}`, one of {', '.join(names)} expected")
    return texts, str(names.index(label))


# Tables: separated by tabs, with and without quotes, or by commas. ----------------------------

Cells = Iterator[tuple[int, list[str]]]


def _tsv(rows: Rows, lines: Iterable[str], where: str, task: TaskSpec) -> None:
    """GLUE's and SciTail's form: tabs, no quoting (a quotation mark is part of its text)."""
    cells = ((number, line.split("\t")) for number, line in _numbered(lines))
    _columns(rows, cells, where, task)


def _tsv_quoted(rows: Rows, lines: Iterable[str], where: str, task: TaskSpec) -> None:
    """Quora's own file: tabs, and a text with quotation marks or tabs stands in quotes."""
    _columns(rows, _csv_cells(lines, where, "\t", strict=False), where, task)


def _csv(rows: Rows, lines: Iterable[str], where: str, task: TaskSpec) -> None:
    """Comma-separated values (RFC 4180), as spreadsheets write them."""
    _columns(rows, _csv_cells(lines, where, ",", strict=True), where, task)


def _csv_cells(lines: Iterable[str], where: str, delimiter: str, strict: bool) -> Cells:
    """The rows of a quoted file (RFC 4180), with the number of the line that each ends in."""
    csv.field_size_limit(MAX_BYTES)
    reader = csv.reader(lines, delimiter=delimiter, strict=strict)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{where}, line {reader.line_num}: not csv ({error});"
                " a quotation mark inside a quoted text is doubled, and the last one closes it"
            ) from None
        if cells is None:
            return
        if len(cells) > 1 or any(cell.strip(" ") for cell in cells):
            yield reader.line_num, cells


def _columns(rows: Rows, lines: Cells, where: str, task: TaskSpec) -> None:
    """Rows of cells, with a header unless all columns are numbers."""
    used = _used(task, rows.labelled)
    row_id = task.columns.get("id")
    first = next(lines, None)
    if first is None:
        return
    number, header = first
    width = len(header)
    if any(isinstance(column, str) for column in used.values()):
        column = _by_header(header, f"{where}, line {number}", used, task)
        names = [cell.strip() for cell in header]
        wanted = [str(row_id)] if row_id is not None else ID_NAMES
        at_id = next((names.index(name) for name in wanted if name in names), None)
        body = lines
    else:
        column = {key: int(number) for key, number in used.items()}
        at_id = None if row_id is None else int(row_id)
        body = _again(first, lines)
    need = max(column.values()) + 1
    if width < need:
        raise UserError(_width(where, number, width, need, task))
    fields, label = [column[key] for key in used if key != "label"], column.get("label")
    malformed: list[tuple[int, int]] = []
    total = 0
    for number, cells in body:
        total += 1
        if len(cells) != width and not (task.ragged and len(cells) >= need):
            malformed.append((number, len(cells)))
            rows.found += 1
            continue
        here = f"{where}, line {number}"
        texts, gold = tuple([cells[i] for i in fields]), "" if label is None else cells[label]
        if task.format == "choice":
            texts, gold = _choice(task, texts, gold, here)
        found_id = cells[at_id] if at_id is not None and at_id < len(cells) else ""
        rows.add(texts, gold, here, found_id)
    allowed = total // TOLERATED if rows.labelled and task.parser != "csv" else 0
    if len(malformed) > allowed:
        number, found = malformed[allowed]
        raise UserError(_width(where, number, found, need if task.ragged else width, task))
    rows.skipped += len(malformed)


def _again(first: tuple[int, list[str]], rest: Cells) -> Cells:
    yield first
    yield from rest


def _width(where: str, line: int, found: int, expected: int, task: TaskSpec) -> str:
    how = (
        "a text with a comma, a quotation mark or a line break stands in quotation marks"
        if task.parser == "csv"
        else "columns are separated by one tab, and a text holds no tab or line break"
    )
    return f"{where}, line {line}: {found} columns, {expected} expected; {how}"


def _by_header(
    header: list[str], where: str, used: dict[str, str | int], task: TaskSpec
) -> dict[str, int]:
    names = [cell.strip() for cell in header]
    for key, wanted in used.items():
        if str(wanted) not in names:
            mend = (
                _separated(header)
                if task.parser == "csv" and len(header) == 1
                else nearest(str(wanted), map(shown, names))
            )
            mend = mend or "; mend the header or the task's `columns`"
            raise UserError(f"{_absent(where, 'column', key, task)}; found {_few(names)}{mend}")
    return {key: names.index(str(wanted)) for key, wanted in used.items()}


def _absent(where: str, what: str, key: str, task: TaskSpec) -> str:
    return f"{where}: no {what} `{task.columns[key]}` (columns.{key} of {task.name})"


def _separated(header: list[str]) -> str:
    """A hint where a csv's columns seem to be separated by something else."""
    if "\t" in header[0]:
        return "; its columns seem to be separated by tabs: take the parser `tsv`"
    if ";" in header[0]:
        return "; its columns seem to be separated by semicolons: save it with commas"
    return ""


def _few(names: Sequence[str]) -> str:
    """Names in a message."""
    return shown(", ".join(names), 300)


def shown(text: str, length: int = 60) -> str:
    """A file's text in a message: one line of it, without control characters."""
    line = "".join(c if c.isprintable() else " " for c in text[: length + 1])
    return line if len(text) <= length else f"{line[:length]} ..."


# JSON lines. ---------------------------------------------------------------------------------


def _jsonl(rows: Rows, lines: Iterable[str], where: str, task: TaskSpec) -> None:
    """SNLI's form: one JSON object a line."""
    used = {key: str(column) for key, column in _used(task, rows.labelled).items()}
    keys = [column for key, column in used.items() if key not in ("label", "answers")]
    ids = (str(task.columns["id"]),) if "id" in task.columns else ID_NAMES
    for number, line in _numbered(lines):
        here = f"{where}, line {number}"
        item = _object(_json(line, here), here)
        for key, column in used.items():
            if column not in item:
                near = nearest(column, map(shown, item))
                raise UserError(f"{_absent(here, 'key', key, task)}; found {_few([*item])}{near}")
        texts = tuple([_text(item, key, here) for key in keys])
        label = item[used["label"]] if rows.labelled else None
        gold = "" if label is None else str(label)
        if task.format == "choice":
            if "answers" in used:
                texts += _answers(item, used["answers"], here)
            texts, gold = _choice(task, texts, gold, here)
        row_id = next((str(item[key]) for key in ids if key in item), "")
        rows.add(texts, gold, here, row_id)


def _object(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise UserError(f"{where}: expected a JSON object, one a line")
    return item


def _answers(item: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = item[key]
    if not isinstance(found, list) or len(found) < 2:
        raise UserError(f"{where}: `{key}` is no list of two answers or more")
    return tuple([_string(answer, key, where) for answer in found])


def _text(item: dict[str, Any], key: str, where: str) -> str:
    return _string(item[key], key, where)


def _string(value: Any, key: str, where: str) -> str:
    """A text of JSON; numbers are texts too, but nothing else is."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise UserError(
                    f"{where}: `{key}` has half of a \\u pair; get the file again"
                ) from None
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise UserError(f"{where}: `{key}` is {type(value).__name__}, a text expected")


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
    except ValueError:
        reason = "a number of too many digits"
    except RecursionError:
        reason = "nested too deep"
    raise UserError(f"{where}: not JSON ({reason}); get the file again or mend the line")


# RACE. ---------------------------------------------------------------------------------------


def _race_folders(rows: Rows, root: Path, source: str) -> None:
    """RACE as its archive has it: a JSON object a passage, one row a question."""
    name, inside = split_source(source)
    for where, data in passages(root, source):
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UserError(f"{where}: not UTF-8 text; get the archive again") from None
        _add_questions(rows, _json(text, where), where)
    if not rows.found:
        raise UserError(
            f"file {name}: nothing below {' or '.join(inside)}; expected"
            " RACE/{train,dev,test}/{middle,high}/N.txt as in the original archive"
        )


def _race_lines(rows: Rows, lines: Iterable[str], where: str, task: TaskSpec) -> None:
    """RACE as JSON lines: a passage a line as in the archive, or a question a line (the hub's)."""
    for number, line in _numbered(lines):
        here = f"{where}, line {number}"
        item = _json(line, here)
        if isinstance(item, dict) and "question" in item and "questions" not in item:
            question = _keyed(item, here, ["article", "question", "options", "answer"])
            item = {
                "article": question["article"],
                "questions": [question["question"]],
                "options": [question["options"]],
                "answers": [question["answer"]],
            }
        _add_questions(rows, item, here)


def _add_questions(rows: Rows, item: Any, where: str) -> None:
    item = _keyed(item, where, ["article", "questions", "options", "answers"])
    for key in ("questions", "options", "answers"):
        if not isinstance(item[key], list):
            raise UserError(f"{where}: `{key}` is not a list, one entry a question expected")
    counts = {key: len(item[key]) for key in ("questions", "options", "answers")}
    if len(set(counts.values())) != 1:
        found = ", ".join(f"{n} {key}" for key, n in counts.items())
        raise UserError(f"{where}: {found}; one of each a question expected")
    article = _text(item, "article", where)
    parts = zip(item["questions"], item["options"], item["answers"], strict=True)
    for number, (question, options, answer) in enumerate(parts, 1):
        here = f"{where}, question {number}"
        if not isinstance(options, list):
            raise UserError(f"{here}: its options are not a list of texts")
        letter = _string(answer, "answers", here).strip()
        letters = ANSWER_LETTERS[: len(options)]
        if letter not in (*letters, *UNLABELLED):
            known = ", ".join(letters)
            raise UserError(f"{here}: answer `{shown(letter)}`, one of {known} expected")
        right = str(letters.index(letter)) if letter in letters else ""
        choices = [_string(option, "options", here) for option in options]
        passage = item.get("id")
        row_id = f"{passage}#{number}" if isinstance(passage, str) and passage else ""
        rows.add((article, _string(question, "questions", here), *choices), right, here, row_id)


def _keyed(item: Any, where: str, keys: Sequence[str]) -> dict[str, Any]:
    """A JSON object that has all the keys."""
    found = _object(item, where)
    for key in keys:
        if key not in found:
            raise UserError(f"{where}: no key `{key}`; found {_few([*found])}")
    return found


# Story Cloze. --------------------------------------------------------------------------------


def _story_cloze(rows: Rows, lines: Iterable[str], where: str, task: TaskSpec) -> None:
    """The Story Cloze csv: four sentences, two endings, the number (1, 2) of the right one."""
    sentences = [f"InputSentence{i}" for i in range(1, 5)]
    endings = [f"RandomFifthSentenceQuiz{i}" for i in (1, 2)]
    answer = "AnswerRightEnding"
    reader = _csv_cells(lines, where, ",", strict=True)
    _, header = next(reader, (1, []))
    for wanted in [*sentences, *endings, *([answer] if rows.labelled else [])]:
        if wanted not in header:
            found = _few(header) or "an empty file"
            raise UserError(f"{where}, line 1: no column `{wanted}`; found {found}")
    for number, cells in reader:
        here = f"{where}, line {number}"
        if len(cells) != len(header):
            raise UserError(f"{here}: {len(cells)} columns, {len(header)} expected")
        item = dict(zip(header, cells, strict=True))
        label = item.get(answer, "").strip() if rows.labelled else ""
        if label not in (*UNLABELLED, "1", "2"):
            raise UserError(f"{here}: {answer} is `{shown(label)}`, 1 or 2 expected")
        story = " ".join(item[key] for key in sentences)
        right = str(int(label) - 1) if label in ("1", "2") else ""
        row_id = item.get("InputStoryid", "")
        rows.add((story, "", *(item[key] for key in endings)), right, here, row_id)


# DPRD. ---------------------------------------------------------------------------------------


def _dprd(rows: Rows, lines: Iterable[str], where: str, task: TaskSpec) -> None:
    """DPRD's blocks: sentence, pronoun, two candidates, answer, a blank line."""
    block: list[str] = []
    first = 0
    for number, line in enumerate(_again_blank(lines), 1):
        if line.strip():
            if not block:
                first = number
            block.append(line.strip())
        elif block:
            _add_block(rows, block, f"{where}, line {first}")
            block = []


def _again_blank(lines: Iterable[str]) -> Iterator[str]:
    yield from lines
    yield ""


def _add_block(rows: Rows, block: list[str], where: str) -> None:
    if len(block) not in (3, 4):
        raise UserError(
            f"{where}: a block of {len(block)} lines; sentence, pronoun, candidates, answer"
            " and a blank line expected"
        )
    sentence, pronoun, both = block[:3]
    candidates = [part.strip() for part in both.split(",")]
    if len(candidates) != 2:
        raise UserError(f"{where}: {len(candidates)} candidates in `{shown(both)}`, 2 expected")
    answer = block[3] if len(block) == 4 else ""
    names = [candidate.casefold() for candidate in candidates]
    if answer and answer.casefold() not in names:
        raise UserError(
            f"{where}: the answer `{shown(answer)}` is none of the candidates `{shown(both)}`"
        )
    right = str(names.index(answer.casefold())) if answer else ""
    rows.add((sentence, pronoun, *candidates), right, where)


PARSERS: dict[str, Callable[[Rows, Iterable[str], str, TaskSpec], None]] = {
    "tsv": _tsv,
    "tsv_quoted": _tsv_quoted,
    "csv": _csv,
    "jsonl": _jsonl,
    "race": _race_lines,
    "story_cloze": _story_cloze,
    "dprd": _dprd,
}
