"""The stages of the report's model picture against the real torch modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from gptbench.models.transformer import Transformer
from gptbench.models.weights import build
from gptbench.report.architecture import Architecture, architecture
from gptbench.settings import Backbone, Config, parse
from gptbench.training.objectives import halves
from tests import training_fakes as fakes

ROOT = Path(__file__).parent.parent


def config(name: str) -> Config:
    data = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text("utf-8"))
    return parse(Config, data | {"data_root": data["data_root"] or "somewhere"}, name)


def counted(backbone: Backbone, vocab_size: int, n_ctx: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build(backbone, vocab_size, n_ctx).parameters())


KINDS: list[Any] = [
    fakes.transformer(),
    fakes.transformer(n_inner=40, positions="none"),
    fakes.lstm(),
    fakes.lstm(n_layer=3),
    fakes.rnn(n_layer=2),
    fakes.gpt2(),
    fakes.gpt3(n_layer=3),
    fakes.bert(),
    fakes.encoder_decoder(n_layer=3),
    fakes.seq2seq(attention=False),
    fakes.seq2seq(attention=True),
]


@pytest.mark.parametrize("backbone", KINDS, ids=lambda b: f"{b.kind}-{b.to_json()[-40:]}")
def test_the_parameters_of_the_stages_add_up_to_the_modules(backbone: Any) -> None:
    for vocab, n_ctx in ((50, 16), (61, 23)):
        made = architecture(backbone, 4, n_ctx, vocab)
        assert made.total == counted(backbone, vocab, n_ctx)


@pytest.mark.parametrize(
    ("scale", "vocab"), [("config", 1053), ("paper", 40478), ("local", 4500), ("one-gpu", 40478)]
)
def test_so_do_those_of_every_model_of_a_scale(scale: str, vocab: int) -> None:
    found = config(scale)
    for name, model in found.models.items():
        made = architecture(model.backbone, 64, found.n_ctx, vocab)
        assert made.total == counted(model.backbone, vocab, found.n_ctx), name


def test_the_papers_model() -> None:
    """116.5 M parameters; a block's by hand: 4 d^2 + 4 d of attention, 8 d^2 + 5 d of the MLP."""
    paper = config("paper")
    made = architecture(paper.models["transformer"].backbone, 64, paper.n_ctx, 40478)
    assert made.total == 40478 * 768 + 512 * 768 + 12 * (12 * 768**2 + 13 * 768)
    assert round(made.total / 1e6, 1) == 116.5
    assert made.depth == 12
    shapes = {stage.title: (stage.names, stage.sizes) for stage in made.stages}
    assert shapes["tokens"] == ("[batch, n_ctx]", "[64, 512]")
    assert shapes["split into heads"] == (
        "[batch, n_head, n_ctx, n_embd / n_head]",
        "[64, 12, 512, 64]",
    )
    assert shapes["masked self-attention: weights"][1] == "[64, 12, 512, 512]"
    assert shapes["feed-forward, in"] == ("[batch, n_ctx, n_inner]", "[64, 512, 3,072]")
    assert shapes["text prediction"] == ("[batch, n_ctx, vocab]", "[64, 512, 40,478]")


def sizes(made: Architecture, title: str) -> list[int]:
    (found,) = {stage.shape for stage in made.stages if stage.title == title}
    return [size for _, size in found]


def test_the_shapes_are_those_that_flow() -> None:
    """Against the outputs of the modules in a real pass."""
    backbone = fakes.transformer(n_inner=40, n_head=4)
    model = build(backbone, 50, 16)
    assert isinstance(model, Transformer)
    seen: dict[str, list[int]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.LayerNorm) and name.startswith("blocks.0."):

            def keep(_: nn.Module, __: Any, out: Tensor, name: str = name) -> None:
                seen[name.removeprefix("blocks.0.")] = list(out.shape)

            module.register_forward_hook(keep)
    mix = model.blocks[0].get_submodule("attn").mix

    def kept(q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
        seen["heads"] = list(q.shape)
        seen["weights"] = list((q @ k.transpose(-1, -2)).shape)
        return mix(q, k, v, dropout)  # type: ignore[no-any-return, operator]

    model.blocks[0].get_submodule("attn").mix = kept  # type: ignore[assignment]
    hidden, table = model(torch.zeros(3, 16, dtype=torch.int64))
    made = architecture(backbone, 3, 16, 50)
    assert sizes(made, "queries, keys, values") == seen["attn.qkv"]
    assert sizes(made, "split into heads") == seen["heads"]
    assert sizes(made, "masked self-attention: weights") == seen["weights"]
    assert sizes(made, "heads joined") == seen["attn.proj"]
    assert sizes(made, "feed-forward, in") == seen["mlp.fc"]
    assert sizes(made, "feed-forward, out") == seen["mlp.proj"]
    assert sizes(made, "LayerNorm") == seen["ln_1"] == seen["ln_2"]
    assert sizes(made, "text prediction") == list((hidden @ table.t()).shape)


@pytest.mark.parametrize("n_ctx", [16, 23])
def test_source_and_target_are_the_halves_of_a_window(n_ctx: int) -> None:
    made = architecture(fakes.seq2seq(attention=True), 2, n_ctx, 50)
    assert (sizes(made, "source tokens")[1], sizes(made, "target tokens")[1]) == halves(n_ctx + 1)
    assert sizes(made, "additive attention")[1:] == list(halves(n_ctx + 1))[::-1]


def test_each_residual_branch_opens_once_and_closes() -> None:
    for backbone in (fakes.transformer(), fakes.gpt2(), fakes.bert()):
        made = architecture(backbone, 2, 16, 50)
        marks = [m for s in made.stages for m in ("(" * s.opens, ")" * s.closes) if m]
        assert marks == ["(", ")"] * 2
