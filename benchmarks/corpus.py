"""From text to token shards and token arrays: speed and memory, with the plain way beside.

    python -m benchmarks.corpus --data FOLDER [--sample MB] [--large MB] [--out FILE]

FOLDER holds `books/`, `openai-gpt/` (the released vocabulary) and the data sets. Measured in one
run, each in a process of its own:

- books to shards by the stage `corpus`, two processes, all books and a sample;
- the sample the plain way: one spaCy call a line, each token's ids remembered, as the released
  code does it, over two processes as well;
- all data sets to token arrays (all rows, context 512), first with nothing there, then again;
- a large corpus (the books again and again as .jsonl, .parquet, .txt and .txt.zst) to shards, for
  its memory; left out with `--large 0`.

Times are wall time and processor time; where other programs run, the latter says more. Memory is
sampled: the largest process, and all processes together (shared pages counted once).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import psutil

from gptbench.artifacts import code_version, processor, read_json
from gptbench.data import corpus, inputs
from gptbench.data.books import in_order
from gptbench.data.tokenizer import import_files
from gptbench.settings import CorpusJob, CorpusSettings, EncodeJob, RowLimits, load_tasks

WORKERS = 2
TASKS = Path(__file__).parent.parent / "config" / "tasks.yaml"


class Cost(NamedTuple):
    """Seconds of wall and processor time; megabytes of the largest process and of all."""

    wall: float
    cpu: float
    largest: float
    together: float


def _child(function: Callable[[], None], answer: Any) -> None:
    start = time.perf_counter()
    function()
    wall = time.perf_counter() - start
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    answer.send((wall, sum(each.ru_utime + each.ru_stime for each in used)))


def measured(function: Callable[[], None]) -> Cost:
    """Run in a process of its own and watch it and its children."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(function, there))
    process.start()
    top = psutil.Process(process.pid)
    largest = together = 0.0
    while not here.poll(0.25) and process.is_alive():
        total = 0.0
        try:
            for each in (top, *top.children(recursive=True)):
                memory = each.memory_full_info()
                largest = max(largest, memory.rss / 1e6)
                total += memory.pss / 1e6
        except psutil.Error:
            continue
        together = max(together, total)
    wall, cpu = here.recv()
    process.join()
    return Cost(wall, cpu, largest, together)


# What is measured. ---------------------------------------------------------------------------


def shards(books: Path, tokenizer: Path, out: Path, strip: bool = False) -> None:
    """The stage."""
    settings = CorpusSettings(workers=WORKERS, strip_licence=strip)
    corpus.run(CorpusJob(corpus=settings), books, tokenizer, out)


def plainly(books: Path, released: Path, out: Path) -> None:
    """One spaCy call a line, the ids of each token remembered."""
    from tests.released_tokenizer import Released

    slow = Released(*vocabulary(released))

    def encode(path: Path) -> int:
        ids = []
        for line in path.read_text("utf-8").split("\n"):
            if line.strip():
                ids.extend(slow.encode(line))
        np.asarray(ids, np.uint16).tofile(out / f"{path.name}.bin")
        return len(ids)

    with in_order(encode, sorted(books.glob("*/*.txt")), WORKERS) as counts:
        print(f"plain way: {sum(counts):,} ids", flush=True)


def arrays(data: Path, tokenizer: Path, out: Path) -> None:
    """All data sets, all rows."""
    jobs = [
        EncodeJob(
            task=task,
            n_ctx=512,
            limits=RowLimits(train=None, eval=None),
            seed=0,
            zeroshot=name in inputs.ZERO_SHOT,
            zeroshot_rows=None,
        )
        for name, task in load_tasks(TASKS).items()
    ]
    inputs.run_all([(job, data) for job in jobs], tokenizer, out, WORKERS)


# What it is measured on. ---------------------------------------------------------------------


def vocabulary(released: Path) -> tuple[Path, Path]:
    """The released vocabulary and merges."""
    return released / "encoder_bpe_40000.json", released / "vocab_40000.bpe"


def sample(books: Path, megabytes: float, out: Path) -> float:
    """Links to books of so many megabytes and to one held-out book; the size in megabytes."""
    size = 0
    for split in ("train", "validation"):
        (out / split).mkdir(parents=True)
        for path in sorted((books / split).glob("*.txt")):
            (out / split / path.name).symlink_to(path.resolve())
            size += path.stat().st_size
            if split == "validation" or size >= megabytes * 1e6:
                break
    return size / 1e6


def large(books: Path, megabytes: float, out: Path) -> float:
    """Two fifths as .jsonl, two as .parquet (a row a book), a text file and a packed one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (out / "train").mkdir(parents=True)
    (out / "validation").symlink_to((books / "validation").resolve())
    paths = sorted((books / "train").glob("*.txt"))
    schema = pa.schema([("text", pa.string())])
    size, place = 0, 0
    with (
        (out / "train/a.jsonl").open("w", encoding="utf-8") as lines,
        pq.ParquetWriter(out / "train/b.parquet", schema, compression="zstd") as table,
        (out / "train/c.txt").open("wb") as text,
        pa.CompressedOutputStream(str(out / "train/d.txt.zst"), "zstd") as packed,
    ):
        while size < megabytes * 1e6:
            data = paths[place % len(paths)].read_bytes()
            where = (place * 7) % 10
            if where < 4:
                lines.write(json.dumps({"text": data.decode()}) + "\n")
            elif where < 8:
                table.write_batch(pa.record_batch([[data.decode()]], schema=schema))
            else:
                (text if where == 8 else packed).write(data + b"\n")
            size, place = size + len(data), place + 1
    return size / 1e6


# The table. ----------------------------------------------------------------------------------


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description="Text to shards and arrays: speed, memory.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sample", type=float, default=20, metavar="MB")
    parser.add_argument("--large", type=float, default=2000, metavar="MB")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("corpus.md"))
    args = parser.parse_args()
    data, books, released = args.data, args.data / "books", args.data / "openai-gpt"
    load = os.getloadavg()[1]
    with TemporaryDirectory() as name:
        folder = Path(name)
        import_files(*vocabulary(released), folder / "tokenizer")
        part = sample(books, args.sample, folder / "sample")
        whole = sum(path.stat().st_size for path in books.glob("*/*.txt")) / 1e6
        (folder / "plain").mkdir()

        def made(source: Path, strip: bool = False) -> Cost:
            return measured(
                partial(shards, source, folder / "tokenizer", folder / "shards", strip=strip)
            )

        ways = {
            "gptbench": (part, made(folder / "sample")),
            "plain way": (
                part,
                measured(partial(plainly, folder / "sample", released, folder / "plain")),
            ),
            "gptbench, all books": (whole, made(books)),
        }
        slow = ways["plain way"][1]
        rows = [
            f"| {way} | {size:.1f} | {cost.wall:.1f} | {size / cost.wall:.2f} | {cost.cpu:.1f} |"
            f" {size / cost.cpu:.2f} | {size / cost.cpu / (part / slow.cpu):.1f} |"
            for way, (size, cost) in ways.items()
        ]
        print("\n".join(rows), flush=True)
        encode = partial(arrays, data, folder / "tokenizer", folder / "tasks")
        cold, again = measured(encode), measured(encode)
        facts = [read_json(path) for path in (folder / "tasks").glob("*/facts.json")]
        examples = sum(sum(each["rows"].values()) for each in facts)
        tokens = sum(sum(each["tokens"].values()) for each in facts)
        tables = [
            "# Text to shards and arrays",
            "",
            f"{processor()}, {os.cpu_count()} cores, {WORKERS} processes; other programs were"
            f" running (load average {load:.1f} before, {os.getloadavg()[1]:.1f} after), so"
            " processor time says more than wall time; commit"
            f" {code_version()[:12]}.",
            "",
            "## Books to shards",
            "",
            "Repair, standardising and exact word tokenization included. The plain way is one"
            " spaCy call a line, each token's ids remembered.",
            "",
            "| way | MB | wall, s | MB/s | processor, s | MB a processor second | times the plain"
            " way |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "## Data sets to arrays",
            "",
            f"{len(facts)} data sets, {examples:,} labelled rows, {tokens:,} tokens for"
            " fine-tuning at context 512, and the zero-shot inputs.",
            "",
            "| | wall, s | processor, s | largest process, MB | all processes, MB |",
            "| --- | --- | --- | --- | --- |",
            *(
                f"| {what} | {c.wall:.1f} | {c.cpu:.1f} | {c.largest:.0f} | {c.together:.0f} |"
                for what, c in (("nothing there", cold), ("all there", again))
            ),
        ]
        if args.large:
            size = large(books, args.large, folder / "large")
            cost = made(folder / "large", strip=True)
            tables += [
                "",
                "## Memory",
                "",
                f"The books again and again, {size:,.0f} MB of text as .jsonl and .parquet (a row a"
                " book), one .txt and one .txt.zst, licence text taken off.",
                "",
                "| MB | wall, s | MB/s | processor, s | largest process, MB | all processes, MB |",
                "| --- | --- | --- | --- | --- | --- |",
                f"| {size:,.0f} | {cost.wall:.0f} | {size / cost.wall:.2f} | {cost.cpu:.0f} |"
                f" {cost.largest:.0f} | {cost.together:.0f} |",
            ]
    args.out.write_text("\n".join(tables) + "\n", "utf-8")
    print("\n".join(tables))


if __name__ == "__main__":
    main()
