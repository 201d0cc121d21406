"""Perplexity of a pre-trained model on a text, by windows that slide over its tokens.

Window k holds the tokens [k stride, k stride + context). A token is scored once, in the first
window that has it, given all before it there: at least context - stride tokens, once the text is
that far. Nothing predicts the first token of the text, so it is not scored: it adds no nats and is
not among the `tokens` that the mean is over. Words (between white space) and bytes are those of the
whole file as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gptbench.data.corpus import encoded_blocks
from gptbench.data.tokenizer import Tokenizer
from gptbench.device import prepare
from gptbench.errors import UserError
from gptbench.models.archive import SAFETENSORS
from gptbench.models.exchange import find_tokenizer
from gptbench.models.heads import token_losses
from gptbench.models.weights import LanguageModel, build, language_backbone, read

BATCH_TOKENS = 4096
"""Tokens of the windows that go through the model at once."""

Window = tuple[list[int], int]


class Text:
    """A file as windows of ids; `words` and `bytes` are counted as it is read.

    Memory is bounded by a block of the file, whatever its size.
    """

    def __init__(self, path: Path, tokenizer: Tokenizer) -> None:
        self.path, self.tokenizer = path, tokenizer
        self.words = self.bytes = 0

    def _blocks(self) -> Iterator[list[int]]:
        for block in encoded_blocks(self.path, self.tokenizer):
            self.words += block.words
            self.bytes += block.bytes
            yield block.ids

    def windows(self, context: int, stride: int) -> Iterator[Window]:
        """(ids, place of the first that is scored) of each window; all but the last are full."""
        held: list[int] = []
        scored = 1
        for ids in self._blocks():
            held += ids
            start = 0
            while len(held) - start >= context:
                yield held[start : start + context], scored
                start, scored = start + stride, context - stride
            del held[:start]
        if len(held) > scored:
            yield held, scored


@torch.inference_mode()
def negative_log_likelihood(
    model: LanguageModel, windows: Iterator[Window], place: torch.device, size: int
) -> tuple[float, int]:
    """Nats of all scored tokens, and how many those are; `size` windows at once."""
    model.eval()
    total, count = 0.0, 0
    batch: list[Window] = []

    def flush() -> None:
        nonlocal total, count
        longest = max(len(ids) for ids, _ in batch)
        padded = torch.zeros(len(batch), longest, dtype=torch.int64)
        scored = torch.zeros(len(batch), longest, dtype=torch.bool)
        for row, (ids, first) in enumerate(batch):
            padded[row, : len(ids)] = torch.tensor(ids)
            scored[row, first : len(ids)] = True
        padded, scored = padded.to(place), scored[:, 1:].to(place)
        hidden, table = model(padded[:, :-1])
        losses = token_losses(hidden[scored], table, padded[:, 1:][scored])
        total += float(losses.double().sum())
        count += len(losses)
        batch.clear()

    for window in windows:
        batch.append(window)
        if len(batch) == size:
            flush()
    if batch:
        flush()
    return total, count


@dataclass
class Loaded:
    """A pre-trained language model on its device, in float32."""

    model: LanguageModel
    tokenizer: Tokenizer
    context: int
    place: torch.device

    @classmethod
    def read(cls, folder: Path, tokenizer: Path | None = None) -> Loaded:
        """Raises `UserError` for a folder without a language model or without its tokenizer."""
        path = folder / SAFETENSORS
        tensors, found = read(path)
        if "task" in found:
            raise UserError(
                f"{folder}: fine-tuned on {found['task']}; give the folder of a pre-trained model"
            )
        backbone, context = language_backbone(path, found), int(found["n_ctx"])
        bpe = find_tokenizer(folder, found["tokenizer_id"], tokenizer)
        device = prepare(torch.get_num_threads())
        torch.set_float32_matmul_precision("highest")
        model = build(backbone, int(found["vocab_size"]), context)
        model.load_state_dict(tensors)
        return cls(model.to(device.place).eval(), bpe, context, device.place)


def measure(
    folder: Path, text: Path, stride: int | None = None, tokenizer: Path | None = None
) -> dict[str, Any]:
    """The JSON object of `gptbench perplexity`; in float32, whatever the machine.

    `folder` is a pre-trained or imported model's. Raises `UserError` for what is missing, a stride
    that leaves a token without context, or a text of fewer than two tokens.
    """
    loaded = Loaded.read(folder, tokenizer)
    context = loaded.context
    stride = context // 2 if stride is None else stride
    if not 1 <= stride < context:
        raise UserError(f"--stride {stride}: give 1 to {context - 1} (the context is {context})")
    source = Text(text, loaded.tokenizer)
    windows = source.windows(context, stride)
    size = max(1, BATCH_TOKENS // context)
    nats, tokens = negative_log_likelihood(loaded.model, windows, loaded.place, size)
    if not tokens:
        raise UserError(f"{text}: fewer than two tokens; there is nothing to predict")
    mean = nats / tokens
    return {
        "nats_per_token": mean,
        "bits_per_token": mean / math.log(2),
        "nats_per_word": nats / source.words,
        "bits_per_word": nats / math.log(2) / source.words,
        "nats_per_byte": nats / source.bytes,
        "bits_per_byte": nats / math.log(2) / source.bytes,
        "perplexity": math.exp(mean),
        "tokens": tokens,
        "words": source.words,
        "bytes": source.bytes,
        "context": context,
        "stride": stride,
    }
