"""Weights in and out: `gptbench weights import` and `export`, and model folders as a whole.

An imported model's folder has the form of a pre-trained one (`model.safetensors`, `metrics.json`,
`manifest.json`) and its `tokenizer/` beside them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from gptbench.artifacts import MANIFEST, Run, digest, file_digest, read_json, write_json, write_text
from gptbench.data.tokenizer import ENCODER, MERGES, Tokenizer, read_files
from gptbench.errors import UserError
from gptbench.models import archive, card, huggingface, released
from gptbench.models.archive import HOME, SAFETENSORS
from gptbench.models.weights import Origin, backbone_of, read, save
from gptbench.settings import ImportJob, TaskSpec, TransformerSettings

HEAD_SIZE = 64
"""Width of a head of the released model: its archive does not say how many heads there are."""
TOKENIZER = "tokenizer"
_PAIRS = ((ENCODER, MERGES), archive.VOCABULARY, huggingface.VOCABULARY)


# The tokenizer of a model. -------------------------------------------------------------------


def find_tokenizer(folder: Path, tokenizer_id: str, given: Path | None = None) -> Tokenizer:
    """The tokenizer that a model was made with.

    `given`, or `tokenizer/` in the model's folder or in one of those above it, as
    `results/<scale>/` has it. Raises `UserError` where none has the id of the model's metadata.
    """
    above = folder.resolve().parents[:4]
    places = [given] if given else [folder / TOKENIZER, *(place / TOKENIZER for place in above)]
    for place in places:
        if not given and not (place / ENCODER).is_file():
            continue
        tokenizer = Tokenizer.load(place)
        if tokenizer.id == tokenizer_id:
            return tokenizer
        if given:
            raise UserError(
                f"{given}: tokenizer {tokenizer.id}, but {folder} was made with {tokenizer_id};"
                " give the folder of that one"
            )
    raise UserError(f"{folder}: its tokenizer {tokenizer_id} is not beside it; give --tokenizer")


def _tokenizer_of(path: Path, given: Path | None) -> Tokenizer:
    """The tokenizer that comes with weights from elsewhere."""
    folder = given or path
    for vocab, merges in _PAIRS:
        if (folder / vocab).is_file() and (folder / merges).is_file():
            return read_files(folder / vocab, folder / merges)
    if (folder / "tokenizer.json").is_file():
        return huggingface.tokenizer_json(folder / "tokenizer.json")
    raise UserError(
        f"{folder}: no vocabulary and merges ({', '.join(archive.VOCABULARY)} of {HOME});"
        " put them there, or give --tokenizer DIR"
    )


# In. -----------------------------------------------------------------------------------------


def import_weights(
    path: Path,
    out: Path,
    tokenizer: Path | None = None,
    job: ImportJob | None = None,
    heads: int | None = None,
) -> None:
    """Read the released archive or a transformers folder into `out`, a pre-trained model's folder.

    Without a job sizes are those found (heads of 64 states where only `heads` could tell); with
    one they must be its own, and positions beyond its `n_ctx` are left out. Raises `UserError`.
    """
    start = time.perf_counter()
    files = archive.weight_files(path)
    bpe = _tokenizer_of(path, tokenizer)
    if archive.is_transformers(path):
        tensors, backbone = huggingface.read(path)
        _same(path, "n_head", backbone.n_head, heads or backbone.n_head)
    else:
        tensors = released.read(path)
        backbone = _sizes(path, tensors, job.backbone.n_head if job else heads)
    if len(tensors["tokens"]) != bpe.vocab_size:
        raise UserError(
            f"{path}: {len(tensors['tokens']):,} token rows, the tokenizer has"
            f" {bpe.vocab_size:,} symbols; give the tokenizer of these weights"
        )
    if job is None:
        n_ctx = len(tensors["positions"])
        job = ImportJob(model="transformer", backbone=backbone, n_ctx=n_ctx, seed=0)
    _fit(path, tensors, backbone, job)
    source = {"weights": digest(*(f"{file.name} {file_digest(file)}" for file in files))}
    run = Run("import", job, {**source, "tokenizer": bpe.id})
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    origin = Origin(bpe.id, bpe.vocab_size, job.n_ctx, job.backbone, run.id, 0)
    save(out / SAFETENSORS, tensors, origin.metadata())
    bpe.save(out / TOKENIZER)
    layout = "transformers" if archive.is_transformers(path) else "released"
    parameters = sum(tensor.numel() for tensor in tensors.values())
    unknown = dict.fromkeys(("steps", "tokens", "validation_loss", "perplexity"))
    seconds = round(time.perf_counter() - start, 3)
    metrics = {
        "model": job.model,
        "seed": job.seed,
        "run_id": run.id,
        "parameters": parameters,
        "imported": layout,
        "cost": {"seconds": seconds, "tokens_per_second": None},
        **unknown,
    }
    write_json(out / "metrics.json", metrics)
    run.finish(out, imported=layout, tokenizer_id=bpe.id)
    print(f"import: {job.model}, {parameters:,} parameters ({layout} layout)", flush=True)


def _sizes(path: Path, tensors: dict[str, Tensor], heads: int | None) -> TransformerSettings:
    """The backbone of tensors in the released layout; dropouts are the paper's."""
    inner, width = tensors["blocks.0.mlp.fc.weight"].shape
    if width % (heads or HEAD_SIZE):
        raise UserError(
            f"{path}: width {width} is not a multiple of {heads or HEAD_SIZE}; give --heads"
        )
    return TransformerSettings(
        kind="transformer",
        n_layer=(len(tensors) - 2) // 12,
        n_embd=width,
        n_head=heads or width // HEAD_SIZE,
        n_inner=None if inner == 4 * width else inner,
        embd_dropout=0.1,
        attn_dropout=0.1,
        resid_dropout=0.1,
        init_std=0.02,
        embd_std=0.02,
    )


def _fit(
    path: Path, tensors: dict[str, Tensor], found: TransformerSettings, job: ImportJob
) -> None:
    """Check the sizes against the job's and cut the positions to its context."""
    wanted = job.backbone
    for key in ("n_layer", "n_embd", "n_head"):
        _same(path, key, getattr(found, key), getattr(wanted, key))
    inner = [each.n_inner or 4 * each.n_embd for each in (found, wanted)]
    _same(path, "n_inner", *inner)
    if len(tensors["positions"]) < job.n_ctx:
        _same(path, "n_ctx", len(tensors["positions"]), job.n_ctx)
    tensors["positions"] = tensors["positions"][: job.n_ctx]


def _same(path: Path, key: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise UserError(
            f"{path}: these weights have {key} {found}, the settings say {wanted};"
            " mend the settings"
        )


# Out. ----------------------------------------------------------------------------------------


@dataclass
class Kept:
    """A model's folder, read: tensors, the metadata of its file, manifest and metrics."""

    folder: Path
    tensors: dict[str, Tensor]
    found: dict[str, str]
    manifest: dict[str, Any]
    metrics: dict[str, Any]
    backbone: TransformerSettings

    @classmethod
    def read(cls, folder: Path) -> Kept:
        """Read a folder; raises `UserError` where a file is missing or it is no transformer."""
        tensors, found = read(folder / SAFETENSORS)
        backbone = backbone_of(folder / SAFETENSORS, found)
        if not isinstance(backbone, TransformerSettings):
            raise UserError(f"{folder}: backbone {backbone.kind}, for which no other layout exists")
        if backbone.positions == "none":  # the same model: positions that add nothing
            shape = int(found["n_ctx"]), backbone.n_embd
            tensors["positions"] = torch.zeros(shape)
        manifest, metrics = (read_json(folder / name) for name in (MANIFEST, "metrics.json"))
        return cls(folder, tensors, found, manifest, metrics, backbone)

    @property
    def task(self) -> TaskSpec | None:
        """The task of a fine-tuned model."""
        if "task" not in self.found:
            return None
        return TaskSpec.model_validate(self.manifest["settings"]["task"])


def export_weights(
    folder: Path, out: Path, form: Literal["hf", "released"], tokenizer: Path | None = None
) -> None:
    """Write the model of `folder` to `out` for transformers (`hf`), or in the released layout.

    A pre-trained model, or for transformers a classifier of a task that is one sequence. Raises
    `UserError` with the reason for what the form cannot hold.
    """
    if out.resolve() == folder.resolve():
        raise UserError(f"{out}: the model's own folder; give another --out")
    kept = Kept.read(folder)
    bpe = find_tokenizer(folder, kept.found["tokenizer_id"], tokenizer)
    if form == "released":
        _export_released(kept, bpe, out)
    else:
        _export_transformers(kept, bpe, out)
    print(f"export: {folder} to {out} ({form})", flush=True)


def _export_released(kept: Kept, bpe: Tokenizer, out: Path) -> None:
    if kept.task:
        raise UserError(
            f"{kept.folder}: fine-tuned on {kept.task.name}; the released layout holds a language"
            " model only"
        )
    released.write(out, kept.tensors)
    bpe.save(out)
    for ours, theirs in zip((ENCODER, MERGES), archive.VOCABULARY, strict=True):
        (out / ours).replace(out / theirs)


def _export_transformers(kept: Kept, bpe: Tokenizer, out: Path) -> None:
    backbone, task, tensors = kept.backbone, kept.task, kept.tensors
    if backbone.n_inner not in (None, 4 * backbone.n_embd):
        raise UserError(
            f"{kept.folder}: {backbone.n_inner} inner states; OpenAIGPT has 4 x n_embd"
            f" = {4 * backbone.n_embd} always"
        )
    labels: list[str] | None = None
    if task:
        labels = _labels(kept.folder, task)
        tensors = _classifier(tensors, f"blocks.{backbone.n_layer - 1}.ln_2.bias")
    huggingface.write_tokenizer(out, bpe, int(kept.found["n_ctx"]), special=task is not None)
    text = card.text(kept.manifest, kept.metrics, task, _synthetic(kept.folder))
    write_text(out / "README.md", text)
    huggingface.write_model(out, tensors, backbone, labels)


def _labels(folder: Path, task: TaskSpec) -> list[str]:
    """A task's classes by name; raises `UserError` where one sequence does not decide it."""
    why = {
        "similarity": "adds the states of both orders of a pair",
        "choice": "compares one sequence an answer",
    }.get(task.format)
    if why:
        raise UserError(
            f"{folder}: {task.name} {why}; OpenAIGPTForSequenceClassification reads one sequence"
        )
    if task.range:
        return [str(value) for value in range(int(task.range[0]), int(task.range[1]) + 1)]
    return list(task.labels or [])


def _classifier(tensors: dict[str, Tensor], last_bias: str) -> dict[str, Tensor]:
    """The tensors of a fine-tuned model without its classifier's bias (`huggingface.fold_bias`)."""
    head = "classifier.linear."
    backbone = {
        name.removeprefix("backbone."): tensor
        for name, tensor in tensors.items()
        if not name.startswith(head)
    }
    weight, bias = tensors[head + "weight"], tensors[head + "bias"]
    folded = huggingface.fold_bias(backbone[last_bias], weight, bias)
    return {**backbone, last_bias: folded, "score.weight": weight}


def _synthetic(folder: Path) -> bool:
    """Whether the results that a model lies in are the embedded world's."""
    return any((p / "world" / "world.json").is_file() for p in folder.resolve().parents[:4])
