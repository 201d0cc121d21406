"""Text sets of the Hugging Face hub as local files, found by the `datasets` library.

Files are downloaded as they are into the hub's cache (`HF_HOME`) and read from there some
megabytes at a time; code of a repository is never run. With `HF_HUB_OFFLINE=1` what is in the
cache is used. A mirror is a folder with copies of repositories, as `hf download
--repo-type dataset --local-dir <mirror>/<owner>/<name>` makes them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from gptbench.data import books
from gptbench.errors import UserError
from gptbench.settings import CorpusSource

T = TypeVar("T")

MIRROR = "give corpus.source.mirror"
CONVERTED = (
    "take a repository of parquet files, or the hub's own conversion: corpus.source.revision:"
    " refs/convert/parquet"
)


def files_of(source: CorpusSource) -> tuple[list[Path], dict[str, Any]]:
    """The files of a split, and where they come from (repository, configuration, commit).

    Raises `UserError` in one line where the set cannot be had.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets

    where = f"{source.repository} ({source.config or 'default'}, {source.split})"
    commit = None
    if source.mirror is not None:
        folder = Path(source.mirror) / source.repository
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no such folder; a mirror holds copies of repositories: hf download"
                f" {source.repository} --repo-type dataset --local-dir {folder}"
            )
    else:
        folder = asked(lambda: _downloaded(source), where, MIRROR, CONVERTED)
        commit = folder.name
    builder = asked(
        lambda: datasets.load_dataset_builder(str(folder), source.config), where, MIRROR, CONVERTED
    )
    files = [Path(name) for name in _split(builder.config.data_files or {}, source, where)]
    for path in files:
        if books.form(path) not in books.FORMS:
            raise UserError(
                f"{where}: {path.name} is no text this reads; parquet, JSON lines (.jsonl) and"
                " .txt are, and the latter two as .gz or .zst"
            )
    return files, {**source.model_dump(mode="json", exclude={"mirror"}), "commit": commit}


_REMOTE = re.compile(r"hf://datasets/[^@]+@(?P<commit>[^/]+)/(?P<path>.+)")


def _downloaded(source: CorpusSource) -> Path:
    """The folder of the hub's cache that has the split's files; its name is the commit."""
    import datasets
    import huggingface_hub
    from huggingface_hub import constants

    revision, wanted = source.revision, None
    if not constants.HF_HUB_OFFLINE:
        builder = datasets.load_dataset_builder(
            source.repository, source.config, revision=source.revision
        )
        names = _split(builder.config.data_files or {}, source, source.repository)
        found = [match for name in names if (match := _REMOTE.fullmatch(name))]
        revision = found[0]["commit"] if found else revision
        wanted = ["README.md", *(match["path"] for match in found)]
    return Path(
        huggingface_hub.snapshot_download(
            source.repository, repo_type="dataset", revision=revision, allow_patterns=wanted
        )
    )


def _split(data_files: dict[Any, Any], source: CorpusSource, where: str) -> list[str]:
    by_name = {str(split): files for split, files in data_files.items()}
    if source.split not in by_name:
        found = ", ".join(by_name) or "no data files"
        raise UserError(f"{where}: no split `{source.split}` (corpus.source.split); found {found}")
    return [str(name) for name in by_name[source.split]]


def asked(call: Callable[[], T], where: str, mirror: str, files: str) -> T:
    """What the library answers; whatever it raises becomes one line that names the set.

    The library and those below it (hub client, http, parquet) raise errors of many kinds with
    no common base, and all mean the same to a person: the set cannot be had so. `mirror` says how
    a copy is given, `files` what to take in place of a set that is code.
    """
    try:
        return call()
    except UserError:
        raise
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        texts = (" ".join(str(each).split()) or type(each).__name__ for each in (error, cause))
        reasons = "; ".join(dict.fromkeys(text[:200] for text in texts))
        raise UserError(f"{where}: {reasons}{_mend(reasons, mirror, files)}") from None


def _mend(reasons: str, mirror: str, files: str) -> str:
    """How a failed load is mended, as far as it can be told."""
    if "scripts are no longer supported" in reasons:
        return f" (the hub has it as code only, which is never run: {files})"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return f" (HF_HUB_OFFLINE is set and it is not in the cache: unset it, or {mirror})"
    if re.search(r"[Cc]onnect|resolve|retries|[Tt]imed? ?out|reach", reasons):
        return f" (the hub cannot be reached: check the network, or {mirror})"
    return ""
