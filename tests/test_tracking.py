"""MLflow: what is logged, that it is logged once, and that nothing fails when it is away.

The job folders here are fakes: manifests and numbers made up for the tests.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gptbench import tracking
from gptbench.errors import UserError
from gptbench.tracking.jobs import VALUE_LENGTH, read_curves, thin
from gptbench.tracking.store import Store
from gptbench.tracking.sync import LEDGER
from gptbench.tracking.ui import server_command, server_environment

STARTED = 1_700_000_000.0


def fake_job(
    folder: Path,
    stage: str,
    settings: dict[str, Any],
    metrics: dict[str, Any] | None = None,
    curves: str = "",
    run_id: str = "",
    started: float = STARTED,
) -> None:
    """A folder as a finished job leaves it; the numbers mean nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "run_id": run_id or f"fake-{stage}-{folder.name}",
        "stage": stage,
        "settings": settings,
        "inputs": {"task": "fake-task"},
        "code": "0" * 40,
        "packages": {"torch": "0.0"},
        "machine": {"processor": "fake"},
        "started": started,
        "seconds": 2.5,
        "cpu_seconds": 2.0,
        "peak_memory_mb": 100,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if metrics:
        (folder / "metrics.json").write_text(json.dumps(metrics))
    if curves:
        (folder / "curves.csv").write_text(curves)


def fake_finetune(root: Path, seed: int, **changes: Any) -> None:
    settings = {
        "variant": "full",
        "model": "transformer",
        "task": {"name": "mnli", "title": "x" * 7000},
        "pretrain_seed": 0,
        "seed": seed,
        "lm_coef": 0.5,
        "backbone": {"n_layer": 2, "init_std": "fan_in"},
        "finetune": {f"key{i}": i for i in range(150)},
    }
    metrics = {
        "variant": "full",
        "run_id": "fake",
        "seed": seed,
        "lm_coef": 0.5,
        "steps": 20,
        "scores": {"dev_matched": {"accuracy": 55.5}},
        "degenerate": {"dev_matched": False},
        "final_loss": 1.25,
    }
    curves = "step,loss,accuracy\n10,2.0,\n20,1.5,50\n"
    fake_job(
        root / f"finetune/full/mnli/pre0-seed{seed}",
        "finetune",
        settings,
        metrics,
        curves,
        **{"run_id": f"fake-finetune-{seed}", **changes},
    )


def fake_report(root: Path) -> None:
    config = {"source": "world", "title": "Fake", "notes": ["Made up."]}
    fake_job(root / "report", "report", {"config": config}, run_id="fake-report")
    (root / "report/tables").mkdir()
    (root / "report/tables/table5.csv").write_text("fake\n")
    (root / "report/index.html").write_text("<p>fake</p>")
    (root / "report/cache.bin").write_bytes(b"not for the tracker")


def fake_results(root: Path, report: bool = True) -> Path:
    """A scale with one fake job of most stages."""
    fake_job(root / "tokenizer", "tokenizer", {"tokenizer": {"merges": 10}})
    fake_job(root / "tasks/mnli", "encode", {"task": {"name": "mnli"}, "seed": 0})
    fake_job(
        root / "pretrain/transformer/seed0",
        "pretrain",
        {"model": "transformer", "seed": 0},
        {"steps": 100, "validation_loss": 3.0, "device": "cpu", "checkpoints": [10, 100]},
        "step,loss,validation_loss\n50,4,\n100,3.5,3.0\n",
    )
    fake_job(
        root / "zeroshot/transformer/seed0",
        "zeroshot",
        {"model": "transformer", "seed": 0, "tasks": [{"name": "sst2"}]},
        {
            "scores": [
                {"step": 10, "task": "sst2", "split": "dev", "metric": "accuracy", "value": 50.0},
                {"step": 100, "task": "sst2", "split": "dev", "metric": "accuracy", "value": 60.0},
            ],
            "probes": [{"step": 10, "knowledge": "grammar", "value": 70.0, "n": 5}],
        },
    )
    for seed in (1, 2):
        fake_finetune(root, seed)
    if report:
        fake_report(root)
    return root


def client(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def runs(root: Path, where: str = "") -> list[Any]:
    """The runs of the fake scale `quick`, by name."""
    found = client(root).get_experiment_by_name("gptbench/quick")
    assert found is not None
    listed = client(root).search_runs([found.experiment_id], where, max_results=1000)
    return sorted(listed, key=lambda run: str(run.info.run_name))


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that was synced once; tests only read it."""
    root = tmp_path_factory.mktemp("results")
    tracking.sync(fake_results(root / "quick"))
    return root


def stages(everything: list[Any]) -> list[Any]:
    return [run for run in everything if run.data.tags.get("gptbench.stage") == "stage"]


def jobs(everything: list[Any]) -> list[Any]:
    return [run for run in everything if "gptbench.folder" in run.data.tags]


def test_jobs_are_nested_under_stages_and_these_under_one_reproduction(logged: Path) -> None:
    everything = runs(logged)
    parents = [run for run in everything if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.run_name for run in parents] == ["quick · synthetic world"]
    parent = parents[0]
    between = stages(everything)
    assert [run.info.run_name for run in between] == [
        "encode (1 job)",
        "finetune (2 jobs)",
        "pretrain (1 job)",
        "tokenizer (1 job)",
        "zeroshot (1 job)",
    ]
    assert {run.data.tags["mlflow.parentRunId"] for run in between} == {parent.info.run_id}
    children = jobs(everything)
    assert [run.info.run_name for run in children] == [
        "encode mnli",
        "finetune full mnli pre0 seed1",
        "finetune full mnli pre0 seed2",
        "pretrain transformer seed0",
        "tokenizer",
        "zeroshot transformer seed0",
    ]
    of = {run.info.run_id: run.data.tags["gptbench.stage_of"] for run in between}
    for run in children:
        assert of[run.data.tags["mlflow.parentRunId"]] == run.data.tags["gptbench.stage"]
    assert len(everything) == 1 + 5 + 6
    assert {run.info.status for run in everything} == {"FINISHED"}
    assert parent.data.tags["gptbench.state"] == "complete"
    assert parent.data.tags["gptbench.run_id"] == "fake-report"
    assert parent.data.tags["mlflow.note.content"] == "Fake\n\nMade up."


def test_stages_and_reproduction_have_the_sums_of_their_jobs(logged: Path) -> None:
    everything = runs(logged)
    (finetune,) = [run for run in stages(everything) if "finetune" in run.info.run_name]
    two = {"jobs": 2, "seconds": 5.0, "cpu_seconds": 4.0, "peak_memory_mb": 100}
    assert finetune.data.metrics == {f"sum/{key}": value for key, value in two.items()}
    assert finetune.info.start_time == STARTED * 1000
    assert finetune.info.end_time == STARTED * 1000 + 2500
    (parent,) = [run for run in everything if "mlflow.parentRunId" not in run.data.tags]
    six = {"jobs": 6, "seconds": 15.0, "cpu_seconds": 12.0, "peak_memory_mb": 100}
    assert parent.data.metrics == {f"sum/{key}": value for key, value in six.items()}


def test_runs_of_an_earlier_version_get_their_stages(tmp_path: Path) -> None:
    """Before, jobs hung below the reproduction; the ledger knew no stages."""
    scale = fake_results(tmp_path / "quick", report=False)
    tracking.sync(scale)
    everything = runs(tmp_path)
    (parent,) = [run for run in everything if "mlflow.parentRunId" not in run.data.tags]
    before = {run.info.run_id for run in jobs(everything)}
    for run in jobs(everything):
        client(tmp_path).set_tag(run.info.run_id, "mlflow.parentRunId", parent.info.run_id)
    for run in stages(everything):
        client(tmp_path).delete_run(run.info.run_id)
    ledger = json.loads((scale / LEDGER).read_text())
    for name in ("stages", "live"):
        del ledger["stores"]["default"][name]
    (scale / LEDGER).write_text(json.dumps(ledger))
    assert tracking.sync(scale).logged == 0, "nothing new, nothing to do"
    fake_finetune(scale, 3)
    assert tracking.sync(scale).logged == 1
    after = runs(tmp_path)
    assert {run.info.run_id for run in jobs(after)} > before
    of = {run.info.run_id: run.data.tags["gptbench.stage_of"] for run in stages(after)}
    assert sorted(of.values()) == ["encode", "finetune", "pretrain", "tokenizer", "zeroshot"]
    for run in jobs(after):
        assert of[run.data.tags["mlflow.parentRunId"]] == run.data.tags["gptbench.stage"]


def test_a_run_has_its_tags_settings_numbers_and_times(logged: Path) -> None:
    (run,) = runs(logged, "tags.`gptbench.run_id` = 'fake-finetune-1'")
    expected = {
        "scale": "quick",
        "stage": "finetune",
        "variant": "full",
        "model": "transformer",
        "task": "mnli",
        "seed": "1",
        "pretrain_seed": "0",
        "commit": "0" * 40,
        "inputs.task": "fake-task",
    }
    assert {key: run.data.tags.get(f"gptbench.{key}") for key in expected} == expected
    params = run.data.params
    assert params["backbone.n_layer"] == "2"
    assert params["backbone.init_std"] == "fan_in"
    assert params["finetune.key149"] == "149"
    assert len(params["task.title"]) == VALUE_LENGTH
    metrics = run.data.metrics
    assert metrics["scores/dev_matched/accuracy"] == 55.5
    assert metrics["degenerate/dev_matched"] == 0
    assert metrics["job/peak_memory_mb"] == 100
    system = {key: value for key, value in metrics.items() if key.startswith("system/")}
    assert system == {
        "system/process_seconds": 2.5,
        "system/process_cpu_seconds": 2.0,
        "system/process_cpu_percentage": 80.0,
        "system/process_peak_memory_megabytes": 100,
    }
    assert not {"seed", "run_id", "lm_coef"} & metrics.keys()
    assert run.info.start_time == STARTED * 1000
    assert run.info.end_time == STARTED * 1000 + 2500
    history = client(logged).get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(10, 2.0), (20, 1.5)]
    assert len(client(logged).get_metric_history(run.info.run_id, "accuracy")) == 1


def test_zero_shot_scores_are_logged_by_step(logged: Path) -> None:
    (run,) = runs(logged, "tags.`gptbench.stage` = 'zeroshot'")
    history = client(logged).get_metric_history(run.info.run_id, "scores/sst2/dev/accuracy")
    assert [(point.step, point.value) for point in history] == [(10, 50.0), (100, 60.0)]
    assert run.data.metrics["probes/grammar"] == 70.0


def test_the_report_is_an_artifact_of_the_reproduction(logged: Path) -> None:
    (parent,) = runs(logged, "tags.`gptbench.stage` = 'reproduction'")
    listed = client(logged).list_artifacts(parent.info.run_id, "report")
    assert {file.path for file in listed} == {
        "report/index.html",
        "report/manifest.json",
        "report/tables",
    }
    assert (logged / "mlartifacts/quick" / parent.info.run_id / "artifacts/report/tables").is_dir()


def test_a_second_sync_ends_at_once_and_without_mlflow(logged: Path) -> None:
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "from pathlib import Path; from gptbench import tracking\n"
        f"summary = tracking.sync(Path({str(logged / 'quick')!r}))\n"
        "assert (summary.logged, summary.known) == (0, 6), summary\n"
        "assert 'mlflow' not in sys.modules and 'sqlalchemy' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
        "print(time.perf_counter() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "nothing new (6 runs of quick logged before)" in done.stdout


def test_a_server_serves_the_runs_and_the_report(logged: Path) -> None:
    (parent,) = runs(logged, "tags.`gptbench.stage` = 'reproduction'")
    experiment, run_id = parent.info.experiment_id, parent.info.run_id
    with server(logged) as address:
        query = {
            "experiment_ids": [experiment],
            "filter": "tags.`gptbench.folder` LIKE '%'",
        }
        found = ask(f"{address}/api/2.0/mlflow/runs/search", query)
        names = {run["info"]["run_name"] for run in found["runs"]}
        assert len(names) == 6
        assert "finetune full mnli pre0 seed1" in names
        where = urllib.parse.urlencode({"path": "report/index.html", "run_id": run_id})
        with urllib.request.urlopen(f"{address}/get-artifact?{where}", timeout=20) as page:
            assert page.read() == b"<p>fake</p>"


def test_syncing_to_a_server(logged: Path, tmp_path: Path) -> None:
    root = tmp_path / "elsewhere"
    scale = fake_results(root / "small")
    with server(logged) as address:
        summary = tracking.sync(scale, address)
        assert (summary.logged, summary.known) == (6, 0)
        assert tracking.sync(scale, address).logged == 0
    assert not (root / "mlflow.db").exists()
    # It is away now, but there is nothing to log: no error.
    assert tracking.sync(scale, address).known == 6


def test_a_run_made_again_supersedes_the_old_one(tmp_path: Path) -> None:
    scale = fake_results(tmp_path / "quick", report=False)
    tracking.sync(scale)
    (parent,) = runs(tmp_path, "tags.`gptbench.stage` = 'reproduction'")
    assert parent.data.tags["gptbench.state"] == "incomplete"
    assert parent.info.status == "FAILED"

    fake_finetune(scale, 1, run_id="fake-finetune-new")
    fake_finetune(scale, 2, started=STARTED + 100)  # the same settings, run again
    fake_finetune(scale, 3)
    fake_report(scale)
    summary = tracking.sync(scale)
    assert (summary.logged, summary.known, summary.superseded) == (3, 4, 2)
    old = runs(tmp_path, "tags.`gptbench.superseded` = 'true'")
    assert [run.data.tags["gptbench.run_id"] for run in old] == [
        "fake-finetune-1",
        "fake-finetune-2",
    ]
    (parent,) = runs(tmp_path, "tags.`gptbench.stage` = 'reproduction'")
    assert parent.data.tags["gptbench.state"] == "complete"
    assert parent.info.status == "FINISHED"
    assert tracking.sync(scale).logged == 0


def test_a_lost_ledger_or_database_is_made_good(tmp_path: Path) -> None:
    scale = fake_results(tmp_path / "quick")
    tracking.sync(scale)
    before = {run.info.run_id for run in runs(tmp_path)}

    (scale / LEDGER).write_text("{broken")
    # A sync that was killed leaves a run half logged.
    (parent,) = runs(tmp_path, "tags.`gptbench.stage` = 'reproduction'")
    tags = {"mlflow.parentRunId": parent.info.run_id, "gptbench.run_id": "fake-half"}
    client(tmp_path).create_run(parent.info.experiment_id, tags=tags)
    assert tracking.sync(scale).logged == 0
    assert {run.info.run_id for run in runs(tmp_path)} == before

    client(tmp_path).delete_run(parent.info.run_id)
    assert tracking.sync(scale).logged == 6

    (tmp_path / "mlflow.db").unlink()
    # In a new process: MLflow keeps databases open.
    again = [sys.executable, "-m", "gptbench", "track", "sync", "--results", str(scale)]
    done = subprocess.run(again, capture_output=True, text=True, timeout=120, check=True)
    assert "6 runs of quick logged" in done.stdout
    assert "; 0 were there (make ui)" in done.stdout


def test_a_moved_project_still_knows_its_runs(tmp_path: Path) -> None:
    tracking.sync(fake_results(tmp_path / "here/quick"))
    (tmp_path / "here").rename(tmp_path / "there")
    assert tracking.sync(tmp_path / "there/quick").logged == 0


def test_a_server_that_is_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scale = fake_results(tmp_path / "results/quick")
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UserError, match="nothing is lost") as caught:
        tracking.sync(scale, uri)
    assert str(caught.value).endswith(f"gptbench track sync --results results/quick --uri {uri}")
    summary = tracking.sync(scale, uri, best_effort=True)
    assert summary.away
    assert capsys.readouterr().out.splitlines() == [summary.away]
    assert not (scale / LEDGER).exists()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    scale = fake_results(tmp_path / "quick")
    (tmp_path / "mlflow.db").write_text("this is no database, " * 100)
    with pytest.raises(UserError, match="nothing is lost"):
        tracking.sync(scale)


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "http://", "sqlite://"])
def test_uris_that_cannot_work(tmp_path: Path, uri: str) -> None:
    scale = tmp_path / "quick"
    scale.mkdir()
    with pytest.raises(UserError, match="tracking_uri"):
        tracking.sync(scale, uri)


def test_a_scale_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        tracking.sync(tmp_path / "nothing")


def test_no_password_reaches_the_ledger_or_the_terminal() -> None:
    store = Store.of(Path("/results"), "postgresql://user:secret@host/db")
    assert "secret" in store.uri
    assert store.name == "postgresql://host/db"


def test_long_curves_are_thinned_but_keep_their_ends(tmp_path: Path) -> None:
    points = [(float(i), i) for i in range(5001)]
    thinned = thin(points, 100)
    assert len(thinned) == 100
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    path = tmp_path / "curves.csv"
    path.write_text("step,loss\n1,2\nx,3\n")
    with pytest.raises(UserError, match=r"curves\.csv"):
        list(read_curves(path))


def test_the_ui_says_what_is_missing(tmp_path: Path, logged: Path) -> None:
    with pytest.raises(UserError, match="nothing is logged yet"):
        tracking.ui(tmp_path)
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        link.listen()
        port = link.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}"):
            tracking.ui(logged, port)


# Servers. --------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])


def ask(url: str, data: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        url, json.dumps(data).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@contextmanager
def server(root: Path) -> Iterator[str]:
    """A real MLflow server on a free port, started as `make ui` starts it; its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    log = root / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            server_command(root, port),
            env={**os.environ, **server_environment()},
            cwd=root,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=2):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
