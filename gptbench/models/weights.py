"""Building models, and their weights on disk: safetensors whose metadata says what made them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gptbench.artifacts import atomic
from gptbench.data.tokenizer import SPECIAL
from gptbench.errors import UserError
from gptbench.models.bert import Bert
from gptbench.models.encoder_decoder import EncoderDecoder
from gptbench.models.gpt2 import Gpt2
from gptbench.models.gpt3 import Gpt3
from gptbench.models.lstm import Lstm
from gptbench.models.rnn import Rnn
from gptbench.models.seq2seq import Seq2Seq
from gptbench.models.transformer import Transformer
from gptbench.settings import (
    Backbone,
    BertSettings,
    EncoderDecoderSettings,
    Gpt2Settings,
    Gpt3Settings,
    LstmSettings,
    RnnSettings,
    Seq2SeqSettings,
)

LanguageModel: TypeAlias = Transformer | Lstm | Rnn | Gpt2 | Gpt3 | Bert | Seq2Seq | EncoderDecoder
"""A model that can be pre-trained. Causal ones (`settings.causal`) are called with ids alone and
give all states; the others with ids and lengths, and give the state for the classifier."""
METADATA = "gptbench"
"""The one key of the file's metadata (several would be written in any order)."""


def build(backbone: Backbone, vocab_size: int, n_ctx: int) -> LanguageModel:
    """A model with fresh weights from torch's global random state."""
    if isinstance(backbone, LstmSettings):
        return Lstm(backbone, vocab_size, n_ctx)
    if isinstance(backbone, RnnSettings):
        return Rnn(backbone, vocab_size, n_ctx)
    if isinstance(backbone, Gpt2Settings):
        return Gpt2(backbone, vocab_size, n_ctx)
    if isinstance(backbone, Gpt3Settings):
        return Gpt3(backbone, vocab_size, n_ctx)
    if isinstance(backbone, BertSettings):
        return Bert(backbone, vocab_size, n_ctx)
    if isinstance(backbone, Seq2SeqSettings):
        return Seq2Seq(backbone, vocab_size, n_ctx)
    if isinstance(backbone, EncoderDecoderSettings):
        return EncoderDecoder(backbone, vocab_size, n_ctx)
    return Transformer(backbone, vocab_size, n_ctx)


@dataclass(frozen=True)
class Origin:
    """What made a file of weights: its metadata."""

    tokenizer_id: str
    vocab_size: int
    n_ctx: int
    backbone: Backbone
    run_id: str
    step: int

    def metadata(self) -> dict[str, str]:
        """What goes into the file, beside what the caller adds."""
        return {
            "tokenizer_id": self.tokenizer_id,
            "vocab_size": str(self.vocab_size),
            "n_ctx": str(self.n_ctx),
            "backbone": self.backbone.to_json(),
            "run_id": self.run_id,
            "step": str(self.step),
        }


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata whole or not at all; the same give the same bytes."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        save_file(kept, temporary, {METADATA: json.dumps(dict(metadata), sort_keys=True)})


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name and the metadata; raises `UserError` where the file is missing or broken."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; pre-train the model first")
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            found = json.loads((file.metadata() or {}).get(METADATA, "{}"))
            return {name: file.get_tensor(name) for name in names}, found
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: not readable weights ({error}); make them again") from None


def backbone_of(path: Path, found: Mapping[str, str]) -> Backbone:
    """The backbone of a file's metadata; raises `UserError` where it has none."""
    try:
        backbone: Backbone = TypeAdapter(Backbone).validate_json(found.get("backbone", ""))
    except ValidationError:
        raise UserError(f"{path}: not a model of gptbench; import or pre-train one") from None
    return backbone


def language_backbone(path: Path, found: Mapping[str, str]) -> Backbone:
    """The same, for what reads a text from left to right: `UserError` for other models too."""
    backbone = backbone_of(path, found)
    if not backbone.causal:
        raise UserError(
            f"{path}: a {backbone.kind}, no language model: a text has no probability from left to"
            " right; give a model whose tokens see only those before them"
        )
    return backbone


def check(path: Path, found: Mapping[str, str], tokenizer_id: str, backbone: Backbone) -> None:
    """Raises `UserError` unless a file's metadata name this tokenizer and these sizes.

    Dropout and initialisation may differ: they are no part of trained weights.
    """
    if found.get("tokenizer_id") != tokenizer_id:
        raise UserError(
            f"{path}: made with tokenizer {found.get('tokenizer_id')}, the task is encoded with"
            f" {tokenizer_id}; pre-train or encode again"
        )
    theirs, ours = json.loads(found.get("backbone", "{}")), json.loads(backbone.to_json())
    for key in sorted(theirs.keys() | ours.keys()):
        size = key in ("kind", "n_inner", "positions", "window") or key.startswith("n_")
        if size and theirs.get(key) != ours.get(key):
            raise UserError(
                f"{path}: its backbone has {key} {theirs.get(key)}, the settings say"
                f" {ours.get(key)}; pre-train again"
            )


def _transferred(name: str, layers: int | None) -> bool:
    """Whether a tensor is copied when `layers` blocks (None: everything) are."""
    block = re.match(r"blocks\.(\d+)\.", name)
    if layers is None or block is None:
        return layers is None or not name.startswith("ln_f.")  # what ends all blocks
    return int(block[1]) < layers


def load(
    path: Path,
    model: LanguageModel,
    transfer_layers: int | None = None,
    tokenizer_id: str | None = None,
) -> None:
    """Copy weights into `model`, which may have more token rows (those stay as they are).

    With `transfer_layers` n only the embeddings and the first n blocks are copied (released
    code). Raises `UserError` for another tokenizer, other sizes, or n given for a model
    that is no stack of blocks.
    """
    tensors, found = read(path)
    check(path, found, tokenizer_id or found.get("tokenizer_id", ""), model.settings)
    if transfer_layers is not None and not hasattr(model, "blocks"):
        raise UserError(
            f"{path}: backbone {model.settings.kind} is transferred whole, not {transfer_layers}"
            " layers of it; drop transfer_layers"
        )
    own = model.state_dict()
    if tensors.keys() != own.keys():
        raise UserError(f"{path}: not the tensors of this backbone; pre-train again")
    for name, tensor in tensors.items():
        if not _transferred(name, transfer_layers):
            continue
        target = own[name][: len(tensor)] if name in ("tokens", "positions") else own[name]
        if target.shape != tensor.shape:
            raise UserError(
                f"{path}: {name} is {list(tensor.shape)}, the settings need {list(own[name].shape)}"
            )
        target.copy_(tensor)


@torch.no_grad()
def new_token_rows(
    model: LanguageModel, std: float | Literal["match"], count: int = len(SPECIAL)
) -> None:
    """Draw the last `count` token rows anew from N(0, std), torch's global random state.

    `match` takes the standard deviation of the other rows, so that the new ones are neither
    invisible nor deafening beside trained embeddings.
    """
    old, new = model.tokens[:-count], model.tokens[-count:]
    new.normal_(0.0, float(old.std()) if std == "match" else std)
