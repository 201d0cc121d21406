"""The view in MLflow of what the result files say; no other module knows MLflow.

Files are the truth: jobs write their results to files, and `sync` logs afterwards, in one
process, whatever is not logged yet. Nothing is lost when a server is away.

A scale is one experiment (`gptbench/<scale>`), a reproduction one parent run in it, and every
job a run nested under that. Runs carry our own id as the tag `gptbench.run_id`. A ledger
beside the results (`tracking.json`) says what is logged where, so that a sync with nothing
new ends without importing MLflow.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import re
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gptbench.artifacts import MANIFEST, read_json, write_json
from gptbench.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

LEDGER = "tracking.json"
DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"

# Where jobs leave their manifests, below results/<scale>/, and the stage that each belongs to.
PATTERNS = (
    ("world", "world/world.json"),
    ("tokenizer", "tokenizer/manifest.json"),
    ("corpus", "corpus/manifest.json"),
    ("encode", "tasks/*/manifest.json"),
    ("pretrain", "pretrain/*/seed*/manifest.json"),
    ("finetune", "finetune/*/*/pre*-seed*/manifest.json"),
    ("zeroshot", "zeroshot/*/seed*/manifest.json"),
)
SOURCES = {"world": "synthetic world", "folder": "data from a folder", "hub": "data from the hub"}

# MLflow's limits a call, and for the lengths of values. A call takes 1,000 entities in all.
METRICS_A_CALL = 1000
PARAMS_A_CALL = 100
VALUE_LENGTH = 6000
KEY_LENGTH = 250
# A longer curve is thinned evenly; curves.csv has every point.
POINTS_A_CURVE = 2000
# What is copied from the report's folder to the parent run.
REPORT_FILES = frozenset({".html", ".csv", ".md", ".tex", ".svg", ".png", ".json", ".yaml", ".txt"})
REPORT_FILE_BYTES = 20_000_000
# Keys of metrics.json that say which run it is; they are tags or params, not metrics.
IDENTITY = frozenset({"run_id", "variant", "model", "task", "seed", "pretrain_seed", "lm_coef"})
LOCK_SECONDS = 600

ENVIRONMENT = {
    # MLflow sends usage data unless told not to, and prints a link for each run.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # A server that is away should be noticed within seconds, not minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


@dataclass
class Summary:
    """What a sync did: runs logged now, runs that were there, and why it stopped, if it did."""

    scale: str
    uri: str
    logged: int = 0
    known: int = 0
    superseded: int = 0
    seconds: float = 0.0
    away: str | None = None

    def line(self) -> str:
        """One line for the terminal."""
        if self.away:
            return self.away
        if not self.logged:
            return f"MLflow: nothing new ({self.known} runs of {self.scale} are logged)"
        replaced = f", {self.superseded} replaced" if self.superseded else ""
        return (
            f"MLflow: {self.logged} runs of {self.scale} logged in {self.seconds:.1f} s "
            f"({self.known} were there{replaced}); look at them with `make ui`"
        )


@dataclass(frozen=True)
class Job:
    """A finished job as its manifest tells it. `key` is its folder relative to the scale's."""

    key: str
    stage: str
    folder: Path
    manifest: dict[str, Any] = field(repr=False)

    @property
    def run_id(self) -> str:
        """Our own id of the run."""
        return str(self.manifest["run_id"])

    @property
    def started(self) -> float:
        """When the job started, in seconds of the epoch; tells a repetition from the run before."""
        return float(self.manifest["started"])

    @property
    def ended(self) -> float:
        """When the job ended."""
        return self.started + float(self.manifest.get("seconds", 0))

    @property
    def name(self) -> str:
        """A name for people, such as `finetune full mnli pre0 seed1`."""
        words = self.key.split("/")[1:]
        if words and self.stage in ("pretrain", "finetune", "zeroshot"):
            words = [*words[:-1], *words[-1].split("-")]
        return " ".join([self.stage, *words])

    def tags(self, scale: str, parent: str) -> dict[str, str]:
        """The tags of the MLflow run."""
        settings = self.manifest.get("settings", {})
        task = settings.get("task")
        tags: dict[str, Any] = {
            "mlflow.parentRunId": parent,
            "mlflow.source.name": f"gptbench {self.stage}",
            "mlflow.source.git.commit": self.manifest.get("code"),
            "gptbench.run_id": self.run_id,
            "gptbench.scale": scale,
            "gptbench.stage": self.stage,
            "gptbench.folder": self.key,
            "gptbench.started": repr(self.started),
            "gptbench.commit": self.manifest.get("code"),
            "gptbench.variant": settings.get("variant"),
            "gptbench.model": settings.get("model"),
            "gptbench.task": task.get("name") if isinstance(task, dict) else task,
            "gptbench.seed": settings.get("seed"),
            "gptbench.pretrain_seed": settings.get("pretrain_seed"),
        }
        for group in ("inputs", "packages", "machine"):
            for name, value in (self.manifest.get(group) or {}).items():
                tags[_key(f"gptbench.{group}.{name}")] = value
        return {key: str(value)[:VALUE_LENGTH] for key, value in tags.items() if value is not None}

    def params(self) -> dict[str, str]:
        """The settings, flattened: `backbone.n_layer`, `finetune.lr`, ..."""
        return {
            _key(name): _text(value)[:VALUE_LENGTH]
            for name, value in _flatten(self.manifest.get("settings", {}), ".")
        }

    def metrics(self) -> list[tuple[str, float, int]]:
        """Curves by step, the final numbers, and the cost of the job: (name, value, step)."""
        found: dict[tuple[str, int], float] = {}
        curves = self.folder / "curves.csv"
        if curves.exists():
            for name, value, step in read_curves(curves):
                found[_key(name), step] = value
        final = self.folder / "metrics.json"
        if final.exists():
            data = read_json(final)
            last = data.get("steps")
            for name, value, step in final_metrics(data, last if _is_number(last) else 0):
                found[_key(name), step] = value
        for name, value in self.manifest.items():
            if _is_number(value) and name != "started":
                found[_key(f"job/{name}"), 0] = float(value)
        return [(name, value, step) for (name, step), value in found.items()]


def find_jobs(results: Path) -> list[Job]:
    """Every finished job below `results/<scale>/`, in the order of the stages."""
    jobs = []
    for stage, pattern in PATTERNS:
        for path in sorted(results.glob(pattern)):
            manifest = read_json(path)
            if isinstance(manifest, dict) and {"run_id", "started"} <= manifest.keys():
                key = path.parent.relative_to(results).as_posix()
                jobs.append(Job(key, stage, path.parent, manifest))
    return jobs


def read_curves(path: Path) -> Iterator[tuple[str, float, int]]:
    """The cells of a `curves.csv` as (column, value, step); empty cells are left out."""
    columns: dict[str, list[tuple[float, int]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                step = int(float(row.pop("step")))
                for name, cell in row.items():
                    if cell:
                        columns.setdefault(name, []).append((float(cell), step))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a table of numbers by `step` ({error!r:.80})") from None
    for name, points in columns.items():
        for value, step in thin(points, POINTS_A_CURVE):
            yield name, value, step


def thin(points: Sequence[tuple[float, int]], most: int) -> Sequence[tuple[float, int]]:
    """At most `most` points, evenly chosen; the first and the last are among them."""
    if len(points) <= most:
        return points
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def final_metrics(data: Mapping[str, Any], step: int) -> Iterator[tuple[str, float, int]]:
    """The numbers of a `metrics.json`: (name, value, step).

    Nested keys are joined by `/` (`scores/dev_matched/accuracy`). The rows of a zero-shot
    file carry their own step: `scores/<task>/<split>/<metric>`, `probes/<knowledge>`.
    """
    for name, value in data.items():
        if name in IDENTITY:
            continue
        if isinstance(value, list):
            for row in value:
                if isinstance(row, dict) and _is_number(row.get("value")):
                    parts = (row.get(k) for k in ("task", "split", "metric", "knowledge"))
                    path = "/".join([name, *(str(part) for part in parts if part is not None)])
                    yield path, float(row["value"]), int(row.get("step") or 0)
        else:
            for key, number in _flatten({name: value}, "/"):
                if _is_number(number) or isinstance(number, bool):
                    yield key, float(number), step


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _flatten(data: Mapping[str, Any], joint: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, joint, f"{prefix}{name}{joint}")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    """A name that MLflow takes: other characters become `_`."""
    return re.sub(r"[^\w./\- ]", "_", name)[:KEY_LENGTH]


# Where runs are logged to. ---------------------------------------------------------------------


@dataclass(frozen=True)
class Store:
    """A tracking store: its URI, its name in the ledger, and the database file of SQLite."""

    uri: str
    name: str
    database: Path | None
    artifacts: Path | None

    @classmethod
    def of(cls, root: Path, uri: str | None) -> Store:
        """The store that `uri` names; `mlflow.db` in `root` where none is given."""
        if not uri:
            database = root / DATABASE
            # Named apart from its path, so that a moved project still knows its runs.
            return cls(f"sqlite:///{database}", "default", database, root / ARTIFACTS)
        parts = urlsplit(uri)
        if parts.scheme.startswith("sqlite"):
            path = uri.split("?")[0].partition("://")[2].removeprefix("/")
            if not path:
                raise UserError(f"tracking_uri {uri}: names no file (sqlite:///PATH)")
            database = Path(path).absolute()
            artifacts = database.parent / ARTIFACTS
            return cls(f"sqlite:///{database}", str(database), database, artifacts)
        dialect = parts.scheme.split("+")[0]
        if dialect in ("http", "https", "postgresql", "mysql", "mssql") and parts.netloc:
            return cls(uri, _without_password(uri), None, None)
        raise UserError(
            f"tracking_uri {uri}: use http://HOST:PORT, sqlite:///PATH or another database's URI"
        )

    def holds(self, run: str) -> bool:
        """Whether the run still stands there, as far as can be told without MLflow."""
        if self.database is None:
            return True
        if not self.database.exists():
            return False
        try:
            with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as link:
                query = "select lifecycle_stage from runs where run_uuid = ?"
                return bool(link.execute(query, (run,)).fetchone() == ("active",))
        except sqlite3.Error:
            return False

    def check(self) -> None:
        """Raise `Away` at once where nothing listens, or the file is no database.

        MLflow itself would try again for minutes.
        """
        if self.database is not None and self.database.exists():
            with self.database.open("rb") as file:
                if file.read(16) not in (b"", b"SQLite format 3\0"):
                    raise Away("this file is no SQLite database")
        parts = urlsplit(self.uri)
        if parts.scheme not in ("http", "https"):
            return
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=3).close()
        except OSError as error:
            raise Away(error.strerror or str(error)) from None


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl().rstrip("/")


class Away(Exception):
    """The store can't be reached or used; the reason in a few words."""


# Syncing. --------------------------------------------------------------------------------------


def sync(results: Path, uri: str | None = None, *, best_effort: bool = False) -> Summary:
    """Log every finished job below `results` that is not logged yet, and print one line.

    Args:
        results: the folder of one scale, `results/<scale>`.
        uri: a tracking server or database; `results/mlflow.db` where none is given.
        best_effort: only report a failure, so that a reproduction does not fail by it.

    Raises:
        UserError: the store is away or unusable, unless `best_effort`.
    """
    results = results.absolute()
    summary = Summary(results.name, uri or DATABASE)
    start = time.perf_counter()
    try:
        if not results.is_dir():
            raise UserError(f"{results}: no such folder; --results takes results/<scale>")
        store = Store.of(results.parent, uri)
        summary.uri = store.name
        try:
            _sync(results, store, summary)
        except Away as away:
            again = f"gptbench track sync --results {_shown(results)}" + (
                f" --uri {store.name}" if uri else ""
            )
            where = store.name if uri else _shown(results.parent / DATABASE)
            reason = " ".join(str(away).split())[:200]
            raise UserError(
                f"MLflow at {where}: {reason}; nothing is lost, the results are in files. "
                f"Log them later with: {again}"
            ) from None
    except UserError as error:
        if not best_effort:
            raise
        summary.away = str(error)
    summary.seconds = time.perf_counter() - start
    print(summary.line(), flush=True)
    return summary


def _shown(path: Path) -> str:
    """The path as a person would type it from here."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _read_ledger(path: Path) -> dict[str, Any]:
    """The ledger; one that is broken counts as empty: what is logged is looked up instead."""
    try:
        data = json.loads(path.read_text("utf-8"))
        return data if isinstance(data.get("stores"), dict) else {"stores": {}}
    except (OSError, ValueError, AttributeError):
        return {"stores": {}}


def _report_mark(results: Path) -> list[Any] | None:
    """What tells one report from another; None without a report."""
    path = results / "report" / MANIFEST
    if not path.exists():
        return None
    manifest = read_json(path)
    return [manifest.get("run_id"), manifest.get("started")]


def _pending(jobs: Sequence[Job], entry: Mapping[str, Any]) -> list[Job]:
    """The jobs that the ledger's entry does not know."""
    runs = entry.get("runs", {})

    def known(job: Job) -> bool:
        run = runs.get(job.key)
        return bool(run and run["run_id"] == job.run_id and run["started"] == job.started)

    return [job for job in jobs if not known(job)]


def _sync(results: Path, store: Store, summary: Summary) -> None:
    jobs = find_jobs(results)
    mark = _report_mark(results)
    path = results / LEDGER
    entry = _read_ledger(path)["stores"].get(store.name, {})
    if not jobs and mark is None:
        return

    def nothing_new() -> bool:
        return (
            bool(entry)
            and entry.get("report") == mark
            and not _pending(jobs, entry)
            and store.holds(entry["parent"])
        )

    if nothing_new():
        summary.known = len(jobs)
        return
    from filelock import FileLock, Timeout

    try:
        store.check()
        # One process at a time: several that open a fresh SQLite database at once crash.
        lock_folder = store.database.parent if store.database else results
        lock_folder.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_folder / ".mlflow.lock", timeout=LOCK_SECONDS):
            ledger = _read_ledger(path)
            entry = ledger["stores"].setdefault(store.name, {})
            if nothing_new():
                summary.known = len(jobs)
                return
            if entry and not store.holds(entry.get("parent", "")):
                entry.clear()
            try:
                _log(results, store, jobs, mark, entry, summary)
            finally:
                if entry:
                    write_json(path, ledger)
    except Timeout:
        raise Away(f"another sync has held {lock_folder / '.mlflow.lock'} for too long") from None
    except OSError as error:
        raise Away(f"{error.strerror or error} ({error.filename or 'connection'})") from None


def _prepare() -> None:
    """Import MLflow, quietly and without its usage data; it takes seconds, so this comes last."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        import mlflow  # noqa: F401
    except ImportError as error:
        raise Away(f"mlflow can't be imported ({error})") from None


@contextmanager
def _one_flush(database: Path | None) -> Iterator[None]:
    """Flush SQLite's file to disk once at the end, not after each of many hundred transactions.

    A crash of this process loses nothing by it; a power cut within these seconds may cost the
    database, which `sync` makes again from the files.
    """
    if database is None:
        yield
        return
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def relax(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)
        if database.exists():
            with database.open("rb+") as file:
                os.fsync(file.fileno())


def _log(
    results: Path,
    store: Store,
    jobs: Sequence[Job],
    mark: list[Any] | None,
    entry: dict[str, Any],
    summary: Summary,
) -> None:
    _prepare()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        with _one_flush(store.database):
            logger = _Logger(MlflowClient(store.uri), store, results, entry)
            logger.open(jobs)
            for job in _pending(jobs, entry):
                summary.superseded += logger.log(job)
                summary.logged += 1
            summary.known = len(jobs) - summary.logged
            logger.close(jobs, mark)
    except MlflowException as error:
        raise Away(str(error)) from None
    except Exception as error:
        # Database and connection errors of the libraries below MLflow.
        if type(error).__module__.split(".")[0] in ("sqlalchemy", "alembic", "requests", "urllib3"):
            raise Away(str(error)) from None
        raise


class _Logger:
    """Logs one reproduction to one store; `entry` is its part of the ledger."""

    def __init__(
        self, client: MlflowClient, store: Store, results: Path, entry: dict[str, Any]
    ) -> None:
        self.client = client
        self.store = store
        self.results = results
        self.scale = results.name
        self.entry = entry

    def open(self, jobs: Sequence[Job]) -> None:
        """Find or create the experiment and the parent run."""
        experiment = self._experiment()
        parent = self._parent(experiment)
        if parent is None:
            self.entry.clear()
            tags = {"gptbench.scale": self.scale, "gptbench.stage": "reproduction"}
            start = min((job.started for job in jobs), default=time.time())
            run = self.client.create_run(
                experiment, int(start * 1000), {**tags, "gptbench.state": "incomplete"}, self.scale
            )
            parent = run.info.run_id
        self.entry.update(experiment=experiment, parent=parent)
        self.entry.setdefault("runs", {})
        self.entry.setdefault("report", None)
        self._look_up(experiment, parent)

    def _experiment(self) -> str:
        name = f"gptbench/{self.scale}"
        found = self.client.get_experiment_by_name(name)
        if found is None:
            place = self.store.artifacts
            return str(
                self.client.create_experiment(
                    name, (place / self.scale).as_uri() if place else None
                )
            )
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _parent(self, experiment: str) -> str | None:
        """The parent run, if it still stands there; a database of one's own is searched for it."""
        from mlflow.exceptions import MlflowException

        known = self.entry.get("parent")
        if known:
            with suppress(MlflowException):
                run = self.client.get_run(known)
                if run.info.lifecycle_stage == "active":
                    return str(known)
            return None
        if self.store.database is None:
            return None
        found = self.client.search_runs(
            [experiment], "tags.`gptbench.stage` = 'reproduction'", max_results=1
        )
        return str(found[0].info.run_id) if found else None

    def _look_up(self, experiment: str, parent: str) -> None:
        """Enter runs that the ledger misses; delete what a sync left half logged."""
        known = {run["mlflow"] for run in self.entry["runs"].values()}
        token = None
        while True:
            page = self.client.search_runs(
                [experiment],
                f"tags.`mlflow.parentRunId` = '{parent}'",
                max_results=1000,
                page_token=token,
            )
            for run in page:
                tags = run.data.tags
                if run.info.status == "RUNNING":
                    self.client.delete_run(run.info.run_id)
                elif run.info.run_id not in known and "gptbench.superseded" not in tags:
                    self.entry["runs"].setdefault(
                        tags.get("gptbench.folder", ""),
                        {
                            "run_id": tags.get("gptbench.run_id"),
                            "started": float(tags.get("gptbench.started", "0")),
                            "mlflow": run.info.run_id,
                        },
                    )
            token = page.token
            if not token:
                return

    def log(self, job: Job) -> bool:
        """Log a job as a nested run; returns whether it stands in for an earlier one."""
        from mlflow.entities import Metric, Param

        old = self.entry["runs"].get(job.key)
        if old and old["run_id"] == job.run_id and old["started"] == job.started:
            return False
        run = self.client.create_run(
            self.entry["experiment"],
            int(job.started * 1000),
            job.tags(self.scale, self.entry["parent"]),
            job.name,
        ).info.run_id
        end = int(job.ended * 1000)
        params = [Param(key, value) for key, value in job.params().items()]
        metrics = [Metric(key, value, end, step) for key, value, step in job.metrics()]
        # Both in the first call where they fit: one transaction less.
        room = METRICS_A_CALL - min(len(params), PARAMS_A_CALL)
        self.client.log_batch(run, metrics=metrics[:room], params=params[:PARAMS_A_CALL])
        for i in range(PARAMS_A_CALL, len(params), PARAMS_A_CALL):
            self.client.log_batch(run, params=params[i : i + PARAMS_A_CALL])
        for i in range(room, len(metrics), METRICS_A_CALL):
            self.client.log_batch(run, metrics=metrics[i : i + METRICS_A_CALL])
        self.client.set_terminated(run, "FINISHED", end)
        self.entry["runs"][job.key] = {
            "run_id": job.run_id,
            "started": job.started,
            "mlflow": run,
        }
        if old:
            self.client.set_tag(old["mlflow"], "gptbench.superseded", "true")
            self.client.set_tag(old["mlflow"], "gptbench.superseded_by", run)
        return bool(old)

    def close(self, jobs: Sequence[Job], mark: list[Any] | None) -> None:
        """Bring the parent run up to date: its name, its state, the report's files."""
        from mlflow.entities import RunTag

        parent = self.entry["parent"]
        manifest = read_json(self.results / "report" / MANIFEST) if mark else {}
        config = manifest.get("settings", {}).get("config", {})
        source = config.get("source")
        if source is None and (self.results / "world").is_dir():
            source = "world"
        name = " · ".join([self.scale, *([SOURCES[source]] if source in SOURCES else [])])
        tags = {
            "gptbench.state": "complete" if mark else "incomplete",
            "gptbench.run_id": manifest.get("run_id"),
            "gptbench.commit": manifest.get("code"),
            "mlflow.source.name": "gptbench reproduction",
            "mlflow.source.git.commit": manifest.get("code"),
            "mlflow.note.content": "\n\n".join(
                [config.get("title", ""), *config.get("notes", [])]
            ).strip(),
        }
        self.client.log_batch(
            parent, tags=[RunTag(key, str(value)) for key, value in tags.items() if value]
        )
        if mark and self.entry["report"] != mark:
            self._log_report(parent)
        ends = [job.ended for job in jobs]
        if mark and manifest.get("started"):
            ends.append(float(manifest["started"]) + float(manifest.get("seconds", 0)))
        self.client.update_run(parent, name=name)
        self.client.set_terminated(
            parent,
            "FINISHED" if mark else "FAILED",
            int(max(ends, default=time.time()) * 1000),
        )
        self.entry["report"] = mark

    def _log_report(self, parent: str) -> None:
        report = self.results / "report"
        for path in sorted(report.rglob("*")):
            if (
                path.is_file()
                and path.suffix in REPORT_FILES
                and path.stat().st_size <= REPORT_FILE_BYTES
            ):
                place = Path("report", path.parent.relative_to(report)).as_posix()
                self.client.log_artifact(parent, str(path), place)


# Looking at them. ------------------------------------------------------------------------------


def server_command(root: Path, port: int) -> list[str]:
    """The command that serves the database of a results folder on 127.0.0.1."""
    store = Store.of(root.absolute(), None)
    if store.database is None or not store.database.exists():
        raise UserError(
            f"{_shown(root.absolute() / DATABASE)}: nothing is logged yet; run `make reproduce` "
            f"or `gptbench track sync --results {_shown(root.absolute())}/SCALE`"
        )
    server = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    place = (root.absolute() / ARTIFACTS).as_uri()
    return [
        *server,
        *("--backend-store-uri", store.uri, "--default-artifact-root", place),
        *("--workers", "1"),
    ]


def server_environment() -> dict[str, str]:
    """The environment of a server: no usage data sent, no job workers beside it."""
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **{name: ENVIRONMENT[name] for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")},
        **os.environ,
    }


def ui(results_root: Path, port: int = 5000) -> None:
    """Serve the MLflow UI of `results_root`; does not return.

    Raises:
        UserError: nothing is logged yet, or the port is taken.
    """
    command = server_command(results_root, port)
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            link.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port}: {error.strerror}; choose another with --port") from None
    print(f"MLflow starts on http://127.0.0.1:{port} (Ctrl-C ends it) ...", flush=True)
    os.execve(command[0], command, server_environment())
