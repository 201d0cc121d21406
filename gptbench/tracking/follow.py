"""Following jobs while they run: one process of low priority reads their live files.

A job that is old enough writes `live.json` (gptbench/training/live.py). Its points go to a run
in the state RUNNING, which a later sync finishes: the same run, no point twice. A job that was
killed leaves a run in the state KILLED; resumed, it goes on in that run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gptbench.artifacts import read_json
from gptbench.errors import UserError
from gptbench.tracking.connection import connected
from gptbench.tracking.jobs import Job, curve_cells
from gptbench.tracking.log import Logger, finished, still_alive
from gptbench.tracking.store import Away, Store, shown
from gptbench.tracking.sync import writing
from gptbench.training.live import find

LOCK = ".follow.lock"
# Behind the jobs, but not starved where they keep every core busy.
NICE = 10


def follow(results: Path, uri: str | None = None, every: float = 10.0) -> None:
    """Log the long jobs below `results` until none is running; at most one process does.

    A store that is away is tried again at each look.

    Raises:
        UserError: there is no such folder, or the store's URI cannot work.
    """
    from filelock import FileLock, Timeout

    results = results.absolute()
    if not results.is_dir():
        raise UserError(f"{results}: no such folder; --results takes results/<scale>")
    store = Store.of(results.parent, uri)
    with suppress(OSError):
        os.nice(NICE)
    try:
        with FileLock(results / LOCK, timeout=0):
            _follow(Follower(results, store), every)
    except Timeout:
        print(f"{shown(results)} is followed already", flush=True)


def _follow(follower: Follower, every: float) -> None:
    away = ""
    while jobs := running(follower.results):
        try:
            follower.look(jobs)
            away = ""
        except Away as error:
            if str(error) != away:
                away = str(error)
                print(f"MLflow: {away[:200]}; tried again every {every:g} s", flush=True)
        time.sleep(every)
    if follower.open:
        with suppress(Away):
            follower.look([])


def running(results: Path) -> list[tuple[Job, dict[str, Any]]]:
    """The jobs that show themselves and are alive, with what they show."""
    return [each for path in find(results) if (each := _live(results, path))]


def _live(results: Path, path: Path) -> tuple[Job, dict[str, Any]] | None:
    if not still_alive(path.parent):
        return None
    try:
        state = read_json(path)
        if finished(path.parent, state["run_id"]):
            return None
    except UserError:  # it ended between two looks
        return None
    key = path.parent.relative_to(results).as_posix()
    return Job(key, str(state["stage"]), path.parent, state), state


class Follower:
    """What is logged of the running jobs of one reproduction to one store."""

    def __init__(self, results: Path, store: Store) -> None:
        self.results, self.store = results, store
        self.machine = Machine()
        self.open = False

    def look(self, jobs: list[tuple[Job, dict[str, Any]]]) -> None:
        """Log what is new of these jobs; the runs of jobs that are gone become KILLED."""
        with (
            writing(self.results, self.store) as ledger,
            connected(self.store) as client,
        ):
            entry = ledger["stores"].setdefault(self.store.name, {})
            logger = Logger(client, self.store, self.results, entry)
            if not self.open or not entry.get("parent"):
                logger.open([job for job, _ in jobs])
                self.open = True
            for job, state in jobs:
                self._log(logger, job, state)
            keys = {job.key for job, _ in jobs}
            for key, record in entry["live"].items():
                if key not in keys and not finished(self.results / key, record["run_id"]):
                    logger.kill(record)

    def _log(self, logger: Logger, job: Job, state: dict[str, Any]) -> None:
        live = logger.entry["live"]
        record = live.get(job.key)
        if record is None or record["run_id"] != job.run_id:
            run = logger.begin(job, **{"gptbench.live": "true"})
            record = {"run_id": job.run_id, "mlflow": run, "step": -1, "samples": 0}
            record |= {"names": [], "running": True}
            live[job.key] = record
        elif not record["running"]:  # it was interrupted, and goes on
            logger.client.update_run(record["mlflow"], status="RUNNING")
            record["running"] = True
        new = [each for each in points(job, state) if each[2] > record["step"]]
        samples = [(name, value, record["samples"]) for name, value in self.machine.sample(state)]
        logger.points(record["mlflow"], [*new, *samples], int(time.time() * 1000))
        record["step"] = max([record["step"], *(step for _, _, step in new)])
        record["names"] = sorted({*record["names"], *(name for name, _, _ in new)})
        record["samples"] += bool(samples)


def points(job: Job, state: dict[str, Any]) -> Iterator[tuple[str, float, int]]:
    """The curves that a job shows, with its speed: (name, value, step)."""
    yield from job.curves(curve_cells(state["curves"], job.folder))
    for step, value in state["speed"]:
        yield str(state["speed_name"]), float(value), int(step)


class Machine:
    """Samples of the machine and of a job's process, under the names of MLflow's system metrics."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._processes: dict[int, Any] = {}
        self._gpus: Any = None
        psutil.cpu_percent()  # the next call counts from here

    def sample(self, state: dict[str, Any]) -> list[tuple[str, float]]:
        """Percentages since the last sample, and memory now; nothing of another host."""
        import socket

        if state["host"] != socket.gethostname():
            return []
        memory = self._psutil.virtual_memory()
        found = {
            "cpu_utilization_percentage": self._psutil.cpu_percent(),
            "system_memory_usage_megabytes": round(memory.used / 1e6),
            "system_memory_usage_percentage": memory.percent,
        }
        pid = int(state["pid"])
        with suppress(self._psutil.Error):
            process = self._processes.get(pid)
            if process is None:
                process = self._processes[pid] = self._psutil.Process(pid)
                process.cpu_percent()
            else:
                found["process_cpu_percentage"] = process.cpu_percent()
            found["process_memory_megabytes"] = round(process.memory_info().rss / 1e6)
        found |= self._gpu()
        return [(f"system/{name}", float(value)) for name, value in found.items()]

    def _gpu(self) -> dict[str, float]:
        """What MLflow's own monitor says of the GPUs; nothing without nvidia-ml-py or a GPU."""
        if self._gpus is None:
            from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

            try:
                self._gpus = GPUMonitor()  # type: ignore[no-untyped-call]
            except (ImportError, RuntimeError):
                self._gpus = False
        if not self._gpus:
            return {}
        self._gpus.collect_metrics()
        found: dict[str, float] = self._gpus.aggregate_metrics()
        self._gpus.clear_metrics()
        return found
