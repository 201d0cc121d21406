"""Files of a distribution, read where they lie: plain, gzipped, or inside a zip or tar archive.

Nothing is ever unpacked to disk, so no archive can write anywhere; one that names files outside
itself is refused all the same. Every fault of a file is a `UserError` that names file and line.
"""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, cast

from gptbench.errors import UserError

MAX_BYTES = 1_000_000
"""Longest line, and largest single passage. The longest of the data sets has some 20,000 bytes;
a longer one is a damaged file, and would be cut to the context in any case."""

ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")
DAMAGED = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, RuntimeError, NotImplementedError, ValueError, struct.error),
    *(OverflowError, IndexError, KeyError, MemoryError),
)
"""What the readers of zip, tar and gzip raise for damaged bytes."""


class Text(NamedTuple):
    """A file's name for messages, and its lines with their line ends."""

    where: str
    lines: Iterator[str]


def split_source(source: str) -> tuple[str, list[str]]:
    """A `files` entry as file name and what is meant inside an archive or folder.

    >>> split_source("RACE.tar.gz:train/middle,train/high")
    ('RACE.tar.gz', ['train/middle', 'train/high'])
    """
    name, _, inside = source.partition(":")
    return name, [part.strip("/") for part in inside.split(",") if part]


def is_archive(name: str) -> bool:
    """Whether a file is a zip or tar archive, by its name."""
    return name.lower().endswith(ARCHIVES)


# Where a file is. ----------------------------------------------------------------------------


def kind(path: Path) -> str:
    """`file`, `folder`, or what keeps a path from being read: `is not there` and the like."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if path.is_symlink():
            return "is a symbolic link that leads nowhere or to itself"
        if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError):
            return "is not there"
        return f"cannot be read ({error.strerror})"
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "is neither a file nor a folder"


def state(path: Path) -> str:
    """As `kind`, as the end of a sentence."""
    found = kind(path)
    return f"is a {found}" if found in ("file", "folder") else found


def locate(root: Path, source: str, archives: Sequence[str] = ()) -> str | None:
    """The entry of `files` that leads to what is really there, or None.

    Tried in order: the file itself, the file with `.gz`, and the file inside one of `archives`,
    which lies in the same folder or in one above it. A leading folder may be left out
    (`MNLI/train.tsv` for `glue/MNLI/train.tsv`), as an archive unpacks without it.
    """
    name, inside = split_source(source)
    if is_archive(name):
        return source if kind(root / name) == "file" else None
    _, _, rest = name.partition("/")
    names = [name, rest] if "/" in rest else [name]
    for each in names:
        found = _in_folder(root, each, inside) if inside else _plain(root, each)
        if found:
            return found
    return _in_archive(root, name, inside, archives)


def _plain(root: Path, name: str) -> str | None:
    return next((each for each in (name, f"{name}.gz") if kind(root / each) == "file"), None)


def _in_folder(root: Path, name: str, inside: list[str]) -> str | None:
    found = []
    for part in inside:
        if kind(root / name / part) == "folder":
            found.append(part)
        elif plain := _plain(root / name, part):
            found.append(plain)
        else:
            return None
    return f"{name}:{','.join(found)}"


def _in_archive(root: Path, name: str, inside: list[str], archives: Sequence[str]) -> str | None:
    wanted = [f"{name}/{part}" for part in inside] or [name]
    for archive in archives:
        for folder in reversed(Path(name).parents):
            path = root / folder / archive
            if kind(path) != "file":
                continue
            members = [_best(names_in(path), each) for each in wanted]
            if None not in members:
                return f"{(folder / archive).as_posix()}:{','.join(map(str, members))}"
    return None


def _best(names: Sequence[str], wanted: str) -> str | None:
    """The member whose path ends most like `wanted`: its file name, and one folder at least."""
    parts = wanted.split("/")[::-1]
    best, length = None, min(len(parts), 2) - 1
    for name in names:
        other = name.split("/")[::-1]
        pairs = enumerate(zip(parts, other, strict=False))
        same = next((i for i, (a, b) in pairs if a != b), min(len(parts), len(other)))
        if same > length:
            best, length = name, same
    return best


def names_in(path: Path) -> tuple[str, ...]:
    """The plain files of an archive, in its order; raises `UserError` for a damaged one."""
    status = path.stat()
    return _names_in(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _names_in(path: Path, _changed: int, _size: int) -> tuple[str, ...]:
    with _faults(f"file {path.name}"):
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                found = [(each.filename, not each.is_dir()) for each in archive.infolist()]
        else:
            with tarfile.open(path, "r|*") as stream:
                found = [(each.name, each.isfile()) for each in stream]
    for name, _ in found:
        _refuse_outside(path.name, name)
    return tuple(name for name, plain in found if plain)


def _refuse_outside(archive: str, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    outside = parts[0] == "" or ".." in parts or re.fullmatch("[A-Za-z]:", parts[0])
    if outside or not name.isprintable():
        what = "a name outside the archive's own folder" if outside else "a name that is not text"
        raise UserError(
            f"file {archive}: it holds {name[:80]!a}, {what}; the archive is refused,"
            " get it again from its source"
        )


# Reading. ------------------------------------------------------------------------------------


def texts(root: Path, source: str) -> Iterator[Text]:
    """The files of an entry in turn, each as lines; raises `UserError` with file and line.

    A file is read as UTF-8, a byte order mark is dropped. The lines are read as they are asked
    for, and a file must be read to its end before the next.
    """
    name, inside = split_source(source)
    if is_archive(name):
        yield from _archived_texts(root / name, name, inside)
        return
    for each in [f"{name}/{part}" for part in inside] or [name]:
        where = f"file {each}"
        with _faults(where), _opened(root / each, where) as stream:
            yield Text(where, _lines(stream, where))


def _archived_texts(path: Path, name: str, inside: list[str]) -> Iterator[Text]:
    if kind(path) != "file":
        raise UserError(f"file {name} {state(path)}; an archive is expected")
    names = names_in(path)
    if not inside and len(names) != 1:
        raise UserError(f"file {name}: {len(names)} files in it; say which, `{name}:FILE`")
    for part in inside or names:
        member = part if part in names else _best(names, part)
        where = f"file {name}, {part}"
        if member is None or not f"/{member}".endswith(f"/{part}"):
            raise UserError(f"{where}: there is no such file in the archive; get it again")
        with _faults(where), _member(path, member) as stream:
            yield Text(where, _lines(stream, where))


@contextmanager
def _member(path: Path, name: str) -> Iterator[io.BufferedIOBase]:
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            yield _unzipped(cast("io.RawIOBase", file), name)
        return
    with tarfile.open(path, "r:*") as tar:
        found = tar.extractfile(name)
        if found is None:
            raise KeyError(name)
        yield _unzipped(cast("io.RawIOBase", found), name)


def _unzipped(stream: io.RawIOBase, name: str) -> io.BufferedIOBase:
    plain = io.BufferedReader(stream, 1 << 16)
    return gzip.GzipFile(fileobj=plain) if name.lower().endswith(".gz") else plain


@contextmanager
def _opened(path: Path, where: str) -> Iterator[io.BufferedIOBase]:
    if kind(path) != "file":
        raise UserError(f"{where} {state(path)}; a file is expected")
    with path.open("rb") as file:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile(fileobj=file) as unzipped:
                yield unzipped
        else:
            yield file


@contextmanager
def _faults(where: str) -> Iterator[None]:
    """Turn what the readers raise into one line; a `UserError` passes through."""
    try:
        yield
    except DAMAGED as error:
        raise _fault(where, error) from None


def _fault(where: str, error: BaseException) -> UserError:
    if isinstance(error, PermissionError):
        return UserError(f"{where}: no permission to read it; mend it with chmod u+r")
    if isinstance(error, OSError) and error.errno:
        return UserError(f"{where}: cannot be read ({os.strerror(error.errno)})")
    name = where.partition(", ")[0].lower()
    what = next((end for end in (".zip", ".gz") if name.endswith(end)), ".tar")
    what = "tar archive" if name.endswith(ARCHIVES[1:]) else {".zip": "zip archive"}.get(what, "")
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return UserError(f"{where}: not a whole {what or 'gzip file'} ({reason}); get it again")


def _lines(stream: io.BufferedIOBase, where: str) -> Iterator[str]:
    number = 0
    try:
        while raw := stream.readline(MAX_BYTES + 1):
            number += 1
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            if len(raw) > MAX_BYTES or b"\0" in raw:
                raise _unfit(raw, f"{where}, line {number}")
            try:
                line = raw.decode()
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{where}, line {number}: not UTF-8 text (byte 0x{raw[error.start]:02x});"
                    " convert the file to UTF-8"
                ) from None
            yield line
    except DAMAGED as error:
        raise _fault(f"{where}, after line {number}", error) from None


def _unfit(raw: bytes, where: str) -> UserError:
    if len(raw) > MAX_BYTES:
        return UserError(
            f"{where}: more than {MAX_BYTES:,} bytes in one line, and no row of a data set is as"
            " long; the file is damaged or has lost its line ends: get it again"
        )
    return UserError(
        f"{where}: it holds a NUL byte, as damaged files and UTF-16 do;"
        " get the file again or convert it to UTF-8"
    )


def passages(root: Path, source: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of every `.txt` file below the folders of an entry, as RACE has them.

    In the archive's order; of a folder, the files in the order of their numbers, which is the
    same of RACE's archive.
    """
    name, inside = split_source(source)
    path = root / name
    if is_archive(name):
        status = path.stat()
        for member, data in _archived_passages(path, name, status.st_mtime_ns, status.st_size):
            if any(f"/{folder}/" in f"/{member}" for folder in inside):
                yield f"file {name}, {member}", data
        return
    for folder in inside:
        where = f"file {name}/{folder}"
        with _faults(where):
            files = sorted((path / folder).glob("*.txt"), key=_numbered)
        for file in files:
            where = f"file {name}/{folder}/{file.name}"
            with _faults(where), _opened(file, where) as stream:
                data = stream.read(MAX_BYTES + 1)
            yield where, _small(data, where)


def _numbered(path: Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdecimal() else 0, path.name)


def _small(data: bytes, where: str) -> bytes:
    if len(data) > MAX_BYTES:
        raise UserError(f"{where}: more than {MAX_BYTES:,} bytes; no passage is as long")
    return data


@lru_cache(maxsize=1)
def _archived_passages(
    path: Path, name: str, _changed: int, _size: int
) -> tuple[tuple[str, bytes], ...]:
    """All of an archive, read once and in order, since its splits are asked for one by one."""
    found = []
    with _faults(f"file {name}"):
        if path.name.lower().endswith(".zip"):
            members = [each for each in names_in(path) if each.endswith(".txt")]
            with zipfile.ZipFile(path) as archive:
                for member in members:
                    with archive.open(member) as file:
                        data = file.read(MAX_BYTES + 1)
                    found.append((member, _small(data, f"file {name}, {member}")))
            return tuple(found)
        with tarfile.open(path, "r|*") as tar:
            for each in tar:
                _refuse_outside(name, each.name)
                if each.isfile() and each.name.endswith(".txt"):
                    content = tar.extractfile(each)
                    data = content.read(MAX_BYTES + 1) if content else b""
                    found.append((each.name, _small(data, f"file {name}, {each.name}")))
    return tuple(found)
