"""What a scale's config asks for, and what is there of it below `results/<scale>/`.

`Results` reads the runs that the studies ask for and no others. A run that is not there is listed
as missing, never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gptbench.artifacts import MANIFEST, digest, read_json
from gptbench.errors import UserError
from gptbench.evaluation import statistics
from gptbench.evaluation.statistics import Key, Sample
from gptbench.plan import Plan
from gptbench.report.reference import Reference
from gptbench.settings import ReportJob, Study, TaskSpec, Variant
from gptbench.systems import SystemScore, read_systems

TRAIN = "train"
Array = NDArray[Any]
Predictions = dict[str, Array]


@dataclass(frozen=True)
class Asked:
    """The runs that the config's studies ask for.

    `cells` are (variant, task) pairs in the order of the studies, `zeroshot` maps a model to
    its tasks, and `variants` are all variants with `transfer-*` spelled out. `on_request` are the
    cells of the studies on request that no other study has: read if there, never missing.
    """

    cells: list[tuple[str, str]]
    zeroshot: dict[str, list[str]]
    variants: dict[str, Variant]
    keys: list[Key]
    pretrained: list[tuple[str, int]]
    on_request: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def asked(job: ReportJob) -> Asked:
    """Expand the studies of the config into runs."""
    plan = Plan(job.config, job.tasks, job.experiments)
    cells: dict[tuple[str, str], None] = {}
    zeroshot: dict[str, list[str]] = {}
    for _, study in plan.studies():
        cells.update(
            {(variant, task): None for variant in plan.variants(study) for task in study.tasks}
        )
        for model in study.models:
            known = zeroshot.setdefault(model, [])
            known.extend(task for task in study.zeroshot if task not in known)
    more = {
        name: [(v, t) for v in study.variants for t in study.tasks if (v, t) not in cells]
        for name, study in plan.on_request()
    }
    all_cells = [*cells, *(cell for some in more.values() for cell in some)]
    seeds = sorted(set(job.config.pretrain_seeds)), sorted(set(job.config.finetune_seeds))
    return Asked(
        cells=list(cells),
        zeroshot=zeroshot,
        variants={variant: plan.variant(variant) for variant, _ in all_cells},
        keys=[(p, k) for p in seeds[0] for k in seeds[1]],
        pretrained=plan.pretrained(),
        on_request=more,
    )


def study_variants(job: ReportJob, study: str) -> list[str]:
    """The variants of a study, `transfer-*` spelled out; none if the config does not ask for it.

    Of a study on request those whose models the scale has.
    """
    plan = Plan(job.config, job.tasks, job.experiments)
    if study not in job.config.studies:
        return dict(plan.on_request()).get(study, Study(title="")).variants
    return plan.variants(job.experiments.studies[study])


@dataclass(frozen=True)
class ZeroPoint:
    """A zero-shot score over seeds at one checkpoint."""

    step: int
    metric: str
    split: str
    chance: float
    sample: Sample


@dataclass(frozen=True)
class FewPoint:
    """A score over seeds with `shots` examples asked for in the context, `fitted` on average."""

    shots: str
    fitted: float
    metric: str
    split: str
    chance: float
    sample: Sample


@dataclass
class Results:
    """The runs asked for that are there; `missing` names the folders that are not.

    `requested` are the studies on request that ran, whole or in part.
    """

    job: ReportJob
    root: Path
    resamples: int = statistics.RESAMPLES
    asked: Asked = field(init=False)
    runs: dict[tuple[str, str], dict[Key, dict[str, Any]]] = field(default_factory=dict)
    pretrained: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    zeroshot: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    fewshot: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    _predictions: dict[tuple[str, str, str], tuple[Array, Array, list[Key]]] = field(
        default_factory=dict
    )
    _samples: dict[tuple[str, str, str, str], Sample | None] = field(default_factory=dict)
    _scored: dict[tuple[str, str, str], dict[str, Sample]] = field(default_factory=dict)
    _zero_points: dict[tuple[str, str], list[ZeroPoint]] = field(default_factory=dict)
    _zero_files: dict[tuple[str, int], Predictions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.asked = asked(self.job)
        self._read_finetuned()
        by_kind = {
            name: (model.backbone.kind != "transformer", name)
            for name, model in self.job.config.models.items()
        }
        for model, seed in sorted(self.asked.pretrained, key=lambda x: (by_kind[x[0]], x[1])):
            self._read_seed("pretrain", model, seed, self.pretrained)
        for model in self.asked.zeroshot:
            for seed in sorted(set(self.job.config.pretrain_seeds)):
                self._read_seed("zeroshot", model, seed, self.zeroshot)
        self._read_requested()
        for name in self.job.tasks:
            path = self.root / "tasks" / name / "facts.json"
            if path.is_file():
                self.facts[name] = read_json(path)

    def _read_finetuned(self) -> None:
        for variant, task in self.asked.cells:
            found = self.runs.setdefault((variant, task), {})
            for key in self.asked.keys:
                folder = self.folder(variant, task, key)
                if (metrics := self._read(folder)) is not None:
                    found[key] = metrics

    def _read_requested(self) -> None:
        """What is there of scores with examples in the context, and of the studies on request.

        Nothing of those is missing. A study counts as run if a run is there of a variant that no
        other study has.
        """
        plan, listed = self.plan, self.missing
        for model, seed in plan.fewshot_models():
            self._read_seed("fewshot", model, seed, self.fewshot)
        self.missing = []
        known = {variant for variant, _ in self.asked.cells}
        for name, cells in self.asked.on_request.items():
            own = [cell for cell in cells if cell[0] not in known] or cells
            if not any(
                (self.folder(*c, k) / "metrics.json").is_file()
                for c in own
                for k in self.asked.keys
            ):
                continue
            self.requested.append(name)
            for cell in cells:
                found = {key: self._read(self.folder(*cell, key)) for key in self.asked.keys}
                if there := {key: metrics for key, metrics in found.items() if metrics}:
                    self.runs[cell] = there
            for stage, pairs, into in (
                ("pretrain", plan.pretrained(name), self.pretrained),
                ("zeroshot", plan.zeroshot_models(name), self.zeroshot),
                ("fewshot", plan.fewshot_models(name), self.fewshot),
            ):
                for model, seed in pairs:
                    if seed not in into.get(model, {}):
                        self._read_seed(stage, model, seed, into)
        self.missing = listed

    def _read_seed(
        self, stage: str, model: str, seed: int, into: dict[str, dict[int, dict[str, Any]]]
    ) -> None:
        if (metrics := self._read(self.root / stage / model / f"seed{seed}")) is not None:
            into.setdefault(model, {})[seed] = metrics

    def _read(self, folder: Path) -> dict[str, Any] | None:
        path = folder / "metrics.json"
        if not path.is_file():
            self.missing.append(folder.relative_to(self.root).as_posix())
            return None
        metrics: dict[str, Any] = read_json(path)
        return metrics

    @property
    def texts_shown(self) -> bool:
        """Whether a report may show the data sets' texts: generated ones, or by `show_texts`."""
        return self.job.config.synthetic or self.job.config.show_texts

    def folder(self, variant: str, task: str, key: Key) -> Path:
        """The folder of a fine-tuning run."""
        return self.root / "finetune" / variant / task / f"pre{key[0]}-seed{key[1]}"

    @cached_property
    def plan(self) -> Plan:
        """What the scale asks for."""
        return Plan(self.job.config, self.job.tasks, self.job.experiments)

    @cached_property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Every stage's manifest below the results, by its folder."""
        return {
            path.parent.relative_to(self.root).as_posix(): read_json(path)
            for path in sorted(self.root.rglob(MANIFEST))
            if path.parent != self.root / "report"
        }

    @cached_property
    def systems(self) -> list[SystemScore]:
        """The scores of other systems that the config names, in the order of its files."""
        return [
            score
            for name in self.job.config.systems
            for score in read_systems(Path(name), self.job.tasks)
        ]

    # Fine-tuned scores. -------------------------------------------------------------------------

    def sample(self, variant: str, task: str, score: str, metric: str) -> Sample | None:
        """A cell's score over its runs; `a+b` is the mean of two scores. None if nothing ran."""
        key = (variant, task, score, metric)
        if key not in self._samples:
            parts = [self._sample(variant, task, part, metric) for part in score.split("+")]
            whole = [part for part in parts if part is not None]
            self._samples[key] = (
                None
                if len(whole) < len(parts) or not whole
                else whole[0]
                if len(whole) == 1
                else statistics.mean(whole)
            )
        return self._samples[key]

    def _sample(self, variant: str, task: str, score: str, metric: str) -> Sample | None:
        """One score of a cell; all variants of a task are resampled together, once."""
        if (task, score, metric) not in self._scored:
            self._scored[task, score, metric] = self._all_samples(task, score, metric)
        return self._scored[task, score, metric].get(variant)

    def _all_samples(self, task: str, score: str, metric: str) -> dict[str, Sample]:
        found: dict[str, Sample] = {}
        groups: dict[str, statistics.Group] = {}
        gold: Array = np.zeros(0)
        for variant in [name for name, other in self.runs if other == task]:
            runs = {
                key: metrics
                for key, metrics in self.runs[variant, task].items()
                if metric in metrics["scores"].get(score, {})
            }
            if not runs:
                continue
            values = [float(metrics["scores"][score][metric]) for metrics in runs.values()]
            for key, value in zip(runs, values, strict=True):
                if not np.isfinite(value):
                    raise UserError(
                        f"{self.folder(variant, task, key)}: {metric} of {score} is no number; "
                        "delete the folder and run again"
                    )
            own, predictions, keys = self.predictions(variant, task, score)
            if not len(own) or keys != list(runs):
                n = min(int(metrics["n"][score]) for metrics in runs.values())
                limits = statistics.bounds(metric)
                found[variant] = Sample(tuple(runs), np.asarray(values), None, n, limits)
                continue
            group = statistics.Group(tuple(keys), predictions, values)
            if not len(gold):
                gold = own
            if np.array_equal(own, gold):
                groups[variant] = group
            elif score == TRAIN:  # a variant may have fewer training rows; no difference is taken
                found[variant] = self._resample(task, score, metric, own, [group])[0]
            else:
                raise UserError(
                    f"{self.folder(variant, task, keys[0])}: not the same examples as other "
                    "variants' runs; delete the older of them and run again"
                )
        if groups:
            made = self._resample(task, score, metric, gold, list(groups.values()))
            found.update(zip(groups, made, strict=True))
        return found

    def _resample(
        self, task: str, score: str, metric: str, gold: Array, groups: list[statistics.Group]
    ) -> list[Sample]:
        name = f"{task}/{score}"
        return statistics.samples(metric, gold, groups, examples=name, resamples=self.resamples)

    def predictions(self, variant: str, task: str, score: str) -> tuple[Array, Array, list[Key]]:
        """Gold [n], predictions [runs, n] and the runs' seeds of a score's splits.

        Raises `UserError` where two runs were not scored on the same examples.
        """
        name = (variant, task, score)
        if name not in self._predictions:
            splits = scored_splits(self.job.tasks[task], score)
            paths = {
                key: self.folder(variant, task, key) / "predictions.parquet"
                for key in self.runs[variant, task]
            }
            read = {k: _rows(read_predictions(p), splits) for k, p in paths.items() if p.is_file()}
            self._predictions[name] = _aligned(read, paths)
        return self._predictions[name]

    def examples(self, variant: str, task: str, score: str) -> str:
        """A digest of the rows that a cell's runs are scored on; empty without predictions."""
        splits = [s for part in score.split("+") for s in scored_splits(self.job.tasks[task], part)]
        for key in self.runs.get((variant, task), {}):
            path = self.folder(variant, task, key) / "predictions.parquet"
            if path.is_file():
                rows = _rows(read_predictions(path), splits)
                columns = (rows[name].tolist() for name in ("split", "index", "gold"))
                return digest(json.dumps(list(columns)))
        return ""

    # Zero-shot scores. --------------------------------------------------------------------------

    def zero_points(self, model: str, task: str) -> list[ZeroPoint]:
        """The zero-shot scores of a model on a task over pre-training."""
        if (model, task) not in self._zero_points:
            by_step: dict[int, dict[Key, dict[str, Any]]] = {}
            for seed, metrics in self.zeroshot.get(model, {}).items():
                for entry in _of_task(metrics["scores"], self.job.tasks[task]):
                    by_step.setdefault(int(entry["step"]), {})[seed, 0] = entry
            self._zero_points[model, task] = [
                self._zero_point(model, task, step, by_step[step]) for step in sorted(by_step)
            ]
        return self._zero_points[model, task]

    def _zero_point(
        self, model: str, task: str, step: int, entries: dict[Key, dict[str, Any]]
    ) -> ZeroPoint:
        first = next(iter(entries.values()))
        read = {
            key: _rows(rows, self._zero_splits(task, first["split"]), task=task, step=step)
            for key in entries
            if (rows := self._zero_rows(model, key[0]))
        }
        found = self._zero_sample(task, entries, read)
        return ZeroPoint(step, first["metric"], first["split"], float(first["chance"]), found)

    def few_points(self, model: str, task: str) -> list[FewPoint]:
        """The scores of a model on a task by the examples in the context, in the asked order."""
        by_shots: dict[str, dict[Key, dict[str, Any]]] = {}
        for seed, metrics in self.fewshot.get(model, {}).items():
            for entry in metrics["scores"]:
                if entry["task"] == task:
                    by_shots.setdefault(entry["shots"], {})[seed, 0] = entry
        points = []
        for shots, entries in by_shots.items():
            first = next(iter(entries.values()))
            splits = self._zero_splits(task, first["split"])
            read = {}
            for key in entries:
                path = self.root / "fewshot" / model / f"seed{key[0]}" / "predictions.parquet"
                if path.is_file():
                    read[key] = _rows(read_predictions(path), splits, task=task, shots=shots)
            fitted = float(np.mean([entry["fitted"] for entry in entries.values()]))
            found = self._zero_sample(task, entries, read)
            chance = float(first["chance"])
            points.append(FewPoint(shots, fitted, first["metric"], first["split"], chance, found))
        return points

    def _zero_sample(
        self, task: str, entries: dict[Key, dict[str, Any]], read: dict[Key, Predictions]
    ) -> Sample:
        """A score without fine-tuning over the pre-training seeds."""
        first = next(iter(entries.values()))
        values = [float(entry["value"]) for entry in entries.values()]
        metric, n = first["metric"], int(first["n"])
        gold, predictions, keys = _aligned(read, dict.fromkeys(read, self.root / "zeroshot"))
        if keys != list(entries) or not len(gold):
            limits = statistics.bounds(metric)
            return Sample(tuple(entries), np.asarray(values), None, n, limits)
        return statistics.sample(
            metric,
            gold,
            predictions,
            keys,
            examples=f"zeroshot/{task}",
            values=values,
            resamples=self.resamples,
        )

    def _zero_splits(self, task: str, split: str) -> list[str]:
        """The file splits of a score's name; a split stands for itself."""
        return self.job.tasks[task].scored.get(split, [split])

    def _zero_rows(self, model: str, seed: int) -> Predictions:
        if (model, seed) not in self._zero_files:
            path = self.root / "zeroshot" / model / f"seed{seed}" / "predictions.parquet"
            self._zero_files[model, seed] = read_predictions(path) if path.is_file() else {}
        return self._zero_files[model, seed]


def in_order(tasks: Iterable[str], reference: Reference) -> list[str]:
    """Tasks in the order of the paper's tables, others behind (a job's own order is sorted)."""
    known = [column.task for table in reference.tables.values() for column in table.columns]
    return sorted(
        tasks, key=lambda task: (known.index(task) if task in known else len(known), task)
    )


def _of_task(entries: list[dict[str, Any]], task: TaskSpec) -> list[dict[str, Any]]:
    """A task's zero-shot scores, of the score of figure 2 where there are several."""
    found = [entry for entry in entries if entry["task"] == task.name]
    wanted = figure_score(task)
    main = [entry for entry in found if entry["split"] == wanted]
    first = [entry for entry in found if entry["split"] == found[0]["split"]]
    return main or first


def main_score(task: TaskSpec) -> str:
    """The one score of a task in averages and gains: MNLI's two joined, RACE's whole test set."""
    if "test" in task.scored:
        return "test"
    return "+".join(task.scored)


def figure_score(task: TaskSpec) -> str:
    """The score of figure 2: MNLI's matched part, RACE's whole test set."""
    return main_score(task).split("+")[0]


def scored_splits(task: TaskSpec, score: str) -> list[str]:
    """The file splits that a score joins."""
    return [task.train] if score == TRAIN and TRAIN not in task.scored else task.scored[score]


def read_predictions(path: Path, scores: bool = False) -> Predictions:
    """The columns of a predictions file, [n] each; `scores` [n, classes] only where asked for.

    Raises `UserError` if the file is broken.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if scores or name != "scores"]
            table = file.read(columns=names)
        found = {name: table.column(name).to_numpy() for name in names if name != "scores"}
        if "scores" in names:
            listed = table.column("scores").combine_chunks().flatten().to_numpy()
            found["scores"] = listed.reshape(table.num_rows, -1 if len(listed) else 0)
    except (OSError, ArrowException, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it and run again") from None
    return found


def split_predictions(path: Path, splits: list[str]) -> Predictions:
    """A file's rows of some splits with their scores, in the order of split and index."""
    return _rows(read_predictions(path, scores=True), splits)


def _rows(rows: Predictions, splits: list[str], **where: str | int) -> Predictions:
    """The rows of some splits (and of a task and a step), in the order of split and index."""
    keep = np.isin(rows["split"].astype(str), splits)
    for name, value in where.items():
        keep &= (rows[name].astype(str) if isinstance(value, str) else rows[name]) == value
    kept = {name: values[keep] for name, values in rows.items()}
    order = np.lexsort((kept["index"], kept["split"].astype(str)))
    return {name: values[order] for name, values in kept.items()}


def _aligned(
    read: dict[Key, Predictions], paths: dict[Key, Path]
) -> tuple[Array, Array, list[Key]]:
    if not read:
        return np.zeros(0), np.zeros((0, 0)), []
    first_key, first = next(iter(read.items()))
    for key, rows in read.items():
        same = all(np.array_equal(rows[name], first[name]) for name in ("split", "index", "gold"))
        if not same:
            raise UserError(
                f"{paths[key]}: not the same examples as in {paths[first_key]}; "
                "delete the older of the two and run again"
            )
    return first["gold"], np.stack([rows["prediction"] for rows in read.values()]), list(read)


def walk_missing(missing: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Missing runs grouped by their folder: (`finetune/full/rte`, [`pre0-seed1`, ...])."""
    grouped: dict[str, list[str]] = {}
    for path in missing:
        folder, _, run = path.rpartition("/")
        grouped.setdefault(folder, []).append(run)
    yield from grouped.items()
