"""Figure 2: layers transferred (left) and zero-shot over pre-training (right); `drawing` for all.

The numbers come first (`left_points`, `right_points`) and are kept as CSV beside the drawings.
matplotlib is imported only where something is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

from gptbench.evaluation.statistics import Sample, interval
from gptbench.report import csvfile
from gptbench.report.reference import Reference
from gptbench.report.results import TRAIN, Results, figure_score
from gptbench.report.scores import layers, left_cells
from gptbench.report.tables import reservation

NAMES = ("figure2_left", "figure2_right")
TRANSFORMER = "transformer"


@dataclass(frozen=True)
class Point:
    """A mean over seeds, its 95 % interval, and the lowest and the highest seed."""

    series: str
    task: str
    kind: str
    x: int
    value: float
    ci_low: float | None
    ci_high: float | None
    seed_low: float
    seed_high: float
    runs: int
    raw: float | None = None
    chance: float | None = None
    one: float | None = None


def left_points(results: Results) -> list[Point]:
    """Dev and train score by layers transferred."""
    points = []
    for task, variants in left_cells(results).items():
        spec = results.job.tasks[task]
        for kind, score in (("dev", figure_score(spec)), ("train", TRAIN)):
            for variant in variants:
                found = results.sample(variant, task, score, spec.metrics[0])
                if found is not None:
                    points.append(_point(spec.title, task, kind, layers(results, variant), found))
    return points


def right_points(results: Results, reference: Reference) -> list[Point]:
    """Zero-shot scores by step, normalised: chance is 0; see `one_of` for 1."""
    points = []
    for model, tasks in results.asked.zeroshot.items():
        for task in tasks:
            one = one_of(results, reference, task)
            for at in results.zero_points(model, task):
                if one is None:
                    continue
                raw = _point(results.job.tasks[task].title, task, model, at.step, at.sample)
                points.append(_normalised(raw, at.chance, one))
    return points


def one_of(results: Results, reference: Reference, task: str) -> float | None:
    """The score drawn as 1: 100 on synthetic data, else a constant of `reference.yaml`."""
    return 100.0 if results.job.config.synthetic else reference.best(task)


def _point(series: str, task: str, kind: str, x: int, found: Sample) -> Point:
    whole = interval(found)
    return Point(
        series,
        task,
        kind,
        x,
        whole.value,
        whole.low,
        whole.high,
        float(found.values.min()),
        float(found.values.max()),
        whole.runs,
    )


def _normalised(raw: Point, chance: float, one: float) -> Point:
    def scale(value: float) -> float:
        return (value - chance) / (one - chance)

    return replace(
        raw,
        value=scale(raw.value),
        raw=raw.value,
        chance=chance,
        one=one,
        ci_low=None if raw.ci_low is None else scale(raw.ci_low),
        ci_high=None if raw.ci_high is None else scale(raw.ci_high),
        seed_low=scale(raw.seed_low),
        seed_high=scale(raw.seed_high),
    )


def to_csv(points: Sequence[Point]) -> str:
    """The points with fixed number formatting."""
    rows = (
        [
            "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
            for value in astuple(point)
        ]
        for point in points
    )
    return csvfile.to_text([item.name for item in fields(Point)], rows)


def write(results: Results, reference: Reference, folder: Path) -> dict[str, list[Point]]:
    """Write both figures as SVG, PNG and CSV into `folder`; returns their points."""
    drawers: dict[str, tuple[list[Point], Callable[[Any, list[Point], Results], None]]] = {
        NAMES[0]: (left_points(results), _draw_left),
        NAMES[1]: (right_points(results, reference), _draw_right),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, (points, draw) in drawers.items():
        (folder / f"{name}.csv").write_text(to_csv(points), "utf-8")
        _save(name, points, draw, results, folder)
    return {name: points for name, (points, _) in drawers.items()}


def words(name: str, points: Sequence[Point]) -> str:
    """What a figure shows, for those who do not see it: where each line begins and ends."""
    lines: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        lines.setdefault((point.series, point.kind), []).append(point)
    digits = 1 if name == NAMES[0] else 2
    said = [
        f"{series}, {kind}: {line[0].value:.{digits}f} to {line[-1].value:.{digits}f}"
        for (series, kind), line in lines.items()
    ]
    what = {
        NAMES[0]: "Score by number of layers transferred",
        NAMES[1]: "Zero-shot score, chance at 0, by pre-training update",
    }
    return f"{what[name]}. {'; '.join(said) or 'No runs'}."


# Drawing. -------------------------------------------------------------------------------------


@contextmanager
def drawing(
    name: str, folder: Path, title: str, size: tuple[float, float] = (6.4, 5.0)
) -> Iterator[Any]:
    """Axes to draw on, saved in the end as `<name>.svg` and `<name>.png`; same bytes each time."""
    with panels(name, folder, "", 1, 1, size) as (axes,):
        yield axes
        axes.set_title(title, fontsize=10)


@contextmanager
def panels(
    name: str, folder: Path, title: str, count: int, columns: int, size: tuple[float, float]
) -> Iterator[list[Any]]:
    """`count` axes in rows of `columns`, saved as `drawing` does; `size` in inches."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn

    style: dict[Any, Any] = {
        "svg.hashsalt": name,
        "svg.fonttype": "none",
        "font.family": "DejaVu Sans",
        "text.hinting": "none",  # the same widths at every resolution, for one layout
        "text.parse_math": False,  # a dollar in a data set's title or label is a dollar
    }
    with seaborn.axes_style("whitegrid"), matplotlib.rc_context(style):
        rows = -(-count // columns)
        figure, grid = plt.subplots(
            rows, columns, figsize=size, layout="constrained", squeeze=False
        )
        every = list(grid.flat)
        for spare in every[count:]:
            spare.set_axis_off()
        yield every[:count]
        if title:
            figure.suptitle(title, fontsize=10)
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.execute(figure)  # once, not for each file
        figure.set_layout_engine("none")
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=150, metadata={"Software": None})
        plt.close(figure)


def heading(text: str, results: Results, tasks: Sequence[str]) -> str:
    """A figure's title, with what keeps these tasks' numbers from being compared below it."""
    why = reservation(results, tasks)
    return f"{text}\n{why}" if why else text


def short(text: str, longest: int) -> str:
    """A title that has a panel's width."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _save(
    name: str,
    points: list[Point],
    draw: Callable[[Any, list[Point], Results], None],
    results: Results,
    folder: Path,
) -> None:
    title = {"figure2_left": "Layers transferred", "figure2_right": "Zero-shot over pre-training"}
    tasks = sorted({point.task for point in points})
    with drawing(name, folder, heading(title[name], results, tasks)) as axes:
        if points:
            draw(axes, points, results)
        else:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "no runs", ha="center", va="center", fontsize=14)


def _colours(points: list[Point]) -> dict[str, Any]:
    import seaborn

    tasks = list(dict.fromkeys(point.task for point in points))
    return dict(zip(tasks, seaborn.color_palette("colorblind", max(len(tasks), 1)), strict=False))


def _lines(
    axes: Any,
    points: list[Point],
    dashed: Callable[[str], bool],
    place: Callable[[int], float],
) -> None:
    """One line a task and kind, with a band over the seeds (or the interval of a lone run).

    The legend names a task once; that of the figure says what the dashed lines are.
    """
    colours = _colours(points)
    markers = dict(zip(colours, "osD^vPX*", strict=False))
    named: set[str] = set()
    for task, kind in dict.fromkeys((point.task, point.kind) for point in points):
        line = [point for point in points if (point.task, point.kind) == (task, kind)]
        xs = [place(point.x) for point in line]
        axes.plot(
            xs,
            [point.value for point in line],
            "--" if dashed(kind) else "-",
            color=colours[task],
            marker=markers.get(task, "o"),
            markersize=4,
            markerfacecolor="white" if dashed(kind) else colours[task],
            label=line[0].series if task not in named else None,
        )
        named.add(task)
        low, high = zip(*(band(point) for point in line), strict=True)
        axes.fill_between(
            xs, low, high, color=colours[task], alpha=0.08 if dashed(kind) else 0.16, linewidth=0
        )


def band(point: Point) -> tuple[float, float]:
    """What is shaded around a point: the range over seeds, or a lone run's interval."""
    if point.runs > 1 or point.ci_low is None or point.ci_high is None:
        return point.seed_low, point.seed_high
    return point.ci_low, point.ci_high


def _draw_left(axes: Any, points: list[Point], results: Results) -> None:
    _lines(axes, points, lambda kind: kind == "train", float)
    axes.set_xticks(sorted({point.x for point in points}))
    axes.set_xlabel("layers transferred")
    axes.set_ylabel("accuracy (%)")
    _legend(axes, "solid: held out, dashed: train")


def _draw_right(axes: Any, points: list[Point], results: Results) -> None:
    steps = sorted({point.x for point in points})
    positive = [step for step in steps if step > 0] or [1]
    edge = positive[0] / 2

    def place(step: int) -> float:
        return float(step) if step > 0 else edge

    _lines(axes, points, lambda kind: kind != TRANSFORMER, place)
    axes.axhline(0, color="0.35", linewidth=1)
    axes.set_xscale("log")
    marks = ([0] if 0 in steps else []) + _some(positive)
    axes.set_xticks([place(step) for step in marks], [f"{step:,}" for step in marks], fontsize=8)
    axes.xaxis.set_minor_locator(_no_ticks())
    axes.set_xlabel("pre-training updates (log axis; 0 at the left edge)")
    one = "100 is 1" if results.job.config.synthetic else "the best of the day is 1"
    axes.set_ylabel(f"score (chance is 0, {one})")
    kinds = [kind for kind in dict.fromkeys(point.kind for point in points) if kind != TRANSFORMER]
    _legend(axes, f"solid: {TRANSFORMER}" + (f", dashed: {', '.join(kinds)}" if kinds else ""))


def _legend(axes: Any, title: str) -> None:
    axes.figure.legend(
        loc="outside lower center", fontsize=9, ncol=2, frameon=False, title=title, title_fontsize=9
    )


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _some(steps: list[int]) -> list[int]:
    """Steps far enough apart on a log axis to be labelled, the last one always."""
    kept: list[int] = []
    for step in reversed(steps):
        if not kept or kept[-1] / step >= 1.6:
            kept.append(step)
    return kept[::-1]
