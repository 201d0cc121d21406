"""The page's data section: rows and labels of every split, what is scored, contamination."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gptbench.artifacts import read_json
from gptbench.data.published import published_shares
from gptbench.evaluation.statistics import Interval, interval
from gptbench.plan import Plan
from gptbench.report.findings import FULL
from gptbench.report.reference import Reference
from gptbench.report.results import Results, in_order
from gptbench.settings import TaskSpec

MSR_TEST = 1725
"""Rows of Microsoft's test set of MRPC, which is what GLUE's server scores."""


@dataclass(frozen=True)
class SplitRows:
    """A split as it was read; None where results were made without that count."""

    title: str
    split: str
    found: int
    official: int | None
    unlabelled: int
    skipped: int
    empty: int | None
    duplicates: int | None
    overlap: int | None
    broken: int | None
    longest: int | None
    labels: list[tuple[str, float, float | None]]
    """Label, its share of the used rows, its published share."""


@dataclass(frozen=True)
class Scored:
    """A reported score: its splits, its metrics (the tables' first), the full model's values."""

    title: str
    task: str
    paper_split: str
    score: str
    metrics: list[tuple[str, Interval | None]]


@dataclass(frozen=True)
class Overlap:
    """The scored examples of a split that share an n-gram with the books.

    `first` is such an n-gram, where the texts may be shown.
    """

    title: str
    split: str
    examples: int
    testable: int
    overlapping: int
    first: str | None

    @property
    def share(self) -> float:
        """Of the testable examples."""
        return self.overlapping / self.testable if self.testable else 0.0


def section(results: Results, reference: Reference) -> dict[str, Any]:
    """What the template `_data.html.j2` shows."""
    names = [name for name in in_order(results.job.tasks, reference) if name in results.facts]
    found = contamination(results)
    return {
        "rows": [row for name in names for row in _rows(results, results.job.tasks[name])],
        "counted": all("duplicates" in results.facts[name] for name in names),
        "scored": [row for name in names for row in _scored(results, results.job.tasks[name])],
        "notes": list(_notes(results, names)),
        "contamination": found,
        "overlaps": list(_overlaps(results, found, names)),
        "pretrains": Plan(results.job.config, results.job.tasks, results.job.experiments).pretrains,
        "synthetic": results.job.config.synthetic,
        "texts_shown": results.texts_shown,
    }


def contamination(results: Results) -> dict[str, Any]:
    """`contamination.json` of the results; empty where it is not there."""
    path = results.root / "contamination.json"
    found: dict[str, Any] = read_json(path) if path.is_file() else {}
    return found


def _rows(results: Results, task: TaskSpec) -> Iterator[SplitRows]:
    facts = results.facts[task.name]

    def count(key: str, split: str) -> int | None:
        value = facts.get(key, {}).get(split)
        return None if value is None else int(value)

    for split in facts["rows"]:
        labels = facts.get("labels", {}).get(split) or {}
        rows = sum(labels.values())
        known = {} if results.job.config.synthetic else published_shares(task.name, split)
        yield SplitRows(
            title=task.title,
            split=split,
            found=count("rows_found", split) or 0,
            official=task.official.get(split),
            unlabelled=count("unlabelled", split) or 0,
            skipped=count("skipped", split) or 0,
            empty=count("empty", split),
            duplicates=count("duplicates", split),
            overlap=None if split == task.train else count("overlap", split),
            broken=count("broken", split),
            longest=count("longest", split),
            labels=[(label, n / rows, known.get(label)) for label, n in labels.items() if rows],
        )


def _scored(results: Results, task: TaskSpec) -> Iterator[Scored]:
    for score, splits in task.scored.items():
        samples = {m: results.sample(FULL, task.name, score, m) for m in task.metrics}
        yield Scored(
            task.title,
            task.name,
            task.paper_split,
            score if splits == [score] else f"{score} ({' + '.join(splits)})",
            [(metric, interval(found) if found else None) for metric, found in samples.items()],
        )


def _notes(results: Results, names: list[str]) -> Iterator[str]:
    """What the numbers of rows say about the editions of the sets."""
    if results.job.config.synthetic:
        return
    glue = [
        results.job.tasks[name].title
        for name in names
        if results.job.tasks[name].paper_split == "test"
        and not any(score.startswith("test") for score in results.job.tasks[name].scored)
    ]
    if glue:
        yield (
            f"The paper reports the test splits. Those of {', '.join(glue)} have no labels in what "
            "is given out, or are not read here: the development splits are scored."
        )
    found = {name: results.facts[name].get("rows_found", {}) for name in names}
    if "qnli" in found:
        official = results.job.tasks["qnli"].official.get("dev")
        which = (
            "by its number of rows this is version 2"
            if official and found["qnli"].get("dev") == official
            else "the number of rows is not version 2's"
        )
        yield (
            f"QNLI: {which}. The paper's 88.1 is on version 1, which is no longer given out; on "
            "version 2 the same model has 87.4 on test (Devlin et al. 2019)."
        )
    if found.get("mrpc", {}).get("dev") == MSR_TEST:
        yield "MRPC: the split `dev` is Microsoft's labelled test set (1,725 rows)."


def _overlaps(results: Results, found: dict[str, Any], names: list[str]) -> Iterator[Overlap]:
    for name in names:
        for split, row in found.get("tasks", {}).get(name, {}).items():
            yield Overlap(
                results.job.tasks[name].title,
                split,
                int(row["examples"]),
                int(row["testable"]),
                int(row["overlapping"]),
                row.get("first") if results.texts_shown else None,
            )
