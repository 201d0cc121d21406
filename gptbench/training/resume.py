"""Going on where an interrupted job was, exactly: after a signal, and after kill -9.

A job's state is kept in `resume.ckpt` in its output folder (never an output that the workflow
declares), written beside and renamed. It carries the job's run id: the state of a job with other
settings or inputs is never used.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from gptbench.artifacts import atomic

FILE = "resume.ckpt"
INTERVAL = float(os.environ.get("GPTBENCH_RESUME_SECONDS", "20"))
"""Seconds between two writes of the state."""

State = dict[str, Any]
_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


class Resume:
    """The resume state of one job.

    Parameters
    ----------
    out : the job's output folder.
    run_id : the state of another run id is thrown away.
    interval : seconds between two writes.
    """

    def __init__(self, out: Path, run_id: str, interval: float = INTERVAL) -> None:
        self.path = out / FILE
        self.run_id = run_id
        self.interval = interval
        self.interrupted = False
        self._last = time.monotonic()
        self._handlers: dict[int, _Handler] = {}

    def load(self) -> State | None:
        """The state to go on from, or None to start; says one line if one was thrown away."""
        for stale in self.path.parent.glob(f".{FILE}.*.tmp"):
            stale.unlink(missing_ok=True)
        if not self.path.exists():
            return None
        try:
            state: State = torch.load(self.path, map_location="cpu", weights_only=True)
            found = state["run_id"]
        except Exception:  # a broken file makes the reader fail in many ways
            print(f"{self.path}: not readable; started afresh", flush=True)
            return None
        if found != self.run_id:
            print(
                f"{self.path}: of another run ({found}, this is {self.run_id}); started afresh",
                flush=True,
            )
            return None
        print(f"going on from step {state['step']:,}", flush=True)
        return state

    def due(self) -> bool:
        """Whether the state should be written now."""
        return self.interrupted or time.monotonic() - self._last >= self.interval

    def save(self, state: State) -> None:
        """Write the state whole or not at all."""
        with atomic(self.path) as temporary:
            torch.save({**state, "run_id": self.run_id}, temporary)
        self._last = time.monotonic()

    def remove(self) -> None:
        """The job is done."""
        self.path.unlink(missing_ok=True)

    # Signals are noted, and answered at the next step boundary. ---------------------------------

    def listen(self) -> None:
        """Note SIGTERM and SIGINT instead of ending at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._note)

    def restore(self) -> None:
        """Back to the handlers from before `listen`."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
