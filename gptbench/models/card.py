"""The model card of an exported model: what its manifest and metrics say, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gptbench.settings import TaskSpec

Data = Mapping[str, Any]
TEXT = """\
## Text

The tokenizer in this folder is transformers' own for this architecture, with this model's
vocabulary and merges. It prepares text in another way than the released code and gptbench do
(contractions, accents, dashes, line breaks), so that some texts get other ids. `gptbench tokenizer
encode` gives the exact ones: hand those to the model where numbers matter."""
SYNTHETIC = """\
**Books and data sets were synthetic**: an invented world that gptbench generates. The model knows
nothing of real text, and its scores cannot be compared with others'."""


def text(manifest: Data, metrics: Data, task: TaskSpec | None, synthetic: bool) -> str:
    """README.md of a folder for transformers."""
    tag = "text-classification" if task else "text-generation"
    head = ["---", "library_name: transformers", f"pipeline_tag: {tag}", "tags:", "- gptbench"]
    body = [
        *([SYNTHETIC] if synthetic else []),
        *(_classifier(manifest, metrics, task) if task else _language_model(manifest, metrics)),
        TEXT,
        *_origin(manifest),
    ]
    return "\n".join([*head, "---", "", "\n\n".join(body), ""])


def _size(settings: Data) -> str:
    backbone = settings["backbone"]
    return (
        f"{backbone['n_layer']} layers, {backbone['n_embd']} states, {backbone['n_head']} heads,"
        f" context {settings['n_ctx']}"
    )


def _language_model(manifest: Data, metrics: Data) -> Iterator[str]:
    settings = manifest["settings"]
    yield "# A GPT-1 language model"
    size = (
        f"{_size(settings)}, {metrics['parameters']:,} parameters; softmax tied to the embedding."
    )
    yield f"The decoder-only transformer of Radford et al. (2018): {size}"
    if "imported" in manifest:
        yield (
            "The weights were imported, not trained by gptbench: the files do not say what they"
            " were trained on, nor under which licence they are. Digest of their names and contents"
            f" (SHA-256, shortened): `{manifest['inputs']['weights']}`."
        )
        return
    yield (
        f"Pre-trained with gptbench: {metrics['steps']:,} updates, {metrics['tokens']:,} tokens"
        f" ({metrics['epochs']:.2f} epochs), on the corpus `{manifest['inputs']['corpus']}`."
        f" Perplexity a token on {metrics['validation_tokens']:,} tokens of held-out books:"
        f" {metrics['perplexity']:.2f} (side by side windows; perplexities of different tokenizers"
        " cannot be compared)."
    )


def _classifier(manifest: Data, metrics: Data, task: TaskSpec) -> Iterator[str]:
    settings = manifest["settings"]
    yield f"# A GPT-1 classifier: {task.name}"
    start = "from a pre-trained model" if settings["pretrained"] else "from random weights"
    yield (
        f"The transformer of Radford et al. (2018), {_size(settings)}, fine-tuned with gptbench on"
        f" `{task.name}` {start}: variant `{settings['variant']}`, lambda"
        f" {settings['lm_coef']:g}, {metrics['steps']:,} updates on {metrics['train_rows']:,} rows,"
        f" seed {settings['seed']}."
    )
    rows = [
        f"| {name} | {metric} | {value:.1f} | {metrics['n'][name]:,} |"
        for name, values in metrics["scores"].items()
        for metric, value in values.items()
    ]
    yield "\n".join(["| split | metric | score | rows |", "| --- | --- | --- | --- |", *rows])
    order = (
        "start text classify"
        if task.format == "single"
        else "start first delimiter second classify"
    )
    yield (
        f"Input: `{order}`. The tokenizer puts the three special tokens there by itself; the last"
        " token that is not padding (`<unk>`) decides. gptbench cuts each text to half the context"
        " less two tokens, this tokenizer cuts only what exceeds the context."
    )
    if task.range:
        yield "The classes are whole numbers; the predicted score is their expectation."
    yield (
        "transformers' classifier has no bias: this model's was folded into the bias of the last"
        " LayerNorm, which gives the same logits. The last hidden states differ by that constant,"
        " so they are no states for a language model head."
    )


def _origin(manifest: Data) -> Iterator[str]:
    packages = ", ".join(f"{name} {version}" for name, version in manifest["packages"].items())
    yield "## Origin"
    yield (
        f"Run `{manifest['run_id']}` (stage {manifest['stage']}), code `{manifest['code']}`,"
        f" {packages}."
    )
    yield (
        "gptbench states no licence: which one holds depends on the weights and on the data that"
        " they were trained on."
    )
