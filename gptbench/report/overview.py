"""The page's first screen: what ran, on what, and the headline comparison with the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gptbench.evaluation.statistics import Interval, interval
from gptbench.report.findings import FULL
from gptbench.report.reference import Reference
from gptbench.report.results import Results
from gptbench.report.runs import of_cell
from gptbench.report.scores import column_sample
from gptbench.report.tables import reservation, same_split, unlike
from gptbench.settings import (
    EncoderDecoderSettings,
    ModelSettings,
    Seq2SeqSettings,
    StackSettings,
)


def banner(results: Results) -> tuple[str, str]:
    """The large words on the data, and the sentence under them; empty where neither is needed."""
    why = reservation(results, list(results.facts))
    if why.startswith("SYNTHETIC"):
        return "SYNTHETIC DATA", (
            "Books and data sets are an invented world that this project generates. Its scores "
            "show that the pipeline works and which effects appear at this size. They cannot be "
            "compared with the paper, with other systems or with results on the real data sets."
        )
    if why.startswith("REDUCED"):
        return "REDUCED REAL DATA", (
            "Some data sets are used in part only (table 1: used, found, official). The scores "
            "cannot be compared with the paper's."
        )
    if why:
        return "WITH RESERVATIONS", "Not comparable with the paper: see the notes."
    return "", ""


def run_counts(results: Results) -> dict[str, int]:
    """How many runs are `there` of those `asked` for."""
    there = sum(len(found) for found in results.runs.values())
    there += sum(len(seeds) for seeds in results.pretrained.values())
    there += sum(len(seeds) for seeds in results.zeroshot.values())
    return {"there": there, "asked": there + len(results.missing)}


def _model(name: str, settings: ModelSettings) -> dict[str, str]:
    backbone, training = settings.backbone, settings.pretrain
    if isinstance(backbone, Seq2SeqSettings):
        attends = ", attention" if backbone.attention else ""
        size = f"1 + 1 layers, {backbone.n_hidden} units, {backbone.n_embd} wide{attends}"
    elif isinstance(backbone, StackSettings):
        twice = f"{backbone.n_layer} + " if isinstance(backbone, EncoderDecoderSettings) else ""
        size = f"{twice}{backbone.n_layer} layers x {backbone.n_embd}, {backbone.n_head} heads"
    else:
        size = f"{backbone.n_layer} layer(s), {backbone.n_hidden} units, {backbone.n_embd} wide"
    if training is None:
        return {"name": name, "size": size, "length": "imported weights"}
    length = f"{training.steps:,} steps" if training.steps else f"{training.epochs} epochs"
    return {"name": name, "size": size, "length": f"{length} of {training.batch_size} sequences"}


def data_read(results: Results) -> str:
    """Where the data is from, in words."""
    config, sets = results.job.config, len(results.facts)
    if config.synthetic:
        return f"the embedded world, synthetic: books and {sets} data sets that it generates"
    place = {"folder": "a folder", "hub": "the Hugging Face hub"}.get(config.source, config.source)
    return f"{sets} real data sets and real books, from {place}"


def models(results: Results) -> list[dict[str, str]]:
    """The models that were pre-trained or are asked for, transformers first."""
    used = {*results.pretrained, *(model for model, _ in results.asked.pretrained)}
    known = results.job.config.models.items()
    ordered = sorted(known, key=lambda item: item[1].backbone.kind != "transformer")
    return [_model(name, settings) for name, settings in ordered if name in used]


def devices(manifests: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the jobs that train and score ran on: `cpu, float32: AMD EPYC`."""
    found = {
        f"{each['device']}, {each.get('precision', '?')}: "
        f"{each.get('machine', {}).get('processor', 'unknown processor')}"
        for each in manifests.values()
        if "device" in each
    }
    return sorted(found)


# The headline comparison. ---------------------------------------------------------------------


@dataclass(frozen=True)
class Headline:
    """The full model beside the paper's in a column of tables 2 to 4.

    `change` is None, and `unlike` says why, where the two are not like for like.
    """

    table: str
    title: str
    paper: float
    ours: Interval
    change: float | None
    unlike: str
    runs: str


def headline(results: Results, reference: Reference) -> list[Headline]:
    """The comparison by column; empty where the data can't be compared or nothing ran."""
    if reservation(results, list(results.facts)):
        return []
    lines = []
    for name in ("table2", "table3", "table4"):
        columns = reference.tables[name].columns
        paper = reference.tables[name].row(FULL)
        for column in columns:
            value = paper.values.get(column.key)
            found = column_sample(results, reference, name, column, FULL)
            if value is None or found is None:
                continue
            ours = interval(found)
            change = ours.value - value if same_split(column, results) else None
            why = unlike(column, columns, results)
            runs = of_cell(FULL, column.task)
            lines.append(Headline(name, column.title, value, ours, change, why, runs))
    return lines
