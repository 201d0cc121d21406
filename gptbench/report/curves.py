"""Learning curves from the runs' `curves.csv`: pre-training by model, fine-tuning by variant.

A point is the mean over the runs that have one at that update, its band their lowest and highest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from gptbench.artifacts import curve_columns
from gptbench.report import csvfile, style
from gptbench.report.figures import heading, panels, short
from gptbench.report.pictures import Picture, picture
from gptbench.report.reference import Reference
from gptbench.report.results import Results, in_order
from gptbench.report.scores import number_text, table_variants

PRETRAIN, FINETUNE = "curves_pretrain", "curves_finetune"
TRAIN, VALIDATION = "loss", "validation_loss"
COLUMNS = 3
"""Panels in a row of the fine-tuning curves."""

Series = dict[int, float]


@dataclass(frozen=True)
class Mean:
    """A quantity at an update: mean, lowest and highest over `runs`.

    `name` is a model, or a variant on `task`; `x` are tokens read (pre-training) or updates.
    """

    name: str
    task: str
    quantity: str
    step: int
    x: float
    mean: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Curves:
    """Both figures, None where nothing has curves.

    `without` are the models without curves of their own, `lambdas` the weight of L1 by variant.
    """

    pretrain: Picture | None
    finetune: Picture | None
    without: list[str]
    lambdas: list[tuple[str, float]]


def write(results: Results, reference: Reference, folder: Path) -> Curves:
    """Draw what there is of both figures, each with its numbers as CSV."""
    before, after = pretrain_means(results), finetune_means(results, reference)
    for name, means in ((PRETRAIN, before), (FINETUNE, after)):
        if means:
            (folder / f"{name}.csv").write_text(to_csv(means), "utf-8")
    drawn = {mean.name for mean in before}
    if before:
        _draw_pretrain(results, before, folder)
    if after:
        _draw_finetune(results, after, folder)
    return Curves(
        picture(folder, PRETRAIN, _words_pretrain(before)) if before else None,
        picture(folder, FINETUNE, _words_finetune(results, after)) if after else None,
        [model for model in results.pretrained if model not in drawn],
        _lambdas(results, list(dict.fromkeys(mean.name for mean in after))),
    )


def to_csv(means: Sequence[Mean]) -> str:
    """The numbers of a figure."""
    rows = ([number_text(value) for value in astuple(mean)] for mean in means)
    return csvfile.to_text([field.name for field in fields(Mean)], rows)


# Reading. -------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, Series]:
    """A `curves.csv` by column: {update: value}; empty where there is no file.

    Raises `UserError` where a cell is no number.
    """
    if not path.is_file():
        return {}
    columns = curve_columns(path.read_text("utf-8"), path)
    return {column: dict(points) for column, points in columns.items()}


def pretrain_means(results: Results) -> list[Mean]:
    """Training and validation loss by model over the tokens read; imported weights have none."""
    made = []
    for model, seeds in results.pretrained.items():
        runs = []
        for seed, metrics in seeds.items():
            curves = read(results.root / "pretrain" / model / f"seed{seed}" / "curves.csv")
            if curves and metrics.get("steps") and metrics.get("tokens"):
                runs.append((curves, metrics["tokens"] / metrics["steps"]))
        for quantity in (TRAIN, VALIDATION):
            series = [curves[quantity] for curves, _ in runs if quantity in curves]
            each = runs[0][1] if runs else 1.0
            made += list(_means(model, "", quantity, series, each))
    return made


def finetune_means(results: Results, reference: Reference) -> list[Mean]:
    """Training loss by task and variant of table 5 over the updates, on every task that ran."""
    made = []
    variants = table_variants("table5", results, reference)
    tasks = in_order(dict.fromkeys(task for _, task in results.runs), reference)
    for task in tasks:
        for variant in variants:
            runs = results.runs.get((variant, task), {})
            read_ones = (read(results.folder(variant, task, key) / "curves.csv") for key in runs)
            series = [curves[TRAIN] for curves in read_ones if TRAIN in curves]
            made += list(_means(variant, task, TRAIN, series, 1.0))
    return made


def _means(
    name: str, task: str, quantity: str, series: Sequence[Series], each: float
) -> Iterator[Mean]:
    for step in sorted({step for one in series for step in one}):
        values = [one[step] for one in series if step in one and math.isfinite(one[step])]
        if values:
            mean = sum(values) / len(values)
            yield Mean(
                name,
                task,
                quantity,
                step,
                step * each,
                mean,
                min(values),
                max(values),
                len(values),
            )


def _lambdas(results: Results, variants: Iterable[str]) -> list[tuple[str, float]]:
    found = {}
    for (variant, _), runs in results.runs.items():
        for metrics in runs.values():
            if "lm_coef" in metrics:
                found[variant] = float(metrics["lm_coef"])
    return [(variant, found[variant]) for variant in variants if variant in found]


# Drawing. -------------------------------------------------------------------------------------


def _line(axes: Any, means: Sequence[Mean], drawn: style.Style, label: str, **how: Any) -> None:
    if not means:
        return
    xs = [mean.x for mean in means]
    axes.plot(xs, [mean.mean for mean in means], color=drawn.colour, label=label or None, **how)
    if any(mean.runs > 1 for mean in means):
        low, high = [mean.low for mean in means], [mean.high for mean in means]
        axes.fill_between(xs, low, high, color=drawn.colour, alpha=0.15, linewidth=0)


def objective(results: Results, model: str) -> str:
    """What a model is pre-trained to predict."""
    seeds = results.pretrained[model]
    return str(seeds[min(seeds)].get("objective", "next token"))


def _draw_pretrain(results: Results, means: Sequence[Mean], folder: Path) -> None:
    """A panel an objective: losses of different objectives cannot be compared."""
    from matplotlib.ticker import EngFormatter

    models = list(dict.fromkeys(mean.name for mean in means))
    by_objective: dict[str, list[str]] = {}
    for model in models:
        by_objective.setdefault(objective(results, model), []).append(model)
    title = heading("Pre-training: loss over tokens read", results, [])
    count = len(by_objective)
    size = (7.2, 1.0 + 3.8 * count)
    with panels(PRETRAIN, folder, title, count, 1, size) as grid:
        for axes, (what, names) in zip(grid, by_objective.items(), strict=True):
            for model in names:
                drawn = style.of(results, model)
                own = [mean for mean in means if mean.name == model and mean.step]
                train = [mean for mean in own if mean.quantity == TRAIN]
                held = [mean for mean in own if mean.quantity == VALIDATION]
                _line(axes, train, drawn, "" if held else model, alpha=0.55, linewidth=1.0)
                marked = {"linestyle": drawn.line, "marker": drawn.marker, "markersize": 4.5}
                _line(axes, held, drawn, model if held else "", **marked)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(EngFormatter())
            axes.set_xlabel("tokens read (log axis)", fontsize=9)
            axes.set_ylabel(f"loss, nats a token ({what})", fontsize=9)
            axes.tick_params(labelsize=8)
            if what == "next token":
                _perplexity(axes)
            axes.legend(
                fontsize=7.5,
                ncol=2 if len(names) > 3 else 1,
                handlelength=3,
                title="pale: training batches\nmarked: held-out books",
                title_fontsize=7.5,
            )


def _perplexity(axes: Any) -> None:
    """The same heights as perplexity, on the right."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = axes.get_ylim()
    right = axes.twinx()
    right.grid(visible=False)
    right.set_ylim(math.exp(low), math.exp(high))
    right.set_yscale("function", functions=(_log, _exp))
    steps = [m * 10**n for n in range(7) for m in (1, 2, 5)]
    right.yaxis.set_major_locator(FixedLocator([x for x in steps if low <= math.log(x) <= high]))
    right.yaxis.set_minor_locator(NullLocator())
    right.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    right.tick_params(labelsize=8)
    right.set_ylabel("perplexity", fontsize=9)


def _log(x: Any) -> Any:
    import numpy as np

    return np.log(np.maximum(x, 1e-9))


def _exp(x: Any) -> Any:
    import numpy as np

    return np.exp(x)


def _draw_finetune(results: Results, means: Sequence[Mean], folder: Path) -> None:
    tasks = list(dict.fromkeys(mean.task for mean in means))
    columns = min(COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    title = heading("Fine-tuning: training loss over updates", results, tasks)
    with panels(
        FINETUNE, folder, title, len(tasks), columns, (max(2.6 * columns, 4.8), 1.1 + 1.95 * rows)
    ) as grid:
        for place, (axes, task) in enumerate(zip(grid, tasks, strict=True)):
            own = [mean for mean in means if mean.task == task]
            for variant in dict.fromkeys(mean.name for mean in own):
                drawn = style.of(results, variant)
                line = [mean for mean in own if mean.name == variant]
                _line(axes, line, drawn, variant, linestyle=drawn.line, linewidth=1.3)
            axes.set_title(short(results.job.tasks[task].title, 34), fontsize=9)
            axes.tick_params(labelsize=7.5)
            axes.set_ylim(bottom=-0.03 * max(mean.high for mean in own))
            if place % columns == 0:
                axes.set_ylabel("loss, nats", fontsize=8)
            if place + columns >= len(tasks):
                axes.set_xlabel("updates", fontsize=8)
        handles: dict[str, Any] = {}
        for axes in grid:
            found = zip(*axes.get_legend_handles_labels(), strict=True)
            handles |= {label: line for line, label in found}
        grid[0].figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            fontsize=8,
            ncol=4,
            frameon=False,
            handlelength=3,
        )


def _words_pretrain(means: Sequence[Mean]) -> str:
    parts = []
    for model in dict.fromkeys(mean.name for mean in means):
        held = [m for m in means if (m.name, m.quantity) == (model, VALIDATION)]
        if held:
            parts.append(f"{model}: validation loss {held[0].mean:.2f} to {held[-1].mean:.2f}")
    return "Training and validation loss over tokens read. " + "; ".join(parts) + "."


def _words_finetune(results: Results, means: Sequence[Mean]) -> str:
    tasks = [results.job.tasks[task].title for task in dict.fromkeys(mean.task for mean in means)]
    names = ", ".join(dict.fromkeys(mean.name for mean in means))
    return f"Training loss over updates of {names}, a panel each for {', '.join(tasks)}."
