"""The rows of the twelve tasks and the pronoun cases, with their labels.

Each maker draws the trades, moods and words of a row without a look at the label, as far as the
label allows, so that no text alone says anything about it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from gptbench.data.world.choices import dprd, race, story_cloze
from gptbench.data.world.inference import mnli, mnli_mismatched, qnli, rte, scitail, snli
from gptbench.data.world.rows import Row
from gptbench.data.world.sentences import cola, sst2
from gptbench.data.world.similarity import mrpc, qqp, stsb

Maker = Callable[[Random, int, bool], Row]
"""Takes a generator, the label wanted, and whether the row is to train on."""

MAKERS: dict[str, tuple[Maker, int]] = {
    "mnli": (mnli, 3),
    "mnli_mismatched": (mnli_mismatched, 3),
    "snli": (snli, 3),
    "qnli": (qnli, 2),
    "rte": (rte, 2),
    "scitail": (scitail, 2),
    "race": (race, 4),
    "story_cloze": (story_cloze, 2),
    "mrpc": (mrpc, 2),
    "qqp": (qqp, 2),
    "stsb": (stsb, 3),
    "sst2": (sst2, 2),
    "cola": (cola, 2),
    "dprd": (dprd, 2),
}


def make_rows(
    task: str, seed: str, count: int, train: bool, taken: set[tuple[str, ...]]
) -> list[Row]:
    """``count`` rows with balanced labels, none with the texts of ``taken`` (which grows).

    Raises
    ------
    ValueError
        If the task has too few different rows (after 50 tries a row).
    """
    rng = Random(seed)
    maker, labels = MAKERS[task]
    wanted = [index % labels for index in range(count)]
    rng.shuffle(wanted)
    rows: list[Row] = []
    for _ in range(50 * count):
        if len(rows) == count:
            return rows
        row = maker(rng, wanted[len(rows)], train)
        if row.texts not in taken:
            taken.add(row.texts)
            rows.append(row)
    if len(rows) == count:
        return rows
    raise ValueError(f"{task}: only {len(rows)} of {count} different rows")
