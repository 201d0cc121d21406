"""The causal models before and after GPT-1, against transformers, torch and plain NumPy.

Weights are the same, drawn at random, in double precision. A tensor agrees if its largest
difference is below the bound both by itself and as a share of its largest element.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gptbench.models.gpt2 import Gpt2
from gptbench.models.gpt3 import BandedAttention, Gpt3, band
from gptbench.models.rnn import Rnn
from gptbench.models.weights import Origin, build, load, save
from gptbench.plan import Plan
from gptbench.settings import read_yaml
from gptbench.training.pretrain import flops_per_token
from tests import slow_numpy as slow
from tests.training_fakes import CONTEXT, VOCAB, gpt2, gpt3, lstm, pretrain_job, rnn, transformer

CONFIG = Path(__file__).parent.parent / "config"
QUICK_VOCABULARY = 1053
"""1,000 merges and the symbols of the quick scale's books."""
WIDE = {"n_layer": 4, "n_embd": 24, "n_head": 3, "init_std": 0.2, "embd_std": 0.5}
BOUND = 1e-9

pytestmark = pytest.mark.usefixtures("exact_products")


def gap(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, or that as a share of the largest element: the larger of the two."""
    assert ours.shape == theirs.shape
    difference = float((ours.detach() - theirs.detach()).abs().max())
    return max(difference, difference / float(theirs.detach().abs().max()))


def shaken(model: Any) -> Any:
    """In double precision, biases and gains no longer 0 and 1."""
    model = model.double().train()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def ids(batch: int = 3, time: int = CONTEXT, vocab: int = VOCAB) -> Tensor:
    return torch.randint(vocab, (batch, time))


def states(blocks: Any, hidden: Any) -> list[Tensor]:
    """Input of the first block, output of every one, as `hidden()` runs."""
    found: list[Tensor] = []

    def kept(_: Any, __: Any, out: Any) -> None:
        found.append(out[0] if isinstance(out, tuple) else out)

    hooks = [blocks[0].register_forward_pre_hook(lambda _, given: found.append(given[0]))]
    hooks += [block.register_forward_hook(kept) for block in blocks]
    hidden()
    for hook in hooks:
        hook.remove()
    return found


def arrays(model: Any) -> dict[str, slow.Array]:
    return {name: p.detach().numpy() for name, p in model.named_parameters()}


# Against transformers. -----------------------------------------------------------------------


def as_gpt2(name: str) -> str:
    """What transformers' GPT2 calls a parameter of ours."""
    name = {"tokens": "wte.weight", "positions": "wpe.weight"}.get(name, name)
    for ours, theirs in (
        ("blocks.", "h."), ("attn.qkv", "attn.c_attn"), ("attn.proj", "attn.c_proj"),
        ("mlp.fc", "mlp.c_fc"), ("mlp.proj", "mlp.c_proj"),
    ):  # fmt: skip
        name = name.replace(ours, theirs)
    return f"transformer.{name}"


def test_gpt2_is_transformers_gpt2() -> None:
    """States of every block, logits, loss and every gradient."""
    transformers = pytest.importorskip("transformers")
    ours = shaken(Gpt2(gpt2(**WIDE), VOCAB, CONTEXT))
    config = transformers.GPT2Config(
        vocab_size=VOCAB, n_positions=CONTEXT, n_embd=24, n_layer=4, n_head=3,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(config).double().train()
    pairs = dict(theirs.named_parameters())
    assert len(pairs) == len(list(ours.parameters()))

    def turned(name: str, tensor: Tensor) -> Tensor:  # their linear layers are [in, out]
        return tensor.t() if tensor.dim() == 2 and name.startswith("blocks.") else tensor

    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            pairs[as_gpt2(name)].copy_(turned(name, parameter))
    batch = ids()
    mine = states(ours.blocks, lambda: ours(batch))
    other = states(theirs.transformer.h, lambda: theirs(batch))
    assert len(mine) == len(other) == 5
    for one, two in zip(mine, other, strict=True):
        assert gap(one, two) < BOUND
    hidden, table = ours(batch)
    logits, answer = hidden @ table.t(), theirs(batch).logits
    assert gap(logits, answer) < BOUND
    one, two = (  # not their own loss, which is in single precision
        F.cross_entropy(each[:, :-1].flatten(0, 1), batch[:, 1:].flatten())
        for each in (logits, answer)
    )
    assert one.item() == pytest.approx(two.item(), rel=1e-10)
    (one + two).backward()
    for name, parameter in ours.named_parameters():
        assert parameter.grad.abs().max() > 0, name
        assert gap(turned(name, parameter.grad), pairs[as_gpt2(name)].grad) < BOUND, name


def neo_pairs(ours: Any, theirs: Any) -> list[tuple[str, Tensor, Any, float]]:
    """(name, ours, their parameter, their factor).

    GPT-Neo does not divide scores by the root of the head's size, so its queries do; its queries,
    keys and values have no biases, so ours are 0 there and not among the pairs.
    """
    found = dict(theirs.named_parameters())
    pairs = [
        ("tokens", ours.tokens, found["transformer.wte.weight"], 1.0),
        ("positions", ours.positions, found["transformer.wpe.weight"], 1.0),
    ]
    for name, parameter in ours.named_parameters():
        if name in ("tokens", "positions") or name.endswith("qkv.bias"):
            continue
        other = f"transformer.{name.replace('blocks.', 'h.')}"
        if name.endswith("qkv.weight"):
            size = ours.settings.n_embd // ours.settings.n_head
            for at, part in enumerate(("q", "k", "v")):
                key = other.replace("attn.qkv", f"attn.attention.{part}_proj")
                pairs.append((name, (parameter, at), found[key], size**-0.5 if at == 0 else 1.0))
            continue
        other = other.replace("attn.proj", "attn.attention.out_proj")
        other = other.replace("mlp.fc", "mlp.c_fc").replace("mlp.proj", "mlp.c_proj")
        pairs.append((name, parameter, found[other], 1.0))
    return pairs


def part(tensor: Any, gradient: bool = False) -> Tensor:
    """A parameter or a third of the joint projection; its gradient, if that is wanted."""
    whole, at = tensor if isinstance(tensor, tuple) else (tensor, None)
    value: Tensor = whole.grad if gradient else whole
    return value if at is None else value.chunk(3)[at]


def test_gpt3_is_gpt_neo_with_scaled_scores() -> None:
    """States, logits, loss and gradients; GPT-Neo's attention is in single precision."""
    transformers = pytest.importorskip("transformers")
    ours = shaken(Gpt3(gpt3(**WIDE, window=4), VOCAB, CONTEXT))
    with torch.no_grad():
        for block in ours.blocks:
            block.attn.qkv.bias.zero_()
    config = transformers.GPTNeoConfig(
        vocab_size=VOCAB, max_position_embeddings=CONTEXT, hidden_size=24, num_layers=4,
        num_heads=3, window_size=4, attention_types=[[["global", "local"], 2]],
        resid_dropout=0.0, embed_dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    theirs = transformers.GPTNeoForCausalLM(config).double().train()
    pairs = neo_pairs(ours, theirs)
    assert len(pairs) == len(list(theirs.parameters()))
    with torch.no_grad():
        for _, mine, other, factor in pairs:
            other.copy_(part(mine) * factor)
    batch = ids()
    one = states(ours.blocks, lambda: ours(batch))
    two = states(theirs.transformer.h, lambda: theirs(batch))
    for mine, other in zip(one, two, strict=True):
        assert gap(mine, other) < 1e-5
    hidden, table = ours(batch)
    logits, answer = hidden @ table.t(), theirs(batch)
    assert gap(logits, answer.logits) < 1e-5
    for each in (logits, answer.logits):
        (each[:, 3:] ** 2).mean().backward()
    for name, mine, other, factor in pairs:
        assert gap(part(mine, gradient=True), other.grad * factor) < 1e-5, name


# Against plain NumPy and torch's cell. -------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "windows"),
    [(gpt2(**WIDE), [99] * 4), (gpt3(**WIDE, window=3), [99, 3, 99, 3])],
    ids=["gpt2", "gpt3"],
)
def test_states_by_loops(backbone: Any, windows: list[int]) -> None:
    model = shaken(build(backbone, VOCAB, CONTEXT))
    batch = ids(1)
    expected = np.stack(slow.gpt_later(arrays(model), batch[0].tolist(), 4, 3, windows))
    assert gap(model(batch)[0][0], torch.from_numpy(expected)) < 1e-10


def test_the_rnn_by_loops_and_by_torchs_cell() -> None:
    """States in NumPy; states and every gradient by `torch.nn.RNNCell`, step by step."""
    model = shaken(Rnn(rnn(init_std=0.3, embd_std=0.5), VOCAB, CONTEXT))
    batch = ids(2)
    hidden, table = model(batch)
    for row, given in enumerate(batch):
        expected = np.stack(slow.rnn(arrays(model), given.tolist()))
        assert gap(hidden[row], torch.from_numpy(expected)) < 1e-10
    cell = torch.nn.RNNCell(16, 24).double()
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            parameter.copy_(getattr(model.rnn, f"{name}_l0"))
    state, tokens = torch.zeros(2, 24).double(), model.tokens.detach().clone().requires_grad_()
    steps = []
    for place in range(CONTEXT):
        state = cell(tokens[batch[:, place]], state)
        steps.append(state @ model.proj.weight.detach().t() + model.proj.bias.detach())
    theirs = torch.stack(steps, 1)
    assert gap(hidden, theirs) < 1e-10
    for states_, rows in ((hidden, table), (theirs, tokens)):
        (states_ @ rows.t()).log_softmax(-1)[..., 3].sum().backward()
    for name, parameter in cell.named_parameters():
        assert parameter.grad is not None
        assert gap(getattr(model.rnn, f"{name}_l0").grad, parameter.grad) < 1e-10, name
    assert tokens.grad is not None
    assert gap(model.tokens.grad, tokens.grad) < 1e-10


# What is special about each. -----------------------------------------------------------------


def test_a_banded_layer_sees_its_window_alone() -> None:
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert band(4, 2, torch.device("cpu")).int().tolist() == expected
    layer = BandedAttention(gpt3(window=3)).eval()
    one = torch.randn(1, 9, 16)
    two = one.clone()
    two[:, 4] += 1
    changed = (layer(one) - layer(two)).abs().amax(-1)[0] > 1e-6
    assert changed.tolist() == [4 <= place < 7 for place in range(9)]


def test_the_second_and_fourth_layer_are_banded() -> None:
    model: Any = Gpt3(gpt3(n_layer=4), VOCAB, CONTEXT)
    kinds = [isinstance(block.attn, BandedAttention) for block in model.blocks]
    assert kinds == [False, True, False, True]
    twin = Gpt2(gpt2(n_layer=4), VOCAB, CONTEXT)
    assert model.state_dict().keys() == twin.state_dict().keys()
    twin.load_state_dict(model.state_dict())
    short = ids(time=4)  # shorter than the window the two are one
    torch.testing.assert_close(model(short)[0], twin(short)[0])
    assert not torch.allclose(model(ids())[0], twin(ids())[0])


@pytest.mark.parametrize("std", [0.02, "fan_in"])
def test_branches_of_gpt2_end_small(std: Any) -> None:
    """N(0, 0.02) divided by the root of the number of branches, two a block."""
    model: Any = Gpt2(gpt2(n_layer=8, n_embd=256, n_head=4, init_std=std), VOCAB, CONTEXT)
    for linear, width, branches in (
        (model.blocks[3].attn.qkv, 256, 1),
        (model.blocks[3].attn.proj, 256, 16),
        (model.blocks[3].mlp.fc, 256, 1),
        (model.blocks[3].mlp.proj, 1024, 16),
    ):
        expected = (width**-0.5 if std == "fan_in" else std) / branches**0.5
        assert float(linear.weight.detach().std()) == pytest.approx(expected, rel=0.02)
        assert not linear.bias.detach().any()
    assert torch.equal(model.ln_f.weight.detach(), torch.ones(256))


@pytest.mark.parametrize("layers", [0, 1, None])
def test_the_last_layer_norm_goes_with_all_blocks(tmp_path: Path, layers: int | None) -> None:
    trained: Any = shaken(build(gpt2(), VOCAB, CONTEXT)).float()
    path = tmp_path / "model.safetensors"
    save(path, trained.state_dict(), Origin("tok", VOCAB, CONTEXT, gpt2(), "r", 1).metadata())
    model: Any = build(gpt2(), VOCAB, CONTEXT)
    load(path, model, layers, "tok")
    assert torch.equal(model.tokens, trained.tokens)
    assert torch.equal(model.ln_f.bias, trained.ln_f.bias) is (layers is None)
    for n, block in enumerate(model.blocks):
        copied = layers is None or n < layers
        assert torch.equal(block.ln_1.bias, trained.blocks[n].ln_1.bias) is copied


# Sizes and cost. -----------------------------------------------------------------------------


def test_operations_a_token_by_hand() -> None:
    """Context 16, vocabulary 50, width 16, 2 layers, 4 x 16 inner; recurrent nets 24 units."""
    block = 3 * 16 * 16 + 3 * 16 + 16 * 16 + 16 + 2 * (16 * 64) + 64 + 16 + 2 * 2 * 16
    softmax = 50 * 16
    projection = 24 * 16 + 16
    expected = {
        "transformer": 6 * (softmax + 2 * block) + 12 * 2 * 16 * 16,
        "gpt2": 6 * (softmax + 2 * block + 2 * 16) + 12 * 2 * 16 * 16,
        "gpt3": 6 * (softmax + 2 * block + 2 * 16) + 12 * 16 * (16 + 4),
        "rnn": 6 * (softmax + 24 * (16 + 24 + 2) + projection),
        "lstm": 6 * (softmax + 4 * 24 * (16 + 24 + 2) + projection),
    }
    for backbone in (transformer(), gpt2(), gpt3(), rnn(), lstm()):
        model = build(backbone, VOCAB, CONTEXT)
        assert flops_per_token(pretrain_job(backbone), model) == expected[backbone.kind]
    wide = gpt3(window=99)
    counted = flops_per_token(pretrain_job(wide), build(wide, VOCAB, CONTEXT))
    assert counted == expected["gpt2"], "a window is no longer than the context"


def test_all_models_of_the_timeline_have_gpt1s_size() -> None:
    """Parameters of the real modules at the quick scale: within 10 % of the transformer's."""
    plan = Plan.read(read_yaml(CONFIG / "config.yaml"), CONFIG)
    study = dict(plan.on_request())["timeline"]
    names = {plan.variant(name).model for name in study.variants} | set(study.models)
    assert {"rnn", "lstm-matched", "transformer", "gpt2", "gpt3"} <= names
    sizes = {}
    for name in names:
        with torch.device("meta"):
            model = build(plan.config.models[name].backbone, QUICK_VOCABULARY, plan.config.n_ctx)
        sizes[name] = sum(p.numel() for p in model.parameters())
    for name, size in sizes.items():
        assert abs(size / sizes["transformer"] - 1) <= 0.10, (name, size)
