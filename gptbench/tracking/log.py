"""Logging jobs to MLflow; this module and those that it hands its client to alone import it.

One experiment a scale. In it a run for the reproduction, below that one for each stage with the
sums of its jobs, below those the jobs: MLflow's pages show nesting within one experiment only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptbench.artifacts import MANIFEST, read_json
from gptbench.errors import UserError
from gptbench.tracking import page
from gptbench.tracking.connection import connected
from gptbench.tracking.datasets import data_of
from gptbench.tracking.jobs import PATTERNS, Job, pending
from gptbench.tracking.models import Models, unregistered
from gptbench.tracking.store import Store
from gptbench.training.live import FILE, alive

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from gptbench.tracking.sync import Summary

SOURCES = {"world": "synthetic world", "folder": "data from a folder", "hub": "data from the hub"}

# MLflow's limits a call; a call takes 1,000 entities in all.
METRICS_A_CALL = 1000
PARAMS_A_CALL = 100
# Tells the UI that an experiment is about training: it shows runs and models, not conversations.
KIND = ("mlflow.experimentKind", "custom_model_development")
# What is copied from the report's folder to the parent run.
REPORT_FILES = frozenset({".html", ".csv", ".md", ".tex", ".svg", ".png", ".json", ".yaml", ".txt"})
REPORT_FILE_BYTES = 20_000_000


def log_jobs(
    results: Path,
    store: Store,
    jobs: Sequence[Job],
    mark: list[Any] | None,
    entry: dict[str, Any],
    summary: Summary,
    models: bool,
) -> None:
    """Log the jobs that the ledger's `entry` does not know; with `models` their weights too."""
    with connected(store) as client:
        logger = Logger(client, store, results, entry)
        logger.open(jobs)
        for job in pending(jobs, entry):
            summary.superseded += logger.log(job)
            summary.logged += 1
        summary.known = len(jobs) - summary.logged
        if models:
            register = Models(client, results, entry)
            for job in unregistered(jobs, entry):
                register.log(job)
                summary.models += 1
        logger.close(jobs, mark, summary.ui)


class Logger:
    """Logs one reproduction to one store; `entry` is its part of the ledger."""

    def __init__(
        self, client: MlflowClient, store: Store, results: Path, entry: dict[str, Any]
    ) -> None:
        self.client = client
        self.store = store
        self.results = results
        self.scale = results.name
        self.entry = entry
        self.starts: dict[str, float] = {}

    def open(self, jobs: Sequence[Job]) -> None:
        """Find or create the experiment and the parent run; settle what was left half logged."""
        for job in jobs:
            self.starts[job.stage] = min(job.started, self.starts.get(job.stage, job.started))
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
        self.entry.update(experiment=experiment, parent=parent, stages={})
        for name in ("runs", "live"):
            self.entry.setdefault(name, {})
        self.entry.setdefault("report", None)
        self._look_up()
        self._settle()

    def _experiment(self) -> str:
        name = f"gptbench/{self.scale}"
        found = self.client.get_experiment_by_name(name)
        if found is None:
            place = self.store.artifacts
            made = self.client.create_experiment(
                name, (place / self.scale).as_uri() if place else None, dict([KIND])
            )
            return str(made)
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        if KIND[0] not in found.tags:
            self.client.set_experiment_tag(found.experiment_id, *KIND)
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

    def stage(self, name: str) -> str:
        """The run of a stage, made where there is none."""
        known = self.entry["stages"].get(name)
        if known is None:
            tags = {
                "mlflow.parentRunId": self.entry["parent"],
                "mlflow.source.name": f"gptbench {name}",
                "gptbench.scale": self.scale,
                "gptbench.stage": "stage",
                "gptbench.stage_of": name,
            }
            start = int(self.starts.get(name, time.time()) * 1000)
            run = self.client.create_run(self.entry["experiment"], start, tags, name)
            known = self.entry["stages"][name] = run.info.run_id
        return str(known)

    def _children(self, parent: str) -> Iterator[Run]:
        token = None
        while True:
            found = self.client.search_runs(
                [self.entry["experiment"]],
                f"tags.`mlflow.parentRunId` = '{parent}'",
                max_results=1000,
                page_token=token,
            )
            yield from found
            token = found.token
            if not token:
                return

    def _look_up(self) -> None:
        """Enter runs that the ledger misses; delete what a sync left half logged."""
        flat = []
        for run in self._children(self.entry["parent"]):
            if run.data.tags.get("gptbench.stage") == "stage":
                self.entry["stages"][run.data.tags["gptbench.stage_of"]] = run.info.run_id
            else:
                flat.append(run)
        known = {run["mlflow"] for run in self.entry["runs"].values()}
        known |= {run["mlflow"] for run in self.entry["live"].values()}
        for run in flat:  # earlier versions had no stages between
            if self._enter(run, known) and "gptbench.stage" in run.data.tags:
                stage = self.stage(run.data.tags["gptbench.stage"])
                self.client.set_tag(run.info.run_id, "mlflow.parentRunId", stage)
        for stage in list(self.entry["stages"].values()):
            for run in self._children(stage):
                self._enter(run, known)

    def _enter(self, run: Run, known: set[str]) -> bool:
        """Whether the run stays."""
        tags = run.data.tags
        if run.info.run_id in known:
            return True
        if run.info.status == "RUNNING" or "gptbench.live" in tags:
            self.client.delete_run(run.info.run_id)
            return False
        if "gptbench.superseded" not in tags:
            self.entry["runs"].setdefault(
                tags.get("gptbench.folder", ""),
                {
                    "run_id": tags.get("gptbench.run_id"),
                    "started": float(tags.get("gptbench.started", "0")),
                    "mlflow": run.info.run_id,
                },
            )
        return True

    def _settle(self) -> None:
        """A followed job that is gone without an end was killed; finished ones are logged next."""
        for key, record in self.entry["live"].items():
            folder = self.results / key
            if not finished(folder, record["run_id"]) and not still_alive(folder):
                self.kill(record)

    def kill(self, record: dict[str, Any]) -> None:
        """Say once of a followed run that its job is gone."""
        if record["running"]:
            self.client.set_terminated(record["mlflow"], "KILLED")
            record["running"] = False

    def begin(self, job: Job, **tags: str) -> str:
        """A new run of a job, with its settings and its data sets."""
        from mlflow.entities import Param

        run = self.client.create_run(
            self.entry["experiment"],
            int(job.started * 1000),
            {**job.tags(self.scale, self.stage(job.stage)), **tags},
            job.name,
        ).info.run_id
        params = [Param(key, value) for key, value in job.params().items()]
        for i in range(0, len(params), PARAMS_A_CALL):
            self.client.log_batch(run, params=params[i : i + PARAMS_A_CALL])
        self._inputs(run, job)
        return str(run)

    def _inputs(self, run: str, job: Job) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(
                    data.name,
                    data.short,
                    data.source_type,
                    json.dumps(data.source),
                    profile=json.dumps(data.profile),
                ),
                [InputTag("mlflow.data.context", data.context)],
            )
            for data in data_of(self.results, job)
        ]
        if inputs:
            self.client.log_inputs(run, inputs)

    def points(self, run: str, points: Sequence[tuple[str, float, int]], time: int) -> None:
        """Log (name, value, step)."""
        from mlflow.entities import Metric

        for i in range(0, len(points), METRICS_A_CALL):
            part = points[i : i + METRICS_A_CALL]
            metrics = [Metric(key, value, time, step) for key, value, step in part]
            self.client.log_batch(run, metrics=metrics)

    def log(self, job: Job) -> bool:
        """Log a pending job as a nested run; returns whether it stands in for an earlier one."""
        old = self.entry["runs"].get(job.key)
        points = job.metrics()
        live = self.entry["live"].pop(job.key, None)
        if live and live["run_id"] == job.run_id:
            run = live["mlflow"]
            self._adopt(run, job)
            names, last = set(live["names"]), live["step"]
            points = [each for each in points if each[0] not in names or each[2] > last]
        else:
            run = self.begin(job)
        end = int(job.ended * 1000)
        self.points(run, points, end)
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

    def _adopt(self, run: str, job: Job) -> None:
        """A run that was followed while its job ran is that job's run."""
        from mlflow.entities import RunTag

        tags = job.tags(self.scale, self.stage(job.stage))
        self.client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()])
        self.client.delete_tag(run, "gptbench.live")

    def close(self, jobs: Sequence[Job], mark: list[Any] | None, ui: str) -> None:
        """Bring parent and stages up to date: names, sums, state, the report's files."""
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
        filled = page.fill(self.results, self.entry, ui)
        if mark and self.entry["report"] != mark:
            self._log_report(parent)
        elif filled:
            self.client.log_artifact(parent, str(self.results / page.PAGE), "report")
        ends = [job.ended for job in jobs]
        if mark and manifest.get("started"):
            ends.append(float(manifest["started"]) + float(manifest.get("seconds", 0)))
        end = int(max(ends, default=time.time()) * 1000)
        for stage, _ in PATTERNS:
            if mine := [job for job in jobs if job.stage == stage]:
                self._sum(self.stage(stage), mine, stage)
        self._sum(parent, jobs, name, end)
        self.client.set_terminated(parent, "FINISHED" if mark else "FAILED", end)
        self.entry["report"] = mark

    def _sum(self, run: str, jobs: Sequence[Job], name: str, end: int | None = None) -> None:
        """What the jobs below a run took together."""
        at = end or int(max(job.ended for job in jobs) * 1000)
        sums = {"jobs": float(len(jobs))}
        for key in ("seconds", "cpu_seconds"):
            sums[key] = round(sum(float(job.manifest.get(key, 0)) for job in jobs), 3)
        peaks = [float(job.manifest.get("peak_memory_mb", 0)) for job in jobs]
        sums["peak_memory_mb"] = max(peaks, default=0.0)
        self.points(run, [(f"sum/{key}", value, 0) for key, value in sums.items()], at)
        if end:
            self.client.update_run(run, name=name)
            return
        label = f"{name} ({len(jobs)} job{'s' if len(jobs) != 1 else ''})"
        self.client.update_run(run, name=label)
        self.client.set_terminated(run, "FINISHED", at)

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


def finished(folder: Path, run_id: str) -> bool:
    """Whether a job has ended well in its folder."""
    path = folder / MANIFEST
    return path.exists() and bool(read_json(path).get("run_id") == run_id)


def still_alive(folder: Path) -> bool:
    """Whether a job is running in its folder, by its live file."""
    path = folder / FILE
    try:
        return alive(read_json(path), path.stat().st_mtime)
    except (UserError, OSError):
        return False
