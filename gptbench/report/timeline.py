"""The section "from RNN to GPT": the study `timeline`, model by model in the order of years.

It works with what is there: a model without runs has its line and dashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gptbench.evaluation.statistics import Interval, Sample, interval, mean
from gptbench.report import csvfile, style
from gptbench.report.figures import drawing
from gptbench.report.results import FewPoint, Results, study_variants
from gptbench.report.scores import Score, number_text, study_samples
from gptbench.report.tables import reservation
from gptbench.settings import Settings, Study, parse, read_yaml

STUDY, BASE = "timeline", "full"
FACTS = Path(__file__).parent / "timeline.yaml"
MATCHED = 0.10
"""Models are compared whose parameters are within this share of GPT-1's."""


class Facts(Settings):
    """What `timeline.yaml` says of a model."""

    variant: str
    name: str
    year: int
    reference: str
    changed: str


class _History(Settings):
    models: list[Facts]


@dataclass(frozen=True)
class Few:
    """A score with examples in the context."""

    task: str
    shots: str
    fitted: float
    metric: str
    chance: float
    found: Interval


@dataclass(frozen=True)
class Line:
    """A model: its facts, what it cost, and its scores (None where there is none)."""

    facts: Facts
    model: str
    style: style.Style
    objective: str
    parameters: int | None
    share: float | None
    flops: float | None
    tokens: int | None
    perplexity: float | None
    given_source: float | None
    twelve: Interval | None
    eight: Interval | None
    done: int
    asked: int
    zero: dict[str, Interval]
    few: list[Few]

    @property
    def matched(self) -> bool:
        """Whether it has GPT-1's parameters within the bound."""
        return self.share is None or abs(self.share) <= MATCHED


@dataclass(frozen=True)
class Section:
    """All that the section shows."""

    reservation: str
    lines: list[Line]
    zero_tasks: list[str]
    absent: list[str]


def history() -> list[Facts]:
    """The models of `timeline.yaml`."""
    return parse(_History, {"models": read_yaml(FACTS)}, str(FACTS)).models


def section(results: Results) -> Section | None:
    """The section's data; None where nothing of the study ran, or no one asks for it."""
    config = results.job.config
    if STUDY not in (*config.studies, *results.requested):
        return None
    study = results.job.experiments.studies[STUDY]
    variants = study_variants(results.job, STUDY)
    facts = {each.variant: each for each in history()}
    known = [facts[name] for name in facts if name in variants]
    added = [name for name in variants if name not in facts]
    known += [_plain(results, name) for name in added]
    base = _measured(results, BASE).get("parameters")
    lines = [_line(results, study, each, base) for each in known]
    return Section(
        reservation(results, study.tasks),
        lines,
        [task for task in study.zeroshot if any(task in line.zero for line in lines)],
        [name for name in study.variants if name not in variants],
    )


def _plain(results: Results, variant: str) -> Facts:
    """A variant that the history does not know: its title."""
    title = results.asked.variants[variant].title
    return Facts(variant=variant, name=title, year=0, reference="", changed="")


def _measured(results: Results, variant: str) -> dict[str, Any]:
    """The metrics of a variant's first pre-training; empty where there is none."""
    spec = results.asked.variants.get(variant)
    seeds = results.pretrained.get(spec.model, {}) if spec else {}
    return seeds[min(seeds)] if seeds else {}


def _line(results: Results, study: Study, facts: Facts, base: int | None) -> Line:
    model = results.asked.variants[facts.variant].model
    measured = _measured(results, facts.variant)
    parameters, tokens = measured.get("parameters"), measured.get("tokens")
    flops = measured.get("flops")
    runs = [results.runs.get((facts.variant, task), {}) for task in study.tasks]
    whole, eight = averages(results, facts.variant)
    few = [
        Few(task, at.shots, at.fitted, at.metric, at.chance, interval(at.sample))
        for task, at in few_shot(results, model)
    ]
    zero = {
        task: interval(points[-1].sample)
        for task in study.zeroshot
        if model in study.models and (points := results.zero_points(model, task))
    }
    return Line(
        facts,
        model,
        style.of(results, facts.variant),
        str(measured.get("objective", "next token")) if measured else "",
        parameters,
        parameters / base - 1 if parameters and base else None,
        flops / tokens if flops and tokens else None,
        tokens,
        _mean_of(results, model, "perplexity"),
        _mean_of(results, model, "perplexity_given_source"),
        None if whole is None else interval(whole),
        None if eight is None else interval(eight),
        sum(len(found) for found in runs),
        len(runs) * len(results.asked.keys),
        zero,
        few,
    )


def _mean_of(results: Results, model: str, key: str) -> float | None:
    """The mean of a number over pre-training seeds; None where it is not defined."""
    found = [m[key] for m in results.pretrained.get(model, {}).values() if m.get(key) is not None]
    return sum(found) / len(found) if found else None


def averages(results: Results, variant: str) -> tuple[Sample | None, Sample | None]:
    """Means over the study's tasks and over those of table 5; None unless all of them ran."""
    experiments = results.job.experiments.studies
    samples = {task: found for task, _, _, found in study_samples(results, STUDY, variant)}

    def over(tasks: Sequence[str]) -> Sample | None:
        parts = [samples[task] for task in tasks if task in samples]
        return mean(parts) if parts and len(parts) == len(tasks) else None

    eight = experiments["table5"].tasks if "table5" in experiments else []
    return over(experiments[STUDY].tasks), over(eight)


def few_shot(results: Results, model: str) -> Iterator[tuple[str, FewPoint]]:
    """(task, score) with examples in the context, as the study asks for them."""
    asked = results.job.experiments.studies[STUDY].few_shot
    for task in asked.tasks if asked and model in asked.models else []:
        for point in results.few_points(model, task):
            yield task, point


# Rows of scores.csv. --------------------------------------------------------------------------


def score_rows(results: Results) -> Iterator[Score]:
    """What the study adds to its fine-tuned scores: means, zero-shot and few-shot scores."""
    found = section(results)
    for line in found.lines if found else []:
        variant = line.facts.variant
        spec = results.asked.variants[variant]
        base = Score(STUDY, spec.title, "gptbench", variant, line.model, "", "", "")
        for task, sample in zip(
            ("average", "average-table5"), averages(results, variant), strict=True
        ):
            if sample is not None:
                yield from _rows(replace(base, task=task, metric="average"), sample)
        for task in line.zero:
            at = results.zero_points(line.model, task)[-1]
            zero = replace(
                base, variant="zero-shot", method=f"{spec.title}, zero-shot", steps=at.step
            )
            yield from _rows(replace(zero, task=task, metric=at.metric, split=at.split), at.sample)
        for task, few in few_shot(results, line.model):
            shots = f"few-shot-{few.shots}"
            name = f"{spec.title}, {few.shots} examples in the context"
            own = replace(base, variant=shots, method=name, task=task, metric=few.metric)
            yield from _rows(replace(own, split=few.split), few.sample)


def _rows(base: Score, found: Sample) -> Iterator[Score]:
    alone = base.variant.startswith(("zero", "few"))
    for key, value in zip(found.keys, found.values, strict=True):
        seed = None if alone else key[1]
        yield replace(base, pretrain_seed=key[0], seed=seed, value=float(value), n=found.n)
    whole = interval(found)
    yield replace(base, value=whole.value, ci_low=whole.low, ci_high=whole.high, n=found.n)


# The figure. ----------------------------------------------------------------------------------


def draw(found: Section, folder: Path) -> None:
    """`timeline.svg`, `.png`, `.csv`: the mean over table 5's tasks by model, with its interval."""
    title = "Mean over the eight GLUE tasks of table 5"
    heading = title + (f"\n{found.reservation}" if found.reservation else "")
    shown = [line for line in found.lines if line.eight is not None]
    (folder / f"{STUDY}.csv").write_text(_csv(shown), "utf-8")
    with drawing(STUDY, folder, heading) as axes:
        if not shown:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "no model has all eight tasks", ha="center", va="center")
        for place, line in enumerate(shown):
            assert line.eight is not None
            value, low, high = line.eight.value, line.eight.low, line.eight.high
            reach = None if low is None or high is None else [[value - low], [high - value]]
            look: dict[str, Any] = {"color": line.style.colour, "capsize": 3, "markersize": 7}
            axes.errorbar([value], [place], xerr=reach, fmt=line.style.marker, **look)
        if shown:
            axes.set_yticks(range(len(shown)), [_label(line.facts) for line in shown], fontsize=9)
            axes.set_ylim(len(shown) - 0.5, -0.5)
            axes.set_xlabel("mean score (points of 100), with its 95 % interval")


def words(found: Section) -> str:
    """What the figure shows, for those who do not see it."""
    said = [f"{each.facts.name} {each.eight.value:.1f}" for each in found.lines if each.eight]
    return f"Mean over the eight GLUE tasks of table 5 by model: {', '.join(said) or 'no model'}."


def _csv(shown: Sequence[Line]) -> str:
    rows = []
    for line in shown:
        assert line.eight is not None
        numbers = (line.eight.value, line.eight.low, line.eight.high, line.eight.runs)
        facts = line.facts
        rows.append([facts.variant, facts.name, str(facts.year), *map(number_text, numbers)])
    return csvfile.to_text("variant name year mean low high runs".split(), rows)


def _label(facts: Facts) -> str:
    return f"{facts.name}, {facts.year}" if facts.year else facts.name
