"""A finished report: its tables as data, and the results that it was made from."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gptbench.artifacts import MANIFEST, read_json
from gptbench.errors import UserError
from gptbench.report.results import Results
from gptbench.report.tables import Table
from gptbench.settings import ReportJob, nearest, parse

TABLES = "tables.json"
_TABLES = TypeAdapter(list[Table])


def tables_json(tables: list[Table]) -> str:
    """Tables with their marks, for `gptbench table`."""
    return _TABLES.dump_json(tables, indent=1).decode() + "\n"


def report_folder(results: Path) -> Path:
    """The report below a results folder, or the folder itself where it is a published report.

    Raises `UserError` where nothing was run.
    """
    for folder in (results / "report", results):
        if (folder / "scores.csv").is_file() and (folder / MANIFEST).is_file():
            return folder
    if not results.is_dir():
        raise UserError(f"{results}: no such folder; run the scale first (make reproduce)")
    raise UserError(f"{results}: no report in it; run the scale to its end first (make reproduce)")


def read_table(results: Path, name: str) -> Table:
    """A table of a finished report by its name; `2` is `table2`. Raises `UserError`."""
    path = report_folder(results) / TABLES
    if not path.is_file():
        raise UserError(f"{path}: made by an older version; make the report again (make reproduce)")
    try:
        tables = {table.name: table for table in _TABLES.validate_json(path.read_bytes())}
    except ValidationError:
        raise UserError(f"{path}: broken; make the report again (make reproduce)") from None
    wanted = f"table{name}" if name.isdigit() else name
    if wanted not in tables:
        names = [known.removeprefix("table") for known in tables]
        hint = nearest(name, names) or f"; there are {', '.join(names)}"
        raise UserError(f"{path}: no table `{name}`{hint}")
    return tables[wanted]


def read_results(folder: Path) -> Results:
    """The results that a report was made from, by the settings in its manifest."""
    report = report_folder(folder)
    path = report / MANIFEST
    job = parse(ReportJob, read_json(path)["settings"], str(path))
    return Results(job, folder)
