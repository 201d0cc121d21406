"""What a reproduction consists of: which jobs its studies need, and each job's settings.

The workflow asks this module alone; nothing here touches a result.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptbench import lock
from gptbench.data import hub, shown
from gptbench.data.tasks import files_of, plain, settle, settled_or_first, source_paths
from gptbench.errors import UserError
from gptbench.models.archive import HOME, weight_files
from gptbench.settings import (
    AttentionJob,
    Config,
    ContaminationJob,
    CorpusJob,
    EncodeJob,
    EncoderDecoderSettings,
    Experiments,
    FetchJob,
    FewShotJob,
    FinetuneJob,
    ImportJob,
    PretrainJob,
    ReportJob,
    StackSettings,
    Study,
    TaskSpec,
    TokenizerJob,
    TransformerSettings,
    Variant,
    WorldJob,
    ZeroshotJob,
    load_experiments,
    load_tasks,
    nearest,
    parse,
)
from gptbench.systems import read_systems

PROBE_SEED = 20180611
RULES = frozenset(
    "all world gates encode tokenizer corpus other_corpus contamination pretrain weights finetune"
    " zeroshot fewshot attention report".split()
)
"""The workflow's rules: every study and every task is a target by its name beside them."""


@dataclass(frozen=True)
class FinetuneRun:
    """One fine-tuning run by the parts of its result's path."""

    variant: str
    task: str
    pretrain_seed: int
    seed: int

    @property
    def path(self) -> str:
        """Its folder below `results/<scale>/`."""
        return f"finetune/{self.variant}/{self.task}/pre{self.pretrain_seed}-seed{self.seed}"


class Plan:
    """A scale's config, the tasks and the experiments, checked against each other."""

    def __init__(
        self,
        config: Config,
        tasks: dict[str, TaskSpec],
        experiments: Experiments,
        own: dict[str, TaskSpec] | None = None,
    ) -> None:
        self.config, self.experiments = config, experiments
        self.own = own or {}
        self.entries = tasks | self.own
        self.tasks = tasks = {name: self._located(task) for name, task in self.entries.items()}
        for key, names in (("studies", config.studies), ("on_request", config.on_request)):
            for name in names:
                self._known(key, name, experiments.studies)
                if name in tasks:
                    raise UserError(
                        f"{key}: `{name}` is a data set's name; name the study otherwise"
                    )
        for name in {*self.own, *config.studies, *config.on_request} & RULES:
            raise UserError(f"`{name}` is a rule of the workflow; take another name")
        for name in config.on_request:
            if not experiments.studies[name].variants:
                raise UserError(f"on_request: `{name}` fine-tunes nothing; put it in `studies`")
        for name, study in experiments.studies.items():
            shown = study.few_shot.tasks if study.few_shot else []
            for task in [*study.tasks, *study.zeroshot, *shown]:
                self._known(f"experiments: studies.{name}.tasks", task, tasks)
            for each in study.variants:
                if each != "transfer-*":
                    self.variant(each)
        for name in config.limits.tasks:
            self._known("limits.tasks", name, tasks)
        for name, study in self.studies():
            shown = study.few_shot.models if study.few_shot else []
            tuned = [self.variant(v).model for v in self.variants(study)]
            for model in [*study.models, *shown, *tuned]:
                self._known(
                    f"config: models (asked for by the study `{name}`)", model, config.models
                )
            for model in study.models:
                if not (backbone := config.models[model].backbone).causal:
                    raise UserError(
                        f"experiments: studies.{name}.models: {model} is a {backbone.kind}, no"
                        " language model; it has no zero-shot scores: take it out"
                    )

    @classmethod
    def read(cls, config: Mapping[str, Any], folder: Path, where: str = "config") -> Plan:
        """Check a merged config and read `tasks.yaml` and `experiments.yaml` from `folder`.

        A user's own data sets come from the config's `tasks_file`.
        """
        parsed = parse(Config, dict(config), where)
        experiments = load_experiments(folder / "experiments.yaml").merged(parsed.experiments)
        tasks = load_tasks(folder / "tasks.yaml")
        own = load_tasks(Path(parsed.tasks_file)) if parsed.tasks_file else {}
        for name in own:
            if name in tasks:
                raise UserError(f"{parsed.tasks_file}: `{name}` is in tasks.yaml already")
        return cls(parsed, tasks, experiments, own)

    @staticmethod
    def _known(where: str, name: str, names: Mapping[str, Any]) -> None:
        if name not in names:
            raise UserError(f"{where}: `{name}` is not defined{nearest(name, names)}")

    # What is there to do. -------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """Where this scale's results lie."""
        return Path("results") / self.config.scale

    @property
    def data_root(self) -> Path:
        """The folder that the books, and the data sets in their original form, are read from."""
        return self.root / "world" if self.config.synthetic else Path(self.config.data_root or "")

    @property
    def fetched_root(self) -> Path:
        """The folder that gets what is fetched from the hub."""
        return self.root / "data"

    def task_root(self, task: str) -> Path:
        """The folder that a data set's files are named from.

        Those of the user's own sets are beside the file that describes them.
        """
        if self.fetches(task):
            return self.fetched_root
        return Path(self.config.tasks_file or "").parent if task in self.own else self.data_root

    def fetches(self, task: str) -> bool:
        """Whether the scale gets a data set from the hub."""
        return self.config.source == "hub" and self.entries[task].hub is not None

    def _located(self, task: TaskSpec) -> TaskSpec:
        """A data set as it is read here: its own files, or those that come from the hub."""
        if self.fetches(task.name):
            return hub.fetched(task)
        if self.config.synthetic and task.name not in self.own:
            return plain(task)
        return located(task, self.task_root(task.name))

    def studies(self) -> Iterator[tuple[str, Study]]:
        """The studies that the config asks for."""
        return ((name, self.experiments.studies[name]) for name in self.config.studies)

    def on_request(self) -> Iterator[tuple[str, Study]]:
        """The studies that run where they are asked for by name, with the scale's models alone."""
        for name in self.config.on_request:
            if name not in self.config.studies:
                yield name, self._within(self.experiments.studies[name])

    def check_requested(self, names: Sequence[str]) -> None:
        """Raise `UserError` for the first name that is no study on request."""
        for name in names:
            self._known("--study", name, dict(self.on_request()))

    def _within(self, study: Study) -> Study:
        """What a scale can run of a study: its variants and models that the scale defines."""
        models = self.config.models
        few = study.few_shot
        return study.model_copy(
            update={
                "variants": [v for v in self.variants(study) if self.variant(v).model in models],
                "models": [model for model in study.models if model in models],
                "few_shot": few
                and few.model_copy(update={"models": [m for m in few.models if m in models]}),
            }
        )

    def _chosen(self, study: str | None) -> Iterator[tuple[str, Study]]:
        """The config's studies, or the one of this name, on request or not."""
        for name, each in self.studies():
            if study in (None, name):
                yield name, each
        for name, each in self.on_request() if study is not None else ():
            if name == study:
                yield name, each

    def _every(self) -> list[Study]:
        """All studies, those on request too: a job's settings are the same for each target."""
        return [each for _, each in [*self.studies(), *self.on_request()]]

    def variants(self, study: Study) -> list[str]:
        """A study's variants, with `transfer-*` spelled out."""
        names = []
        for name in study.variants:
            if name != "transfer-*":
                names.append(name)
                continue
            backbone = self.config.models["transformer"].backbone
            names += [f"transfer-{n}" for n in range(backbone.n_layer)]
        return names

    def variant(self, name: str) -> Variant:
        """A variant by name; `transfer-<n>` is made from `full`."""
        variants = self.experiments.variants
        head, _, layers = name.rpartition("-")
        if head == "transfer" and layers.isdigit():
            return Variant(
                title=f"{layers} layers transferred",
                model=variants["full"].model,
                transfer_layers=int(layers),
            )
        self._known("experiments: variants", name, variants)
        return variants[name]

    def runs(self, study: str | None = None) -> list[FinetuneRun]:
        """All fine-tuning runs of the config's studies, or of one, each once."""
        found = {
            FinetuneRun(variant, task, p, k)
            for _, each in self._chosen(study)
            for variant in self.variants(each)
            for task in each.tasks
            for p in self.config.pretrain_seeds
            for k in self.config.finetune_seeds
        }
        return sorted(found, key=lambda r: (r.task, r.variant, r.pretrain_seed, r.seed))

    def task_files(self, task: str) -> list[Path]:
        """The files (or RACE's folders) that a data set is read from, each once."""
        return source_paths(self.tasks[task], self.task_root(task))

    def corpus_folder(self, model: str) -> Path:
        """Where the token shards lie that a model is pre-trained on."""
        name = self.config.models[model].corpus
        return self.root / "corpora" / name if name else self.root / "corpus"

    def corpora(self) -> dict[str, Path]:
        """The folders of books, beside the scale's own, that models are pre-trained on."""
        needed = [
            *self.pretrained(),
            *(m for n in self.config.on_request for m in self.pretrained(n)),
        ]
        used = {self.config.models[model].corpus for model, _ in needed}
        return {n: self.given(path) for n, path in self.config.corpora.items() if n in used}

    def given(self, path: str) -> Path:
        """A path of the config: relative to the data's folder, if the data is one."""
        return Path(path) if self.config.synthetic else self.data_root / path

    def imported(self) -> list[str]:
        """The models whose weights are imported."""
        return [name for name, model in self.config.models.items() if model.weights]

    def weights_folder(self, model: str) -> Path:
        """Where an imported model's weights are."""
        weights = self.config.models[model].weights
        if weights is None:
            raise UserError(f"models.{model}: no weights to import")
        return self.given(weights.path)

    def weight_files(self, model: str) -> list[Path]:
        """The files of an imported model; raises `UserError` for one that is missing."""
        return weight_files(self.weights_folder(model))

    def tokenizer_files(self) -> list[Path]:
        """The vocabulary and the merges that are imported; none where they are learnt."""
        settings = self.config.tokenizer
        return [self.given(name) for name in (settings.vocab_file, settings.merges_file) if name]

    @property
    def reads_books(self) -> bool:
        """Whether anything is learnt from books."""
        return self.pretrains or not self.tokenizer_files()

    @property
    def reads_folder(self) -> bool:
        """Whether the books are those of the data's folder, not of a text set of the hub."""
        return self.reads_books and self.config.corpus.source is None

    @property
    def pretrains(self) -> bool:
        """Whether a model is pre-trained here; imported weights come from books unknown."""
        return bool({model for model, _ in self.pretrained()} - set(self.imported()))

    def check_data(self) -> None:
        """Raise `UserError` for the first file of real data or of imports that is missing."""
        self._check_folder()
        for name in self.config.systems:
            read_systems(Path(name), self.tasks)
        for name, folder in self.corpora().items():
            self._books_in(folder, f"corpora.{name}")
        for path in self.tokenizer_files():
            if not path.is_file():
                raise UserError(f"{path}: no such file; fetch it from the folder model/ of {HOME}")
        for model in self.imported():
            self.weight_files(model)

    def _check_folder(self) -> None:
        if not self.config.synthetic:
            self._check_books()
        for task in self.task_names():
            self._check_task(task)

    def _check_books(self) -> None:
        if self.config.source == "hub" and self.config.data_root is None:
            if self.reads_folder:
                raise UserError(
                    "source is `hub`: the data sets are fetched, the books are not; give"
                    " DATA=folder with books/train and books/validation in it, or corpus.source"
                )
            return
        if not self.data_root.is_dir():
            raise UserError(
                f"{self.data_root}: no such folder; give DATA=folder with the data sets"
            )
        if self.reads_folder:
            self._books_in(self.data_root / "books", "books")

    def _books_in(self, folder: Path, what: str) -> None:
        if self.config.corpus.validation_share is not None:
            _books_there(folder, what)
            return
        for split in ("train", "validation"):
            _books_there(folder / split, what)

    def books_below(self, folder: Path) -> list[Path]:
        """The files of a folder of books: in `train` and `validation`, or all in one."""
        pattern = "*/*" if self.config.corpus.validation_share is None else "*"
        return sorted(path for path in folder.glob(pattern) if path.is_file())

    def _check_task(self, task: str) -> None:
        if self.fetches(task) or (self.config.synthetic and task not in self.own):
            return
        entry, root = self.entries[task], self.task_root(task)
        served = self.config.source != "hub" or task in self.own
        if not served and not files_of(entry, root):
            raise UserError(hub.not_served(entry))
        settle(hub.as_found(entry, root), root)

    def task_names(self) -> list[str]:
        """The tasks that are fine-tuned or scored zero-shot."""
        return sorted(
            {run.task for run in self.runs()} | set(self.zeroshot_tasks()),
            key=list(self.tasks).index,
        )

    def zeroshot_tasks(self, study: str | None = None) -> list[str]:
        """The tasks that are scored without fine-tuning."""
        return sorted(
            {t for _, s in self._chosen(study) for t in s.zeroshot},
            key=list(self.tasks).index,
        )

    def encoded_zeroshot(self) -> list[str]:
        """The tasks with zero-shot inputs, which every zero-shot job scores."""
        return sorted({task for study in self._every() for task in study.zeroshot})

    def zeroshot_models(self, study: str | None = None) -> list[tuple[str, int]]:
        """The (model, pre-training seed) pairs that are scored without fine-tuning."""
        models = {m for _, s in self._chosen(study) for m in s.models}
        return [(m, p) for m in sorted(models) for p in self.config.pretrain_seeds]

    def fewshot_models(self, study: str | None = None) -> list[tuple[str, int]]:
        """The (model, pre-training seed) pairs that are scored with examples in the context."""
        models = {m for _, s in self._chosen(study) if s.few_shot for m in s.few_shot.models}
        return [(m, p) for m in sorted(models) for p in self.config.pretrain_seeds]

    def pretrained(self, study: str | None = None) -> list[tuple[str, int]]:
        """The (model, pre-training seed) pairs that have to be pre-trained."""
        needed = {
            (self.variant(r.variant).model, r.pretrain_seed)
            for r in self.runs(study)
            if self.variant(r.variant).pretrained
        }
        return sorted({*needed, *self.zeroshot_models(study), *self.fewshot_models(study)})

    def attention_models(self) -> list[tuple[str, int]]:
        """The (model, pre-training seed) pair that the report looks into; none, or one.

        That is, with the first seed, the model of the variant `full` if its tokens attend to those
        before them, else the first by name of those that do.
        """
        if self.config.attention.sentences == []:
            return []
        full, seed = self.experiments.variants.get("full"), self.config.pretrain_seeds[0]
        backbones = {name: model.backbone for name, model in self.config.models.items()}
        fit = [
            name
            for name, its_seed in self.pretrained()
            if its_seed == seed
            and backbones[name].causal
            and isinstance(backbones[name], StackSettings)
        ]
        fit.sort(key=lambda name: (full is None or name != full.model, name))
        return [(name, seed) for name in fit[:1]]

    # The jobs. ------------------------------------------------------------------------------

    def world_job(self) -> WorldJob:
        """Write the embedded world."""
        if self.config.world is None:
            raise UserError("config: this scale has no embedded world (key `world` is null)")
        return WorldJob(world=self.config.world)

    def tokenizer_job(self) -> TokenizerJob:
        """Train (or import) the tokenizer."""
        settings = self.config.tokenizer
        files = {"vocab_file": settings.vocab_file, "merges_file": settings.merges_file}
        found = {key: str(self.given(name)) for key, name in files.items() if name}
        return TokenizerJob(
            tokenizer=settings.model_copy(update=found),
            corpus=None if found else self.config.corpus.reading(),
        )

    def corpus_job(self, name: str | None = None) -> CorpusJob:
        """Turn the books into token shards; `name` for another corpus, which is a folder."""
        settings = self.config.corpus
        return CorpusJob(corpus=settings.model_copy(update={"source": None}) if name else settings)

    def fetch_job(self, task: str) -> FetchJob:
        """Get one data set from the hub."""
        update: dict[str, Any] = {"title": task, "official": {}, "scored": {}, "paper_split": ""}
        entry = self.entries[task]
        spec = plain(entry).model_copy(update={**update, "hub": entry.hub})
        return FetchJob(task=spec, mirror=self.config.mirror)

    def encode_job(self, task: str) -> EncodeJob:
        """Parse and encode one data set."""
        limits = self.config.limits
        zeroshot = task in self.encoded_zeroshot()
        return EncodeJob(
            task=self.tasks[task].model_copy(update={"title": task}),
            n_ctx=self.config.n_ctx,
            limits=limits.tasks.get(task, limits.default),
            seed=limits.seed,
            zeroshot=zeroshot,
            zeroshot_rows=limits.zeroshot if zeroshot else None,
        )

    def contamination_job(self) -> ContaminationJob:
        """Look for the scored texts in the books; captions and homes do not matter."""
        plain: dict[str, Any] = {"home": "", "official": {}, "paper_split": ""}
        tasks = [
            self.tasks[name].model_copy(update={**plain, "title": name})
            for name in sorted(self.task_names())
        ]
        corpus = self.config.corpus
        return ContaminationJob(tasks=tasks, workers=corpus.workers, corpus=corpus.reading())

    def pretrain_job(self, model: str, seed: int) -> PretrainJob:
        """Pre-train one model with one seed."""
        settings = self.config.models[model]
        if settings.pretrain is None:
            raise UserError(f"models.{model}: its weights are imported, not pre-trained")
        return PretrainJob(
            model=model,
            backbone=settings.backbone,
            pretrain=settings.pretrain,
            n_ctx=self.config.n_ctx,
            seed=seed,
        )

    def import_job(self, model: str, seed: int) -> ImportJob:
        """Import one model's weights; they are the same for any seed."""
        backbone = self.config.models[model].backbone
        if not isinstance(backbone, TransformerSettings):
            raise UserError(f"models.{model}: weights can be imported for a transformer only")
        return ImportJob(model=model, backbone=backbone, n_ctx=self.config.n_ctx, seed=seed)

    def finetune_job(self, run: FinetuneRun) -> FinetuneJob:
        """Fine-tune and score one run."""
        config, variant = self.config, self.variant(run.variant)
        backbone = config.models[variant.model].backbone
        layers = variant.transfer_layers
        if layers is not None and not (
            isinstance(backbone, StackSettings) and layers <= backbone.n_layer
        ):
            raise UserError(
                f"variant {run.variant}: {variant.model} has no {layers} layers to copy"
            )
        if layers is not None and isinstance(backbone, EncoderDecoderSettings):
            raise UserError(
                f"variant {run.variant}: an encoder-decoder is transferred whole;"
                " drop transfer_layers"
            )
        return FinetuneJob(
            variant=run.variant,
            model=variant.model,
            backbone=backbone,
            n_ctx=config.n_ctx,
            pretrained=variant.pretrained,
            transfer_layers=layers,
            lm_coef=self.lm_coef(run.variant),
            finetune=config.finetune,
            task=bare(self.tasks[run.task]),
            score_train=any(
                s.score_train and run.variant in self.variants(s) and run.task in s.tasks
                for s in self._every()
            ),
            keep=config.keep == "all"
            or (
                config.keep == "first-seed"
                and run.seed == config.finetune_seeds[0]
                and run.pretrain_seed == config.pretrain_seeds[0]
            ),
            pretrain_seed=run.pretrain_seed,
            seed=run.seed,
            frozen=variant.frozen,
            train_rows=variant.train_rows,
        )

    def lm_coef(self, name: str) -> float:
        """Lambda of a variant; 0 for a model that is no language model, so has no L1."""
        variant = self.variant(name)
        backbone = self.config.models[variant.model].backbone
        if backbone.causal:
            return self.config.lm_coef if variant.lm_coef is None else variant.lm_coef
        if variant.lm_coef:
            raise UserError(
                f"variant {name}: lm_coef {variant.lm_coef:g}, but {variant.model} is a"
                f" {backbone.kind}, which predicts no next token; drop lm_coef (it is 0 there)"
            )
        return 0.0

    def zeroshot_job(self, model: str, seed: int) -> ZeroshotJob:
        """Score all checkpoints of one pre-trained model without fine-tuning."""
        return ZeroshotJob(
            model=model,
            backbone=self.config.models[model].backbone,
            n_ctx=self.config.n_ctx,
            seed=seed,
            tasks=[bare(self.tasks[name]) for name in self.encoded_zeroshot()],
            probe_seed=PROBE_SEED if self.config.synthetic else None,
        )

    def fewshot_job(self, model: str, seed: int) -> FewShotJob:
        """Score one pre-trained model with examples in the context."""
        asked = [s.few_shot for s in self._every() if s.few_shot and model in s.few_shot.models]
        tasks = sorted({task for each in asked for task in each.tasks})
        shots = list(dict.fromkeys(k for each in asked for k in each.shots))
        return FewShotJob(
            model=model,
            backbone=self.config.models[model].backbone,
            n_ctx=self.config.n_ctx,
            seed=seed,
            tasks=[self.tasks[name].model_copy(update={"title": name}) for name in tasks],
            shots=shots,
            draw_seed=asked[0].seed,
            rows=self.config.limits.zeroshot,
            limits_seed=self.config.limits.seed,
        )

    def fewshot_tasks(self, model: str) -> list[str]:
        """The tasks that a model is scored on with examples in the context."""
        return [task.name for task in self.fewshot_job(model, 0).tasks]

    def attention_job(self, model: str, seed: int) -> AttentionJob:
        """Follow the scale's sentences through one pre-trained model."""
        given = self.config.attention.sentences
        default = shown.WORLD if self.config.synthetic else shown.ENGLISH
        return AttentionJob(
            model=model,
            backbone=self.config.models[model].backbone,
            n_ctx=self.config.n_ctx,
            seed=seed,
            sentences=list(default) if given is None else given,
        )

    def report_job(self) -> ReportJob:
        """Everything that the report names; of the data's folder the name alone, fit to show."""
        paths = {key: getattr(self.config, key) for key in ("data_root", "mirror", "tasks_file")}
        names = {key: Path(path).name if path else path for key, path in paths.items()}
        config = self.config.model_copy(update=names)
        return ReportJob(config=config, tasks=self.tasks, experiments=self.experiments)


def workflow_plan(config: Mapping[str, Any], folder: Path) -> Plan:
    """The plan of the Snakefile's merged config; a mistake ends Snakemake with one line."""
    try:
        plan = Plan.read(config, folder)
        plan.check_data()
        lock.clear_stale()
    except UserError as error:
        sys.exit(f"gptbench: {error}")
    return plan


def _books_there(folder: Path, what: str) -> None:
    if not folder.is_dir() or not any(folder.iterdir()):
        raise UserError(f"{folder}: no books ({what}); put one plain-text file a book there")


def located(task: TaskSpec, root: Path) -> TaskSpec:
    """A data set as it lies below `root`: fetched from the hub, or in the layout that is there."""
    return plain(settled_or_first(hub.as_found(task, root), root))


def bare(task: TaskSpec) -> TaskSpec:
    """A task without what training never reads, so that a new title re-runs the report alone."""
    return task.model_copy(
        update={
            "title": task.name,
            "home": "",
            "official": {},
            "files": {},
            "columns": {},
            "label_map": {},
            "split": {},
            "split_seed": 0,
            "ragged": False,
            "paper_split": "",
        }
    )
