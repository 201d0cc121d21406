"""The sides of `gptbench compare`: finished runs, published reports, CSVs of scores, the paper."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from gptbench.artifacts import MANIFEST, read_json
from gptbench.errors import UserError
from gptbench.evaluation.statistics import LEVEL, Interval, Sample, accuracy_of, interval
from gptbench.report import reference
from gptbench.report.finished import read_results, report_folder
from gptbench.report.results import Results, main_score
from gptbench.settings import Config, ReportJob, TaskSpec
from gptbench.systems import read_systems

PAPER = "paper"
STATISTICS = "statistics.csv"


@dataclass(frozen=True)
class Entry:
    """A score of one side: `whole` has no bounds where nothing is known but the number."""

    variant: str
    task: str
    metric: str
    split: str
    whole: Interval
    sample: Sample | None
    n: int | None


@dataclass(frozen=True)
class Side:
    """What is compared: its name, what a person should know of it, its scores.

    `job` is what its report was made for, `results` the runs where their files are there too.
    """

    name: str
    facts: list[str]
    entries: list[Entry]
    titles: dict[str, str]
    results: Results | None = None
    systems: bool = False
    job: ReportJob | None = None

    @property
    def data(self) -> str:
        """`synthetic`, `real`, or `unknown` where nobody states it."""
        if self.job is None:
            return "unknown" if self.systems else "real"
        return "synthetic" if self.job.config.synthetic else "real"


def read_side(name: str, tasks: Mapping[str, TaskSpec]) -> Side:
    """A side by its name: a results folder, a published report, a CSV file or `paper`.

    `tasks` are the data sets that the rows of a CSV file may name. Raises `UserError` for another.
    """
    path = Path(name)
    if name == PAPER:
        return _paper()
    if path.is_dir():
        return _finished(path)
    if path.suffix.lower() == ".csv" or path.is_file():
        return _systems(path, tasks)
    raise UserError(
        f"{name}: no such folder or file; give a results folder (results/<scale>), a CSV file"
        " of scores, or `paper`"
    )


def _paper() -> Side:
    known = reference.load()
    entries: dict[tuple[str, str, str, str], Entry] = {}
    titles: dict[str, str] = {}
    for table in known.tables.values():
        for row in table.rows:
            if row.source != "paper" or row.variant is None:
                continue
            titles.setdefault(row.variant, row.label)
            for column in table.columns:
                if column.key not in row.values or column.task in ("average", "glue"):
                    continue
                # Table 5's MNLI is the mean of both test sets.
                both = "+" in (column.score or "")
                split = (column.score or "").replace("dev", "test") if both else column.split
                key = (row.variant, column.task, column.metric, split)
                alone = _number(row.values[column.key], None)
                entries.setdefault(key, Entry(*key, alone, None, None))
    facts = [
        f"{known.paper.title} ({known.paper.year}), tables 2 to 5",
        "real data, test sets; one number each, without intervals",
    ]
    return Side("the paper", facts, list(entries.values()), titles)


def _systems(path: Path, tasks: Mapping[str, TaskSpec]) -> Side:
    rows = read_systems(path, tasks)
    entries = [
        Entry(
            row.system,
            row.task,
            row.metric,
            row.split,
            _number(row.value, row.n if row.metric == "accuracy" else None),
            None,
            row.n,
        )
        for row in rows
    ]
    cited = dict.fromkeys(row.reference for row in rows if row.reference)
    facts = [
        f"{len(rows)} scores as their author states them",
        *([f"references: {', '.join(cited)}"] if cited else []),
    ]
    return Side(str(path), facts, entries, {}, systems=True)


def _number(value: float, n: int | None) -> Interval:
    """One number: with its interval over n rows where these are known and it is an accuracy."""
    if n is not None:
        return accuracy_of(value, n)
    return Interval(value, None, None, 0.0, 1.0, None, 1, "")


def _finished(folder: Path) -> Side:
    results = read_results(folder)
    if not any(results.runs.values()) and report_folder(folder) == folder:
        return _published(folder, results.job)
    entries = []
    for variant, task in results.runs:
        spec = results.job.tasks[task]
        for score in dict.fromkeys([*spec.scored, main_score(spec)]):
            for metric in spec.metrics:
                if (found := results.sample(variant, task, score, metric)) is not None:
                    whole = interval(found)
                    entries.append(Entry(variant, task, metric, score, whole, found, found.n))
    if not entries:
        raise UserError(f"{folder}: no fine-tuned run in it; run the scale first (make reproduce)")
    manifests = results.manifests.values()
    code = sorted({str(m["code"]) for m in manifests if "code" in m})
    machines = {str(m.get("machine", {}).get("processor", "")) for m in manifests} - {""}
    facts = list(_facts(results.job.config, code, sorted(machines)))
    titles = {name: spec.title for name, spec in results.asked.variants.items()}
    return Side(str(folder), facts, entries, titles, results, job=results.job)


def _published(folder: Path, job: ReportJob) -> Side:
    """A report without its runs: the cells of its statistics, with their intervals."""
    path = folder / STATISTICS
    if not path.is_file():
        raise UserError(f"{folder}: no runs and no {STATISTICS} in it; give a results folder")
    known = job.experiments.merged(job.config.experiments).variants
    entries: dict[tuple[str, str, str, str], Entry] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            variant, task = row["variant"], row["task"]
            ours = variant in known or variant.startswith("transfer-")
            if not ours or task not in job.tasks:  # zero-shot scores and means of several tasks
                continue
            key = (variant, task, row["metric"], row["split"])
            n = int(row["examples"]) if row["examples"] else None
            entries.setdefault(key, Entry(*key, _stated(row, job.config), None, n))
    if not entries:
        raise UserError(f"{path}: no score of a fine-tuned variant in it")
    manifest = read_json(folder / MANIFEST)
    machine = str(manifest.get("machine", {}).get("processor", ""))
    facts = [
        *_facts(job.config, [str(manifest["code"])], [machine] if machine else []),
        "a published report without its runs: nothing can be paired, and the data not be checked",
    ]
    titles = {name: variant.title for name, variant in known.items()}
    return Side(str(folder), facts, list(entries.values()), titles, job=job)


def _stated(row: Mapping[str, str], config: Config) -> Interval:
    """A cell's mean with its interval as one part.

    Of its degrees of freedom the report says nothing; those of the pre-training seeds (of the runs
    where there was one) are the fewest that it can have, so that a p-value is on the safe side.
    """
    value, runs = float(row["mean"]), int(row["runs"])
    sd = float(row["sd"]) if row["sd"] else None
    if not row["low"] or not row["high"]:
        return Interval(value, None, None, 0.0, 1.0, sd, runs, row["given"])
    low, high = float(row["low"]), float(row["high"])
    seeds = len(config.pretrain_seeds)
    df = float(max(1, (seeds if seeds > 1 else runs) - 1))
    error = max(high - value, value - low) / float(stats.t.ppf(1 - LEVEL / 2, df))
    return Interval(value, low, high, error, df, sd, runs, row["given"], ((error**2, df),))


def _facts(config: Config, code: list[str], machines: list[str]) -> Iterator[str]:
    data = "SYNTHETIC world" if config.synthetic else "real data"
    yield f"scale {config.scale}: {config.title}; {data}"
    commits = ", ".join(text[:12] + "+" * text.endswith("+") for text in code)
    yield f"commit {commits or 'unknown'}"
    yield (
        f"pre-training seeds {_list(config.pretrain_seeds)}, fine-tuning seeds"
        f" {_list(config.finetune_seeds)}; {', '.join(machines) or 'machine unknown'}"
    )
    yield from (f"note: {text}" for text in config.notes)


def _list(values: list[int]) -> str:
    return ", ".join(map(str, values))
