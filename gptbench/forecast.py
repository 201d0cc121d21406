"""What a run of the workflow would do: which jobs are there already, which run and why, how long.

A job's result is used again if its manifest has the settings that the job would get, everything
before it is used again too, and no file that it reads is newer. Snakemake decides by the same
facts; this says it in words and without starting Snakemake.

Time is reckoned from earlier results below `results/` that this processor made: operations a
second for training, seconds a job for the rest. Where there are none, some steps are timed.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from gptbench import sizes
from gptbench.artifacts import MANIFEST, processor, read_json
from gptbench.plan import FinetuneRun, Plan
from gptbench.settings import PretrainJob, PretrainSettings, Settings

STAGES = (
    "world",
    "gates",
    "fetch",
    "tokenizer",
    "corpus",
    "encode",
    "contamination",
    "pretrain",
    "import",
    "finetune",
    "zeroshot",
    "fewshot",
    "attention",
    "report",
)
WITHOUT_MANIFEST = {"world": "world/world.json", "gates": "world-gates.json"}
"""The results that say of these stages that they ran, below `results/<scale>`."""
# Where nothing like it has run yet. Measured on one core of an Intel Xeon with AMX: start-up and
# some hundred rows a job; books at the rate below; the report of 100 to 700 runs took 3 to 16 s.
# What a fetch takes is the network's: a guess.
SECONDS_A_JOB = {
    "world": 2.0,
    "gates": 5.0,
    "report": 10.0,
    "fetch": 30.0,
    "encode": 1.0,
    "zeroshot": 10.0,
    "fewshot": 10.0,
    "import": 5.0,
    "attention": 1.0,
}
BYTES_A_SECOND = {"tokenizer": 6e6, "corpus": 2.5e6, "contamination": 13e6}
TIMED_STEPS, TIMED_TOKENS = 3, 4096
LONG_STEP = 1.0


@dataclass
class Job:
    """One job of the plan.

    `folder` is below `results/<scale>`; `needs` are the folders of the jobs before it, `files`
    what it reads from outside. `why` is empty where its result is there and is used again.
    """

    stage: str
    folder: str
    settings: Settings
    needs: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    threads: int = 1
    why: str = ""
    seconds: float = 0.0


def jobs(plan: Plan, requested: Sequence[str] = ()) -> Iterator[Job]:
    """All jobs of a plan, in an order in which they could run.

    `requested` are studies on request that run besides.
    """
    config = plan.config
    names = [None, *requested]
    shown: list[str] = []  # what the report is made of
    pretrained = sorted({pair for name in names for pair in plan.pretrained(name)})
    runs = list(dict.fromkeys(run for name in names for run in plan.runs(name)))
    before = []
    if config.synthetic:
        yield Job("world", "world", plan.world_job())
        before = ["world"]
        yield Job("gates", "gates", plan.world_job(), before)
        shown.append("gates")
    local = not config.synthetic and config.corpus.source is None
    books = plan.books_below(plan.data_root / "books") if local else []
    given = plan.tokenizer_files()
    yield Job("tokenizer", "tokenizer", plan.tokenizer_job(), before, given or books)
    trained = [(m, p) for m, p in pretrained if m not in plan.imported()]
    workers = config.corpus.workers
    corpora = plan.corpora()
    for place in sorted({plan.corpus_folder(m).relative_to(plan.root) for m, _ in trained}):
        other = corpora.get(place.name) if place.parent.name == "corpora" else None
        read = plan.books_below(other) if other else books
        made = plan.corpus_job(place.name if other else None)
        yield Job("corpus", str(place), made, [*before, "tokenizer"], read, threads=workers)
    tasks = [t for name in requested for t in plan.zeroshot_tasks(name)] + [r.task for r in runs]
    for task in dict.fromkeys([*plan.task_names(), *tasks]):
        embedded = config.synthetic and task not in plan.own
        needs = [*before, "tokenizer"] if embedded else ["tokenizer"]
        if plan.fetches(task):
            needs.append(f"data/hub/{task}")
            yield Job("fetch", f"data/hub/{task}", plan.fetch_job(task))
        files = [] if embedded else plan.task_files(task)
        shown.append(f"tasks/{task}")
        yield Job("encode", f"tasks/{task}", plan.encode_job(task), needs, files)
    if plan.pretrains:
        fetched = [f"data/hub/{t}" for t in plan.task_names() if plan.fetches(t)]
        there = [t for t in plan.task_names() if not (plan.fetches(t) or config.synthetic)]
        read = [*books, *(path for task in there for path in plan.task_files(task))]
        overlap = plan.contamination_job()
        shown.append("contamination")
        yield Job("contamination", "contamination", overlap, [*before, *fetched], read, workers)
    for model, seed in pretrained:
        place = Path("pretrain") / model / f"seed{seed}"
        shown.append(str(place))
        if model in plan.imported():
            needs, files = ["tokenizer"], plan.weight_files(model)
            yield Job("import", str(place), plan.import_job(model, seed), needs, files)
            continue
        pretrain = plan.pretrain_job(model, seed)
        needs = [str(plan.corpus_folder(model).relative_to(plan.root))]
        yield Job("pretrain", str(place), pretrain, needs, threads=pretrain.pretrain.threads)
    for run in runs:
        shown.append(run.path)
        yield _finetune(plan, run)
    for model, seed in sorted({pair for name in names for pair in plan.zeroshot_models(name)}):
        needs = [f"pretrain/{model}/seed{seed}", "tokenizer"]
        needs += [f"tasks/{task}" for task in plan.encoded_zeroshot()]
        shown.append(f"zeroshot/{model}/seed{seed}")
        yield Job("zeroshot", shown[-1], plan.zeroshot_job(model, seed), needs)
    for model, seed in sorted({pair for name in names for pair in plan.fewshot_models(name)}):
        needs = [f"pretrain/{model}/seed{seed}", "tokenizer", *before]
        few = plan.fewshot_job(model, seed)
        read = (
            []
            if config.synthetic
            else [f for task in few.tasks for f in plan.task_files(task.name)]
        )
        shown.append(f"fewshot/{model}/seed{seed}")
        yield Job("fewshot", shown[-1], few, needs, read)
    for model, seed in plan.attention_models():
        shown.append(f"attention/{model}/seed{seed}")
        needs = [f"pretrain/{model}/seed{seed}", "tokenizer"]
        yield Job("attention", shown[-1], plan.attention_job(model, seed), needs)
    yield Job("report", "report", plan.report_job(), shown, [Path(name) for name in config.systems])


def _finetune(plan: Plan, run: FinetuneRun) -> Job:
    variant = plan.variant(run.variant)
    needs = [f"tasks/{run.task}"]
    if variant.pretrained:
        needs.append(f"pretrain/{variant.model}/seed{run.pretrain_seed}")
    settings = plan.finetune_job(run)
    return Job("finetune", run.path, settings, needs, threads=settings.finetune.threads)


# What is there. -------------------------------------------------------------------------------


def forecast(
    plan: Plan,
    results: Path | None = None,
    requested: Sequence[str] = (),
    speed: float | None = None,
) -> list[Job]:
    """The jobs of a plan, each with why it would run and for how many seconds.

    `results` is the folder of all scales (default: `results`); the plan's own is in it. `speed`
    are operations a second that training is reckoned with, in place of this machine's.
    """
    folder = results or plan.root.parent
    root = folder / plan.config.scale
    found = list(jobs(plan, requested))
    stale: dict[str, str] = {}
    for job in found:
        job.why = _reason(job, root, stale)
        if job.why:
            stale[job.folder] = job.why
    clock = Clock(plan, folder, root, speed)
    for job in found:
        if job.why:
            job.seconds = clock.seconds(job)
    return found


def _reason(job: Job, root: Path, stale: dict[str, str]) -> str:
    """Why a job would run; empty where its result would be used again."""
    path = root / WITHOUT_MANIFEST.get(job.stage, f"{job.folder}/{MANIFEST}")
    if not path.is_file():
        return "not there yet"
    if changed := _changed(job, read_json(path)):
        return "changed: " + ", ".join(changed)
    if again := [name for name in job.needs if name in stale]:
        return f"after {again[0]}"
    made = path.stat().st_mtime
    newer = [file for file in job.files if file.is_file() and file.stat().st_mtime > made]
    return f"newer: {newer[0]}" if newer else ""


def _changed(job: Job, made: Any) -> list[str]:
    """The settings that are no longer those that a result was made with."""
    if job.stage == "gates":
        return []
    after = json.loads(job.settings.to_json())
    if job.stage != "world":
        return difference(made.get("settings", {}), after)
    books, rows = made["books"], made["rows"]["cola"]
    before = {
        "seed": made["seed"],
        "books_train": books["train"],
        "books_validation": books["validation"],
        # worlds that were made before this was kept say nothing of it
        "words_per_book": books.get("words_per_book", after["world"]["words_per_book"]),
        "train_rows": rows["train"],
        "eval_rows": rows["dev"],
    }
    return difference(before, after["world"], "world")


def difference(before: Any, after: Any, key: str = "") -> list[str]:
    """`key old -> new` of every setting that differs between two settings as data."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        return [
            line
            for each in keys
            for line in difference(
                before.get(each), after.get(each), f"{key}.{each}" if key else each
            )
        ]
    return [] if before == after else [f"{key} {_short(before)} -> {_short(after)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else text[:21] + "..."


# How long. ------------------------------------------------------------------------------------


class Clock:
    """Seconds a job would take here."""

    def __init__(self, plan: Plan, folder: Path, root: Path, speed: float | None = None) -> None:
        self.plan, self.folder, self.root, self.speed = plan, folder, root, speed
        self._timed: dict[str, float] = {}

    @cached_property
    def history(self) -> dict[str, list[tuple[Path, dict[str, Any]]]]:
        """Manifests of finished jobs on this processor by stage, the scale's own first."""
        found: dict[str, list[tuple[Path, dict[str, Any]]]] = defaultdict(list)
        others = sorted(p for p in self.folder.glob("*") if p.is_dir() and p != self.root)
        for scale in [self.root, *others]:
            for path in sorted(scale.rglob(MANIFEST)):
                manifest = read_json(path)
                if manifest.get("machine", {}).get("processor") == processor():
                    found[str(manifest.get("stage"))].append((path.parent, manifest))
        return found

    def _alike(self, stage: str) -> list[tuple[Path, dict[str, Any]]]:
        """Finished training jobs to reckon with; none where the speed is another machine's."""
        return self.history.get(stage, []) if self.speed is None else []

    def seconds(self, job: Job) -> float:
        """The time of one job on its threads."""
        if isinstance(job.settings, PretrainJob):
            return self._pretrain(job.settings)
        if job.stage == "finetune":
            return self._finetune(job)
        alike = self.history.get(job.stage, [])
        same = [m for path, m in alike if path.name == Path(job.folder).name] or [
            m for _, m in alike
        ]
        if same:
            return median(float(m["seconds"]) for m in same)
        if job.stage in BYTES_A_SECOND:
            size = sum(file.stat().st_size for file in job.files if file.is_file())
            return 1.0 + size / BYTES_A_SECOND[job.stage] / job.threads
        return SECONDS_A_JOB[job.stage]

    def _pretrain(self, job: PretrainJob) -> float:
        tokens = self.tokens(job)
        for path, manifest in self._alike("pretrain"):
            alike = manifest["settings"]["backbone"] == job.backbone.model_dump(mode="json")
            if alike and (path / "metrics.json").is_file():
                metrics = read_json(path / "metrics.json")
                return float(tokens / metrics["tokens"] * manifest["seconds"])
        return tokens / self._rate(job)

    def tokens(self, job: PretrainJob) -> int:
        """Tokens of a pre-training."""
        return self.steps(job) * job.pretrain.batch_size * job.n_ctx

    def steps(self, job: PretrainJob) -> int:
        """Updates of a pre-training; an epoch's from the corpus, or from the size of its books."""
        if job.pretrain.steps is not None:
            return job.pretrain.steps
        index = self.plan.corpus_folder(job.model) / "index.json"
        if index.is_file():
            tokens = float(read_json(index)["splits"]["train"]["tokens"])
        else:
            books = (self.plan.data_root / "books" / "train").glob("*")
            tokens = sum(file.stat().st_size for file in books) / 4.5
        epochs = job.pretrain.epochs or 1
        return max(1, int(epochs * tokens / job.n_ctx / job.pretrain.batch_size))

    def _rate(self, job: PretrainJob) -> float:
        """Tokens a second of a model: at the given speed, or timed here over some steps."""
        if self.speed is not None:
            return self.speed / sizes.flops(job, sizes.vocabulary(self.plan))
        key = job.backbone.to_json()
        if key not in self._timed:
            self._timed[key] = time_steps(job, sizes.vocabulary(self.plan))
        return self._timed[key]

    def _finetune(self, job: Job) -> float:
        """By a run of the same model and task; else of any, by its tokens; else by the rate."""
        settings = job.settings.model_dump(mode="json")
        tokens = self._tokens(settings)
        best: float | None = None
        for path, manifest in self._alike("finetune"):
            theirs = manifest["settings"]
            if theirs["backbone"] != settings["backbone"]:
                continue
            file = path / "metrics.json"
            if not file.is_file():
                continue
            metrics = read_json(file)
            per_token = float(manifest["seconds"] / max(1, metrics["tokens"]))
            if theirs["task"]["name"] == settings["task"]["name"]:
                return per_token * tokens
            best = best or per_token
        if best is not None:
            return best * tokens
        return 1.0 + 1.2 * tokens / self._rate(self._as_pretraining(settings["model"]))

    def _as_pretraining(self, model: str) -> PretrainJob:
        seed = self.plan.config.pretrain_seeds[0]
        if self.plan.config.models[model].pretrain is not None:
            return self.plan.pretrain_job(model, seed)
        models = self.plan.config.models
        batch = PretrainSettings(
            steps=1,
            epochs=None,
            batch_size=self.plan.config.finetune.batch_size,
            window_start="anywhere",
            lr=1e-4,
            warmup_steps=0,
            weight_decay=0.0,
            clip=1.0,
            checkpoints=1,
            validation_tokens=1,
        )
        return PretrainJob(
            model=model,
            backbone=models[model].backbone,
            pretrain=batch,
            n_ctx=self.plan.config.n_ctx,
            seed=seed,
        )

    def _tokens(self, settings: dict[str, Any]) -> float:
        """Tokens of a fine-tuning: from the encoded task, or half a context a sequence."""
        name, epochs = settings["task"]["name"], settings["finetune"]["epochs"]
        spec = self.plan.tasks[name]
        facts = self.root / "tasks" / name / "facts.json"
        if facts.is_file():
            known = read_json(facts)
            rows, tokens = known["rows"][spec.train], known["tokens"][spec.train]
        else:
            limits = self.plan.config.limits
            most = limits.tasks.get(name, limits.default).train
            there = spec.official.get(spec.train, most or 10_000)
            if self.plan.config.world is not None:
                there = self.plan.config.world.train_rows
            rows = min(there, most or there)
            each = {"similarity": 2, "choice": 3}.get(spec.format, 1)
            tokens = rows * each * self.plan.config.n_ctx / 2
        share = min(1.0, (settings.get("train_rows") or rows) / max(1, rows))
        return float(epochs * tokens * share)


def time_steps(job: PretrainJob, vocab_size: int) -> float:
    """Tokens a second of a few training steps on random tokens, on this machine.

    On a processor by its own time, so that what else is running does not count.
    """
    import time

    import torch

    from gptbench.device import prepare
    from gptbench.training.pretrain import Pretraining

    device = prepare(job.pretrain.threads)
    module = Pretraining(job, vocab_size, 1000)
    module.to(device.place)
    clock = time.perf_counter if device.kind == "cuda" else time.process_time

    def timed(sequences: int) -> float:
        """Seconds of one step."""
        ids = torch.randint(vocab_size, (sequences, job.n_ctx + 1), device=device.place)
        started = clock()
        with device.autocast():
            loss = module.training_step((ids, 0, 0), 0)
        torch.autograd.backward(loss)
        module.optimizer.step()
        module.optimizer.zero_grad()
        loss.item()  # a GPU has then done its work
        spent = clock() - started
        return spent / job.pretrain.threads if device.kind == "cpu" else spent

    size = 1
    spent = timed(size)  # this one sets things up; of a large model it is enough
    if spent < LONG_STEP:
        size = job.pretrain.micro_batch or job.pretrain.batch_size
        size = min(size, TIMED_TOKENS // job.n_ctx + 1)
        timed(size)
        spent = min(timed(size) for _ in range(TIMED_STEPS))
    return size * job.n_ctx / spent


# In words. ------------------------------------------------------------------------------------


def wall(found: Iterable[Job], cores: int) -> float:
    """Seconds until all jobs are done on so many cores: no less than the longest chain."""
    ends: dict[str, float] = {}
    work = 0.0
    for job in found:
        threads = min(job.threads, cores)
        work += job.seconds * threads
        ends[job.folder] = max((ends.get(n, 0.0) for n in job.needs), default=0.0) + job.seconds
    return max([work / cores, *ends.values()], default=0.0)


def table(found: list[Job], cores: int | None = None) -> str:
    """The forecast as text: jobs by stage, then why they run, then the time."""
    cores = cores or os.cpu_count() or 1
    lines = [f"{'stage':<14} {'jobs':>5} {'reused':>7} {'to run':>7}  time in jobs"]
    for stage in STAGES:
        some = [job for job in found if job.stage == stage]
        if some:
            due = [job for job in some if job.why]
            spent = span(sum(job.seconds for job in due)) if due else "-"
            lines.append(
                f"{stage:<14} {len(some):>5} {len(some) - len(due):>7} {len(due):>7}  {spent}"
            )
    reasons: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in found:
        if job.why:
            reasons[job.stage, job.why].append(job)
    if reasons:
        lines += ["", "why"]
        lines += [f"  {_named(group)}: {why}" for (_, why), group in reasons.items()]
        lines += ["", f"about {span(wall(found, cores))} on {cores} core(s)"]
    else:
        lines += ["", "everything is there"]
    return "\n".join(lines)


def _named(group: list[Job]) -> str:
    first = group[0]
    names = sorted({job.folder for job in group})
    return names[0] if len(names) == 1 else f"{first.stage}, {len(names)} jobs ({names[0]}, ...)"


def span(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.0f} days"
