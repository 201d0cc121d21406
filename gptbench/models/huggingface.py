"""A model as a folder that transformers reads, and the other way: OpenAIGPT, safetensors.

transformers itself is not needed: config, weights and tokenizer are written in its forms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gptbench.artifacts import atomic, read_json, write_json
from gptbench.data.tokenizer import ENCODER, END, SPECIAL, UNKNOWN, Tokenizer
from gptbench.errors import UserError
from gptbench.models.archive import CONFIG, SAFETENSORS
from gptbench.models.released import BLOCK, Shapes, is_linear, shapes
from gptbench.models.transformer import EPSILON
from gptbench.settings import TransformerSettings

SIZES = ("n_layer", "n_embd", "n_head", "n_positions", "vocab_size")
THEIRS = dict(
    zip(
        BLOCK, ("attn.c_attn", "attn.c_proj", "ln_1", "mlp.c_fc", "mlp.c_proj", "ln_2"), strict=True
    )
)
PREFIX = "transformer."
HEAD = "lm_head.weight"
VOCABULARY = ("vocab.json", "merges.txt")
_BUFFER = re.compile(r"h\.\d+\.attn\.bias|position_ids")  # masks, which older versions kept


def their_name(name: str) -> str:
    """What transformers calls one of our tensors, without `PREFIX`."""
    if name in ("tokens", "positions"):
        return f"{name}_embed.weight"
    _, number, rest = name.split(".", 2)
    layer, kind = rest.rsplit(".", 1)
    return f"h.{number}.{THEIRS[layer]}.{kind}"


# Reading. ------------------------------------------------------------------------------------


def read(folder: Path) -> tuple[dict[str, Tensor], TransformerSettings]:
    """Our tensors by name, float32, and the sizes of an OpenAIGPT folder.

    With a language-model head or without one. Raises `UserError` naming the file at fault.
    """
    config = _config(folder / CONFIG)
    stored = _stored(folder / SAFETENSORS)
    sizes = [config[key] for key in ("n_layer", "n_embd", "vocab_size", "n_positions")]
    layers, width, vocab, context = sizes
    tensors = _ours(folder / SAFETENSORS, stored, shapes(layers, width, 4 * width, vocab, context))
    backbone = TransformerSettings(
        kind="transformer",
        n_layer=layers,
        n_embd=width,
        n_head=config["n_head"],
        embd_dropout=config.get("embd_pdrop", 0.1),
        attn_dropout=config.get("attn_pdrop", 0.1),
        resid_dropout=config.get("resid_pdrop", 0.1),
        init_std=0.02,
        embd_std=0.02,
    )
    return tensors, backbone


def _config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    if not isinstance(config, dict) or config.get("model_type") != "openai-gpt":
        raise UserError(f"{path}: not an OpenAIGPT model (model_type); give a folder with one")
    for key in SIZES:
        if type(config.get(key)) is not int or config[key] < 1:
            raise UserError(f"{path}: {key} is {config.get(key)}, a number from 1 is needed")
    for key, ours in (("afn", "gelu"), ("layer_norm_epsilon", EPSILON)):
        if config.get(key, ours) != ours:
            raise UserError(f"{path}: {key} is {config[key]}; a GPT-1 has {ours}")
    return config


def _stored(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not readable weights ({error}); save the model again") from None
    named = {name.removeprefix(PREFIX): tensor for name, tensor in found.items()}
    return {name: tensor for name, tensor in named.items() if not _BUFFER.fullmatch(name)}


def _ours(path: Path, stored: dict[str, Tensor], wanted: Shapes) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    head = stored.pop(HEAD, None)
    for name, shape in wanted.items():
        theirs = their_name(name)
        if theirs not in stored:
            raise UserError(f"{path}: the tensor {theirs} is missing; save the model again")
        tensor = stored.pop(theirs)
        expected = tuple(reversed(shape)) if is_linear(name) else shape
        if tensor.shape != expected:
            raise UserError(
                f"{path}: {theirs} is {list(tensor.shape)}, {CONFIG} asks for {list(expected)};"
                " save the model again"
            )
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise UserError(f"{path}: {theirs} is {tensor.dtype}; save the model in float32")
        tensor = tensor.float()
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {theirs} holds NaN or infinity; take another checkpoint")
        tensors[name] = (tensor.t() if is_linear(name) else tensor).contiguous()
    if stored:
        raise UserError(
            f"{path}: {next(iter(stored))} is no tensor of a language model of {CONFIG}'s size;"
            " save an OpenAIGPTLMHeadModel"
        )
    if head is not None and not torch.equal(head.float(), tensors["tokens"]):
        raise UserError(
            f"{path}: {HEAD} is not tied to the embedding; the paper's softmax is, so train it so"
        )
    return tensors


def tokenizer_json(path: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`; raises `UserError` where it is none of this kind."""
    found = read_json(path)
    try:
        model = found["model"]
        merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        return Tokenizer(model["vocab"], [(left, right) for left, right in merges])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: no BPE tokenizer; give --tokenizer") from None
    except UserError as error:
        raise UserError(f"{path}: {error}; give --tokenizer") from None


# Writing. ------------------------------------------------------------------------------------


def write_model(
    folder: Path,
    tensors: Mapping[str, Tensor],
    backbone: TransformerSettings,
    labels: Sequence[str] | None = None,
) -> None:
    """Weights and config: a language model, or a classifier where `labels` are given.

    For a classifier `tensors` has `score.weight` [classes, width] too.
    """
    stored = {}
    for name, tensor in tensors.items():
        stored_name = name if name.startswith("score.") else PREFIX + their_name(name)
        turned = tensor.t() if is_linear(name) and not name.startswith("score.") else tensor
        stored[stored_name] = turned.detach().cpu().contiguous()
    (folder / CONFIG).unlink(missing_ok=True)
    with atomic(folder / SAFETENSORS) as temporary:
        save_file(stored, temporary, {"format": "pt"})
    config: dict[str, Any] = {
        "architectures": [
            "OpenAIGPTForSequenceClassification" if labels else "OpenAIGPTLMHeadModel"
        ],
        "model_type": "openai-gpt",
        "vocab_size": len(tensors["tokens"]),
        "n_positions": len(tensors["positions"]),
        "n_embd": backbone.n_embd,
        "n_layer": backbone.n_layer,
        "n_head": backbone.n_head,
        "afn": "gelu",
        "layer_norm_epsilon": EPSILON,
        "embd_pdrop": backbone.embd_dropout,
        "attn_pdrop": backbone.attn_dropout,
        "resid_pdrop": backbone.resid_dropout,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }
    if labels:
        # The last token that is not padding decides. That is always the classify token, so id 0
        # may well occur in a text.
        config |= {
            "id2label": {str(i): label for i, label in enumerate(labels)},
            "label2id": {label: i for i, label in enumerate(labels)},
            "pad_token_id": 0,
            "problem_type": "single_label_classification",
        }
    write_json(folder / CONFIG, config)


def fold_bias(norm_bias: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The last LayerNorm's bias [width] that does what the classifier's bias [classes] did.

    W (h + d) = W h + b where W d = b: the shortest such d is added, in double precision. Raises
    `UserError` where there is none, the rows of W [classes, width] depending on each other.
    """
    w, b = weight.double(), bias.double()
    d = torch.linalg.lstsq(w, b[:, None], driver="gelsd").solution[:, 0]
    folded: Tensor = (norm_bias.double() + d).float()
    off = float((w @ (folded.double() - norm_bias.double()) - b).abs().max())
    if off > 1e-6 * max(1.0, float(b.abs().max())):
        raise UserError(
            "the classifier's bias cannot be folded into the last LayerNorm (its rows depend on"
            f" each other; off by {off:.1g}), and transformers' classifier has none"
        )
    return folded


def write_tokenizer(folder: Path, tokenizer: Tokenizer, n_ctx: int, special: bool) -> None:
    """transformers' OpenAIGPT tokenizer: vocab.json, merges.txt, tokenizer.json and its config.

    With `special` the three tokens of fine-tuning are added and put around the texts: `start text
    classify`, `start text delimiter text classify` (figure 1).
    """
    from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers import Tokenizer as Library

    tokenizer.save(folder)
    (folder / ENCODER).replace(folder / VOCABULARY[0])
    library: Any = Library(
        models.BPE(
            vocab=tokenizer.encoder,
            merges=tokenizer.merges,
            continuing_subword_prefix="",
            end_of_word_suffix=END,
            unk_token=UNKNOWN,
        )
    )
    library.normalizer = normalizers.BertNormalizer(lowercase=True)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.BPEDecoder(suffix=END)
    library.add_special_tokens([AddedToken(UNKNOWN, normalized=False)])
    config: dict[str, Any] = {
        "tokenizer_class": "OpenAIGPTTokenizer",
        "unk_token": UNKNOWN,
        "model_max_length": n_ctx,
    }
    if special:
        start, delimiter, classify = SPECIAL
        library.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
        library.post_processor = processors.TemplateProcessing(
            single=f"{start} $A {classify}",
            pair=f"{start} $A {delimiter} $B:0 {classify}",
            special_tokens=[(token, tokenizer.vocab_size + i) for i, token in enumerate(SPECIAL)],
        )
        config["pad_token"] = UNKNOWN
    with atomic(folder / "tokenizer.json") as temporary:
        library.save(str(temporary))
    write_json(folder / "tokenizer_config.json", config)
