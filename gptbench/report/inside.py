"""What the page shows of the models' inside: their pictures, a task's input, a sentence's way.

The models are drawn from the settings. Inputs are rows of the run's data where these may be shown,
and made up where not; the sentences come from the stage `attention`. What is not there is said in
the page.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gptbench.artifacts import read_json
from gptbench.data.encoded import EXAMPLES, Encoded, EncodedTask
from gptbench.data.inputs import fine_tuning_inputs
from gptbench.data.preview import SHOWN, token_name
from gptbench.data.shown import ROWS
from gptbench.data.tokenizer import ENCODER, Tokenizer
from gptbench.report import csvfile
from gptbench.report.architecture import Architecture, Stage, architecture, classifier
from gptbench.report.diagram import NOTES, Diagram, diagram
from gptbench.report.outputs import class_names
from gptbench.report.results import Results
from gptbench.settings import TaskSpec

COLOUR = (47, 127, 193)
"""Of the small maps: it is seen on white and on black."""
SHORTEST = 6
"""Tokens of an example that is shown, at least, its special tokens among them."""
FORMS = {
    "single": ("Classification", "one text"),
    "pair": ("Entailment", "premise, then hypothesis"),
    "similarity": ("Similarity", "both orders, whose states are added"),
    "choice": ("Multiple choice", "one sequence an answer; a softmax over their scores"),
}


@dataclass(frozen=True)
class Drawn:
    """A model of the scale: its stages, what training counted, and its drawing if there is one."""

    name: str
    made: Architecture
    head: Stage
    head_of: str
    counted: int | None
    diagram: Diagram | None

    @property
    def summary(self) -> str:
        """The drawing in words."""
        steps = [f"{stage.title} {stage.sizes}" for stage in [*self.made.stages, self.head]]
        return f"From the bottom to the top: {'; '.join(steps)}."


@dataclass(frozen=True)
class Chip:
    """A token of an input: as a person reads it, its id, and whether it is a special one."""

    text: str
    id: int
    special: bool


@dataclass(frozen=True)
class Format:
    """One of the four input formats with an example: where it is from, and its label."""

    form: str
    title: str
    what: str
    source: str
    label: str
    sequences: list[list[Chip]]


def section(results: Results) -> dict[str, Any]:
    """What the template `_inside.html.j2` shows."""
    vocabulary = results.root / "tokenizer" / ENCODER
    models = list(_models(results, len(read_json(vocabulary)))) if vocabulary.is_file() else []
    seen = attention(results)
    return {
        "models": models,
        "notes_x": NOTES,
        "formats": list(_formats(results)) if vocabulary.is_file() else [],
        "asked": bool(results.plan.attention_models()),
        "seen": seen,
        "sentences": [_maps(seen, sentence) for sentence in seen["sentences"]] if seen else [],
    }


def write(results: Results, folder: Path) -> None:
    """`attention.csv` and `attention_heads.csv` in a folder; nothing where the stage did not run.

    The first has one row for each weight of a map on and below the diagonal.
    """
    if (seen := attention(results)) is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attention.csv").write_text(csvfile.to_text(HEAD, _weight_rows(seen)), "utf-8")
    names = ("layer", "head", "previous", "first", "itself")
    rows = [[str(row[name]) for name in names] for row in seen["heads"]]
    (folder / "attention_heads.csv").write_text(csvfile.to_text(names, rows), "utf-8")


HEAD = tuple("sentence layer head position token looks_at looked_at weight".split())


def _weight_rows(seen: Mapping[str, Any]) -> Iterator[list[str]]:
    for number, sentence in enumerate(seen["sentences"], 1):
        tokens = sentence["tokens"]
        for layer, heads in enumerate(sentence["weights"], 1):
            for head, rows in enumerate(heads, 1):
                for i, row in enumerate(rows):
                    for j, weight in enumerate(row):
                        yield [
                            *map(str, (number, layer, head, i + 1, tokens[i])),
                            *map(str, (j + 1, tokens[j], weight)),
                        ]


def attention(results: Results) -> dict[str, Any] | None:
    """`attention.json` of the model that the scale looks into; None where it is not there."""
    for model, seed in results.plan.attention_models():
        path = results.root / "attention" / model / f"seed{seed}" / "attention.json"
        if path.is_file():
            found: dict[str, Any] = read_json(path)
            return found
    return None


# The models. ----------------------------------------------------------------------------------


def _models(results: Results, vocab_size: int) -> Iterator[Drawn]:
    """The models that the scale pre-trains or has: the one looked into, then by name."""
    config, used = results.job.config, {model for model, _ in results.asked.pretrained}
    looked = [name for name, _ in results.plan.attention_models()]
    labelled = [task for task in results.job.tasks.values() if task.labels]
    task = next((task for task in labelled if task.name == "mnli"), labelled[0])
    for name, model in sorted(config.models.items(), key=lambda m: (m[0] not in looked, m[0])):
        if name not in used and name not in results.pretrained:
            continue
        batch = (model.pretrain or config.finetune).batch_size
        made = architecture(model.backbone, batch, config.n_ctx, vocab_size)
        head = classifier(model.backbone.n_embd, config.finetune.batch_size, len(task.labels or []))
        runs = results.pretrained.get(name, {})
        counted = next((run.get("parameters") for run in runs.values()), None)
        drawn = diagram(made, head) if made.drawn else None
        yield Drawn(name, made, head, task.title, counted, drawn)


# A task's input. ------------------------------------------------------------------------------


def _formats(results: Results) -> Iterator[Format]:
    """Of each format the data set with the fewest rows that is there, and a short row of it.

    Made-up rows where the data sets' own may not be shown.
    """
    tokenizer = Tokenizer.load(results.root / "tokenizer")
    if not results.texts_shown:
        for form, (title, what) in FORMS.items():
            ids, _ = fine_tuning_inputs(ROWS[form], form, tokenizer, results.job.config.n_ctx)
            yield Format(form, title, what, "a made-up row", "", _chips(tokenizer, ids))
        return
    for form, (title, what) in FORMS.items():
        there = [
            task
            for task in results.job.tasks.values()
            if task.format == form
            and task.name in results.facts
            and (results.root / "tasks" / task.name / EXAMPLES).is_file()
        ]
        for task in sorted(there, key=lambda t: sum(results.facts[t.name]["rows"].values())):
            found = EncodedTask.load(results.root / "tasks" / task.name)
            split = next(iter(task.scored.values()))[0]
            if found.tokenizer_id == tokenizer.id and split in found.splits:
                yield _format(form, title, what, task, split, found.splits[split], tokenizer)
                break


def _format(
    form: str,
    title: str,
    what: str,
    task: TaskSpec,
    split: str,
    encoded: Encoded,
    tokenizer: Tokenizer,
) -> Format:
    i = shortest(encoded)
    label = encoded.labels[i]
    if form == "choice":
        said = f"answer {int(label) + 1} is right"
    else:
        said = f"label {class_names(task)[int(label)] if task.labels else f'{float(label):g}'}"
    where = f"{task.title}, {split}, row {int(encoded.index[i])}"
    sequences = [encoded.sequence(i, k) for k in range(encoded.per_example)]
    return Format(form, title, what, where, said, _chips(tokenizer, sequences))


def shortest(encoded: Encoded) -> int:
    """The example with the fewest tokens among those whose sequences have `SHORTEST` or more.

    The first of several; the longest of all where none has so many.
    """
    lengths = encoded.lengths()
    total, enough = lengths.sum(1), (lengths >= SHORTEST).all(1)
    if not enough.any():
        return int(total.argmax())
    return int(np.where(enough, total, total.max() + 1).argmin())


def _chips(tokenizer: Tokenizer, sequences: Iterable[Iterable[int]]) -> list[list[Chip]]:
    return [[_chip(tokenizer, int(token)) for token in ids] for ids in sequences]


def _chip(tokenizer: Tokenizer, token: int) -> Chip:
    special = (tokenizer.start, tokenizer.delimiter, tokenizer.classify)
    if token in special:
        return Chip(SHOWN[special.index(token)], token, special=True)
    return Chip(token_name(tokenizer, token), token, special=False)


# Attention. -----------------------------------------------------------------------------------


def _maps(seen: Mapping[str, Any], sentence: Mapping[str, Any]) -> dict[str, Any]:
    """One sentence for the page: a small picture of each head's map, and one map as numbers."""
    chosen = max(seen["heads"], key=lambda row: row["previous"])
    weights = sentence["weights"]
    layer, head = chosen["layer"] - 1, chosen["head"] - 1
    whole = [[percents(rows) for rows in heads] for heads in weights]
    return {
        **sentence,
        "images": [[image(rows) for rows in heads] for heads in weights],
        "chosen": (layer, head),
        "rows": whole[layer][head],
        "json": json.dumps(whole, separators=(",", ":")),
    }


def percents(rows: Sequence[Sequence[float]]) -> list[list[int]]:
    """Weights in whole per cent."""
    return [[round(100 * weight) for weight in row] for row in rows]


def image(rows: Sequence[Sequence[float]]) -> str:
    """A map as a data URI of a PNG, a pixel a weight: the larger, the less transparent."""
    from matplotlib.image import imsave

    n = len(rows)
    pixels: NDArray[np.uint8] = np.zeros((n, n, 4), np.uint8)
    pixels[..., :3] = COLOUR
    for i, row in enumerate(rows):
        pixels[i, : len(row), 3] = np.rint(255 * np.asarray(row))
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png", metadata={"Software": "gptbench"})
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
