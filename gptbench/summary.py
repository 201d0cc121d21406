"""What a run of the workflow says when it ends: what was made, what it cost, where to look.

After a failure it says what failed, where its log is and how to go on.
"""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gptbench.artifacts import MANIFEST
from gptbench.display import Job, Watch
from gptbench.plan import Plan
from gptbench.progress import duration, folded

WIDTH = 79
SHOWN_FAILURES = 3
TOO_FEW = "Given these seeds, no verdict"
"""How the evidence of a claim begins that no seed could have decided."""


def lines(plan: Plan, watch: Watch, ok: bool, started: float) -> list[str]:
    """The summary of a run, at most 15 lines of 80 columns.

    Parameters
    ----------
    plan : the scale that was run.
    watch : what became of its jobs.
    ok : whether all jobs that were asked for are done.
    started : when the run began, in seconds since 1970.
    """
    return list(_made(plan, watch, started) if ok else _stopped(watch))


# All is done. ---------------------------------------------------------------------------------


def _made(plan: Plan, watch: Watch, started: float) -> Iterator[str]:
    manifests = [found for path in plan.root.rglob(MANIFEST) if (found := _json(path))]
    before = sum(float(each.get("started", 0)) < started for each in manifests)
    done = watch.done
    there = f"; {before:,} were there" if before else ""
    yield f"Done in {duration(watch.elapsed)}: {_count(len(done), 'job')}{there}."
    yield from folded("  time in jobs: ", _by_rule(done))
    yield from _cost(plan, manifests)
    report = plan.root / "report"
    made = _json(report / MANIFEST)
    if not made or float(made.get("started", 0)) < started:
        yield "The report was not made: it needs the target `all` (snakemake --cores all)."
        return
    yield from _headline(plan, report)
    yield from _missing(made)
    tables = len(list((report / "tables").glob("*.csv")))
    figures = len(list((report / "figures").glob("*.svg")))
    yield f"Look at  {report / 'index.html'}  (the page)"
    yield f"         {report / 'tables'}  ({tables} as csv, md, tex; {figures} figures beside)"
    yield "         make ui  (every run in MLflow)"


def _by_rule(done: list[Job]) -> list[str]:
    spent: dict[str, float] = defaultdict(float)
    for job in done:
        spent[job.rule] += job.seconds or 0.0
    ordered = sorted(spent.items(), key=lambda item: -item[1])
    return [f"{rule} {duration(seconds)}" for rule, seconds in ordered]


def _cost(plan: Plan, manifests: list[dict[str, Any]]) -> Iterator[str]:
    seconds = sum(float(each.get("cpu_seconds", 0)) for each in manifests)
    cost = f"{seconds / 3600:,.1f} CPU hours" if seconds > 3600 else f"{duration(seconds)} of CPU"
    peak = max((int(each.get("peak_memory_mb", 0)) for each in manifests), default=0)
    yield f"  all of {plan.root}: {cost}, at most {peak:,} MB of memory a job"


def _headline(plan: Plan, report: Path) -> Iterator[str]:
    """The mean of table 5 by variant, and the claims by verdict."""
    means = [
        row
        for row in _rows(report / "scores.csv")
        if (row["table"], row["task"], row["source"]) == ("table5", "average", "gptbench")
        and not row["seed"]
    ]
    label = _label(plan, report)
    if means:
        seeds = _count(len(plan.config.pretrain_seeds), "pre-training seed")
        yield f"Mean of table 5, {seeds}{label}:"
    for row in means:
        half = ""
        if row["ci_low"] and row["ci_high"]:
            half = f" ± {(float(row['ci_high']) - float(row['ci_low'])) / 2:.1f}"
        yield f"  {float(row['value']):5.1f}{half:<8} {row['method']}"[:WIDTH]
    claims = _rows(report / "claims.csv")
    verdicts = Counter(row["verdict"] for row in claims)
    few = Counter(row["verdict"] for row in claims if row["evidence"].startswith(TOO_FEW))
    if verdicts:
        counts = [
            f"{count} {verdict}" + " (too few seeds for a verdict)" * (few[verdict] == count)
            for verdict, count in verdicts.most_common()
        ]
        yield from folded("The paper's claims: ", counts, ".")


def _label(plan: Plan, report: Path) -> str:
    """What keeps the numbers from standing beside the paper's, as the tables say it."""
    if plan.config.synthetic:
        return " (SYNTHETIC DATA, not comparable)"
    tables = _json(report / "tables.json") or []
    headings = [block["heading"] for table in tables for block in table["blocks"]]
    if any(str(heading).startswith("REDUCED") for heading in headings):
        return " (REDUCED DATA, not comparable)"
    return " (with reservations: see its notes)" if plan.config.notes else ""


def _missing(made: dict[str, Any]) -> Iterator[str]:
    missing = made.get("missing", [])
    if missing:
        more = ", ..." if len(missing) > 1 else ""
        yield f"Missing: {_count(len(missing), 'run')} ({missing[0]}{more})"[:WIDTH]


# Not all is done. -----------------------------------------------------------------------------


def _stopped(watch: Watch) -> Iterator[str]:
    failed = watch.failed
    total = sum(watch.planned.values())
    done = len(watch.done)
    if watch.interrupted:
        yield f"Stopped after {duration(watch.elapsed)}: {done} of {_count(total, 'job')} done."
    else:
        yield (
            f"{len(failed)} of {_count(total, 'job')} failed, {done} done, "
            f"{max(0, total - done - len(failed))} not run, in {duration(watch.elapsed)}."
        )
    for job in failed[:SHOWN_FAILURES]:
        yield f"  {job.name}"
        yield f"    its log: {job.log}" if job.log else "    it has no log; see above"
    if len(failed) > SHOWN_FAILURES:
        yield f"  and {len(failed) - SHOWN_FAILURES} more"
    mend = "Mend what the log says, and go" if failed else "Go"
    yield f"{mend} on with the same command; what is done is kept:"
    yield f"  {command()}"


def command() -> str:
    """The command line of this run, as a shell takes it."""
    return shlex.join(["snakemake", *sys.argv[1:]])


# Small parts. ---------------------------------------------------------------------------------


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}" + "s" * (n != 1)


def _json(path: Path) -> Any:
    """A file's JSON; None where it isn't there or broken: a summary is no place to fail."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError:
        return []
