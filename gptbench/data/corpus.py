"""Books to shards of token ids, and reading them back memory-mapped.

`corpus/index.json` holds the tokenizer's id, the vocabulary's size, the number type and, for
each split, the shards (file, tokens, sha256), the books (name, start, tokens, words, bytes) and
their sums. `corpus/<split>/tokens-00000.bin` and on are the ids, little-endian, one after
another: line breaks are tokens inside a book, and one stands between two books.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gptbench.artifacts import MANIFEST, Run, file_digest, read_json, write_json
from gptbench.data import text as texts
from gptbench.data.books import (
    PACKED,
    SPLITS,
    Book,
    Collection,
    blocks,
    chosen,
    collect,
    in_order,
    placed,
    without_licence,
)
from gptbench.data.tokenizer import SPECIAL, Tokenizer
from gptbench.errors import UserError
from gptbench.progress import Progress
from gptbench.settings import CorpusJob

INDEX = "index.json"
SCANNED = 1 << 22
"""Tokens that are looked through at once."""

Ids = npt.NDArray[np.int64]


class _Book(NamedTuple):
    """One encoded book of `split`: its tokens are in the file `part`.

    `bytes` and `words` are those of the text that was used, `licence` the bytes that were not.
    """

    split: str
    name: str
    path: Path
    part: Path
    tokens: int
    words: int
    bytes: int
    licence: int


def run(job: CorpusJob, books: Path, tokenizer: Path, out: Path) -> None:
    """The stage `corpus`: the books in `books`, or of a hub's text set, as ids below `out`.

    Memory stays bounded by the tokenizer's caches and some blocks of text, whatever the size of
    the corpus. Raises `UserError` where books are missing, broken or not UTF-8; nothing but the
    log is left then.
    """
    settings = job.corpus
    bpe = Tokenizer.load(tokenizer)
    collection = collect(books, settings)
    stage = Run("corpus", job, {"tokenizer": bpe.id, **collection.digests})
    out.mkdir(parents=True, exist_ok=True)
    for stale in (MANIFEST, INDEX):
        (out / stale).unlink(missing_ok=True)
    dtype = number_type(bpe.vocab_size)
    start = time.perf_counter()
    texts.words("warm")  # spaCy is imported once, before processes fork
    parts = out / ".parts"
    try:
        for folder in (parts, *(out / split for split in SPLITS)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        index, size = _write(job, collection, bpe, dtype, out, parts)
    except BaseException:
        for split in SPLITS:
            shutil.rmtree(out / split, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    seconds = time.perf_counter() - start
    write_json(out / INDEX, index)
    tokens = sum(split["tokens"] for split in index["splits"].values())
    print(
        f"corpus: {tokens:,} tokens from {size / 1e6:.1f} MB in {seconds:.1f} s:"
        f" {tokens / seconds:,.0f} tokens/s, {size / 1e6 / seconds:.2f} MB/s",
        flush=True,
    )
    stage.finish(out, tokens=tokens, index_sha256=file_digest(out / INDEX))


def number_type(vocab_size: int) -> np.dtype[Any]:
    """uint16, or uint32 where an id (the special tokens' too) would not fit."""
    return np.dtype("<u2" if vocab_size + len(SPECIAL) <= 65535 else "<u4")


class Block(NamedTuple):
    """A part of a text: its ids, its words between white space, and its bytes in UTF-8."""

    ids: list[int]
    words: int
    bytes: int


def encoded_blocks(path: Path, bpe: Tokenizer) -> Iterator[Block]:
    """A text file as ids, some megabytes at a time: joined they are the ids of the whole.

    Raises `UserError` where the file is missing or not UTF-8.
    """
    return _encoded(blocks(path), bpe)


def _encoded(found: Iterable[str], bpe: Tokenizer) -> Iterator[Block]:
    begun = False
    for block in found:
        ids = bpe.encode(block)
        if ids and begun:
            ids.insert(0, bpe.newline)
        begun = begun or bool(ids)
        yield Block(ids, len(block.split()), len(block.encode()))


def _encode_book(
    item: tuple[int, str, Book], bpe: Tokenizer, dtype: np.dtype[Any], folder: Path, strip: bool
) -> _Book:
    """Write one book's ids to a file of its own in `folder`."""
    place, split, book = item
    part = folder / f"{place}.part"
    tokens = words = size = read = 0

    def counted() -> Iterator[str]:
        nonlocal read
        for block in blocks(book):
            read += len(block.encode())
            yield block

    with part.open("wb") as file:
        for block in _encoded(without_licence(counted()) if strip else blocks(book), bpe):
            size += block.bytes
            words += block.words
            tokens += len(block.ids)
            np.asarray(block.ids, dtype).tofile(file)
    licence = max(0, read - size)
    return _Book(split, book.name, book.path, part, tokens, words, size, licence)


def _write(
    job: CorpusJob,
    collection: Collection,
    bpe: Tokenizer,
    dtype: np.dtype[Any],
    out: Path,
    parts: Path,
) -> tuple[dict[str, Any], int]:
    """Encode all books into shards; the index, and how many bytes of text were used."""
    settings = job.corpus
    choice = chosen(collection, settings)

    def items() -> Iterator[tuple[int, str, Book]]:
        for place, (split, book) in enumerate(placed(collection, settings)):
            where = split if choice.splits is None else choice.splits[place]
            if where is not None:
                yield place, where, book

    splits = {split: _Split(out / split, dtype, settings.shard_tokens, bpe) for split in SPLITS}
    encode = partial(_encode_book, bpe=bpe, dtype=dtype, folder=parts, strip=settings.strip_licence)
    progress = _FileProgress(collection)
    stripped: list[int] = []
    with in_order(encode, items(), settings.workers) as books:
        for book in books:
            splits[book.split].add(book)
            stripped += [book.licence] if book.licence else []
            progress.add(book, splits[book.split].tokens)
    progress.close()
    for split, made in splits.items():
        if not made.books:
            held = [str(path.parent) for path in collection.files.get(split, [])]
            raise UserError(f"{held[0] if held else split}: the books hold no text")
    index: dict[str, Any] = {
        "tokenizer_id": bpe.id,
        "vocab_size": bpe.vocab_size,
        "newline": bpe.newline,
        "dtype": dtype.name,
        "splits": {split: made.entry() for split, made in splits.items()},
    }
    if settings.rows == "contiguous":
        index["boundaries"] = "blocks of rows"
    if collection.origin is not None:
        index["origin"] = collection.origin
    if settings.deduplicate:
        index["repeated"] = choice.repeated
        print(f"corpus: {len(choice.repeated):,} repeated books left out", flush=True)
    if settings.strip_licence:
        index["licence"] = {"books": len(stripped), "bytes": sum(stripped)}
        print(
            f"corpus: licence text of {len(stripped):,} books taken off,"
            f" {sum(stripped) / 1e6:.2f} MB",
            flush=True,
        )
    if settings.validation_share is not None:
        held_out, rest = len(splits["validation"].books), len(splits["train"].books)
        what = "blocks" if settings.rows == "contiguous" else "books"
        print(f"corpus: {held_out:,} of {held_out + rest:,} {what} held out", flush=True)
    return index, sum(made.bytes for made in splits.values())


class _FileProgress:
    """Progress by text where files are plain, by whole files where they are packed."""

    def __init__(self, collection: Collection) -> None:
        self._progress = Progress(collection.size / 1e6, "corpus", "MB")
        self._packed: Path | None = None

    def add(self, book: _Book, tokens: int) -> None:
        """One more book is done, and so are all files before its."""
        size = self._finished(book.path)
        if book.path.suffix.lower() in (*PACKED, ".parquet"):
            self._packed = book.path
        else:
            size += book.bytes + book.licence
        self._progress.update(size / 1e6, split=book.split, tokens=tokens)

    def _finished(self, now: Path | None) -> int:
        """Bytes of the packed file before `now`, once."""
        last = self._packed
        if last is None or last == now:
            return 0
        self._packed = None
        return last.stat().st_size

    def close(self) -> None:
        """The last line."""
        self._progress.update(self._finished(None) / 1e6)
        self._progress.close()


class _Split:
    """One split as its books come in."""

    def __init__(self, folder: Path, dtype: np.dtype[Any], limit: int, bpe: Tokenizer) -> None:
        self._shards = _Shards(folder, dtype, limit)
        self._newline = np.asarray([bpe.newline], dtype)
        self.books: list[dict[str, Any]] = []

    @property
    def tokens(self) -> int:
        """Ids so far."""
        return self._shards.total

    @property
    def bytes(self) -> int:
        """Of the text that was used."""
        return sum(int(book["bytes"]) for book in self.books)

    def add(self, book: _Book) -> None:
        """Append a book's ids and delete its part."""
        if book.tokens and self.tokens:
            self._shards.write(self._newline)
        start = self.tokens
        self._shards.copy(book.part)
        book.part.unlink()
        if book.tokens:
            facts = {"tokens": book.tokens, "words": book.words, "bytes": book.bytes}
            self.books.append({"name": book.name, "start": start, **facts})

    def entry(self) -> dict[str, Any]:
        """The split's entry of the index."""
        return {
            "tokens": self.tokens,
            "words": sum(book["words"] for book in self.books),
            "bytes": self.bytes,
            "shards": self._shards.close(),
            "books": self.books,
        }


class _Shards:
    """Ids in files of at most `limit` tokens each, hashed while they are written."""

    def __init__(self, folder: Path, dtype: np.dtype[Any], limit: int) -> None:
        self.folder, self.dtype, self.limit = folder, dtype, limit
        self.total = 0
        self._entries: list[dict[str, Any]] = []
        self._hash = hashlib.sha256()
        self._room = 0
        self._file: Any = None

    def copy(self, part: Path) -> None:
        """Append the ids of a file."""
        with part.open("rb") as file:
            while block := file.read(self.dtype.itemsize << 20):
                self.write(np.frombuffer(block, self.dtype))

    def write(self, ids: npt.NDArray[Any]) -> None:
        """Append ids, beginning a new shard where one is full."""
        while len(ids):
            if not self._room:
                self._next()
            now, ids = ids[: self._room], ids[self._room :]
            data = now.tobytes()
            self._file.write(data)
            self._hash.update(data)
            self._room -= len(now)
            self.total += len(now)
            self._entries[-1]["tokens"] += len(now)

    def _next(self) -> None:
        self._finish()
        name = f"tokens-{len(self._entries):05d}.bin"
        self._file = (self.folder / name).open("wb")
        self._entries.append({"file": name, "tokens": 0})
        self._room = self.limit

    def _finish(self) -> None:
        if self._file:
            self._file.close()
            self._entries[-1]["sha256"] = self._hash.hexdigest()
            self._hash = hashlib.sha256()

    def close(self) -> list[dict[str, Any]]:
        """The shards' entries of the index."""
        self._finish()
        return self._entries


class TokenCorpus:
    """One split of a corpus, memory-mapped; checksums are verified by `open`.

    Attributes
    ----------
    books : int64 [n_books], where each book starts; `names` are the books' file names.
    tokenizer_id, vocab_size, newline : of the tokenizer that made it.
    words, bytes : of the text, for losses per word and per byte.
    """

    def __init__(
        self, shards: Sequence[npt.NDArray[Any]], index: dict[str, Any], split: str
    ) -> None:
        entry = index["splits"][split]
        self._shards = shards
        self._ends = np.cumsum([len(shard) for shard in shards])
        self.books: Ids = np.asarray([book["start"] for book in entry["books"]], np.int64)
        self.names: list[str] = [book["name"] for book in entry["books"]]
        self.tokenizer_id: str = index["tokenizer_id"]
        self.vocab_size: int = index["vocab_size"]
        self.newline: int = index["newline"]
        self.words: int = entry["words"]
        self.bytes: int = entry["bytes"]

    @classmethod
    def open(cls, folder: Path, split: str) -> TokenCorpus:
        """Map a split; raises `UserError` where a file is missing or not what was written."""
        index = read_json(folder / INDEX)
        if split not in index["splits"]:
            raise UserError(f"{folder}: no split `{split}`; there is {', '.join(index['splits'])}")
        dtype = np.dtype(index["dtype"]).newbyteorder("<")
        shards = []
        for shard in index["splits"][split]["shards"]:
            path = folder / split / shard["file"]
            if file_digest(path) != shard["sha256"]:
                raise UserError(
                    f"{path}: the checksum differs from {folder / INDEX};"
                    f" delete {folder} and make the corpus again"
                )
            shards.append(np.memmap(path, dtype, "r"))
        return cls(shards, index, split)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def tokens(self) -> npt.NDArray[Any]:
        """All ids: the memory map of a single shard; several are joined in memory."""
        return self._shards[0] if len(self._shards) == 1 else np.concatenate(self._shards)

    def read(self, start: int, length: int) -> Ids:
        """Ids [start, start + length) across shards as int64; fewer at the end."""
        out: Ids = np.empty(max(0, min(length, len(self) - start)), np.int64)
        done = 0
        shard = int(np.searchsorted(self._ends, start, side="right"))
        while done < len(out):
            begin = start + done - (int(self._ends[shard]) - len(self._shards[shard]))
            part = self._shards[shard][begin : begin + len(out) - done]
            out[done : done + len(part)] = part
            done += len(part)
            shard += 1
        return out

    def line_starts(self) -> npt.NDArray[Any]:
        """Positions right after a line break, and 0, in order (uint32 if that is enough)."""
        small = np.uint32 if len(self) < 1 << 32 else np.int64  # there may be many millions
        found = [np.zeros(1, small)]
        for offset, shard in self._with_offsets():
            for begin in range(0, len(shard), SCANNED):
                breaks = np.flatnonzero(shard[begin : begin + SCANNED] == self.newline)
                found.append((breaks + (offset + begin + 1)).astype(small))
        starts = np.concatenate(found)
        return starts[: int(np.searchsorted(starts, len(self)))]

    def _with_offsets(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        for end, shard in zip(self._ends, self._shards, strict=True):
            yield int(end) - len(shard), shard
