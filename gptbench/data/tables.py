"""A user's own tables: comma-separated values (RFC 4180), and JSON lines with choices.

`columns` of the task says which column holds what: `text1`, `text2` and `label`; for a choice
`context`, `question` (may be left out) and the answers, either a column each (`answer1`,
`answer2`, ...) or, in JSON, `answers` with a list. A choice's label is the number of the right
answer from 0, or one of the task's `labels` (A, B, C ... or 1, 2, 3 ...), in their order.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from gptbench.data.formats import UNLABELLED, Rows
from gptbench.errors import UserError
from gptbench.settings import TEXTS, TaskSpec, nearest

LONGEST_FIELD = 1 << 24
"""Characters of one csv field; more is an unclosed quotation mark rather than a text."""

Cells = Callable[[str], Any]


def rows(text: str, name: str, task: TaskSpec) -> Rows:
    """The rows of a csv file or of JSON lines; raises `UserError` with line and column."""
    found = Rows()
    read = _csv if task.parser == "csv" else _json_lines
    for where, cell in read(text, name, task):
        texts, label = (_choice if task.format == "choice" else _texts)(task, cell, where)
        found.add(texts, label, where)
    return found


def _texts(task: TaskSpec, cell: Cells, where: str) -> tuple[tuple[str, ...], str]:
    texts = tuple(_text(cell(key)) for key in TEXTS[task.format])
    return texts, _text(cell("label"))


def _choice(task: TaskSpec, cell: Cells, where: str) -> tuple[tuple[str, ...], str]:
    """Context, question and answers; the label as the number of the right answer."""
    columns = task.columns
    if "answers" in columns:
        answers = cell("answers")
        if not isinstance(answers, list) or len(answers) < 2:
            raise UserError(f"{where}: `{columns['answers']}` is no list of two answers or more")
    else:
        answers = [cell(key) for key in answer_keys(task)]
    question = _text(cell("question")) if "question" in columns else ""
    texts = (_text(cell("context")), question, *map(_text, answers))
    for number, answer in enumerate(texts[2:], 1):
        if not answer.strip():
            raise UserError(f"{where}: answer {number} is empty; each row needs all its answers")
    label = _text(cell("label")).strip()
    if label in UNLABELLED or task.labels is None:
        return texts, label
    label = task.label_map.get(label, label)
    if label not in task.labels[: len(answers)]:
        expected = ", ".join(task.labels[: len(answers)])
        raise UserError(f"{where}: answer `{_shown(label)}`, one of {expected} expected")
    return texts, str(task.labels.index(label))


def answer_keys(task: TaskSpec) -> list[str]:
    """The keys `answer1`, `answer2`, ... of a task's columns in the order of their numbers."""
    keys = [key for key in task.columns if re.fullmatch(r"answer\d+", key)]
    return sorted(keys, key=lambda key: int(key.removeprefix("answer")))


def _text(value: Any) -> str:
    """A cell as text; nothing is the empty text."""
    return "" if value is None else str(value)


# Comma-separated values. ---------------------------------------------------------------------


def _csv(text: str, name: str, task: TaskSpec) -> Iterator[tuple[str, Cells]]:
    """Each record's place and its cells by the keys of `columns`."""
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise UserError(f"file {name}: the file is empty; a header and rows are expected")
        named = any(isinstance(column, str) for column in task.columns.values())
        places = _by_name(header, name, task) if named else _by_number(header, name, task)
        records = reader if named else _with(header, reader)
        for cells in records:
            if not cells:
                continue
            where = f"file {name}, line {reader.line_num}"
            if len(cells) != len(header):
                raise UserError(
                    f"{where}: {len(cells)} columns, {len(header)} expected; a text with a comma,"
                    ' a quotation mark or a line break stands in quotation marks, `"` as `""`'
                )
            yield where, lambda key, cells=cells: cells[places[key]]  # type: ignore[misc]
    except csv.Error as error:
        raise UserError(
            f"file {name}, line {reader.line_num}: not csv ({error}); check the quotation marks"
        ) from None


def _with(first: list[str], rest: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rest


def _by_name(header: list[str], name: str, task: TaskSpec) -> dict[str, int]:
    found = [cell.strip() for cell in header]
    for key, wanted in task.columns.items():
        if str(wanted) not in found:
            raise UserError(
                f"file {name}, line 1: no column `{wanted}` (columns.{key} of {task.name});"
                f" found {_listed(found)}{nearest(str(wanted), map(_shown, found))}{_other(header)}"
            )
    return {key: found.index(str(wanted)) for key, wanted in task.columns.items()}


def _shown(name: str) -> str:
    """A name of a file in one short line."""
    return " ".join(name.split())[:60]


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(_shown, names[:20]))
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown


def _other(header: list[str]) -> str:
    """A hint where the file seems to be separated by something else."""
    for mark, meant in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            mend = "take the parser `tsv`" if mark == "\t" else "save it with commas"
            return f"; its columns seem to be separated by {meant}: {mend}"
    return ""


def _by_number(first: list[str], name: str, task: TaskSpec) -> dict[str, int]:
    for key, number in task.columns.items():
        if not 0 <= int(number) < len(first):
            raise UserError(
                f"file {name}, line 1: no column {number} (columns.{key} of {task.name}); there"
                f" are {len(first)}, counted from 0"
            )
    return {key: int(number) for key, number in task.columns.items()}


# JSON lines. ---------------------------------------------------------------------------------


def _json_lines(text: str, name: str, task: TaskSpec) -> Iterator[tuple[str, Cells]]:
    """Each object's place and its fields by the keys of `columns`."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"file {name}, line {number}"
        try:
            item = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            what = getattr(error, "msg", "nested too deeply")
            raise UserError(f"{where}: not JSON ({what})") from None
        if not isinstance(item, dict):
            raise UserError(f"{where}: expected a JSON object, one a line")
        for key, column in task.columns.items():
            if str(column) not in item:
                raise UserError(
                    f"{where}: no key `{column}` (columns.{key} of {task.name}); found"
                    f" {_listed(list(item))}{nearest(str(column), map(_shown, item))}"
                )
        yield where, lambda key, item=item: item[str(task.columns[key])]  # type: ignore[misc]
