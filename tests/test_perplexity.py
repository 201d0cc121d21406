"""Perplexity on a text: against transformers, token by token, and by hand."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from gptbench.artifacts import write_json
from gptbench.cli import main
from gptbench.data import books
from gptbench.data.tokenizer import Tokenizer, train_on_counts
from gptbench.errors import UserError
from gptbench.evaluation import perplexity
from gptbench.models import exchange
from gptbench.models.weights import Origin, build, save
from gptbench.settings import TokenizerSettings
from tests.training_fakes import CONTEXT, lstm, transformer

pytestmark = pytest.mark.usefixtures("exact_products")
WORDS = "the cat sat on a mat and then it ran to its old home near our lake , we saw that .".split()


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a tokenizer, random models and their export for transformers."""
    root = tmp_path_factory.mktemp("scale")
    counts = Counter({word: 9 - i % 5 for i, word in enumerate(WORDS)})
    tokenizer = train_on_counts(counts, TokenizerSettings(merges=20))
    tokenizer.save(root / "tokenizer")
    torch.manual_seed(3)
    for name, backbone in (("transformer", transformer(embd_std=0.5)), ("lstm", lstm())):
        model = build(backbone, tokenizer.vocab_size, CONTEXT)
        folder = root / "pretrain" / name / "seed0"
        origin = Origin(tokenizer.id, tokenizer.vocab_size, CONTEXT, backbone, "run", 1)
        save(folder / "model.safetensors", model.state_dict(), origin.metadata())
    job = {"backbone": transformer().model_dump(), "n_ctx": CONTEXT}
    facts = {"run_id": "run", "stage": "import", "code": "", "packages": {}, "imported": "here"}
    folder = root / "pretrain" / "transformer" / "seed0"
    manifest = {**facts, "settings": job, "inputs": {"weights": "x"}}
    write_json(folder / "manifest.json", manifest)
    write_json(folder / "metrics.json", {"parameters": 1})
    exchange.export_weights(folder, root / "hf", "hf")
    return root


def text(words: int, seed: int = 0) -> str:
    """Lines of known words."""
    drawn = random.Random(seed).choices(WORDS, k=words)
    return "\n".join(" ".join(drawn[i : i + 9]) for i in range(0, words, 9)) + "\n"


def transformers_nats(scale: Path, ids: list[int], context: int, stride: int) -> float:
    """The sum of -log P of all tokens but the first, each by a forward pass of its own.

    Token t is given what comes before it in the first window [k stride, k stride + context) that
    has it.
    """
    model: Any = transformers.OpenAIGPTLMHeadModel.from_pretrained(scale / "hf").eval()
    total = 0.0
    with torch.no_grad():
        for t in range(1, len(ids)):
            start = next(s for s in range(0, t + 1, stride) if t < s + context)
            logits = model(torch.tensor([ids[start:t]])).logits[0, -1].double()
            total -= float(logits.log_softmax(-1)[ids[t]])
    return total


@pytest.mark.parametrize(("words", "stride"), [(6, None), (60, None), (60, 1), (61, 5), (60, 15)])
def test_equal_to_transformers(scale: Path, tmp_path: Path, words: int, stride: int | None) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text(words))
    found = perplexity.measure(scale / "pretrain/transformer/seed0", path, stride)
    ids = Tokenizer.load(scale / "tokenizer").encode(path.read_text())
    used = CONTEXT // 2 if stride is None else stride
    nats = transformers_nats(scale, ids, CONTEXT, used)
    n = len(ids) - 1
    assert (found["tokens"], found["context"], found["stride"]) == (n, CONTEXT, used)
    assert found["nats_per_token"] == pytest.approx(nats / n, abs=1e-5)
    assert found["bits_per_token"] == pytest.approx(nats / n / math.log(2), abs=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(nats / n), rel=1e-5)
    assert (found["words"], found["bytes"]) == (words, len(path.read_bytes()))
    assert found["nats_per_word"] == pytest.approx(nats / words, rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(
        nats / math.log(2) / len(path.read_bytes()), rel=1e-5
    )


def test_one_window_is_the_loss_of_transformers(scale: Path, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("the cat sat")
    ids = torch.tensor([Tokenizer.load(scale / "tokenizer").encode("the cat sat")])
    assert 2 < ids.shape[1] <= CONTEXT
    model: Any = transformers.OpenAIGPTLMHeadModel.from_pretrained(scale / "hf").eval()
    with torch.no_grad():
        loss = float(model(ids, labels=ids).loss)
    found = perplexity.measure(scale / "pretrain/transformer/seed0", path)
    assert found["nats_per_token"] == pytest.approx(loss, abs=1e-5)


def test_a_model_that_knows_nothing_is_as_uncertain_as_its_vocabulary_is_large(
    scale: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.load(scale / "tokenizer")
    model = build(transformer(), tokenizer.vocab_size, CONTEXT)
    with torch.no_grad():
        model.tokens.zero_()
    origin = Origin(tokenizer.id, tokenizer.vocab_size, CONTEXT, transformer(), "run", 1)
    save(tmp_path / "model.safetensors", model.state_dict(), origin.metadata())
    (tmp_path / "text.txt").write_text("wé saw\n\n thât  ☃ ")
    found = perplexity.measure(tmp_path, tmp_path / "text.txt", None, scale / "tokenizer")
    assert found["perplexity"] == pytest.approx(tokenizer.vocab_size, rel=1e-6)
    assert (found["words"], found["bytes"]) == (4, 21)


def test_windows_by_hand() -> None:
    source = perplexity.Text(Path(), None)  # type: ignore[arg-type]
    parts = [[0, 1, 2], [], [3, 4, 5, 6, 7, 8], [9]]
    source._blocks = lambda: iter(parts)  # type: ignore[method-assign]
    assert list(source.windows(4, 2)) == [
        ([0, 1, 2, 3], 1),
        ([2, 3, 4, 5], 2),
        ([4, 5, 6, 7], 2),
        ([6, 7, 8, 9], 2),
    ]
    assert list(source.windows(4, 3)) == [
        ([0, 1, 2, 3], 1),
        ([3, 4, 5, 6], 1),
        ([6, 7, 8, 9], 1),
    ]
    assert list(source.windows(8, 5)) == [([*range(8)], 1), ([5, 6, 7, 8, 9], 3)]
    assert list(source.windows(64, 5)) == [([*range(10)], 1)]


def test_a_long_file_is_read_in_parts(
    scale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text(400) + "\n\n \n" + text(50, 1))
    model = scale / "pretrain/transformer/seed0"
    whole = perplexity.measure(model, path)
    original = books.blocks
    monkeypatch.setattr("gptbench.data.corpus.blocks", lambda p: original(p, 64))
    assert len(list(original(path, 64))) > 20
    assert perplexity.measure(model, path) == whole


def test_an_lstm_has_one_too(scale: Path, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text(60))
    found = perplexity.measure(scale / "pretrain/lstm/seed0", path)
    assert 1 < found["perplexity"] < 2 * Tokenizer.load(scale / "tokenizer").vocab_size


def test_the_command_prints_json(
    scale: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text(30))
    words = ["perplexity", "--model", str(scale / "pretrain/transformer/seed0"), "--text"]
    assert main([*words, str(path), "--stride", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stride"] == 3
    assert found["perplexity"] == pytest.approx(math.exp(found["nats_per_token"]))


def test_mistakes_are_one_line(scale: Path, tmp_path: Path) -> None:
    model, path = scale / "pretrain/transformer/seed0", tmp_path / "text.txt"
    path.write_text(",")
    with pytest.raises(UserError, match="fewer than two tokens"):
        perplexity.measure(model, path)
    for stride in (0, CONTEXT):
        with pytest.raises(UserError, match=f"--stride {stride}: give 1 to {CONTEXT - 1}"):
            perplexity.measure(model, path, stride)
    with pytest.raises(UserError, match="none: No such file"):
        perplexity.measure(model, tmp_path / "none")
    path.write_bytes(b"the cat\nsat \xff\n")
    with pytest.raises(UserError, match="line 2: not UTF-8 text"):
        perplexity.measure(model, path)
    with pytest.raises(UserError, match="no such file"):
        perplexity.measure(tmp_path, path)
    metadata = Origin("x", 9, CONTEXT, transformer(), "run", 1).metadata()
    save(tmp_path / "model.safetensors", {"x": torch.ones(1)}, metadata)
    with pytest.raises(UserError, match="its tokenizer x is not beside it; give --tokenizer"):
        perplexity.measure(tmp_path, path)
    save(tmp_path / "model.safetensors", {"x": torch.ones(1)}, {**metadata, "task": "rte"})
    with pytest.raises(UserError, match="fine-tuned on rte"):
        perplexity.measure(tmp_path, path)
