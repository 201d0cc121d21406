"""The files that weights from elsewhere come in; light to import, for the workflow's plan."""

from __future__ import annotations

from pathlib import Path

from gptbench.errors import UserError

HOME = "https://github.com/openai/finetune-transformer-lm"
"""Where the released weights are: in the folder `model/` of this repository."""
SHAPES = "params_shapes.json"
PARTS = tuple(f"params_{n}.npy" for n in range(10))
VOCABULARY = ("encoder_bpe_40000.json", "vocab_40000.bpe")
"""The released vocabulary and merges."""
CONFIG = "config.json"
SAFETENSORS = "model.safetensors"


def is_transformers(folder: Path) -> bool:
    """Whether the folder is one that transformers wrote, not the released archive."""
    return (folder / CONFIG).is_file()


def weight_files(folder: Path) -> list[Path]:
    """The files of a folder of weights; raises `UserError` for the first that is missing."""
    names: tuple[str, ...]
    if is_transformers(folder):
        names, mend = (CONFIG, SAFETENSORS), "save the model with transformers' save_pretrained"
    else:
        names, mend = (SHAPES, *PARTS), f"fetch it from the folder model/ of {HOME}"
    for name in names:
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: no such file; {mend}")
    return [folder / name for name in names]
