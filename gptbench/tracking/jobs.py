"""Finished jobs as their files tell them, in MLflow's terms: tags, params, metrics by step."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gptbench.artifacts import curve_columns, read_json

P = TypeVar("P")

# Where jobs leave their manifests, below results/<scale>/, and the stage that each belongs to.
PATTERNS = (
    ("world", "world/world.json"),
    ("tokenizer", "tokenizer/manifest.json"),
    ("corpus", "corpus/manifest.json"),
    ("encode", "tasks/*/manifest.json"),
    ("contamination", "contamination/manifest.json"),
    ("pretrain", "pretrain/*/seed*/manifest.json"),
    ("finetune", "finetune/*/*/pre*-seed*/manifest.json"),
    ("zeroshot", "zeroshot/*/seed*/manifest.json"),
    ("fewshot", "fewshot/*/seed*/manifest.json"),
    ("attention", "attention/*/seed*/manifest.json"),
)

# MLflow's limits for the lengths of values.
VALUE_LENGTH = 6000
KEY_LENGTH = 250
# A longer curve is thinned evenly; curves.csv has every point.
POINTS_A_CURVE = 2000
# Losses in nats a token that have a perplexity, under the name that metrics.json has for it.
PERPLEXITIES = {"loss": "train_perplexity", "validation_loss": "perplexity"}
NOT_CAUSAL = frozenset({"bert", "encoder-decoder", "seq2seq"})
MOST_NATS = 700.0
# Keys of manifests that MLflow shows among the system metrics, with the names they get there.
SYSTEM = {
    "seconds": "process_seconds",
    "cpu_seconds": "process_cpu_seconds",
    "peak_memory_mb": "process_peak_memory_megabytes",
}
# Keys of metrics.json that say which run it is; they are tags or params, not metrics.
IDENTITY = frozenset({"run_id", "variant", "model", "task", "seed", "pretrain_seed", "lm_coef"})


@dataclass(frozen=True)
class Job:
    """A finished job as its manifest tells it. `key` is its folder relative to the scale's."""

    key: str
    stage: str
    folder: Path
    manifest: dict[str, Any] = field(repr=False)

    @property
    def run_id(self) -> str:
        """Our own id of the run."""
        return str(self.manifest["run_id"])

    @property
    def started(self) -> float:
        """When the job started, in seconds of the epoch; tells a repetition from the run before."""
        return float(self.manifest["started"])

    @property
    def ended(self) -> float:
        """When the job ended."""
        return self.started + float(self.manifest.get("seconds", 0))

    @property
    def name(self) -> str:
        """A name for people, such as `finetune full mnli pre0 seed1`."""
        words = self.key.split("/")[1:]
        if words and self.stage in ("pretrain", "finetune", "zeroshot", "fewshot", "attention"):
            words = [*words[:-1], *words[-1].split("-")]
        return " ".join([self.stage, *words])

    def tags(self, scale: str, parent: str) -> dict[str, str]:
        """The tags of the MLflow run."""
        settings = self.manifest.get("settings", {})
        task = settings.get("task")
        tags: dict[str, Any] = {
            "mlflow.parentRunId": parent,
            "mlflow.source.name": f"gptbench {self.stage}",
            "mlflow.source.git.commit": self.manifest.get("code"),
            "gptbench.run_id": self.run_id,
            "gptbench.scale": scale,
            "gptbench.stage": self.stage,
            "gptbench.folder": self.key,
            "gptbench.started": repr(self.started),
            "gptbench.commit": self.manifest.get("code"),
            "gptbench.variant": settings.get("variant"),
            "gptbench.model": settings.get("model"),
            "gptbench.task": task.get("name") if isinstance(task, dict) else task,
            "gptbench.seed": settings.get("seed"),
            "gptbench.pretrain_seed": settings.get("pretrain_seed"),
            "gptbench.device": self.manifest.get("device"),
            "gptbench.precision": self.manifest.get("precision"),
        }
        for group in ("inputs", "packages", "machine"):
            for name, value in (self.manifest.get(group) or {}).items():
                tags[_key(f"gptbench.{group}.{name}")] = value
        return {key: str(value)[:VALUE_LENGTH] for key, value in tags.items() if value is not None}

    def params(self) -> dict[str, str]:
        """The settings, flattened: `backbone.n_layer`, `finetune.lr`, ..."""
        return {
            _key(name): _text(value)[:VALUE_LENGTH]
            for name, value in _flatten(self.manifest.get("settings", {}), ".")
        }

    def metrics(self) -> list[tuple[str, float, int]]:
        """Curves by step, the final numbers, and the cost of the job: (name, value, step)."""
        found: dict[tuple[str, int], float] = {}
        curves = self.folder / "curves.csv"
        if curves.exists():
            for name, value, step in self.curves(read_curves(curves)):
                found[name, step] = value
        speed = self.folder / "speed.json"
        if speed.exists():
            data = read_json(speed)
            for step, value in data["points"]:
                found[_key(data["name"]), int(step)] = float(value)
        final = self.folder / "metrics.json"
        if final.exists():
            data = read_json(final)
            last = data.get("steps")
            for name, value, step in final_metrics(data, last if _is_number(last) else 0):
                found[_key(name), step] = value
        for name, value in self.manifest.items():
            if _is_number(value) and name != "started":
                found[_key(f"job/{name}"), 0] = float(value)
        for name, value in self.system().items():
            found[name, 0] = value
        return [(name, value, step) for (name, step), value in found.items()]

    def curves(self, points: Iterable[tuple[str, float, int]]) -> Iterator[tuple[str, float, int]]:
        """A curve's points, and a language model's losses as perplexities besides."""
        backbone = self.manifest.get("settings", {}).get("backbone", {})
        causal = self.stage == "pretrain" and backbone.get("kind") not in NOT_CAUSAL
        for name, value, step in points:
            yield _key(name), value, step
            if causal and name in PERPLEXITIES and value < MOST_NATS:
                yield PERPLEXITIES[name], math.exp(value), step

    def system(self) -> dict[str, float]:
        """What the manifest knows of the machine's use, for MLflow's tab of system metrics."""
        known = {
            name: float(self.manifest[key])
            for key, name in SYSTEM.items()
            if _is_number(self.manifest.get(key))
        }
        if known.get("process_seconds") and "process_cpu_seconds" in known:
            share = known["process_cpu_seconds"] / known["process_seconds"]
            known["process_cpu_percentage"] = round(100 * share, 1)
        return {f"system/{name}": value for name, value in known.items()}


def find_jobs(results: Path) -> list[Job]:
    """Every finished job below `results/<scale>/`, in the order of the stages."""
    jobs = []
    for stage, pattern in PATTERNS:
        for path in sorted(results.glob(pattern)):
            manifest = read_json(path)
            if isinstance(manifest, dict) and {"run_id", "started"} <= manifest.keys():
                key = path.parent.relative_to(results).as_posix()
                jobs.append(Job(key, stage, path.parent, manifest))
    return jobs


def read_curves(path: Path) -> Iterator[tuple[str, float, int]]:
    """The cells of a `curves.csv` as (column, value, step); empty cells are left out."""
    return curve_cells(path.read_text("utf-8"), path)


def curve_cells(text: str, path: Path) -> Iterator[tuple[str, float, int]]:
    """The cells of a table of curves; `path` is where it stands."""
    for name, points in curve_columns(text, path).items():
        for step, value in thin(points, POINTS_A_CURVE):
            yield name, value, step


def thin(points: Sequence[P], most: int) -> Sequence[P]:
    """At most `most` points, evenly chosen; the first and the last are among them."""
    if len(points) <= most:
        return points
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def final_metrics(data: Mapping[str, Any], step: int) -> Iterator[tuple[str, float, int]]:
    """The numbers of a `metrics.json`: (name, value, step).

    Nested keys are joined by `/` (`scores/dev_matched/accuracy`). The rows of a zero-shot
    file carry their own step: `scores/<task>/<split>/<metric>`, `probes/<knowledge>`.
    """
    for name, value in data.items():
        if name in IDENTITY:
            continue
        if isinstance(value, list):
            for row in value:
                if isinstance(row, dict) and _is_number(row.get("value")):
                    parts = (row.get(k) for k in ("task", "split", "metric", "knowledge", "shots"))
                    path = "/".join([name, *(str(part) for part in parts if part is not None)])
                    yield path, float(row["value"]), int(row.get("step") or 0)
        else:
            for key, number in _flatten({name: value}, "/"):
                if _is_number(number) or isinstance(number, bool):
                    yield key, float(number), step


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _flatten(data: Mapping[str, Any], joint: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, joint, f"{prefix}{name}{joint}")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    """A name that MLflow takes: other characters become `_`."""
    return re.sub(r"[^\w./\- ]", "_", name)[:KEY_LENGTH]


def pending(jobs: Sequence[Job], entry: Mapping[str, Any], part: str = "runs") -> list[Job]:
    """The jobs that a part of the ledger's entry, `runs` or `models`, does not know."""
    records = entry.get(part, {})

    def known(job: Job) -> bool:
        record = records.get(job.key)
        return bool(record and record["run_id"] == job.run_id and record["started"] == job.started)

    return [job for job in jobs if not known(job)]
