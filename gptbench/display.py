"""What a person sees while the workflow runs: on a terminal two lines in place of a block a job.

Snakemake's own messages go to its log file as they always do, and to a screen that is no terminal.
On a terminal `Watch` takes the place of Snakemake's handler: it keeps a line with the jobs that are
done, a line with what runs now, and says when all jobs of a rule are done. Failures and warnings
are printed whole. `snakemake --verbose`, `--printshellcmds`, `--quiet` or a `--logger` of one's own
leave Snakemake's output as it is.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from gptbench.errors import STOPPED
from gptbench.progress import duration, folded

QUIET = "GPTBENCH_QUIET"
"""Set for the jobs of a run on a terminal: what they print goes to their log alone."""
INTERRUPTED = "Terminating processes on user request"
"""How Snakemake's message begins once a person has stopped it: jobs end, but none has failed."""
LOG_LINES = 40
"""Lines of a failed job's log that are printed; the file has them all."""


@dataclass
class Job:
    """A job that was started: its name (its log's below `logs/`), rule, log and times.

    One that was interrupted is over (has its seconds), and is neither done nor failed.
    """

    name: str
    rule: str
    log: Path | None
    started: float
    seconds: float | None = None
    done: bool = False
    failed: bool = False

    def said(self) -> str:
        """The last line of its log; nothing where that is still the log of an earlier run."""
        if self.log is None:
            return ""
        with suppress(OSError):
            age = time.time() - self.log.stat().st_mtime
            if age <= time.monotonic() - self.started:
                return next(iter(_end_of(self.log, 1)), "")
        return ""


class Watch(logging.Handler):
    """Takes note of what becomes of the jobs, and on a terminal shows it.

    Parameters
    ----------
    logs : the folder of the jobs' logs.
    screen : Snakemake's handler for the terminal, which prints what is passed on; None where
        Snakemake prints for itself.
    targets : the rules that only ask for others, once all rules are read; they are no jobs.
    """

    def __init__(
        self,
        logs: Path,
        screen: logging.Handler | None = None,
        targets: Callable[[], set[str]] = lambda: {"all"},
    ) -> None:
        super().__init__()
        self.logs, self.screen, self.targets = logs, screen, targets
        self.begun = time.monotonic()
        self.planned: Counter[str] = Counter()
        self.jobs: dict[int, Job] = {}
        self.interrupted = False
        self._held: list[logging.LogRecord] = []
        self._running = False
        self._lines: _Lines | None = None

    @classmethod
    def attach(cls, workflow: Any, logs: Path) -> Watch:
        """Watch the workflow that is being parsed in this process."""
        from snakemake.logging import logger

        settings = workflow.output_settings
        plain = settings.verbose or settings.printshellcmds or settings.quiet or settings.dryrun
        screen = None
        for handler in list(logger.handlers):
            own = handler.get_name() == "DefaultStreamHandler"
            if own and not plain and _terminal(getattr(handler, "stream", None)):
                screen = handler
                logger.removeHandler(handler)
        watch = cls(logs, screen, lambda: {r.name for r in workflow.rules if not r.output})
        logger.addHandler(watch)
        return watch

    # What becomes of the jobs. ---------------------------------------------------------------

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a message of Snakemake's, and show it or not."""
        try:
            self._note(record)
        except BrokenPipeError:
            raise
        except Exception:  # a message must not end a run
            self.handleError(record)

    def _note(self, record: logging.LogRecord) -> None:
        event = getattr(getattr(record, "event", None), "value", None)
        if event == "run_info":
            self.planned = Counter(getattr(record, "stats", {}))
            for name in ("total", *self.targets()):
                self.planned.pop(name, None)
        elif event == "job_info":
            self._start(record)
        elif event == "job_finished":
            self._end(getattr(record, "job_id", -1), done=True)
        elif event == "job_error":
            number = getattr(record, "jobid", -1)
            self._end(number, failed=not self._stopped(number))
        elif str(record.msg).startswith(INTERRUPTED):
            self.interrupted = True
        if self.screen is not None:
            self._show(record, event)

    def _start(self, record: Any) -> None:
        if record.rule_name in self.targets():
            return
        log = Path(record.log[0]) if record.log else None
        name = record.rule_name
        if log is not None and log.is_relative_to(self.logs):
            name = log.relative_to(self.logs).with_suffix("").as_posix()
        self.jobs[record.jobid] = Job(name, record.rule_name, log, time.monotonic())

    def _end(self, number: int, failed: bool = False, done: bool = False) -> None:
        job = self.jobs.get(number)
        if job is not None and job.seconds is None:
            job.seconds = time.monotonic() - job.started
            job.done, job.failed = done, failed

    def _stopped(self, number: int) -> bool:
        """Whether a job ended because it was interrupted; Ctrl-C may reach it before Snakemake."""
        job = self.jobs.get(number)
        return self.interrupted or (job is not None and job.said().endswith(STOPPED))

    @property
    def elapsed(self) -> float:
        """Seconds since the workflow was read."""
        return time.monotonic() - self.begun

    @property
    def done(self) -> list[Job]:
        """The jobs that this run has done."""
        return [job for job in self.jobs.values() if job.done]

    @property
    def failed(self) -> list[Job]:
        """The jobs that failed."""
        return [job for job in self.jobs.values() if job.failed]

    @property
    def left(self) -> float | None:
        """Seconds left, None before any job is done.

        Each rule's jobs take what those before took. Before the first of a rule is done they take
        the median of all jobs, or what the longest that runs has taken so far.
        """
        done = self.done
        if not done:
            return None
        spent: dict[str, list[float]] = {}
        for job in done:
            spent.setdefault(job.rule, []).append(job.seconds or 0.0)
        usual = median(job.seconds or 0.0 for job in done)
        now = time.monotonic()
        running = [job for job in self.jobs.values() if job.seconds is None]
        each = {rule: mean(some) for rule, some in spent.items()}
        for rule in self.planned.keys() - each.keys():
            each[rule] = max([usual, *(now - job.started for job in running if job.rule == rule)])
        work = sum(
            max(0, count - len(spent.get(rule, ()))) * each[rule]
            for rule, count in self.planned.items()
        )
        work -= sum(min(now - job.started, each.get(job.rule, usual)) for job in running)
        return max(0.0, work) / max(1, len(running))

    # The terminal. ---------------------------------------------------------------------------

    def _show(self, record: logging.LogRecord, event: str | None) -> None:
        assert self.screen is not None
        if event == "workflow_started":
            self._running = True
        elif not self._running:
            self.screen.handle(record)
        elif event == "run_info":
            self._held.clear()
            os.environ[QUIET] = "1"
            counts = [f"{n} {rule}" for rule, n in self.planned.items()]
            count = sum(self.planned.values())
            start = f"{count} job{'s' * (count != 1)}: "
            print("\n".join(folded(start, counts)), file=sys.stderr, flush=True)
            self._lines = _Lines(self, sum(self.planned.values()))
        elif event == "job_finished":
            self._finished_rule(self.jobs.get(getattr(record, "job_id", -1)))
        elif event == "job_error":
            if not self._stopped(getattr(record, "jobid", -1)):
                self._failure(record)
        elif event == "error" and "CalledProcessError" in str(record.msg):
            pass  # a job's command failed: its job_error says so, and what its log says
        elif record.levelno > logging.INFO or str(record.msg).startswith(INTERRUPTED):
            self._above(lambda: self.screen and self.screen.handle(record))
        elif event is None and self._lines is None:
            self._held.append(record)
        if self._lines:
            self._lines.draw()

    def _finished_rule(self, job: Job | None) -> None:
        if job is None:
            return
        some = [each for each in self.done if each.rule == job.rule]
        if len(some) == self.planned[job.rule]:
            first = min(each.started for each in some)
            jobs = f"{len(some)} job" + "s" * (len(some) > 1)
            self._print(f"{job.rule:<14} {jobs:>9}  {duration(time.monotonic() - first)}")

    def _failure(self, record: Any) -> None:
        job = self.jobs.get(record.jobid)
        lines = [f"FAILED {job.name if job else record.rule_name}"]
        for name in record.log:
            lines.append(f"the end of {name}:")
            lines += [f"  {line}" for line in _end_of(Path(name), LOG_LINES)]
        self._print("\n".join(lines))

    def _print(self, text: str) -> None:
        self._above(lambda: print(text, file=sys.stderr, flush=True))

    def _above(self, write: Any) -> None:
        if self._lines:
            self._lines.clear()
        write()

    def stop(self) -> None:
        """The jobs are over: the lines go, and what comes now is printed as it is."""
        with self.lock:  # type: ignore[union-attr]
            if self._lines:
                self._lines.close()
            self._lines, self._running = None, False
        os.environ.pop(QUIET, None)

    def close(self) -> None:
        """Snakemake ends: say what was held back, where no run came of it."""
        self.stop()
        if self.screen is not None:
            for record in self._held:
                self.screen.handle(record)
            self._held.clear()
        super().close()


class _Lines:
    """The two lines at the bottom of a terminal, drawn again every second."""

    def __init__(self, watch: Watch, total: int) -> None:
        from tqdm import tqdm

        self.watch, self.total = watch, total
        form = "{percentage:3.0f} % |{bar}| {desc}"
        self.bar = tqdm(total=total, bar_format=form, leave=False, dynamic_ncols=True, position=0)
        self.now = tqdm(bar_format="{desc}", leave=False, dynamic_ncols=True, position=1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def _tick(self) -> None:
        while not self._over.wait(1.0):
            with self.watch.lock:  # type: ignore[union-attr]
                if not self._over.is_set():
                    self.draw()

    def draw(self) -> None:
        """Both lines as things are now."""
        watch = self.watch
        left = watch.left
        done = len(watch.done)
        self.bar.n = min(done, self.total)
        failed = f", {len(watch.failed)} FAILED" if watch.failed else ""
        rest = f", about {duration(left)} left" if left is not None else ""
        rate = f", {60 * done / watch.elapsed:.3g}/min" if done else ""
        self.bar.set_description_str(
            f"{done} of {self.total} jobs{failed}{rate}, {duration(watch.elapsed)}{rest}",
            refresh=False,
        )
        running = [job for job in watch.jobs.values() if job.seconds is None]
        text = ""
        if running:
            longest = min(running, key=lambda job: job.started)
            said = longest.said()
            text = f"{longest.name} {duration(time.monotonic() - longest.started)}"
            text += f": {said.partition(': ')[2] or said}" if said else ""
            text = f"+{len(running) - 1} " * (len(running) > 1) + text
        width = max(20, (self.now.ncols or 80) - 1)
        self.now.set_description_str(f"  {text}"[:width], refresh=False)
        self.bar.refresh()
        self.now.refresh()

    def clear(self) -> None:
        """Take the lines away for something to be printed."""
        self.now.clear()
        self.bar.clear()

    def close(self) -> None:
        """Take the lines away for good."""
        self._over.set()
        self.now.close()
        self.bar.close()


def _terminal(stream: Any) -> bool:
    return bool(stream and stream.isatty() and os.environ.get("TERM") != "dumb")


def _end_of(path: Path | None, count: int) -> list[str]:
    """The last lines of a log, as far as its last 16 kB have them; none where it isn't there."""
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
