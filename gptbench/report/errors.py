"""The largest errors: where the first run of the full model is surest and wrong.

Texts are decoded from the encoded arrays, so they are what the model read: lower case, cut to the
context. Texts of real data sets are shown only where the scale says `show_texts: true`, since a
report is made to be passed on and their licences seldom allow that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gptbench.data.encoded import EXAMPLES, EncodedTask
from gptbench.data.tokenizer import Tokenizer
from gptbench.report import csvfile
from gptbench.report.outputs import Array, Outputs
from gptbench.report.results import Results
from gptbench.report.scores import number_text
from gptbench.settings import TaskSpec

NAME = "errors"
COUNT = 5
LONGEST = 320
"""Characters of a part that are shown."""


@dataclass(frozen=True)
class Wrong:
    """An example: what it should be, what was said, how surely, and its texts in their parts.

    `probability` is that of the class that was said, `of_gold` that of the right one; None for a
    regression, where `error` is the absolute difference. `parts` are (what, text).
    """

    split: str
    index: int
    gold: str
    said: str
    probability: float | None
    of_gold: float | None
    error: float | None
    parts: list[tuple[str, str]]


@dataclass(frozen=True)
class TaskErrors:
    """A task's largest errors in the run `key`; `wrong` of `n` were wrong (None: a regression).

    `why` says why there are no texts, where there are none.
    """

    task: str
    title: str
    key: tuple[int, int]
    n: int
    wrong: int | None
    rows: list[Wrong]
    why: str


@dataclass(frozen=True)
class Errors:
    """The section; `hidden` where the texts are left out on purpose."""

    tasks: list[TaskErrors]
    hidden: bool


def write(results: Results, outputs: dict[str, Outputs], report: Path) -> Errors:
    """Find the errors of all tasks and write `report/errors.csv`."""
    hidden = not results.texts_shown
    tokenizer = None
    if not hidden and (results.root / "tokenizer" / "encoder.json").is_file():
        tokenizer = Tokenizer.load(results.root / "tokenizer")
    made = []
    for task, found in outputs.items():
        rows = largest(found)
        why, texts = "", _Texts(None, None, found.task)
        if not hidden:
            encoded, why = _encoded(results, task, tokenizer)
            texts = _Texts(encoded, tokenizer, found.task)
        wrong = None if found.regression else int((found.prediction[0] != found.gold).sum())
        shown = [_row(found, at, texts) for at in rows]
        made.append(
            TaskErrors(task, found.task.title, found.keys[0], len(found.gold), wrong, shown, why)
        )
    (report / f"{NAME}.csv").write_text(to_csv(made), "utf-8")
    return Errors(made, hidden)


def largest(found: Outputs, count: int = COUNT) -> Array:
    """Which examples of the first run: the wrong ones by their probability, or by the difference.

    Equals stay in the order of the rows. Without probabilities the first wrong ones are taken.
    """
    gold, said = found.gold, found.prediction[0]
    if found.regression:
        size = np.abs(said - gold)
        return np.argsort(-size, kind="stable")[:count]
    wrong = np.flatnonzero(said != gold)
    if found.probabilities is None:
        return wrong[:count]
    sure = found.probabilities[0][wrong, said[wrong].astype(np.int64)]
    return wrong[np.argsort(-sure, kind="stable")[:count]]


def _row(found: Outputs, at: int, texts: _Texts) -> Wrong:
    gold, said = found.gold[at], found.prediction[0][at]
    split, index = str(found.splits[at]), int(found.index[at])
    parts = texts.of(split, index)
    if found.regression:
        error = float(abs(said - gold))
        return Wrong(split, index, f"{gold:.2f}", f"{said:.2f}", None, None, error, parts)
    names = found.labels
    sure: tuple[float | None, float | None] = (None, None)
    if found.probabilities is not None:
        own = found.probabilities[0][at]
        sure = float(own[int(said)]), float(own[int(gold)])
    return Wrong(split, index, names[int(gold)], names[int(said)], *sure, None, parts)


# Texts. ---------------------------------------------------------------------------------------


def _encoded(
    results: Results, task: str, tokenizer: Tokenizer | None
) -> tuple[EncodedTask | None, str]:
    """A task's arrays, or why its texts cannot be shown."""
    folder = results.root / "tasks" / task
    if tokenizer is None:
        return None, "the results have no tokenizer"
    if not (folder / EXAMPLES).is_file():
        return None, f"tasks/{task}/{EXAMPLES} is not there"
    encoded = EncodedTask.load(folder)
    if encoded.tokenizer_id != tokenizer.id:
        return None, "the task was encoded with another tokenizer"
    return encoded, ""


@dataclass
class _Texts:
    """The texts of a task's rows, from its arrays; none without them."""

    encoded: EncodedTask | None
    tokenizer: Tokenizer | None
    task: TaskSpec

    def of(self, split: str, index: int) -> list[tuple[str, str]]:
        """(what, text) of each part of the row `index` of a split."""
        if self.encoded is None or self.tokenizer is None or split not in self.encoded.splits:
            return []
        part = self.encoded.splits[split]
        at = np.flatnonzero(part.index == index)
        if not len(at):
            return []
        first = self._parts(part.sequence(int(at[0])))
        if self.task.format == "choice":
            ends = [self._parts(part.sequence(int(at[0]), k))[-1] for k in range(part.per_example)]
            answers = [(f"answer {k + 1}", end) for k, end in enumerate(ends)]
            return [("context", first[0]), *answers]
        names = ["text"] if len(first) == 1 else [f"text {k + 1}" for k in range(len(first))]
        return list(zip(names, first, strict=True))

    def _parts(self, ids: Array) -> list[str]:
        """A sequence's texts: what is between start, delimiter and classify."""
        assert self.tokenizer is not None
        inner = ids[1:-1]
        ends = np.flatnonzero(inner == self.tokenizer.delimiter)
        spans = np.split(inner, ends)
        texts = [span[1:] if i else span for i, span in enumerate(spans)]
        return [cut(self.tokenizer.decode(map(int, text))) for text in texts]


def cut(text: str, longest: int = LONGEST) -> str:
    """A text in one line, with an ellipsis where it is longer than `longest` characters.

    >>> cut("one  two three", 9)
    'one two …'
    """
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[:longest].rsplit(' ', 1)[0]} …"


def to_csv(tasks: Sequence[TaskErrors]) -> str:
    """errors.csv: an example a row, its parts in columns of their own."""
    most = max((len(row.parts) for one in tasks for row in one.rows), default=0)
    head = "task run split index gold prediction probability probability_of_gold error".split()
    head += [f"part_{i + 1}" for i in range(most)]
    lines = []
    for one in tasks:
        run = f"pre{one.key[0]}-seed{one.key[1]}"
        for row in one.rows:
            numbers = [number_text(x) for x in (row.probability, row.of_gold, row.error)]
            parts = [text for _, text in row.parts]
            fixed = [one.task, run, row.split, str(row.index), row.gold, row.said]
            lines.append([*fixed, *numbers, *parts, *[""] * (most - len(parts))])
    return csvfile.to_text(head, lines)
