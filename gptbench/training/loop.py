"""What pre-training and fine-tuning share: a quiet Lightning loop whose steps can be resumed.

Randomness is a pure function of the job's seed and of the step: the generator is seeded anew at
each step. So a resumed job needs no generator state to come out with the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor

from gptbench.artifacts import write_text
from gptbench.device import Device
from gptbench.progress import Progress
from gptbench.training.live import Live
from gptbench.training.optim import Adam
from gptbench.training.resume import Resume, State

Row = dict[str, float]


def derive(*parts: int | str) -> int:
    """A seed of 63 bits from a job's seed and what it is used for."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def reseed(device: torch.device, *parts: int | str) -> None:
    """Seed the generators of the CPU and of `device` for what comes next.

    `torch.manual_seed` would do, but without a GPU it keeps a stack trace of every call.
    """
    seed = derive(*parts)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


class Module(pl.LightningModule):
    """A LightningModule that counts its own steps and can be resumed.

    Attributes
    ----------
    step : updates made so far.
    curves : rows of `curves.csv` so far.
    accumulate : batches an update.
    norm, rate : gradient norm before clipping and learning rate of the last update.
    optimizer : set by the subclass, once its parameters are there.
    """

    def __init__(self, clip: float, log_every: int) -> None:
        super().__init__()
        self.clip, self.log_every = clip, log_every
        self.step = 0
        self.accumulate = 1
        self.curves: list[Row] = []
        self.norm = torch.zeros(())
        self.rate = 0.0
        self.optimizer: Adam

    def configure_optimizers(self) -> Adam:
        """The paper's Adam, which holds its own schedule."""
        return self.optimizer

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the global norm, keeping norm and rate for the curves."""
        self.rate = self.optimizer.rate()
        self.norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.clip)

    def logged(self, step: int) -> bool:
        """Whether the update with this number (from 0) gets a row of the curves."""
        return step % self.log_every == 0

    def state(self) -> State:
        """All that the rest of the training depends on."""
        return {
            "step": self.step,
            "module": self.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curves": self.curves,
        }

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.curves = state["curves"]


class Steps(pl.Callback):
    """After each update: the curves, checkpoints, progress, and the state to resume from."""

    def __init__(
        self,
        resume: Resume,
        progress: Progress,
        units: float,
        after: Callable[[int, Row | None], None] | None = None,
        live: Live | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        self.resume, self.progress, self.units, self.after = resume, progress, units, after
        self.live, self.columns = live, columns
        self._batches = 0
        self._losses: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning has set its signal handlers by now; ours come after them."""
        self.resume.listen()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Back to the handlers from before."""
        self.resume.restore()

    def on_exception(self, trainer: pl.Trainer, *_: Any) -> None:
        """Back to the handlers from before."""
        self.resume.restore()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """A whole update is done with the last of its batches."""
        assert isinstance(pl_module, Module)
        self._losses.append(outputs["loss"].detach())
        self._batches += 1
        if self._batches % pl_module.accumulate:
            return
        loss = torch.stack(self._losses).sum()
        self._losses.clear()
        self._end(trainer, pl_module, loss)

    def _end(self, trainer: pl.Trainer, module: Module, loss: Tensor) -> None:
        row: Row | None = None
        if module.logged(module.step):
            row = {"step": module.step + 1, "loss": float(loss), "lr": module.rate}
            row["gradient_norm"] = float(module.norm)
            module.curves.append(row)
        module.step += 1
        if self.after:
            self.after(module.step, row)
        self.progress.update(self.units, loss=loss)
        if self.live:
            curves = partial(curves_text, module.curves, self.columns)
            self.live.update(module.step, self.progress.done, curves, row is not None)
        if self.resume.due():
            self.resume.save(module.state())
        if self.resume.interrupted:
            trainer.should_stop = True


def fit(module: Module, batches: Iterable[Any], device: Device, steps: Steps, length: int) -> None:
    """Run `length` more updates; raises KeyboardInterrupt where a signal ended it.

    The state is written before.
    """
    if length:
        with quiet():
            trainer = pl.Trainer(
                barebones=True,
                max_epochs=1,
                limit_val_batches=0,
                use_distributed_sampler=False,
                accumulate_grad_batches=module.accumulate,
                plugins=[LightningEnvironment()],
                callbacks=[steps],
                **device.trainer(),
            )
            trainer.fit(module, train_dataloaders=batches)
    steps.progress.close()
    if steps.resume.interrupted:
        raise KeyboardInterrupt


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning without its advice."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def write_curves(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """`curves.csv`: `step` and one column a quantity, empty where it was not measured."""
    write_text(path, curves_text(rows, columns))


def curves_text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """What `write_curves` writes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_number(row.get(column)) for column in columns])
    return out.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)
