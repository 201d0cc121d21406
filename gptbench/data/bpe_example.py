"""Byte-pair encoding worked by hand: four words, the textbook's form beside the released one.

In the textbook's form (Sennrich et al., 2016) the end of a word, `</w>`, is a symbol of its own.
In the released vocabulary (paper.md, "Tokenizer"), and in ours, it is attached to a word's last
symbol from the start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from gptbench.data.tokenizer import END, Merge, characters, train_on_counts
from gptbench.settings import TokenizerSettings

COUNTS = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
UNSEEN = "lowest"
MERGES = 5
RUNNERS_UP = 3
"""Pairs that are shown beside the one that is merged."""


class Step(NamedTuple):
    """One merge: the pair, how many times it occurs before it, and the words after it.

    `others` are the most frequent pairs beside it, with their counts.
    """

    pair: Merge
    times: int
    words: list[list[str]]
    others: list[tuple[Merge, int]]


class Worked(NamedTuple):
    """One form's merges, step by step; the symbols of the unseen word at first and after each.

    `start` are the words' symbols before the first merge.
    """

    start: list[list[str]]
    steps: list[Step]
    unseen: list[list[str]]


def separate(word: str) -> list[str]:
    """The textbook's symbols before any merge: characters, then `</w>`."""
    return [*word, END]


def learn(counts: Mapping[str, int], merges: int) -> list[Merge]:
    """The textbook's trainer: the most frequent pair, merged everywhere, again and again.

    Of equally frequent pairs the one met first in reading the words in order is taken. Fewer
    than `merges` are learnt where no pair is left.
    """
    words = [separate(word) for word in counts]
    learnt: list[Merge] = []
    times = list(counts.values())
    while len(learnt) < merges and (pairs := count_pairs(words, times)):
        best = max(pairs, key=pairs.__getitem__)
        learnt.append(best)
        words = [merge(word, best) for word in words]
    return learnt


def worked() -> tuple[Worked, Worked]:
    """The example in the textbook's form, and in ours."""
    ours = train_on_counts(Counter(COUNTS), TokenizerSettings(merges=MERGES, min_frequency=1))
    return replay(separate, learn(COUNTS, MERGES)), replay(characters, ours.merges)


def replay(start: Callable[[str], list[str]], merges: Sequence[Merge]) -> Worked:
    """Apply merges to the example's words, one after another; `start` gives a word's symbols."""
    words, times = [start(word) for word in COUNTS], list(COUNTS.values())
    steps: list[Step] = []
    unseen = [start(UNSEEN)]
    for pair in merges:
        counts = count_pairs(words, times)
        others = sorted((c for c in counts.items() if c[0] != pair), key=lambda c: -c[1])
        words = [merge(word, pair) for word in words]
        steps.append(Step(pair, counts[pair], words, others[:RUNNERS_UP]))
        unseen.append(merge(unseen[-1], pair))
    return Worked([start(word) for word in COUNTS], steps, unseen)


def count_pairs(words: Sequence[Sequence[str]], times: Sequence[int]) -> dict[Merge, int]:
    """How often each pair of neighbours occurs, in the order in which they are met."""
    pairs: Counter[Merge] = Counter()
    for word, n in zip(words, times, strict=True):
        for pair in pairwise(word):
            pairs[pair] += n
    return pairs


def merge(word: Sequence[str], pair: Merge) -> list[str]:
    """A word with every occurrence of `pair`, from left to right, made one symbol."""
    merged: list[str] = []
    for symbol in word:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged
