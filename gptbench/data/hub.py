"""Data sets of the Hugging Face hub, by the `datasets` library, as JSON lines in a folder.

`fetch` loads the splits that a task's entry names (`hub` in `config/tasks.yaml`) and writes
`hub/<task>/<split>.jsonl` below a folder, with a manifest; from there on the set is read as every
other file is (`fetched`). Code of a repository is never run.

A mirror is a folder with copies of the hub's repositories, as `hf download --repo-type dataset
--local-dir` makes them: `<mirror>/<owner>/<name>/<configuration>/<split>-*.parquet` (or
`<split>.parquet`). `HF_HUB_OFFLINE=1` reads what the library has in its cache (`HF_HOME`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gptbench.artifacts import MANIFEST, Run, atomic, file_digest, read_json
from gptbench.data.text_sets import asked
from gptbench.errors import UserError
from gptbench.progress import watched
from gptbench.settings import TEXTS, FetchJob, HubSettings, TaskSpec, nearest

FOLDER = "hub"
MIRROR, ORIGINAL = "give --mirror FOLDER", "use the original files"
HIDDEN = -1
"""What the hub puts where a label is hidden or missing."""


# What is where. ------------------------------------------------------------------------------


def fetched(task: TaskSpec) -> TaskSpec:
    """The task as its fetched files are read: JSON lines below `hub/<task>/`."""
    if task.hub is None:
        raise UserError(not_served(task))
    splits = [split for split in task.files if split in task.hub.splits]
    keys = [*TEXTS[task.format], *(["answers"] if task.format == "choice" else []), "label"]
    return task.model_copy(
        update={
            "parser": "jsonl",
            "columns": {key: key for key in keys},
            "files": {split: f"{FOLDER}/{task.name}/{split}.jsonl" for split in splits},
            "label_map": {},
            "split": {},
            "split_seed": 0,
            "ragged": False,
            "archives": [],
            "unlabelled": {},
            "unlabelled_columns": {},
            "layouts": {},
            "layout": None,
            "hub": None,
        }
    )


def as_found(task: TaskSpec, root: Path) -> TaskSpec:
    """The task as it lies below `root`: fetched from the hub, if it was, else as it is."""
    if task.hub and (root / FOLDER / task.name / MANIFEST).is_file():
        return fetched(task)
    return task


def not_served(task: TaskSpec) -> str:
    """What a person is told about a set that the hub does not have: what, from where, where to."""
    files = ", ".join(dict.fromkeys(task.files.values()))
    where = f" from {task.home}" if task.home else ""
    return (
        f"{task.name}: the hub does not serve this data set; get its files{where} (the page says"
        f" how, and whether a form is needed) and put them below the data folder as {files}"
    )


# Fetching. -----------------------------------------------------------------------------------


def fetch(job: FetchJob, out: Path) -> Path:
    """Load a task's splits and write them below `out`; the folder `out/hub/<task>`.

    Nothing is replaced before every split is loaded and checked. Raises `UserError` in one line
    for a set that the hub does not have, for no network, and for columns, labels or values that
    are not as the entry says.
    """
    task, hub = job.task, job.task.hub
    if hub is None:
        raise UserError(not_served(task))
    folder = out / FOLDER / task.name
    run = Run("fetch", job, {})
    commits: set[str] = set()
    rows: dict[str, int] = {}
    with ExitStack() as stack:
        cache = stack.enter_context(tempfile.TemporaryDirectory()) if job.mirror else None
        loaded = {split: _load(hub, split, job.mirror, cache) for split in fetched(task).files}
        temporary = stack.enter_context(atomic(folder))
        temporary.mkdir()
        for split, (data, commit) in loaded.items():
            where = f"{hub.repository} ({hub.splits[split]})"
            rows[split] = _write(temporary / f"{split}.jsonl", _rows(task, hub, data, where))
            commits |= {commit} if commit else set()
        run.finish(
            temporary,
            repository=hub.repository,
            revision=", ".join(sorted(commits)) or None,
            configurations=hub.splits,
            rows=rows,
            files={f"{s}.jsonl": file_digest(temporary / f"{s}.jsonl") for s in rows},
        )
        shutil.rmtree(folder, ignore_errors=True)
    return folder


def _load(
    hub: HubSettings, split: str, mirror: str | None, cache: str | None
) -> tuple[Any, str | None]:
    """One split as a `datasets.Dataset`, and the commit it is from (None for a mirror's)."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets

    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # each retry is a line else
    configuration, part = hub.splits[split].split("/")
    where = f"{hub.repository} ({configuration}, {part})"
    if mirror is not None:
        files = _mirrored(Path(mirror), hub, configuration, part)
        call: Callable[[], Any] = lambda: datasets.load_dataset(  # noqa: E731
            "parquet", data_files={part: files}, split=part, cache_dir=cache
        )
        return asked(call, where, MIRROR, ORIGINAL), None
    data = asked(
        lambda: datasets.load_dataset(
            hub.repository, configuration, split=part, revision=hub.revision
        ),
        where,
        MIRROR,
        ORIGINAL,
    )
    return data, _commit(data) or hub.revision


def _mirrored(mirror: Path, hub: HubSettings, configuration: str, part: str) -> list[str]:
    """The files of a split in a mirror, in order."""
    folder = mirror / hub.repository / configuration
    files = [
        *sorted(folder.glob(f"{part}-*.parquet")),
        *(path for path in [folder / f"{part}.parquet"] if path.is_file()),
    ]
    if not files:
        raise UserError(
            f"{folder}: no {part}-*.parquet; a mirror is a folder of copies of the hub's"
            f" repositories: hf download {hub.repository} --repo-type dataset --local-dir"
            f" {mirror / hub.repository}"
        )
    return [str(path) for path in files]


def _commit(data: Any) -> str | None:
    """The commit that the library downloaded: it stands in the names of the files it read."""
    for name in getattr(data.info, "download_checksums", None) or {}:
        if found := re.search(r"@([0-9a-f]{40})/", str(name)):
            return found[1]
    return None


# Rows. ---------------------------------------------------------------------------------------


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    """Write rows as JSON lines; how many there are."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _rows(task: TaskSpec, hub: HubSettings, data: Any, where: str) -> Iterator[dict[str, Any]]:
    """The rows of a split by the task's keys, labels by the task's names."""
    for key, column in hub.columns.items():
        if column not in data.column_names:
            raise UserError(
                f"{where}: no column `{column}` (hub.columns.{key} of {task.name}); found"
                f" {', '.join(data.column_names)}{nearest(column, data.column_names)}"
            )
    label = _labels(task, hub, data)
    for number, row in enumerate(watched(data, f"fetch: {where}", "rows"), 1):
        here = f"{where}, row {number}"
        found: dict[str, Any] = {}
        for key in TEXTS[task.format]:
            found[key] = _text(row[hub.columns[key]], here, hub.columns[key])
        if task.format == "choice":
            column = hub.columns["answers"]
            if not isinstance(row[column], list):
                raise UserError(f"{here}: `{column}` is no list of answers")
            found["answers"] = [_text(each, here, column) for each in row[column]]
        found["label"] = label(row[hub.columns["label"]], here)
        yield found


def _text(value: Any, where: str, column: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{where}: `{column}` holds no text but {value!r:.40}")
    return value


def _labels(task: TaskSpec, hub: HubSettings, data: Any) -> Callable[[Any, str], str]:
    """How a value of the hub's label column is written: the task's name, or nothing."""
    names = getattr(data.features[hub.columns["label"]], "names", None)
    classes = hub.labels or task.labels or []
    if names is not None and (missing := [each for each in classes if each not in names]):
        raise UserError(
            f"{hub.repository}: the class `{missing[0]}` (hub.labels of {task.name}) is none of"
            f" {', '.join(names)}"
        )
    mine = task.labels if task.labels is not None else [str(i) for i in range(len(classes))]

    def label(value: Any, where: str) -> str:
        if value is None or value in (HIDDEN, "-", ""):
            return ""
        if task.range is not None:
            return _shortest(value, where)
        if isinstance(value, int):
            order = names if names is not None else classes
            value = order[value] if 0 <= value < len(order) else value
        if value not in classes:
            raise UserError(f"{where}: label `{value}`, one of {', '.join(classes)} expected")
        return mine[classes.index(value)]

    return label


def _shortest(value: Any, where: str) -> str:
    """A score as it was before it was stored in 32 bits: 3.8, not 3.799999952316284."""
    import numpy as np

    if not isinstance(value, int | float):
        raise UserError(f"{where}: score `{value}`, a number expected")
    return str(np.float32(value))


def manifest(root: Path, task: str) -> dict[str, Any]:
    """What `fetch` wrote about a set."""
    data: dict[str, Any] = read_json(root / FOLDER / task / MANIFEST)
    return data
