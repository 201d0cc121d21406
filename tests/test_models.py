"""The backbones, the heads and weights on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from gptbench.errors import UserError
from gptbench.models.heads import Classifier, expected_score, score_distribution
from gptbench.models.transformer import Transformer
from gptbench.models.weights import Origin, build, load, new_token_rows, read, save
from gptbench.settings import TransformerSettings
from tests.training_fakes import CONTEXT, VOCAB, lstm, task_spec, transformer

BACKBONES = pytest.mark.parametrize(
    "backbone", [transformer(), lstm()], ids=["transformer", "lstm"]
)
PAPER = transformer(n_layer=12, n_embd=768, n_head=12, init_std=0.02, embd_std=0.02)


@pytest.fixture(autouse=True)
def exact_products() -> Any:
    """The highest precision, whatever a job before has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(0)
    yield
    torch.set_float32_matmul_precision(before)


def ids(batch: int = 2, time: int = CONTEXT) -> torch.Tensor:
    return torch.randint(VOCAB, (batch, time))


def test_the_papers_size() -> None:
    with torch.device("meta"):
        model = Transformer(PAPER, 40478, 512)
    assert sum(p.numel() for p in model.parameters()) == 116_534_784
    names = [name for name, _ in model.named_parameters()]
    assert names[:3] == ["tokens", "positions", "blocks.0.attn.qkv.weight"]


@BACKBONES
def test_no_token_sees_what_comes_after_it(backbone: Any) -> None:
    model = build(backbone, VOCAB, CONTEXT).eval()
    one = ids()
    two = one.clone()
    two[:, 9:] = ids()[:, 9:]
    before, after = model(one)[0], model(two)[0]
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


@BACKBONES
def test_padding_on_the_right_changes_nothing(backbone: Any) -> None:
    model = build(backbone, VOCAB, CONTEXT).eval()
    whole = ids()
    torch.testing.assert_close(model(whole[:, :7])[0], model(whole)[0][:, :7])


@BACKBONES
def test_the_softmax_is_tied_to_the_embedding(backbone: Any) -> None:
    model = build(backbone, VOCAB, CONTEXT).eval()
    hidden, table = model(ids())
    assert table.data_ptr() == model.tokens.data_ptr()
    (hidden @ table.t()).logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    "backbone", [transformer(embd_dropout=0.3), lstm(embd_dropout=0.3)], ids=["transformer", "lstm"]
)
def test_one_dropped_matrix_serves_lookup_and_softmax(backbone: Any) -> None:
    model = build(backbone, VOCAB, CONTEXT).train()
    batch = ids(4)
    torch.manual_seed(5)
    hidden, table = model(batch)
    torch.manual_seed(5)
    given: Any = model.embeddings()
    assert torch.equal(given[0], table)
    assert torch.equal(model.decode(batch, *given), hidden)
    dropped = table == 0
    assert 0.2 < dropped.float().mean() < 0.4
    kept = table[~dropped]
    torch.testing.assert_close(kept, model.tokens[~dropped] / 0.7)
    same = torch.full((2, 3), 7)
    if isinstance(model, Transformer):
        looked_up = F.embedding(same, table)
        assert torch.equal(looked_up[0, 0], looked_up[1, 2])
    torch.manual_seed(6)
    assert not torch.equal(model.embeddings()[0], table)
    assert torch.equal(model.eval().embeddings()[0], model.tokens)


def test_a_block_is_post_norm_attention_then_gelu() -> None:
    """One block against the equations, written out with loops over heads and places."""
    settings = transformer(n_layer=1, n_embd=8, n_head=2)
    model = Transformer(settings, VOCAB, 4).eval()
    given = ids(1, 4)
    block: Any = model.blocks[0]
    x = model.tokens[given[0]] + model.positions
    q, k, v = (x @ block.attn.qkv.weight.t() + block.attn.qkv.bias).split(8, dim=-1)
    mixed = torch.zeros(4, 8)
    for head in (slice(0, 4), slice(4, 8)):
        for i in range(4):
            weights = torch.softmax((k[: i + 1, head] @ q[i, head]) / 4**0.5, 0)
            mixed[i, head] = weights @ v[: i + 1, head]

    def norm(y: torch.Tensor) -> torch.Tensor:
        spread = ((y - y.mean(-1, keepdim=True)) ** 2).mean(-1, keepdim=True)
        return (y - y.mean(-1, keepdim=True)) / (spread + 1e-5).sqrt()

    x = norm(x + mixed @ block.attn.proj.weight.t() + block.attn.proj.bias)
    inner = x @ block.mlp.fc.weight.t() + block.mlp.fc.bias
    gelu = 0.5 * inner * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (inner + 0.044715 * inner**3)))
    x = norm(x + gelu @ block.mlp.proj.weight.t() + block.mlp.proj.bias)
    torch.testing.assert_close(model(given)[0][0], x, rtol=1e-4, atol=1e-5)


def test_initialisation() -> None:
    wide = transformer(n_layer=1, n_embd=256, n_head=4, embd_std=0.3)
    model: Any = Transformer(wide, 500, 64)
    assert float(model.tokens.detach().std()) == pytest.approx(0.3, rel=0.03)
    assert float(model.positions.detach().std()) == pytest.approx(0.3, rel=0.03)
    assert float(model.blocks[0].mlp.proj.weight.detach().std()) == pytest.approx(
        1024**-0.5, rel=0.03
    )
    assert float(model.blocks[0].mlp.proj.bias.detach().abs().sum()) == 0
    fixed: Any = Transformer(wide.model_copy(update={"init_std": 0.02}), 500, 64)
    assert float(fixed.blocks[0].mlp.proj.weight.detach().std()) == pytest.approx(0.02, rel=0.03)


# Heads. --------------------------------------------------------------------------------------


def test_both_orders_are_added_before_the_linear_layer() -> None:
    head = Classifier(task_spec("similarity"), 16, 0.0)
    states = torch.randn(3, 2, 16)
    torch.testing.assert_close(head(states), head.linear(states[:, 0] + states[:, 1]))
    torch.testing.assert_close(head(states), head(states.flip(1)))


def test_answers_share_a_dropout_mask() -> None:
    head = Classifier(task_spec("choice"), 512, 0.5).train()
    one = torch.randn(4, 1, 512)
    logits = head(one.expand(4, 3, 512))
    assert logits.shape == (4, 3)
    torch.testing.assert_close(logits[:, 0], logits[:, 2])
    assert not torch.allclose(logits, head.eval()(one.expand(4, 3, 512)))


def test_single_and_pair_have_a_row_a_class() -> None:
    for form in ("single", "pair"):
        assert Classifier(task_spec(form), 16, 0.1)(torch.randn(5, 1, 16)).shape == (5, 2)


def test_a_score_is_a_distribution_over_whole_numbers() -> None:
    targets = score_distribution(torch.tensor([3.6, 0.0, 5.0, 2.0]), 0, 6)
    expected = torch.zeros(4, 6)
    expected[0, 3], expected[0, 4] = 0.4, 0.6
    expected[1, 0] = expected[2, 5] = expected[3, 2] = 1
    torch.testing.assert_close(targets, expected)
    logits = (targets + 1e-12).log()
    torch.testing.assert_close(expected_score(logits, 0), torch.tensor([3.6, 0.0, 5.0, 2.0]))


# Weights. ------------------------------------------------------------------------------------


def saved(path: Path, backbone: TransformerSettings, model: Any) -> Path:
    origin = Origin("tok", VOCAB, CONTEXT, backbone, "run", 7)
    save(path, model.state_dict(), origin.metadata())
    return path


@pytest.mark.parametrize("layers", [0, 1, 2, None])
def test_transfer_copies_embeddings_and_the_first_blocks(
    tmp_path: Path, layers: int | None
) -> None:
    trained: Any = build(transformer(), VOCAB, CONTEXT)
    path = saved(tmp_path / "model.safetensors", transformer(), trained)
    model: Any = build(transformer(), VOCAB + 3, CONTEXT)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load(path, model, layers, "tok")
    assert torch.equal(model.tokens[:VOCAB], trained.tokens)
    assert torch.equal(model.tokens[VOCAB:], before["tokens"][VOCAB:])
    assert torch.equal(model.positions, trained.positions)
    for name, tensor in model.state_dict().items():
        if name.startswith("blocks"):
            copied = layers is None or int(name.split(".")[1]) < layers
            assert torch.equal(tensor, (trained.state_dict() if copied else before)[name]), name


def test_weights_tell_where_they_come_from(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", transformer(), build(transformer(), VOCAB, CONTEXT))
    _, found = read(path)
    assert (found["tokenizer_id"], found["run_id"], found["step"]) == ("tok", "run", "7")
    assert TransformerSettings.from_json(found["backbone"]) == transformer()


def test_what_does_not_belong_is_refused_in_one_line(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", transformer(), build(transformer(), VOCAB, CONTEXT))
    model = build(transformer(), VOCAB + 3, CONTEXT)
    with pytest.raises(UserError, match="made with tokenizer tok"):
        load(path, model, None, "another")
    deeper = build(transformer(n_layer=3), VOCAB + 3, CONTEXT)
    with pytest.raises(UserError, match="n_layer 2, the settings say 3"):
        load(path, deeper, None, "tok")
    with pytest.raises(UserError, match="positions"):
        load(path, build(transformer(), VOCAB, 8), None, "tok")
    path.write_bytes(b"broken")
    with pytest.raises(UserError, match="not readable weights"):
        read(path)
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none")
    whole = build(lstm(), VOCAB, CONTEXT)
    other = tmp_path / "lstm.safetensors"
    save(other, whole.state_dict(), Origin("tok", VOCAB, CONTEXT, lstm(), "run", 1).metadata())
    with pytest.raises(UserError, match="transferred whole"):
        load(other, whole, 1, "tok")


def test_new_token_rows_match_the_trained_ones() -> None:
    model: Any = build(transformer(embd_std=0.4, n_embd=512), VOCAB + 3, CONTEXT)
    old = model.tokens[:-3].clone()
    new_token_rows(model, 0.02)
    assert float(model.tokens[-3:].detach().std()) == pytest.approx(0.02, rel=0.1)
    new_token_rows(model, "match")
    assert float(model.tokens[-3:].detach().std()) == pytest.approx(0.4, rel=0.1)
    assert torch.equal(model.tokens[:-3], old)
