"""The workflow as a person at a terminal of 80 columns sees it: its progress and its end."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gptbench import summary
from gptbench.display import Watch
from gptbench.plan import Plan
from tests.conftest import PROJECT, Project, tiny_config

COLUMNS = 80


def terminal(
    words: list[str],
    folder: Path,
    environment: dict[str, str],
    until: Callable[[], bool] | None = None,
) -> tuple[str, int]:
    """What a command writes to a terminal, and its exit status; Ctrl-C once `until` is true."""
    child, end = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(words[0], words, environment | {"TERM": "xterm"})
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    os.set_blocking(end, False)
    written, stop = b"", time.monotonic() + 300
    while time.monotonic() < stop:
        try:
            part = os.read(end, 65536)
            if not part:
                break
            written += part
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            break
        if until is not None and until():
            os.write(end, b"\x03")
            until = None
    _, status = os.waitpid(child, 0)
    os.close(end)
    return written.decode("utf-8", "replace"), os.waitstatus_to_exitcode(status)


def screen(written: str) -> list[str]:
    """The lines that are left on the terminal: carriage returns, cursor up and erasure done."""
    rows, row, column = [""], 0, 0
    for each in re.finditer(r"\x1b\[(\d*)([A-Za-z])|\x1b\[[\d;]*m|[^\x1b]", written):
        if each[2] == "A":
            row = max(0, row - int(each[1] or 1))
        elif each[2] == "K":
            rows[row] = rows[row][:column]
        elif each[0] == "\r":
            column = 0
        elif each[0] == "\n":
            row += 1
        elif each[0][0] != "\x1b":
            rows[row] = rows[row][:column].ljust(column) + each[0] + rows[row][column + 1 :]
            column += 1
        rows += [""] * (row + 1 - len(rows))
    return [line.rstrip() for line in rows]


@pytest.mark.workflow
def test_a_run_is_two_lines_and_a_summary(copied: Project) -> None:
    path = copied.folder / "config" / "tasks.yaml"
    tasks = yaml.safe_load(path.read_text())
    tasks["rte"]["version"] = 2
    path.write_text(yaml.safe_dump(tasks))
    planned = copied.planned()
    runs, jobs = planned["finetune"], planned["total"] - 1
    written, status = terminal(copied.command(), copied.folder, copied.environment())
    assert status == 0, written[-3000:]
    assert re.search(rf"\d+ % \|.*\| \d+ of {jobs} jobs, [\d.]+/min, .* about .* left", written)
    lines = screen(written)
    text = "\n".join(lines)
    assert f"{jobs} jobs: " in text
    assert re.search(rf"^finetune +{runs} jobs +\d+ s$", text, re.M)
    assert "localrule" not in text, "no block a job"
    assert "Select jobs" not in text
    start = next(i for i, line in enumerate(lines) if line.startswith("Done in "))
    end = next(i for i, line in enumerate(lines) if "make ui  (" in line)
    told = lines[start : end + 1]
    assert len(told) <= 15
    assert max(map(len, told)) < COLUMNS
    assert re.fullmatch(rf"Done in .+: {jobs} jobs; \d+ were there\.", told[0])
    assert "Mean of table 5, 1 pre-training seed (SYNTHETIC DATA, not comparable):" in told
    mean = next(
        line.split(",")
        for line in (copied.results / "report" / "scores.csv").read_text().splitlines()
        if re.match(r"table5,.*,gptbench,lstm,lstm,average,average,,,,", line)
    )
    assert any(re.match(rf" +{float(mean[10]):.1f} ± .* LSTM", line) for line in told)
    assert any("The paper's claims:" in line for line in told)
    assert "not shown in the synthetic world (too few seeds for a verdict)" in " ".join(
        line.strip() for line in told
    )
    assert "results/tiny/report/index.html" in text
    log = max((copied.folder / ".snakemake" / "log").iterdir(), key=lambda p: p.stat().st_mtime)
    assert log.read_text().count("localrule finetune:") == runs, "the log has every block"
    assert (
        "finetune: " in (copied.results / "logs" / "finetune").glob("*rte*").__next__().read_text()
    )


@pytest.mark.workflow
def test_a_failure_says_what_failed_and_how_to_go_on(copied: Project) -> None:
    copied.config["finetune"]["lr"] = 1e30
    copied.save()
    planned = copied.planned("rte")["finetune"]
    words = copied.command("rte")
    written, status = terminal(words, copied.folder, copied.environment())
    assert status == 1
    lines = screen(written)
    failed = [line for line in lines if line.startswith("FAILED finetune/")]
    runs = len(list(copied.results.glob("finetune/*/rte/*/predictions.parquet")))
    assert len(failed) >= 4, "one failure does not keep the others from running"
    assert runs == 0
    assert any("outputs are not finite" in line for line in lines), "the end of the log"
    assert "--settings" not in "\n".join(lines), "no page of JSON"
    assert f"{planned} jobs: {planned} finetune" in lines, "the target `rte` is no job"
    start = next(i for i, line in enumerate(lines) if re.match(r"\d+ of \d+ jobs failed", line))
    told = lines[start : start + 15]
    assert re.search(r"its log: results/tiny/logs/finetune/\S+-rte-\S+\.log$", told[2])
    assert f"  and {len(failed) - 3} more" in told
    assert "  snakemake rte --cores 2 --configfile config/tiny.yaml" in told


@pytest.mark.workflow
def test_an_interrupt_is_no_failure(tmp_path: Path) -> None:
    config = tiny_config()
    for model in config["models"].values():
        model["pretrain"]["steps"] = 3000
    project = Project(tmp_path / "stopped", config)
    target = "results/tiny/pretrain/transformer/seed0/metrics.json"
    state = (project.folder / target).with_name("resume.ckpt")
    environment = {**project.environment(), "GPTBENCH_RESUME_SECONDS": "0.5"}
    written, status = terminal(
        project.command(target), project.folder, environment, until=state.exists
    )
    assert status != 0
    text = "\n".join(screen(written))
    assert "FAILED" not in text
    assert re.search(r"^Stopped after .*: 3 of 4 jobs done\.$", text, re.M)
    assert "Go on with the same command; what is done is kept:" in text
    assert f"  snakemake {target} --cores 2" in text


def test_a_long_stage_has_a_bar_on_a_terminal(tmp_path: Path) -> None:
    """`gptbench world` in a terminal: how far, how quick, how long yet."""
    job = Plan.read(tiny_config(), PROJECT / "config").world_job()
    world = job.world.model_copy(update={"books_train": 40, "words_per_book": 20_000})
    settings = job.model_copy(update={"world": world}).to_json()
    words = [sys.executable, "-m", "gptbench", "world", "--settings", settings]
    written, status = terminal([*words, "--out", str(tmp_path / "w")], PROJECT, dict(os.environ))
    assert status == 0, written
    assert re.search(r"world: train: +\d+%\|.*\| [\d.]+/40\.0 \[.*<.*, .* books/s", written)
    assert screen(written)[0].startswith("world: "), "the bar is gone at the end"


# The parts. -----------------------------------------------------------------------------------


class Shown(logging.Handler):
    """Stands for Snakemake's own handler: keeps what is passed on."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def say(watch: Watch, message: str, event: str | None = None, **facts: Any) -> None:
    """A message as Snakemake's logger makes it."""
    from snakemake.logging import LogEvent

    level = logging.ERROR if event in ("job_error", "error") else logging.INFO
    record = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    if event:
        record.event = LogEvent(event)
    record.__dict__.update(facts)
    watch.handle(record)


def started(watch: Watch, number: int, rule: str) -> None:
    log = str(watch.logs / rule / f"job{number}.log")
    say(watch, "", "job_info", jobid=number, rule_name=rule, log=[log])


def test_time_left_by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two of four short jobs took 2 s each; a long one of two took 10 s: 4 + 10 s are left."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Watch(tmp_path)
    say(watch, "", "run_info", stats={"short": 4, "long": 2, "all": 1, "total": 7})
    unknown = watch.left
    assert unknown is None
    for number, (rule, seconds) in enumerate([("short", 2.0), ("short", 2.0), ("long", 10.0)]):
        started(watch, number, rule)
        now[0] += seconds
        say(watch, "", "job_finished", job_id=number)
    assert watch.left == 14.0
    assert [job.name for job in watch.done] == ["short/job0", "short/job1", "long/job2"]
    started(watch, 4, "long")
    started(watch, 5, "short")
    assert watch.left == 7.0, "two at once"


def test_time_left_of_rules_whose_first_job_still_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Jobs of 1, 2 and 30 s: one never seen takes their median, or as long as one that runs."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Watch(tmp_path)
    say(watch, "", "run_info", stats={"a": 1, "b": 1, "c": 1, "long": 2, "unseen": 3})
    for number, (rule, seconds) in enumerate([("a", 1.0), ("b", 2.0), ("c", 30.0)]):
        started(watch, number, rule)
        now[0] += seconds
        say(watch, "", "job_finished", job_id=number)
    assert watch.left == 5 * 2.0
    started(watch, 3, "long")
    now[0] += 60
    assert watch.left == 60 + 3 * 2.0, "the other long one takes a minute too"


def test_a_rule_that_only_asks_for_others_is_no_job(tmp_path: Path) -> None:
    watch = Watch(tmp_path, targets=lambda: {"all", "rte"})
    say(watch, "", "run_info", stats={"finetune": 2, "rte": 1, "total": 3})
    started(watch, 1, "finetune")
    started(watch, 2, "rte")
    assert watch.planned == {"finetune": 2}
    assert [job.rule for job in watch.jobs.values()] == ["finetune"]


def test_what_a_job_says_is_not_what_an_earlier_one_said(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    log = tmp_path / "short" / "job1.log"
    log.parent.mkdir()
    log.write_text("the run before\n")
    os.utime(log, (time.time() - 60,) * 2)
    started(watch, 1, "short")
    job = watch.jobs[1]
    assert job.said() == ""
    time.sleep(0.05)
    log.write_text("step 1\n")
    assert job.said() == "step 1"


def test_an_interrupted_job_is_neither_done_nor_failed(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    say(watch, "", "run_info", stats={"short": 2, "total": 2})
    started(watch, 1, "short")
    started(watch, 2, "short")
    started(watch, 3, "short")
    say(watch, "", "job_error", jobid=1, log=[])
    log = tmp_path / "short" / "job3.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("gptbench: interrupted; the same command goes on from here\n")
    say(watch, "", "job_error", jobid=3, log=[str(log)])
    say(watch, "Terminating processes on user request, this might take some time.")
    say(watch, "", "job_error", jobid=2, log=[])
    assert [job.name for job in watch.failed] == ["short/job1"]
    assert watch.done == []
    assert summary.lines(Plan.read(tiny_config(), PROJECT / "config"), watch, False, 0.0)[
        0
    ].startswith("Stopped after ")


def test_nothing_to_be_done_is_said(tmp_path: Path) -> None:
    """What comes before the jobs is noise where there are jobs, else it is the answer."""
    shown = Shown()
    watch = Watch(tmp_path, shown)
    say(watch, "SNAKEMAKE", "workflow_started")
    say(watch, "Building DAG of jobs...")
    say(watch, "Nothing to be done (all requested files are present and up to date).")
    assert shown.said == []
    watch.close()
    assert shown.said[-1].startswith("Nothing to be done")


@pytest.mark.parametrize("found", ["showcase", "local-seeds"])
def test_the_headline_of_a_published_report(found: str, tmp_path: Path) -> None:
    """The means that README.md states of these reports, with what they are not comparable with."""
    config = yaml.safe_load((PROJECT / "config" / f"{found}.yaml").read_text())
    config["data_root"] = config["data_root"] or (None if found == "showcase" else str(tmp_path))
    plan = Plan.read(config, PROJECT / "config")
    lines = list(summary._headline(plan, PROJECT / "results" / "reference" / found))
    label = {"showcase": "SYNTHETIC DATA", "local-seeds": "REDUCED DATA"}[found]
    seeds = {"showcase": 5, "local-seeds": 3}[found]
    assert lines[0] == f"Mean of table 5, {seeds} pre-training seeds ({label}, not comparable):"
    means = {"showcase": ["88.0 ± 7.5", "53.0 ± 1.8"], "local-seeds": ["43.7 ± 1.4", "39.5 ± 2.3"]}
    for line, mean in zip(lines[1:], means[found], strict=False):
        assert line.strip().startswith(mean)
    assert any(line.startswith("The paper's claims: ") for line in lines)
    assert not any("too few seeds" in line for line in lines), "three seeds and more"
