"""What a variant's runs answered on a task, with the probabilities behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gptbench.errors import UserError
from gptbench.evaluation.statistics import Key
from gptbench.report.results import Results, main_score, scored_splits, split_predictions
from gptbench.settings import TaskSpec

Array = NDArray[Any]
NAMES = {
    "cola": ["unacceptable", "acceptable"],
    "mrpc": ["not_equivalent", "equivalent"],
    "qqp": ["not_duplicate", "duplicate"],
    "sst2": ["negative", "positive"],
}
"""What 0 and 1 mean in files that say no more (the hub's names)."""


@dataclass(frozen=True)
class Outputs:
    """The runs of a variant on the splits of a task's main score.

    Attributes
    ----------
    keys : pre-training and fine-tuning seed of each run.
    splits, index : [n], where each example is from.
    gold : [n], class, number of the right answer, or score.
    prediction : [runs, n].
    probabilities : [runs, n, classes or answers]; None where the files have none, and for a
        regression.
    """

    task: TaskSpec
    keys: list[Key]
    splits: Array
    index: Array
    gold: Array
    prediction: Array
    probabilities: Array | None

    @property
    def regression(self) -> bool:
        """Whether the answers are numbers on a scale."""
        return self.task.range is not None

    @property
    def labels(self) -> list[str]:
        """The classes in order; of a choice the answers by their place."""
        if self.task.labels and self.task.format != "choice":
            return class_names(self.task)
        most = int(max(self.gold.max(), self.prediction.max())) + 1
        if self.probabilities is not None:
            most = max(most, self.probabilities.shape[2])
        return [f"answer {i + 1}" for i in range(most)]


def class_names(task: TaskSpec) -> list[str]:
    """The classes of a task in order, as a person calls them."""
    labels = task.labels or []
    return NAMES.get(task.name, labels) if labels == ["0", "1"] else labels


def read(results: Results, variant: str, task: str) -> Outputs | None:
    """A variant's outputs on a task; None where no run has predictions.

    Raises `UserError` where two runs were not scored on the same examples, or a file is broken.
    """
    spec = results.job.tasks[task]
    splits = [s for part in main_score(spec).split("+") for s in scored_splits(spec, part)]
    found, keys = [], []
    for key in sorted(results.runs.get((variant, task), {})):
        path = results.folder(variant, task, key) / "predictions.parquet"
        if path.is_file():
            found.append(split_predictions(path, splits))
            keys.append(key)
    if not found or not len(found[0]["gold"]):
        return None
    first = found[0]
    for key, rows in zip(keys, found, strict=True):
        if any(not np.array_equal(rows[name], first[name]) for name in ("split", "index", "gold")):
            here, there = (results.folder(variant, task, one) for one in (key, keys[0]))
            raise UserError(
                f"{here}: not the same examples as in {there}; delete the older and run again"
            )
    widths = {rows["scores"].shape[1] if "scores" in rows else 0 for rows in found}
    known = len(widths) == 1 and widths.pop() > 1 and spec.range is None
    return Outputs(
        spec,
        keys,
        first["split"].astype(str),
        first["index"],
        first["gold"] if spec.range else first["gold"].astype(np.int64),
        np.stack([rows["prediction"] for rows in found]),
        np.stack([rows["scores"] for rows in found]) if known else None,
    )
