"""What a folder of data sets holds, split by split, and what is wrong with it.

A *fault* is what the sets can't be used with: a set that was asked for and is not there, a file
that can't be read, a row that breaks its format. What differs from the published sets is a
*warning*: other numbers of rows, other shares of the labels, rows that were skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gptbench.artifacts import digest, file_digest
from gptbench.data import text as standard
from gptbench.data.books import in_order
from gptbench.data.inputs import fine_tuning_inputs, label_counts
from gptbench.data.published import published_shares
from gptbench.data.repeats import encoding_faults, repeats
from gptbench.data.tasks import Example, Parsed, files_of, load_split
from gptbench.data.tokenizer import Tokenizer
from gptbench.errors import UserError
from gptbench.settings import TaskSpec

CONTEXTS = (64, 128, 256, 512)
FAR = 0.02
"""A label's share that is farther than this from the published one is a warning."""

LONG = 20_000
"""Characters: a longer text is a warning, since quotation marks can make many rows one."""


@dataclass(frozen=True)
class SplitCheck:
    """One split: counts are of rows, `longest` is a text's tokens, `cut` shares by context.

    `found` counts all rows of the files, `labelled` those that can be used. Of these, `empty`,
    `duplicates`, `overlap` (rows of the training split) are as in `repeats`; `replaced` hold the
    character U+FFFD, `mojibake` text that ftfy would decode again, `control` control characters.
    `cut` is the share of examples with a text that is cut for a context of so many tokens.
    """

    found: int
    labelled: int
    official: int | None
    unlabelled: int
    skipped: int
    labels: dict[str, int]
    duplicates: int
    overlap: int
    empty: int
    replaced: int
    mojibake: int
    control: int
    longest: int | None
    cut: dict[int, float]
    digest: str

    @property
    def encoding(self) -> int:
        """Rows with encoding faults of any kind (one with two kinds counts twice)."""
        return self.replaced + self.mojibake + self.control


@dataclass(frozen=True)
class TaskCheck:
    """One data set: `missing` says that none of its files is there."""

    name: str
    title: str
    home: str
    files: dict[str, str]
    splits: dict[str, SplitCheck] = field(default_factory=dict)
    missing: bool = False
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


# Checking. -----------------------------------------------------------------------------------


def check(
    tasks: Sequence[TaskSpec],
    data: Path,
    tokenizer: Tokenizer | None = None,
    contexts: Sequence[int] = CONTEXTS,
    places: Mapping[str, Path] | None = None,
) -> list[TaskCheck]:
    """Check data sets below `data`, on all cores; without a tokenizer no tokens are counted.

    `places` are the folders, by name, of sets that lie elsewhere.
    """
    if not data.is_dir():
        raise UserError(f"{data}: no such folder; give --data the folder with the data sets")
    if tokenizer:
        standard.words("warm")  # spaCy is imported once, before processes fork
    roots = {task.name: (places or {}).get(task.name, data) for task in tasks}
    work = partial(_checked, roots=roots, tokenizer=tokenizer, contexts=contexts)
    largest_first = sorted(tasks, key=lambda task: -_size(task, roots[task.name]))
    with in_order(work, largest_first, len(os.sched_getaffinity(0))) as done:
        by_name = {each.name: each for each in done}
    return [by_name[task.name] for task in tasks]


def _size(task: TaskSpec, root: Path) -> int:
    return sum(path.stat().st_size for path in files_of(task, root))


def _checked(
    task: TaskSpec,
    roots: Mapping[str, Path],
    tokenizer: Tokenizer | None,
    contexts: Sequence[int],
) -> TaskCheck:
    return check_task(task, roots[task.name], tokenizer, contexts)


def check_task(
    task: TaskSpec, root: Path, tokenizer: Tokenizer | None, contexts: Sequence[int]
) -> TaskCheck:
    """Check one data set."""
    parsed: dict[str, Parsed] = {}
    faults = []
    for split in task.files:
        try:
            parsed[split] = load_split(task, split, root)
        except UserError as error:
            faults.append(str(error))
    head = (task.name, task.title, task.home, dict(task.files))
    if not parsed and not files_of(task, root):
        return TaskCheck(*head, missing=True)
    again = repeats(task, parsed)
    texts = dict.fromkeys(t for part in parsed.values() for e in part.examples for t in e.texts)
    broken = {text: kinds for text in texts if (kinds := encoding_faults(text))}
    lengths = {text: len(tokenizer.encode(text)) for text in texts} if tokenizer else {}
    splits = {}
    for split, part in parsed.items():
        wrong = [
            {kind for text in example.texts for kind in broken.get(text, ())}
            for example in part.examples
        ]
        splits[split] = SplitCheck(
            found=part.found,
            labelled=len(part.examples),
            official=task.official.get(split),
            unlabelled=part.unlabelled,
            skipped=part.skipped,
            labels=label_counts(task, part.examples),
            **{key: n for key, n in again[split].items() if key != "broken"},
            replaced=sum("replaced" in found for found in wrong),
            mojibake=sum("mojibake" in found for found in wrong),
            control=sum("control" in found for found in wrong),
            longest=max(lengths[t] for e in part.examples for t in e.texts) if lengths else None,
            cut=cut_shares(part.examples, task.format, lengths, contexts) if lengths else {},
            digest=_digest(task, split, root),
        )
    warnings = [w for split, found in splits.items() for w in _warnings(task, split, found)]
    warnings += [w for split, part in parsed.items() for w in _long_texts(task, split, part)]
    return TaskCheck(*head, splits=splits, faults=faults, warnings=warnings)


class _Lengths(Tokenizer):
    """Stands in for a tokenizer where only the number of ids matters: that of known texts."""

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self._lengths = lengths
        self.start = self.delimiter = self.classify = 0

    def encode(self, text: str) -> list[int]:
        return [0] * self._lengths[text]


def cut_shares(
    examples: Sequence[Example], form: str, lengths: Mapping[str, int], contexts: Sequence[int]
) -> dict[int, float]:
    """The share of examples that the model's inputs cut, at each context.

    `lengths` are the tokens of every text. An example that is whole in one context is whole in
    a longer one.
    """
    counted = _Lengths(lengths)
    shares = {}
    left = list(examples)
    for n_ctx in sorted(contexts):
        left = [e for e in left if fine_tuning_inputs(e.texts, form, counted, n_ctx)[1]]
        shares[n_ctx] = round(len(left) / len(examples), 6)
    return shares


def _digest(task: TaskSpec, split: str, root: Path) -> str:
    """SHA-256 of a split's file; of several files a digest of theirs."""
    files = files_of(task.model_copy(update={"files": {split: task.files[split]}}), root)
    if len(files) == 1:
        return file_digest(files[0])
    return digest(*(file_digest(path) for path in files)) if files else ""


def _warnings(task: TaskSpec, split: str, found: SplitCheck) -> Iterator[str]:
    where = f"{task.name} {split}"
    rows = found.found - found.unlabelled
    if found.official is not None and rows != found.official:
        yield f"{where}: {rows:,} labelled rows, the published split has {found.official:,}"
    if found.skipped:
        yield f"{where}: {found.skipped:,} malformed rows skipped"
    for label, share in published_shares(task.name, split).items():
        here = found.labels.get(label, 0) / found.labelled
        if abs(here - share) > FAR:
            yield (
                f"{where}: {100 * here:.1f} % of the rows are `{label}`,"
                f" {100 * share:.1f} % in the published split"
            )


def _long_texts(task: TaskSpec, split: str, part: Parsed) -> Iterator[str]:
    for example in part.examples:
        longest = max(map(len, example.texts))
        if longest > LONG:
            yield (
                f"{task.name} {split}: row {example.index + 1:,} has a text of {longest:,}"
                " characters; did many rows become one?"
            )


# Showing. ------------------------------------------------------------------------------------


def as_json(checks: Sequence[TaskCheck]) -> dict[str, Any]:
    """The checks by name, as JSON can hold them."""
    return {each.name: asdict(each) for each in checks}


def faults(checks: Sequence[TaskCheck], asked: bool) -> list[str]:
    """All faults, a line each.

    A set that is not there is one where it was `asked` for by name, and where no set is there.
    """
    found = []
    nothing = all(each.missing for each in checks)
    for each in checks:
        if each.missing and (asked or nothing):
            found.append(f"{each.name}: missing; {where_to_get(each)}")
        found += each.faults
    return found


def where_to_get(check: TaskCheck) -> str:
    """Where a data set is from, and the names that its files are looked for under."""
    names = dict.fromkeys(name.partition(":")[0] for name in check.files.values())
    source = f"get {check.title} from {check.home}; " if check.home else ""
    return f"{source}files: {', '.join(names)}"


def table(checks: Sequence[TaskCheck]) -> str:
    """Three tables, within 120 columns: rows, tokens (if they were counted), labels."""
    rows = [(f"{c.name} {split}", s, c, split) for c in checks for split, s in c.splits.items()]
    if not rows:
        return "no data sets found"
    head = "split found official unlabelled skipped empty duplicate in-train encoding digest"
    parts = [
        _grid(
            head.split(),
            [
                [
                    name,
                    _n(s.found),
                    "?" if s.official is None else _n(s.official),
                    *map(_n, (s.unlabelled, s.skipped, s.empty, s.duplicates)),
                    "" if split == "train" else _n(s.overlap),
                    _n(s.encoding),
                    s.digest[:8],
                ]
                for name, s, _, split in rows
            ],
        )
    ]
    contexts = sorted({n for _, s, _, _ in rows for n in s.cut})
    if contexts:
        lines = [
            [
                name,
                "" if s.longest is None else _n(s.longest),
                *(_share(s.cut[n]) for n in contexts),
            ]
            for name, s, _, _ in rows
        ]
        parts.append(_grid(["split", "longest", *(f"cut at {n}" for n in contexts)], lines))
    width = max(len(name) for name, *_ in rows)
    labels = [f"{'split':<{width}}  labels (published)"]
    for name, s, c, split in rows:
        known = published_shares(c.name, split)
        shown = (
            f"{label} {100 * count / s.labelled:.1f}%"
            + (f" ({100 * known[label]:.1f})" if label in known else "")
            for label, count in s.labels.items()
        )
        labels.append(f"{name:<{width}}  {', '.join(shown)}")
    return "\n\n".join([*parts, "\n".join(labels)])


def _grid(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    )


def _n(count: int) -> str:
    return f"{count:,}"


def _share(share: float) -> str:
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"
