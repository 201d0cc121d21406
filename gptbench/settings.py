"""The typed settings of every stage; `workflow/schemas/` is generated from here.

A *scale* is one complete config file (`Config`). A *job* is what one rule hands to one
command: just the settings that the job uses, as one canonical JSON string
(`to_json`), so that Snakemake re-runs exactly the jobs whose settings changed.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from gptbench.errors import UserError

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Repository = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown key is an error.

    `later` names keys that came after the first results: at their default they are not written
    out, so that what was made before is still the result of the same settings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        for key in self.later:
            if getattr(self, key) == fields[key].get_default(call_default_factory=True):
                data.pop(key, None)
        return data

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces; equal settings give equal strings."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, where: str = "--settings") -> Self:
        """Parse a job's settings; raises `UserError` with the key and the reason."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not JSON ({error})") from None
        return parse(cls, data, where)


class WorldSettings(Settings):
    """The embedded synthetic world (`gptbench/data/world`)."""

    seed: Natural
    books_train: Positive
    books_validation: Positive
    words_per_book: Positive
    train_rows: Positive
    eval_rows: Positive


class TokenizerSettings(Settings):
    """Byte-pair encoding: the paper trains 40,000 merges on BooksCorpus (section 4.1)."""

    merges: Positive
    min_frequency: Positive = 2
    vocab_file: str | None = None
    merges_file: str | None = None


class CorpusSource(Settings):
    """A text set of the Hugging Face hub. `mirror` is a folder of copies of repositories."""

    repository: Repository
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    mirror: str | None = None


class CorpusSettings(Settings):
    """From books to token shards (docs/corpora.md).

    `rows`: of JSON lines and parquet, whether a row's `text_field` is a book or a line of one long
    text. With `validation_share` books are held out by `seed` instead of lying in a folder.
    """

    later = frozenset(
        {"source", "text_field", "rows", "validation_share", "seed", "deduplicate", "strip_licence"}
    )

    shard_tokens: Positive = 50_000_000
    workers: Positive = 2
    source: CorpusSource | None = None
    text_field: str = "text"
    rows: Literal["book", "contiguous"] = "book"
    validation_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: Natural = 0
    deduplicate: bool = False
    strip_licence: bool = False

    @model_validator(mode="after")
    def _books_are_known(self) -> Self:
        if self.source is not None and self.validation_share is None:
            raise ValueError("a source has no folder of held-out books: give validation_share")
        if self.rows == "contiguous" and (self.deduplicate or self.strip_licence):
            which = "deduplicate" if self.deduplicate else "strip_licence"
            raise ValueError(f"{which} needs books, and contiguous rows have no book boundaries")
        return self

    def reading(self) -> CorpusSettings | None:
        """What decides which text is read; None where it is all text of the folder `train`."""
        kept = self.model_copy(update={"shard_tokens": 50_000_000, "workers": 2})
        return None if kept == CorpusSettings() else kept


class BackboneSettings(Settings):
    """Base of the backbones' settings; a causal one is a language model: no token sees later."""

    causal: ClassVar[bool] = True

    kind: str

    def attended(self, n_ctx: int) -> int:
        """Places that a token's attention covers, over all layers, masked ones too."""
        return 0


class StackSettings(BackboneSettings):
    """A stack of transformer blocks; `n_inner` is 4 x `n_embd` unless given.

    `init_std` is the paper's 0.02, or `fan_in` for 1 / sqrt(fan-in).
    """

    n_layer: Positive
    n_embd: Positive
    n_head: Positive
    n_inner: Positive | None = None
    embd_dropout: Fraction
    attn_dropout: Fraction
    resid_dropout: Fraction
    init_std: Rate | Literal["fan_in"]
    embd_std: Rate

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd {self.n_embd} is not a multiple of n_head {self.n_head}")
        return self

    def attended(self, n_ctx: int) -> int:
        """The whole context in each layer."""
        return self.n_layer * n_ctx


class TransformerSettings(StackSettings):
    """GPT-1's decoder (section 3.1 and 4.1). With `positions` none there is no W_p."""

    later = frozenset({"positions"})

    kind: Literal["transformer"]
    positions: Literal["learned", "none"] = "learned"


class Gpt2Settings(StackSettings):
    """GPT-2's decoder: LayerNorm before each branch and after the last block."""

    kind: Literal["gpt2"]


class Gpt3Settings(StackSettings):
    """GPT-3's decoder: of GPT-2's blocks every second one attends to `window` places only."""

    kind: Literal["gpt3"]
    window: Positive

    def attended(self, n_ctx: int) -> int:
        """The whole context in the first, third, ... layer, the window in the others."""
        banded = self.n_layer // 2
        return (self.n_layer - banded) * n_ctx + banded * min(self.window, n_ctx)


class RnnSettings(BackboneSettings):
    """Elman's recurrent network, in the LSTM's place."""

    kind: Literal["rnn"]
    n_layer: Positive
    n_embd: Positive
    n_hidden: Positive
    embd_dropout: Fraction
    output_dropout: Fraction
    init_std: Rate | Literal["fan_in"]
    embd_std: Rate


class LstmSettings(BackboneSettings):
    """The LSTM of table 5: one layer, 2,048 units in the paper."""

    kind: Literal["lstm"]
    n_layer: Positive
    n_embd: Positive
    n_hidden: Positive
    embd_dropout: Fraction
    output_dropout: Fraction
    init_std: Rate | Literal["fan_in"]
    embd_std: Rate


class BertSettings(StackSettings):
    """A masked bidirectional encoder (Devlin et al. 2019)."""

    causal = False

    kind: Literal["bert"]


class EncoderDecoderSettings(StackSettings):
    """The encoder-decoder transformer (Vaswani et al. 2017): `n_layer` blocks on either side."""

    causal = False

    kind: Literal["encoder-decoder"]


class Seq2SeqSettings(BackboneSettings):
    """An LSTM encoder and an LSTM decoder (Sutskever et al. 2014) of one layer each.

    With `attention` the decoder looks at all of the encoder's states (Bahdanau et al. 2015).
    """

    causal = False

    kind: Literal["seq2seq"]
    attention: bool
    n_layer: Literal[1] = 1
    n_embd: Positive
    n_hidden: Positive
    embd_dropout: Fraction
    output_dropout: Fraction
    init_std: Rate | Literal["fan_in"]
    embd_std: Rate


Backbone = Annotated[
    TransformerSettings
    | LstmSettings
    | RnnSettings
    | Gpt2Settings
    | Gpt3Settings
    | BertSettings
    | EncoderDecoderSettings
    | Seq2SeqSettings,
    Field(discriminator="kind"),
]


class PretrainSettings(Settings):
    """L1 with Adam, warm-up and cosine (section 4.1). One of `steps` and `epochs` is given."""

    steps: Positive | None
    epochs: Positive | None
    batch_size: Positive
    micro_batch: Positive | None = None
    window_start: Literal["anywhere", "line"]
    lr: Rate
    warmup_steps: Natural
    weight_decay: Annotated[float, Field(ge=0)]
    clip: Rate
    checkpoints: Positive
    validation_tokens: Positive
    threads: Positive = 1

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of steps and epochs")
        return self

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.batch_size % (self.micro_batch or 1):
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch {self.micro_batch}"
            )
        return self


class WeightsSettings(Settings):
    """Weights to import: a folder in the released layout, or one that transformers wrote.

    `path` is relative to the data's folder, if the data is one.
    """

    path: str


class ModelSettings(Settings):
    """A model: a backbone, and how it is pre-trained or which weights take that place.

    In a config file an entry with `like: NAME` takes over what that model has and overrides the
    keys it gives. `corpus` names another corpus than the scale's books (`Config.corpora`).
    """

    later = frozenset({"corpus"})

    backbone: Backbone
    corpus: str | None = None
    pretrain: PretrainSettings | None = None
    weights: WeightsSettings | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.pretrain is None) == (self.weights is None):
            raise ValueError("give exactly one of pretrain and weights")
        if self.weights and self.backbone.kind != "transformer":
            raise ValueError("weights can be imported for a transformer only")
        return self


class FinetuneSettings(Settings):
    """L3 = L2 + lm_coef L1 on labelled data (sections 3.2 and 4.1)."""

    epochs: Positive
    batch_size: Positive
    lr: Rate
    warmup: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    clip: Rate
    classifier_dropout: Fraction
    dropout: Fraction | None
    special_init: Rate | Literal["match"]
    lm_on_special: bool
    threads: Positive = 1


class RowLimits(Settings):
    """How many rows of a split are used at most; null is all of them."""

    train: Positive | None
    eval: Positive | None


class LimitSettings(Settings):
    """Subsets of the data sets, drawn with `seed`; `tasks` overrides the default by task."""

    seed: Natural
    default: RowLimits
    tasks: dict[str, RowLimits] = {}
    zeroshot: Positive | None


class Variant(Settings):
    """A model and how it is fine-tuned: an entry of `config/experiments.yaml`.

    `transfer_layers` null copies all; n copies the embeddings and the first n blocks. `frozen`
    trains the classifier alone, on the states of a backbone that stays as it is. `train_rows`
    uses that many of the labelled rows (smaller subsets lie within larger ones).
    """

    later = frozenset({"frozen", "train_rows"})

    title: str
    model: str
    pretrained: bool = True
    lm_coef: Annotated[float, Field(ge=0)] | None = None
    transfer_layers: Natural | None = None
    frozen: bool = False
    train_rows: Positive | None = None

    @model_validator(mode="after")
    def _frozen_learns_no_language(self) -> Self:
        if self.frozen and self.lm_coef != 0:
            raise ValueError("a frozen backbone learns nothing from L1: add `lm_coef: 0`")
        if self.transfer_layers is not None and not self.pretrained:
            raise ValueError("transfer_layers copies from a pre-trained model: drop `pretrained`")
        return self


class FewShot(Settings):
    """Scoring with solved examples in the context: the models, the tasks, and how many examples.

    `shots` are numbers of examples, or `fit` for as many as the context holds. They are drawn from
    the training split, anew for each question, with `seed`.
    """

    models: list[str]
    tasks: list[str]
    shots: Annotated[list[Natural | Literal["fit"]], Field(min_length=1)]
    seed: Natural = 0


class Study(Settings):
    """What a table or figure needs: variants x tasks to fine-tune, models to score zero-shot.

    The variant `transfer-*` stands for every n from 0 to the backbone's layers minus one
    (all layers are the variant `full`). `against` is the variant that the others are compared
    with, the first unless given.
    `models` are scored on the tasks `zeroshot`, those of `few_shot` with examples in the context.
    """

    later = frozenset({"few_shot", "against"})

    title: str
    variants: list[str] = []
    against: str | None = None
    tasks: list[str] = []
    models: list[str] = []
    zeroshot: list[str] = []
    few_shot: FewShot | None = None
    score_train: bool = False

    @model_validator(mode="after")
    def _against_one_of_its_own(self) -> Self:
        if self.against is not None and self.against not in self.variants:
            raise ValueError(f"against: `{self.against}` is not one of the study's variants")
        return self


class Experiments(Settings):
    """`config/experiments.yaml`, and what a config file adds under `experiments`."""

    variants: dict[str, Variant] = {}
    studies: dict[str, Study] = {}

    def merged(self, added: Experiments) -> Experiments:
        """These, with another's entries in place of those of the same name."""
        return Experiments(
            variants=self.variants | added.variants, studies=self.studies | added.studies
        )


class AttentionSettings(Settings):
    """Which sentences the report follows through the model, with a map of each head's attention.

    Null takes three sentences that fit the data; an empty list leaves the stage out.
    """

    sentences: list[Annotated[str, Field(min_length=1)]] | None = None


S = TypeVar("S", bound="Settings")
Scale = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class Config(Settings):
    """One scale: everything that a reproduction needs besides tasks and experiments.

    `corpora` are folders of books beside the scale's own, each with `train` and `validation`;
    `experiments` adds variants and studies to those of `experiments.yaml`. The studies `on_request`
    run where they are asked for by name only. `systems` are CSV files of other systems' scores,
    relative to where the workflow runs; the report shows them. `show_texts` lets the report show
    texts of real data sets too.
    """

    later = frozenset(
        "attention corpora experiments mirror on_request show_texts systems tasks_file"
        " tracking_models".split()
    )

    scale: Scale
    title: str
    source: Literal["world", "folder", "hub"]
    data_root: str | None
    mirror: str | None = None
    tasks_file: str | None = None
    world: WorldSettings | None
    tokenizer: TokenizerSettings
    corpus: CorpusSettings
    n_ctx: Annotated[int, Field(ge=16)]
    models: dict[str, ModelSettings]
    lm_coef: Annotated[float, Field(ge=0)]
    finetune: FinetuneSettings
    limits: LimitSettings
    pretrain_seeds: Annotated[list[Natural], Field(min_length=1)]
    finetune_seeds: Annotated[list[Natural], Field(min_length=1)]
    studies: list[str]
    keep: Literal["none", "first-seed", "all"]
    tracking_uri: str | None
    tracking_models: bool = False
    notes: list[str] = []
    corpora: dict[Scale, str] = {}
    experiments: Experiments = Experiments()
    on_request: list[str] = []
    systems: list[str] = []
    show_texts: bool = False
    attention: AttentionSettings = AttentionSettings()

    @model_validator(mode="before")
    @classmethod
    def _spell_out_models(cls, data: Any) -> Any:
        """Models with `like` as whole entries."""
        models = data.get("models") if isinstance(data, dict) else None
        if not isinstance(models, dict):
            return data
        return {**data, "models": {name: _like(name, models) for name in models}}

    @model_validator(mode="after")
    def _corpora_are_known(self) -> Self:
        for name, model in self.models.items():
            if model.corpus is not None and model.corpus not in self.corpora:
                raise ValueError(
                    f"models.{name}.corpus: `{model.corpus}` is not one of corpora"
                    f"{nearest(model.corpus, self.corpora)}"
                )
        return self

    @model_validator(mode="after")
    def _source_is_whole(self) -> Self:
        if self.source == "world" and self.world is None:
            raise ValueError("source is `world`, so the key `world` is needed")
        if self.source == "folder" and not self.data_root:
            raise ValueError(
                "source is `folder`, so data_root is needed "
                "(make reproduce SCALE=... DATA=folder, or --config data_root=folder)"
            )
        return self

    @model_validator(mode="after")
    def _imports_are_whole(self) -> Self:
        imported = [name for name, model in self.models.items() if model.weights]
        if imported and not self.tokenizer.vocab_file:
            raise ValueError(
                f"models.{imported[0]}.weights needs the vocabulary of these weights: give"
                " tokenizer.vocab_file and tokenizer.merges_file"
            )
        if imported and len(self.pretrain_seeds) > 1:
            raise ValueError("imported weights are one model: give one of pretrain_seeds")
        return self

    @property
    def synthetic(self) -> bool:
        """Whether the data is the embedded world: never comparable with the paper."""
        return self.source == "world"


def _like(name: str, models: dict[str, Any], seen: tuple[str, ...] = ()) -> Any:
    """A model's entry with what it takes from the one that `like` names."""
    entry = models[name]
    if not isinstance(entry, dict) or "like" not in entry:
        return entry
    base = entry["like"]
    if base not in models or base in (*seen, name):
        why = "is not defined" if base not in models else "leads back to itself"
        raise ValueError(f"models.{name}.like: `{base}` {why}{nearest(str(base), models)}")
    own = {key: value for key, value in entry.items() if key != "like"}
    return _deep(_like(base, models, (*seen, name)), own)


def _deep(base: Any, over: Any) -> Any:
    """`over` on top of `base`, mapping by mapping; another `kind` takes over nothing."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    if over.get("kind", base.get("kind")) != base.get("kind"):
        return over
    return base | {key: _deep(base.get(key), value) for key, value in over.items()}


Parser = Literal["tsv", "tsv_quoted", "csv", "jsonl", "race", "story_cloze", "dprd"]
Metric = Literal["accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman"]
Kind = Literal[
    "natural language inference",
    "question answering",
    "sentence similarity",
    "classification",
    "pronoun resolution",
]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
HubSplit = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]


class HubSettings(Settings):
    """Where a data set lies on the Hugging Face hub (`gptbench/data/hub.py`).

    `splits` gives each split of the task as configuration/split. `columns` names the hub's
    columns by the task's keys (text1, text2, label; context, question, answers). `labels` are
    the hub's class names in the order of the task's, where they differ. Without a `revision`
    the newest commit is taken, and recorded.
    """

    repository: Repository
    revision: Commit | None = None
    splits: dict[str, HubSplit]
    columns: dict[str, str]
    labels: list[str] | None = None


def _named_labels(value: Any) -> Any:
    """`labels` as a list of strings; `{neg: 0, pos: 1}` is [neg, pos]."""
    if isinstance(value, dict):
        if sorted(map(str, value.values())) != sorted(map(str, range(len(value)))):
            raise ValueError(
                "a map gives each name a number of its own, 0, 1, 2 and so on; further names of"
                " a class go into `label_map`"
            )
        value = sorted(value, key=value.__getitem__)
    if not isinstance(value, list):
        return value
    if any(isinstance(name, bool) for name in value):
        raise ValueError('YAML reads yes, no, on and off as true and false: quote them ("yes")')
    return [str(name) if isinstance(name, int) else name for name in value]


Labels = Annotated[
    list[str] | None,
    BeforeValidator(_named_labels, json_schema_input_type=list[str | int] | dict[str, int] | None),
]


class Layout(Settings):
    """One of the forms that a data set is given out in.

    `files` names the file of each split, relative to the data root. `FOLDER:A,B` or `ARCHIVE:A,B`
    is files (or folders, of RACE) inside a folder or archive, one after the other. Any file may
    also be there as `.gz`, or inside one of `archives`, in the file's folder or one above it.
    `columns` are header names, JSON keys, or column numbers where the file has no header;
    `ragged` allows rows of unequal length. `label_map` gives a label of the files the name that
    it has in the task's `labels`. `split` are shares of one file that several splits name, drawn
    with `split_seed`. `unlabelled` names files without labels, to predict for a
    submission, and `unlabelled_columns` their columns where they differ. `before` puts a layout
    before the task's own. `scored`, `official` and `paper_split` replace the task's.
    """

    later = frozenset(
        "label_map split split_seed ragged archives unlabelled unlabelled_columns".split()
    )

    parser: Parser
    columns: dict[str, str | int] = {}
    files: dict[str, str]
    label_map: dict[str, str] = {}
    split: dict[str, Rate] = {}
    split_seed: Natural = 0
    ragged: bool = False
    archives: list[str] = []
    unlabelled: dict[str, str] = {}
    unlabelled_columns: dict[str, str | int] = {}


class OtherLayout(Layout):
    """An entry of a task's `layouts`, which may score other splits than the task's own files."""

    before: bool = False
    scored: dict[str, list[str]] | None = None
    official: dict[str, int] | None = None
    paper_split: str | None = None


class TaskSpec(Layout):
    """A data set: an entry of `config/tasks.yaml`, or of a scale's `tasks_file`.

    Its own `parser`, `columns` and `files` are the layout `default`; `layouts` are others, of
    which the first is read whose files are all there, unless `layout` names one. `scored` names
    each reported score and the splits it joins. `labels` lists the classes in order; a regression
    has a `range` instead. `choice` tasks have neither, or in `labels` what the file calls the
    answers. `hub` says where the set is on the hub.
    """

    later = Layout.later | {"layouts", "layout", "hub"}

    name: str
    title: str
    kind: Kind
    format: Literal["single", "pair", "similarity", "choice"]
    labels: Labels = None
    range: tuple[float, float] | None = None
    hub: HubSettings | None = None
    train: str = "train"
    scored: dict[str, list[str]]
    metrics: Annotated[list[Metric], Field(min_length=1)]
    official: dict[str, int] = {}
    paper_split: str
    version: Positive = 1
    home: str
    layouts: dict[str, OtherLayout] = {}
    layout: str | None = None

    @model_validator(mode="after")
    def _layout_is_known(self) -> Self:
        names = ["default", *self.layouts]
        if "default" in self.layouts:
            raise ValueError("the layout `default` is the task's own; give this one another name")
        if self.layout is not None and self.layout not in names:
            raise ValueError(
                f"no layout `{self.layout}`{nearest(self.layout, names)}; there is"
                f" {', '.join(names)}"
            )
        return self

    def in_layout(self, name: str) -> TaskSpec:
        """The task as the layout `name` has it, its files as the configuration names them."""
        base = self.model_copy(update={"layouts": {}, "layout": None})
        if name == "default":
            return base
        layout = self.layouts[name]
        keys = [key for key in type(layout).model_fields if key != "before"]
        changes = {key: getattr(layout, key) for key in keys}
        return base.model_copy(
            update={key: value for key, value in changes.items() if value is not None}
        )


# What single jobs are given. -----------------------------------------------------------------


class WorldJob(Settings):
    world: WorldSettings


class TokenizerJob(Settings):
    """`corpus` says which books are read, where that is more than all of the folder `train`."""

    later = frozenset({"corpus"})

    tokenizer: TokenizerSettings
    corpus: CorpusSettings | None = None


class CorpusJob(Settings):
    corpus: CorpusSettings


class FetchJob(Settings):
    """Fetch one data set from the hub, or from a folder that holds copies of its repositories."""

    task: TaskSpec
    mirror: str | None


class EncodeJob(Settings):
    """Parse, check and encode one task for a context of `n_ctx`."""

    task: TaskSpec
    n_ctx: int
    limits: RowLimits
    seed: int
    zeroshot: bool
    zeroshot_rows: int | None


class ContaminationJob(Settings):
    """Look for the scored texts of the tasks in the training books.

    `corpus` says which books are read, where that is more than all of the folder `train`.
    """

    later = frozenset({"corpus"})

    tasks: list[TaskSpec]
    workers: Positive
    corpus: CorpusSettings | None = None


class PretrainJob(Settings):
    model: str
    backbone: Backbone
    pretrain: PretrainSettings
    n_ctx: int
    seed: int


class ImportJob(Settings):
    """Import weights as the model `model`; its sizes must be those of the files."""

    model: str
    backbone: TransformerSettings
    n_ctx: int
    seed: int


class FinetuneJob(Settings):
    """One run: one variant, task, pre-training seed and fine-tuning seed."""

    later = frozenset({"frozen", "train_rows"})

    variant: str
    model: str
    backbone: Backbone
    n_ctx: int
    pretrained: bool
    transfer_layers: int | None
    lm_coef: float
    finetune: FinetuneSettings
    task: TaskSpec
    score_train: bool
    keep: bool
    pretrain_seed: int
    seed: int
    frozen: bool = False
    train_rows: int | None = None

    @model_validator(mode="after")
    def _language_models_only(self) -> Self:
        if self.lm_coef and not self.backbone.causal:
            raise ValueError(f"a {self.backbone.kind} predicts no next token: lm_coef must be 0")
        return self


class ZeroshotJob(Settings):
    model: str
    backbone: Backbone
    n_ctx: int
    seed: int
    tasks: list[TaskSpec]
    probe_seed: int | None


class FewShotJob(Settings):
    """Score the trained model with examples in the context; splits and rows as in zero-shot."""

    model: str
    backbone: Backbone
    n_ctx: int
    seed: int
    tasks: list[TaskSpec]
    shots: list[Natural | Literal["fit"]]
    draw_seed: int
    rows: int | None
    limits_seed: int


class AttentionJob(Settings):
    """Follow sentences through one pre-trained model: its attention, states and predictions."""

    model: str
    backbone: Backbone
    n_ctx: int
    seed: int
    sentences: Annotated[list[str], Field(min_length=1)]


class ReportJob(Settings):
    config: Config
    tasks: dict[str, TaskSpec]
    experiments: Experiments


# Reading and explaining. ---------------------------------------------------------------------


def parse(cls: type[S], data: Any, where: str) -> S:
    """Validate `data`; raises `UserError`: the file, the key, the reason, the nearest right key."""
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{where}: {explain(cls, error)}") from None


def explain(cls: type[BaseModel], error: ValidationError) -> str:
    """The first fault of a validation error in one line; a misspelt key before a missing one."""
    faults = error.errors()
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    path, known = _walk(cls, fault["loc"])
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        return f"unknown key `{key}`{nearest(path[-1], known)}"
    if fault["type"] == "missing":
        return f"key `{key}` is missing"
    reason = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "literal_error":
        right = [word for word in str(fault["ctx"]["expected"]).split("'") if word.strip(" ,or")]
        reason += nearest(str(fault["input"]), right).replace("?", "")
    return f"key `{key}`: {reason} (got {fault['input']!r:.80})" if key else reason


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean ...?` with the nearest right name, or nothing."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean `{near[0]}`?" if near else ""


def _walk(cls: type[BaseModel], location: Sequence[str | int]) -> tuple[list[str], list[str]]:
    """The keys on the way to a fault, as the file has them, and those known at its place."""
    root = cls.model_json_schema()
    here: dict[str, Any] = root
    path: list[str] = []
    known: list[str] = []
    for part in map(str, location):
        here = root["$defs"][here["$ref"].rsplit("/", 1)[1]] if "$ref" in here else here
        tags = here.get("discriminator", {}).get("mapping", {})
        if part in tags:  # pydantic puts the tag of a union into the location
            here = {"$ref": tags[part]}
            continue
        known = list(here.get("properties", {}))
        path.append(part)
        inside = here.get("properties", {}).get(part) or here.get("additionalProperties") or {}
        here = inside if isinstance(inside, dict) else {}
        here = next((each for each in here.get("anyOf", []) if "$ref" in each), here)
    return path, known


def read_yaml(path: Path) -> Any:
    """A YAML file as data; raises `UserError` naming the file and the line."""
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not YAML ({getattr(error, 'problem', error)})") from None


def merged_yaml(paths: Sequence[Path]) -> dict[str, Any]:
    """Config files as one, later files on top, mapping by mapping, as Snakemake merges them."""
    data: dict[str, Any] = {}
    for path in paths:
        found = read_yaml(path)
        if not isinstance(found, dict):
            raise UserError(f"{path}: not a mapping of keys to values")
        data = _merge(data, found)
    return data


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merge(base[key], value)
        for key, value in over.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return base | over | both


def load_tasks(path: Path) -> dict[str, TaskSpec]:
    """The data sets of a tasks file by name; raises `UserError` naming the entry and the key."""
    entries = read_yaml(path)
    if not isinstance(entries, dict) or not all(
        isinstance(each, dict) for each in entries.values()
    ):
        raise UserError(f"{path}: data sets by name expected, each with its keys below it")
    return {name: _task(str(name), entry, f"{path}: {name}") for name, entry in entries.items()}


KINDS: dict[str, Kind] = {
    "single": "classification",
    "pair": "natural language inference",
    "similarity": "sentence similarity",
    "choice": "question answering",
}
"""What a data set is called in the report where its entry does not say."""


def _task(name: str, entry: dict[str, Any], where: str) -> TaskSpec:
    """An entry with its defaults, checked against itself."""
    files, split, form = entry.get("files"), entry.get("split"), entry.get("format")
    if isinstance(files, str):
        names = list(split) if isinstance(split, dict) else ["train"]
        files = dict.fromkeys(names, files)
    train = entry.get("train", "train")
    defaults: dict[str, Any] = {
        "title": name,
        "kind": KINDS.get(str(form), "classification"),
        "metrics": ["accuracy"] if entry.get("range") is None else ["pearson", "spearman"],
        "scored": {each: [each] for each in files or {} if each != train},
        "paper_split": "none",
        "home": "",
    }
    given = {**defaults, **entry, "name": name}
    if "files" in entry:
        given["files"] = files
    task = parse(TaskSpec, given, where)
    for key, fault in _faults(task):
        raise UserError(f"{where}: key `{key}`: {fault}")
    return task


TEXTS = {
    "single": ("text1",),
    "pair": ("text1", "text2"),
    "similarity": ("text1", "text2"),
    "choice": ("context", "question"),
}
"""The keys of `columns` that hold the texts of a format; a choice has its answers beside them."""


def _faults(task: TaskSpec) -> Iterable[tuple[str, str]]:
    """What is wrong between the keys of an entry: the key, and what is wrong with it."""
    if not re.fullmatch(r"[a-z0-9_]+", task.name):
        yield "name", f"`{task.name}`: small letters, digits and underscores only"
    yield from _label_faults(task)
    for layout in ("default", *task.layouts):
        above = "" if layout == "default" else f"layouts.{layout}."
        spec = task.in_layout(layout)
        for faults in (_label_map_faults, _column_faults, _split_faults):
            yield from ((f"{above}{key}", fault) for key, fault in faults(spec))
    yield from _hub_faults(task)
    two = len(task.labels or []) == 2
    allowed: tuple[str, ...] = ("accuracy", "macro_f1", *(("f1", "matthews") if two else ()))
    if task.format == "choice":
        allowed = ("accuracy",)
    elif task.range is not None:
        allowed = ("pearson", "spearman")
    for metric in task.metrics:
        if metric not in allowed:
            yield (
                "metrics",
                f"`{metric}` does not fit this data set; there is {', '.join(allowed)}",
            )


def _label_faults(task: TaskSpec) -> Iterable[tuple[str, str]]:
    labels = task.labels or []
    if task.format != "choice" and (task.labels is None) == (task.range is None):
        yield "labels", "give exactly one of `labels` (classes) and `range` (scores)"
    if task.labels is not None and len(labels) < 2:
        yield "labels", "two classes at least are expected"
    for name in labels:
        if labels.count(name) > 1:
            yield "labels", f"`{name}` is there twice"
    if task.range is not None:
        low, high = task.range
        if low >= high or low % 1 or high % 1:
            yield (
                "range",
                f"{low:g} to {high:g}: two whole numbers, the lower first, are expected (the"
                " score is predicted as a distribution over the whole numbers between them)",
            )


def _label_map_faults(task: TaskSpec) -> Iterable[tuple[str, str]]:
    labels = task.labels or []
    for name, label in task.label_map.items():
        if label not in labels:
            yield "label_map", f"`{name}: {label}`: no such class{nearest(label, labels)}"


def _column_faults(task: TaskSpec) -> Iterable[tuple[str, str]]:
    if task.parser not in ("tsv", "tsv_quoted", "csv", "jsonl"):
        return
    answers = [key for key in task.columns if re.fullmatch(r"answer\d+", key)]
    wanted = [*TEXTS[task.format], "label"]
    known = [*wanted, "id", *(["answers", *answers] if task.format == "choice" else [])]
    for key, column in task.columns.items():
        if key not in known:
            yield f"columns.{key}", f"unknown for the format {task.format}{nearest(key, known)}"
        if isinstance(column, int) and column < 0:
            yield f"columns.{key}", f"{column}: columns are counted from 0"
    for key in wanted:
        if key not in task.columns and key != "question":
            yield f"columns.{key}", f"is missing: the column with that part of a {task.format}"
    if task.format == "choice":
        if ("answers" in task.columns) == (len(answers) >= 2):
            yield (
                "columns",
                "give `answers` (a list in JSON), or a column each: `answer1`, `answer2`, ...",
            )
        if "answers" in task.columns and task.parser != "jsonl":
            yield "columns.answers", "a table has a column each: `answer1`, `answer2`, ..."


def _hub_faults(task: TaskSpec) -> Iterable[tuple[str, str]]:
    """A set that is fetched has every split, and every column that its format needs."""
    if task.hub is None:
        return
    for split in task.files:
        if split not in task.hub.splits:
            yield f"hub.splits.{split}", "is missing: its configuration/split on the hub"
    for split in task.hub.splits:
        if split not in task.files:
            yield f"hub.splits.{split}", f"no split of `files`{nearest(split, task.files)}"
    wanted = [*TEXTS[task.format], "label", *(["answers"] if task.format == "choice" else [])]
    for key in task.hub.columns:
        if key not in wanted:
            yield f"hub.columns.{key}", f"unknown here{nearest(key, wanted)}"
    for key in wanted:
        if key not in task.hub.columns:
            yield f"hub.columns.{key}", "is missing: the column's name on the hub"
    if task.hub.labels and task.labels and len(task.hub.labels) != len(task.labels):
        yield "hub.labels", f"{len(task.hub.labels)} names, {len(task.labels)} classes in `labels`"


def _split_faults(task: TaskSpec) -> Iterable[tuple[str, str]]:
    splits = list(task.files)
    if task.train not in splits:
        yield "train", f"`{task.train}` is no split of `files`{nearest(task.train, splits)}"
    for score, parts in task.scored.items():
        for part in parts:
            if part not in splits:
                yield f"scored.{score}", f"`{part}` is no split of `files`{nearest(part, splits)}"
    if not task.scored:
        yield "scored", "nothing to score: give a second split in `files`, or shares in `split`"
    for name in task.split:
        if name not in splits:
            yield f"split.{name}", f"no split of `files`{nearest(name, splits)}"
    if task.split:
        if sum(task.split.values()) > 1 + 1e-9:
            yield "split", f"the shares add up to {sum(task.split.values()):g}, 1 at most expected"
        if len({task.files.get(name) for name in task.split}) != 1:
            yield "split", "shares are of one file: give `files` as its name alone"


def load_experiments(path: Path) -> Experiments:
    """Variants and studies of `config/experiments.yaml`."""
    return parse(Experiments, read_yaml(path), str(path))


def schemas() -> dict[str, dict[str, Any]]:
    """JSON schemas by file name, as kept in `workflow/schemas/`.

    A model that is `like` another gives some keys only; what it makes together is checked when
    the file is read.
    """
    config = Config.model_json_schema()
    models = config["properties"]["models"]
    like = {"type": "object", "properties": {"like": {"type": "string"}}, "required": ["like"]}
    models["additionalProperties"] = {"anyOf": [models["additionalProperties"], like]}
    return {
        "config.schema.json": config,
        "task.schema.json": TaskSpec.model_json_schema(),
        "experiments.schema.json": Experiments.model_json_schema(),
    }
