"""One colour, marker and line a model or variant, the same in every figure and table of the report.

The colours can be told apart with each of the three kinds of colour blindness and stand out from
white at 3 to 1 or more (tests/test_style.py measures both); marker and line say the same again, for
print in black.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gptbench.report.results import Results


@dataclass(frozen=True)
class Style:
    """How a variant is drawn; `line` is matplotlib's: a name, or (0, (on, off, ...))."""

    colour: str
    marker: str
    line: Any = "-"


STYLES = {
    "full": Style("#0060a8", "o"),
    "no-pretraining": Style("#d55e00", "s", "--"),
    "no-aux-lm": Style("#009e73", "^", "-."),
    "lstm": Style("#c8689f", "D", ":"),
    "rnn": Style("#000000", "v", (0, (5, 1, 1, 1, 1, 1))),
    "lstm-matched": Style("#900048", "P", (0, (3, 1))),
    "seq2seq": Style("#603000", "X", (0, (1, 1))),
    "seq2seq-attention": Style("#f00048", "<", (0, (6, 2))),
    "encoder-decoder": Style("#f030f0", ">", (0, (4, 1, 1, 1))),
    "bert": Style("#9000f0", "*", "--"),
    "gpt2": Style("#300090", "p", "-."),
    "gpt3": Style("#481860", "h", ":"),
}
_MODELS = {"transformer": "full"}
"""Models that are called otherwise than their variant."""
_MORE = [style for name, style in STYLES.items() if name not in ("full", "lstm")]


def of(results: Results, name: str) -> Style:
    """The style of a variant or a model.

    Variants of one's own take the styles of the others in the order in which the studies name
    them; only `full` and `lstm`, which they are compared with, keep theirs for themselves.
    """
    name = _MODELS.get(name, name)
    if name in STYLES:
        return STYLES[name]
    variants = results.asked.variants
    if name not in variants:  # a model: that of its first variant
        name = next((each for each, spec in variants.items() if spec.model == name), name)
    own = [each for each in variants if each not in STYLES]
    at = own.index(name) if name in own else len(own)
    return STYLES[name] if name in STYLES else _MORE[at % len(_MORE)]
