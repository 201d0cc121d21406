"""A results folder full of made-up numbers, to run the whole report on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from gptbench.artifacts import file_digest
from gptbench.data.encoded import EXAMPLES, Encoded, EncodedTask
from gptbench.data.tokenizer import END, NEWLINE, Tokenizer
from gptbench.evaluation.statistics import sample
from gptbench.plan import Plan
from gptbench.report.results import scored_splits
from gptbench.settings import Config, ReportJob, TaskSpec, load_experiments, load_tasks, parse

ROOT = Path(__file__).parent.parent
FAKE = "fake-run"
ROWS = 120
SKILL = {"full": 0.8, "no-aux-lm": 0.78, "lstm": 0.65, "no-pretraining": 0.35}


def make_job(**changes: Any) -> ReportJob:
    """The default scale's report job with some keys of the config changed."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text("utf-8"))
    return ReportJob(
        config=parse(Config, {**config, **changes}, "test"),
        tasks=load_tasks(ROOT / "config/tasks.yaml"),
        experiments=load_experiments(ROOT / "config/experiments.yaml"),
    )


def make_tree(
    job: ReportJob, root: Path, rows: int = ROWS, skip: tuple[str, ...] = (), found: int = 1
) -> Path:
    """Write fake results of every job; `found` times the used rows were in the files."""
    plan = Plan(job.config, job.tasks, job.experiments)
    for name, task in job.tasks.items():
        _facts(root / "tasks" / name, task, rows, found)
    for run in plan.runs():
        if run.path not in skip:
            _finetuned(
                root / run.path, job.tasks[run.task], run.variant, run.pretrain_seed, run.seed, rows
            )
    for model, seed in plan.pretrained():
        _pretrained(root / "pretrain" / model / f"seed{seed}", model, seed)
    for model, seed in plan.zeroshot_models():
        _zeroshot(root / "zeroshot" / model / f"seed{seed}", model, seed, rows, plan)
    _write(
        root / "world-gates.json",
        [
            {
                "task": "mnli",
                "method": method,
                "metric": "accuracy",
                "score": 34.0,
                "ci_low": 30.0,
                "ci_high": 38.0,
                "chance": 33.3,
                "within": True,
            }
            for method in ("bag of words", "second text only")
        ],
    )
    return root


def add_on_request(
    job: ReportJob, root: Path, study: str, rows: int = ROWS, models: tuple[str, ...] = ()
) -> Path:
    """Write fake results of a study on request; of some models only, if any are named."""
    plan = Plan(job.config, job.tasks, job.experiments)

    def wanted(model: str) -> bool:
        return not models or model in models

    for run in plan.runs(study):
        if wanted(plan.variant(run.variant).model):
            task = job.tasks[run.task]
            args = run.variant, run.pretrain_seed, run.seed
            _finetuned(root / run.path, task, *args, rows)
    for model, seed in filter(lambda pair: wanted(pair[0]), plan.pretrained(study)):
        _pretrained(root / "pretrain" / model / f"seed{seed}", model, seed)
    for model, seed in filter(lambda pair: wanted(pair[0]), plan.zeroshot_models(study)):
        _zeroshot(root / "zeroshot" / model / f"seed{seed}", model, seed, rows, plan)
    for model, seed in filter(lambda pair: wanted(pair[0]), plan.fewshot_models(study)):
        _fewshot(root / "fewshot" / model / f"seed{seed}", plan, model, seed, rows)
    return root


def _fewshot(folder: Path, plan: Plan, model: str, seed: int, rows: int) -> None:
    rng = np.random.default_rng([seed, len(model), 1])
    job = plan.fewshot_job(model, seed)
    scores: list[dict[str, Any]] = []
    parts: list[dict[str, list[Any]]] = []
    for task in job.tasks:
        for at, shots in enumerate(map(str, job.shots)):
            score, (split,) = next(iter(task.scored.items()))
            gold, said = answers(task, split, 0.2 * at, rows, rng)
            entry = {"shots": shots, "task": task.name, "split": score, "metric": "accuracy"}
            value = 100 * float(np.mean(gold == said))
            scores.append({**entry, "value": value, "n": rows, "chance": 50.0, "fitted": 0.9 * at})
            parts.append(
                {
                    "shots": [shots] * rows,
                    "task": [task.name] * rows,
                    "split": [split] * rows,
                    "index": list(range(rows)),
                    "gold": gold.tolist(),
                    "prediction": said.tolist(),
                    "scores": [[0.0]] * rows,
                }
            )
    metrics = {"model": model, "seed": seed, "run_id": FAKE, "scores": scores}
    _write(folder / "metrics.json", metrics)
    joined = {name: [x for part in parts for x in part[name]] for name in parts[0]}
    pq.write_table(pa.table(joined), folder / "predictions.parquet")
    _manifest(folder, "fewshot", 1.0)


def _write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), "utf-8")


def _manifest(folder: Path, stage: str, seconds: float) -> None:
    _write(
        folder / "manifest.json",
        {
            "run_id": f"{FAKE}-{stage}",
            "stage": stage,
            "settings": {},
            "inputs": {},
            "code": "fake-commit",
            "packages": {"python": "3.11", "torch": "0.0"},
            "machine": {"processor": "fake <processor>", "system": "fake"},
            "started": 1000.0,
            "seconds": seconds,
            "cpu_seconds": seconds,
            "peak_memory_mb": 500,
        },
    )


def _facts(folder: Path, task: TaskSpec, rows: int, found: int) -> None:
    splits = list(task.files)
    _write(
        folder / "facts.json",
        {
            "name": task.name,
            "title": task.name,
            "kind": task.kind,
            "version": 1,
            "digest": dict.fromkeys(splits, "0123456789abcdef0123"),
            "rows": dict.fromkeys(splits, rows),
            "rows_found": dict.fromkeys(splits, rows * found),
            "labels": {s: dict.fromkeys((task.labels or [])[:3], rows // 2) for s in splits},
            "tokens": dict.fromkeys(splits, rows * 21),
            "mean_tokens": 21.0,
            "truncated": dict.fromkeys(splits, 0.0),
            "unlabelled": {},
            "skipped": {},
        },
    )
    _manifest(folder, "encode", 1.0)


def _finetuned(
    folder: Path, task: TaskSpec, variant: str, pretrain_seed: int, seed: int, rows: int
) -> None:
    layers = int(variant.removeprefix("transfer-")) if "transfer-" in variant else 0
    skill = SKILL.get(variant, 0.4 + 0.12 * layers)
    rng = np.random.default_rng([pretrain_seed, seed, len(variant), len(task.name)])
    skill = float(np.clip(skill + rng.normal(0, 0.05), 0, 1))
    splits = dict.fromkeys(s for names in task.scored.values() for s in names) | {task.train: None}
    table = [(s, *answers(task, s, skill, rows, rng)) for s in splits]
    scores: dict[str, dict[str, float]] = {}
    for score in [*task.scored, "train"]:
        wanted = scored_splits(task, score)
        gold, said = (np.concatenate([row[i] for row in table if row[0] in wanted]) for i in (1, 2))
        scores[score] = {
            metric: float(
                sample(metric, gold, said[None], [(0, 0)], examples="x", resamples=2).values[0]
            )
            for metric in task.metrics
        }
    _write(
        folder / "metrics.json",
        {
            "variant": variant,
            "task": task.name,
            "pretrain_seed": pretrain_seed,
            "seed": seed,
            "run_id": f"{FAKE}-{variant}-{task.name}-{pretrain_seed}-{seed}",
            "scores": scores,
            "n": {score: rows * len(scored_splits(task, score)) for score in scores},
            "degenerate": dict.fromkeys(scores, False),
            "model": "fake",
            "steps": 100,
        },
    )
    pq.write_table(
        pa.table(
            {
                "split": np.concatenate([[s] * rows for s, _, _ in table]),
                "index": np.concatenate([np.arange(rows)] * len(table)),
                "gold": np.concatenate([gold for _, gold, _ in table]),
                "prediction": np.concatenate([said for _, _, said in table]),
                "scores": probabilities(task, np.concatenate([said for _, _, said in table]), seed),
            }
        ),
        folder / "predictions.parquet",
    )
    lines = [f"{step},{4 / step**0.5 + 0.1 * seed:.4f},0.001,1" for step in range(1, 100, 7)]
    _curves(folder, ["step,loss,lr,gradient_norm", *lines])
    _manifest(folder, "finetune", 2.0)


def _curves(folder: Path, lines: list[str]) -> None:
    (folder / "curves.csv").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def classes_of(task: TaskSpec) -> int:
    """How many classes or answers a made-up task has; of a regression its steps."""
    return 6 if task.range else len(task.labels or []) or (4 if task.name == "race" else 2)


def probabilities(task: TaskSpec, said: np.ndarray, seed: int) -> list[list[float]]:
    """Probabilities [n, classes] whose largest is that of what was said."""
    rng = np.random.default_rng([seed, len(task.name), 7])
    drawn = rng.dirichlet(np.ones(classes_of(task)), len(said)).astype(np.float32)
    if not task.range:
        for row, k in zip(drawn, said.astype(int), strict=True):
            top = int(row.argmax())
            row[[k, top]] = row[[top, k]]
    return [[float(x) for x in row] for row in drawn]


HOSTILE = "<script>document.title='x'</script>"
FORMULA = '=HYPERLINK("http://example.org","x")'


def add_texts(job: ReportJob, root: Path, rows: int = ROWS) -> Path:
    """A tokenizer and encoded arrays; texts hold markup or begin as a formula would."""
    letters = sorted({*map(chr, range(33, 127))})
    names = ["<unk>", NEWLINE, *letters, *(f"{letter}{END}" for letter in letters)]
    tokenizer = Tokenizer({name: i for i, name in enumerate(names)}, [])
    tokenizer.save(root / "tokenizer")

    def spell(text: str) -> list[int]:
        symbols = [s for word in text.lower().split() for s in tokenizer.symbols(word)]
        return [tokenizer.encoder[symbol] for symbol in symbols]

    def sequences(task: TaskSpec, split: str, row: int) -> list[list[int]]:
        start, between, end = [tokenizer.start], [tokenizer.delimiter], [tokenizer.classify]
        first = spell(f"{FORMULA if row % 2 else HOSTILE} {task.name} {split} row {row}")
        if task.format == "single":
            return [start + first + end]
        seconds = [spell(f"second of row {row}")]
        if task.format == "choice":
            seconds = [spell(f"answer {k + 1} of row {row}") for k in range(classes_of(task))]
        made = [start + first + between + second + end for second in seconds]
        return [*made, *made] if task.format == "similarity" else made

    for task in job.tasks.values():
        splits = {}
        for split in task.files:
            each = [sequences(task, split, row) for row in range(rows)]
            ids = [one for sequence in each for one in sequence]
            splits[split] = Encoded(
                np.concatenate([np.asarray(one, np.int32) for one in ids]),
                np.cumsum([0, *map(len, ids)]),
                len(each[0]),
                np.zeros(rows, np.int64),
                np.arange(rows),
            )
        folder = root / "tasks" / task.name
        path = folder / EXAMPLES
        EncodedTask(task.name, tokenizer.vocab_size, tokenizer.id, splits).save(path)
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        _write(folder / "manifest.json", {**manifest, "files": {EXAMPLES: file_digest(path)}})
    return root


def answers(
    task: TaskSpec, split: str, skill: float, rows: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Gold (the same for all runs) and predictions that know a share `skill` of it."""
    fixed = np.random.default_rng([len(task.name), len(split)])
    if task.range:
        score = fixed.uniform(*task.range, rows)
        return score, skill * score + (1 - skill) * rng.uniform(*task.range, rows)
    classes = len(task.labels) if task.labels else 4 if task.name == "race" else 2
    gold = fixed.integers(0, classes, rows)
    return gold, np.where(rng.random(rows) < skill, gold, rng.integers(0, classes, rows))


def _pretrained(folder: Path, model: str, seed: int) -> None:
    _write(
        folder / "metrics.json",
        {
            "model": model,
            "seed": seed,
            "run_id": FAKE,
            "steps": 2500,
            "tokens": 2_560_000,
            "epochs": 1.0,
            "cost": {"tokens_per_second": 34_000.0, "seconds": 75.0},
            "parameters": 500_000 + 30_000 * (model == "rnn"),
            "flops": 2_560_000 * 3_000_000,
            "validation_loss": 2.5,
            "perplexity": 12.2,
            "validation_tokens": 32768,
            "device": "cpu",
            "precision": "fake",
            "checkpoints": [0, 2500],
        },
    )
    held = [f"{step},,,,{9 - step / 500 + seed:.3f}" for step in (0, 1250, 2500)]
    train = [f"{step},{8.5 - step / 500 + seed:.3f},0.001,1," for step in range(1, 2500, 100)]
    _curves(folder, ["step,loss,lr,gradient_norm,validation_loss", *held[:1], *train, *held[1:]])
    _manifest(folder, "pretrain", 75.0)


def _zeroshot(folder: Path, model: str, seed: int, rows: int, plan: Plan) -> None:
    steps = [0, 20, 40, 78, 156, 312, 625, 1250, 2500]
    rng = np.random.default_rng([seed, len(model)])
    scores: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for i, name in enumerate(plan.zeroshot_tasks()):
        task = plan.tasks[name]
        classes = 4 if name == "race" else 2
        chance = 0.0 if task.metrics[0] == "matthews" else 100 / classes
        for at, step in enumerate(steps):
            by_split = {
                split: answers(task, split, at * (1 + i) / 50, rows, rng)
                for split in dict.fromkeys(s for names in task.scored.values() for s in names)
            }
            joined = {score: names for score, names in task.scored.items() if len(names) > 1}
            for score, names in ({split: [split] for split in by_split} | joined).items():
                gold, said = (np.concatenate([by_split[s][k] for s in names]) for k in (0, 1))
                metric = task.metrics[0]
                made = sample(metric, gold, said[None], [(0, 0)], examples="x", resamples=2)
                entry = {"step": step, "task": name, "split": score, "metric": metric}
                value = float(made.values[0])
                scores.append({**entry, "value": value, "n": len(gold), "chance": chance})
            for split, (gold, said) in by_split.items():
                parts.append(
                    {
                        "step": np.full(rows, step),
                        "task": [name] * rows,
                        "split": [split] * rows,
                        "index": np.arange(rows),
                        "gold": gold.astype(float),
                        "prediction": said.astype(float),
                        "scores": [[0.0]] * rows,
                    }
                )
    probes = [
        {"step": step, "knowledge": kind, "value": 50 + 5 * at, "n": 50}
        for kind in ("topic", "gender <b>")
        for at, step in enumerate(steps)
    ]
    _write(
        folder / "metrics.json",
        {
            "model": model,
            "seed": seed,
            "run_id": FAKE,
            "scores": scores,
            "probes": probes,
        },
    )
    pq.write_table(
        pa.table(
            {
                name: np.concatenate([np.asarray(part[name]) for part in parts])
                if name != "scores"
                else [row for part in parts for row in part[name]]
                for name in parts[0]
            }
        ),
        folder / "predictions.parquet",
    )
    _manifest(folder, "zeroshot", 4.0)
