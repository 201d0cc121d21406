"""`report/index.html`: one self-contained file, from the templates in `templates/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from gptbench.data import bpe_example
from gptbench.progress import duration
from gptbench.report import claims, data, findings, inside, overview, runs, timeline
from gptbench.report.diagnostics import Diagnostics
from gptbench.report.figures import NAMES, Point, words
from gptbench.report.pictures import picture
from gptbench.report.reference import Reference
from gptbench.report.results import Results, walk_missing
from gptbench.report.scores import layers, left_cells
from gptbench.report.tables import DASH, Table, plus_minus, reservation
from gptbench.report.uncertainty import Uncertainty


def render(
    results: Results,
    reference: Reference,
    tables: Sequence[Table],
    added: Sequence[Table],
    stated: Uncertainty,
    points: dict[str, list[Point]],
    figures: Path,
    judged: Sequence[claims.Finding],
    behind: Diagnostics,
    linked: bool = True,
) -> str:
    """The page as HTML.

    `added` are the tables of studies beyond the paper's, `figures` is the folder of the figures,
    `judged` are the verdicts on the paper's claims, `behind` the sections behind the scores. Where
    the page is not `linked`, the runs' folders are not beside it and are named without links.
    """
    config, tasks = results.job.config, results.job.tasks
    environment = Environment(
        loader=PackageLoader("gptbench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        pm=_interval,
        num=_number,
        p_value=lambda p: DASH if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
        span=duration,
        chance=lambda p: f"{p:.3f}" if p >= 0.0005 else "< 0.001",
        percent=lambda x: f"{100 * x:.0f} %",
        spark=_spark,
        task=lambda name: tasks[name].title if name in tasks else name,
    )
    environment.globals.update(
        run_of_cell=runs.of_cell, run_of_model=runs.of_model, run_of_found=runs.of_found
    )
    history = timeline.section(results)
    text: str = environment.get_template("index.html.j2").render(
        config=config,
        banner=overview.banner(results),
        reservation=reservation(results, list(results.facts)),
        data_read=overview.data_read(results),
        models=overview.models(results),
        devices=overview.devices(results.manifests),
        headline=overview.headline(results, reference),
        tables=tables,
        added=[table for table in added if table.name != timeline.STUDY],
        stated=stated,
        timeline=history,
        timeline_table=next((table for table in added if table.name == timeline.STUDY), None),
        timeline_figure=picture(figures, timeline.STUDY, timeline.words(history))
        if history
        else None,
        figures={name: picture(figures, name, words(name, points[name])) for name in NAMES},
        behind=behind,
        points=points,
        left_variants={
            layers(results, name): name for names in left_cells(results).values() for name in names
        },
        reference=reference,
        claims=judged,
        claim_counts=claims.counts(judged),
        gains=findings.gains(results),
        comparisons=findings.comparisons(results, reference),
        at_chance=findings.at_chance(results),
        degenerate=findings.degenerate(results),
        zero_ends=findings.zero_ends(results),
        probes=findings.probes(results),
        gates=findings.gates(results.root),
        pretraining=list(findings.pretraining(results)),
        bpe=_bpe(),
        inside=inside.section(results),
        data=data.section(results, reference),
        missing=list(walk_missing(results.missing)),
        runs=overview.run_counts(results),
        run_groups=runs.section(results, reference),
        linked=linked,
        cost=cost(results.manifests),
        deviations=deviations(results, reference),
        provenance=provenance(results.manifests),
        config_text=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    )
    return text


# Cost, and the worked example. ----------------------------------------------------------------


def cost(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Seconds and memory by stage, and how long at least one job ran.

    `wall` is the union of the jobs' times, so that a pause between two sessions is not counted.
    """
    stages: dict[str, dict[str, Any]] = {}
    spans = []
    for manifest in manifests.values():
        seconds = float(manifest.get("seconds", 0))
        stage = stages.setdefault(
            str(manifest.get("stage", "?")), {"jobs": 0, "seconds": 0.0, "cpu": 0.0, "memory": 0}
        )
        stage["jobs"] += 1
        stage["seconds"] += seconds
        stage["cpu"] += float(manifest.get("cpu_seconds", 0))
        stage["memory"] = max(stage["memory"], int(manifest.get("peak_memory_mb", 0)))
        if "started" in manifest:
            spans.append((float(manifest["started"]), float(manifest["started"]) + seconds))
    order = "world gates tokenizer corpus encode contamination pretrain import".split()
    order += "finetune zeroshot fewshot attention".split()
    names = sorted(stages, key=lambda name: (order.index(name) if name in order else 99, name))
    return {
        "stages": [{"stage": name, **stages[name]} for name in names],
        "seconds": sum(stage["seconds"] for stage in stages.values()),
        "wall": _union(spans),
        "memory": max((stage["memory"] for stage in stages.values()), default=0),
    }


def _union(spans: list[tuple[float, float]]) -> float:
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def _bpe() -> dict[str, Any]:
    """The worked example of byte-pair encoding: its words, and both forms with their titles."""
    textbook, ours = bpe_example.worked()
    counts = ", ".join(f"{word} {n}" for word, n in bpe_example.COUNTS.items())
    return {
        "counts": counts,
        "words": list(bpe_example.COUNTS),
        "unseen": bpe_example.UNSEEN,
        "forms": [
            ("Textbook: </w> a symbol of its own", textbook),
            ("Released, and ours: </w> attached to the last symbol", ours),
        ],
    }


# Against the paper's settings, and where the numbers are from. -------------------------------


def deviations(results: Results, reference: Reference) -> list[dict[str, str]]:
    """The paper's settings that this scale departs from."""
    config = results.job.config.model_dump(mode="json")
    rows = []
    if results.job.config.synthetic:
        rows.append(
            {
                "setting": "books",
                "paper": "BooksCorpus",
                "here": "the embedded world",
                "where": "4.1",
            }
        )
        rows.append(
            {
                "setting": "data sets",
                "paper": "table 1",
                "here": "the embedded world",
                "where": "4.2",
            }
        )
    for setting in reference.settings:
        if _absent_model(setting.key, config):
            continue
        here = _look_up(config, setting.key)
        if setting.key.endswith("n_inner") and here is None:
            here = 4 * _look_up(config, setting.key.replace("n_inner", "n_embd"))
        if here != setting.paper:
            rows.append(
                {
                    "setting": setting.title,
                    "paper": _plain(setting.paper),
                    "here": _plain(here),
                    "where": setting.where,
                }
            )
    for name, task in results.job.tasks.items():
        scored = sorted({split for splits in task.scored.values() for split in splits})
        if task.paper_split == "test" and not all(s.startswith("test") for s in scored):
            rows.append(
                {
                    "setting": f"{task.title} ({name}), scored split",
                    "paper": "test",
                    "here": ", ".join(scored),
                    "where": "4.2",
                }
            )
    return rows


def _absent_model(key: str, config: dict[str, Any]) -> bool:
    """Whether a setting is of a model that the scale has not, or does not pre-train itself."""
    first, *parts = key.split(".")
    model = config["models"].get(parts[0]) if first == "models" else config
    return model is None or (parts[1:2] == ["pretrain"] and model["pretrain"] is None)


def _look_up(config: dict[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def provenance(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Code, packages and machines of the results; more than one of a kind is worth a look."""

    def kinds(key: str) -> list[str]:
        return sorted({str(manifest[key]) for manifest in manifests.values() if key in manifest})

    packages = sorted(
        {
            f"{name} {version}"
            for manifest in manifests.values()
            for name, version in manifest.get("packages", {}).items()
        }
    )
    machines = sorted(
        {
            ", ".join(str(part) for part in manifest["machine"].values())
            for manifest in manifests.values()
            if manifest.get("machine")
        }
    )
    ids = [(folder, str(m.get("run_id", DASH))) for folder, m in manifests.items()]
    return {"code": kinds("code"), "packages": packages, "machines": machines, "ids": ids}


# Filters. -------------------------------------------------------------------------------------


def _interval(found: Any, signed: bool = False) -> str:
    return plus_minus(found.value, found.half, signed)


def _number(value: Any, digits: int = 1) -> str:
    if value is None or value == "":
        return DASH
    return f"{value:,}" if isinstance(value, int) else f"{float(value):,.{digits}f}"


def _spark(values: Sequence[float], low: float, high: float) -> str:
    """The points of a small line, 120 x 24, for an SVG polyline."""
    wide = max(len(values) - 1, 1)
    reach = (high - low) or 1
    return " ".join(
        f"{2 + 116 * i / wide:.1f},{22 - 20 * (value - low) / reach:.1f}"
        for i, value in enumerate(values)
    )
