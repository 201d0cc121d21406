"""Doctor: each state of packages, data, tracking server, memory and disk, as a person meets it."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml

from gptbench import doctor, forecast, sizes
from gptbench.cli import main
from gptbench.plan import Plan
from gptbench.settings import read_yaml
from tests.conftest import PROJECT, tiny_config

CONFIG = PROJECT / "config"


def plan(**changes: Any) -> Plan:
    return Plan.read({**tiny_config(), **changes}, CONFIG, "tiny")


def findings(found: Iterator[doctor.Finding]) -> dict[str, doctor.Finding]:
    return {each.subject: each for each in found}


def test_a_whole_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_config()))
    assert main(["doctor", str(path), "--results-root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    subjects = [line[6:18].strip() for line in lines[1:]]
    assert (
        subjects == "python packages machine gpu data tracking model model time memory disk".split()
    )
    jobs = len(list(forecast.jobs(plan())))
    assert any(f"for {jobs} of {jobs} jobs" in line for line in lines)


def test_a_package_at_another_version_and_one_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def other(name: str) -> str:
        if name == "seaborn":
            raise PackageNotFoundError
        return "0.0.1" if name == "numpy" else version(name)

    monkeypatch.setattr(doctor, "version", other)
    found = findings(doctor._packages())
    assert found["seaborn"].state == "fault"
    assert found["packages"].state == "note"
    assert "numpy 0.0.1 (pinned" in found["packages"].text


def test_missing_data_is_a_fault_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["doctor", str(CONFIG / "local.yaml"), "--data-root", str(tmp_path)]
    assert main([*words, "--results-root", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    faults = [line for line in out.splitlines() if line.startswith("FAULT")]
    assert len(faults) == 14, "thirteen data sets and the books"
    assert all("fetch it from http" in line for line in faults[:13])
    assert "reckoned once the data is there" in out
    assert err.startswith("gptbench: 14 fault(s)")


def test_the_books_are_counted(tmp_path: Path) -> None:
    for split, words in (("train", 200_000), ("validation", 50_000)):
        folder = tmp_path / "books" / split
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text("a book " * (words // 7))
    local = Plan.read({**read_yaml(CONFIG / "local.yaml"), "data_root": str(tmp_path)}, CONFIG)
    found = findings(doctor._data(local))
    assert found["books"].text == "2 file(s), 0.2 MB"
    assert found["books"].state == "ok"


def test_tracking_servers() -> None:
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        there = doctor._tracking(plan(tracking_uri=uri), Path("results"))
        server.shutdown()
    assert (there.state, "answers (200)" in there.text) == ("ok", True)
    gone = doctor._tracking(plan(tracking_uri=uri), Path("results"))
    assert gone.state == "note"
    assert "does not answer" in gone.text


def test_too_little_memory_or_disk_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e6))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1e6))
    monkeypatch.setattr(forecast, "time_steps", lambda *_: 1000.0)
    found = findings(doctor._needs(plan(), tmp_path, 2))
    assert {name: each.state for name, each in found.items()} == {
        "time": "ok",
        "memory": "fault",
        "disk": "fault",
    }
    assert "fewer --cores" in found["memory"].text


def test_reckoned_sizes() -> None:
    """The tiny scale by hand: weights of both models, checkpoints, and one kept run a cell."""
    tiny = plan()
    vocabulary = tiny.config.tokenizer.merges + 500
    parameters = {name: sizes.parameters(tiny, name) for name in ("transformer", "lstm")}
    width, n_ctx = 16, tiny.config.n_ctx
    block = 12 * width * width + 13 * width
    assert parameters["transformer"] == vocabulary * width + n_ctx * width + 2 * block
    kept = sum(
        parameters[tiny.variant(run.variant).model]
        for run in tiny.runs()
        if (run.pretrain_seed, run.seed) == (0, 0)
    )
    size = 4 * (4 * sum(parameters.values()) + kept) + 2e4 * len(tiny.runs())
    assert sizes.disk_mb(tiny) == round(20 + size / 1e6)


def test_training_at_a_speed_that_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Operations a token by hand, and from them the hours; nothing is timed."""
    tiny = plan()
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_config()))
    words = tiny.config.tokenizer.merges + 500
    n_ctx, width, layers = tiny.config.n_ctx, 16, 2
    weights = words * width + layers * (12 * width * width + 13 * width)
    each = 6 * weights + 12 * width * layers * n_ctx
    tokens = 12 * 4 * n_ctx
    found = forecast.forecast(tiny, tmp_path, speed=1e6)
    job = next(job for job in found if job.folder == "pretrain/transformer/seed0")
    assert job.seconds == pytest.approx(tokens * each / 1e6)
    assert main(["doctor", str(path), "--results-root", str(tmp_path)]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if "model        transf" in x)
    assert f"{weights + n_ctx * width:,} parameters, {each / 1e6:,.1f} MFLOP a token" in line
    assert f"{each * tokens:.1e} FLOP" in line
    training = sum(job.seconds for job in found if job.stage in ("pretrain", "finetune"))
    options = ["--results-root", str(tmp_path), "--tflops", "1e-6"]
    assert main(["plan", str(path), *options]) == 0
    assert f"{training / 3600:,.0f} h of training in all" in capsys.readouterr().out
    assert main(["plan", str(path), "--tflops", "0"]) == 2
    assert "--tflops 0.0: a number above 0" in capsys.readouterr().err


def test_the_longest_chain_bounds_the_time() -> None:
    jobs = [
        forecast.Job("a", "a", plan().world_job(), seconds=10),
        forecast.Job("b", "b", plan().world_job(), needs=["a"], seconds=10),
        forecast.Job("c", "c", plan().world_job(), seconds=4),
    ]
    assert forecast.wall(jobs, 1) == 24
    assert forecast.wall(jobs, 8) == 20
    assert [forecast.span(x) for x in (0.2, 80, 600, 9000, 864000)] == [
        "1 s",
        "80 s",
        "10 min",
        "2.5 h",
        "10 days",
    ]


def test_differences_of_settings_in_words() -> None:
    before = read_yaml(CONFIG / "config.yaml")["finetune"]
    after = {**before, "lr": 0.5}
    assert forecast.difference({"x": before}, {"x": after}) == [f"x.lr {before['lr']} -> 0.5"]
    assert forecast.difference({"a": [1]}, {}) == ["a [1] -> null"]
