"""The paper's numbers as data: `reference.yaml`, typed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from gptbench.settings import Settings, parse, read_yaml

FILE = Path(__file__).with_name("reference.yaml")


class Paper(Settings):
    """Which paper."""

    title: str
    authors: str
    year: int


class Column(Settings):
    """A column of a table: our task and score, the paper's split, the metric.

    `score` is a key of the task's `scored`, two joined by `+` for their mean, or null where
    the task has one only. The tasks `average` and `glue` are no data sets.
    """

    key: str
    title: str
    task: str
    score: str | None
    split: str
    metric: str


class Row(Settings):
    """A method's row: `values` by column key; a missing key is a dash in the paper."""

    method: str
    reference: str
    source: Literal["reported", "paper"]
    ensemble: str | None = None
    variant: str | None = None
    model: str | None = None
    values: dict[str, float]

    @property
    def label(self) -> str:
        """The method with its ensemble mark, as the paper prints it."""
        return f"{self.method} ({self.ensemble})" if self.ensemble else self.method


class Table(Settings):
    """One of tables 2 to 5; `section` is the paper's."""

    title: str
    section: str
    notes: tuple[str, ...] = ()
    columns: list[Column]
    rows: list[Row]

    @model_validator(mode="after")
    def _keys_are_columns(self) -> Self:
        known = {column.key for column in self.columns}
        for row in self.rows:
            if unknown := sorted(set(row.values) - known):
                raise ValueError(f"row {row.method!r}: no column {unknown[0]!r}")
        return self

    def row(self, variant: str) -> Row:
        """The paper's own row of a variant; raises `KeyError` if there is none."""
        for row in self.rows:
            if row.source == "paper" and row.variant == variant:
                return row
        raise KeyError(variant)


class LeftPoint(Settings):
    """Figure 2, left: dev accuracy with no and with all layers transferred (approximate)."""

    task: str
    none: float
    all: float


class RightPoint(Settings):
    """Figure 2, right: the transformer's normalised score at the end (approximate)."""

    task: str
    title: str
    end: float


class Figure2(Settings):
    """What can be read off figure 2: a plot, so all its points are readings."""

    section: str
    read_off: Literal[True]
    note: str
    left: list[LeftPoint]
    right: list[RightPoint]


class Best(Settings):
    """A score that is drawn as 1 in figure 2, right, and where it is from."""

    task: str
    value: float
    origin: str


class Stated(Settings):
    """A number that the text gives: `where` is a section, `code` or `OpenAI`."""

    key: str
    title: str
    value: float
    unit: str
    where: str


class BestOfAll(Settings):
    """The tasks on which the paper says that it beats every reported system."""

    where: str
    datasets: int
    tasks: list[str]


class ClaimedGain(Settings):
    """By how much the paper says that it beats the best reported system of a task."""

    task: str
    value: float
    where: str


class ClaimedDrop(Settings):
    """By how much the paper says that a variant's average is below the full model's."""

    variant: str
    value: float
    where: str


class Claims(Settings):
    """What the text says about the tables."""

    best: BestOfAll
    gains: list[ClaimedGain]
    drops: list[ClaimedDrop]


class GlueScore(Column):
    """A score of the paper's submission to the GLUE server; `title` says which."""

    value: float


class GlueAverage(Settings):
    """A way of averaging: the mean over `parts` of the mean of the scores in each.

    `printed` is the average as it was printed, where it was.
    """

    key: str
    title: str
    how: str
    parts: list[list[str]]
    printed: float | None = None


class Glue(Settings):
    """The paper's submission, score by score, and the averages in use."""

    where: str
    scores: list[GlueScore]
    averages: list[GlueAverage]

    @model_validator(mode="after")
    def _parts_are_scores(self) -> Self:
        known = {score.key for score in self.scores}
        for average in self.averages:
            if unknown := sorted({key for part in average.parts for key in part} - known):
                raise ValueError(f"average {average.key!r}: no score {unknown[0]!r}")
        return self

    def parts(self, average: GlueAverage) -> list[list[Column]]:
        """The columns of each part."""
        by_key = {score.key: score for score in self.scores}
        return [[by_key[key] for key in part] for part in average.parts]

    def value(self, average: GlueAverage) -> float:
        """The submission's average, from its scores."""
        by_key = {score.key: score.value for score in self.scores}
        each = [sum(by_key[key] for key in part) / len(part) for part in average.parts]
        return sum(each) / len(each)


class PaperSetting(Settings):
    """A setting of the paper: `key` is a path in our config, `where` its source."""

    key: str
    title: str
    paper: float | bool | str | None
    where: str


class Reference(Settings):
    """All of `reference.yaml`."""

    paper: Paper
    tables: dict[str, Table]
    figure2: Figure2
    text: list[Stated]
    claims: Claims
    glue: Glue
    best_of_the_day: list[Best]
    settings: list[PaperSetting]

    def best(self, task: str) -> float | None:
        """The score drawn as 1 for a task in figure 2, right."""
        return next((best.value for best in self.best_of_the_day if best.task == task), None)


@cache
def load() -> Reference:
    """The reference that comes with the package."""
    return parse(Reference, read_yaml(FILE), str(FILE))
