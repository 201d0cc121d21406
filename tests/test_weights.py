"""Weights in and out: the released layout, transformers' folders, and back."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import yaml
from safetensors.torch import load_file, save_file

from gptbench.artifacts import write_json
from gptbench.cli import main
from gptbench.data.tokenizer import Tokenizer, train_on_counts
from gptbench.errors import UserError
from gptbench.evaluation import zeroshot
from gptbench.models import exchange, huggingface
from gptbench.models.weights import Origin, build, load, read, save
from gptbench.plan import Plan
from gptbench.settings import (
    FinetuneJob,
    ImportJob,
    TaskSpec,
    TokenizerSettings,
    TransformerSettings,
    read_yaml,
    schemas,
)
from gptbench.training import finetune
from tests.conftest import PROJECT, Project, tiny_config
from tests.training_fakes import CONTEXT, finetune_job, task_spec, transformer

pytestmark = pytest.mark.usefixtures("exact_products")
WORDS = "the cat sat on a mat and then it ran to its old home near our lake , we saw that .".split()


@pytest.fixture(scope="module")
def vocabulary() -> Tokenizer:
    """A small vocabulary with merges."""
    counts = Counter({word: 9 - i % 5 for i, word in enumerate(WORDS)})
    return train_on_counts(counts, TokenizerSettings(merges=20, min_frequency=2))


def write_archive(
    folder: Path, tokenizer: Tokenizer, layers: int = 2, width: int = 16, context: int = CONTEXT
) -> list[np.ndarray[Any, Any]]:
    """Random weights as released, straight from the description of the files; returns them."""
    rng = np.random.default_rng(7)
    block = [
        *([1, width, 3 * width], [3 * width]),
        *([1, width, width], [width]),
        *([width], [width]),
        *([1, width, 4 * width], [4 * width]),
        *([1, 4 * width, width], [width]),
        *([width], [width]),
    ]
    shapes = [[context, width], [tokenizer.vocab_size, width], *(block * layers)]
    arrays = [(rng.standard_normal(shape) * 0.2).astype(np.float32) for shape in shapes]
    flat = np.concatenate([array.ravel() for array in arrays])
    folder.mkdir(parents=True)
    for n, part in enumerate(np.array_split(flat, 10)):
        np.save(folder / f"params_{n}.npy", part)
    (folder / "params_shapes.json").write_text(json.dumps(shapes))
    tokenizer.save(folder)
    (folder / "encoder.json").rename(folder / "encoder_bpe_40000.json")
    (folder / "merges.txt").rename(folder / "vocab_40000.bpe")
    return arrays


@pytest.fixture
def archive(tmp_path: Path, vocabulary: Tokenizer) -> Path:
    write_archive(tmp_path / "archive", vocabulary)
    return tmp_path / "archive"


@pytest.fixture
def imported(archive: Path, tmp_path: Path) -> Path:
    exchange.import_weights(archive, tmp_path / "model", heads=2)
    return tmp_path / "model"


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return read(folder / "model.safetensors")[0]


def same(one: Path, two: Path) -> bool:
    left, right = tensors_of(one), tensors_of(two)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


# The released layout. ------------------------------------------------------------------------


def test_the_released_order_positions_first(
    tmp_path: Path, vocabulary: Tokenizer, imported: Path
) -> None:
    arrays = write_archive(tmp_path / "again", vocabulary)
    found = tensors_of(imported)
    assert np.array_equal(found["positions"].numpy(), arrays[0])
    assert np.array_equal(found["tokens"].numpy(), arrays[1])
    names = "attn.qkv attn.proj ln_1 mlp.fc mlp.proj ln_2".split()
    for block in range(2):
        for i, name in enumerate(names):
            weight, bias = arrays[2 + 12 * block + 2 * i : 4 + 12 * block + 2 * i]
            ours = found[f"blocks.{block}.{name}.weight"].numpy()
            assert np.array_equal(ours, weight[0].T if weight.ndim == 3 else weight), name
            assert np.array_equal(found[f"blocks.{block}.{name}.bias"].numpy(), bias), name
    assert len(found) == len(arrays) == 26


def test_the_released_model_computes_as_the_released_code(
    tmp_path: Path, vocabulary: Tokenizer, imported: Path
) -> None:
    """Logits of the imported model against NumPy on the archive's arrays (paper.md, "Model")."""
    arrays = [array.astype(np.float64) for array in write_archive(tmp_path / "again", vocabulary)]
    tokens = np.arange(CONTEXT) % vocabulary.vocab_size
    h = arrays[1][tokens] + arrays[0][:CONTEXT]

    def norm(x: Any, g: Any, b: Any) -> Any:
        u = x.mean(-1, keepdims=True)
        return g * (x - u) / np.sqrt(((x - u) ** 2).mean(-1, keepdims=True) + 1e-5) + b

    for block in range(2):
        aw, ab, pw, pb, g1, b1, fw, fb, qw, qb, g2, b2 = arrays[2 + 12 * block : 14 + 12 * block]
        q, k, v = np.split(h @ aw[0] + ab, 3, -1)
        mixed = []
        for head in np.split(np.arange(16), 2):
            w = q[:, head] @ k[:, head].T / np.sqrt(len(head))
            mask = np.tril(np.ones_like(w))
            w = w * mask - 1e9 * (1 - mask)
            w = np.exp(w - w.max(-1, keepdims=True))
            mixed.append(w / w.sum(-1, keepdims=True) @ v[:, head])
        n = norm(h + np.concatenate(mixed, -1) @ pw[0] + pb, g1, b1)
        x = n @ fw[0] + fb
        x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        h = norm(n + x @ qw[0] + qb, g2, b2)
    model = build(transformer(), vocabulary.vocab_size, CONTEXT).eval()
    load(imported / "model.safetensors", model)
    hidden, table = model(torch.from_numpy(tokens)[None])
    np.testing.assert_allclose((hidden @ table.t())[0].detach(), h @ arrays[1].T, atol=1e-5)


def test_positions_beyond_the_context_are_left_out(archive: Path, tmp_path: Path) -> None:
    job = ImportJob(model="transformer", backbone=transformer(), n_ctx=9, seed=0)
    exchange.import_weights(archive, tmp_path / "short", job=job)
    assert len(tensors_of(tmp_path / "short")["positions"]) == 9
    longer = job.model_copy(update={"n_ctx": CONTEXT + 1})
    with pytest.raises(UserError, match=f"n_ctx {CONTEXT}, the settings say {CONTEXT + 1}"):
        exchange.import_weights(archive, tmp_path / "long", job=longer)
    deeper = job.model_copy(update={"backbone": transformer(n_layer=3)})
    with pytest.raises(UserError, match="n_layer 2, the settings say 3"):
        exchange.import_weights(archive, tmp_path / "deep", job=deeper)


def spoil(path: Path, how: str) -> None:
    """Make one file of an archive wrong."""
    if how == "missing":
        path.unlink()
    elif how == "broken":
        path.write_bytes(b"not an array")
    else:
        array = np.load(path)
        nan = np.where(np.arange(len(array)) == 3, np.nan, array).astype(np.float32)
        array = {
            "short": array[:-1],
            "whole": array.astype(np.int64),
            "double": array.astype(np.float64),
            "nan": nan,
            "rows": array[None],
        }[how]
        np.save(path, array)


@pytest.mark.parametrize(
    ("name", "how", "said"),
    [
        ("params_3.npy", "missing", "params_3.npy: no such file; fetch it from .*openai"),
        ("params_shapes.json", "missing", "params_shapes.json: no such file"),
        ("params_3.npy", "broken", r"params_3.npy: not a .npy file"),
        ("params_9.npy", "short", r"hold [\d,]+ numbers, params_shapes.json asks for [\d,]+;"),
        ("params_2.npy", "whole", "params_2.npy: int64 numbers, float32 is needed"),
        ("params_2.npy", "double", "params_2.npy: float64 numbers, float32 is needed"),
        ("params_5.npy", "nan", "params_5.npy: holds NaN or infinity"),
        ("params_5.npy", "rows", r"params_5.npy: shape \[1, \d+\], a flat array"),
        ("vocab_40000.bpe", "missing", "no vocabulary and merges .* give --tokenizer"),
    ],
)
def test_a_wrong_archive_is_refused_in_one_line(
    archive: Path, tmp_path: Path, name: str, how: str, said: str
) -> None:
    spoil(archive / name, how)
    with pytest.raises(UserError, match=said) as caught:
        exchange.import_weights(archive, tmp_path / "out", heads=2)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s[:-1], "25 shapes, but 2 and 12 for each block"),
        (lambda s: [s[1], s[0], *s[2:]], "token rows, the tokenizer has"),
        (lambda s: [*s[:5], [8], *s[6:]], r"\[8\] for blocks.0.attn.proj.bias, expected \[16\]"),
        (lambda s: {"positions": 1}, "not the shapes of a GPT-1"),
        (lambda s: s[:4], "not the shapes of a GPT-1"),
    ],
)
def test_wrong_shapes_are_refused_in_one_line(
    archive: Path, tmp_path: Path, change: Any, said: str
) -> None:
    path = archive / "params_shapes.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=said):
        exchange.import_weights(archive, tmp_path / "out", heads=2)


def test_heads_that_do_not_divide_are_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="width 16 is not a multiple of 64; give --heads"):
        exchange.import_weights(archive, tmp_path / "out")


# transformers. -------------------------------------------------------------------------------


def their_config(tokenizer: Tokenizer, **changes: Any) -> transformers.OpenAIGPTConfig:
    sizes = {"vocab_size": tokenizer.vocab_size, "n_positions": CONTEXT, "n_embd": 16}
    return transformers.OpenAIGPTConfig(**{**sizes, "n_layer": 2, "n_head": 2, **changes})


def save_theirs(folder: Path, model: Any, tokenizer: Tokenizer) -> Path:
    """A folder as transformers writes it, the vocabulary with it."""
    model.save_pretrained(folder)
    merges: Any = tokenizer.merges
    theirs = transformers.OpenAIGPTTokenizer(vocab=tokenizer.encoder, merges=merges)
    theirs.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["OpenAIGPTLMHeadModel", "OpenAIGPTModel"])
def test_a_transformers_folder_gives_the_same_logits(
    tmp_path: Path, vocabulary: Tokenizer, kind: str
) -> None:
    theirs = getattr(transformers, kind)(their_config(vocabulary)).eval()
    folder = save_theirs(tmp_path / "theirs", theirs, vocabulary)
    exchange.import_weights(folder, tmp_path / "ours")
    _, found = read(tmp_path / "ours" / "model.safetensors")
    backbone = TransformerSettings.from_json(found["backbone"])
    assert found["tokenizer_id"] == vocabulary.id == Tokenizer.load(tmp_path / "ours/tokenizer").id
    ours = build(backbone, vocabulary.vocab_size, CONTEXT).eval()
    load(tmp_path / "ours" / "model.safetensors", ours)
    ids = torch.randint(vocabulary.vocab_size, (3, CONTEXT))
    with torch.no_grad():
        hidden, table = ours(ids)
        if kind == "OpenAIGPTModel":
            torch.testing.assert_close(hidden, theirs(ids)[0], rtol=0, atol=1e-5)
        else:
            torch.testing.assert_close(hidden @ table.t(), theirs(ids).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "gpt2"}, "not an OpenAIGPT model"),
        ({"afn": "relu"}, "afn is relu; a GPT-1 has gelu"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06"),
        ({"n_layer": None}, "n_layer is None, a number from 1"),
        ({"n_layer": 3}, "the tensor h.2.attn.c_attn.weight is missing"),
        ({"n_layer": 1}, "h.1.attn.c_attn.bias is no tensor of a language model"),
        ({"n_positions": 8}, r"positions_embed.weight is \[16, 16\], config.json asks for \[8"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(
    tmp_path: Path, vocabulary: Tokenizer, change: dict[str, Any], said: str
) -> None:
    model = transformers.OpenAIGPTLMHeadModel(their_config(vocabulary))
    folder = save_theirs(tmp_path / "theirs", model, vocabulary)
    config = json.loads((folder / "config.json").read_text()) | change
    write_json(folder / "config.json", config)
    with pytest.raises(UserError, match=said):
        exchange.import_weights(folder, tmp_path / "ours")


def test_wrong_tensors_are_refused_in_one_line(tmp_path: Path, vocabulary: Tokenizer) -> None:
    model = transformers.OpenAIGPTLMHeadModel(their_config(vocabulary))
    folder = save_theirs(tmp_path / "theirs", model, vocabulary)
    path = folder / "model.safetensors"
    whole = load_file(path)
    name = "transformer.h.0.ln_1.weight"
    for change, said in (
        ({name: torch.full((16,), torch.nan)}, "ln_1.weight holds NaN"),
        ({name: torch.ones(16, dtype=torch.int32)}, "ln_1.weight is torch.int32"),
        ({"score.weight": torch.ones(2, 16)}, "score.weight is no tensor of a language model"),
        ({"lm_head.weight": torch.ones(1)}, "lm_head.weight is not tied"),
    ):
        save_file({**whole, **change}, path)
        with pytest.raises(UserError, match=said):
            exchange.import_weights(folder, tmp_path / "ours")
    # Masks that older versions kept are no weights; a head that is tied may be stored too.
    tied = {"lm_head.weight": whole["transformer.tokens_embed.weight"].clone()}
    save_file({**whole, **tied, "transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4)}, path)
    exchange.import_weights(folder, tmp_path / "ours")
    path.write_bytes(b"broken")
    with pytest.raises(UserError, match="not readable weights"):
        exchange.import_weights(folder, tmp_path / "ours")
    path.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: no such file; save the model with"):
        exchange.import_weights(folder, tmp_path / "ours")


def test_round_trips_are_bit_exact(archive: Path, imported: Path, tmp_path: Path) -> None:
    exchange.export_weights(imported, tmp_path / "hf", "hf")
    exchange.import_weights(tmp_path / "hf", tmp_path / "back")
    assert same(imported, tmp_path / "back")
    exchange.export_weights(tmp_path / "back", tmp_path / "released", "released")
    for path in archive.iterdir():
        twin = tmp_path / "released" / path.name
        if path.suffix == ".npy":
            assert np.array_equal(np.load(path), np.load(twin)), path.name
        elif path.suffix == ".json":
            assert json.loads(path.read_text()) == json.loads(twin.read_text())
        else:
            assert path.read_bytes() == twin.read_bytes()
    # The same through transformers itself.
    theirs = transformers.OpenAIGPTLMHeadModel.from_pretrained(tmp_path / "hf")
    theirs.save_pretrained(tmp_path / "saved")
    exchange.import_weights(tmp_path / "saved", tmp_path / "third", imported / "tokenizer")
    assert same(imported, tmp_path / "third")


def test_an_exported_language_model_is_ours(
    imported: Path, tmp_path: Path, vocabulary: Tokenizer
) -> None:
    exchange.export_weights(imported, tmp_path / "hf", "hf")
    auto: Any = transformers.AutoModelForCausalLM
    theirs, loading = auto.from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ours = build(transformer(), vocabulary.vocab_size, CONTEXT).eval()
    load(imported / "model.safetensors", ours)
    ids = torch.randint(vocabulary.vocab_size, (4, CONTEXT))
    with torch.no_grad():
        hidden, table = ours(ids)
        torch.testing.assert_close(hidden @ table.t(), theirs.eval()(ids).logits, rtol=0, atol=1e-5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert isinstance(tokenizer, transformers.OpenAIGPTTokenizer)
    text = "the old cat ran home , and then we sat ."
    assert tokenizer(text)["input_ids"] == vocabulary.encode(text)
    assert tokenizer.get_vocab() == vocabulary.encoder
    (tmp_path / "hf" / "tokenizer.json").unlink()
    plain = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert plain(text)["input_ids"] == vocabulary.encode(text)


def test_the_card_says_what_is_known(imported: Path, tmp_path: Path) -> None:
    exchange.export_weights(imported, tmp_path / "hf", "hf")
    card = (tmp_path / "hf" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "transformers"
    assert "licence" not in head
    assert "license" not in head
    assert "2 layers, 16 states, 2 heads, context 16" in card
    assert "not trained by gptbench" in card
    assert "some texts get other ids" in card
    manifest = json.loads((imported / "manifest.json").read_text())
    assert manifest["run_id"] in card
    assert manifest["inputs"]["weights"] in card


# Classifiers. --------------------------------------------------------------------------------


def tuned(root: Path, tokenizer: Tokenizer, **changes: Any) -> tuple[FinetuneJob, Path, Any]:
    """A fine-tuned model's folder as the stage leaves it, without the training."""
    task: TaskSpec = task_spec(**changes)
    job = finetune_job(task, transformer(), pretrained=False)
    model = finetune.Finetuning(job, tokenizer.vocab_size, tokenizer.id, None, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    folder = root / "finetune" / "full" / task.name / "pre0-seed0"
    write_json(
        folder / "manifest.json",
        {
            "run_id": "abc",
            "stage": "finetune",
            "code": "commit",
            "packages": {"torch": "2"},
            "settings": job.model_dump(mode="json"),
        },
    )
    scores = {"scores": {"dev": {"accuracy": 51.5}}, "n": {"dev": 200}}
    write_json(folder / "metrics.json", {**scores, "steps": 3, "train_rows": 12})
    origin = Origin(tokenizer.id, tokenizer.vocab_size + 3, CONTEXT, transformer(), "abc", 3)
    metadata = {**origin.metadata(), "task": task.name}
    save(folder / "model.safetensors", model.state_dict(), metadata)
    tokenizer.save(root / "tokenizer")
    return job, folder, model.eval()


@pytest.mark.parametrize("form", ["single", "pair"])
def test_an_exported_classifier_gives_our_logits(
    tmp_path: Path, vocabulary: Tokenizer, form: str
) -> None:
    labels = ["no", "yes", "perhaps"]
    _, folder, model = tuned(tmp_path / "results", vocabulary, form=form, labels=labels)
    exchange.export_weights(folder, tmp_path / "hf", "hf")
    auto: Any = transformers.AutoModelForSequenceClassification
    theirs, loading = auto.from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert isinstance(theirs, transformers.OpenAIGPTForSequenceClassification)
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.config.id2label == dict(enumerate(labels))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    first = ["the cat sat .", "we saw it", "our"]
    second = ["it ran", ", on it", "that"]
    texts = [first] if form == "single" else [first, second]
    batch = tokenizer(*texts, padding=True, return_tensors="pt")
    start, delimiter, classify = vocabulary.start, vocabulary.delimiter, vocabulary.classify
    expected = []
    for i, one in enumerate(first):
        ids = [start, *vocabulary.encode(one)]
        ids += [] if form == "single" else [delimiter, *vocabulary.encode(second[i])]
        ids.append(classify)
        real = batch["input_ids"][i][batch["attention_mask"][i].bool()]
        assert real.tolist() == ids
        with torch.no_grad():
            hidden, _ = model.backbone(torch.tensor([ids]))
            expected.append(model.classifier(hidden[:, -1:])[0])
    assert model.classifier.linear.bias.abs().max() > 0.1, "there is something to fold"
    with torch.no_grad():
        found = theirs.eval()(**batch).logits
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-5)
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "| dev | accuracy | 51.5 | 200 |" in card
    assert "no bias" in card
    assert "SYNTHETIC" not in card.upper()
    (tmp_path / "results" / "world").mkdir()
    (tmp_path / "results" / "world" / "world.json").write_text("{}")
    exchange.export_weights(folder, tmp_path / "hf", "hf")
    assert "synthetic" in (tmp_path / "hf" / "README.md").read_text()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("similarity", "adds the states of both orders of a pair"),
        ("choice", "compares one sequence an answer"),
    ],
)
def test_what_one_sequence_does_not_decide_is_refused(
    tmp_path: Path, vocabulary: Tokenizer, form: str, said: str
) -> None:
    _, folder, _ = tuned(tmp_path / "results", vocabulary, form=form)
    with pytest.raises(UserError, match=said) as caught:
        exchange.export_weights(folder, tmp_path / "hf", "hf")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="holds a language model only"):
        exchange.export_weights(folder, tmp_path / "released", "released")


def test_a_bias_that_cannot_be_folded_is_refused() -> None:
    weight = torch.randn(2, 16)
    norm, bias = torch.randn(16), torch.tensor([0.3, -2.0])
    d = huggingface.fold_bias(norm, weight, bias) - norm
    torch.testing.assert_close(weight @ d, bias, rtol=0, atol=1e-6)
    weight[1] = 2 * weight[0]
    with pytest.raises(UserError, match="cannot be folded"):
        huggingface.fold_bias(norm, weight, bias)
    torch.testing.assert_close(
        weight @ (huggingface.fold_bias(norm, weight, 2.0 * torch.tensor([1.0, 2.0])) - norm),
        torch.tensor([2.0, 4.0]),
    )


def test_exports_that_make_no_sense_are_refused(
    imported: Path, tmp_path: Path, vocabulary: Tokenizer
) -> None:
    with pytest.raises(UserError, match="the model's own folder"):
        exchange.export_weights(imported, imported, "hf")
    other = tmp_path / "other"
    train_on_counts(Counter({"zz": 3}), TokenizerSettings(merges=1)).save(other)
    with pytest.raises(UserError, match=f"was made with {vocabulary.id}"):
        exchange.export_weights(imported, tmp_path / "hf", "hf", other)
    shutil.rmtree(imported / "tokenizer")
    with pytest.raises(UserError, match="not beside it; give --tokenizer"):
        exchange.export_weights(imported, tmp_path / "hf", "hf")
    assert not (tmp_path / "hf").exists()


def test_the_commands(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, folder = str(tmp_path / "m"), str(tmp_path / "hf")
    assert main(["weights", "import", str(archive), "--out", model, "--heads", "2"]) == 0
    assert main(["weights", "export", model, "--format", "hf", "--out", folder]) == 0
    names = {path.name for path in Path(folder).iterdir()}
    assert names == {
        *("README.md", "config.json", "model.safetensors"),
        *("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"),
    }
    assert main(["weights", "import", str(tmp_path / "no"), "--out", model]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


# What reads them. ----------------------------------------------------------------------------


def test_an_imported_model_is_its_only_checkpoint(imported: Path) -> None:
    assert zeroshot.checkpoints(imported) == {0: imported / "model.safetensors"}


def test_fine_tuning_starts_from_imported_weights(imported: Path, vocabulary: Tokenizer) -> None:
    job = finetune_job(task_spec(), transformer(), pretrained=True)
    weights = imported / "model.safetensors"
    model = finetune.Finetuning(job, vocabulary.vocab_size, vocabulary.id, weights, 1)
    rows = model.backbone.tokens[: vocabulary.vocab_size]
    assert torch.equal(rows, tensors_of(imported)["tokens"])


# The scale. ----------------------------------------------------------------------------------


def released_config() -> dict[str, Any]:
    config: dict[str, Any] = read_yaml(PROJECT / "config" / "released.yaml")
    return config


def test_the_released_scale_is_the_papers_but_for_its_weights() -> None:
    config, paper = released_config(), read_yaml(PROJECT / "config" / "paper.yaml")
    model = config["models"]["transformer"]
    assert list(config["models"]) == ["transformer"]
    assert model["backbone"] == paper["models"]["transformer"]["backbone"]
    for key in ("n_ctx", "lm_coef", "finetune", "limits", "finetune_seeds"):
        assert config[key] == paper[key], key
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(config | {"data_root": "/data"}, schemas()["config.schema.json"])
    plan = Plan.read(config | {"data_root": "/data"}, PROJECT / "config")
    assert plan.pretrained() == [("transformer", 0)]
    assert not plan.reads_books
    assert plan.weights_folder("transformer") == Path("/data/openai-gpt")
    assert {run.variant for run in plan.runs()} >= {"full", "no-pretraining", "no-aux-lm"}
    assert len({run.task for run in plan.runs()}) == 12


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokenizer": {"merges": 40000}}, "needs the vocabulary of these weights"),
        ({"pretrain_seeds": [0, 1]}, "imported weights are one model"),
        ({"models": {"transformer": {"backbone": None}}}, "models.transformer.backbone"),
    ],
)
def test_a_wrong_released_scale_is_one_line(change: dict[str, Any], said: str) -> None:
    config = released_config() | {"data_root": "/data"} | change
    with pytest.raises(UserError, match=said):
        Plan.read(config, PROJECT / "config")


def test_one_origin_of_weights() -> None:
    config = tiny_config()
    config["models"]["lstm"]["weights"] = {"path": "x"}
    with pytest.raises(UserError, match="exactly one of pretrain and weights"):
        Plan.read(config, PROJECT / "config")
    del config["models"]["lstm"]["pretrain"]
    with pytest.raises(UserError, match="for a transformer only"):
        Plan.read(config, PROJECT / "config")


def test_missing_weights_say_where_to_get_them(tmp_path: Path, vocabulary: Tokenizer) -> None:
    config = released_config() | {"data_root": str(tmp_path), "studies": []}
    plan = Plan.read(config, PROJECT / "config")
    with pytest.raises(
        UserError, match=r"encoder_bpe_40000\.json: no such file; .*openai/finetune"
    ):
        plan.check_data()
    write_archive(tmp_path / "openai-gpt", vocabulary)
    plan.check_data()
    (tmp_path / "openai-gpt" / "params_7.npy").unlink()
    with pytest.raises(UserError, match=r"params_7.npy: no such file; fetch it from .*openai/fine"):
        plan.check_data()


@pytest.mark.workflow
def test_the_released_scale_runs_from_an_archive(tmp_path: Path) -> None:
    """config/released.yaml cut down to small sizes and the embedded world, under Snakemake."""
    tiny, config = tiny_config(), released_config()
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,'-?!"
    counts = Counter({word + end: 2 for word in ("", *letters) for end in letters})
    vocabulary = train_on_counts(counts, TokenizerSettings(merges=50))
    folder = tmp_path / "openai gpt"
    arrays = write_archive(folder, vocabulary, context=80)
    for key in ("source", "world", "limits", "finetune_seeds"):
        config[key] = tiny[key]
    config |= {"scale": "tiny", "n_ctx": 64, "studies": ["table4", "transformer_ablations"]}
    config["limits"] |= {"default": {"train": 12, "eval": 8}, "tasks": {}}
    config["finetune"] |= {"epochs": 1, "threads": 1}
    config["finetune_seeds"] = [0]
    model = config["models"]["transformer"]
    model["backbone"] |= {"n_layer": 2, "n_embd": 16, "n_head": 2}
    model["weights"] = {"path": str(folder)}
    config["tokenizer"] |= {
        "vocab_file": str(folder / "encoder_bpe_40000.json"),
        "merges_file": str(folder / "vocab_40000.bpe"),
    }
    project = Project(tmp_path / "project", config)
    project.run()
    assert not (project.results / "corpus").exists()
    start = tensors_of(project.results / "pretrain" / "transformer" / "seed0")
    assert np.array_equal(start["positions"].numpy(), arrays[0][:64])
    assert np.array_equal(start["tokens"].numpy(), arrays[1])
    assert Tokenizer.load(project.results / "tokenizer").id == vocabulary.id
    inputs = {}
    for variant in ("full", "no-pretraining", "no-aux-lm"):
        run = project.results / "finetune" / variant / "rte" / "pre0-seed0"
        inputs[variant] = json.loads((run / "manifest.json").read_text())["inputs"]
        assert json.loads((run / "metrics.json").read_text())["scores"]
    run_id = json.loads((project.results / "pretrain/transformer/seed0/manifest.json").read_text())[
        "run_id"
    ]
    assert inputs["full"]["pretrained"] == inputs["no-aux-lm"]["pretrained"] == run_id
    assert "pretrained" not in inputs["no-pretraining"]
    page = (project.results / "report" / "index.html").read_text()
    assert "imported weights" in page
    table = (project.results / "report" / "tables" / "table5.csv").read_text()
    assert "Transformer w/o pre-training,this run" in table
    assert "LSTM w/ aux LM,this run" not in table
    assert project.planned() == {}
    (folder / "params_4.npy").unlink()
    done = project.run("--dry-run", check=False)
    assert "params_4.npy: no such file; fetch it from the folder model/ of" in done.stderr
    assert "Traceback" not in done.stderr
