"""The sections that look behind the scores: differences, curves, calibration, confusion, errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gptbench.report import calibration, confusion, curves, errors, forest, outputs
from gptbench.report.findings import FULL
from gptbench.report.reference import Reference
from gptbench.report.results import Results, in_order
from gptbench.report.uncertainty import Uncertainty


@dataclass(frozen=True)
class Diagnostics:
    """What the page shows of each."""

    forests: list[forest.Forest]
    curves: curves.Curves
    calibration: calibration.Reliability
    confusion: confusion.Confusion
    errors: errors.Errors


def write(results: Results, known: Reference, stated: Uncertainty, report: Path) -> Diagnostics:
    """Draw all figures into `report/figures`, and write calibration.csv and errors.csv."""
    figures = report / "figures"
    tasks = in_order([task for variant, task in results.runs if variant == FULL], known)
    read = {task: outputs.read(results, FULL, task) for task in tasks}
    found = {task: one for task, one in read.items() if one is not None}
    return Diagnostics(
        forest.write(results, stated.differences, figures),
        curves.write(results, known, figures),
        calibration.write(results, found, figures, report),
        confusion.write(results, found, figures),
        errors.write(results, found, report),
    )
