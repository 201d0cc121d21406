"""The layout of the released weights: ten flat .npy files, cut by params_shapes.json.

Joined, they are the positions, the tokens and, block by block, weight and bias of the layers in
`BLOCK`. The weight of a linear layer is stored [1, in, out], a transpose of ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gptbench.artifacts import atomic, read_json, write_json
from gptbench.errors import UserError
from gptbench.models.archive import HOME, PARTS, SHAPES, weight_files

Array = npt.NDArray[Any]
Shapes = dict[str, tuple[int, ...]]
BLOCK = ("attn.qkv", "attn.proj", "ln_1", "mlp.fc", "mlp.proj", "ln_2")
"""A block's layers, each with a weight and a bias, in the order of the archive."""


def shapes(layers: int, width: int, inner: int, vocab: int, context: int) -> Shapes:
    """Our tensors' shapes by name, in the order of the archive."""
    linear = {
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "mlp.fc": (inner, width),
        "mlp.proj": (width, inner),
    }
    out: Shapes = {"positions": (context, width), "tokens": (vocab, width)}
    for i in range(layers):
        for name in BLOCK:
            weight = linear.get(name, (width,))
            out[f"blocks.{i}.{name}.weight"], out[f"blocks.{i}.{name}.bias"] = weight, weight[:1]
    return out


def is_linear(name: str) -> bool:
    """Whether a tensor is the weight of a linear layer, which other layouts have transposed."""
    return name.endswith(".weight") and ".ln_" not in name


def _stored(name: str, shape: tuple[int, ...]) -> list[int]:
    return [1, *reversed(shape)] if is_linear(name) else list(shape)


def read(folder: Path) -> dict[str, Tensor]:
    """Our tensors by name, float32; raises `UserError` naming the file at fault."""
    weight_files(folder)
    wanted = _wanted(folder / SHAPES)
    flat = np.concatenate([_part(folder / name) for name in PARTS])
    total = sum(math.prod(shape) for shape in wanted.values())
    if len(flat) != total:
        raise UserError(
            f"{folder}: {PARTS[0]} to {PARTS[-1]} hold {len(flat):,} numbers, {SHAPES} asks for"
            f" {total:,}; fetch the folder again from {HOME}"
        )
    tensors, start = {}, 0
    for name, shape in wanted.items():
        size = math.prod(shape)
        tensor = torch.from_numpy(flat[start : start + size])
        tensor = tensor.view(*reversed(shape)).t() if is_linear(name) else tensor.view(shape)
        tensors[name] = tensor.contiguous()
        start += size
    return tensors


def _wanted(path: Path) -> Shapes:
    """The shapes that params_shapes.json means, once it is known to be this layout."""
    found = read_json(path)
    try:
        (context, width), (vocab, _), inner = found[0], found[1], found[8][2]
        wanted = shapes((len(found) - 2) // 12, width, inner, vocab, context)
    except (TypeError, ValueError, IndexError, KeyError):
        raise UserError(
            f"{path}: not the shapes of a GPT-1; fetch the file from the folder model/ of {HOME}"
        ) from None
    if len(found) != len(wanted):
        raise UserError(
            f"{path}: {len(found)} shapes, but 2 and 12 for each block are needed; fetch the file"
            f" from the folder model/ of {HOME}"
        )
    for entry, (name, shape) in zip(found, wanted.items(), strict=True):
        if entry != _stored(name, shape):
            raise UserError(
                f"{path}: {entry} for {name}, expected {_stored(name, shape)}; fetch the file"
                f" from the folder model/ of {HOME}"
            )
    return wanted


def _part(path: Path) -> Array:
    try:
        part: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a .npy file ({error}); fetch it from {HOME}") from None
    if part.ndim != 1:
        raise UserError(f"{path}: shape {list(part.shape)}, a flat array is needed; see {HOME}")
    if part.dtype != np.float32:
        raise UserError(f"{path}: {part.dtype} numbers, float32 is needed; see {HOME}")
    if not np.isfinite(part).all():
        raise UserError(f"{path}: holds NaN or infinity; fetch it from {HOME}")
    return part


def write(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write our tensors in the released layout, each file whole or not at all."""
    inner, width = tensors["blocks.0.mlp.fc.weight"].shape
    layers = (len(tensors) - 2) // 12
    wanted = shapes(layers, width, inner, len(tensors["tokens"]), len(tensors["positions"]))
    flat = [
        (tensors[name].t() if is_linear(name) else tensors[name]).reshape(-1).numpy()
        for name in wanted
    ]
    for name, part in zip(PARTS, np.array_split(np.concatenate(flat), len(PARTS)), strict=True):
        with atomic(folder / name) as temporary, temporary.open("wb") as file:
            np.save(file, part)
    write_json(folder / SHAPES, [_stored(name, shape) for name, shape in wanted.items()])
