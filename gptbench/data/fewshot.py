"""Inputs with solved examples in the context (Brown et al. 2020, section 2).

A solved example is what the zero-shot heuristic reads, completed by the right answer and ended by
a line break. So many stand before the question as are asked for and fit whole within `n_ctx`; the
question itself is that of zero-shot (`inputs.zero_shot_inputs`), and no shots are zero-shot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from gptbench.data.encoded import Encoded, EncodedTask
from gptbench.data.inputs import ZERO_SHOT, Ids, Scored, draw, prompts, zero_shot_inputs
from gptbench.data.tasks import Example, load_split
from gptbench.data.tokenizer import Tokenizer
from gptbench.errors import UserError
from gptbench.settings import FewShotJob, TaskSpec

POOL = 512
"""Training examples that the solved ones are drawn from (at most: the first draw)."""

Shots = int | Literal["fit"]
CHOOSING = tuple(name for name in ZERO_SHOT if name != "cola")
"""The tasks with answers to choose from; CoLA's heuristic has none that an example could show."""


def demonstration(name: str, example: Example, tokenizer: Tokenizer) -> Ids:
    """A solved example of a task: context, right answer, line break."""
    context, answer = prompts(name, example.texts, tokenizer)[int(example.label)]
    return [*context, *answer, tokenizer.newline]


def few_shot_inputs(
    name: str,
    texts: Sequence[str],
    solved: Iterable[Ids],
    shots: Shots,
    tokenizer: Tokenizer,
    n_ctx: int,
) -> tuple[list[Scored], int]:
    """The sequences of one question with the first scored position of each, and how many solved
    examples they begin with: the first that fit, the same for every candidate.
    """
    pairs = prompts(name, texts, tokenizer)
    room = n_ctx - max(len(context) + len(scored) for context, scored in pairs)
    shown: Ids = []
    used = 0
    for ids in solved:
        if used == shots:
            break
        if len(ids) <= room:
            shown += ids
            room -= len(ids)
            used += 1
    if not used:
        return zero_shot_inputs(name, texts, tokenizer, n_ctx)[0], 0
    return [([*shown, *c, *scored], len(shown) + len(c)) for c, scored in pairs], used


class Questions:
    """A task's questions and the solved examples that are drawn for each.

    Raises `UserError` for a task without a heuristic, and for data that cannot be read.
    """

    def __init__(self, job: FewShotJob, task: TaskSpec, root: Path, tokenizer: Tokenizer) -> None:
        if task.name not in CHOOSING:
            raise UserError(
                f"few_shot: task {task.name} has no answers to choose from; give some of"
                f" {', '.join(CHOOSING)}"
            )
        self.job, self.task, self.root, self.tokenizer = job, task, root, tokenizer
        train = load_split(task, task.train, root).examples
        pool = draw(train, POOL, job.draw_seed, f"{task.name}/{task.train}/few-shot")
        self.solved = [demonstration(task.name, example, tokenizer) for example in pool]

    def order(self, split: str, index: int) -> Iterable[Ids]:
        """The solved examples in the order that is drawn for one question."""
        part = hashlib.sha256(f"{self.task.name}/{split}".encode()).digest()[:4]
        rng = np.random.default_rng([self.job.draw_seed, int.from_bytes(part, "big"), index])
        return (self.solved[i] for i in rng.permutation(len(self.solved)))

    def encoded(self, splits: Sequence[str], shots: Shots) -> tuple[EncodedTask, float]:
        """The inputs of some splits, and the mean number of solved examples before a question."""
        found, counts = {}, []
        for split in splits:
            examples = load_split(self.task, split, self.root).examples
            name = f"{self.task.name}/{split}/zeroshot"
            examples = draw(examples, self.job.rows, self.job.limits_seed, name)
            sequences: list[Scored] = []
            for example in examples:
                solved = self.order(split, example.index)
                made, used = few_shot_inputs(
                    self.task.name, example.texts, solved, shots, self.tokenizer, self.job.n_ctx
                )
                sequences += made
                counts.append(used)
            found[split] = _encoded(sequences, examples)
        task = EncodedTask(self.task.name, self.tokenizer.vocab_size, self.tokenizer.id, found)
        return task, float(np.mean(counts))


def _encoded(sequences: Sequence[Scored], examples: Sequence[Example]) -> Encoded:
    return Encoded(
        tokens=np.asarray([i for ids, _ in sequences for i in ids], np.int32),
        offsets=np.cumsum([0, *(len(ids) for ids, _ in sequences)]).astype(np.int64),
        per_example=len(sequences) // len(examples),
        labels=np.asarray([example.label for example in examples], np.int64),
        index=np.asarray([example.index for example in examples], np.int64),
        scored_from=np.asarray([first for _, first in sequences], np.int64),
    )
