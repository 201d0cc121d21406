"""Long jobs in MLflow while they run: the live file, the follower, and the sync at the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptbench import lock, tracking
from gptbench.artifacts import write_text
from gptbench.errors import UserError
from gptbench.settings import FinetuneJob, PretrainJob
from gptbench.tracking.follow import Follower, follow, running
from gptbench.tracking.store import Store
from gptbench.training import finetune, live, pretrain
from tests.test_determinism import everything, inputs, jobs  # noqa: F401
from tests.test_tracking import STARTED, client, fake_job, runs
from tests.training_fakes import pretrain_job, transformer, write_corpus

SETTINGS = {"model": "transformer", "seed": 0, "backbone": {"kind": "transformer"}}


def show(folder: Path, steps: int, pid: int | None = None, **changes: Any) -> None:
    """A fake job shows itself: points at the steps 1 to `steps`; the numbers mean nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    pid = os.getpid() if pid is None else pid
    rows = "".join(f"{step},{5 - step / 10},0.1\n" for step in range(1, steps + 1))
    state = {
        "run_id": "fake-pretrain-seed0",
        "stage": "pretrain",
        "settings": SETTINGS,
        "inputs": {},
        "code": "0" * 40,
        "packages": {},
        "machine": {},
        "started": STARTED,
        "host": socket.gethostname(),
        "pid": pid,
        "process": lock.identity(pid),
        "step": steps,
        "steps": 100,
        "curves": f"step,loss,lr\n{rows}",
        "speed_name": "tokens_per_second",
        "speed": [[step, 1000.0 + step] for step in range(2, steps + 1)],
    }
    (folder / live.FILE).write_text(json.dumps({**state, **changes}))


def look(root: Path) -> None:
    """One look of a follower that has just started."""
    results = root / "quick"
    Follower(results, Store.of(root, None)).look(running(results))


def followed(root: Path) -> Any:
    """The one run of the pre-training job."""
    (run,) = runs(root, "tags.`gptbench.stage` = 'pretrain'")
    return client(root).get_run(run.info.run_id)


def steps(root: Path, name: str) -> list[int]:
    history = client(root).get_metric_history(followed(root).info.run_id, name)
    return sorted(point.step for point in history)


def test_a_job_is_followed_killed_resumed_and_finished_in_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "quick/pretrain/transformer/seed0"
    show(folder, 3)
    look(tmp_path)
    run = followed(tmp_path)
    assert (run.info.status, run.data.tags["gptbench.live"]) == ("RUNNING", "true")
    assert run.data.params["backbone.kind"] == "transformer"
    assert steps(tmp_path, "loss") == steps(tmp_path, "train_perplexity") == [1, 2, 3]
    assert steps(tmp_path, "tokens_per_second") == [2, 3]
    assert steps(tmp_path, "system/process_memory_megabytes") == [0]

    show(folder, 5)
    look(tmp_path)
    assert steps(tmp_path, "loss") == [1, 2, 3, 4, 5]
    assert steps(tmp_path, "system/process_memory_megabytes") == [0, 1]

    show(folder, 5, process="a process that is gone")
    assert running(tmp_path / "quick") == []
    look(tmp_path)
    assert followed(tmp_path).info.status == "KILLED"

    # It went back to its last state: step 5 comes again, with the same numbers.
    show(folder, 6)
    look(tmp_path)
    assert followed(tmp_path).info.status == "RUNNING"
    assert steps(tmp_path, "loss") == [1, 2, 3, 4, 5, 6]

    (folder / live.FILE).unlink()
    rows = "".join(f"{step},{5 - step / 10},0.1\n" for step in range(1, 9))
    metrics = {"steps": 8, "validation_loss": 3.0, "perplexity": 20.1}
    fake_job(folder, "pretrain", SETTINGS, metrics, f"step,loss,lr\n{rows}", started=STARTED + 9)
    look(tmp_path)
    assert followed(tmp_path).info.status == "RUNNING", "finished: the sync's"
    assert tracking.sync(tmp_path / "quick").logged == 1
    done = followed(tmp_path)
    assert done.info.run_id == run.info.run_id
    assert done.info.status == "FINISHED"
    assert "gptbench.live" not in done.data.tags
    assert done.data.tags["gptbench.started"] == repr(STARTED + 9)
    assert steps(tmp_path, "loss") == steps(tmp_path, "lr") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert steps(tmp_path, "perplexity") == [8]
    assert steps(tmp_path, "job/seconds") == [0]
    assert tracking.sync(tmp_path / "quick").logged == 0


def test_a_sync_leaves_running_jobs_and_ends_those_that_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "quick/pretrain/transformer/seed0"
    fake_job(tmp_path / "quick/tokenizer", "tokenizer", {})
    show(folder, 2)
    look(tmp_path)
    assert tracking.sync(tmp_path / "quick").logged == 1
    assert followed(tmp_path).info.status == "RUNNING"
    show(folder, 2, process="a process that is gone")
    assert tracking.sync(tmp_path / "quick").logged == 0
    assert followed(tmp_path).info.status == "KILLED"
    # The same job with other settings, or from its start: another run; the old one stays killed.
    show(folder, 1, run_id="fake-other")
    look(tmp_path)
    found = runs(tmp_path, "tags.`gptbench.stage` = 'pretrain'")
    assert sorted(run.info.status for run in found) == ["KILLED", "RUNNING"]


def test_what_is_alive_on_another_host_is_told_by_the_files_age(tmp_path: Path) -> None:
    folder = tmp_path / "quick/pretrain/transformer/seed0"
    show(folder, 2, host="elsewhere", process="unknown here")
    assert len(running(tmp_path / "quick")) == 1
    long_ago = time.time() - 3600
    os.utime(folder / live.FILE, (long_ago, long_ago))
    assert running(tmp_path / "quick") == []


def test_without_long_jobs_there_is_nothing_to_follow(tmp_path: Path) -> None:
    """And MLflow is not imported."""
    (tmp_path / "quick").mkdir()
    code = (
        "import sys; from pathlib import Path; from gptbench.tracking import follow\n"
        f"follow(Path({str(tmp_path / 'quick')!r}))\n"
        "assert 'mlflow' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(UserError, match="no such folder"):
        follow(tmp_path / "nothing")


# Jobs. -------------------------------------------------------------------------------------------


def train(inputs: Path, out: Path) -> tuple[PretrainJob, FinetuneJob]:  # noqa: F811
    first, second = jobs()
    pretrain.run(first, inputs / "corpus", out / "pretrain")
    finetune.run(second, inputs / "task", out / "pretrain", out / "finetune")
    return first, second


def test_results_have_the_same_bytes_with_and_without(
    inputs: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train(inputs, tmp_path / "without")
    monkeypatch.setattr(live, "SECONDS", 0.0)
    monkeypatch.setattr(live, "INTERVAL", 0.0)
    shown: list[dict[str, Any]] = []

    def note(path: Path, text: str) -> None:
        if path.name == live.FILE:
            shown.append(json.loads(text))
        write_text(path, text)

    monkeypatch.setattr(live, "write_text", note)
    train(inputs, tmp_path / "with")
    assert everything(tmp_path / "with") == everything(tmp_path / "without")
    first = [state for state in shown if state["stage"] == "pretrain"]
    assert [state["step"] for state in first] == list(range(1, 9))
    assert first[-1]["curves"] == (tmp_path / "with/pretrain/curves.csv").read_text()
    assert {state["stage"] for state in shown} == {"pretrain", "finetune"}
    assert not list(tmp_path.rglob(live.FILE)), "a finished job shows nothing"
    speed = json.loads((tmp_path / "with/pretrain/speed.json").read_text())
    assert speed["name"] == "tokens_per_second"
    assert [step for step, _ in speed["points"]] == list(range(2, 9))
    assert all(rate > 0 for _, rate in speed["points"])


def until(what: Callable[[], Any], seconds: float = 120) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_real_job_is_followed_by_a_real_process(tmp_path: Path) -> None:
    """Killed once on the way, and resumed: one run, no point twice."""
    results = tmp_path / "quick"
    write_corpus(results / "corpus")
    out = results / "pretrain/transformer/seed0"
    job = pretrain_job(transformer(), steps=1500).to_json()
    environment = {**os.environ, "GPTBENCH_LIVE_SECONDS": "0.5", "GPTBENCH_RESUME_SECONDS": "1"}
    environment.pop("GPTBENCH_WORKER", None)

    def start(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "gptbench", *words], env=environment)

    def points() -> int:
        ledger = results / "tracking.json"
        if not ledger.exists():
            return 0
        entry = json.loads(ledger.read_text())["stores"]["default"]
        return int(entry.get("live", {}).get("pretrain/transformer/seed0", {}).get("step", 0))

    words = ("pretrain", "--settings", job, "--corpus", str(results / "corpus"), "--out", str(out))
    watch = ("track", "follow", "--results", str(results), "--every", "0.5")
    training = start(*words)
    until((out / live.FILE).exists)
    # Held still while MLflow is imported, so that a quick machine does not finish first.
    training.send_signal(signal.SIGSTOP)
    follower = start(*watch)
    until(points)
    before = points()
    training.send_signal(signal.SIGCONT)
    until(lambda: points() > before)
    training.kill()
    training.wait()
    assert follower.wait(120) == 0
    assert followed(tmp_path).info.status == "KILLED"
    first = followed(tmp_path).info.run_id

    training = start(*words)
    assert training.wait(300) == 0
    assert tracking.sync(results).logged == 1
    done = followed(tmp_path)
    assert (done.info.run_id, done.info.status) == (first, "FINISHED")
    rows = (out / "curves.csv").read_text().splitlines()[1:]
    all_steps = [int(row.split(",")[0]) for row in rows if row.split(",")[1]]
    assert steps(tmp_path, "loss") == all_steps
    assert len(steps(tmp_path, "validation_loss")) == len(set(steps(tmp_path, "validation_loss")))
