"""Encoded tasks on disk: token sequences in one npz file, written by the stage `encode`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gptbench.artifacts import MANIFEST, atomic, file_digest, read_json
from gptbench.errors import UserError

EXAMPLES = "examples.npz"
ZEROSHOT = "zeroshot.npz"
_FIELDS = ("tokens", "offsets", "labels", "index")

Array = npt.NDArray[Any]


@dataclass
class Encoded:
    """One split of one task.

    Attributes
    ----------
    tokens : int32, all sequences one after another.
    offsets : int64 [n * per_example + 1], where each sequence starts, and the end.
    per_example : 1, 2 (both orders of a pair) or the number of answers.
    labels : int64 [n], or float32 for a regression.
    index : int64 [n], row number in the original split.
    scored_from : int64 [n * per_example] for zero-shot inputs: the first position of each
        sequence whose token is scored (at least 1: nothing predicts the first token); where it
        equals the sequence's length nothing is scored.
    """

    tokens: Array
    offsets: Array
    per_example: int
    labels: Array
    index: Array
    scored_from: Array | None = None

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.labels)

    def sequence(self, i: int, k: int = 0) -> Array:
        """The tokens of example `i`, sequence `k` of its `per_example`."""
        row = i * self.per_example + k
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    def lengths(self) -> Array:
        """int64 [n, per_example]: tokens of each sequence."""
        return np.diff(self.offsets).reshape(-1, self.per_example)

    def take(self, rows: Array) -> Encoded:
        """The examples `rows` [m], in that order."""
        sequences = (
            np.asarray(rows)[:, None] * self.per_example + np.arange(self.per_example)
        ).ravel()
        parts = [self.tokens[self.offsets[i] : self.offsets[i + 1]] for i in sequences]
        ends = np.cumsum([0, *map(len, parts)]).astype(self.offsets.dtype)
        scored = None if self.scored_from is None else self.scored_from[sequences]
        tokens = np.concatenate(parts) if parts else self.tokens[:0]
        return Encoded(tokens, ends, self.per_example, self.labels[rows], self.index[rows], scored)

    def check(self, where: str) -> None:
        """Raises `UserError` where the arrays do not fit each other."""
        n, each = len(self.labels), self.per_example
        fits = (
            each >= 1
            and len(self.offsets) == n * each + 1
            and len(self.index) == n
            and int(self.offsets[0]) == 0
            and int(self.offsets[-1]) == len(self.tokens)
            and (self.scored_from is None or len(self.scored_from) == n * each)
        )
        if not fits:
            raise UserError(f"{where}: the arrays do not fit each other; encode the task again")


@dataclass
class EncodedTask:
    """All encoded splits of one task, with the tokenizer that they came from."""

    name: str
    vocab_size: int
    tokenizer_id: str
    splits: dict[str, Encoded]

    @classmethod
    def load(cls, folder: Path, zeroshot: bool = False) -> EncodedTask:
        """Read `examples.npz`, or `zeroshot.npz`, of a folder written by the stage `encode`.

        Raises `UserError` where it is missing or its checksum is not the manifest's.
        """
        path = folder / (ZEROSHOT if zeroshot else EXAMPLES)
        files = read_json(folder / MANIFEST).get("files", {})
        if path.name not in files:
            what = "zero-shot inputs" if zeroshot else "inputs for fine-tuning"
            raise UserError(f"{folder}: the task has no {what}; it has {', '.join(files)}")
        if file_digest(path) != files[path.name]:
            raise UserError(
                f"{path}: the checksum differs from {folder / MANIFEST};"
                f" delete {folder} and encode the task again"
            )
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls._from(dict(stored), str(path))
        except (zipfile.BadZipFile, ValueError, KeyError, IndexError):
            raise UserError(f"{path}: not an encoded task; encode the task again") from None

    @classmethod
    def _from(cls, stored: dict[str, Array], where: str) -> EncodedTask:
        splits = {}
        for split in map(str, stored["splits"]):
            splits[split] = Encoded(
                **{key: stored[f"{split}.{key}"] for key in _FIELDS},
                per_example=int(stored[f"{split}.per_example"]),
                scored_from=stored.get(f"{split}.scored_from"),
            )
            splits[split].check(f"{where}, {split}")
        return cls(
            str(stored["name"]), int(stored["vocab_size"]), str(stored["tokenizer_id"]), splits
        )

    def save(self, path: Path) -> None:
        """Write an npz file whole or not at all; the same task gives the same bytes."""
        arrays: dict[str, Any] = {
            "name": np.asarray(self.name),
            "vocab_size": np.asarray(self.vocab_size, np.int64),
            "tokenizer_id": np.asarray(self.tokenizer_id),
            "splits": np.asarray(list(self.splits)),
        }
        for split, encoded in self.splits.items():
            for key in _FIELDS:
                arrays[f"{split}.{key}"] = getattr(encoded, key)
            arrays[f"{split}.per_example"] = np.asarray(encoded.per_example, np.int64)
            if encoded.scored_from is not None:
                arrays[f"{split}.scored_from"] = encoded.scored_from
        with atomic(path) as temporary, temporary.open("wb") as file:
            _savez(file, arrays)


def _savez(file: Any, arrays: Mapping[str, Any]) -> None:
    """`numpy.savez` (its time stamps are constant)."""
    np.savez(file, **arrays)
