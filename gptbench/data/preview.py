"""Rows of a data set as the model sees them: tokens, special tokens, what is cut off."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from gptbench.data.inputs import fine_tuning_inputs
from gptbench.data.tasks import Example, load_split
from gptbench.data.tokenizer import END, NEWLINE, Tokenizer
from gptbench.settings import TaskSpec

SHOWN = ("<start>", "<delim>", "<extract>")
"""The paper's names of the special tokens (figure 1): start, delimiter, classify."""
GOES_ON = "~"
LINE_BREAK = "\\n"
WIDTH = 80


def preview(
    task: TaskSpec, split: str, root: Path, tokenizer: Tokenizer, n_ctx: int, rows: int
) -> Iterator[str]:
    """Lines of at most 80 columns: the first rows of a split, each with all its sequences."""
    parsed = load_split(task, split, root)
    examples = parsed.examples[:rows]
    cut = sum(_encoded(task, e, tokenizer, n_ctx)[1] for e in examples)
    yield (
        f"{task.name}, split {split}: {len(examples)} of {len(parsed.examples):,} labelled rows,"
        f" context {n_ctx}, {cut} truncated"
    )
    yield f"A piece that ends in {GOES_ON} goes on in the next; [-n] marks n tokens cut off there."
    for example in examples:
        yield ""
        yield from _row(task, example, tokenizer, n_ctx)


def _encoded(
    task: TaskSpec, example: Example, tokenizer: Tokenizer, n_ctx: int
) -> tuple[list[list[int]], bool]:
    return fine_tuning_inputs(example.texts, task.format, tokenizer, n_ctx)


def _row(task: TaskSpec, example: Example, tokenizer: Tokenizer, n_ctx: int) -> Iterator[str]:
    sequences, _ = _encoded(task, example, tokenizer, n_ctx)
    yield f"row {example.index}, label {label_name(task, example)}"
    whole = [tokenizer.encode(text) for text in example.texts]
    for number, sequence in enumerate(sequences):
        right = task.format == "choice" and number == example.label
        name = _sequence_name(task, number)
        yield f"  {name}{len(sequence)} tokens{', the right one' if right else ''}"
        parts = _parts(task, whole, number)
        pieces = _pieces(sequence, parts, tokenizer)
        yield from textwrap.wrap(
            " ".join(pieces),
            WIDTH,
            initial_indent="    ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )


def label_name(task: TaskSpec, example: Example) -> str:
    """A label as a person reads it: the class and its number, the answer, or the score."""
    if task.format == "choice":
        return f"answer {int(example.label) + 1}"
    if task.labels is not None:
        return f"{task.labels[int(example.label)]} ({int(example.label)})"
    return f"{example.label:g}"


def _sequence_name(task: TaskSpec, number: int) -> str:
    if task.format == "choice":
        return f"answer {number + 1}: "
    if task.format == "similarity":
        return ("text 1, text 2: ", "text 2, text 1: ")[number]
    return ""


def _parts(task: TaskSpec, whole: Sequence[list[int]], number: int) -> list[list[list[int]]]:
    """The uncut texts of one sequence, by segment (what stands between special tokens)."""
    if task.format == "choice":
        return [[whole[0], whole[1]], [whole[2 + number]]]
    texts = whole[::-1] if number == 1 else whole
    return [[ids] for ids in texts]


def _pieces(
    sequence: list[int], parts: list[list[list[int]]], tokenizer: Tokenizer
) -> Iterator[str]:
    """The words of a sequence with special tokens and a mark wherever something is cut.

    In a segment of two texts (context and question) the second one is cut last.
    """
    segments: list[list[int]] = [[]]
    for token in sequence[1:-1]:
        if token == tokenizer.delimiter:
            segments.append([])
        else:
            segments[-1].append(token)
    yield SHOWN[0]
    for number, (kept, texts) in enumerate(zip(segments, parts, strict=True)):
        later = min(len(kept), sum(len(ids) for ids in texts[1:]))
        edges = [0, len(kept) - later, len(kept)] if len(texts) > 1 else [0, len(kept)]
        for ids, first, last in zip(texts, edges[:-1], edges[1:], strict=True):
            yield from (token_name(tokenizer, token) for token in kept[first:last])
            if lost := len(ids) - (last - first):
                yield f"[-{lost}]"
        end = number == len(parts) - 1
        yield SHOWN[2] if end else SHOWN[1]


def token_name(tokenizer: Tokenizer, token: int) -> str:
    """A token as a person reads it: without `</w>`, or with a mark that its word goes on."""
    name = tokenizer.names[token]
    if name == NEWLINE:
        return LINE_BREAK
    return name.removesuffix(END) if name.endswith(END) else name + GOES_ON
