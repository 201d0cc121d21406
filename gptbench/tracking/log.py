"""Logging jobs to MLflow: the only module that imports it."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptbench.artifacts import MANIFEST, read_json
from gptbench.tracking.jobs import Job, pending
from gptbench.tracking.store import ENVIRONMENT, Away, Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from gptbench.tracking.sync import Summary

SOURCES = {"world": "synthetic world", "folder": "data from a folder", "hub": "data from the hub"}

# MLflow's limits a call; a call takes 1,000 entities in all.
METRICS_A_CALL = 1000
PARAMS_A_CALL = 100
# What is copied from the report's folder to the parent run.
REPORT_FILES = frozenset({".html", ".csv", ".md", ".tex", ".svg", ".png", ".json", ".yaml", ".txt"})
REPORT_FILE_BYTES = 20_000_000


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


def log_jobs(
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
            for job in pending(jobs, entry):
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
