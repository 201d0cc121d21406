"""L1, L2 and L3: hand-worked, against plain NumPy, under more padding, and without lambda."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from gptbench.data.encoded import Encoded
from gptbench.models.heads import classifier_loss
from gptbench.settings import FinetuneJob
from gptbench.training.batches import Batch, collate
from gptbench.training.finetune import Finetuning
from gptbench.training.pretrain import Pretraining
from tests import slow_numpy as slow
from tests.training_fakes import (
    CONTEXT,
    VOCAB,
    encode,
    finetune_job,
    in_double,
    lstm,
    pretrain_job,
    random_split,
    task_spec,
    transformer,
)

START, DELIMITER, CLASSIFY = VOCAB, VOCAB + 1, VOCAB + 2
LAYERS, HEADS = 2, 2
WIDE = {"init_std": 0.4, "embd_std": 0.7}
BACKBONES = {"transformer": transformer(**WIDE), "lstm": lstm(**WIDE)}
SCORE = {"labels": None, "range": (0, 5), "metrics": ["pearson"]}
FORMATS: list[tuple[str, int, dict[str, Any]]] = [
    ("single", 1, {}), ("pair", 1, {}), ("similarity", 2, {}), ("similarity", 2, SCORE),
    ("choice", 3, {}),
]  # fmt: skip
EVERY_FORMAT = pytest.mark.parametrize(
    ("form", "each", "changes"), FORMATS, ids=["single", "pair", "similarity", "score", "choice"]
)


def module(job: FinetuneJob, vocab: int = VOCAB) -> Finetuning:
    """A module in double precision."""
    return Finetuning(job, vocab, "tok", None, 10).double()


def batch_of(net: Finetuning, data: Encoded) -> Batch:
    return in_double(collate(data, np.arange(len(data)), CONTEXT, VOCAB, net.predicts))


def arrays(net: torch.nn.Module) -> dict[str, slow.Array]:
    """Parameters as NumPy arrays."""
    return {name: p.detach().numpy() for name, p in net.named_parameters()}


def slow_states(kind: str, weights: slow.Weights, ids: Any) -> list[slow.Array]:
    tokens = [int(i) for i in ids]
    if kind == "lstm":
        return slow.lstm(weights, tokens)
    return slow.gpt(weights, tokens, LAYERS, HEADS)


# Hand-worked. --------------------------------------------------------------------------------


@torch.no_grad()
def weigh(backbone: Any, weights: list[float]) -> None:
    """Make all states (1, 0, ...) and the tokens' weights in the softmax these."""
    last = backbone.blocks[-1].ln_2
    last.weight.zero_()
    last.bias.zero_()
    last.bias[0] = 1
    backbone.tokens.zero_()
    backbone.tokens[:, 0] = torch.tensor(weights).log()


def test_l1_l2_and_l3_hand_worked() -> None:
    """All states are (1, 0, ...), so that a token's weight in the softmax is exp of its first
    number, and a class's of its row's.

    Tokens 0 and 1 weigh 1 and 2; start, delimiter and classify 3, 2 and 4: 12 in all. The classes
    weigh 1 and 3.
    """
    job = finetune_job(lm_coef=0.5, classifier_dropout=0.0, backbone=transformer())
    net: Any = module(job, vocab=2)
    with torch.no_grad():
        weigh(net.backbone, [1.0, 2.0, 3.0, 2.0, 4.0])
        net.classifier.linear.weight.zero_()
        net.classifier.linear.weight[:, 0] = torch.tensor([1.0, 3.0]).log()
    # start 1 delimiter 0 classify, right is class 1; start 0 classify, right is class 0.
    data = encode([[2, 1, 3, 0, 4], [2, 0, 4]], [1, 0])
    batch = in_double(collate(data, np.arange(2), CONTEXT, 2, "all"))
    one = (math.log(2 / 12) + math.log(2 / 12) + math.log(1 / 12) + math.log(4 / 12)) / 4
    two = (math.log(1 / 12) + math.log(4 / 12)) / 2
    l1 = (one + two) / 2
    l2 = (math.log(3 / 4) + math.log(1 / 4)) / 2
    logits, hidden, table = net.classify(batch)
    assert net.language_loss(hidden, table, batch).item() == pytest.approx(-l1, rel=1e-7)
    assert classifier_loss(logits, batch.labels, job.task).item() == pytest.approx(-l2, rel=1e-7)
    assert net.loss(batch).item() == pytest.approx(-(l2 + 0.5 * l1), rel=1e-7)
    assert (l1, l2) == pytest.approx((-math.log(6), -math.log(16 / 3) / 2))
    # Ordinary tokens only: 0 and 1 alone are in the softmax, and predicted; P = 1/3 and 2/3.
    inner = job.finetune.model_copy(update={"lm_on_special": False})
    ordinary = module(job.model_copy(update={"finetune": inner}), vocab=2)
    ordinary.load_state_dict(net.state_dict())
    batch = in_double(collate(data, np.arange(2), CONTEXT, 2, ordinary.predicts))
    l1 = ((math.log(2 / 3) + math.log(1 / 3)) / 2 + math.log(1 / 3)) / 2
    assert ordinary.loss(batch).item() == pytest.approx(-(l2 + 0.5 * l1), rel=1e-7)


def test_l1_of_pretraining_hand_worked() -> None:
    """Three tokens that weigh 1, 3 and 4 of 8: two windows, a mean over all their tokens."""
    net: Any = Pretraining(pretrain_job(transformer(n_layer=1)), 3, 10).double()
    weigh(net.backbone, [1.0, 3.0, 4.0])
    ids = torch.tensor([[0, 1, 2, 2], [2, 0, 0, 1]])
    right = math.log(3 / 8) + 2 * math.log(4 / 8) + 2 * math.log(1 / 8) + math.log(3 / 8)
    assert net.training_step((ids, 0, 0), 0).item() == pytest.approx(-right / 6, rel=1e-7)


def test_a_score_hand_worked() -> None:
    """3.6 is 0.4 at 3 and 0.6 at 4; both get the probability 1/4, all others 1/8."""
    task = task_spec("similarity", **SCORE)
    logits = torch.tensor([[1.0, 1.0, 1.0, 2.0, 2.0, 1.0]], dtype=torch.float64).log()
    loss = classifier_loss(logits, torch.tensor([3.6], dtype=torch.float64), task)
    assert loss.item() == pytest.approx(math.log(4), rel=1e-9)
    loss = classifier_loss(logits, torch.tensor([5.0], dtype=torch.float64), task)
    assert loss.item() == pytest.approx(math.log(8), rel=1e-9)


# Plain NumPy. --------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("kind", BACKBONES)
def test_l1_of_pretraining_is_numpys(kind: str) -> None:
    net: Any = Pretraining(pretrain_job(BACKBONES[kind]), VOCAB, 10).double()
    torch.manual_seed(0)
    ids = torch.randint(VOCAB, (3, CONTEXT + 1))
    weights = arrays(net.backbone)
    each = []
    for row in ids:
        states = slow_states(kind, weights, row[:-1])
        each.append(slow.l1([*states, states[-1]], weights["tokens"], row.tolist()))
    found = net.training_step((ids, 0, 0), 0).item()
    assert found == pytest.approx(-float(np.mean(each)), rel=1e-10)


@torch.no_grad()
@EVERY_FORMAT
@pytest.mark.parametrize("special", [True, False], ids=["all-tokens", "ordinary-tokens"])
@pytest.mark.parametrize("kind", BACKBONES)
def test_l3_is_numpys(
    kind: str, special: bool, form: str, each: int, changes: dict[str, Any]
) -> None:
    task = task_spec(form, **changes)
    job = finetune_job(task, BACKBONES[kind], lm_on_special=special, lm_coef=0.3)
    net = module(job)
    net.eval()
    with torch.no_grad():
        net.classifier.linear.weight.normal_()
        net.classifier.linear.bias.normal_()
    data = random_split(4, each, 6 if changes else max(2, each), 3, score=bool(changes))
    if changes:
        data.labels[:] = [0.0, 3.625, 5.0, 1.25]
    elif form != "choice":
        data.labels[:] = [0, 1, 1, 0]
    weights = arrays(net.backbone)
    classifier = {name: p.detach().numpy() for name, p in net.classifier.named_parameters()}
    classes, language = [], []
    for i in range(len(data)):
        sequences = [data.sequence(i, k) for k in range(each)]
        states = [slow_states(kind, weights, ids) for ids in sequences]
        logits = slow.classify(states, form, classifier["linear.weight"], classifier["linear.bias"])
        label = data.labels[i]
        classes.append(
            slow.l2_of_score(logits, float(label)) if changes else slow.l2(logits, int(label))
        )
        for k, ids in enumerate(sequences):
            skip = None if special else VOCAB
            language.append(slow.l1(states[k], weights["tokens"], ids.tolist(), skip))
    batch = batch_of(net, data)
    found = classifier_loss(net.classify(batch)[0], batch.labels, task).item()
    expected = -float(np.mean(classes))
    assert found == pytest.approx(expected, rel=1e-10)
    expected = -slow.l3(float(np.mean(classes)), float(np.mean(language)), 0.3)
    assert net.loss(batch).item() == pytest.approx(expected, rel=1e-10)


# Padding. ------------------------------------------------------------------------------------


def padded(batch: Batch, columns: int, rubbish: int, idle: int) -> Batch:
    """The same examples with more columns, any token in all padding, and more idle targets."""
    rows, time = batch.ids.shape
    ids = torch.full((rows, time + columns), rubbish)
    ids[:, :time] = batch.ids
    ids[torch.arange(time + columns) > batch.last[:, None]] = rubbish
    row, column = batch.places // time, batch.places % time
    more = torch.zeros(idle, dtype=torch.int64)
    return batch._replace(
        ids=ids,
        places=torch.cat([row * (time + columns) + column, more]),
        targets=torch.cat([batch.targets, more]),
        weights=torch.cat([batch.weights, more.to(batch.weights.dtype)]),
    )


MODULES = {
    (kind, form, bool(changes)): module(
        finetune_job(task_spec(form, **changes), backbone, classifier_dropout=0.0)
    )
    for kind, backbone in BACKBONES.items()
    for form, _, changes in FORMATS
}


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(list(BACKBONES)),
    st.sampled_from(FORMATS),
    st.integers(0, 1000),
    st.integers(0, 5),
    st.integers(0, VOCAB + 2),
    st.integers(0, 70),
)
def test_more_padding_never_changes_a_loss(
    kind: str, form: tuple[str, int, Any], seed: int, columns: int, rubbish: int, idle: int
) -> None:
    """Nor any gradient of it, with lambda and without."""
    name, each, changes = form
    net = MODULES[kind, name, bool(changes)]
    data = random_split(3, each, max(2, each), seed, score=bool(changes))
    batch = batch_of(net, data)
    columns = min(columns, CONTEXT - batch.ids.shape[1])
    found = []
    for given_batch in (batch, padded(batch, columns, rubbish, idle)):
        net.zero_grad()
        logits, hidden, table = net.classify(given_batch)
        classes = classifier_loss(logits, given_batch.labels, net.job.task)
        language = net.language_loss(hidden, table, given_batch)
        (classes + 0.5 * language).backward()
        gradients = [p.grad.clone() for p in net.parameters() if p.grad is not None]
        found.append((classes.item(), language.item(), gradients))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-12)
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-12)
    for one, two in zip(found[0][2], found[1][2], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


# Lambda 0. -----------------------------------------------------------------------------------


def operations(lm_coef: float, vocab: int) -> tuple[int, int]:
    """Floating-point operations of one step, forward and back, and the targets predicted."""
    net = Finetuning(finetune_job(lm_coef=lm_coef, classifier_dropout=0.0), vocab, "tok", None, 10)
    data = encode([[vocab, *range(1, 9), vocab + 2], [vocab, 3, 4, vocab + 2]], [0, 1])
    batch = collate(data, np.arange(2), CONTEXT, vocab, net.predicts)
    with FlopCounterMode(display=False) as counter:
        net.loss(batch).backward()
    return counter.get_total_flops(), len(batch.targets)


def test_lambda_0_costs_no_language_model_work() -> None:
    """Counted, not timed: with lambda 0 the vocabulary's size does not matter at all; with
    lambda a step has one product of targets x width x vocabulary more, and two on the way back.
    """
    without, targets = operations(0.0, 40)
    assert targets == 0
    assert without == operations(0.0, 4000)[0] > 0
    for vocab in (40, 4000):
        found, targets = operations(0.5, vocab)
        assert found - without == 3 * 2 * targets * 16 * (vocab + 3)
