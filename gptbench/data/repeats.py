"""Rows of a data set that are worth a look: repeated, empty, or with broken characters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gptbench.data.tasks import Example, Parsed
from gptbench.settings import TaskSpec

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def normalised(text: str) -> str:
    r"""A text in lower case, each run of white space one space: what counts as the same text.

    >>> normalised("  The Cat\n sat. ")
    'the cat sat.'
    """
    return " ".join(text.lower().split())


def repeats(task: TaskSpec, parsed: Mapping[str, Parsed]) -> dict[str, dict[str, int]]:
    """Of each split the labelled rows that are `duplicates`, in `overlap`, `empty` or `broken`.

    A duplicate has the texts of an earlier row of its split, a row in the overlap those of a
    row of the training split (all texts, in their order, `normalised`). An empty row lacks a text
    that the rows of its split have; a broken one has a text with `encoding_faults`.
    """
    numbers: dict[str, int] = {}  # by normalised text
    known: dict[str, int] = {}  # by text: passages come back with every question

    def number(text: str) -> int:
        if text not in known:
            known[text] = numbers.setdefault(normalised(text), len(numbers))
        return known[text]

    rows = {
        split: [tuple(number(text) for text in example.texts) for example in part.examples]
        for split, part in parsed.items()
    }
    trained = set(rows.get(task.train, ()))
    broken = {text for text in known if encoding_faults(text)}
    return {
        split: {
            "duplicates": len(found) - len(set(found)),
            "overlap": 0 if split == task.train else sum(row in trained for row in found),
            "empty": _empty(task, parsed[split].examples),
            "broken": sum(not broken.isdisjoint(e.texts) for e in parsed[split].examples),
        }
        for split, found in rows.items()
    }


def encoding_faults(text: str) -> frozenset[str]:
    """`replaced`, `mojibake`, `control`: what is wrong with a text's characters.

    >>> sorted(encoding_faults("It’s fine.")), sorted(encoding_faults("Itâ€™s not."))
    ([], ['mojibake'])
    """
    found = set()
    if _CONTROL.search(text):
        found.add("control")
    if not text.isascii():
        import ftfy

        if "\ufffd" in text:
            found.add("replaced")
        if ftfy.fix_encoding(text) != text:
            found.add("mojibake")
    return frozenset(found)


def _empty(task: TaskSpec, examples: Sequence[Example]) -> int:
    blank = [tuple(not text.strip() for text in example.texts) for example in examples]
    # A choice without questions (Story Cloze) has an empty one in every row.
    unasked = task.format == "choice" and all(row[1] for row in blank)
    return sum(any(each for i, each in enumerate(row) if not (unasked and i == 1)) for row in blank)
