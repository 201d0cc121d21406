"""What a long job shows of itself while it runs: `live.json` in its output folder.

Others read it (`gptbench track follow`); the job knows nothing of them. A job that ends before
`SECONDS` never writes it, and no result depends on it.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gptbench import lock
from gptbench.artifacts import Run, read_json, write_text
from gptbench.errors import UserError

FILE = "live.json"
SPEED = "speed.json"
PLACES = ("pretrain/*/seed*", "finetune/*/*/pre*-seed*")
SECONDS = float(os.environ.get("GPTBENCH_LIVE_SECONDS", "180"))
"""From this age on a job shows itself."""
INTERVAL = min(10.0, SECONDS)
"""Seconds between two writes."""


class Live:
    """The live file of one job, and the speed of its updates.

    Parameters
    ----------
    out : the job's output folder.
    run : the job, with its id and settings.
    unit : what speed is counted in, `tokens` or `steps`.
    steps : updates in all.
    """

    def __init__(self, out: Path, run: Run, unit: str, steps: int) -> None:
        self.path, self.run = out / FILE, run
        self.name, self.steps = f"{unit}_per_second", steps
        self.speed: list[tuple[int, float]] = []
        self._start = self._written = time.monotonic()
        self._last: tuple[float, float] | None = None

    def resume(self, step: int) -> None:
        """Take over the speed of the updates before `step` from an interrupted run of the job."""
        try:
            before = read_json(self.path)
        except UserError:
            return
        if before.get("run_id") == self.run.id:
            self.speed = [(int(s), float(v)) for s, v in before["speed"] if s <= step]

    def update(self, step: int, done: float, curves: Callable[[], str], row: bool) -> None:
        """After an update: `done` units so far; `row` tells whether the curves got a row."""
        now = time.monotonic()
        if row:
            if self._last and now > self._last[0]:
                rate = (done - self._last[1]) / (now - self._last[0])
                self.speed.append((step, round(rate, 1)))
            self._last = (now, done)
        if now - self._start >= SECONDS and now - self._written >= INTERVAL:
            self._written = now
            self._write(step, curves())

    def _write(self, step: int, curves: str) -> None:
        pid = os.getpid()
        state: dict[str, Any] = {
            **self.run.facts(),
            "host": socket.gethostname(),
            "pid": pid,
            "process": lock.identity(pid),
            "step": step,
            "steps": self.steps,
            "curves": curves,
            "speed_name": self.name,
            "speed": self.speed,
        }
        write_text(self.path, json.dumps(state))

    def finish(self) -> None:
        """Keep the speed by step beside the results; it differs from run to run, they do not."""
        path = self.path.with_name(SPEED)
        if self.speed:
            write_text(path, json.dumps({"name": self.name, "points": self.speed}) + "\n")
        else:
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """The job is done."""
        self.path.unlink(missing_ok=True)


def alive(state: dict[str, Any], written: float, patience: float = 900.0) -> bool:
    """Whether the process behind a live file still runs.

    `written` is when the file was: on another host there is nothing else to go by.
    """
    if state["host"] == socket.gethostname():
        found = lock.identity(int(state["pid"]))
        return found is not None and found == state["process"]
    return time.time() - written < patience


def find(results: Path) -> list[Path]:
    """The live files below `results/<scale>/`."""
    return [path for each in PLACES for path in sorted(results.glob(f"{each}/{FILE}"))]
