"""Examples to token sequences: figure 1 of the paper for fine-tuning, and the zero-shot inputs.

Fine-tuning (section 3.3; s, d, c the special tokens start, delimiter, classify):

- single: `s text c`
- pair: `s text1 d text2 c`
- similarity: both orders of a pair
- choice: `s context question d answer_k c` for each answer

No sequence is longer than `n_ctx`. Zero-shot sequences hold no special token: the language
model never saw one.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gptbench.artifacts import MANIFEST, Run, file_digest, write_json
from gptbench.data.encoded import EXAMPLES, ZEROSHOT, Encoded, EncodedTask
from gptbench.data.formats import split_source
from gptbench.data.tasks import Example, Parsed, files_of, load_split
from gptbench.data.tokenizer import Tokenizer
from gptbench.errors import UserError
from gptbench.settings import EncodeJob, TaskSpec

__all__ = ["Encoded", "EncodedTask", "encode_task", "fine_tuning_inputs", "run", "zero_shot_inputs"]

Ids = list[int]
Scored = tuple[Ids, int]


# Fine-tuning. --------------------------------------------------------------------------------


def fine_tuning_inputs(
    texts: Sequence[str], form: str, tokenizer: Tokenizer, n_ctx: int
) -> tuple[list[Ids], bool]:
    """The sequences of one example, and whether a text was cut.

    Each text is cut to `n_ctx // 2 - 2` tokens as in the released code; of a choice with a
    question see `_choice`.
    """
    if form == "choice":
        return _choice(texts, tokenizer, n_ctx)
    start, delimiter, classify = tokenizer.start, tokenizer.delimiter, tokenizer.classify
    limit = n_ctx // 2 - 2
    whole = [tokenizer.encode(text) for text in texts]
    cut = any(len(ids) > limit for ids in whole)
    parts = [ids[:limit] for ids in whole]
    if form == "single":
        return [[start, *parts[0], classify]], cut
    one, two = parts
    forward = [start, *one, delimiter, *two, classify]
    if form == "pair":
        return [forward], cut
    return [forward, [start, *two, delimiter, *one, classify]], cut


def _choice(texts: Sequence[str], tokenizer: Tokenizer, n_ctx: int) -> tuple[list[Ids], bool]:
    """`s context question d answer_k c` for each answer.

    Without a question (Story Cloze) context and answers are cut as every text is. With one
    (RACE, for which nothing is released) question and answer stay whole and the passage's end
    is cut, for each answer by itself; a question that leaves no room loses its end as well, and
    at last the answer.
    """
    context, question, *answers = (tokenizer.encode(text) for text in texts)
    limit = n_ctx // 2 - 2
    cut = False
    out = []
    for answer in answers:
        if texts[1]:
            answer_kept = answer[: n_ctx - 3]
            question_kept = question[: n_ctx - 3 - len(answer_kept)]
            room = n_ctx - 3 - len(answer_kept) - len(question_kept)
            context_kept = context[:room]
        else:
            context_kept, question_kept, answer_kept = context[:limit], [], answer[:limit]
        kept = len(context_kept) + len(question_kept) + len(answer_kept)
        cut = cut or kept < len(context) + len(question) + len(answer)
        before = [tokenizer.start, *context_kept, *question_kept]
        out.append([*before, tokenizer.delimiter, *answer_kept, tokenizer.classify])
    return out, cut


# Zero-shot. ----------------------------------------------------------------------------------


def zero_shot_inputs(
    name: str, texts: Sequence[str], tokenizer: Tokenizer, n_ctx: int
) -> tuple[list[Scored], bool]:
    """The sequences of one example with the first scored position of each, and whether one was
    cut. The heuristics are section 5's ("Zero-shot behaviors").

    - cola: the sentence, every token but the first scored.
    - sst2: the text and `very`, then `negative` (0) or `positive` (1), that word scored.
    - race: passage and question, then each answer, scored.
    - dprd: the sentence with a candidate in the pronoun's place, what follows it scored.

    What is too long loses the context's beginning; what is scored stays.
    """
    return fitted(ZERO_SHOT[name](texts, tokenizer), n_ctx)


def _cola(texts: Sequence[str], tokenizer: Tokenizer) -> list[tuple[Ids, Ids]]:
    ids = tokenizer.encode(texts[0])
    return [(ids[:1], ids[1:])]


def _sst2(texts: Sequence[str], tokenizer: Tokenizer) -> list[tuple[Ids, Ids]]:
    context = tokenizer.encode(texts[0]) + tokenizer.encode("very")
    return [(context, tokenizer.encode(word)) for word in ("negative", "positive")]


def _race(texts: Sequence[str], tokenizer: Tokenizer) -> list[tuple[Ids, Ids]]:
    context = tokenizer.encode(texts[0]) + tokenizer.encode(texts[1])
    return [(context, tokenizer.encode(answer)) for answer in texts[2:]]


def _dprd(texts: Sequence[str], tokenizer: Tokenizer) -> list[tuple[Ids, Ids]]:
    sentence, pronoun, *candidates = texts
    before, after = cut_at_pronoun(sentence, pronoun)
    rest = tokenizer.encode(after)
    return [(tokenizer.encode(f"{before}{candidate}"), rest) for candidate in candidates]


def cut_at_pronoun(sentence: str, pronoun: str) -> tuple[str, str]:
    """The text before and after the pronoun of a DPRD sentence.

    DPRD names the pronoun but not its place. The last occurrence as a whole word that leaves
    something to score is taken (letter by letter first, then in any case). Raises `UserError`
    where there is none.
    """
    for flags in (0, re.IGNORECASE):
        found = list(re.finditer(rf"(?<!\w){re.escape(pronoun)}(?!\w)", sentence, flags))
        for match in reversed(found):
            if sentence[match.end() :].strip():
                return sentence[: match.start()], sentence[match.end() :]
    raise UserError(f"the pronoun `{pronoun}` is not in `{sentence}`, or nothing follows it")


ZERO_SHOT: dict[str, Callable[[Sequence[str], Tokenizer], list[tuple[Ids, Ids]]]] = {
    "cola": _cola,
    "sst2": _sst2,
    "race": _race,
    "dprd": _dprd,
}


def fitted(pairs: list[tuple[Ids, Ids]], n_ctx: int) -> tuple[list[Scored], bool]:
    """Context and scored part joined within `n_ctx`, at least one token of context kept."""
    out, cut = [], False
    for context, scored in pairs:
        cut = cut or len(context) + len(scored) > n_ctx
        scored = scored[: n_ctx - min(1, len(context))]
        context = context[max(0, len(context) + len(scored) - n_ctx) :]
        out.append(([*context, *scored], max(1, len(context))))
    return out, cut


# Splits. -------------------------------------------------------------------------------------


@dataclass
class _Split:
    """Sequences of a split as they are collected."""

    sequences: list[Ids] = field(default_factory=list)
    scored_from: list[int] = field(default_factory=list)
    cut: int = 0

    def encoded(self, examples: Sequence[Example], scored: bool, regression: bool) -> Encoded:
        lengths = [len(sequence) for sequence in self.sequences]
        return Encoded(
            tokens=np.asarray([i for sequence in self.sequences for i in sequence], np.int32),
            offsets=np.cumsum([0, *lengths]).astype(np.int64),
            per_example=len(self.sequences) // len(examples),
            labels=np.asarray([e.label for e in examples], np.float32 if regression else np.int64),
            index=np.asarray([e.index for e in examples], np.int64),
            scored_from=np.asarray(self.scored_from, np.int64) if scored else None,
        )


def draw(examples: list[Example], rows: int | None, seed: int, name: str) -> list[Example]:
    """At most `rows` examples, drawn without replacement and kept in order.

    The draw depends on the seed and on `name` (task and split) alone.
    """
    if rows is None or len(examples) <= rows:
        return examples
    part = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    chosen = np.random.default_rng([seed, part]).choice(len(examples), rows, replace=False)
    return [examples[i] for i in np.sort(chosen)]


def _encode_fine_tuning(
    job: EncodeJob, examples: Sequence[Example], tokenizer: Tokenizer
) -> tuple[Encoded, float]:
    split = _Split()
    for example in examples:
        found, cut = fine_tuning_inputs(example.texts, job.task.format, tokenizer, job.n_ctx)
        split.sequences.extend(found)
        split.cut += cut
    encoded = split.encoded(examples, scored=False, regression=job.task.range is not None)
    return encoded, split.cut / len(examples)


def _encode_zero_shot(
    job: EncodeJob, examples: Sequence[Example], tokenizer: Tokenizer
) -> tuple[Encoded, float]:
    split = _Split()
    for example in examples:
        try:
            found, cut = zero_shot_inputs(job.task.name, example.texts, tokenizer, job.n_ctx)
        except UserError as error:
            raise UserError(f"task {job.task.name}, row {example.index}: {error}") from None
        for sequence, first in found:
            split.sequences.append(sequence)
            split.scored_from.append(first)
        split.cut += cut
    return split.encoded(examples, scored=True, regression=False), split.cut / len(examples)


def encode_task(
    job: EncodeJob, root: Path, tokenizer: Tokenizer
) -> tuple[EncodedTask | None, EncodedTask | None, dict[str, Any]]:
    """Inputs for fine-tuning, inputs for zero-shot, and the task's facts (docs/design.md).

    A task without fine-tuning (DPRD) gives None for the first, a job without `zeroshot` None
    for the second. Raises `UserError` for data that cannot be read.
    """
    task = job.task
    if job.zeroshot and task.name not in ZERO_SHOT:
        raise UserError(
            f"task {task.name}: no zero-shot heuristic; there is one for {', '.join(ZERO_SHOT)}"
        )
    tuned = task.kind != "pronoun resolution"
    facts = _Facts(task, root)
    parsed = {split: load_split(task, split, root) for split in task.files}
    splits: dict[str, Encoded] = {}
    for split, part in parsed.items():
        rows = job.limits.train if split == task.train else job.limits.eval
        examples = draw(part.examples, rows, job.seed, f"{task.name}/{split}")
        encoded, cut = _encode_fine_tuning(job, examples, tokenizer)
        if tuned:
            splits[split] = encoded
        facts.add(split, part, examples, encoded, cut)
    zero: dict[str, Encoded] = {}
    for split in _zero_shot_splits(task) if job.zeroshot else []:
        name = f"{task.name}/{split}/zeroshot"
        examples = draw(parsed[split].examples, job.zeroshot_rows, job.seed, name)
        zero[split], _ = _encode_zero_shot(job, examples, tokenizer)
    made = [
        EncodedTask(task.name, tokenizer.vocab_size, tokenizer.id, part) if part else None
        for part in (splits, zero)
    ]
    return made[0], made[1], facts.all()


def _zero_shot_splits(task: TaskSpec) -> list[str]:
    """The scored splits; CoLA's training split too, from which the threshold comes."""
    scored = list(dict.fromkeys(split for parts in task.scored.values() for split in parts))
    return [task.train, *scored] if task.name == "cola" else scored


class _Facts:
    """`facts.json` of a task: what was found, what is used, what was cut."""

    def __init__(self, task: TaskSpec, root: Path) -> None:
        self._task = task
        self._root = root
        self._splits: dict[str, dict[str, Any]] = {}
        self._mean = 0.0

    def add(
        self,
        split: str,
        parsed: Parsed,
        examples: Sequence[Example],
        encoded: Encoded,
        cut: float,
    ) -> None:
        """The facts of one split."""
        self._splits[split] = {
            "digest": file_digest(self._root / split_source(self._task.files[split])[0]),
            "rows": len(examples),
            "rows_found": parsed.found,
            "labels": self._labels(examples),
            "tokens": len(encoded.tokens),
            "truncated": round(cut, 6),
            "unlabelled": parsed.unlabelled,
            "skipped": parsed.skipped,
        }
        if split == self._task.train:
            self._mean = float(np.diff(encoded.offsets).mean())

    def _labels(self, examples: Sequence[Example]) -> dict[str, int]:
        """How many of each class or right answer; of a regression, of each rounded value."""
        names = self._task.labels
        counted = Counter(round(example.label) for example in examples)
        return {names[i] if names else str(i): counted[i] for i in sorted(counted)}

    def all(self) -> dict[str, Any]:
        """Facts by name, then by split; `mean_tokens` is a training sequence's mean length."""
        task = self._task
        keys = next(iter(self._splits.values()))
        by_name = {key: {split: f[key] for split, f in self._splits.items()} for key in keys}
        head = {"name": task.name, "title": task.title, "kind": task.kind, "version": task.version}
        return {**head, **by_name, "mean_tokens": round(self._mean, 3)}


# The stage. ----------------------------------------------------------------------------------


def run(job: EncodeJob, data: Path, tokenizer: Path, out: Path) -> None:
    """The stage `encode`: one task, parsed, checked and encoded into `out`.

    Writes `examples.npz` (not for DPRD), `zeroshot.npz` (if the job says so), `facts.json` and
    the manifest.
    """
    bpe = Tokenizer.load(tokenizer)
    digests = {str(path.relative_to(data)): file_digest(path) for path in files_of(job.task, data)}
    stage = Run("encode", job, {"tokenizer": bpe.id, **digests})
    tuned, zero, facts = encode_task(job, data, bpe)
    out.mkdir(parents=True, exist_ok=True)
    for name in (MANIFEST, EXAMPLES, ZEROSHOT):
        (out / name).unlink(missing_ok=True)
    files = {}
    for name, task in ((EXAMPLES, tuned), (ZEROSHOT, zero)):
        if task:
            task.save(out / name)
            files[name] = file_digest(out / name)
    write_json(out / "facts.json", facts)
    stage.finish(
        out, files=files, tokenizer_id=bpe.id, vocab_size=bpe.vocab_size, rows=facts["rows"]
    )
    print(f"encode: {job.task.name}, {sum(facts['rows'].values()):,} rows", flush=True)
