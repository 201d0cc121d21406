"""Progress of a long job: a bar on a terminal, plain lines at intervals in a log."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sized
from multiprocessing import parent_process
from typing import Any, TypeVar

INTERVAL = 15.0
_REFRESH = 0.2
T = TypeVar("T")


def amount(value: float) -> str:
    """A quantity for people: whole numbers with separators, else three digits."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 5 s`, `2 h 7 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def folded(start: str, parts: Iterable[str], end: str = "", width: int = 79) -> list[str]:
    """`start part, part, ...` on lines of `width` columns, broken between parts alone."""
    text = start + ", ".join(part.replace(" ", "\0") for part in parts) + end
    lines = textwrap.wrap(
        text, width, subsequent_indent="    ", drop_whitespace=True, break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in lines]


class Progress:
    """How far a job is, its rate and the time left.

    Parameters
    ----------
    total : of the quantity that `update` adds to; None where it is not known.
    label : what is being done.
    unit : name of the quantity, as in `tokens`.
    done : what an earlier run of the same job had done already.
    """

    def __init__(self, total: float | None, label: str, unit: str, done: float = 0) -> None:
        self.total, self.label, self.unit = total, label, unit
        self.done = self._before = done
        self.facts: dict[str, Any] = {}
        self._start = self._last = time.monotonic()
        self._spoken = False
        self._bar: Any = None
        if sys.stderr.isatty() and parent_process() is None:  # one of several has no bar
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                initial=done,
                desc=label,
                unit=f" {unit}",
                unit_scale=True,
                dynamic_ncols=True,
                leave=False,
            )

    @property
    def rate(self) -> float:
        """Units a second since the start."""
        return (self.done - self._before) / max(time.monotonic() - self._start, 1e-9)

    def update(self, n: float, **facts: Any) -> None:
        """Add `n` units; `facts` (loss=...) may be tensors and are read only when shown."""
        self.done += n
        self.facts.update(facts)
        now = time.monotonic()
        if now - self._last < (INTERVAL if self._bar is None else _REFRESH):
            return
        self._last = now
        if self._bar is None:
            self._say()
        else:
            self._bar.set_postfix_str(self._facts(), refresh=False)
            self._bar.update(self.done - self._bar.n)

    def _facts(self) -> str:
        return ", ".join(
            f"{name} {value if isinstance(value, str) else amount(float(value))}"
            for name, value in self.facts.items()
        )

    def _say(self) -> None:
        rate = self.rate
        how_far, left = f"{amount(self.done)} {self.unit}", ""
        if self.total is not None:
            share = 100 * self.done / self.total if self.total else 100
            how_far = f"{share:.0f} % of {amount(self.total)} {self.unit}"
            if self.done < self.total:
                left = f"{duration((self.total - self.done) / max(rate, 1e-9))} left"
        parts = [
            f"{self.label}: {how_far}",
            f"{amount(rate)} {self.unit}/s",
            self._facts(),
            left,
        ]
        print(", ".join(part for part in parts if part), flush=True)
        self._spoken = True

    def close(self) -> None:
        """End the bar, or say a last line if any was said."""
        if self._bar is not None:
            self._bar.close()
        elif self._spoken:
            self._say()


def watched(items: Iterable[T], label: str, unit: str, total: float | None = None) -> Iterator[T]:
    """The items one by one, with their progress; `total` is their number where they have none."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    progress = Progress(total, label, unit)
    try:
        for item in items:
            yield item
            progress.update(1)
    finally:
        progress.close()
