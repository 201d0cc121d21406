"""The data that a job read, in MLflow's terms: name, digest, where it came from, how much it is.

Nothing is guessed: where a folder is not what the job read any more (its run id is another), the
job gets no data set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gptbench.artifacts import MANIFEST, read_json
from gptbench.tracking.jobs import Job

# MLflow's limit is 36 characters; the whole digest is in the profile.
DIGEST_LENGTH = 32


@dataclass(frozen=True)
class Data:
    """One split of a data set. `context` is training, validation or test."""

    name: str
    context: str
    digest: str
    source_type: str
    source: dict[str, Any]
    profile: dict[str, Any]

    @property
    def short(self) -> str:
        """The digest as long as MLflow takes it."""
        return self.digest[:DIGEST_LENGTH]


def data_of(results: Path, job: Job) -> list[Data]:
    """The data sets of a job below `results/<scale>/`; empty where the stage reads none."""
    settings = job.manifest.get("settings", {})
    inputs = job.manifest.get("inputs", {})
    if job.stage == "pretrain" and "corpus" in inputs:
        folders = [results / "corpus", *sorted((results / "corpora").glob("*"))]
        for folder in folders:
            if _is(folder, inputs["corpus"]):
                return list(_corpus(folder, folder.name))
        return []
    if job.stage == "encode":
        return list(_splits(job.folder, settings.get("task", {}), None))
    if job.stage == "finetune" and isinstance(settings.get("task"), dict):
        task = settings["task"]
        folder = results / "tasks" / str(task.get("name"))
        if not _is(folder, inputs.get("task")):
            return []
        used = {task.get("train"), *(s for each in task.get("scored", {}).values() for s in each)}
        return [
            _fewer(data, settings.get("train_rows") if data.context == "training" else None)
            for data in _splits(folder, task, used)
        ]
    if job.stage == "zeroshot":
        found: list[Data] = []
        for task in settings.get("tasks", []):
            folder = results / "tasks" / str(task.get("name"))
            if _is(folder, inputs.get(f"tasks/{task.get('name')}")):
                used = {s for each in task.get("scored", {}).values() for s in each}
                most = read_json(folder / MANIFEST)["settings"].get("zeroshot_rows")
                found += [_fewer(data, most) for data in _splits(folder, task, used)]
        return found
    return []


def _is(folder: Path, run_id: Any) -> bool:
    """Whether the folder still holds what a job read."""
    path = folder / MANIFEST
    return run_id is not None and path.exists() and read_json(path).get("run_id") == run_id


def _splits(folder: Path, task: dict[str, Any], used: set[Any] | None) -> Iterator[Data]:
    path = folder / "facts.json"
    if not path.exists():
        return
    facts, manifest = read_json(path), read_json(folder / MANIFEST)
    # The encode job knows the files; zero-shot jobs carry a task without them.
    files = manifest.get("settings", {}).get("task", {}).get("files", {})
    for split, digest in facts.get("digest", {}).items():
        if used is not None and split not in used:
            continue
        rows, found = facts["rows"].get(split), facts.get("rows_found", {}).get(split)
        profile = {"rows": rows, "rows of the file": found, "sha256 of the file": digest}
        profile |= {"tokens": facts.get("tokens", {}).get(split)}
        profile |= {"labels": facts.get("labels", {}).get(split)}
        limits = manifest.get("settings", {}).get("limits")
        if rows != found:  # another draw of rows is other data
            digest = _hash(digest, json.dumps([limits, manifest["settings"].get("seed"), rows]))
        kind, source = _source(folder.parent.parent, str(task.get("name")), files.get(split))
        known = {key: value for key, value in profile.items() if value is not None}
        name = f"{facts['name']}/{split}"
        yield Data(name, context(split, task.get("train")), digest, kind, source, known)


def _fewer(data: Data, most: int | None) -> Data:
    """The data where a job takes at most that many rows of it."""
    if most is None or most >= data.profile["rows"]:
        return data
    digest = _hash(data.digest, f"{most} rows")
    return replace(data, digest=digest, profile={**data.profile, "rows": most})


def context(split: str, train: Any) -> str:
    """What a split is for: training, validation (development sets) or test."""
    if split == train or split.startswith("train"):
        return "training"
    return "test" if split.startswith("test") else "validation"


def _corpus(folder: Path, name: str) -> Iterator[Data]:
    index = read_json(folder / "index.json")
    results = folder.parent if folder.name == "corpus" else folder.parent.parent
    for split, part in index["splits"].items():
        shards = [shard["sha256"] for shard in part["shards"]]
        digest = shards[0] if len(shards) == 1 else _hash(*shards)
        books = part.get("books")
        profile = {
            "tokens": part["tokens"],
            "books": len(books) if isinstance(books, list) else books,
            "words": part.get("words"),
            "bytes": part.get("bytes"),
            "tokenizer": index.get("tokenizer_id"),
            "sha256 of the tokens": digest,
        }
        known = {key: value for key, value in profile.items() if value is not None}
        kind = "training" if split == "train" else "validation"
        source = {"source": origin(results), "shards": f"{folder.name}/{split}"}
        yield Data(f"{name}/{split}", kind, digest, origin(results), source, known)


def origin(results: Path) -> str:
    """Where a scale's data came from: world, hub or folder."""
    if (results / "world").is_dir():
        return "world"
    return "hub" if (results / "data" / "hub").is_dir() else "folder"


def _source(results: Path, task: str, file: Any) -> tuple[str, dict[str, Any]]:
    fetched = results / "data" / "hub" / task / MANIFEST
    if fetched.exists():
        hub = read_json(fetched)
        facts = {key: hub[key] for key in ("repository", "revision", "commits") if key in hub}
        return "hub", {"source": "hub", "file": file, **facts}
    kind = "world" if (results / "world").is_dir() else "folder"
    return kind, {"source": kind, "file": file}


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
