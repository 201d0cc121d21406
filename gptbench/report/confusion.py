"""What the full model answers instead of what: a matrix a task, a cloud for a regression.

Matrices count the answers of all runs. Of a choice the classes are the answers' places, so a
preferred place shows as a dark column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gptbench.report import csvfile, style
from gptbench.report.figures import heading, panels, short
from gptbench.report.outputs import Array, Outputs
from gptbench.report.pictures import Picture, picture
from gptbench.report.results import Results
from gptbench.report.scores import number_text

NAME, POINTS = "confusion", "regression"
MANY = 3000
"""From so many points on they are a bitmap in the drawing."""


@dataclass(frozen=True)
class Matrix:
    """Counts [classes, classes], a row a gold class, over `runs` runs."""

    task: str
    labels: list[str]
    counts: Array
    runs: int
    choice: bool

    @property
    def shares(self) -> Array:
        """The rows as shares of their sums (0 where a class has no example)."""
        sums = self.counts.sum(1, keepdims=True)
        shares: Array = self.counts / np.maximum(sums, 1)
        return shares


@dataclass(frozen=True)
class Cloud:
    """Predicted and gold scores of the first run of a regression."""

    task: str
    key: tuple[int, int]
    index: Array
    gold: Array
    prediction: Array
    range: tuple[float, float]


@dataclass(frozen=True)
class Confusion:
    """The figure; None where no run has predictions."""

    picture: Picture | None
    matrices: list[Matrix]
    clouds: list[Cloud]
    titles: dict[str, str]


def write(results: Results, outputs: dict[str, Outputs], folder: Path) -> Confusion:
    """Draw a panel a task; counts go to `confusion.csv`, a regression's points to another."""
    matrices = [matrix(task, one) for task, one in outputs.items() if not one.regression]
    clouds = [cloud(task, one) for task, one in outputs.items() if one.regression]
    titles = {task: one.task.title for task, one in outputs.items()}
    if not outputs:
        return Confusion(None, [], [], titles)
    (folder / f"{NAME}.csv").write_text(to_csv(matrices), "utf-8")
    if clouds:
        (folder / f"{POINTS}.csv").write_text(points_csv(clouds), "utf-8")
    _draw(results, outputs, matrices, clouds, folder)
    words = "Confusion matrices of the full model. " + "; ".join(
        f"{titles[one.task]} {100 * np.trace(one.counts) / one.counts.sum():.1f} % on the diagonal"
        for one in matrices
    )
    words += "".join(f"; {titles[one.task]}: predicted against gold scores" for one in clouds)
    data = (f"{POINTS}.csv",) if clouds else ()
    return Confusion(picture(folder, NAME, f"{words}.", *data), matrices, clouds, titles)


def matrix(task: str, found: Outputs) -> Matrix:
    """A task's counts."""
    labels = found.labels
    size, runs = len(labels), len(found.keys)
    cells = np.tile(found.gold, runs) * size + found.prediction.astype(np.int64).ravel()
    counts = np.bincount(cells, minlength=size * size).reshape(size, size)
    return Matrix(task, labels, counts, runs, found.task.format == "choice")


def cloud(task: str, found: Outputs) -> Cloud:
    """A regression's points."""
    limits = found.task.range or (0.0, 1.0)
    return Cloud(task, found.keys[0], found.index, found.gold, found.prediction[0], limits)


def to_csv(matrices: Sequence[Matrix]) -> str:
    """A cell a row."""
    rows = [
        [one.task, gold, said, str(one.counts[i, j]), number_text(float(one.shares[i, j]))]
        for one in matrices
        for i, gold in enumerate(one.labels)
        for j, said in enumerate(one.labels)
    ]
    return csvfile.to_text(["task", "gold", "prediction", "n", "share_of_gold"], rows)


def points_csv(clouds: Sequence[Cloud]) -> str:
    """A point a row."""
    rows = [
        [one.task, str(int(i)), number_text(float(gold)), number_text(float(said))]
        for one in clouds
        for i, gold, said in zip(one.index, one.gold, one.prediction, strict=True)
    ]
    return csvfile.to_text(["task", "index", "gold", "prediction"], rows)


# Drawing. -------------------------------------------------------------------------------------


def _draw(
    results: Results,
    outputs: dict[str, Outputs],
    matrices: Sequence[Matrix],
    clouds: Sequence[Cloud],
    folder: Path,
) -> None:
    columns = min(3, len(outputs))
    deep = -(-len(outputs) // columns)
    title = heading("Full model: gold by row, predicted by column", results, list(outputs))
    drawers: dict[str, Matrix | Cloud] = {one.task: one for one in matrices}
    drawers |= {one.task: one for one in clouds}
    size = (max(2.6 * columns, 4.8), 0.8 + 2.45 * deep)
    with panels(NAME, folder, title, len(outputs), columns, size) as grid:
        for axes, task in zip(grid, outputs, strict=True):
            found = drawers[task]
            if isinstance(found, Matrix):
                _matrix(axes, found)
            else:
                _cloud(axes, found, style.of(results, "full"))
            axes.set_title(short(results.job.tasks[task].title, 34), fontsize=9)


def _matrix(axes: Any, found: Matrix) -> None:
    axes.imshow(found.shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    size = len(found.labels)
    for i in range(size):
        for j in range(size):
            share = found.shares[i, j]
            axes.text(
                j,
                i,
                f"{found.counts[i, j]:,}\n{100 * share:.0f} %",
                ha="center",
                va="center",
                fontsize=7.5 if size < 5 else 5.5,
                color="white" if share > 0.6 else "black",
            )
    names = [short(label.replace("_", " "), 16).replace("not ", "not\n") for label in found.labels]
    crowded, letters = size > 4, 7 if size < 5 else 6
    axes.set_xticks(range(size), names, fontsize=letters, rotation=90 if crowded else 0)
    axes.set_yticks(
        range(size), names, fontsize=letters, rotation=0 if crowded else 90, va="center"
    )
    axes.tick_params(length=0, pad=2)


def _cloud(axes: Any, found: Cloud, drawn: style.Style) -> None:
    low, high = found.range
    axes.plot([low, high], [low, high], color="0.35", linewidth=0.9, linestyle="--")
    axes.scatter(
        found.prediction,
        found.gold,
        s=7,
        color=drawn.colour,
        alpha=0.35,
        linewidths=0,
        rasterized=len(found.gold) > MANY,
    )
    room = 0.04 * (high - low)
    axes.set_xlim(low - room, high + room)
    axes.set_ylim(low - room, high + room)
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel("predicted score", fontsize=7.5)
    axes.set_ylabel("gold score", fontsize=7.5)
    axes.tick_params(labelsize=7)
