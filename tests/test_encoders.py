"""Models that are no language models: against independent implementations, padding, objectives.

BERT against transformers, the encoder-decoder transformer against torch.nn.Transformer, the LSTM
pair against torch.nn.LSTM and a NumPy version with loops; in double precision, gradients too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gptbench.artifacts import read_json
from gptbench.data.corpus import TokenCorpus
from gptbench.device import prepare
from gptbench.errors import UserError
from gptbench.evaluation import perplexity, zeroshot
from gptbench.evaluation.byhand import Loaded
from gptbench.models.bert import Bert
from gptbench.models.encoder_decoder import EncoderDecoder
from gptbench.models.weights import Origin, build, load, read, save
from gptbench.plan import FinetuneRun, Plan
from gptbench.settings import FinetuneJob, ZeroshotJob, parse, read_yaml
from gptbench.training import finetune, pretrain
from gptbench.training.batches import collate
from gptbench.training.finetune import Finetuning
from gptbench.training.loop import derive
from gptbench.training.objectives import Exercise, blanks, exercise
from gptbench.training.pretrain import Pretraining, flops_per_token, validation_loss
from tests.training_fakes import (
    CONTEXT,
    VOCAB,
    bert,
    encoder_decoder,
    finetune_job,
    in_double,
    pretrain_job,
    random_split,
    seq2seq,
    stop_after,
    task_spec,
    transformer,
    without_cost,
    write_corpus,
    write_task,
)

WIDE: dict[str, Any] = {"init_std": 0.4, "embd_std": 0.7}
KINDS: dict[str, Any] = {
    "bert": bert(**WIDE),
    "encoder-decoder": encoder_decoder(**WIDE),
    "seq2seq": seq2seq(**WIDE),
    "seq2seq-attention": seq2seq(attention=True, **WIDE),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
LENGTHS = torch.tensor([CONTEXT, 7, 11])


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """The highest precision, whatever a job before has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(0)
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus")


def fresh(kind: str, vocab: int = VOCAB) -> Any:
    """A model in double precision; biases and gains are not 0 and 1, so that each counts."""
    model = build(KINDS[kind], vocab, CONTEXT).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def windows(rows: int = 3, tokens: int = CONTEXT + 1) -> Tensor:
    return torch.randint(1, VOCAB, (rows, tokens))


def asked_of(model: Any, ids: Tensor, seed: int = 0) -> Exercise:
    return exercise(model.settings, len(model.tokens), ids, seed)


def loss_of(model: Any, ids: Tensor, seed: int = 0) -> Tensor:
    """The objective, from its definition."""
    asked, tables = asked_of(model, ids, seed), model.embeddings()
    states = asked.states(model.decode(*asked.given, *tables))
    return F.cross_entropy(states @ tables[0].t(), asked.targets)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


# BERT against transformers. ------------------------------------------------------------------


def their_bert(ours: Bert) -> Any:
    """transformers' BertModel with our weights; its last word is our mask."""
    transformers = pytest.importorskip("transformers")
    settings = ours.settings
    config = transformers.BertConfig(
        vocab_size=len(ours.tokens) + 1,
        max_position_embeddings=len(ours.positions),
        type_vocab_size=1,
        hidden_size=settings.n_embd,
        num_hidden_layers=settings.n_layer,
        num_attention_heads=settings.n_head,
        intermediate_size=4 * settings.n_embd,
        hidden_act="gelu_new",
        layer_norm_eps=1e-5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    theirs = transformers.BertModel(config, add_pooling_layer=False).double().train()
    with torch.no_grad():
        theirs.embeddings.token_type_embeddings.weight.zero_()
        for name, parameter in theirs.named_parameters():
            if "token_type" not in name:
                parameter.copy_(as_bert(name, dict(ours.named_parameters())))
    return theirs


def as_bert(name: str, ours: dict[str, Tensor]) -> Tensor:
    """Our tensor (or part of it) for a parameter of transformers' BertModel."""
    if name == "embeddings.word_embeddings.weight":
        return torch.cat([ours["tokens"], ours["mask"]])
    if name == "embeddings.position_embeddings.weight":
        return ours["positions"]
    if name.startswith("embeddings.LayerNorm"):
        return ours[name.replace("embeddings.LayerNorm", "ln")]
    parts = name.removeprefix("encoder.layer.").split(".")
    block, what, last = f"blocks.{parts[0]}", ".".join(parts[1:-1]), parts[-1]
    if what in ("attention.self.key", "attention.self.value"):
        key, value = ours[f"{block}.attn.key_value.{last}"].chunk(2)
        return key if what.endswith("key") else value
    names = {
        "attention.self.query": "attn.query",
        "attention.output.dense": "attn.proj",
        "attention.output.LayerNorm": "ln_1",
        "intermediate.dense": "mlp.fc",
        "output.dense": "mlp.proj",
        "output.LayerNorm": "ln_2",
    }
    return ours[f"{block}.{names[what]}.{last}"]


def assert_bert_gradients(ours: Bert, theirs: Any) -> None:
    gradients: Any = {name: p.grad for name, p in ours.named_parameters()}
    if gradients["mask"] is None:  # nothing was masked
        gradients["mask"] = torch.zeros_like(ours.mask)
    for name, parameter in theirs.named_parameters():
        if "token_type" not in name:
            close(as_bert(name, gradients), parameter.grad)


def test_bert_fills_blanks_as_transformers_does() -> None:
    ours = fresh("bert")
    theirs = their_bert(ours)
    ids = windows()
    (given, masked), chosen, targets = asked_of(ours, ids)
    assert masked.any()
    hidden = theirs(given.masked_fill(masked, VOCAB)).last_hidden_state
    asked, tables = asked_of(ours, ids), ours.embeddings()
    close(ours.decode(*asked.given, *tables), hidden)
    words = theirs.embeddings.word_embeddings.weight[:VOCAB]
    told = F.cross_entropy(hidden[chosen] @ words.t(), targets)
    module = Pretraining(pretrain_job(bert()), VOCAB, 10)
    module.backbone, module.decode = ours, ours.decode
    loss = module.training_step((ids, 0, 0), 0)
    seed = derive("blanks", 0, 0, 0)
    close(loss, loss_of(ours, ids, seed))
    ours.zero_grad()
    loss_of(ours, ids).backward()
    told.backward()
    close(loss_of(ours, ids), told)
    assert_bert_gradients(ours, theirs)


def test_bert_classifies_padded_texts_as_transformers_does() -> None:
    ours = fresh("bert")
    theirs = their_bert(ours)
    ids = windows()[:, :-1]
    real = torch.arange(CONTEXT) < LENGTHS[:, None]
    ids = ids.where(real, 0)
    hidden = theirs(ids, attention_mask=real.long()).last_hidden_state
    told = hidden[torch.arange(3), LENGTHS - 1]
    states, table = ours(ids, LENGTHS)
    close(states, told)
    assert table is ours.tokens
    weight = torch.randn_like(told)
    (states * weight).sum().backward()
    (told * weight).sum().backward()
    assert_bert_gradients(ours, theirs)


# The encoder-decoder transformer against torch's. --------------------------------------------


def their_transformer(ours: EncoderDecoder) -> nn.Transformer:
    """torch.nn.Transformer with our weights; GPT-1's has no LayerNorm at the end, so no stack."""
    settings = ours.settings

    def layer(kind: type[Any]) -> Any:
        return kind(
            settings.n_embd,
            settings.n_head,
            4 * settings.n_embd,
            dropout=0.0,
            activation=lambda x: F.gelu(x, approximate="tanh"),
            batch_first=True,
            dtype=torch.float64,
        )

    layers = layer(nn.TransformerEncoderLayer), layer(nn.TransformerDecoderLayer)
    encoder = nn.TransformerEncoder(layers[0], settings.n_layer, enable_nested_tensor=False)
    decoder = nn.TransformerDecoder(layers[1], settings.n_layer)
    theirs = nn.Transformer(
        settings.n_embd,
        settings.n_head,
        custom_encoder=encoder,
        custom_decoder=decoder,
        batch_first=True,
    )
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.copy_(as_transformer(name, dict(ours.named_parameters())))
    return theirs


def as_transformer(name: str, ours: dict[str, Tensor]) -> Tensor:
    """Our tensors for a parameter of torch.nn.Transformer."""
    side, _, number, *what, last = name.split(".")
    block, part = f"{side}.{number}", ".".join(what)
    attention = {"self_attn": "attn", "multihead_attn": "cross"}
    if part in attention:  # in_proj_weight, in_proj_bias
        kind = last.removeprefix("in_proj_")
        names = [f"{block}.{attention[part]}.{each}.{kind}" for each in ("query", "key_value")]
        return torch.cat([ours[each] for each in names])
    if part.endswith(".out_proj"):
        return ours[f"{block}.{attention[what[0]]}.proj.{last}"]
    names_by_part = {"linear1": "mlp.fc", "linear2": "mlp.proj"}
    return ours[f"{block}.{names_by_part.get(part, part.replace('norm', 'ln_'))}.{last}"]


def assert_transformer_gradients(ours: EncoderDecoder, theirs: nn.Transformer) -> None:
    gradients: Any = {name: p.grad for name, p in ours.named_parameters()}
    for name, parameter in theirs.named_parameters():
        assert parameter.grad is not None
        close(as_transformer(name, gradients), parameter.grad)


def test_second_halves_as_torchs_transformer() -> None:
    ours: Any = fresh("encoder-decoder")
    theirs = their_transformer(ours)
    ids = windows()
    half = (CONTEXT + 1) // 2
    table, places = (p.detach().clone().requires_grad_() for p in (ours.tokens, ours.positions))
    source = table[ids[:, :half]] + places[:half]
    target = table[ids[:, half - 1 : -1]] + places[half - 1 :]
    causal = nn.Transformer.generate_square_subsequent_mask(CONTEXT + 1 - half).double()
    hidden = theirs(source, target, tgt_mask=causal)
    told = F.cross_entropy((hidden @ table.t()).flatten(0, 1), ids[:, half:].flatten())
    loss = loss_of(ours, ids)
    close(loss, told)
    loss.backward()
    told.backward()
    assert_transformer_gradients(ours, theirs)
    for mine, other in ((ours.tokens, table), (ours.positions, places)):
        assert other.grad is not None
        close(mine.grad, other.grad)


def test_classifying_padded_texts_as_torchs_transformer() -> None:
    ours: Any = fresh("encoder-decoder")
    theirs = their_transformer(ours)
    ids = windows()[:, :-1]
    rows = torch.arange(3)
    padding = torch.arange(CONTEXT) >= LENGTHS[:, None]
    source = ours.tokens[ids] + ours.positions
    # The decoder begins in the middle of the context, as in pre-training.
    target = (ours.tokens[ids[rows, LENGTHS - 1]] + ours.positions[CONTEXT // 2 - 1])[:, None]
    told = theirs(
        source.detach(),
        target.detach(),
        src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )[:, 0]
    states, _ = ours(ids, LENGTHS)
    close(states, told)
    weight = torch.randn_like(told)
    (states * weight).sum().backward()
    (told * weight).sum().backward()
    assert_transformer_gradients(ours, theirs)


# The LSTMs against torch's, and NumPy's additive attention. ----------------------------------


def test_seq2seq_is_two_lstms() -> None:
    """Each sequence alone and unpadded, through torch's LSTMs with their states handed over."""
    ours: Any = fresh("seq2seq")
    ids = windows()
    half = (CONTEXT + 1) // 2
    states = ours.decode(ids[:, :half], ids[:, half - 1 : -1], ours.tokens)
    padded = ours(ids[:, :-1], LENGTHS)[0]
    for row in range(3):
        _, end = ours.encoder(ours.tokens[ids[row, :half]])
        told = ours.proj(ours.decoder(ours.tokens[ids[row, half - 1 : -1]], end)[0])
        close(states[row], told)
        text = ids[row, : LENGTHS[row]]
        _, end = ours.encoder(ours.tokens[text])
        close(padded[row], ours.proj(ours.decoder(ours.tokens[text[-1:]], end)[0])[0])


Arrays = dict[str, Any]


def slow_cell(w: Arrays, x: Any, h: Any, c: Any, names: str) -> tuple[Any, Any]:
    """One step of an LSTM, gate by gate."""
    pre = w[names.format("ih")] @ x + w[names.format("hh")] @ h
    pre = pre + w[names.format("ih").replace("weight", "bias")]
    pre = pre + w[names.format("hh").replace("weight", "bias")]
    enter, keep, new, leave = np.split(pre, 4)
    c = c / (1 + np.exp(-keep)) + np.tanh(new) / (1 + np.exp(-enter))
    return np.tanh(c) / (1 + np.exp(-leave)), c


def slow_attention(w: Arrays, source: list[int], target: list[int]) -> list[Any]:
    """proj([s_i; c_i]) of each step, written out from Bahdanau et al. 2015, A.1.2 and A.2.2."""
    units = w["attention.w.weight"].shape[0]
    h, c = np.zeros(units), np.zeros(units)
    memory = []
    for token in source:
        h, c = slow_cell(w, w["tokens"][token], h, c, "encoder.weight_{}_l0")
        memory.append(h)
    out = []
    for token in target:
        energies = [
            float(
                w["attention.v.weight"][0]
                @ np.tanh(w["attention.w.weight"] @ h + w["attention.u.weight"] @ each)
            )
            for each in memory
        ]
        total = sum(math.exp(energy) for energy in energies)
        context = np.zeros(units)
        for energy, each in zip(energies, memory, strict=True):
            context = context + math.exp(energy) / total * each
        x = np.concatenate([w["tokens"][token], context])
        h, c = slow_cell(w, x, h, c, "cell.weight_{}")
        out.append(w["proj.weight"] @ np.concatenate([h, context]) + w["proj.bias"])
    return out


def slow_loss(w: Arrays, ids: list[list[int]]) -> float:
    """-log P of the second halves, a mean over their tokens."""
    losses = []
    for row in ids:
        half = len(row) // 2
        states = slow_attention(w, row[:half], row[half - 1 : -1])
        for state, token in zip(states, row[half:], strict=True):
            logits = w["tokens"] @ state
            losses.append(math.log(np.exp(logits).sum()) - float(logits[token]))
    return sum(losses) / len(losses)


def test_additive_attention_is_numpys() -> None:
    """States with and without padding, the loss, and its gradients by finite differences."""
    ours: Any = fresh("seq2seq-attention")
    w: Arrays = {name: p.detach().numpy() for name, p in ours.named_parameters()}
    ids = windows()
    states = ours(ids[:, :-1], LENGTHS)[0]
    for row in range(3):
        text = ids[row, : LENGTHS[row]].tolist()
        close(states[row], torch.as_tensor(slow_attention(w, text, text[-1:])[0]))
    loss = loss_of(ours, ids)
    assert loss.item() == pytest.approx(slow_loss(w, ids.tolist()), rel=1e-12)
    loss.backward()
    rng = np.random.default_rng(0)
    for name, parameter in ours.named_parameters():
        values = w[name].reshape(-1)
        gradient = parameter.grad.reshape(-1)
        best = gradient.abs().argmax()
        for place in {int(best), *map(int, rng.integers(len(values), size=2))}:
            sides = []
            for step in (1e-5, -1e-5):
                values[place] += step
                sides.append(slow_loss(w, ids.tolist()))
                values[place] -= step
            told = (sides[0] - sides[1]) / 2e-5
            assert gradient[place].item() == pytest.approx(told, rel=1e-5, abs=1e-9), name


# Padding. ------------------------------------------------------------------------------------


@EVERY_KIND
def test_padding_changes_nothing(kind: str) -> None:
    """Whatever stands in it, and however much there is; nor any gradient."""
    model = fresh(kind)
    ids, lengths = windows()[:, :-1], torch.tensor([9, 4, 10])
    found = []
    for columns, rubbish in ((10, 0), (CONTEXT, 0), (CONTEXT, 17)):
        padded = torch.full((3, columns), rubbish)
        real = torch.arange(columns) < lengths[:, None]
        padded[real] = ids[:, :columns][real]
        model.zero_grad()
        states, table = model(padded, lengths)
        (states @ table.t()).logsumexp(-1).sum().backward()
        found.append((states, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    for states, gradients in found[1:]:
        close(states, found[0][0])
        for one, two in zip(gradients, found[0][1], strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)
    # Each alone, without any.
    for row, length in enumerate(lengths.tolist()):
        alone = model(ids[row : row + 1, :length], torch.tensor([length]))[0]
        close(alone[0], found[0][0][row])


@EVERY_KIND
def test_the_classifiers_state_sees_the_whole_text(kind: str) -> None:
    model = fresh(kind)
    ids = windows(1)[:, :-1]
    before = model(ids, torch.tensor([CONTEXT]))[0]
    for place in (0, 5, CONTEXT - 1):
        changed = ids.clone()
        changed[0, place] = (changed[0, place] + 1) % VOCAB
        assert not torch.allclose(model(changed, torch.tensor([CONTEXT]))[0], before, atol=1e-4)


# Objectives. ---------------------------------------------------------------------------------


def test_15_percent_are_chosen_and_80_10_10() -> None:
    """Numbers of rows are chosen so that a wrong share would be seen."""
    vocab, time = 1000, 52
    ids = torch.randint(1, vocab, (4000, time))
    (given, masked), chosen, targets = blanks(ids, vocab, 5)
    assert chosen is not None
    assert (chosen.sum(1) == round(0.15 * time)).all()
    n = int(chosen.sum())
    assert torch.equal(targets, ids[chosen])
    assert not (masked & ~chosen).any()
    assert torch.equal(given[~chosen], ids[~chosen])
    assert (given[masked] == 0).all()
    swapped = chosen & ~masked & (given != ids)
    # A random token is the right one once in a vocabulary.
    for count, share in ((masked.sum(), 0.8), (swapped.sum(), 0.1 * (1 - 1 / vocab))):
        assert stats.binomtest(int(count), n, share).pvalue > 1e-3
    counts = chosen.sum(0).numpy()  # places are alike
    assert stats.chisquare(counts).pvalue > 1e-3
    drawn = torch.bincount(given[swapped] // 100, minlength=10).numpy()
    assert stats.chisquare(drawn).pvalue > 1e-3
    # Of the two halves of the batch neither tells the other.
    assert not torch.equal(chosen[:2000], chosen[2000:])


def test_blanks_are_a_function_of_seed_step_and_micro_batch() -> None:
    ids = windows(4)
    one = blanks(ids, VOCAB, 3)
    again = blanks(ids, VOCAB, 3)
    assert all(torch.equal(a, b) for a, b in zip(one.given, again.given, strict=True))
    assert not torch.equal(one.given[1], blanks(ids, VOCAB, 4).given[1])
    module = Pretraining(pretrain_job(bert()), VOCAB, 10)
    losses = {
        (step, part): module.training_step((ids, step, part), 0).item()
        for step in (0, 1)
        for part in (0, 1)
    }
    assert len(set(losses.values())) == 4
    assert module.training_step((ids, 1, 0), 0).item() == losses[1, 0]
    other = Pretraining(pretrain_job(bert(), seed=1), VOCAB, 10)
    other.load_state_dict(module.state_dict())
    assert other.training_step((ids, 0, 0), 0).item() != losses[0, 0]


def test_only_blanks_have_a_loss_and_no_blank_tells_its_token() -> None:
    model = fresh("bert")
    ids = windows(2)
    asked = asked_of(model, ids)
    hidden = model.decode(*asked.given, *model.embeddings()).detach().requires_grad_()
    F.cross_entropy(asked.states(hidden) @ model.tokens.t(), asked.targets).backward()
    assert asked.chosen is not None
    assert hidden.grad is not None
    assert torch.equal(hidden.grad.abs().sum(-1) > 0, asked.chosen)
    changed = ids.clone()
    changed[:, :-1][asked.given[1]] = 7
    other = asked_of(model, changed)
    assert torch.equal(other.given[0], asked.given[0])
    assert not torch.equal(other.targets, asked.targets)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bert"])
def test_a_second_half_is_predicted_from_the_first_and_what_came_before(kind: str) -> None:
    model = fresh(kind)
    ids = windows(1, 9)
    asked = asked_of(model, ids)
    assert [part.tolist() for part in asked.given] == [ids[:, :4].tolist(), ids[:, 3:8].tolist()]
    assert asked.targets.tolist() == ids[0, 4:].tolist()
    before = model.decode(*asked.given, *model.embeddings())
    for place in range(9):
        changed = ids.clone()
        changed[0, place] = (changed[0, place] + 1) % VOCAB
        after = model.decode(*asked_of(model, changed).given, *model.embeddings())
        same = [torch.allclose(a, b) for a, b in zip(after[0], before[0], strict=True)]
        # State i predicts token 4 + i: it has seen the first half, and tokens up to 3 + i.
        assert same == [3 + i < place if place > 3 else False for i in range(5)]


@EVERY_KIND
def test_a_window_of_any_length_has_an_exercise(kind: str) -> None:
    model = fresh(kind)
    for tokens in range(2, CONTEXT + 2):
        assert torch.isfinite(loss_of(model, windows(2, tokens)))


@EVERY_KIND
def test_operations_are_those_that_torch_counts(kind: str) -> None:
    """Products alone; biases, LayerNorm and the like are below 4 % at this size."""
    wide: Any = {"n_embd": 32, "n_hidden": 48} if "seq2seq" in kind else {"n_embd": 32}
    job = pretrain_job(KINDS[kind].model_copy(update=wide))
    module = Pretraining(job, 400, 10)
    ids = torch.randint(400, (2, CONTEXT + 1))
    # Fused kernels are not counted.
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.mkldnn.flags(enabled=False),
        FlopCounterMode(display=False) as counter,
    ):
        module.training_step((ids, 0, 0), 0).backward()
    counted = counter.get_total_flops() / (2 * CONTEXT)
    assert flops_per_token(job, module.backbone) == pytest.approx(counted, rel=0.04)


# The stages. ---------------------------------------------------------------------------------


NOISY: dict[str, Any] = {
    "bert": bert(embd_dropout=0.1, attn_dropout=0.1, resid_dropout=0.1),
    "encoder-decoder": encoder_decoder(embd_dropout=0.1, attn_dropout=0.1, resid_dropout=0.1),
    "seq2seq": seq2seq(embd_dropout=0.1, output_dropout=0.1),
    "seq2seq-attention": seq2seq(attention=True, embd_dropout=0.1, output_dropout=0.1),
}


@EVERY_KIND
def test_it_learns_and_says_what_its_loss_is(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = NOISY[kind].model_copy(
        update={name: 0.0 for name in type(NOISY[kind]).model_fields if "dropout" in name}
    )
    steps, size = (300, 16) if kind == "bert" else (150, 4)  # two blanks a window teach little
    long = write_corpus(tmp_path / "long", tokens=20_000)
    pretrain.run(
        pretrain_job(plain, steps=steps, batch_size=size, window_start="line"), long, tmp_path
    )
    metrics = read_json(tmp_path / "metrics.json")
    assert metrics["validation_loss"] < 0.9 * np.log(VOCAB)
    assert metrics["perplexity"] is None
    assert metrics["tokens"] == steps * size * CONTEXT
    line = capsys.readouterr().out
    if kind == "bert":
        assert metrics["objective"] == "masked"
        assert metrics["validation_tokens"] == 6 * 2 + 1  # six whole windows and one of 4 tokens
        assert "(masked)" in line
    else:
        assert metrics["objective"] == "second half"
        given = metrics["perplexity_given_source"]
        assert given == pytest.approx(math.exp(metrics["validation_loss"]))
        assert metrics["validation_tokens"] == 6 * 9 + 3
        assert "(second half)" in line


def test_validation_has_the_same_blanks_every_time(corpus: Path) -> None:
    held_out = TokenCorpus.open(corpus, "validation")
    model = build(bert(), VOCAB, CONTEXT)
    torch.manual_seed(1)
    first = validation_loss(model, held_out, CONTEXT, 100, prepare(1))
    torch.manual_seed(2)
    assert validation_loss(model, held_out, CONTEXT, 100, prepare(1)) == first


@EVERY_KIND
def test_interrupted_anywhere_the_bytes_are_the_same(
    kind: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = pretrain_job(NOISY[kind], micro_batch=2)
    pretrain.run(job, corpus, tmp_path / "whole")
    undo = stop_after(monkeypatch, 6)
    with pytest.raises(KeyboardInterrupt):
        pretrain.run(job, corpus, tmp_path / "parts")
    undo()
    pretrain.run(job, corpus, tmp_path / "parts")
    for name in ("model.safetensors", "curves.csv", "checkpoints/step-00000012.safetensors"):
        whole, parts = ((tmp_path / each / name).read_bytes() for each in ("whole", "parts"))
        assert whole == parts, name
    found = [without_cost(tmp_path / each / "metrics.json") for each in ("whole", "parts")]
    assert found[0] == found[1]


@EVERY_KIND
@pytest.mark.parametrize(("form", "each"), [("pair", 1), ("similarity", 2), ("choice", 3)])
def test_it_is_fine_tuned_from_its_weights(
    kind: str, form: str, each: int, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain.run(pretrain_job(NOISY[kind]), corpus, tmp_path / "pre")
    splits = {
        name: random_split(24, each, max(2, each), i) for i, name in enumerate(("train", "dev"))
    }
    task = write_task(tmp_path / "task", splits, "rte")
    job = finetune_job(task_spec(form), NOISY[kind], lm_coef=0.0, pretrained=True)
    finetune.run(job, task, tmp_path / "pre", tmp_path / "whole")
    undo = stop_after(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        finetune.run(job, task, tmp_path / "pre", tmp_path / "parts")
    undo()
    finetune.run(job, task, tmp_path / "pre", tmp_path / "parts")
    for name in ("model.safetensors", "predictions.parquet"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    metrics = read_json(tmp_path / "whole" / "metrics.json")
    assert metrics["lm_coef"] == 0
    module = Finetuning(job, VOCAB, "tok", tmp_path / "pre" / "model.safetensors", 10)
    tensors, _ = read(tmp_path / "pre" / "model.safetensors")
    for name, tensor in module.backbone.state_dict().items():
        assert torch.equal(tensor[:VOCAB] if name == "tokens" else tensor, tensors[name]), name


@EVERY_KIND
def test_a_task_is_learnt(kind: str, tmp_path: Path) -> None:
    """Token 3 tells the label: a state that did not see it would score 50 %."""
    backbone = KINDS[kind].model_copy(update={"init_std": "fan_in", "embd_std": 0.3})
    splits = {name: random_split(200, 1, 2, i) for i, name in enumerate(("train", "dev"))}
    task = write_task(tmp_path / "task", splits, "rte")
    job = finetune_job(backbone=backbone, lm_coef=0.0, epochs=6, lr=0.01)
    finetune.run(job, task, None, tmp_path / "out")
    assert read_json(tmp_path / "out" / "metrics.json")["scores"]["dev"]["accuracy"] > 90


@EVERY_KIND
def test_padding_in_a_batch_changes_no_logit(kind: str) -> None:
    job = finetune_job(backbone=KINDS[kind], lm_coef=0.0)
    module = Finetuning(job, VOCAB, "tok", None, 10).double().eval()
    data = random_split(6, 1, 2, 0)
    whole = in_double(collate(data, np.arange(6), CONTEXT, VOCAB, "none"))
    logits = module.classify(whole)[0]
    for row in range(6):
        alone = in_double(collate(data, np.asarray([row]), CONTEXT, VOCAB, "none"))
        close(module.classify(alone)[0][0], logits[row])


# What is refused. ----------------------------------------------------------------------------


def saved(path: Path, kind: str) -> Path:
    path.mkdir()
    origin = Origin("tok", VOCAB, CONTEXT, KINDS[kind], "run", 7)
    model = build(KINDS[kind], VOCAB, CONTEXT)
    save(path / "model.safetensors", model.state_dict(), origin.metadata())
    return path


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_berts_layers_are_transferred_one_by_one(tmp_path: Path, layers: int) -> None:
    path = saved(tmp_path / "m", "bert") / "model.safetensors"
    model = build(KINDS["bert"], VOCAB + 3, CONTEXT)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load(path, model, layers, "tok")
    tensors, _ = read(path)
    for name, tensor in model.state_dict().items():
        copied = not name.startswith("blocks.") or int(name.split(".")[1]) < layers
        expected = tensors[name] if copied else before[name]
        assert torch.equal(tensor[:VOCAB] if name == "tokens" else tensor, expected), name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bert"])
def test_what_is_no_stack_of_blocks_is_transferred_whole(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "m", kind) / "model.safetensors"
    model = build(KINDS[kind], VOCAB + 3, CONTEXT)
    load(path, model, None, "tok")
    with pytest.raises(UserError, match="transferred whole, not 1 layers"):
        load(path, model, 1, "tok")


def test_attention_is_not_loaded_into_a_model_without(tmp_path: Path) -> None:
    path = saved(tmp_path / "m", "seq2seq-attention") / "model.safetensors"
    with pytest.raises(UserError, match="not the tensors of this backbone"):
        load(path, build(KINDS["seq2seq"], VOCAB, CONTEXT), None, "tok")


@EVERY_KIND
def test_no_zero_shot_scores_and_no_perplexity(kind: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", kind)
    text = tmp_path / "text.txt"
    text.write_text("a text")
    for reads in (lambda: perplexity.measure(folder, text), lambda: Loaded.read(folder)):
        with pytest.raises(UserError, match="no language model: a text has no probability"):
            reads()
    backbone = KINDS[kind].model_dump()
    job = ZeroshotJob.model_validate(
        {"model": "m", "backbone": backbone, "n_ctx": CONTEXT, "seed": 0, "tasks": [],
         "probe_seed": None}
    )  # fmt: skip
    with pytest.raises(UserError, match="no language model"):
        zeroshot.run(job, folder, tmp_path, tmp_path / "out")


CONFIG = Path(__file__).parent.parent / "config"


def planned(**experiments: Any) -> Plan:
    """The quick scale with a masked encoder, its variants and a study of them."""
    config: dict[str, Any] = read_yaml(CONFIG / "config.yaml")
    backbone = transformer().model_dump() | {"kind": "bert"}
    config["models"]["encoder"] = {"like": "transformer", "backbone": backbone}
    config["experiments"] = experiments
    config["studies"] = ["mine"]
    return Plan.read(config, CONFIG)


def test_lambda_is_0_where_there_is_no_l1() -> None:
    first = {"title": "", "model": "encoder", "transfer_layers": 1}
    variants: dict[str, Any] = {"plain": {"title": "", "model": "encoder"}, "first": first}
    study = {"title": "", "variants": list(variants), "tasks": ["rte"]}
    plan = planned(variants=variants, studies={"mine": study})
    job = plan.finetune_job(FinetuneRun("plain", "rte", 0, 0))
    assert (job.lm_coef, plan.config.lm_coef) == (0, 0.5)
    assert plan.finetune_job(FinetuneRun("first", "rte", 0, 0)).transfer_layers == 1
    data = job.model_dump() | {"lm_coef": 0.5}
    with pytest.raises(UserError, match="predicts no next token: lm_coef must be 0"):
        parse(FinetuneJob, data, "--settings")
    variants["plain"]["lm_coef"] = 0.5
    plan = planned(variants=variants, studies={"mine": study})
    with pytest.raises(UserError, match=r"lm_coef 0\.5, but encoder is a bert"):
        plan.finetune_job(FinetuneRun("plain", "rte", 0, 0))


def test_layers_of_a_model_that_has_none_to_copy() -> None:
    config: dict[str, Any] = read_yaml(CONFIG / "config.yaml")
    variant = {"title": "", "transfer_layers": 1}
    config["experiments"] = {
        "variants": {
            "both": variant | {"model": "encoder-decoder"},
            "neither": variant | {"model": "seq2seq"},
        },
        "studies": {"mine": {"title": "", "variants": ["both", "neither"], "tasks": ["rte"]}},
    }
    plan = Plan.read(config | {"studies": ["mine"]}, CONFIG)
    with pytest.raises(UserError, match="an encoder-decoder is transferred whole"):
        plan.finetune_job(FinetuneRun("both", "rte", 0, 0))
    with pytest.raises(UserError, match="seq2seq has no 1 layers to copy"):
        plan.finetune_job(FinetuneRun("neither", "rte", 0, 0))


def test_parameters_are_matched_at_the_quick_scale() -> None:
    """Within 10 % of the transformer's, with the vocabulary that the quick scale learns."""
    plan = Plan.read(read_yaml(CONFIG / "config.yaml"), CONFIG)
    counts = {
        name: sum(p.numel() for p in build(model.backbone, 1053, plan.config.n_ctx).parameters())
        for name, model in plan.config.models.items()
    }
    for name in ("bert", "encoder-decoder", "seq2seq", "seq2seq-attention"):
        assert counts[name] == pytest.approx(counts["transformer"], rel=0.1), name
        ours, theirs = (plan.config.models[each].pretrain for each in (name, "transformer"))
        assert ours is not None
        assert theirs is not None
        assert ours.model_copy(update={"lr": theirs.lr}) == theirs, "the same tokens"


def test_a_study_cannot_ask_for_zero_shot_scores() -> None:
    study = {"title": "", "models": ["encoder"], "zeroshot": ["sst2"]}
    with pytest.raises(UserError, match=r"studies.mine.models: encoder is a bert"):
        planned(studies={"mine": study})
