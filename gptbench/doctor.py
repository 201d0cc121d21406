"""`gptbench doctor`: is everything there that a scale needs, and what will it take?"""

from __future__ import annotations

import os
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import psutil

from gptbench import forecast, sizes
from gptbench.artifacts import processor
from gptbench.errors import UserError
from gptbench.plan import Plan

State = Literal["ok", "note", "fault"]
MARKS: dict[State, str] = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


@dataclass(frozen=True)
class Finding:
    """One line: a fault keeps the scale from running, a note does not."""

    state: State
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{MARKS[self.state]} {self.subject:<12} {self.text}"


def examine(plan: Plan, results: Path, cores: int) -> Iterator[Finding]:
    """Everything about the environment, the data and the tracking server, one finding at a time."""
    yield from _packages()
    yield from _machine(cores)
    yield from _data(plan)
    yield _tracking(plan, results)
    yield from _models(plan, results)
    yield from _needs(plan, results, cores)


def _packages() -> Iterator[Finding]:
    """The installed versions against the pins."""
    python = sys.version_info
    good = (3, 11) <= python[:2] < (3, 14)
    text = f"{python.major}.{python.minor}.{python.micro}"
    yield Finding("ok" if good else "fault", "python", text + ("" if good else "; 3.11 to 3.13"))
    wrong = []
    count = 0
    for line in requires("gptbench") or []:
        pin = re.fullmatch(r"([A-Za-z0-9_.-]+)==([^;\s]+)", line)
        if not pin:
            continue
        count += 1
        try:
            there = version(pin[1])
        except PackageNotFoundError:
            yield Finding("fault", pin[1], f"not installed; {pin[2]} is needed: make environment")
            continue
        if there.split("+")[0] != pin[2]:
            wrong.append(f"{pin[1]} {there} (pinned {pin[2]})")
    if wrong:
        mend = "; numbers may differ: make environment"
        yield Finding("note", "packages", ", ".join(wrong) + mend)
    else:
        yield Finding("ok", "packages", f"all {count} at their pinned versions")


def _machine(cores: int) -> Iterator[Finding]:
    import torch

    memory = psutil.virtual_memory()
    yield Finding(
        "ok",
        "machine",
        f"{processor()}, {cores} core(s), {memory.available / 1e9:.1f} of {memory.total / 1e9:.1f}"
        " GB of memory free",
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            yield Finding("ok", "gpu", f"{name}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free")
        return
    amx = bool(torch.cpu._is_amx_tile_supported())
    how = "matrix products in bfloat16 (AMX)" if amx else "float32"
    yield Finding("note", "gpu", f"none; training runs on the processor, {how}")


def _data(plan: Plan) -> Iterator[Finding]:
    """The books and each data set: found, or missing and where to get it."""
    if plan.config.synthetic:
        yield Finding("ok", "data", "the embedded world, made by the run")
    elif not plan.data_root.is_dir():
        yield Finding("fault", "data", f"{plan.data_root}: no such folder; give --data-root")
        return
    for task in plan.task_names():
        if plan.fetches(task):
            yield Finding("ok", task, "fetched from the hub by the run")
            continue
        if plan.config.synthetic and task not in plan.own:
            continue
        missing = [path for path in plan.task_files(task) if not path.exists()]
        if missing:
            home = plan.tasks[task].home
            mend = f"; fetch it from {home}" if home else ""
            yield Finding("fault", task, f"{missing[0]}: missing{mend}")
        else:
            yield Finding("ok", task, f"{len(plan.task_files(task))} file(s)")
    if not plan.config.synthetic and plan.reads_folder:
        books = plan.books_below(plan.data_root / "books")
        if books:
            size = sum(path.stat().st_size for path in books) / 1e6
            yield Finding("ok", "books", f"{len(books):,} file(s), {size:,.1f} MB")
    try:
        plan.check_data()
        if not plan.config.synthetic:
            yield Finding("ok", "data", str(plan.data_root))
    except UserError as error:
        yield Finding("fault", "data", str(error))


def _tracking(plan: Plan, results: Path) -> Finding:
    uri = plan.config.tracking_uri
    if uri is None:
        there = (results / "mlflow.db").is_file()
        state = "is there" if there else "will be made"
        return Finding("ok", "tracking", f"{results / 'mlflow.db'} {state}")
    if not uri.startswith(("http://", "https://")):
        return Finding("ok", "tracking", uri)
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=5) as answer:
            return Finding("ok", "tracking", f"{uri} answers ({answer.status})")
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return Finding(
            "note",
            "tracking",
            f"{uri} does not answer ({reason}); runs are kept in files for later",
        )


def _models(plan: Plan, results: Path) -> Iterator[Finding]:
    """The size of each model that the scale runs, and the operations of one pre-training."""
    clock = forecast.Clock(plan, results, results / plan.config.scale)
    for name in dict.fromkeys(model for model, _ in plan.pretrained()):
        text = f"{name}: {sizes.parameters(plan, name):,} parameters"
        if name not in plan.imported():
            job = plan.pretrain_job(name, plan.config.pretrain_seeds[0])
            each, tokens = sizes.flops(job, sizes.vocabulary(plan)), clock.tokens(job)
            text += (
                f", {each / 1e6:,.1f} MFLOP a token, {tokens / 1e6:,.1f} M tokens:"
                f" {each * tokens:.1e} FLOP"
            )
        yield Finding("ok", "model", text)


def _needs(plan: Plan, results: Path, cores: int) -> Iterator[Finding]:
    """Time, memory and disk of the scale, against what is free."""
    if _missing(plan):
        yield Finding("note", "time", "reckoned once the data is there")
        return
    found = forecast.forecast(plan, results)
    due = [job for job in found if job.why]
    seconds = forecast.wall(found, cores)
    text = f"about {forecast.span(seconds)} for {len(due)} of {len(found)} jobs" if due else "done"
    yield Finding("ok", "time", text)
    at_once = min(cores, max(1, len(due)))
    need, free = sizes.memory_mb(plan) * at_once, psutil.virtual_memory().available / 1e6
    yield Finding(
        "ok" if need <= free else "fault",
        "memory",
        f"about {need:,} MB for {at_once} job(s) at once, {free:,.0f} MB free"
        + ("" if need <= free else "; give fewer --cores, or a micro_batch"),
    )
    place = next(p for p in [results, *results.absolute().parents] if p.is_dir())
    need, free = sizes.disk_mb(plan), shutil.disk_usage(place).free / 1e6
    yield Finding(
        "ok" if need <= free else "fault",
        "disk",
        f"about {need:,} MB below {results}, {free:,.0f} MB free"
        + ("" if need <= free else "; free space, or set keep: none"),
    )


def _missing(plan: Plan) -> bool:
    try:
        plan.check_data()
    except UserError:
        return True
    return False


def cores_here() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
