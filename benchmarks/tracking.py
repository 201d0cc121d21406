"""What logging to MLflow costs: `python -m benchmarks.tracking --results results/quick`.

Pre-trains the transformer of a finished run again, with and without a follower, in turn, and
measures wall and processor time of training and follower; then a sync of that run's jobs, of a
tree of 700 copies of its fine-tuning jobs, and MLflow's import. Writes nothing into the results.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gptbench.artifacts import processor, read_json

PRETRAIN = Path("pretrain/transformer/seed0")
RUNS = 700


def timed(process: subprocess.Popen[bytes], start: float) -> tuple[float, float]:
    """Wall and processor seconds of a process, once it has ended well."""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{process.args!r:.200} failed")
    process.returncode = 0
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def start(*words: str, **environment: str) -> tuple[subprocess.Popen[bytes], float]:
    """A gptbench command, and when it started."""
    command = [sys.executable, "-m", "gptbench", *words]
    env = {**os.environ, "GPTBENCH_WORKER": "", **environment}
    began = time.perf_counter()
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL), began


def training(results: Path, place: Path, steps: int, after: float | None) -> dict[str, float]:
    """One pre-training; it shows itself after so many seconds and a follower logs it, or never."""
    settings = read_json(results / PRETRAIN / "manifest.json")["settings"]
    settings["pretrain"] = {**settings["pretrain"], "steps": steps}
    root = place / "quick"
    shutil.rmtree(place, ignore_errors=True)
    root.mkdir(parents=True)
    (root / "corpus").symlink_to(results.absolute() / "corpus")
    out = root / PRETRAIN
    words = ["--settings", json.dumps(settings), "--corpus", str(root / "corpus")]
    seconds = str(after or 1e9)
    job = start("pretrain", *words, "--out", str(out), GPTBENCH_LIVE_SECONDS=seconds)
    took: dict[str, float] = {}
    if after:
        while not (out / "live.json").exists():
            time.sleep(0.2)
        follower = start("track", "follow", "--results", str(root))
        took["wall"], took["cpu"] = timed(*job)
        _, took["follower cpu"] = timed(*follower)
    else:
        took["wall"], took["cpu"] = timed(*job)
    return took


def many(results: Path, place: Path) -> int:
    """A tree of 700 jobs: copies of the run's fine-tuning jobs under other seeds."""
    jobs = sorted((results / "finetune").glob("*/*/pre*-seed*"))
    shutil.copytree(results / "tasks", place / "tasks")
    for number in range(RUNS):
        job = jobs[number % len(jobs)]
        seed = number // len(jobs)
        copy = place / job.relative_to(results).parent / f"{job.name}{seed}"
        copy.mkdir(parents=True)
        for name in ("curves.csv", "metrics.json", "speed.json"):
            if (job / name).exists():
                shutil.copy(job / name, copy)
        manifest = read_json(job / "manifest.json")
        manifest["run_id"] = f"{manifest['run_id']}-{seed}"
        (copy / "manifest.json").write_text(json.dumps(manifest))
    return RUNS


def sync(results: Path) -> dict[str, float]:
    """A sync into a fresh database, and one that has nothing to do."""
    took: dict[str, float] = {}
    for name in ("first", "nothing new"):
        wall, cpu = timed(*start("track", "sync", "--results", str(results)))
        took |= {name: wall, f"{name} cpu": cpu}
    return took


def shown(values: list[float]) -> str:
    """Mean and each value."""
    return f"{statistics.mean(values):.2f} ({', '.join(f'{v:.2f}' for v in values)})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="a finished results/<scale>")
    parser.add_argument("--steps", type=int, default=9600, help="updates a pre-training")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--after", type=float, default=180, help="seconds until a job is followed")
    args = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    code = "import time; t = time.perf_counter(); import mlflow; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    print(f"import mlflow: {float(done.stdout):.2f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        copy = place / "sync" / args.results.name
        skip = shutil.ignore_patterns("tracking.json", "*.safetensors", "*.parquet", "*.bin")
        shutil.copytree(args.results, copy, ignore=skip)
        print(f"sync of the run's jobs: {told(sync(copy))}", flush=True)
        tree = place / "many" / "quick"
        many(args.results, tree)
        print(f"sync of {RUNS} runs and those of the encoding: {told(sync(tree))}", flush=True)
        rows: dict[bool, list[dict[str, float]]] = {False: [], True: []}
        for _ in range(args.repeats):
            for live in (False, True):
                after = args.after if live else None
                rows[live].append(training(args.results, place / "train", args.steps, after))
                print("with" if live else "without", told(rows[live][-1]), flush=True)
    report(rows)


def told(took: dict[str, float]) -> str:
    """Seconds by name."""
    return ", ".join(f"{name} {value:.2f} s" for name, value in took.items())


def report(rows: dict[bool, list[dict[str, float]]]) -> None:
    """The table of benchmarks/tracking.md."""
    columns: dict[str, Any] = {"wall": "wall, s", "cpu": "processor time of the training, s"}
    for key, title in columns.items():
        for live in (False, True):
            values = [row[key] for row in rows[live]]
            print(f"| {title} | {'with' if live else 'without'} | {shown(values)} |")
    cpu = statistics.mean(row["cpu"] for row in rows[False])
    more = statistics.mean(row["cpu"] for row in rows[True]) - cpu
    follower = statistics.mean(row["follower cpu"] for row in rows[True])
    print(f"the training itself: {100 * more / cpu:+.2f} % processor time")
    print(f"the follower: {follower:.2f} s, {100 * follower / cpu:.2f} %")


if __name__ == "__main__":
    main()
