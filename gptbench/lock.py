"""Snakemake's lock after a kill: cleared when its owner is dead, so that the same command goes on.

Snakemake's lock files name no process. A run of the workflow therefore notes its own here, and
its worker's; the next one removes a lock whose owner is gone, once the worker has ended its jobs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

OWNER = Path(".snakemake") / "gptbench-owner.json"
LOCKS = Path(".snakemake") / "locks"
PATIENCE = 20.0


def identity(pid: int) -> str | None:
    """A process's start time, which tells it from a later one of the same number; None if gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        try:  # no /proc: the number alone has to do
            os.kill(pid, 0)
        except OSError:
            return None
        return "alive"
    return None if fields[0] == "Z" else fields[19]


def take(worker: int | None) -> None:
    """Note that this process runs the workflow in this folder, with this worker."""
    processes = {pid: identity(pid) for pid in (os.getpid(), worker) if pid is not None}
    OWNER.parent.mkdir(parents=True, exist_ok=True)
    OWNER.write_text(json.dumps({str(pid): start for pid, start in processes.items()}), "utf-8")


def release() -> None:
    """The run is over."""
    OWNER.unlink(missing_ok=True)


def clear_stale() -> None:
    """Remove the lock of a run whose process is gone; one line says so."""
    locks = sorted(LOCKS.glob("*.lock"))
    try:
        owner = {int(pid): start for pid, start in json.loads(OWNER.read_text("utf-8")).items()}
    except (OSError, ValueError):
        return
    if not locks or not owner or os.getpid() in owner:
        return
    first = next(iter(owner))
    if identity(first) == owner[first]:
        return
    end = time.monotonic() + PATIENCE
    while any(identity(pid) == start for pid, start in owner.items()):
        if time.monotonic() > end:
            return
        time.sleep(0.1)
    for lock in locks:
        lock.unlink(missing_ok=True)
    release()
    print("gptbench: an earlier run was killed; its lock is cleared", file=sys.stderr)
