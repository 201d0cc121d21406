"""Text to ids: ours, the released way and transformers', on the same books in one process.

    python -m benchmarks.tokenizer --data FOLDER [--megabytes N]

FOLDER holds `books/` and `openai-gpt/` (the released vocabulary). Every book goes through each way
in turn, one text a line of the book, and the ids are compared with those of the released way. That
is the tests' reference: one spaCy call a text, each token's ids remembered, as the released code
remembers them. "Warm" is each book once more, right after the first time. Processor time is
measured, so that other programs matter less. Prints a table and writes it to
`benchmarks/tokenizer.md` with the machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gptbench.artifacts import code_version, processor
from gptbench.data import text as texts
from gptbench.data.tokenizer import ENCODER, MERGES, import_files
from tests.released_tokenizer import Released

Encode = Callable[[str], list[int]]


@dataclass
class Way:
    """A way from text to ids, and the time it took so far."""

    name: str
    encode: Encode
    seconds: float = 0.0
    ids: int = 0

    def __call__(self, lines: list[str]) -> list[list[int]]:
        start = time.process_time()
        found = [self.encode(line) for line in lines]
        self.seconds += time.process_time() - start
        self.ids += sum(map(len, found))
        return found


def peer(folder: Path) -> Encode:
    """Transformers' tokenizer of this model, from the same vocabulary."""
    from transformers import OpenAIGPTTokenizer

    tokenizer = OpenAIGPTTokenizer(vocab=str(folder / ENCODER), merges=str(folder / MERGES))
    tokenizer.model_max_length = 10**9  # no warning of long texts
    return lambda text: list(tokenizer(text)["input_ids"])


def books(folder: Path, megabytes: float) -> list[list[str]]:
    """The lines of each book that are not blank, up to a size."""
    found: list[list[str]] = []
    left = megabytes * 1e6
    for path in sorted((folder / "books").glob("*/*.txt")):
        raw = path.read_text("utf-8")
        found.append([line for line in raw.split("\n") if line.strip()])
        left -= len(raw.encode())
        if left <= 0:
            break
    return found


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description="Speed of the tokenizers, and where they differ.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=float("inf"), help="default: all books")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("tokenizer.md"))
    args = parser.parse_args()
    released = args.data / "openai-gpt"
    vocabulary, merges = released / "encoder_bpe_40000.json", released / "vocab_40000.bpe"
    read = books(args.data, args.megabytes)
    size = sum(len(line.encode()) for lines in read for line in lines) / 1e6
    with TemporaryDirectory() as folder:
        tokenizer = import_files(vocabulary, merges, Path(folder))
        theirs = Way("transformers OpenAIGPTTokenizer", peer(Path(folder)))
    cold = Way("gptbench, cold", tokenizer.encode)
    slow = Way("released way", Released(vocabulary, merges).encode)
    for name in (cold, slow):  # spaCy's start is not the tokenizer's speed
        name.encode("It's here: café.")
    tokenizer.forget()
    texts.words("It's here: café.")
    print(f"{len(read)} books, {size:.1f} MB", flush=True)
    warm = Way("gptbench, warm", tokenizer.encode)
    ways = (cold, warm, slow, theirs)
    unlike = dict.fromkeys((way.name for way in ways), 0)
    count = 0
    for number, lines in enumerate(read, 1):
        count += len(lines)
        right = slow(lines)
        for way in (cold, warm, theirs):
            unlike[way.name] += sum(a != b for a, b in zip(way(lines), right, strict=True))
        if number % 20 == 0:
            print(f"{number} books: {slow.seconds / cold.seconds:.2f} times", flush=True)
    table = [
        "# Text to ids",
        "",
        f"{processor()}, one process, processor time; {len(read)} books, {size:.1f} MB,"
        f" {count:,} lines, each a text; {slow.ids:,} ids; commit {code_version()[:12]}.",
        "",
        "| way | MB/s | times the released way | lines with other ids than the released way |",
        "| --- | --- | --- | --- |",
        *(
            f"| {way.name} | {size / way.seconds:.2f} | {slow.seconds / way.seconds:.2f} |"
            f" {unlike[way.name]:,} ({unlike[way.name] / count:.1%}) |"
            for way in ways
        ),
        "",
        "Transformers' tokenizer is not exact: it does not repair text, takes accents off and"
        " splits words by BERT's rules.",
    ]
    args.out.write_text("\n".join(table) + "\n", "utf-8")
    print("\n".join(table))


if __name__ == "__main__":
    main()
