"""The stage `attention`: against plain NumPy, against transformers, and by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from torch import Tensor

from gptbench.artifacts import read_json
from gptbench.cli import main
from gptbench.commands.common import scale_plan
from gptbench.data import shown
from gptbench.data.world import write_world
from gptbench.errors import UserError
from gptbench.evaluation import attention
from gptbench.forecast import jobs
from gptbench.models.transformer import Transformer
from gptbench.models.weights import build, load
from gptbench.plan import Plan
from tests import slow_numpy as slow
from tests.inside_tree import attention_job, pretrained, tokenizer
from tests.training_fakes import CONTEXT, VOCAB, bert, gpt2, gpt3, lstm, transformer

pytestmark = pytest.mark.usefixtures("exact_products")
CONFIG = Path(__file__).parent.parent / "config"
WIDE: dict[str, Any] = {"n_layer": 3, "n_embd": 24, "n_head": 3, "init_std": 0.3, "embd_std": 0.5}
Array = npt.NDArray[np.float64]


def shaken(backbone: Any) -> Any:
    """A model in double precision, its biases and gains no longer 0 and 1."""
    torch.manual_seed(1)
    model = build(backbone, VOCAB, CONTEXT).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def by_hand(w: dict[str, Array], layer: int, inputs: list[Array], heads: int, window: int) -> Array:
    """softmax(q k / sqrt(size)) of each head, row by row, over the places that a row sees."""
    n, width = len(inputs), len(inputs[0])
    size = width // heads
    weight, bias = (w[f"blocks.{layer}.attn.qkv.{part}"] for part in ("weight", "bias"))
    joint = [weight @ x + bias for x in inputs]
    out = np.zeros((heads, n, n))
    for head in range(heads):
        at = slice(head * size, (head + 1) * size)
        for i in range(n):
            seen = [j for j in range(i + 1) if i - j < window]
            scores = [joint[i][:width][at] @ joint[j][width : 2 * width][at] for j in seen]
            raised = [math.exp(score / math.sqrt(size)) for score in scores]
            for j, value in zip(seen, raised, strict=True):
                out[head, i, j] = value / sum(raised)
    return out


def numpy_weights(model: Any) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in model.named_parameters()}


IDS = [3, 41, 7, 7, 19, 0, 33, 12, 3]


def test_the_maps_are_softmax_of_q_and_k_in_plain_numpy() -> None:
    """The input of layer l comes from the plain model too: the first l layers of it."""
    model = shaken(transformer(**WIDE))
    seen = attention.look(model, IDS)
    assert seen.weights.shape == (3, 3, 9, 9)
    w = numpy_weights(model)
    for layer in range(3):
        inputs = slow.gpt(w, IDS, layers=layer, heads=3)
        expected = by_hand(w, layer, inputs, heads=3, window=9)
        assert np.abs(seen.weights[layer].numpy() - expected).max() < 1e-12
        assert np.abs(seen.states[layer].numpy() - np.stack(inputs)).max() < 1e-10


@pytest.mark.parametrize("backbone", [gpt2(**WIDE), gpt3(**WIDE)], ids=["gpt2", "gpt3"])
def test_so_are_those_of_models_with_layer_norm_first(backbone: Any) -> None:
    model = shaken(backbone)
    seen = attention.look(model, IDS)
    w = numpy_weights(model)
    for layer in range(3):
        names = (f"blocks.{layer}.ln_1.{part}" for part in ("weight", "bias"))
        norm = [w[name] for name in names]
        inputs = [slow.layer_norm(x, *norm) for x in seen.states[layer].numpy()]
        window = 4 if backbone.kind == "gpt3" and layer % 2 else 9
        expected = by_hand(w, layer, inputs, heads=3, window=window)
        assert np.abs(seen.weights[layer].numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("backbone", [transformer(**WIDE), gpt2(**WIDE), gpt3(**WIDE)])
def test_rows_add_up_to_one_and_nothing_looks_ahead(backbone: Any) -> None:
    model: Any = build(backbone, VOCAB, CONTEXT).train()
    seen = attention.look(model, IDS)
    assert torch.allclose(seen.weights.sum(-1), torch.ones(3, 3, 9), atol=1e-6)
    assert torch.equal(seen.weights.triu(1), torch.zeros_like(seen.weights))
    hidden, table = model(torch.tensor([IDS]))
    assert torch.allclose(seen.logits, (hidden @ table.t())[0], atol=1e-5)
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_transformers_has_the_same_maps_and_states() -> None:
    pytest.importorskip("transformers")
    from tests.test_parity import peer

    ours = build(transformer(**WIDE), VOCAB, CONTEXT)
    assert isinstance(ours, Transformer)
    theirs = peer(ours).eval()
    theirs.transformer.config._attn_implementation = "eager"
    with torch.no_grad():
        out = theirs(torch.tensor([IDS]), output_attentions=True, output_hidden_states=True)
    seen = attention.look(ours, IDS)
    assert len(out.attentions) == 3
    for layer, maps in enumerate(out.attentions):
        assert (seen.weights[layer] - maps[0]).abs().max() < 1e-6
    for ours_, theirs_ in zip(seen.states, out.hidden_states, strict=True):
        assert (ours_ - theirs_[0]).abs().max() < 1e-5


def test_shares_by_hand() -> None:
    """Rows 3 and 4 of one sentence and row 3 of another: the means of three rows."""
    one = torch.tensor([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.2, 0.7, 0.1, 0], [0.4, 0.3, 0.2, 0.1]])
    two = torch.tensor([[1, 0, 0], [0.9, 0.1, 0], [0, 0, 1.0]])
    found = attention.shares([one[None, None], two[None, None]])
    assert found["rows"] == 3
    assert found["even"] == round((1 / 3 + 1 / 4 + 1 / 3) / 3, 4)
    (head,) = found["heads"]
    assert head == {
        "layer": 1,
        "head": 1,
        "previous": pytest.approx((0.7 + 0.2 + 0) / 3, abs=1e-4),
        "first": pytest.approx((0.2 + 0.4 + 0) / 3, abs=1e-4),
        "itself": pytest.approx((0.1 + 0.1 + 1) / 3, abs=1e-4),
    }


# The stage. -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scale")
    bpe = tokenizer()
    bpe.save(root / "tokenizer")
    for name, backbone in (("transformer", transformer(**WIDE)), ("bert", bert()), ("l", lstm())):
        pretrained(root / name, bpe, backbone, CONTEXT)
    return root


def triangle(weights: Tensor) -> list[list[float]]:
    return [[round(x, 4) for x in row[: i + 1]] for i, row in enumerate(weights.tolist())]


def test_the_file_says_what_the_model_does(scale: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = attention_job(transformer(**WIDE), CONTEXT, "the cook was kind", "she saw the soup .")
    words = ["attention", "--settings", job.to_json(), "--pretrained", str(scale / "transformer")]
    words += ["--tokenizer", str(scale / "tokenizer"), "--out", str(scale / "out")]
    assert main(words) == 0
    assert "the cook was kind" in capsys.readouterr().out
    found = read_json(scale / "out" / "attention.json")
    bpe = tokenizer()
    model = build(job.backbone, bpe.vocab_size, CONTEXT)
    load(scale / "transformer" / "model.safetensors", model)
    assert isinstance(model, Transformer)
    for text, sentence in zip(job.sentences, found["sentences"], strict=True):
        ids = bpe.encode(text)
        assert (sentence["text"], sentence["ids"], sentence["left_out"]) == (text, ids, 0)
        assert len(sentence["tokens"]) == len(ids)
        seen = attention.look(model, ids)
        assert sentence["weights"] == [[triangle(head) for head in layer] for layer in seen.weights]
        sums = np.add(sentence["token_embedding"], sentence["position_embedding"])
        assert np.abs(sums - sentence["states"][0]).max() < 2e-4
        assert np.abs(np.subtract(sentence["norms"], seen.states.norm(dim=-1).numpy())).max() < 1e-4
        exponentials = np.exp(seen.logits.double().numpy())
        chances = exponentials / exponentials.sum(1, keepdims=True)
        order = np.argsort(-chances, axis=1, kind="stable")[:, :5]
        for i, best in enumerate(sentence["next"]):
            assert [each["id"] for each in best] == order[i].tolist()
            assert np.allclose([each["p"] for each in best], chances[i, order[i]], rtol=1e-3)
            assert np.allclose(
                [each["logit"] for each in best], seen.logits[i, order[i].copy()], atol=1e-3
            )
        after = [chances[i, token] for i, token in enumerate(ids[1:])]
        assert np.allclose(sentence["followed"], after, rtol=1e-3)
    manifest = read_json(scale / "out" / "manifest.json")
    assert manifest["inputs"] == {"pretrained": "the-model", "tokenizer": bpe.id}
    assert manifest["run_id"] == found["run_id"]
    before = (scale / "out" / "attention.json").read_bytes()
    assert main(words) == 0
    assert (scale / "out" / "attention.json").read_bytes() == before


def test_a_long_sentence_is_cut_and_says_so(scale: Path) -> None:
    job = attention_job(transformer(**WIDE), CONTEXT, "the cook was kind . " * 9)
    attention.run(job, scale / "transformer", scale / "tokenizer", scale / "long")
    (sentence,) = read_json(scale / "long" / "attention.json")["sentences"]
    assert len(sentence["ids"]) == CONTEXT
    assert sentence["left_out"] == len(tokenizer().encode(job.sentences[0])) - CONTEXT > 0


@pytest.mark.parametrize(
    ("name", "backbone", "text", "said"),
    [
        ("transformer", transformer(**WIDE), "soup", "attention.sentences, 1: `soup` has"),
        ("bert", bert(), "the cook was kind", "transformer is a bert; give a model"),
        ("l", lstm(), "the cook was kind", "transformer is a lstm; give a model"),
        ("transformer", transformer(), "the cook was kind", "its backbone has n_embd 24"),
    ],
)
def test_a_mistake_is_one_line(scale: Path, name: str, backbone: Any, text: str, said: str) -> None:
    job = attention_job(backbone, CONTEXT, text)
    with pytest.raises(UserError) as error:
        attention.run(job, scale / name, scale / "tokenizer", scale / "bad")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


# Which jobs. ----------------------------------------------------------------------------------


def plan_with(**changes: Any) -> Plan:
    data = yaml.safe_load((CONFIG / "config.yaml").read_text("utf-8"))
    return Plan.read({**data, **changes}, CONFIG)


def test_the_paper_model_of_the_first_seed_is_looked_into() -> None:
    plan = plan_with(pretrain_seeds=[4, 1])
    assert plan.attention_models() == [("transformer", 4)]
    assert plan.attention_job("transformer", 4).sentences == list(shown.WORLD)
    (job,) = [job for job in jobs(plan) if job.stage == "attention"]
    assert (job.folder, job.needs) == (
        "attention/transformer/seed4",
        ["pretrain/transformer/seed4", "tokenizer"],
    )


def test_sentences_of_ones_own_or_none() -> None:
    own = plan_with(attention={"sentences": ["A sentence of my own."]})
    assert own.attention_job("transformer", 0).sentences == ["A sentence of my own."]
    none = plan_with(attention={"sentences": []})
    assert none.attention_models() == []
    assert "attention" not in {job.stage for job in jobs(none)}
    assert "attention" not in json.loads(plan_with().config.to_json())
    with pytest.raises(UserError, match=r"attention\.sentences"):
        plan_with(attention={"sentences": [""]})


def test_models_without_attention_to_what_is_before_are_not_asked() -> None:
    """A scale whose only pre-trained models are an LSTM and a BERT."""
    data = plan_with().config.model_dump(mode="json")
    models = {"transformer": data["models"]["bert"], "lstm": data["models"]["lstm"]}
    only = {"title": "x", "variants": ["full", "lstm"], "tasks": ["rte"]}
    changes = {
        "models": models,
        "studies": ["only"],
        "on_request": [],
        "experiments": {
            "studies": {"only": only},
            "variants": {"full": {"title": "full", "model": "transformer", "lm_coef": None}},
        },
    }
    plan = plan_with(**changes)
    assert plan.pretrained() == [("lstm", 0), ("transformer", 0)]
    assert plan.attention_models() == []


def test_real_data_gets_english(tmp_path: Path) -> None:
    plan = scale_plan([CONFIG / "local.yaml"], str(tmp_path))
    ((model, seed),) = plan.attention_models()
    assert plan.attention_job(model, seed).sentences == list(shown.ENGLISH)


def test_the_worlds_sentences_are_of_its_words(tmp_path: Path) -> None:
    """Every word of them stands in a few books of the quick scale's world."""
    world = plan_with().world_job().world.model_dump()
    write_world(tmp_path, **{**world, "books_train": 4, "train_rows": 8, "eval_rows": 8})
    text = " ".join(p.read_text("utf-8") for p in (tmp_path / "books" / "train").iterdir())
    known = set(re.findall(r"[a-z]+", text.lower()))
    words = set(re.findall(r"[a-z]+", " ".join(shown.WORLD).lower()))
    assert len(words) > 15
    assert words <= known
