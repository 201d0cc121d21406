"""The stage `report`: everything below `results/<scale>/report/`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from gptbench.artifacts import Run, file_digest, unwritable
from gptbench.errors import UserError
from gptbench.report import (
    claims,
    diagnostics,
    figures,
    finished,
    formats,
    inside,
    page,
    reference,
    scores,
    studies,
    tables,
    timeline,
    uncertainty,
)
from gptbench.report.results import Results
from gptbench.settings import ReportJob

PAGE = "index.html"
PARTS = (
    "tables",
    "tables.json",
    "figures",
    "scores.csv",
    "statistics.csv",
    "differences.csv",
    "claims.csv",
    "calibration.csv",
    "errors.csv",
    PAGE,
    "manifest.json",
)
"""What a report consists of, in the order in which it is put in place."""


def run(job: ReportJob, results: Path, publish: Path | None = None) -> None:
    """Write scores, tables, figures and the page of a scale's results.

    Parameters
    ----------
    job
        The scale's config, its tasks and experiments.
    results
        `results/<scale>`; what its config asks for and is not there is listed as missing.
    publish
        Write the report to this folder and not to `results/report`: it is to be given away
        without the runs, so its page names their folders and does not link to them.
    """
    if not results.is_dir():
        raise UserError(f"{results}: no such folder; run the scale first")
    found = Results(job, results)
    inputs = {
        folder: str(manifest.get("run_id", "")) for folder, manifest in found.manifests.items()
    }
    inputs |= {name: file_digest(Path(name)) for name in job.config.systems}
    stage = Run("report", job, inputs)
    target = publish or results / "report"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".report.", dir=target.parent) as name:
            folder = Path(name)
            _write(found, reference.load(), folder, linked=publish is None)
            stage.finish(folder, missing=found.missing)
            _move(folder, target)
    except OSError as error:
        raise unwritable(target, error) from None


def _write(found: Results, known: reference.Reference, folder: Path, linked: bool) -> None:
    rows = [*scores.collect(found, known), *timeline.score_rows(found)]
    (folder / "scores.csv").write_text(scores.to_csv(rows), "utf-8")
    made = tables.all_tables(found, known)
    added = studies.study_tables(found)
    stated = uncertainty.collect(found, known)
    (folder / "statistics.csv").write_text(uncertainty.cells_csv(stated.cells), "utf-8")
    (folder / "differences.csv").write_text(
        uncertainty.differences_csv(stated.differences), "utf-8"
    )
    (folder / "tables").mkdir()
    every = [*made, *added, stated.averages]
    (folder / finished.TABLES).write_text(finished.tables_json(every), "utf-8")
    for table in every:
        for ending, write in formats.FORMATS.items():
            path = folder / "tables" / f"{table.name}.{ending}"
            path.write_text(write(table), "utf-8")
    points = figures.write(found, known, folder / "figures")
    inside.write(found, folder / "figures")
    judged = claims.evaluate(found, known)
    (folder / "claims.csv").write_text(claims.to_csv(judged), "utf-8")
    if (history := timeline.section(found)) is not None:
        timeline.draw(history, folder / "figures")
    behind = diagnostics.write(found, known, stated, folder)
    drawn = folder / "figures"
    text = page.render(found, known, made, added, stated, points, drawn, judged, behind, linked)
    (folder / PAGE).write_text(text, "utf-8")


def _move(new: Path, report: Path) -> None:
    """Put each part in its place, whole: what the page links to, the page, the manifest.

    What an earlier report left in the folders and this one did not make goes after the page that
    linked to it.
    """
    report.mkdir(exist_ok=True)
    stale: list[Path] = []
    for part in PARTS:
        target = report / part
        if target.is_dir():
            made = _names(new / part)
            stale += [target / name for name in _names(target) - made]
            for name in sorted(made):
                (new / part / name).replace(target / name)
        else:
            (new / part).replace(target)
        if part == PAGE:
            for file in stale:
                file.unlink()


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}
