"""How much of the scored texts stands in the books: overlap by n-grams of words.

As in appendix C of Brown et al. 2020 ("Language Models are Few-Shot Learners"): case and
punctuation are ignored, the n-grams have 13 words, and an example with one n-gram in common with
the training text counts as overlapping. Exactly:

- A word is a run of letters and digits in lower case. Apostrophes are dropped (`don't` is
  `dont`); every other mark, and white space, separates words.
- Each text of an example is looked at by itself. A text of 13 words and more gives all its
  13-grams, one of 8 to 12 words gives itself whole, and a shorter one nothing; an example
  all of whose texts are shorter is not testable.
- The training books are compared, raw (licence texts too); an n-gram may run over lines, not over
  two books.

Only hashes of the scored texts' n-grams are kept; the books stream past them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gptbench.artifacts import Run, write_json
from gptbench.data.books import (
    Book,
    blocks,
    book_files,
    collect,
    digest_of,
    in_order,
    training_books,
)
from gptbench.data.tasks import input_digests, load_examples
from gptbench.progress import watched
from gptbench.settings import ContaminationJob, TaskSpec

NGRAM, SHORTEST = 13, 8

_WORD = re.compile(r"[^\W_]+")
_FACTOR = 0x9E3779B97F4A7C15  # odd, so multiplying loses no bits
_SPREAD = 16  # places of the first look-up for each n-gram
_MOST_BITS = 26

Hashes = NDArray[np.uint64]
Numbers = NDArray[np.int64]
Found = dict[int, Numbers]


def words(text: str) -> list[str]:
    """The words of a text as they are compared.

    >>> words("“Don't--stop,” he said.")
    ['dont', 'stop', 'he', 'said']
    """
    return _WORD.findall(text.lower().replace("'", "").replace("\u2019", ""))


@dataclass(frozen=True)
class _Table:
    """The n-grams of one length: sorted hashes, and each occurrence in the scored texts.

    `occurrence` [m] are indices into `keys`, `text` [m] the texts' numbers, `start` [m] the places
    among all words of all texts. `places` says of a hash's first bits whether any key has them.
    """

    keys: Hashes
    occurrence: Numbers
    text: Numbers
    start: Numbers
    places: NDArray[np.bool_]
    shift: np.uint64

    def found(self, hashes: Hashes) -> Numbers:
        """Indices of the keys that are among `hashes`, each once."""
        maybe = hashes[self.places[hashes >> self.shift]]
        index = np.searchsorted(self.keys, maybe)
        index[index == len(self.keys)] = 0
        return np.unique(index[self.keys[index] == maybe]).astype(np.int64)


class Grams:
    """The n-grams of texts as hashes of 64 bits.

    A word has a random number, an n-gram the polynomial of its words' numbers modulo 2^64. That
    one of k n-grams is met by chance among n words has a probability near k n / 2^64.

    Attributes
    ----------
    testable : bool [texts], whether a text gives an n-gram.
    """

    def __init__(self, texts: Sequence[str], n: int = NGRAM, shortest: int = SHORTEST) -> None:
        self._vocabulary: dict[str, int] = {}
        numbers: list[int] = []
        lengths = []
        for text in texts:
            found = words(text)
            numbers.extend(
                self._vocabulary.setdefault(word, len(self._vocabulary) + 1) for word in found
            )
            lengths.append(len(found))
        self._numbers = np.asarray(numbers, np.int64)
        self._values: Hashes = np.random.default_rng(0).integers(
            0, 2**64, len(self._vocabulary) + 1, np.uint64
        )
        sizes = np.asarray(lengths, np.int64)
        self.testable: NDArray[np.bool_] = sizes >= shortest
        starts = np.cumsum(sizes) - sizes
        taken = {
            length: _occurrences(starts, sizes, length, n)
            for length in range(min(shortest, n), n + 1)
        }
        taken = {length: parts for length, parts in taken.items() if len(parts[0])}
        self._longest = max(taken, default=0)
        self._tables = {
            length: _table(hashes, *taken[length])
            for length, hashes in _hashes(self._values[self._numbers], list(taken))
        }

    def __len__(self) -> int:
        """The number of different n-grams."""
        return sum(len(table.keys) for table in self._tables.values())

    def found_in(self, book: Path | Book) -> tuple[Found, int]:
        """The n-grams that occur in a book, and the number of its words."""
        got: dict[int, list[Numbers]] = {length: [] for length in self._tables}
        before: Hashes = self._values[:0]
        count = 0
        for block in blocks(book):
            found = words(block)
            count += len(found)
            numbers = np.fromiter(
                map(self._vocabulary.get, found, [0] * len(found)), np.int64, len(found)
            )
            values = np.concatenate([before, self._values[numbers]])
            for length, hashes in _hashes(values, list(self._tables)):
                got[length].append(self._tables[length].found(hashes))
            before = values[max(0, len(values) - self._longest + 1) :]
        return {k: np.unique(np.concatenate(parts)) for k, parts in got.items() if parts}, count

    def overlapping(self, found: Sequence[Found]) -> tuple[NDArray[np.bool_], dict[int, str]]:
        """bool [texts], whether a text has an n-gram that was found, and the first such of each."""
        hit = np.zeros(len(self.testable), np.bool_)
        first: dict[int, int] = {}
        size: dict[int, int] = {}
        for length, table in self._tables.items():
            met = np.zeros(len(table.keys), np.bool_)
            for part in found:
                met[part.get(length, np.zeros(0, np.int64))] = True
            there = met[table.occurrence]
            hit[table.text[there]] = True
            for text, start in zip(table.text[there][::-1], table.start[there][::-1], strict=True):
                first[int(text)], size[int(text)] = int(start), length
        names = ["", *self._vocabulary]
        return hit, {
            text: " ".join(names[i] for i in self._numbers[start : start + size[text]])
            for text, start in first.items()
        }


def _occurrences(starts: Numbers, sizes: Numbers, length: int, n: int) -> tuple[Numbers, Numbers]:
    """Places and texts of the n-grams of one length: whole texts, and all windows of n words."""
    chosen = np.flatnonzero(sizes >= n if length == n else sizes == length)
    windows = sizes[chosen] - length + 1
    text = np.repeat(chosen, windows)
    within = np.arange(len(text)) - np.repeat(np.cumsum(windows) - windows, windows)
    return starts[text] + within, text


def _table(hashes: Hashes, start: Numbers, text: Numbers) -> _Table:
    keys, occurrence = np.unique(hashes[start], return_inverse=True)
    bits = min(_MOST_BITS, int(len(keys) * _SPREAD).bit_length())
    shift = np.uint64(64 - bits)
    places = np.zeros(1 << bits, np.bool_)
    places[keys >> shift] = True
    return _Table(keys, occurrence.astype(np.int64), text, start, places, shift)


def _hashes(values: Hashes, lengths: Sequence[int]) -> Iterator[tuple[int, Hashes]]:
    """The hashes of all windows of each length, from the short to the long.

    What is yielded for one length is overwritten for the next.
    """
    total = np.zeros(len(values), np.uint64)
    factor = 1
    for j in range(max(lengths, default=0)):
        total = total[: max(0, len(values) - j)]
        total += values[j:] * np.uint64(factor)
        factor = factor * _FACTOR % 2**64
        if j + 1 in lengths:
            yield j + 1, total


# The stage. ----------------------------------------------------------------------------------


def overlap(
    tasks: Sequence[tuple[TaskSpec, Path]],
    books: Iterable[Path | Book],
    workers: int,
    total: int | None = None,
) -> dict[str, Any]:
    """The overlap of the scored splits of `tasks` with `books`: what `contamination.json` holds.

    Each task comes with the folder of its data; `total` is the number of books, if it is known.
    """
    numbers: dict[str, int] = {}
    splits: dict[tuple[str, str], list[list[int]]] = {}
    for task, data in tasks:
        for split in dict.fromkeys(split for parts in task.scored.values() for split in parts):
            splits[task.name, split] = [
                [numbers.setdefault(text, len(numbers)) for text in example.texts]
                for example in load_examples(task, split, data)
            ]
    grams = Grams(list(numbers))
    with in_order(partial(_found_in, grams=grams), books, workers) as done:
        results = list(watched(done, "contamination", "books", total))
    hit, first = grams.overlapping([found for found, _ in results])
    report: dict[str, dict[str, Any]] = {}
    for (name, split), examples in splits.items():
        overlapping = [row for row in examples if any(hit[text] for text in row)]
        quoted = next((first[t] for row in overlapping for t in row if hit[t]), None)
        report.setdefault(name, {})[split] = {
            "examples": len(examples),
            "testable": sum(any(grams.testable[text] for text in row) for row in examples),
            "overlapping": len(overlapping),
            "first": quoted,
        }
    return {
        "n": NGRAM,
        "shortest": SHORTEST,
        "ngrams": len(grams),
        "books": len(results),
        "words": sum(count for _, count in results),
        "tasks": report,
    }


def _found_in(book: Path | Book, grams: Grams) -> tuple[Found, int]:
    return grams.found_in(book)


def run(
    job: ContaminationJob,
    books: Path,
    data: Path,
    out: Path,
    roots: Mapping[str, Path] | None = None,
) -> None:
    """The stage `contamination`: the scored texts of all tasks against the training books.

    `roots` are the folders, by name, of data sets that are not below `data`.
    Writes `out`, and beside it its manifest (`contamination.json` has
    `contamination/manifest.json`).
    """
    start = time.perf_counter()
    read: Iterable[Path | Book] = ()
    total = None
    if job.corpus is None:
        read = files = book_files(books, "train")
        total = len(files)
        digests = {"books/train": digest_of(files)}
    else:
        collection = collect(books, job.corpus)
        read, digests = training_books(collection, job.corpus), collection.digests
        total = collection.training_books
    tasks = [(task, (roots or {}).get(task.name, data)) for task in job.tasks]
    stage = Run("contamination", job, {**digests, **input_digests(tasks, data)})
    result = overlap(tasks, read, job.workers, total)
    write_json(out, {"run_id": stage.id, **result})
    stage.finish(out.with_suffix(""), ngrams=result["ngrams"], words=result["words"])
    seconds = time.perf_counter() - start
    print(
        f"contamination: {result['words']:,} words of {result['books']} books against"
        f" {result['ngrams']:,} n-grams in {seconds:.1f} s",
        flush=True,
    )
