"""The diagram of a model (figure 1 of the paper, left): boxes and arrows from its stages.

Where things stand is reckoned here; `templates/_diagram.svg.j2` turns it into SVG.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gptbench.report.architecture import Architecture, Stage

WIDTH = 880
LEFT, BOX = 70, 380
MIDDLE = LEFT + BOX // 2
NOTES = LEFT + BOX + 30
GAP = 28
APART = 10
"""Between boxes side by side."""
TOP = 26
"""Room for the headings of the notes."""
HEIGHTS = {"box": 48, "norm": 28, "sum": 24}
PAIR = 66
"""Height of two boxes side by side: their two notes stand one above the other."""
RADIUS = 12


@dataclass(frozen=True)
class Box:
    """A stage's place; `note` is the height of its shape's line, 0 where it has none."""

    stage: Stage
    x: float
    y: float
    width: float
    height: float
    note: float

    @property
    def middle(self) -> float:
        """Where an arrow meets it, from left to right."""
        return self.x + self.width / 2

    @property
    def centre(self) -> float:
        """Its middle from top to bottom."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Diagram:
    """A diagram: its boxes, its arrows as paths, the block's frame (x, y, width, height)."""

    width: int
    height: int
    boxes: list[Box]
    arrows: list[str]
    frame: tuple[float, float, float, float]
    depth: int


def diagram(made: Architecture, head: Stage) -> Diagram:
    """Lay a model's stages out in one column, its input at the bottom; `head` at the top."""
    levels = list(_levels([*made.stages, head]))
    height = sum(map(_height, levels)) + GAP * len(levels) + TOP
    bottom = float(height - GAP)
    rows = []
    for level in levels:
        rows.append(_row(level, bottom))
        bottom -= _height(level) + GAP
    boxes = [box for row in rows for box in row]
    inside = [box for box in boxes if box.stage.part == "block"]
    top, low = inside[-1].y - 10, inside[0].y + inside[0].height + 18
    frame = (LEFT - 52, top, BOX + 66, low - top)
    arrows = [*_flow(rows), *_residuals(rows)]
    return Diagram(WIDTH, height, boxes, arrows, frame, made.depth)


def _levels(stages: Sequence[Stage]) -> Iterator[list[Stage]]:
    """Stages that stand beside each other together."""
    level: list[Stage] = []
    for stage in stages:
        if level and not stage.beside:
            yield level
            level = []
        level.append(stage)
    yield level


def _height(level: Sequence[Stage]) -> int:
    return PAIR if len(level) > 1 else HEIGHTS[level[0].kind]


def _row(level: Sequence[Stage], bottom: float) -> list[Box]:
    height = _height(level)
    top = bottom - height
    if level[0].kind == "sum":
        note = 0.0 if level[0].closes else top + height / 2 + 4
        return [Box(level[0], MIDDLE - RADIUS, top, 2 * RADIUS, height, note)]
    each = (BOX - APART * (len(level) - 1)) / len(level)
    shift = 0 if len(level) > 1 else height / 2 - 22
    if level[0].kind == "norm":
        shift = 4
    return [
        Box(stage, LEFT + n * (each + APART), top, each, height, top + shift + 15 + 34 * n)
        for n, stage in enumerate(level)
    ]


def _flow(rows: Sequence[list[Box]]) -> Iterator[str]:
    """Arrows from each row to the one above; a row of two parts or joins the way."""
    for below, above in pairwise(rows):
        start, end = below[0].y, above[0].y + above[0].height
        halfway = end + 12
        if len(above) > 1 and above[-1].stage.part == "input":
            yield f"M{above[0].middle:g},{start:g} V{end:g}"  # places need no input
            continue
        for box in below:
            for target in above:
                across = f"V{halfway:g} H{target.middle:g} " if box.middle != target.middle else ""
                yield f"M{box.middle:g},{start:g} {across}V{end:g}"


def _residuals(rows: Sequence[list[Box]]) -> Iterator[str]:
    """The way around each branch, on the left."""
    start = 0.0
    for row in rows:
        box = row[0]
        if box.stage.opens:
            start = box.y + box.height + 10
        if box.stage.closes:
            yield f"M{MIDDLE},{start:g} H{LEFT - 24} V{box.centre:g} H{box.x:g}"
