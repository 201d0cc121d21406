"""Forest plots: the differences of `differences.csv` with their intervals and verdicts.

A plot a table, a panel a pair of variants, a line a task. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptbench.report import csvfile, style
from gptbench.report.figures import heading, panels, short
from gptbench.report.pictures import Picture, picture
from gptbench.report.results import Results
from gptbench.report.scores import added_studies, number_text
from gptbench.report.uncertainty import AVERAGE, HIGHER, LOWER, DifferenceRow

ALWAYS = "table5"
"""The table whose plot is there even if nothing of it ran."""
GAP = "\u2003\u2003\u2003"  # browsers make one of several plain spaces
FEW = 4
"""Up to so many panels stand one above the other, with their numbers beside the lines."""


@dataclass(frozen=True)
class Forest:
    """A table's plot; `pairs` are (first, second) as the panels show them."""

    table: str
    title: str
    picture: Picture
    pairs: list[tuple[str, str]]
    verdicts: bool


def write(results: Results, rows: Sequence[DifferenceRow], folder: Path) -> list[Forest]:
    """Draw the tables that compare variants on several tasks: `forest_<table>.svg`, .png, .csv."""
    studies = results.job.experiments.studies
    tables = [ALWAYS, *(name for name in ("gains",) if name in results.job.config.studies)]
    tables += [name for name in added_studies(results) if name not in tables]
    made = []
    for table in tables:
        here = [row for row in rows if row.table == table]
        if not here and table != ALWAYS:
            continue
        title = studies[table].title if table in studies else table
        name = f"forest_{table}"
        (folder / f"{name}.csv").write_text(to_csv(here), "utf-8")
        _draw(results, name, title, here, folder)
        shown = picture(folder, name, _words(title, here))
        verdicts = any(row.p_holm is not None for row in here)
        made.append(Forest(table, title, shown, _pairs(here), verdicts))
    return made


def to_csv(rows: Sequence[DifferenceRow]) -> str:
    """The numbers of a plot."""
    columns = "first second task metric difference low high p_holm verdict given".split()
    cells = (
        [
            f"{row.p_holm:.3g}"
            if name == "p_holm" and row.p_holm is not None
            else number_text(getattr(row, name))
            for name in columns
        ]
        for row in rows
    )
    return csvfile.to_text(columns, cells)


def _pairs(rows: Sequence[DifferenceRow]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row.first, row.second) for row in rows))


def said(row: DifferenceRow) -> str:
    """A difference's numbers and verdict in a few words, as they stand beside its line."""
    text = f"{round(row.difference, 1) + 0.0:+.1f}"
    if row.low is None or row.high is None:
        return f"{text} no interval"
    text += f" [{round(row.low, 1) + 0.0:.1f}, {round(row.high, 1) + 0.0:.1f}]"
    if row.p_holm is None:
        return f"{text} no verdict"
    return f"{text} p {'< 0.001' if row.p_holm < 0.001 else f'= {row.p_holm:.3f}'}"


def _shown(row: DifferenceRow) -> bool:
    return row.verdict in (HIGHER, LOWER)


def _words(title: str, rows: Sequence[DifferenceRow]) -> str:
    """What the plot shows, for those who do not see it."""
    parts = []
    for first, second in _pairs(rows):
        own = [row for row in rows if (row.first, row.second) == (first, second)]
        counts = {mark: sum(row.verdict == mark for row in own) for mark in (HIGHER, LOWER)}
        if all(row.p_holm is None for row in own):
            verdict = f"{sum(row.difference > 0 for row in own)} of {len(own)} above 0, no verdicts"
        else:
            verdict = f"{counts[HIGHER]} of {len(own)} higher and {counts[LOWER]} lower after Holm"
        parts.append(f"{first} minus {second}: {verdict}")
    return f"Forest plot. {title}. " + ("; ".join(parts) if parts else "Nothing to compare") + "."


def _draw(
    results: Results, name: str, title: str, rows: Sequence[DifferenceRow], folder: Path
) -> None:
    pairs = _pairs(rows)
    columns = 1 if len(pairs) <= FEW else 3
    lines = [[row for row in rows if (row.first, row.second) == pair] for pair in pairs]
    high = -(-len(pairs) // columns)
    deep = max(map(len, lines), default=6)
    size = (7.2 if columns == 1 else 8.4, 0.6 + max(high, 1) * (0.75 + 0.21 * deep))
    what = f"{title}: differences in points, with 95 % intervals"
    if columns > 1:
        said_none = (
            "" if any(row.p_holm is not None for row in rows) else "; no verdicts: few seeds"
        )
        what += f"\n{pairs[0][0]} minus each; filled: shown after Holm's correction{said_none}"
    tasks = sorted({row.task for row in rows if row.task != AVERAGE})
    whole = heading(what, results, tasks)
    reach = _reach(rows)
    with panels(name, folder, whole, max(len(pairs), 1), columns, size) as grid:
        if not rows:
            grid[0].set_axis_off()
            grid[0].text(0.5, 0.5, "nothing to compare", ha="center", va="center", fontsize=12)
        for place, (axes, own) in enumerate(zip(grid, lines, strict=False)):
            _panel(axes, own, results, reach)
            first, second = pairs[place]
            if columns == 1:
                _numbers(axes, own)
                text = f"← favours {second}{GAP}points{GAP}favours {first} →"
            else:  # no room: filled markers tell the verdicts, the numbers are in the csv
                text = f"← {short(second, 18)}{GAP}{short(first, 18)} →"
                axes.set_title(f"minus {short(second, 24)}", fontsize=9, loc="left")
                if place % columns:
                    axes.set_yticklabels([])
            axes.set_xlabel(text, fontsize=8)


def _reach(rows: Sequence[DifferenceRow]) -> tuple[float, float]:
    """The same limits for all panels, 0 among them."""
    ends = [0.0]
    for row in rows:
        ends += [end for end in (row.difference, row.low, row.high) if end is not None]
    room = 0.04 * (max(ends) - min(ends)) or 1.0
    return min(ends) - room, max(ends) + room


def _panel(
    axes: Any, rows: Sequence[DifferenceRow], results: Results, reach: tuple[float, float]
) -> None:
    first, second = rows[0].first, rows[0].second
    drawn = style.of(results, second)
    for place, row in enumerate(rows):
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], color=drawn.colour, linewidth=1.6)
        axes.plot(
            [row.difference],
            [place],
            marker="D" if row.task == AVERAGE else drawn.marker,
            color=drawn.colour,
            markersize=6,
            markerfacecolor=drawn.colour if _shown(row) else "white",
            linestyle="none",
        )
    axes.axvline(0, color="0.25", linewidth=1)
    axes.set_yticks(range(len(rows)), [_label(row, results) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(*reach)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title(f"{first} minus {second}", fontsize=9, loc="left")


def _numbers(axes: Any, rows: Sequence[DifferenceRow]) -> None:
    """What was found, right of each line."""
    beside = axes.twinx()
    beside.grid(visible=False)
    beside.set_ylim(axes.get_ylim())
    beside.set_yticks(range(len(rows)), [said(row) for row in rows], fontsize=7.5)
    beside.tick_params(axis="y", length=0)
    for row, label in zip(rows, beside.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if _shown(row) else "normal")


def _label(row: DifferenceRow, results: Results) -> str:
    if row.task == AVERAGE:
        return "average"
    spec = results.job.tasks.get(row.task)
    return f"{short(spec.title if spec else row.task, 40)}, {row.metric}"
