"""What is not logged yet is logged, and a ledger beside the results says what is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptbench.artifacts import MANIFEST, read_json, write_json
from gptbench.errors import UserError
from gptbench.tracking import page
from gptbench.tracking.jobs import find_jobs, pending
from gptbench.tracking.log import log_jobs
from gptbench.tracking.models import unregistered
from gptbench.tracking.store import DATABASE, Away, Store, shown

LEDGER = "tracking.json"
LOCK_SECONDS = 600


@dataclass
class Summary:
    """What a sync did: runs logged now, runs that were there, and why it stopped, if it did."""

    scale: str
    uri: str
    logged: int = 0
    known: int = 0
    superseded: int = 0
    models: int = 0
    ui: str = page.UI
    seconds: float = 0.0
    away: str | None = None

    def line(self) -> str:
        """One line for the terminal."""
        if self.away:
            return self.away
        if not self.logged and not self.models:
            return f"MLflow: nothing new ({_runs(self.known)} of {self.scale} logged before)"
        parts = [f"{_runs(self.logged)} of {self.scale} logged in {self.seconds:.1f} s"]
        parts += [f"{self.superseded} replaced"] if self.superseded else []
        parts += [f"{self.models} models"] if self.models else []
        return f"MLflow: {', '.join(parts)}; {self.known} were there (make ui)"


def _runs(n: int) -> str:
    return f"{n:,} run" + "s" * (n != 1)


def sync(
    results: Path,
    uri: str | None = None,
    *,
    best_effort: bool = False,
    models: bool = False,
    ui: str | None = None,
) -> Summary:
    """Log every finished job below `results` that is not logged yet, and print one line.

    The report's page then has links to its runs.

    Args:
        results: the folder of one scale, `results/<scale>`.
        uri: a tracking server or database; `results/mlflow.db` where none is given.
        best_effort: only report a failure, so that a reproduction does not fail by it.
        models: register kept weights as logged models as well.
        ui: the address of the MLflow pages, for the links; remembered. The server's, or the one
            of `make ui`, unless given.

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
            _sync(results, store, summary, models, ui)
        except Away as away:
            again = f"gptbench track sync --results {shown(results)}" + (
                f" --uri {store.name}" if uri else ""
            )
            where = store.name if uri else shown(results.parent / DATABASE)
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


def _sync(results: Path, store: Store, summary: Summary, models: bool, ui: str | None) -> None:
    jobs = find_jobs(results)
    mark = _report_mark(results)
    path = results / LEDGER
    entry = _read_ledger(path)["stores"].get(store.name, {})
    if not jobs and mark is None:
        return
    served = store.name if store.name.startswith("http") else page.UI
    summary.ui = ui or entry.get("ui") or served

    def nothing_new() -> bool:
        return (
            bool(entry)
            and entry.get("report") == mark
            and not pending(jobs, entry)
            and not (models and unregistered(jobs, entry))
            and not any(run["running"] for run in entry.get("live", {}).values())
            and entry.get("ui", served) == summary.ui
            and store.holds(entry["parent"])
        )

    if nothing_new():
        summary.known = len(jobs)
        page.fill(results, entry, summary.ui)
        return
    with writing(results, store) as ledger:
        entry = ledger["stores"].setdefault(store.name, {})
        if nothing_new():  # another process did it meanwhile
            summary.known = len(jobs)
            return
        if entry and not store.holds(entry.get("parent", "")):
            entry.clear()
        if ui:
            entry["ui"] = ui
        log_jobs(results, store, jobs, mark, entry, summary, models)


@contextmanager
def writing(results: Path, store: Store) -> Iterator[dict[str, Any]]:
    """The ledger, while no other process logs; written back at the end, after an error too.

    Several processes that open a fresh SQLite database at once crash.
    """
    from filelock import FileLock, Timeout

    folder = store.database.parent if store.database else results
    try:
        store.check()
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".mlflow.lock", timeout=LOCK_SECONDS):
            ledger = _read_ledger(results / LEDGER)
            before = json.dumps(ledger)
            try:
                yield ledger
            finally:
                if json.dumps(ledger) != before and ledger["stores"].get(store.name):
                    write_json(results / LEDGER, ledger)
    except Timeout:
        raise Away(f"another sync has held {folder / '.mlflow.lock'} for too long") from None
    except OSError as error:
        raise Away(f"{error.strerror or error} ({error.filename or 'connection'})") from None
