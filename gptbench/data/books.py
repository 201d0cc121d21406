"""Books from files: plain text, JSON lines or parquet, as they are or packed (.gz, .zst).

A folder has `train` and `validation`, or holds all books, which are then split by whole books.
A text file is a book; of the other forms each row is one, or rows are lines of one long text.
Everything is read some megabytes at a time, whatever the size of a file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import multiprocessing
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gptbench.artifacts import digest, file_digest
from gptbench.data import text as texts
from gptbench.errors import UserError
from gptbench.progress import watched
from gptbench.settings import CorpusSettings, nearest

BLOCK = 1 << 22
"""Bytes of text at a time; also a block of rows that have no book boundaries."""
SPLITS = ("train", "validation")
FORMS = (".txt", ".jsonl", ".parquet")
PACKED = (".gz", ".zst")

A = TypeVar("A")
B = TypeVar("B")


class Book(NamedTuple):
    """A book, or a block of rows: its text is `data` (UTF-8), or the whole file at `path`."""

    name: str
    path: Path
    data: bytes | None = None


# Files. --------------------------------------------------------------------------------------


class Collection(NamedTuple):
    """The files of a corpus by split (`train`, `validation`; or `all`, to be split by books).

    `digests` names what is in them, `origin` where they come from if not from a folder.
    """

    files: dict[str, list[Path]]
    digests: dict[str, str]
    origin: dict[str, Any] | None = None

    @property
    def training_books(self) -> int | None:
        """How many books are trained on; None where a file may hold many, or some are held out."""
        files = self.files.get("train")
        many = (".jsonl", ".parquet", *PACKED)
        if files is None or any(path.suffix.lower() in many for path in files):
            return None
        return len(files)

    @property
    def size(self) -> int:
        """Bytes of all files, as they lie there."""
        return sum(path.stat().st_size for paths in self.files.values() for path in paths)


def collect(books: Path, settings: CorpusSettings) -> Collection:
    """The files that a corpus is made from; raises `UserError` where there are none."""
    if settings.source is not None:
        from gptbench.data import text_sets

        files, origin = text_sets.files_of(settings.source)
        return Collection({"all": files}, {settings.source.repository: digest_of(files)}, origin)
    if settings.validation_share is not None:
        files = _books_in(books, "one book each or many")
        return Collection({"all": files}, {"books": digest_of(files)})
    found = {split: book_files(books, split) for split in SPLITS}
    return Collection(found, {f"books/{split}": digest_of(found[split]) for split in SPLITS})


def book_files(books: Path, split: str) -> list[Path]:
    """The files of a split, sorted by name; raises `UserError` where there are none."""
    what = "(train/ to learn from, validation/ for held-out books)"
    return _books_in(books / split, f"one book each, named *.txt {what}")


def _books_in(folder: Path, what: str) -> list[Path]:
    files = [path for path in (folder.iterdir() if folder.is_dir() else ()) if is_book(path)]
    if not files:
        state = "has no books" if folder.is_dir() else "is missing"
        raise UserError(
            f"{folder}: the folder {state}; put plain-text UTF-8 files there, {what};"
            " .jsonl and .parquet, and .gz and .zst of them, are read as well"
        )
    return sorted(files)


def is_book(path: Path) -> bool:
    """Whether a file is read: by the end of its name."""
    return form(path) in FORMS and not path.name.startswith(".") and path.is_file()


def form(path: Path) -> str:
    """`.txt`, `.jsonl` or `.parquet`, whether packed or not; any other end as it is."""
    end = path.suffix.lower()
    if end not in PACKED:
        return end
    inner = Path(path.stem).suffix.lower()
    return end if inner == ".parquet" else inner or ".txt"


def digest_of(files: Sequence[Path]) -> str:
    """A digest over names and contents."""
    return digest(*(f"{path.parent.name}/{path.name} {file_digest(path)}" for path in files))


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """A file's bytes, unpacked as they are read; raises `UserError` where it is not whole."""
    end = path.suffix.lower()
    try:
        if end == ".gz":
            with gzip.open(path) as packed:
                yield packed
        elif end == ".zst":
            import pyarrow as pa

            with pa.input_stream(str(path), compression="zstd") as packed:
                yield io.BufferedReader(packed, 1 << 20)
        else:
            with path.open("rb") as file:
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _not_whole(path, error) from None
    except OSError as error:
        if end == ".zst" and error.errno is None:
            raise _not_whole(path, error) from None
        raise UserError(f"{path}: {error.strerror}") from None


def _not_whole(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()).rstrip(".")
    return UserError(f"{path}: not a whole {path.suffix} file ({reason}); get it again")


# Books. --------------------------------------------------------------------------------------


def books_of(path: Path, settings: CorpusSettings) -> Iterator[Book]:
    """The books of a file: itself, its rows, or blocks of its rows."""
    if form(path) == ".txt":
        yield Book(path.name, path)
        return
    read = _parquet_rows if form(path) == ".parquet" else _jsonl_rows
    rows = read(path, settings.text_field)
    if settings.rows == "book":
        yield from (Book(f"{path.name}:{number}", path, data) for number, data in rows)
    else:
        yield from _row_blocks(path, rows)


def _row_blocks(path: Path, rows: Iterator[tuple[int, bytes]]) -> Iterator[Book]:
    """Rows as lines, in blocks that end with a row."""
    held: list[bytes] = []
    first = size = number = 0
    for number, data in rows:
        first = first if held else number
        held.append(data)
        size += len(data) + 1
        if size >= BLOCK:
            yield Book(f"{path.name}:{first}-{number}", path, b"\n".join(held))
            held, size = [], 0
    if held:
        yield Book(f"{path.name}:{first}-{number}", path, b"\n".join(held))


def _jsonl_rows(path: Path, field: str) -> Iterator[tuple[int, bytes]]:
    """Line number and text of each row; rows without a text (null) are passed over."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise UserError(_not_utf8(where, line[error.start])) from None
            except (ValueError, RecursionError):
                raise UserError(f"{where}: not JSON; one object a line expected") from None
            if not isinstance(row, dict):
                raise UserError(f"{where}: not a JSON object; one a line expected")
            if field not in row:
                raise _no_field(where, field, list(row))
            if row[field] is not None:
                yield number, _utf8(row[field], where, field)


def _parquet_rows(path: Path, field: str) -> Iterator[tuple[int, bytes]]:
    """Row number, from 1, and text of each row, read some rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            names = file.schema_arrow.names
            if field not in names:
                raise _no_field(str(path), field, names)
            kind = file.schema_arrow.field(field).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise UserError(f"{path}: the column `{field}` holds {kind}, text expected")
            number = 0
            for batch in file.iter_batches(
                _rows_at_once(file, names.index(field)), columns=[field]
            ):
                for value in batch.column(0):
                    number += 1
                    if value.is_valid:
                        yield number, _utf8(value.as_py(), f"{path}, row {number}", field)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(f"{path}: {error.strerror}") from None
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a whole parquet file ({reason}); get it again") from None


def _rows_at_once(file: Any, column: int) -> int:
    """Rows of about a block of text together, by the largest row group's mean."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    means = [g.column(column).total_uncompressed_size / max(1, g.num_rows) for g in groups]
    return max(1, min(1 << 16, int(BLOCK / max([1.0, *means]))))


def _utf8(value: Any, where: str, field: str) -> bytes:
    if not isinstance(value, str):
        raise UserError(f"{where}: `{field}` is {type(value).__name__}, a text expected")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise UserError(f"{where}: `{field}` has half a surrogate pair; mend the row") from None


def _no_field(where: str, field: str, names: list[str]) -> UserError:
    return UserError(
        f"{where}: no field `{field}` (corpus.text_field); found"
        f" {', '.join(names)}{nearest(field, names)}"
    )


def _not_utf8(where: str, byte: int) -> str:
    return f"{where}: not UTF-8 text (byte 0x{byte:02x}); save the book as UTF-8"


# Text. ---------------------------------------------------------------------------------------


def blocks(book: Path | Book, size: int | None = None) -> Iterator[str]:
    """The text of a book in whole lines, about `size` bytes at a time, each repaired by itself.

    Raises `UserError` with the line where the file is not UTF-8 or not whole.
    """
    if isinstance(book, Path):
        book = Book(book.name, book)
    with opened(book.path) if book.data is None else io.BytesIO(book.data) as file:
        number = 1
        while lines := file.readlines(size or BLOCK):
            data = b"".join(lines)
            try:
                yield data.decode("utf-8")
            except UnicodeDecodeError as error:
                line = number + data.count(b"\n", 0, error.start)
                where = f"{book.path}, line {line}"
                raise UserError(_not_utf8(where, data[error.start])) from None
            number += len(lines)


_MARK = re.compile(
    r"^[ \t]*(?:"
    # The title may go on in the next lines; the mark ends with three asterisks.
    r"(?P<start>\*{3} ?START OF TH(?:E|IS) PROJECT GUTENBERG"
    r"(?:(?:(?!\n\s*\n)[^*]){0,300}\*{3})?|\*END\*? ?THE SMALL PRINT!)"
    r"|\*{3} ?END OF TH(?:E|IS) PROJECT GUTENBERG"
    r"|End of (?:the |this )?Project Gutenberg"
    r")[^\n]*(?:\n|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
_GUTENBERG = re.compile("project gutenberg|small print!", re.IGNORECASE)


def without_licence(found: Iterable[str]) -> Iterator[str]:
    """Blocks of a book without what stands around the text in a file of Project Gutenberg.

    Left out is what is before a START mark (searched in the first block) and what comes after an
    END mark, the marks included. A book without marks stays as it is.
    """
    inside: bool | None = None
    for block in found:
        marks = list(_MARK.finditer(block)) if _GUTENBERG.search(block) else []
        header = inside is None
        if inside is None:
            inside = not marks or marks[0]["start"] is None
        kept, begin = [], 0
        for mark in marks:
            starts = mark["start"] is not None
            if inside and not (starts and header):  # two STARTs in a row: both are the header's
                kept.append(block[begin : mark.start()])
            begin, inside = mark.end(), starts
        if inside:
            kept.append(block[begin:])
        if text := "".join(kept):
            yield text


def text_of(book: Path | Book, strip_licence: bool) -> Iterator[str]:
    """The blocks of a book's text that are used."""
    return without_licence(blocks(book)) if strip_licence else blocks(book)


# Which books. --------------------------------------------------------------------------------


class Chosen(NamedTuple):
    """The split of each book by its place in the collection; None for one that is left out.

    `repeated` names the books left out because an earlier one has the same text.
    """

    splits: list[str | None] | None
    repeated: list[str]


def placed(collection: Collection, settings: CorpusSettings) -> Iterator[tuple[str, Book]]:
    """All books in order, each with its split as the folders have it."""
    for split, files in collection.files.items():
        for path in files:
            for book in books_of(path, settings):
                yield split, book


def chosen(collection: Collection, settings: CorpusSettings) -> Chosen:
    """Repeated books taken out, and all books split where the folders do not.

    Costs one reading of the collection; none where neither is asked for. A held-out book stays
    where a training book has the same text.
    """
    if not settings.deduplicate and "all" not in collection.files:
        return Chosen(None, [])
    known = list(placed_facts(collection, settings))
    splits: list[str | None] = [split if found else None for split, _, found in known]
    repeated = _repeated(known) if settings.deduplicate else []
    for place in repeated:
        splits[place] = None
    if "all" in collection.files:
        splits = _drawn(known, splits, settings)
    return Chosen(splits, [known[place][1] for place in repeated])


def placed_facts(
    collection: Collection, settings: CorpusSettings
) -> Iterator[tuple[str, str, str]]:
    """Split, name and digest of the text of each book; no digest where there is no text."""
    facts = partial(_facts, strip_licence=settings.strip_licence)
    with in_order(facts, placed(collection, settings), settings.workers) as found:
        yield from found


def _facts(item: tuple[str, Book], strip_licence: bool) -> tuple[str, str, str]:
    """The digest is of the words alone: case, white space and forms of letters do not count."""
    split, book = item
    hashed = hashlib.sha256()
    empty = True
    for block in text_of(book, strip_licence):
        words = unicodedata.normalize("NFKC", block).casefold().replace("\ufeff", "").split()
        if words:
            hashed.update(("" if empty else " ").encode() + " ".join(words).encode())
            empty = False
    return split, book.name, "" if empty else hashed.hexdigest()[:32]


def _repeated(known: Sequence[tuple[str, str, str]]) -> list[int]:
    """Places of the books whose text an earlier book has, held-out books being the earliest."""
    order = sorted(range(len(known)), key=lambda i: (known[i][0] != "validation", i))
    seen: set[str] = set()
    places = []
    for i in order:
        found = known[i][2]
        if found in seen:
            places.append(i)
        elif found:
            seen.add(found)
    return sorted(places)


def _drawn(
    known: Sequence[tuple[str, str, str]], splits: Sequence[str | None], settings: CorpusSettings
) -> list[str | None]:
    """`validation` for the share of the books that the seed draws, by their names."""
    there = [i for i, split in enumerate(splits) if split is not None]
    if len(there) < 2:
        raise UserError(
            f"corpus: {len(there)} books with text, 2 needed to hold one out"
            " (corpus.validation_share); give more books or folders train and validation"
        )
    count = round((settings.validation_share or 0) * len(there))
    there.sort(key=lambda i: digest(str(settings.seed), known[i][1]))
    held_out = set(there[: min(max(1, count), len(there) - 1)])
    return [
        split and ("validation" if i in held_out else "train") for i, split in enumerate(splits)
    ]


def training_books(collection: Collection, settings: CorpusSettings) -> Iterator[Book]:
    """The books of the training split alone, in order."""
    splits = chosen(collection, settings).splits  # now: it has processes of its own
    return (
        book
        for place, (split, book) in enumerate(placed(collection, settings))
        if (split if splits is None else splits[place]) == "train"
    )


# Counting. -----------------------------------------------------------------------------------


def _chunks_of(book: Path | Book, strip_licence: bool) -> Counter[str]:
    counted: Counter[str] = Counter()
    for block in text_of(book, strip_licence):
        counted.update(texts.fix(block).split())
    return counted


def count_chunks(
    books: Iterable[Path | Book],
    workers: int,
    strip_licence: bool = False,
    total: int | None = None,
) -> Counter[str]:
    """How often each run of characters between white space occurs, over all books.

    `total` is the number of books, if it is known.
    """
    if total is None and isinstance(books, Sized):
        total = len(books)
    found: Counter[str] = Counter()
    with in_order(partial(_chunks_of, strip_licence=strip_licence), books, workers) as counters:
        for counted in watched(counters, "tokenizer", "books", total):
            found.update(counted)
    return found


_work: Callable[[Any], Any] | None = None


def _do(item: Any) -> Any:
    assert _work is not None
    return _work(item)


@contextmanager
def in_order(function: Callable[[A], B], items: Iterable[A], workers: int) -> Iterator[Iterable[B]]:
    """`map(function, items)` over forked processes, results in the order of the items.

    The processes inherit `function` with all that it holds; only items and results travel. Large
    items are made about as quickly as they are worked off: they wait for room in a pipe.
    """
    global _work
    workers = min(workers, len(items)) if isinstance(items, Sized) else workers
    if workers <= 1:
        yield map(function, items)
        return
    _work = function
    try:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            yield pool.imap(_do, items)
    finally:
        _work = None
