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
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gptbench.artifacts import MANIFEST, Run, digest, file_digest, read_json, write_json
from gptbench.data.books import in_order
from gptbench.data.encoded import EXAMPLES, ZEROSHOT, Array, Encoded, EncodedTask
from gptbench.data.formats import split_source
from gptbench.data.repeats import repeats
from gptbench.data.tasks import Example, Parsed, files_of, load_split
from gptbench.data.tokenizer import Tokenizer
from gptbench.errors import UserError
from gptbench.progress import Progress
from gptbench.settings import EncodeJob, TaskSpec

__all__ = ["Encoded", "EncodedTask", "encode_task", "fine_tuning_inputs", "run", "zero_shot_inputs"]

Ids = list[int]
Scored = tuple[Ids, int]
Span = range
Prompt = tuple[list[Span], Span]
"""Of a zero-shot input: the context, and what is scored."""

SPANS_AT_ONCE = 1 << 13


class Pool:
    """The ids of texts in one array, each text encoded once.

    `pool(text)` is a span, a `range` of positions in `ids`: it is measured and cut as a list is.
    The three special tokens are the first spans.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._encode = tokenizer.encode
        self._spans: dict[str, Span] = {}
        self.ids = array("i", [tokenizer.start, tokenizer.delimiter, tokenizer.classify])
        self.start, self.delimiter, self.classify = range(1), range(1, 2), range(2, 3)

    def __call__(self, text: str) -> Span:
        """Where the ids of a text are."""
        span = self._spans.get(text)
        if span is None:
            begin = len(self.ids)
            self.ids.extend(self._encode(text))
            span = self._spans[text] = range(begin, len(self.ids))
        return span

    def read(self, spans: Sequence[Span]) -> Ids:
        """The ids of spans, one after another."""
        return [self.ids[i] for span in spans for i in span]


# Fine-tuning. --------------------------------------------------------------------------------


def fine_tuning_inputs(
    texts: Sequence[str], form: str, tokenizer: Tokenizer, n_ctx: int
) -> tuple[list[Ids], bool]:
    """The sequences of one example, and whether a text was cut.

    Each text is cut to `n_ctx // 2 - 2` tokens as in the released code; of a choice with a
    question see `_choice`.
    """
    pool = Pool(tokenizer)
    sequences, cut = _fine_tuning(texts, form, pool, n_ctx)
    return [pool.read(spans) for spans in sequences], cut


def _fine_tuning(
    texts: Sequence[str], form: str, pool: Pool, n_ctx: int
) -> tuple[list[list[Span]], bool]:
    if form == "choice":
        return _choice(texts, pool, n_ctx)
    limit = n_ctx // 2 - 2
    whole = [pool(text) for text in texts]
    cut = any(len(span) > limit for span in whole)
    parts = [span[:limit] for span in whole]
    if form == "single":
        return [[pool.start, parts[0], pool.classify]], cut
    one, two = parts
    forward = [pool.start, one, pool.delimiter, two, pool.classify]
    if form == "pair":
        return [forward], cut
    return [forward, [pool.start, two, pool.delimiter, one, pool.classify]], cut


def _choice(texts: Sequence[str], pool: Pool, n_ctx: int) -> tuple[list[list[Span]], bool]:
    """`s context question d answer_k c` for each answer.

    Without a question (Story Cloze) context and answers are cut as every text is. With one
    (RACE, for which nothing is released) question and answer stay whole and the passage's end
    is cut, for each answer by itself; a question that leaves no room loses its end as well, and
    at last the answer.
    """
    context, question, *answers = (pool(text) for text in texts)
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
            context_kept, question_kept, answer_kept = context[:limit], range(0), answer[:limit]
        kept = len(context_kept) + len(question_kept) + len(answer_kept)
        cut = cut or kept < len(context) + len(question) + len(answer)
        before = [pool.start, context_kept, question_kept]
        out.append([*before, pool.delimiter, answer_kept, pool.classify])
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
    pool = Pool(tokenizer)
    sequences, cut = _fitted(ZERO_SHOT[name](texts, pool), n_ctx)
    return [(pool.read(spans), first) for spans, first in sequences], cut


def prompts(name: str, texts: Sequence[str], tokenizer: Tokenizer) -> list[tuple[Ids, Ids]]:
    """(context, scored part) of each sequence of one example, uncut (see `zero_shot_inputs`)."""
    pool = Pool(tokenizer)
    return [
        (pool.read(context), pool.read([scored]))
        for context, scored in ZERO_SHOT[name](texts, pool)
    ]


def _cola(texts: Sequence[str], pool: Pool) -> list[Prompt]:
    span = pool(texts[0])
    return [([span[:1]], span[1:])]


def _sst2(texts: Sequence[str], pool: Pool) -> list[Prompt]:
    context = [pool(texts[0]), pool("very")]
    return [(context, pool(word)) for word in ("negative", "positive")]


def _race(texts: Sequence[str], pool: Pool) -> list[Prompt]:
    context = [pool(texts[0]), pool(texts[1])]
    return [(context, pool(answer)) for answer in texts[2:]]


def _dprd(texts: Sequence[str], pool: Pool) -> list[Prompt]:
    sentence, pronoun, *candidates = texts
    before, after = cut_at_pronoun(sentence, pronoun)
    return [([pool(f"{before}{candidate}")], pool(after)) for candidate in candidates]


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


ZERO_SHOT: dict[str, Callable[[Sequence[str], Pool], list[Prompt]]] = {
    "cola": _cola,
    "sst2": _sst2,
    "race": _race,
    "dprd": _dprd,
}


def _fitted(prompts: list[Prompt], n_ctx: int) -> tuple[list[tuple[list[Span], int]], bool]:
    """Context and scored part joined within `n_ctx`, at least one token of context kept."""
    out, cut = [], False
    for context, scored in prompts:
        given = sum(map(len, context))
        cut = cut or given + len(scored) > n_ctx
        scored = scored[: n_ctx - min(1, given)]
        surplus = max(0, given + len(scored) - n_ctx)
        out.append(([*_without(context, surplus), scored], max(1, given - surplus)))
    return out, cut


def _without(spans: list[Span], count: int) -> Iterator[Span]:
    """The spans without the first `count` ids."""
    for span in spans:
        yield span[count:]
        count = max(0, count - len(span))


# Splits. -------------------------------------------------------------------------------------


class _Split:
    """Sequences of a split as they are collected: where each span begins and its length."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._starts, self._lengths, self._spans = array("q"), array("q"), array("q")
        self._scored_from = array("q")
        self.cut = 0

    def add(self, spans: list[Span], scored_from: int = 0) -> None:
        """One more sequence, and of a zero-shot input the first position that is scored."""
        self._starts.extend(span.start for span in spans)
        self._lengths.extend(map(len, spans))
        self._spans.append(len(spans))
        self._scored_from.append(scored_from)

    def encoded(self, examples: Sequence[Example], scored: bool, regression: bool) -> Encoded:
        lengths = np.asarray(self._lengths)
        ends = np.cumsum(lengths)
        offsets = np.concatenate([[0], ends[np.cumsum(self._spans) - 1]])
        return Encoded(
            tokens=self._gather(lengths, ends),
            offsets=offsets.astype(np.int64),
            per_example=len(self._spans) // len(examples),
            labels=np.asarray([e.label for e in examples], np.float32 if regression else np.int64),
            index=np.asarray([e.index for e in examples], np.int64),
            scored_from=np.asarray(self._scored_from) if scored else None,
        )

    def _gather(self, lengths: Array, ends: Array) -> Array:
        """All sequences one after another: some thousand spans at a time are looked up."""
        ids = np.asarray(self._pool.ids, np.int32)
        moved = np.asarray(self._starts) - (ends - lengths)
        out = np.empty(int(ends[-1]), np.int32)
        for first in range(0, len(lengths), SPANS_AT_ONCE):
            part = slice(first, first + SPANS_AT_ONCE)
            begin, end = int(ends[first] - lengths[first]), int(ends[part][-1])
            out[begin:end] = ids[np.repeat(moved[part], lengths[part]) + np.arange(begin, end)]
        return out


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
    job: EncodeJob, examples: Sequence[Example], pool: Pool, progress: Progress
) -> tuple[Encoded, float]:
    split = _Split(pool)
    for example in examples:
        found, cut = _fine_tuning(example.texts, job.task.format, pool, job.n_ctx)
        for spans in found:
            split.add(spans)
        split.cut += cut
        progress.update(1)
    encoded = split.encoded(examples, scored=False, regression=job.task.range is not None)
    return encoded, split.cut / len(examples)


def _encode_zero_shot(
    job: EncodeJob, examples: Sequence[Example], pool: Pool
) -> tuple[Encoded, float]:
    split = _Split(pool)
    for example in examples:
        try:
            found, cut = _fitted(ZERO_SHOT[job.task.name](example.texts, pool), job.n_ctx)
        except UserError as error:
            raise UserError(f"task {job.task.name}, row {example.index}: {error}") from None
        for spans, first in found:
            split.add(spans, first)
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
    pool = Pool(tokenizer)
    parsed = {split: load_split(task, split, root) for split in task.files}
    again = repeats(task, parsed)
    splits: dict[str, Encoded] = {}
    drawn = {}
    for split, part in parsed.items():
        rows = job.limits.train if split == task.train else job.limits.eval
        drawn[split] = draw(part.examples, rows, job.seed, f"{task.name}/{split}")
    progress = Progress(sum(map(len, drawn.values())), f"encode: {task.name}", "rows")
    for split, part in parsed.items():
        examples = drawn[split]
        encoded, cut = _encode_fine_tuning(job, examples, pool, progress)
        if tuned:
            splits[split] = encoded
        longest = max(len(pool(text)) for example in examples for text in example.texts)
        facts.add(split, part, examples, encoded, cut, {**again[split], "longest": longest})
    progress.close()
    zero: dict[str, Encoded] = {}
    for split in _zero_shot_splits(task) if job.zeroshot else []:
        name = f"{task.name}/{split}/zeroshot"
        examples = draw(parsed[split].examples, job.zeroshot_rows, job.seed, name)
        zero[split], _ = _encode_zero_shot(job, examples, pool)
    made = [
        EncodedTask(task.name, tokenizer.vocab_size, tokenizer.id, part) if part else None
        for part in (splits, zero)
    ]
    return made[0], made[1], facts.all()


def _zero_shot_splits(task: TaskSpec) -> list[str]:
    """The scored splits; CoLA's training split too, from which the threshold comes."""
    scored = list(dict.fromkeys(split for parts in task.scored.values() for split in parts))
    return [task.train, *scored] if task.name == "cola" else scored


def label_counts(task: TaskSpec, examples: Sequence[Example]) -> dict[str, int]:
    """How many of each class or right answer; of a regression, of each rounded value."""
    names = task.labels
    counted = Counter(round(example.label) for example in examples)
    return {names[i] if names else str(i): counted[i] for i in sorted(counted)}


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
        again: Mapping[str, int],
    ) -> None:
        """The facts of one split; `again` is what `repeats` found in all its rows, and the longest.

        `longest` is the number of tokens of the longest text of the used rows, before it is cut.
        """
        self._splits[split] = {
            "digest": file_digest(self._root / split_source(self._task.files[split])[0]),
            "rows": len(examples),
            "rows_found": parsed.found,
            "labels": label_counts(self._task, examples),
            "tokens": len(encoded.tokens),
            "truncated": round(cut, 6),
            "unlabelled": parsed.unlabelled,
            "skipped": parsed.skipped,
            **again,
        }
        if split == self._task.train:
            self._mean = float(np.diff(encoded.offsets).mean())

    def all(self) -> dict[str, Any]:
        """Facts by name, then by split; `mean_tokens` is a training sequence's mean length."""
        task = self._task
        keys = next(iter(self._splits.values()))
        by_name = {key: {split: f[key] for split, f in self._splits.items()} for key in keys}
        head = {"name": task.name, "title": task.title, "kind": task.kind, "version": task.version}
        return {**head, **by_name, "mean_tokens": round(self._mean, 3)}


# The stage. ----------------------------------------------------------------------------------

RECORD = "encoded.json"
"""What the arrays beside it were made from. The workflow does not know it, and so leaves it where
it removes the other files to make them again."""
ENCODING = 2
"""Raised where the same rows, tokenizer and settings give other arrays than before."""


def run(job: EncodeJob, data: Path, tokenizer: Path, out: Path) -> None:
    """The stage `encode`: one task, parsed, checked and encoded into `out`.

    Writes `examples.npz` (not for DPRD), `zeroshot.npz` (if the job says so), `facts.json` and
    the manifest. Arrays that are there already from the same data, tokenizer and settings are
    kept, if their checksums are right.
    """
    bpe = Tokenizer.load(tokenizer)
    digests = {str(path.relative_to(data)): file_digest(path) for path in files_of(job.task, data)}
    stage = Run("encode", job, {"tokenizer": bpe.id, **digests})
    key = digest(stage.id, str(ENCODING), *(version(name) for name in ("ftfy", "spacy")))
    found, why = _recorded(out, key)
    if found is None:
        tuned, zero, facts = encode_task(job, data, bpe)
        out.mkdir(parents=True, exist_ok=True)
        for name in (MANIFEST, RECORD, EXAMPLES, ZEROSHOT):
            (out / name).unlink(missing_ok=True)
        files = {}
        for name, task in ((EXAMPLES, tuned), (ZEROSHOT, zero)):
            if task:
                task.save(out / name)
                files[name] = file_digest(out / name)
        found = {"key": key, "files": files, "facts": facts}
        write_json(out / RECORD, found)
    files, facts = found["files"], found["facts"]
    if why or not _same(out, stage.id, facts):
        write_json(out / "facts.json", facts)
        stage.finish(
            out, files=files, tokenizer_id=bpe.id, vocab_size=bpe.vocab_size, rows=facts["rows"]
        )
    rows = f"{sum(facts['rows'].values()):,} rows"
    print(f"encode: {job.task.name}, {rows}{f' ({why})' if why else ', as before'}", flush=True)


def _recorded(out: Path, key: str) -> tuple[dict[str, Any] | None, str]:
    """The record of arrays that can be used again; else None, and why not."""
    if not (out / RECORD).is_file():
        return None, "new"
    try:
        record: dict[str, Any] = read_json(out / RECORD)
        if record["key"] != key:
            return None, "the data, the tokenizer or the settings changed"
        for name, expected in record["files"].items():
            if file_digest(out / name) != expected:
                return None, f"{name} had another checksum"
        if not isinstance(record["facts"]["rows"], dict):
            raise TypeError
    except (UserError, KeyError, TypeError, AttributeError):
        return None, "what was there was broken"
    return record, ""


def _same(out: Path, run_id: str, facts: dict[str, Any]) -> bool:
    """Whether facts and manifest are those of this run."""
    try:
        made: bool = read_json(out / MANIFEST)["run_id"] == run_id
        return made and read_json(out / "facts.json") == facts
    except (UserError, KeyError, TypeError):
        return False


def run_all(
    jobs: Sequence[tuple[EncodeJob, Path]], tokenizer: Path, out: Path, workers: int
) -> None:
    """`run` for many tasks, each with the folder of its data, into `out`/<task>; those with the
    largest files first, `workers` at once."""

    def size(item: tuple[EncodeJob, Path]) -> int:
        return sum(path.stat().st_size for path in files_of(item[0].task, item[1]))

    def encode(item: tuple[EncodeJob, Path]) -> None:
        job, data = item
        # As the workflow hands it over: the order of its keys is that of the splits on disk.
        run(EncodeJob.from_json(job.to_json()), data, tokenizer, out / job.task.name)

    with in_order(encode, sorted(jobs, key=size, reverse=True), workers) as done:
        for _ in done:
            pass
