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
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gptbench.artifacts import MANIFEST, Run, file_digest, read_json, write_json
from gptbench.data import text as texts
from gptbench.data.books import blocks, book_files, digest_of, in_order
from gptbench.data.tokenizer import SPECIAL, Tokenizer
from gptbench.errors import UserError
from gptbench.progress import Progress
from gptbench.settings import CorpusJob

INDEX = "index.json"
SPLITS = ("train", "validation")

Ids = npt.NDArray[np.int64]


class _Book(NamedTuple):
    """One encoded book: its tokens are in the file `part`."""

    name: str
    part: Path
    tokens: int
    words: int
    bytes: int


def run(job: CorpusJob, books: Path, tokenizer: Path, out: Path) -> None:
    """The stage `corpus`: every book of `books`/{train,validation} as ids below `out`.

    Memory stays bounded by the tokenizer's cache and a block of text, whatever the size of the
    corpus. Raises `UserError` where books are missing or not UTF-8.
    """
    bpe = Tokenizer.load(tokenizer)
    files = {split: book_files(books, split) for split in SPLITS}
    digests = {f"books/{split}": digest_of(files[split]) for split in SPLITS}
    stage = Run("corpus", job, {"tokenizer": bpe.id, **digests})
    out.mkdir(parents=True, exist_ok=True)
    for stale in (MANIFEST, INDEX):
        (out / stale).unlink(missing_ok=True)
    dtype = number_type(bpe.vocab_size)
    size = sum(path.stat().st_size for paths in files.values() for path in paths)
    start = time.perf_counter()
    texts.words("warm")  # spaCy is imported once, before processes fork
    progress = Progress(size / 1e6, "corpus", "MB")
    splits = {
        split: _write_split(paths, bpe, dtype, job, out / split, progress)
        for split, paths in files.items()
    }
    progress.close()
    seconds = time.perf_counter() - start
    index = {
        "tokenizer_id": bpe.id,
        "vocab_size": bpe.vocab_size,
        "newline": bpe.newline,
        "dtype": dtype.name,
        "splits": splits,
    }
    write_json(out / INDEX, index)
    tokens = sum(split["tokens"] for split in splits.values())
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
    begun = False
    for block in blocks(path):
        ids = bpe.encode(block)
        if ids and begun:
            ids.insert(0, bpe.newline)
        begun = begun or bool(ids)
        yield Block(ids, len(block.split()), len(block.encode()))


def _encode_book(path: Path, bpe: Tokenizer, dtype: np.dtype[Any], folder: Path) -> _Book:
    """Write one book's ids to a file of its own in `folder`."""
    part = folder / f"{path.name}.part"
    tokens = words = size = 0
    with part.open("wb") as file:
        for block in encoded_blocks(path, bpe):
            size += block.bytes
            words += block.words
            tokens += len(block.ids)
            np.asarray(block.ids, dtype).tofile(file)
    return _Book(path.name, part, tokens, words, size)


def _write_split(
    paths: Sequence[Path],
    bpe: Tokenizer,
    dtype: np.dtype[Any],
    job: CorpusJob,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Encode the books of one split; returns its entry of the index."""
    shutil.rmtree(folder, ignore_errors=True)
    parts = folder / ".parts"
    parts.mkdir(parents=True)
    shards = _Shards(folder, dtype, job.corpus.shard_tokens)
    entries: list[dict[str, Any]] = []
    encode = partial(_encode_book, bpe=bpe, dtype=dtype, folder=parts)
    with in_order(encode, paths, job.corpus.workers) as books:
        for book in books:
            if book.tokens and shards.total:
                shards.write(np.asarray([bpe.newline], dtype))
            start = shards.total
            shards.copy(book.part)
            book.part.unlink()
            progress.update(book.bytes / 1e6, split=folder.name, tokens=shards.total)
            if book.tokens:
                facts = {"tokens": book.tokens, "words": book.words, "bytes": book.bytes}
                entries.append({"name": book.name, "start": start, **facts})
    parts.rmdir()
    if not entries:
        raise UserError(f"{paths[0].parent}: the books hold no text")
    return {
        "tokens": shards.total,
        "words": sum(entry["words"] for entry in entries),
        "bytes": sum(entry["bytes"] for entry in entries),
        "shards": shards.close(),
        "books": entries,
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

    def line_starts(self) -> Ids:
        """Positions right after a line break, and 0, in order."""
        found = [np.zeros(1, np.int64)]
        for offset, shard in self._with_offsets():
            found.append(np.flatnonzero(shard == self.newline).astype(np.int64) + offset + 1)
        starts = np.concatenate(found)
        return starts[starts < len(self)]

    def _with_offsets(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        for end, shard in zip(self._ends, self._shards, strict=True):
            yield int(end) - len(shard), shard
