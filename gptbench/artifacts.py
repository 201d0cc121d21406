"""Files as the truth: atomic writes, digests, and the manifest beside every result."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gptbench.errors import UserError
from gptbench.settings import Settings

MANIFEST = "manifest.json"
PACKAGES = ("gptbench", "torch", "pytorch-lightning", "numpy", "scikit-learn", "tokenizers")


def unwritable(path: Path, error: OSError) -> UserError:
    """What a person is told where a file or folder can't be written."""
    return UserError(
        f"{path}: cannot be written ({error.strerror}); free space or mend the permissions"
    )


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that is renamed to it if the block ends well.

    Raises `UserError` naming the file where it can't be written (no space, no permission).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename and not str(error.filename).startswith(str(path.parent)):
            raise
        raise unwritable(path, error) from None
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, "utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write JSON with sorted keys, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; raises `UserError` where the file is missing or broken."""
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}: not JSON; delete the file and run again"
        ) from None


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; of a folder, of its files' names and bytes."""
    try:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file())
            names = [f"{each.relative_to(path).as_posix()} {file_digest(each)}" for each in inside]
            return hashlib.sha256("\n".join(names).encode()).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def digest(*parts: str) -> str:
    """SHA-256 of strings, shortened to 16 hexadecimal digits: the form of every id."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def run_id(settings: Settings, inputs: Mapping[str, str]) -> str:
    """The id of a run: a hash of its settings and of its inputs' ids, known before it starts."""
    return digest(settings.to_json(), json.dumps(dict(inputs), sort_keys=True))


def input_id(folder: Path) -> str:
    """The run id in the manifest of an earlier stage's folder."""
    return str(read_json(folder / MANIFEST)["run_id"])


@cache
def code_version() -> str:
    """The commit of the checkout (with `+` if it has changes), or the package's version."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != here.parent:
            raise OSError
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return package_versions()["gptbench"]


@cache
def package_versions() -> dict[str, str]:
    """Versions of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


@cache
def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def curve_columns(text: str, path: Path) -> dict[str, list[tuple[int, float]]]:
    """A table of curves by column: (update, value), without empty cells; it stands in `path`.

    Raises `UserError` where a cell is no number.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        try:
            step = int(row.pop("step"))
            for column, cell in row.items():
                if cell:
                    found.setdefault(column, []).append((step, float(cell)))
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"{path}: row {row} is no row of curves; delete the folder and run again"
            ) from None
    return found


class Run:
    """One job: opened at its start, `finish` writes the manifest beside its results."""

    def __init__(self, stage: str, settings: Settings, inputs: Mapping[str, str]) -> None:
        self.stage = stage
        self.settings = settings
        self.inputs = dict(inputs)
        self.id = run_id(settings, inputs)
        self._start = time.time()
        self._cpu = time.process_time()

    def facts(self) -> dict[str, Any]:
        """What is known from the start: id, settings, inputs, code, packages, machine."""
        return {
            "run_id": self.id,
            "stage": self.stage,
            "settings": self.settings.model_dump(mode="json"),
            "inputs": self.inputs,
            "code": code_version(),
            "packages": package_versions(),
            "machine": {"processor": processor(), "system": platform.platform()},
            "started": self._start,
        }

    def finish(self, folder: Path, name: str = MANIFEST, **facts: Any) -> None:
        """Write the manifest: id, settings, inputs, code, packages, machine, cost, `facts`."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        write_json(
            folder / name,
            {
                **self.facts(),
                "seconds": round(time.time() - self._start, 3),
                "cpu_seconds": round(time.process_time() - self._cpu, 3),
                "peak_memory_mb": round(peak / (1024 if sys.platform != "darwin" else 1024**2)),
                **facts,
            },
        )
