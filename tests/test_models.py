"""The backbones, the heads and weights on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gptbench.errors import UserError
from gptbench.models.heads import Classifier, expected_score, score_distribution
from gptbench.models.transformer import Transformer
from gptbench.models.weights import Origin, build, load, new_token_rows, read, save
from gptbench.settings import TransformerSettings
from gptbench.training.batches import collate
from gptbench.training.finetune import Finetuning
from tests.training_fakes import (
    CONTEXT,
    VOCAB,
    finetune_job,
    gpt2,
    gpt3,
    lstm,
    random_split,
    rnn,
    task_spec,
    transformer,
)

EVERY = [transformer(), lstm(), rnn(), gpt2(), gpt3()]
BACKBONES = pytest.mark.parametrize("backbone", EVERY, ids=[each.kind for each in EVERY])
DROPPING = [each.model_copy(update={"embd_dropout": 0.3}) for each in EVERY]
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


@pytest.mark.parametrize("backbone", DROPPING, ids=[each.kind for each in EVERY])
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


def test_what_is_dropped_from_the_embedding_is_dropped_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One mask a step, element by element, for lookup and softmax: under L3 the gradient is 0 at
    just the dropped elements, which it would not be if another mask were used anywhere.
    """
    job = finetune_job(backbone=transformer(embd_dropout=0.3), classifier_dropout=0.0)
    net: Any = Finetuning(job, VOCAB, "tok", None, 10).train()
    drawn: list[tuple[torch.Tensor, torch.Tensor]] = []
    embeddings = net.backbone.embeddings

    def watched() -> tuple[torch.Tensor, torch.Tensor]:
        drawn.append(embeddings())
        return drawn[-1]

    monkeypatch.setattr(net.backbone, "embeddings", watched)
    batch = collate(random_split(6, 1, 2, 0), np.arange(6), CONTEXT, VOCAB, "all")
    net.training_step(batch, 0).backward()
    assert len(drawn) == 1
    used = batch.ids.shape[1]
    for dropped, parameter in zip(
        drawn[0], (net.backbone.tokens, net.backbone.positions), strict=True
    ):
        gone = (dropped == 0)[: used if parameter is net.backbone.positions else None]
        gradient = parameter.grad[: len(gone)]
        assert 0.2 < gone.float().mean() < 0.4
        assert (gradient[gone] == 0).all()
        assert (gradient[~gone] != 0).all()
        # By element, not by row or column.
        assert 0 < gone.float().mean(1).max() < 1
        assert 0 < gone.float().mean(0).max() < 1


def test_each_dropout_is_where_the_released_code_has_it() -> None:
    """On the embedding matrices, the attention's weights and both residual branches, and nowhere
    else: written out, with the same random numbers in the same order.
    """
    settings = transformer(embd_dropout=0.1, attn_dropout=0.2, resid_dropout=0.3)
    model = Transformer(settings, VOCAB, CONTEXT).train()
    batch, time, width = ids(), CONTEXT, 16
    torch.manual_seed(3)
    hidden, table = model(batch)
    torch.manual_seed(3)
    tokens, positions = F.dropout(model.tokens, 0.1), F.dropout(model.positions, 0.1)
    x = tokens[batch] + positions
    block: Any
    for block in model.blocks:
        q, k, v = (
            part.view(2, time, 2, 8).transpose(1, 2) for part in block.attn.qkv(x).split(width, -1)
        )
        scores = q @ k.transpose(-1, -2) / 8**0.5
        later = torch.ones(time, time).triu(1).bool()
        attended = F.dropout(scores.masked_fill(later, -1e9).softmax(-1), 0.2) @ v
        branch = block.attn.proj(attended.transpose(1, 2).reshape(2, time, width))
        x = block.ln_1(x + F.dropout(branch, 0.3))
        x = block.ln_2(x + F.dropout(block.mlp(x), 0.3))
    assert torch.equal(table, tokens)
    torch.testing.assert_close(hidden, x, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(hidden, model.eval()(batch)[0], atol=0.1)


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


def test_a_classifier_starts_as_released() -> None:
    head = Classifier(task_spec("pair"), 4096, 0.1)
    assert float(head.linear.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert not head.linear.bias.detach().any()


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


def test_the_classifiers_mask_is_one_a_question() -> None:
    """A logit's gradient by its state is the mask times the weight, so the mask can be read."""
    head = Classifier(task_spec("choice"), 64, 0.5).train()
    states = torch.randn(5, 4, 64, requires_grad=True)
    head(states).sum().backward()
    assert states.grad is not None
    kept = states.grad != 0
    assert (kept == kept[:, :1]).all()
    assert len({tuple(row.tolist()) for row in kept[:, 0]}) == 5
    assert 0.4 < kept[:, 0].float().mean() < 0.6
    scaled = (head.linear.weight[0] / 0.5).expand_as(states)
    torch.testing.assert_close(states.grad[kept], scaled[kept])


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
