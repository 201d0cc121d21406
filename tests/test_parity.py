"""The transformer against transformers' OpenAIGPT: states, logits, losses and every gradient.

Weights are the same, drawn at random; nothing is dropped. Two sizes: tiny, in both precisions,
and the paper's.

A number agrees if it is within 1e-5 of transformers' own. A tensor of gradients agrees if besides
its largest difference is below 1e-5 of its largest element: gradients can be far below 1e-5
themselves, and then the first bound alone would say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gptbench.models.heads import token_losses
from gptbench.models.transformer import Transformer
from gptbench.training.batches import collate
from gptbench.training.finetune import Finetuning
from gptbench.training.pretrain import Pretraining
from tests.training_fakes import encode, finetune_job, in_double, pretrain_job, transformer

transformers = pytest.importorskip("transformers")

VOCAB, CONTEXT = 60, 24
PAPER_VOCAB = 40478
TINY = transformer(n_layer=3, n_embd=24, n_head=3, init_std=0.2, embd_std=0.5)
PAPER = transformer(n_layer=12, n_embd=768, n_head=12, init_std=0.02, embd_std=0.02)
BOUND = 1e-5


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """The highest precision and torch's own attention, whatever a job before has set."""
    before = torch.get_float32_matmul_precision(), torch.backends.cuda.flash_sdp_enabled()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.enable_flash_sdp(True)
    torch.manual_seed(0)
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cuda.enable_flash_sdp(before[1])


def peer(ours: Transformer) -> Any:
    """transformers' model of the same sizes, with our weights and without dropout."""
    settings = ours.settings
    config = transformers.OpenAIGPTConfig(
        vocab_size=len(ours.tokens),
        n_positions=len(ours.positions),
        n_embd=settings.n_embd,
        n_layer=settings.n_layer,
        n_head=settings.n_head,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    theirs = transformers.OpenAIGPTLMHeadModel(config).to(ours.tokens.dtype).train()
    pairs = dict(theirs.named_parameters())
    assert len(pairs) == len(list(ours.parameters()))
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            pairs[their_name(name)].copy_(turned(name, parameter))
    return theirs


def their_name(name: str) -> str:
    """What transformers calls a parameter of ours."""
    name = {"tokens": "tokens_embed.weight", "positions": "positions_embed.weight"}.get(name, name)
    for ours, theirs in (
        ("blocks.", "h."), ("attn.qkv", "attn.c_attn"), ("attn.proj", "attn.c_proj"),
        ("mlp.fc", "mlp.c_fc"), ("mlp.proj", "mlp.c_proj"),
    ):  # fmt: skip
        name = name.replace(ours, theirs)
    return f"transformer.{name}"


def turned(name: str, tensor: Tensor) -> Tensor:
    """A tensor of ours as transformers has it: their linear layers are [in, out]."""
    linear = tensor.dim() == 2 and name.startswith("blocks.")
    return tensor.t() if linear else tensor


def states(ours: Transformer, ids: Tensor) -> tuple[list[Tensor], Tensor]:
    """Input and output of every block (h_0 to h_n of the paper), and the logits."""
    found: list[Tensor] = []
    hooks = [ours.blocks[0].register_forward_pre_hook(lambda _, given: found.append(given[0]))]
    hooks += [
        block.register_forward_hook(lambda _, __, out: found.append(out)) for block in ours.blocks
    ]
    hidden, table = ours(ids)
    for hook in hooks:
        hook.remove()
    return found, hidden @ table.t()


class Gap(NamedTuple):
    """The largest difference, and that as a share of the largest element."""

    absolute: float
    relative: float


def gap(ours: Tensor, theirs: Tensor) -> Gap:
    """How far two tensors are apart."""
    assert ours.shape == theirs.shape
    ours, theirs = ours.detach(), theirs.detach()
    difference = float((ours - theirs).abs().max())
    return Gap(difference, difference / float(theirs.abs().max()))


def gradient_gaps(ours: Transformer, theirs: Any) -> dict[str, Gap]:
    """By parameter; all have a gradient on both sides."""
    pairs = dict(theirs.named_parameters())
    out = {}
    for name, parameter in ours.named_parameters():
        other = pairs[their_name(name)]
        assert parameter.grad is not None
        assert other.grad is not None
        assert parameter.grad.abs().max() > 0, name
        out[name] = gap(turned(name, parameter.grad), other.grad)
    return out


def assert_gradients(ours: Transformer, theirs: Any, bound: float) -> None:
    for name, found in gradient_gaps(ours, theirs).items():
        assert found.absolute < bound, (name, found)
        assert found.relative < bound, (name, found)


def lines(vocab: int, time: int) -> Tensor:
    return torch.randint(vocab, (3, time))


class Pair(NamedTuple):
    """A fine-tuning module of ours whose backbone has the weights of transformers' model."""

    module: Finetuning
    ours: Transformer
    theirs: Any
    vocab: int
    time: int

    @property
    def dtype(self) -> torch.dtype:
        """In what both compute."""
        return self.ours.tokens.dtype

    @property
    def bound(self) -> float:
        """How far they may be apart."""
        return 1e-12 if self.dtype == torch.float64 else BOUND


SIZES = {
    "tiny": (TINY, VOCAB, CONTEXT, torch.float32),
    "tiny-double": (TINY, VOCAB, CONTEXT, torch.float64),
    "paper": (PAPER, PAPER_VOCAB, 20, torch.float32),
}


@pytest.fixture(scope="module", params=SIZES)
def pair(request: pytest.FixtureRequest) -> Pair:
    """Both models at one size, made once: the paper's takes seconds."""
    settings, vocab, time, dtype = SIZES[request.param]
    job = finetune_job(backbone=settings, lm_coef=1.0).model_copy(update={"n_ctx": time})
    module = Finetuning(job, vocab - 3, "tok", None, 10).to(dtype)
    assert isinstance(module.backbone, Transformer)
    return Pair(module, module.backbone, peer(module.backbone), vocab, time)


def test_states_logits_loss_and_gradients(pair: Pair) -> None:
    """Without padding: L1 as pre-training has it."""
    pretraining = Pretraining(pretrain_job(), 8, 10)
    pretraining.backbone, pretraining.decode = pair.ours, pair.ours.decode
    ids = lines(pair.vocab, pair.time)
    told = pair.theirs(ids, labels=ids, output_hidden_states=True)
    found, logits = states(pair.ours, ids)
    assert len(found) == len(told.hidden_states) == pair.ours.settings.n_layer + 1
    for level, (one, other) in enumerate(zip(found, told.hidden_states, strict=True)):
        assert gap(one, other).absolute < pair.bound, level
    assert gap(logits, told.logits).absolute < pair.bound

    pair.module.zero_grad()
    pair.theirs.zero_grad()
    loss = pretraining.training_step((ids, 0, 0), 0)
    assert loss.item() == pytest.approx(told.loss.item(), abs=BOUND)
    # transformers computes its loss in float32 whatever the model has.
    exact = F.cross_entropy(told.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(exact.item(), abs=pair.bound)
    loss.backward()
    (exact if pair.dtype == torch.float64 else told.loss).backward()
    assert_gradients(pair.ours, pair.theirs, pair.bound)


def test_the_same_with_padding(pair: Pair) -> None:
    """Sequences of different lengths: L1 as fine-tuning has it, transformers with its mask."""
    time = pair.time
    lengths = [time, 5, time - 7]
    rng = np.random.default_rng(0)
    data = encode([rng.integers(pair.vocab, size=n).tolist() for n in lengths], [0, 1, 0])
    batch = in_double(collate(data, np.arange(3), time, pair.vocab - 3, "all"))
    batch = batch._replace(weights=batch.weights.to(pair.dtype))
    real = torch.arange(time) < torch.tensor(lengths)[:, None]
    assert (~real).sum() == 2 * time - 5 - (time - 7)

    told = pair.theirs(batch.ids, attention_mask=real.to(pair.dtype), output_hidden_states=True)
    found, logits = states(pair.ours, batch.ids)
    for level, (one, other) in enumerate(zip(found, told.hidden_states, strict=True)):
        assert gap(one[real], other[real]).absolute < pair.bound, level
    assert gap(logits[real], told.logits[real]).absolute < pair.bound

    pair.module.zero_grad()
    pair.theirs.zero_grad()
    hidden, table = pair.ours(batch.ids)
    loss = pair.module.language_loss(hidden, table, batch)
    each = [
        F.cross_entropy(told.logits[row, : n - 1], batch.ids[row, 1:n])
        for row, n in enumerate(lengths)
    ]
    expected = torch.stack(each).mean()
    assert loss.item() == pytest.approx(expected.item(), abs=pair.bound)
    loss.backward()
    expected.backward()
    assert_gradients(pair.ours, pair.theirs, pair.bound)


def test_a_wrong_gradient_is_seen() -> None:
    """The comparison has teeth: an embedding that is not tied fails it."""
    ours = Transformer(TINY, VOCAB, CONTEXT)
    theirs = peer(ours)
    ids = lines(VOCAB, CONTEXT)
    hidden, table = ours(ids[:, :-1])
    token_losses(hidden.flatten(0, 1), table.detach(), ids[:, 1:].flatten()).mean().backward()
    theirs(ids, labels=ids).loss.backward()
    wrong = {name for name, found in gradient_gaps(ours, theirs).items() if max(found) > BOUND}
    assert wrong == {"tokens"}


def test_the_papers_size() -> None:
    """116.5 M parameters, by transformers' count of its default sizes (the paper's) as well."""
    config = transformers.OpenAIGPTConfig()
    assert (config.vocab_size, config.n_positions, config.n_embd) == (PAPER_VOCAB, 512, 768)
    with torch.device("meta"):
        theirs = transformers.OpenAIGPTLMHeadModel(config)
        ours = Transformer(PAPER, PAPER_VOCAB, 512)
    sizes = {their_name(name): turned(name, p).shape for name, p in ours.named_parameters()}
    assert sizes == {name: p.shape for name, p in theirs.named_parameters()}
    assert round(sum(p.numel() for p in ours.parameters()) / 1e6, 1) == 116.5
