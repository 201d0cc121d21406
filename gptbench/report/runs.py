"""The section "Runs" of the page: every run behind a number, with its folder and its files.

A cell of a table links to an anchor made here; `section` makes an entry for each anchor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gptbench.report.reference import Reference
from gptbench.report.results import TRAIN, Results, in_order, walk_missing

FILES = ("metrics.json", "predictions.parquet", "curves.csv", "manifest.json")
ZERO_SHOT = " zero-shot"
STAGES = {"pretrain": "Pre-training", "zeroshot": "Zero-shot", "fewshot": "Few-shot"}


@dataclass(frozen=True)
class Line:
    """A run: its folder and files below the results, its own id, scores, seconds.

    `scores` stand under the entry's columns (None: not measured); `degenerate` names the scores
    whose answers are the same to everything or no better than chance.
    """

    name: str
    folder: str
    run_id: str
    scores: list[float | None]
    degenerate: list[str]
    seconds: float | None
    files: list[tuple[str, str]]


@dataclass(frozen=True)
class Entry:
    """All runs of a variant on a task, or of a stage of a model."""

    anchor: str
    title: str
    columns: list[str]
    lines: list[Line]
    missing: list[str]


@dataclass(frozen=True)
class Group:
    """The entries of a variant, with its name, or of a stage."""

    anchor: str
    title: str
    name: str
    entries: list[Entry]

    @property
    def count(self) -> int:
        """How many runs are there."""
        return sum(len(entry.lines) for entry in self.entries)


# Anchors. -------------------------------------------------------------------------------------


def of_cell(variant: str, task: str = "") -> str:
    """The anchor of a variant's runs on a task; of all its runs without a task."""
    return _anchor(f"finetune/{variant}/{task}" if task else f"finetune/{variant}")


def of_model(stage: str, model: str) -> str:
    """The anchor of a model's runs of `pretrain`, `zeroshot` or `fewshot`."""
    return _anchor(f"{stage}/{model}")


def of_found(variant: str, task: str) -> str:
    """The anchor of a row of the statistics, where `transformer zero-shot` is a variant."""
    if variant.endswith(ZERO_SHOT):
        return of_model("zeroshot", variant.removesuffix(ZERO_SHOT))
    return of_cell(variant, "" if task == "average" else task)


def _anchor(folder: str) -> str:
    return "run-" + quote(folder)


# The section. ---------------------------------------------------------------------------------


def section(results: Results, reference: Reference) -> list[Group]:
    """A group a stage without fine-tuning, then one a variant; tasks in the paper's order."""
    missing = dict(walk_missing(results.missing))
    found = [*_stages(results, missing), *_variants(results, reference, missing)]
    return [group for group in found if group.entries]


def _stages(results: Results, missing: Mapping[str, list[str]]) -> Iterator[Group]:
    kept = {
        "pretrain": results.pretrained,
        "zeroshot": results.zeroshot,
        "fewshot": results.fewshot,
    }
    for stage, models in kept.items():
        entries = []
        for model in dict.fromkeys([*models, *_missing_models(stage, missing)]):
            seeds = models.get(model, {})
            read = {f"seed{seed}": _measures(stage, metrics) for seed, metrics in seeds.items()}
            columns = list(dict.fromkeys(name for found in read.values() for name in found))
            folder = f"{stage}/{model}"
            lines = [
                _line(results, folder, f"seed{seed}", metrics, columns, read[f"seed{seed}"])
                for seed, metrics in seeds.items()
            ]
            entries.append(
                Entry(_anchor(folder), f"{model}", columns, lines, missing.get(folder, []))
            )
        yield Group(f"runs-{stage}", STAGES[stage], "", entries)


def _missing_models(stage: str, missing: Mapping[str, list[str]]) -> list[str]:
    return [name.removeprefix(f"{stage}/") for name in missing if name.startswith(f"{stage}/")]


def _measures(stage: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """A run's own numbers: the loss and perplexity, or the scores at the last step."""
    if stage == "pretrain":
        names = ("validation_loss", "perplexity", "steps")
        return {n.replace("_", " "): metrics[n] for n in names if metrics.get(n) is not None}
    scores = metrics["scores"]
    last = max((entry.get("step", 0) for entry in scores), default=0)
    return {
        " ".join(
            str(entry[key]) for key in ("task", "split", "metric", "shots") if key in entry
        ): float(entry["value"])
        for entry in scores
        if entry.get("step", last) == last
    }


def _variants(
    results: Results, reference: Reference, missing: Mapping[str, list[str]]
) -> Iterator[Group]:
    entries: dict[str, list[Entry]] = {}
    order = in_order(results.job.tasks, reference)
    for (variant, task), runs in sorted(
        results.runs.items(),
        key=lambda item: (list(results.asked.variants).index(item[0][0]), order.index(item[0][1])),
    ):
        folder = f"finetune/{variant}/{task}"
        if not runs and folder not in missing:
            continue
        spec = results.job.tasks[task]
        wanted = [
            (f"{score} {metric}", score, metric)
            for score in dict.fromkeys([*spec.scored, TRAIN])
            for metric in spec.metrics
            if any(metric in metrics["scores"].get(score, {}) for metrics in runs.values())
        ]
        columns = [title for title, _, _ in wanted]
        lines = []
        for key, metrics in runs.items():
            scores = {
                title: float(metrics["scores"][score][metric])
                for title, score, metric in wanted
                if metric in metrics["scores"].get(score, {})
            }
            name = results.folder(variant, task, key).name
            lines.append(_line(results, folder, name, metrics, columns, scores))
        entries.setdefault(variant, []).append(
            Entry(of_cell(variant, task), spec.title, columns, lines, missing.get(folder, []))
        )
    for variant, found in entries.items():
        yield Group(of_cell(variant), results.asked.variants[variant].title, variant, found)


def _line(
    results: Results,
    parent: str,
    name: str,
    metrics: Mapping[str, Any],
    columns: list[str],
    scores: Mapping[str, float],
) -> Line:
    folder = f"{parent}/{name}"
    manifest = results.manifests.get(folder, {})
    flagged = [score for score, flag in metrics.get("degenerate", {}).items() if flag]
    stage, *words = parent.split("/")
    log = f"logs/{stage}/{'-'.join([*words, name])}.log"
    files = [f"{folder}/{file}" for file in FILES] + [log]
    return Line(
        name,
        folder,
        str(metrics["run_id"]),
        [scores.get(column) for column in columns],
        flagged,
        float(manifest["seconds"]) if "seconds" in manifest else None,
        [
            ("log" if file == log else Path(file).stem, quote(file))
            for file in files
            if (results.root / file).is_file()
        ],
    )
