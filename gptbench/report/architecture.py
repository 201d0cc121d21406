"""A model stage by stage: the shape of what flows and the parameters, reckoned from its settings.

The parameters add up to those of the built model (`tests/test_architecture.py` counts both).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from gptbench.settings import (
    Backbone,
    BertSettings,
    EncoderDecoderSettings,
    Gpt2Settings,
    Gpt3Settings,
    LstmSettings,
    RnnSettings,
    Seq2SeqSettings,
    StackSettings,
    TransformerSettings,
)

Axis = tuple[str, int]
"""An axis of a tensor: what it is called, and its length."""
Part = Literal["input", "block", "output"]


@dataclass(frozen=True)
class Stage:
    """One stage: `shape` of what leaves it, and the `parameters` of one of the `times` copies.

    For the drawing: `kind` of the box, whether it stands `beside` the stage before, and
    where a residual branch `opens` (before this stage) and `closes` (this stage is the sum).
    """

    title: str
    detail: str
    shape: tuple[Axis, ...]
    parameters: int = 0
    times: int = 1
    part: Part = "input"
    kind: Literal["box", "norm", "sum"] = "box"
    beside: bool = False
    opens: bool = False
    closes: bool = False

    @property
    def total(self) -> int:
        """The parameters of all copies."""
        return self.parameters * self.times

    @property
    def names(self) -> str:
        """The shape in words: `[batch, n_ctx, n_embd]`."""
        return f"[{', '.join(name for name, _ in self.shape)}]"

    @property
    def sizes(self) -> str:
        """The shape in numbers: `[10, 52, 96]`."""
        return f"[{', '.join(f'{size:,}' for _, size in self.shape)}]"


@dataclass(frozen=True)
class Architecture:
    """A model's stages from its input to its prediction; `drawn` if they are one column."""

    stages: list[Stage]
    drawn: bool

    @property
    def total(self) -> int:
        """The model's parameters: tied ones are counted once."""
        return sum(stage.total for stage in self.stages)

    @property
    def depth(self) -> int:
        """How often the drawn block is repeated."""
        return max((stage.times for stage in self.stages if stage.part == "block"), default=0)


def architecture(backbone: Backbone, batch: int, n_ctx: int, vocab_size: int) -> Architecture:
    """The stages of a model on `batch` sequences of `n_ctx` tokens."""
    found = _Shapes(backbone, batch, n_ctx, vocab_size)
    if isinstance(backbone, Seq2SeqSettings):
        return Architecture(list(_seq2seq(backbone, found)), drawn=False)
    if isinstance(backbone, EncoderDecoderSettings):
        return Architecture(list(_encoder_decoder(backbone, found)), drawn=False)
    if isinstance(backbone, StackSettings):
        return Architecture(list(_stack(backbone, found)), drawn=True)
    return Architecture(list(_recurrent(backbone, found)), drawn=False)


def classifier(width: int, batch: int, classes: int) -> Stage:
    """The head that fine-tuning puts beside the text prediction; it is new for each task."""
    shape = (("batch", batch), ("classes", classes))
    size = linear(width, classes)
    where = "softmax(h Wᵧ), last token"
    return Stage("task classifier", where, shape, size, part="output", beside=True)


class _Shapes:
    """The axes of one model by name, and the weights of its linear layers."""

    def __init__(self, backbone: Backbone, batch: int, n_ctx: int, vocab_size: int) -> None:
        self.batch, self.time = ("batch", batch), ("n_ctx", n_ctx)
        self.width, self.vocab = ("n_embd", backbone.n_embd), ("vocab", vocab_size)
        # A window has one token more than the context; its first half is the source.
        self.source = ("source", (n_ctx + 1) // 2)
        self.target = ("target", n_ctx + 1 - self.source[1])

    def tokens(self, place: Axis | None = None, side: str = "") -> Stage:
        """The ids that a model reads."""
        return Stage(f"{side}tokens", "ids", (self.batch, place or self.time))

    def embedding(self, place: Axis | None = None, masks: int = 0) -> Stage:
        """The token table, which the softmax reads as well; `masks` rows more of BERT's."""
        shape = (self.batch, place or self.time, self.width)
        size = (self.vocab[1] + masks) * self.width[1]
        detail = "Wₑ [vocab, n_embd], a mask" if masks else "Wₑ [vocab, n_embd]"
        return Stage("token embedding", detail, shape, size)

    def positions(self, learned: bool = True) -> Stage:
        """The table of places."""
        detail = "Wₚ [n_ctx, n_embd]" if learned else "left out: no Wₚ"
        size = self.time[1] * self.width[1] if learned else 0
        return Stage("position embedding", detail, (self.time, self.width), size, beside=True)

    def prediction(self, place: Axis | None = None, detail: str = "") -> Stage:
        """The tied softmax."""
        shape = (self.batch, place or self.time, self.vocab)
        what = detail or "softmax(h Wₑᵀ): tied"
        return Stage("text prediction", what, shape, part="output")


def linear(inputs: int, outputs: int) -> int:
    """Weights and biases of a linear layer."""
    return inputs * outputs + outputs


def _stack(backbone: StackSettings, at: _Shapes) -> Iterator[Stage]:
    """GPT-1's decoder, BERT's encoder, and GPT-2's and GPT-3's with LayerNorm first."""
    state = (at.batch, at.time, at.width)
    norm = 2 * backbone.n_embd
    yield at.tokens()
    masks = int(isinstance(backbone, BertSettings))
    yield at.embedding(masks=masks)
    learned = not isinstance(backbone, TransformerSettings) or backbone.positions == "learned"
    yield at.positions(learned)
    yield Stage("sum", "h₀ = U Wₑ + Wₚ", state, kind="sum")
    if isinstance(backbone, BertSettings):
        yield Stage("LayerNorm", "gain and bias", state, norm, kind="norm")
    first = isinstance(backbone, Gpt2Settings | Gpt3Settings)
    for branch in (_attention(backbone, at), _mlp(backbone, at)):
        yield from _residual(list(branch), state, norm, backbone.n_layer, first)
    if first:
        yield Stage("LayerNorm", "after the last block", state, norm, part="output", kind="norm")
    blanks = "softmax(h Wₑᵀ) at masks" if isinstance(backbone, BertSettings) else ""
    yield at.prediction(detail=blanks)


def _residual(
    branch: list[Stage], state: tuple[Axis, ...], norm: int, times: int, norm_first: bool
) -> Iterator[Stage]:
    """A branch around which the state goes, with its LayerNorm before it or after the sum."""
    layer = Stage("LayerNorm", "gain and bias", state, norm, kind="norm")
    total = Stage("sum", "what went in is added", state, kind="sum", closes=True)
    stages = [layer, *branch, total] if norm_first else [*branch, total, layer]
    for number, stage in enumerate(stages):
        yield replace(stage, times=times, part="block", opens=number == 0)


def _attention(backbone: StackSettings, at: _Shapes) -> Iterator[Stage]:
    """Multi-head self-attention; the three projections together have one joint layer's weights."""
    width, heads, masked = backbone.n_embd, backbone.n_head, backbone.causal
    size = width // heads
    head, each = ("n_head", heads), ("n_embd / n_head", size)
    what = "later tokens masked" if masked else "every token sees all"
    if isinstance(backbone, Gpt3Settings):
        what = f"in every 2nd block over the last {backbone.window}"
    joint = (at.batch, at.time, ("3 n_embd", 3 * width))
    yield Stage("queries, keys, values", "one linear layer", joint, linear(width, 3 * width))
    split = (at.batch, head, at.time, each)
    yield Stage("split into heads", "Q, K and V, each of this shape", split)
    weights = (at.batch, head, at.time, at.time)
    name = "masked self-attention" if masked else "self-attention"
    yield Stage(f"{name}: weights", f"softmax(Q Kᵀ / √{size}), {what}", weights)
    state = (at.batch, at.time, at.width)
    joined = "weights × V, heads side by side, linear"
    yield Stage("heads joined", joined, state, linear(width, width))


def _mlp(backbone: StackSettings, at: _Shapes, place: Axis | None = None) -> Iterator[Stage]:
    """The feed-forward part of a block."""
    inner = backbone.n_inner or 4 * backbone.n_embd
    width, time = backbone.n_embd, place or at.time
    wide = (at.batch, time, ("n_inner", inner))
    yield Stage("feed-forward, in", "linear, GELU", wide, linear(width, inner))
    back = (at.batch, time, at.width)
    yield Stage("feed-forward, out", "linear", back, linear(inner, width))


def _encoder_decoder(backbone: EncoderDecoderSettings, at: _Shapes) -> Iterator[Stage]:
    width, times = backbone.n_embd, backbone.n_layer
    attention, norm = linear(width, 3 * width) + linear(width, width), 2 * width
    inner = backbone.n_inner or 4 * width
    mlp = linear(width, inner) + linear(inner, width)
    source, target = (at.batch, at.source, at.width), (at.batch, at.target, at.width)
    yield at.tokens(at.source, "source ")
    yield at.embedding(at.source)
    yield at.positions()

    def layer(title: str, detail: str, shape: tuple[Axis, ...], parameters: int) -> Stage:
        return Stage(title, detail, shape, parameters, times, "block")

    all_see = "every source token sees all"
    yield layer("encoder: self-attention", all_see, source, attention)
    yield layer("encoder: feed-forward", "linear, GELU, linear", source, mlp)
    yield layer("encoder: LayerNorm", "after each of the two sums", source, 2 * norm)
    yield at.tokens(at.target, "target ")
    detail = "rows of the same two tables, which are counted above"
    yield Stage("target embedding", detail, target)
    causal = "a token sees none that follow"
    yield layer("decoder: masked self-attention", causal, target, attention)
    cross = "queries of the target, keys and values of the encoder"
    yield layer("decoder: attention to the source", cross, target, attention)
    yield layer("decoder: feed-forward", "linear, GELU, linear", target, mlp)
    yield layer("decoder: LayerNorm", "after each of the three sums", target, 3 * norm)
    yield at.prediction(at.target)


def _recurrent(backbone: RnnSettings | LstmSettings, at: _Shapes) -> Iterator[Stage]:
    units, width = backbone.n_hidden, backbone.n_embd
    gates = 4 if isinstance(backbone, LstmSettings) else 1
    name = "LSTM" if gates == 4 else "RNN"
    hidden = (at.batch, at.time, ("n_hidden", units))
    yield at.tokens()
    yield at.embedding()
    for layer in range(backbone.n_layer):
        inputs = units if layer else width
        number = f", layer {layer + 1}" if backbone.n_layer > 1 else ""
        detail = "token by token, four gates" if gates == 4 else "token by token, tanh"
        yield Stage(f"{name}{number}", detail, hidden, cell(gates, inputs, units), part="block")
    state = (at.batch, at.time, at.width)
    yield Stage("projection", "linear", state, linear(units, width), part="output")
    yield at.prediction()


def cell(gates: int, inputs: int, units: int) -> int:
    """Weights of a recurrent layer: of its input and its last state, each with a bias."""
    return gates * units * (inputs + units + 2)


def _seq2seq(backbone: Seq2SeqSettings, at: _Shapes) -> Iterator[Stage]:
    units, width = backbone.n_hidden, backbone.n_embd
    hidden = ("n_hidden", units)
    yield at.tokens(at.source, "source ")
    yield at.embedding(at.source)
    encoded = (at.batch, at.source, hidden)
    yield Stage("encoder LSTM", "token by token", encoded, cell(4, width, units), part="block")
    yield at.tokens(at.target, "target ")
    embedded = (at.batch, at.target, at.width)
    yield Stage("target embedding", "rows of the same table, which is counted above", embedded)
    decoded = (at.batch, at.target, hidden)
    inputs, states = width, units
    if backbone.attention:
        weights = (at.batch, at.target, at.source)
        size = 2 * units * units + units
        yield Stage("additive attention", "v tanh(W s + U h)", weights, size, part="block")
        inputs, states = width + units, 2 * units
    detail = "from the encoder's last state on"
    yield Stage("decoder LSTM", detail, decoded, cell(4, inputs, units), part="block")
    what = "linear, of state and context" if backbone.attention else "linear"
    yield Stage("projection", what, embedded, linear(states, width), part="output")
    yield at.prediction(at.target)
