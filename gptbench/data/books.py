"""Folders of books: `train/*.txt` and `validation/*.txt`, one plain-text UTF-8 file each."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gptbench.artifacts import digest, file_digest
from gptbench.data import text as texts
from gptbench.errors import UserError

BLOCK = 1 << 22

A = TypeVar("A")
B = TypeVar("B")


def book_files(books: Path, split: str) -> list[Path]:
    """The books of a split, sorted by name; raises `UserError` where there are none."""
    folder = books / split
    files = sorted(path for path in folder.glob("*.txt") if path.is_file())
    if not files:
        state = "has no books" if folder.is_dir() else "is missing"
        raise UserError(
            f"{folder}: the folder {state}; put plain-text UTF-8 files there, one book each,"
            " named *.txt (train/ to learn from, validation/ for held-out books)"
        )
    return files


def digest_of(files: Sequence[Path]) -> str:
    """A digest over names and contents."""
    return digest(*(f"{path.parent.name}/{path.name} {file_digest(path)}" for path in files))


def blocks(path: Path, size: int = BLOCK) -> Iterator[str]:
    """The text of a book in whole lines, about `size` bytes at a time, each repaired by itself.

    Raises `UserError` with the line where the file is not UTF-8.
    """
    number = 1
    try:
        with path.open("rb") as file:
            while lines := file.readlines(size):
                data = b"".join(lines)
                try:
                    yield data.decode("utf-8")
                except UnicodeDecodeError as error:
                    line = number + data.count(b"\n", 0, error.start)
                    raise UserError(
                        f"{path}, line {line}: not UTF-8 text (byte 0x{data[error.start]:02x});"
                        " save the book as UTF-8"
                    ) from None
                number += len(lines)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def _chunks_of(path: Path) -> Counter[str]:
    counted: Counter[str] = Counter()
    for block in blocks(path):
        counted.update(texts.fix(block).split())
    return counted


def count_chunks(books: Sequence[Path], workers: int) -> Counter[str]:
    """How often each run of characters between white space occurs, over all books."""
    total: Counter[str] = Counter()
    with in_order(_chunks_of, books, workers) as counters:
        for counted in counters:
            total.update(counted)
    return total


_work: Callable[[Any], Any] | None = None


def _do(item: Any) -> Any:
    assert _work is not None
    return _work(item)


@contextmanager
def in_order(function: Callable[[A], B], items: Sequence[A], workers: int) -> Iterator[Iterable[B]]:
    """`map(function, items)` over forked processes, results in the order of the items.

    The processes inherit `function` with all that it holds; only items and results travel.
    """
    global _work
    workers = min(workers, len(items))
    if workers <= 1:
        yield map(function, items)
        return
    _work = function
    try:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            yield pool.imap(_do, items)
    finally:
        _work = None
