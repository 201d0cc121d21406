"""Where a job computes: a leased GPU if there is one, else the CPU; and in what precision."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import torch

_KEPT_BYTES = 1 << 29
_LEASES: dict[int, IO[str]] = {}
"""Lock files of GPUs that this process holds; closed when it ends."""


@dataclass(frozen=True)
class Device:
    """A device for one job.

    `kind` and `index` as torch counts them; `precision` is what matrix products run in, for
    the manifest; `name` is the GPU's name or `cpu`.
    """

    name: str
    kind: Literal["cpu", "cuda"]
    precision: str
    index: int = 0

    @property
    def place(self) -> torch.device:
        """The device that tensors go to."""
        return torch.device(self.kind, self.index) if self.kind == "cuda" else torch.device("cpu")

    def trainer(self) -> dict[str, Any]:
        """The arguments of a Lightning Trainer."""
        if self.kind == "cuda":
            return {"accelerator": "gpu", "devices": [self.index], "precision": "bf16-mixed"}
        return {"accelerator": "cpu", "devices": 1, "precision": "32-true"}

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of the same precision outside a Trainer."""
        return torch.autocast(self.kind, torch.bfloat16, enabled=self.kind == "cuda")


def prepare(threads: int) -> Device:
    """Set this process's threads and precision and choose a device.

    On a CPU, matrix products use bfloat16 inside float32 only where AMX does them in hardware;
    anywhere else that would be slower. GPUs are leased one job each: the call waits for one.
    """
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        # By what a card is, not by its number: a cluster shows each job its own as number 0.
        cards = range(torch.cuda.device_count())
        index = lease([str(torch.cuda.get_device_properties(card).uuid) for card in cards])
        torch.cuda.set_device(index)
        torch.set_float32_matmul_precision("high")
        return Device(torch.cuda.get_device_name(index), "cuda", "bf16-mixed", index)
    _keep_memory()
    amx = bool(torch.cpu._is_amx_tile_supported())
    torch.set_float32_matmul_precision("medium" if amx else "highest")
    # The fused attention kernel runs many tiny products, ten times slower in that precision.
    torch.backends.cuda.enable_flash_sdp(not amx)
    return Device("cpu", "cpu", "float32, bf16 matrix products (AMX)" if amx else "float32")


def _keep_memory() -> None:
    """Let the C library keep freed memory: to give it back each step costs a tenth of the time."""
    with contextlib.suppress(OSError, AttributeError):
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of glibc
            ctypes.CDLL(None).mallopt(option, _KEPT_BYTES)


def lease(cards: Sequence[str], folder: Path | None = None, patience: float = 1.0) -> int:
    """The number of the first of these GPUs that no other job holds, locked until we end.

    `cards` are names that no other GPU of the machine has, in the order of their numbers.
    """
    place = folder or Path(tempfile.gettempdir()) / f"gptbench-gpus-{os.getuid()}"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    said = False
    while True:
        for index, card in enumerate(cards):
            if index in _LEASES or _lock(place / card, index):
                return index
        if not said:
            print(f"waiting: all {len(cards)} GPUs are in use", flush=True)
            said = True
        time.sleep(patience)


def _lock(path: Path, index: int) -> bool:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _LEASES[index] = file
    return True
