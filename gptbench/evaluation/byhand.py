"""A trained model tried by hand: new rows, generated text, the probability of each token."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gptbench.artifacts import MANIFEST, read_json
from gptbench.data.encoded import Encoded
from gptbench.data.inputs import fine_tuning_inputs
from gptbench.device import Device, prepare
from gptbench.errors import UserError
from gptbench.evaluation.perplexity import Loaded as Loaded
from gptbench.models.archive import SAFETENSORS
from gptbench.models.exchange import find_tokenizer
from gptbench.models.heads import token_losses
from gptbench.models.weights import read
from gptbench.settings import FinetuneJob, TaskSpec
from gptbench.training.finetune import Finetuning, Scored

CHUNK = 64
"""Rows that go through the model together."""
FORMS = {
    "single": '{"text": ...}',
    "pair": '{"text1": ..., "text2": ...}',
    "similarity": '{"text1": ..., "text2": ...}',
    "choice": '{"context": ..., "question": ... (may be missing), "answers": [..., ...]}',
}


# New rows. ------------------------------------------------------------------------------------


class Predictor:
    """A fine-tuned model of a folder `finetune/<variant>/<task>/<seeds>` whose weights were kept.

    Raises `UserError` where the folder holds no classifier, or its tokenizer is not found.
    """

    def __init__(self, folder: Path, tokenizer: Path | None = None) -> None:
        path = folder / SAFETENSORS
        if not path.is_file():
            raise UserError(
                f"{path}: no such file; only runs with `keep` (first-seed or all) have weights"
            )
        tensors, found = read(path)
        if "task" not in found:
            raise UserError(f"{folder}: a language model; give the folder of a fine-tuning run")
        self.job = FinetuneJob.model_validate(read_json(folder / MANIFEST)["settings"])
        self.tokenizer = find_tokenizer(folder, found["tokenizer_id"], tokenizer)
        self.device: Device = prepare(torch.get_num_threads())
        size = self.tokenizer.vocab_size
        self.module = Finetuning(self.job, size, self.tokenizer.id, None, 1)
        self.module.load_state_dict(tensors)
        self.module.to(self.device.place)

    @property
    def task(self) -> TaskSpec:
        """What it was fine-tuned on."""
        return self.job.task

    def scored(self, rows: Sequence[tuple[str, ...]]) -> tuple[list[float], list[list[float]]]:
        """Predictions and scores of rows that all have the same number of texts.

        `rows` are texts as in `data.tasks.Example`. A prediction is a class or answer number, or
        a score; its scores are probabilities of the classes or answers.
        """
        found = [
            fine_tuning_inputs(row, self.task.format, self.tokenizer, self.job.n_ctx)[0]
            for row in rows
        ]
        sequences = [ids for each in found for ids in each]
        data = Encoded(
            np.concatenate([np.asarray(ids, np.int32) for ids in sequences]),
            np.cumsum([0, *map(len, sequences)]).astype(np.int64),
            len(found[0]),
            np.zeros(len(rows), np.float32 if self.task.range else np.int64),
            np.arange(len(rows), dtype=np.int64),
        )
        scored = Scored(self.module, data, self.device)
        return scored.prediction.tolist(), scored.scores.tolist()

    def answers(self, rows: Sequence[tuple[str, ...]]) -> list[dict[str, Any]]:
        """One JSON object a row: `label` and `scores` by label, `score`, or `answer` and `scores`.

        Rows of a choice may differ in their number of answers.
        """
        out: list[dict[str, Any]] = [{} for _ in rows]
        for count in sorted({len(row) for row in rows}):
            places = [i for i, row in enumerate(rows) if len(row) == count]
            predictions, scores = self.scored([rows[i] for i in places])
            for i, prediction, each in zip(places, predictions, scores, strict=True):
                out[i] = self._answer(prediction, each)
        return out

    def _answer(self, prediction: float, scores: list[float]) -> dict[str, Any]:
        rounded = [round(score, 6) for score in scores]
        if self.task.range is not None:
            return {"score": round(prediction, 6)}
        if self.task.labels is None:
            return {"answer": int(prediction), "scores": rounded}
        names = self.task.labels
        return {
            "label": names[int(prediction)],
            "scores": dict(zip(names, rounded, strict=True)),
        }


def read_row(line: str, form: str, where: str) -> tuple[str, ...]:
    """The texts of a JSON line; raises `UserError` naming the line and the form it should have."""
    try:
        row = json.loads(line)
        if form == "single":
            texts = [row["text"]]
        elif form == "choice":
            texts = [row["context"], row.get("question", ""), *row["answers"]]
            if len(texts) < 4:
                raise ValueError
        else:
            texts = [row["text1"], row["text2"]]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{where}: not a row of this task; give {FORMS[form]}") from None
    return tuple(texts)


def predict(predictor: Predictor, lines: Iterator[str], where: str, chunk: int) -> Iterator[str]:
    """JSON lines of answers to JSON lines of rows, `chunk` rows at a time; blank lines are none."""
    held: list[tuple[str, ...]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        held.append(read_row(line, predictor.task.format, f"{where}, line {number}"))
        if len(held) == chunk:
            yield from (json.dumps(answer) for answer in predictor.answers(held))
            held.clear()
    if held:
        yield from (json.dumps(answer) for answer in predictor.answers(held))


# Language models. -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Temperature 0 takes the most probable one.

    `top_k` keeps the k most probable tokens, `top_p` the fewest whose probabilities reach p.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise UserError(f"--temperature {self.temperature}: give 0 or more")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"--top-k {self.top_k}: give 1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"--top-p {self.top_p}: give more than 0, at most 1")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities [vocabulary] of the next token from its logits."""
        if self.temperature == 0:
            return torch.nn.functional.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
        found = (logits / self.temperature).softmax(-1)
        order = found.argsort(descending=True, stable=True)
        kept = torch.ones_like(found, dtype=torch.bool)
        if self.top_k is not None:
            kept[order[self.top_k :]] = False
        if self.top_p is not None:
            before = found[order].cumsum(0) - found[order]
            kept[order[before >= self.top_p]] = False
        found = found * kept
        return found / found.sum()


@torch.inference_mode()
def generate(loaded: Loaded, prompt: str, tokens: int, how: Sampling, seed: int) -> str:
    """`prompt` and `tokens` tokens more, drawn from P(u_i | the context before it).

    An empty prompt is a line break. The same seed gives the same text on one machine.
    """
    ids = loaded.tokenizer.encode(prompt) or [loaded.tokenizer.newline]
    given = len(ids)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(tokens):
        window = torch.tensor([ids[-loaded.context :]], device=loaded.place)
        hidden, table = loaded.model(window)
        logits = (hidden[0, -1] @ table.t())[: loaded.tokenizer.vocab_size].float().cpu()
        ids.append(int(torch.multinomial(how.probabilities(logits), 1, generator=generator)))
    if not prompt:
        return loaded.tokenizer.decode(ids[given:])
    return loaded.tokenizer.decode(ids)


@dataclass(frozen=True)
class TokenScore:
    """A token of a text: its log-probability (natural) and its rank among all tokens, from 1.

    Both are None for the first token, which nothing predicts.
    """

    text: str
    id: int
    logprob: float | None
    rank: int | None


@torch.inference_mode()
def token_scores(loaded: Loaded, text: str) -> list[TokenScore]:
    """Each token of `text` given those before it, in windows that slide by half a context.

    As in `evaluation.perplexity`, a token has at least half a context before it, once the text is
    that long. Raises `UserError` for an empty text.
    """
    ids = loaded.tokenizer.encode(text)
    if not ids:
        raise UserError("the text is empty; give some words to score")
    stride = max(1, loaded.context // 2)
    found: list[tuple[float, int]] = []
    start = 0
    while len(found) < len(ids) - 1:
        window = torch.tensor(ids[start : start + loaded.context], device=loaded.place)
        first = len(found) + 1 - start
        hidden, table = loaded.model(window[None, :-1])
        states, targets = hidden[0, first - 1 :], window[first:]
        losses = token_losses(states, table, targets)
        logits = states @ table.t()
        ranks = (logits > logits.gather(1, targets[:, None])).sum(1) + 1
        found += list(zip((-losses).tolist(), ranks.tolist(), strict=True))
        start += stride
    scored = [(None, None), *found]
    names = [loaded.tokenizer.decode([i]) for i in ids]
    return [
        TokenScore(name, i, logprob, rank)
        for name, i, (logprob, rank) in zip(names, ids, scored, strict=True)
    ]


def coloured_page(scores: Sequence[TokenScore], model: str) -> str:
    """A self-contained page on which a token is the darker the less probable it was."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("gptbench.report", "templates"), autoescape=True)
    known = [score.logprob for score in scores if score.logprob is not None]
    nats = -sum(known) / len(known) if known else 0.0
    page: str = environment.get_template("score.html.j2").render(
        model=model, scores=scores, nats=nats, tokens=len(known), perplexity=float(np.exp(nats))
    )
    return page
