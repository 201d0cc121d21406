"""Labelled examples of the data sets in `config/tasks.yaml` (table 1 of the paper)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gptbench.data.formats import ANSWER_LETTERS, Row, parse, split_source
from gptbench.errors import UserError
from gptbench.settings import TaskSpec

# How the released code halves the validation stories of Story Cloze.
STORIES, STORIES_HELD_OUT, STORIES_SEED = 1871, 374, 3535999445


@dataclass(frozen=True)
class Example:
    """One labelled example.

    `texts` holds one or two texts, or for choice tasks (context, question, answer_0, ...); the
    label is a class number, the number of the right answer, or a regression's value. `index` is
    the row's number in the file(s) of the split, from 0.
    """

    texts: tuple[str, ...]
    label: int | float
    index: int


@dataclass(frozen=True)
class Parsed:
    """The examples of a split, the rows its files hold, and how many of them are left out."""

    examples: list[Example]
    found: int
    unlabelled: int
    skipped: int


def load_examples(task: TaskSpec, split: str, root: Path) -> list[Example]:
    """The labelled examples of a split; raises `UserError` with file, line and mend."""
    return load_split(task, split, root).examples


def load_split(task: TaskSpec, split: str, root: Path) -> Parsed:
    """As `load_examples`, with the numbers of rows found and left out.

    A split that is a share of a file (`split`) has its part of the rows. Where two splits of
    Story Cloze name the same file, they are its 80 % and 20 % as in the
    released code; `found` is then the part's size.
    """
    rows = parse(task, split, root)
    examples = [_example(task, row) for row in rows.rows]
    _same_number_of_answers(task, rows.rows)
    found = rows.found
    if task.parser == "story_cloze" and _shares_file(task, split):
        examples = halve(examples)[0 if split == task.train else 1]
        found = len(examples)
    if split in task.split:
        examples = share(examples, task, split)
        found = len(examples)
    if not examples:
        raise UserError(f"{task.title}: split `{split}` has no labelled rows in {root.resolve()}")
    return Parsed(examples, found, rows.unlabelled, rows.skipped)


def _shares_file(task: TaskSpec, split: str) -> bool:
    return any(source == task.files[split] for name, source in task.files.items() if name != split)


def halve(examples: list[Example]) -> tuple[list[Example], list[Example]]:
    """Training and validation stories, in the shuffled order of the released code.

    The draw is scikit-learn's `train_test_split(test_size=374, random_state=3535999445)`, or a
    fifth where there are not 1,871 stories.
    """
    n = len(examples)
    held_out = STORIES_HELD_OUT if n == STORIES else math.ceil(n / 5)
    order = np.random.RandomState(STORIES_SEED).permutation(n)
    held, rest = order[:held_out], order[held_out:]
    return [examples[i] for i in rest], [examples[i] for i in held]


def share(examples: list[Example], task: TaskSpec, split: str) -> list[Example]:
    """The rows of a split that is a share of its file, in the file's order.

    One draw without replacement with `split_seed` orders the rows; the splits take theirs from
    it one after another, so that no row is in two.
    """
    order = np.random.default_rng(task.split_seed).permutation(len(examples))
    names = list(task.split)
    ends = np.cumsum([task.split[name] for name in names]) * len(examples)
    edges = [0, *(int(end + 0.5) for end in ends)]
    at = names.index(split)
    return [examples[i] for i in np.sort(order[edges[at] : edges[at + 1]])]


def _example(task: TaskSpec, row: Row) -> Example:
    return Example(row.texts, _label(task, row), row.number)


def _label(task: TaskSpec, row: Row) -> int | float:
    """Class number, answer number or checked value of a row's label."""
    if task.format == "choice":
        answers = len(row.texts) - 2
        if not row.label.isdecimal() or int(row.label) >= answers:
            letters = ", ".join(ANSWER_LETTERS[:answers])
            raise UserError(f"{row.where}: answer `{row.label}`, one of {letters} expected")
        return int(row.label)
    if task.labels is not None:
        name = task.label_map.get(row.label, row.label)
        if name not in task.labels:
            raise UserError(
                f"{row.where}: label `{row.label}`, one of {', '.join(task.labels)} expected"
            )
        return task.labels.index(name)
    return _value(task, row)


def _value(task: TaskSpec, row: Row) -> float:
    if task.range is None:
        raise UserError(f"task {task.name}: `labels` or `range` is needed in tasks.yaml")
    low, high = task.range
    try:
        value = float(row.label)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise UserError(
            f"{row.where}: score `{row.label}`, a number from {low:g} to {high:g} expected"
        )
    return value


def _same_number_of_answers(task: TaskSpec, rows: list[Row]) -> None:
    if task.format != "choice":
        return
    for row in rows:
        if len(row.texts) != len(rows[0].texts):
            raise UserError(
                f"{row.where}: {len(row.texts) - 2} answers, {len(rows[0].texts) - 2} expected"
                " as in the rows before"
            )


def files_of(task: TaskSpec, root: Path) -> list[Path]:
    """The files of a task below `root` that exist, each once, in the order of its splits."""
    paths = dict.fromkeys(root / split_source(source)[0] for source in task.files.values())
    return [path for path in paths if path.is_file()]
