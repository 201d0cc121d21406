"""Reliability diagrams of the full model: how often it is right where it is so sure.

The confidence is the probability of the class (or answer) that is chosen. docs/report.md has the
definitions.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from gptbench.report import csvfile, style
from gptbench.report.figures import heading, panels, short
from gptbench.report.outputs import Array, Outputs
from gptbench.report.pictures import Picture, picture
from gptbench.report.results import Results
from gptbench.report.scores import number_text

NAME = "calibration"
BINS = 10
RESAMPLES = 1000
LEVEL = 0.95
FEW = 20
"""A bin with fewer answers is drawn hollow."""
_AT_ONCE = 50


@dataclass(frozen=True)
class Bin:
    """The answers with a confidence above `low` and up to `high`; no means where there are none."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """A task's calibration over all runs together, n examples each.

    `ece` is the expected calibration error of all runs' answers, `low` and `high` its interval over
    examples, `ece_run` the mean of the single runs' own; `brier` is the mean squared distance of
    the probabilities from the right answer, summed over the classes, and `brier_constant` what
    always answering with the classes' shares would have.
    """

    task: str
    runs: int
    n: int
    classes: int
    accuracy: float
    confidence: float
    ece: float
    low: float
    high: float
    ece_run: float
    brier: float
    brier_constant: float
    bins: list[Bin]


@dataclass(frozen=True)
class Reliability:
    """The figure (None where no task has probabilities), and the tasks left out."""

    picture: Picture | None
    rows: list[Calibration]
    titles: dict[str, str]
    without: list[str]


def write(results: Results, outputs: dict[str, Outputs], folder: Path, report: Path) -> Reliability:
    """Draw the diagrams, with their bins beside them and the scores in `report/calibration.csv`."""
    rows, without = [], []
    for task, found in outputs.items():
        if found.probabilities is None:
            without.append(found.task.title)
        else:
            rows.append(measure(task, found))
    (report / f"{NAME}.csv").write_text(scores_csv(rows), "utf-8")
    titles = {row.task: results.job.tasks[row.task].title for row in rows}
    if not rows:
        return Reliability(None, [], titles, without)
    (folder / f"{NAME}.csv").write_text(bins_csv(rows), "utf-8")
    _draw(results, rows, folder)
    errors = ", ".join(f"{titles[row.task]} {row.ece:.3f}" for row in rows)
    words = f"Reliability diagrams of the full model. Expected calibration error: {errors}."
    return Reliability(picture(folder, NAME, words), rows, titles, without)


# Measuring. -----------------------------------------------------------------------------------


def measure(task: str, found: Outputs) -> Calibration:
    """A task's calibration; `found` has probabilities."""
    assert found.probabilities is not None
    runs, n, classes = found.probabilities.shape
    chosen = found.prediction.astype(np.int64)
    confidence = np.take_along_axis(found.probabilities, chosen[..., None], 2)[..., 0]
    confidence = np.clip(confidence.astype(float), 0.0, 1.0)
    right = chosen == found.gold[None]
    ece, low, high = with_interval(confidence, right, task)
    shares = np.bincount(found.gold, minlength=classes) / n
    return Calibration(
        task,
        runs,
        n,
        classes,
        float(right.mean()),
        float(confidence.mean()),
        ece,
        low,
        high,
        float(np.mean([expected_error(c, r) for c, r in zip(confidence, right, strict=True)])),
        brier(found.probabilities, found.gold),
        float(1 - (shares**2).sum()),
        bins(confidence.ravel(), right.ravel()),
    )


def places(confidence: Array) -> Array:
    """The bin of each confidence: `BINS` of equal width, each with its upper end."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)


def bins(confidence: Array, right: Array) -> list[Bin]:
    """The bins of the diagram."""
    at, edges = places(confidence), np.linspace(0, 1, BINS + 1)
    made = []
    for i in range(BINS):
        here = at == i
        count = int(here.sum())
        means: tuple[float | None, float | None] = (None, None)
        if count:
            means = float(confidence[here].mean()), float(right[here].mean())
        made.append(Bin(float(edges[i]), float(edges[i + 1]), count, *means))
    return made


def expected_error(confidence: Array, right: Array) -> float:
    """The gaps between confidence and accuracy, weighted with the share of each bin."""
    gaps = np.bincount(places(confidence), right - confidence, BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def with_interval(confidence: Array, right: Array, name: str) -> tuple[float, float, float]:
    """The expected calibration error of [runs, n] answers, with a 95 % interval over examples.

    Examples are drawn again with all their runs. Absolute gaps grow with any noise, in a
    resample once more than in the sample, so the interval is the basic one: the sample's error
    minus the quantiles of what resampling adds, from 0 on.
    """
    runs, n = confidence.shape
    gaps = np.zeros((n, BINS))
    for c, r in zip(confidence, right, strict=True):
        gaps[np.arange(n), places(c)] += r - c
    found = float(np.abs(gaps.sum(0)).sum() / (runs * n))
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    drawn = []
    for _ in range(RESAMPLES // _AT_ONCE):
        weights = rng.multinomial(n, np.full(n, 1 / n), _AT_ONCE)
        drawn.append(np.abs(weights @ gaps).sum(1) / (runs * n))
    tail = (1 - LEVEL) / 2
    lower, upper = np.quantile(np.concatenate(drawn), [tail, 1 - tail])
    return found, max(0.0, 2 * found - float(upper)), max(found, 2 * found - float(lower))


def brier(probabilities: Array, gold: Array) -> float:
    """Brier's score of [runs, n, classes], summed over the classes: 0 is perfect, 2 the worst."""
    hits = np.eye(probabilities.shape[2])[gold]
    return float(((probabilities - hits[None]) ** 2).sum(2).mean())


# Files. ---------------------------------------------------------------------------------------


def bins_csv(rows: Sequence[Calibration]) -> str:
    """The bins of all diagrams."""
    head = ["task", *(field.name for field in fields(Bin))]
    cells = [
        [row.task, *(number_text(value) for value in astuple(one))]
        for row in rows
        for one in row.bins
    ]
    return csvfile.to_text(head, cells)


def scores_csv(rows: Sequence[Calibration]) -> str:
    """calibration.csv: a task a row."""
    head = [field.name for field in fields(Calibration) if field.name != "bins"]
    return csvfile.to_text(
        head, ([number_text(getattr(row, name)) for name in head] for row in rows)
    )


def _draw(results: Results, rows: Sequence[Calibration], folder: Path) -> None:
    columns = min(3, len(rows))
    what = "Reliability of the full model: accuracy by confidence"
    title = heading(what, results, [row.task for row in rows])
    deep = -(-len(rows) // columns)
    drawn = style.of(results, "full")
    size = (max(2.5 * columns, 4.8), 0.9 + 2.2 * deep)
    with panels(NAME, folder, title, len(rows), columns, size) as grid:
        for place, (axes, row) in enumerate(zip(grid, rows, strict=True)):
            _panel(axes, row, drawn)
            spec = results.job.tasks[row.task]
            name = short(spec.title, 30)
            axes.set_title(f"{name}\nECE {row.ece:.3f}, Brier {row.brier:.3f}", fontsize=8.5)
            if place % columns == 0:
                axes.set_ylabel("share right", fontsize=8)
            if place + columns >= len(rows):
                axes.set_xlabel("confidence", fontsize=8)


def _panel(axes: Any, row: Calibration, drawn: style.Style) -> None:
    whole = sum(one.n for one in row.bins)
    axes.bar(
        [one.low for one in row.bins],
        [one.n / whole for one in row.bins],
        width=1 / BINS,
        align="edge",
        color="0.80",
        edgecolor="0.65",
        linewidth=0.5,
    )
    axes.plot([0, 1], [0, 1], color="0.35", linewidth=0.9, linestyle="--")
    there = [one for one in row.bins if one.n]
    look: dict[str, Any] = {"color": drawn.colour, "clip_on": False, "zorder": 3}
    axes.plot(
        [one.confidence for one in there], [one.accuracy for one in there], linewidth=1.2, **look
    )
    for one in there:
        axes.plot(
            [one.confidence],
            [one.accuracy],
            marker=drawn.marker,
            markersize=5,
            markerfacecolor=drawn.colour if one.n >= FEW else "white",
            **look,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7.5)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7.5)
