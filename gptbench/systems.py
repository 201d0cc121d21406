"""Scores of other systems from a CSV file: `system, task, metric, split, value, [n], [reference]`.

docs/howto-compare.md explains the columns.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gptbench.errors import UserError
from gptbench.settings import TaskSpec, nearest

REQUIRED = ("system", "task", "metric", "split", "value")
OPTIONAL = ("n", "reference")


@dataclass(frozen=True)
class SystemScore:
    """A row: a system's score on a split of a data set, a percentage over `n` rows."""

    system: str
    task: str
    metric: str
    split: str
    value: float
    n: int | None
    reference: str


def read_systems(path: Path, tasks: Mapping[str, TaskSpec]) -> list[SystemScore]:
    """The rows of a file in its order; raises `UserError` naming file, row and column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames)
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}: not CSV ({error})") from None
    seen: dict[tuple[str, str, str, str], int] = {}
    found = []
    for line, row in rows:
        score = _score(f"{path}, row {line}", row, tasks)
        key = (score.system, score.task, score.metric, score.split)
        if key in seen:
            raise UserError(f"{path}, row {line}: the same score as in row {seen[key]}")
        seen[key] = line
        found.append(score)
    if not found:
        raise UserError(f"{path}: no rows below the header")
    if all(abs(score.value) <= 1 for score in found) and any(score.value for score in found):
        raise UserError(f"{path}: column `value`: give percentages (87.3), not shares (0.873)")
    return found


def _check_header(path: Path, names: Iterable[str] | None) -> None:
    known = [*REQUIRED, *OPTIONAL]
    given = list(names or ())
    if not given:
        raise UserError(f"{path}: empty; the first row has to be {','.join(REQUIRED)}")
    for name in given:
        if name not in known:
            hint = nearest(name, known) or "; separate columns by commas, in the first row too"
            raise UserError(f"{path}, row 1: unknown column {name!r:.60}{hint}")
        if given.count(name) > 1:
            raise UserError(f"{path}, row 1: column `{name}` is there twice")
    for name in REQUIRED:
        if name not in given:
            raise UserError(f"{path}, row 1: column `{name}` is missing")


def _score(
    where: str, row: Mapping[str | None, str | list[str] | None], tasks: Mapping[str, TaskSpec]
) -> SystemScore:
    if None in row:
        raise UserError(f"{where}: more cells than the header has columns; quote texts with commas")
    cells = {str(name): str(text or "").strip() for name, text in row.items()}
    for name in REQUIRED:
        if not cells[name]:
            raise UserError(f"{where}: column `{name}` is empty")
    task = tasks.get(cells["task"])
    if task is None:
        known = nearest(cells["task"], tasks) or f"; known: {', '.join(tasks)}"
        raise UserError(f"{where}: column `task`: no data set {cells['task']!r:.60}{known}")
    metric, split = cells["metric"], cells["split"]
    _one_of(where, "metric", metric, task.name, task.metrics)
    _one_of(where, "split", split, task.name, list(splits(task)))
    return SystemScore(
        cells["system"],
        task.name,
        metric,
        split,
        _value(where, metric, cells["value"]),
        _count(where, cells.get("n", "")),
        cells.get("reference", ""),
    )


def splits(task: TaskSpec) -> Iterator[str]:
    """The names of splits that a score of a task can be on: the published ones and ours."""
    own = dict.fromkeys([*task.scored, *task.files])
    tests = [name.replace("dev", "test", 1) for name in own]
    yield from (name for name in dict.fromkeys([*own, *tests, "test"]) if name != task.train)


def _one_of(where: str, column: str, name: str, task: str, names: Sequence[str]) -> None:
    if name not in names:
        raise UserError(
            f"{where}: column `{column}`: {task} has no {column} {name!r:.60};"
            f" known: {', '.join(names)}"
        )


def _value(where: str, metric: str, text: str) -> float:
    from gptbench.evaluation.statistics import bounds  # the plan imports this module: no scipy

    try:
        value = float(text)
    except ValueError:
        value = math.nan
    low, high = bounds(metric)
    if not low <= value <= high:
        raise UserError(
            f"{where}: column `value`: {text!r:.60} is no number from {low:g} to {high:g}"
            f" ({metric} as a percentage)"
        )
    return value


def _count(where: str, text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 2:
        raise UserError(f"{where}: column `n`: {text!r:.60} is no number of rows (2 or more)")
    return int(text)
