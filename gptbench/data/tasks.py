"""Labelled examples of the data sets in `config/tasks.yaml` (table 1 of the paper)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gptbench.artifacts import file_digest
from gptbench.data.archives import is_archive, kind, locate, state
from gptbench.data.formats import ANSWER_LETTERS, Row, parse, shown, split_source
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
class Unlabelled:
    """A row to predict: its texts as in `Example`, its id in the file, its number from 0."""

    texts: tuple[str, ...]
    id: str
    index: int


@dataclass(frozen=True)
class Parsed:
    """The examples of a split, the rows its files hold, and how many of them are left out.

    `repeated_ids` counts rows whose id an earlier row of the split has: they are used, as
    training does not look at ids, but a file joined from two shows so.
    """

    examples: list[Example]
    found: int
    unlabelled: int
    skipped: int
    repeated_ids: int = 0


# Where a data set's files are. ---------------------------------------------------------------


def settle(task: TaskSpec, root: Path) -> TaskSpec:
    """The task with the one layout whose files are all below `root`, and where each is.

    The result has that layout's parser, columns and files and no other layouts; each entry of
    `files` names a real file (`glue/MNLI.zip:MNLI/train.tsv`). Files without labels that are not
    there are left out. Raises `UserError` in one line: the missing files of the layout that is
    partly there, or all the places that were looked at.
    """
    settled, missing = _nearest_layout(task, root)
    if not missing:
        return settled
    if len(missing) < len(settled.files):
        raise UserError(_missing(task, root, list(missing.values())))
    raise UserError(_nowhere(task, root))


def _nearest_layout(task: TaskSpec, root: Path) -> tuple[TaskSpec, dict[str, str]]:
    """The task in its first layout that is whole, or else in the one of which most is there."""
    best: tuple[TaskSpec, dict[str, str]] | None = None
    for name in _order(task):
        settled, missing = _settled(task, name, root)
        there = len(settled.files) - len(missing)
        if not missing:
            return settled, missing
        if best is None or there > len(best[0].files) - len(best[1]):
            best = settled, missing
    assert best is not None  # there is always the layout `default`, or the one that is asked for
    return best


def settled_or_first(task: TaskSpec, root: Path | None) -> TaskSpec:
    """As `settle`; the task's own layout where no data is there (yet), or where `root` is None."""
    settled, missing = (task, {}) if root is None else _nearest_layout(task, root)
    return plain(task) if root is None or missing else settled


def plain(task: TaskSpec) -> TaskSpec:
    """A task with its own layout alone, of labelled files that are there."""
    return task.model_copy(
        update={
            "hub": None,
            "layouts": {},
            "layout": None,
            "archives": [],
            "unlabelled": {},
            "unlabelled_columns": {},
        }
    )


def _order(task: TaskSpec) -> list[str]:
    """The names of the layouts in the order in which they are tried."""
    if task.layout is not None:
        return [task.layout]
    before = [name for name, layout in task.layouts.items() if layout.before]
    return [*before, "default", *(name for name in task.layouts if name not in before)]


def _settled(task: TaskSpec, name: str, root: Path) -> tuple[TaskSpec, dict[str, str]]:
    """The task in one layout, with the files where they are; and those missing, by split."""
    spec = task.in_layout(name)
    found = {split: locate(root, source, spec.archives) for split, source in spec.files.items()}
    there = {split: found[split] or source for split, source in spec.files.items()}
    update = {"files": there, "archives": [], "unlabelled": _hidden(spec, root)}
    settled = spec.model_copy(update=update)
    return settled, {split: there[split] for split in there if found[split] is None}


def _hidden(spec: TaskSpec, root: Path) -> dict[str, str]:
    """The files without labels that are there; a damaged archive is not met until it is read."""
    found = {}
    for split, source in spec.unlabelled.items():
        with suppress(UserError):
            if place := locate(root, source, spec.archives):
                found[split] = place
    return found


def _for_split(task: TaskSpec, split: str, root: Path) -> TaskSpec:
    """The task settled as far as one split needs it.

    Where no layout is whole, the one that is there for the most part is read, so that all splits
    come from the same one.
    """
    settled, missing = _nearest_layout(task, root)
    if split in settled.files and split not in missing:
        return settled
    if split not in settled.files and (hidden := _with_hidden(task, split, root)):
        return hidden
    if split in missing:
        partly = len(missing) < len(settled.files)
        raise UserError(_missing(task, root, [missing[split]]) if partly else _nowhere(task, root))
    known = dict.fromkeys(each for _, spec in _laid_outs(task) for each in _splits(spec))
    if split not in known:
        raise UserError(f"{task.name}: no split `{split}`; there is {', '.join(known)}")
    names = [_splits(spec)[split] for _, spec in _laid_outs(task) if split in _splits(spec)]
    raise UserError(_missing(task, root, names))


def _splits(spec: TaskSpec) -> dict[str, str]:
    return {**spec.files, **{k: v for k, v in spec.unlabelled.items() if k not in spec.files}}


def _laid_outs(task: TaskSpec) -> list[tuple[str, TaskSpec]]:
    return [(name, task.in_layout(name)) for name in _order(task)]


def _with_hidden(task: TaskSpec, split: str, root: Path) -> TaskSpec | None:
    """The task in the first layout that has `split` without labels, wherever the rest of it is."""
    for _, spec in _laid_outs(task):
        if split in spec.unlabelled:
            place = locate(root, spec.unlabelled[split], spec.archives)
            if place:
                return spec.model_copy(update={"unlabelled": {split: place}, "archives": []})
    return None


def _missing(task: TaskSpec, root: Path, sources: list[str]) -> str:
    """What is told where a layout is partly there."""
    faults = dict.fromkeys(_fault(root, source) for source in sources)
    return (
        f"{task.title}: {', '.join(faults)}; looked in {root.resolve()};"
        f"{_from(task)} put it there, as it is or unpacked"
    )


def _from(task: TaskSpec) -> str:
    return f" get the data set from {task.home} and" if task.home else ""


def _fault(root: Path, source: str) -> str:
    """What is wrong with the first part of an entry that cannot be read."""
    name, inside = split_source(source)
    parts = [name] if is_archive(name) or not inside else [f"{name}/{part}" for part in inside]
    part = next((each for each in parts if kind(root / each) != "file"), name)
    return f"{part} {state(root / part)}"


def _nowhere(task: TaskSpec, root: Path) -> str:
    """What is told where nothing of any layout is there: all places, and where to get the set."""
    specs = _laid_outs(task)
    places = [
        (f"{name}: " if len(specs) > 1 else "") + ", ".join(dict.fromkeys(spec.files.values()))
        for name, spec in specs
    ]
    archives = list(dict.fromkeys(name for _, spec in specs for name in spec.archives))
    named = [source for _, spec in specs for source in spec.files.values()]
    odd = dict.fromkeys(
        f"{source} {state(root / source)}"
        for source in named
        if kind(root / source) not in ("is not there", "file")
    )
    return (
        f"{task.title}: none of its files is in {root.resolve()}; looked for {'; '.join(places)}"
        + (f"; each also as .gz or in {' or '.join(archives)}" if archives else "")
        + (f"; {', '.join(odd)}" if odd else "")
        + f";{_from(task)} put it there, as it is or unpacked"
    )


def files_of(task: TaskSpec, root: Path) -> list[Path]:
    """The files of a task below `root` that exist, each once, in the order of its splits.

    An archive is one file, and so are the folders that a layout reads as a whole.
    """
    settled = settled_or_first(task, root)
    return [path for path in source_paths(settled, root) if path.exists()]


def input_digests(tasks: Iterable[tuple[TaskSpec, Path]], data: Path) -> dict[str, str]:
    """Digests of the files of tasks, each with its folder, by name.

    The names are relative to the folder; a task's own goes before them where it isn't `data`.
    """
    found = {}
    for task, root in tasks:
        above = "" if root == data else f"{task.name}/"
        for path in files_of(task, root):
            found[f"{above}{path.relative_to(root)}"] = file_digest(path)
    return found


def source_paths(task: TaskSpec, root: Path) -> list[Path]:
    """The files and folders that the entries of `files` of a settled task are read from."""
    paths: dict[Path, None] = {}
    for source in task.files.values():
        name, inside = split_source(source)
        parts = (
            [root / name] if is_archive(name) or not inside else [root / name / p for p in inside]
        )
        paths |= dict.fromkeys(parts)
    return list(paths)


# Examples. -----------------------------------------------------------------------------------


def load_examples(task: TaskSpec, split: str, root: Path) -> list[Example]:
    """The labelled examples of a split; raises `UserError` with file, line and mend."""
    return load_split(task, split, root).examples


def load_split(task: TaskSpec, split: str, root: Path) -> Parsed:
    """As `load_examples`, with the numbers of rows found and left out.

    A split that is a share of a file (`split`) has its part of the rows. Where two splits of
    Story Cloze name the same file, they are its 80 % and 20 % as in the released code; `found` is
    then the part's size. A split of `unlabelled` has no examples, and as many unlabelled rows as
    it holds.
    """
    task = _for_split(task, split, root)
    rows = parse(task, split, root, labelled=split in task.files)
    if split not in task.files:
        return Parsed([], rows.found, rows.found, rows.skipped, rows.repeated_ids)
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
    return Parsed(examples, found, rows.unlabelled, rows.skipped, rows.repeated_ids)


def load_texts(task: TaskSpec, split: str, root: Path) -> list[Unlabelled]:
    """The rows of a split without labels, to be predicted: a hidden test set's, or any split's.

    All rows come back, in the file's order. A file without labels goes before one with labels
    of the same split (GLUE's test files before the original release); labels are not looked
    at. Raises `UserError` with file, line and mend, also where two rows have the same id, since
    a prediction could not be told which it is for.
    """
    hidden = _with_hidden(task, split, root)
    if hidden is None:
        spec = _for_split(task, split, root)
        update = {"unlabelled": {split: spec.files[split]}, "unlabelled_columns": {}}
        hidden = spec.model_copy(update=update)
    task = hidden
    seen: dict[str, str] = {}
    rows = parse(task, split, root, labelled=False).rows
    _same_number_of_answers(task, rows)
    for row in rows:
        if row.id and row.id in seen:
            raise UserError(f"{row.where}: the id `{shown(row.id)}` stands at {seen[row.id]} too")
        seen[row.id] = row.where
    if not rows:
        raise UserError(f"{task.title}: split `{split}` has no rows in {root.resolve()}")
    return [Unlabelled(row.texts, row.id or str(row.number), row.number) for row in rows]


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
            raise UserError(f"{row.where}: answer `{shown(row.label)}`, one of {letters} expected")
        return int(row.label)
    if task.labels is not None:
        label = task.label_map.get(row.label, row.label)
        if label not in task.labels:
            known = ", ".join(dict.fromkeys([*task.label_map, *task.labels]))
            raise UserError(f"{row.where}: label `{shown(row.label)}`, one of {known} expected")
        return task.labels.index(label)
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
            f"{row.where}: score `{shown(row.label)}`, a number from {low:g} to {high:g} expected"
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
