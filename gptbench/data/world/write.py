"""Writes the whole world into a folder laid out like the real data."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from random import Random

from gptbench.artifacts import unwritable
from gptbench.data.world import files
from gptbench.data.world.pages import PAGE_SHARES, book
from gptbench.data.world.rows import Row
from gptbench.data.world.tasks import make_rows
from gptbench.progress import watched

VERSION = 2
"""Raised with every change that changes the world's bytes."""

Splits = dict[str, list[Row]]


def write_world(
    out: Path,
    seed: int,
    books_train: int,
    books_validation: int,
    words_per_book: int,
    train_rows: int,
    eval_rows: int,
) -> dict[str, object]:
    """Write books and tasks below ``out``; the same arguments give the same bytes.

    Every part has a generator of its own, seeded by the seed and the part's name, so that a
    change of one part leaves the others as they were.  The parts are written into a folder
    beside ``out`` and moved in when all are there; parts of an earlier world are replaced.

    Parameters
    ----------
    out
        The folder to fill.
    seed
        Seed of the world.
    books_train, books_validation
        Number of books to pre-train and to validate on.
    words_per_book
        Least number of words in a book; it ends with the page that reaches it.
    train_rows, eval_rows
        Rows of each training split (Story Cloze: a quarter more, as a fifth is split off) and of
        each scored split.

    Returns
    -------
    dict
        Seed, version, licence note and counts; also written as ``world.json``.

    Raises
    ------
    UserError
        Where ``out`` cannot be written (no space, no permission).
    """
    build: Path | None = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        build = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.resolve().parent))
        counts = _write_books(build, seed, books_train, books_validation, words_per_book)
        rows = {task: _splits(task, seed, train_rows, eval_rows) for task in SCORED}
        _write_tasks(build, rows, seed)
        summary: dict[str, object] = {
            "name": "embedded world",
            "version": VERSION,
            "seed": seed,
            "licence": "synthetic, from this program's own word lists; no rights reserved",
            "books": counts,
            "page_shares": PAGE_SHARES,
            "rows": {
                task: {split: len(found) for split, found in splits.items()}
                for task, splits in rows.items()
            },
        }
        files.write_text(build / "world.json", json.dumps(summary, indent=2) + "\n")
        for part in sorted(build.iterdir()):
            target = out / part.name
            if target.is_dir():
                shutil.rmtree(target)
            part.replace(target)
    except OSError as error:
        raise unwritable(out, error) from None
    finally:
        if build:
            shutil.rmtree(build, ignore_errors=True)
    return summary


SCORED: dict[str, tuple[str, ...]] = {
    "cola": ("train", "dev"),
    "sst2": ("train", "dev"),
    "mrpc": ("train", "dev"),
    "stsb": ("train", "dev"),
    "rte": ("train", "dev"),
    "qnli": ("train", "dev"),
    "qqp": ("train", "dev"),
    "mnli": ("train", "dev"),
    "mnli_mismatched": ("dev",),
    "snli": ("train", "dev", "test"),
    "scitail": ("train", "dev", "test"),
    "race": ("train", "dev", "test"),
    "story_cloze": ("train", "test"),
    "dprd": ("train", "test"),
}
"""The splits of each task; the last one is scored."""


def _write_books(out: Path, seed: int, train: int, validation: int, words: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for split, number in (("train", train), ("validation", validation)):
        total = 0
        for index in watched(range(number), f"world: {split}", "books"):
            text = book(Random(f"{seed}-books-{split}-{index}"), words)
            files.write_text(out / "books" / split / f"book-{index:04d}.txt", text)
            total += len(text.split())
        counts |= {split: number, f"{split}_words": total}
    return counts


def _splits(task: str, seed: int, train_rows: int, eval_rows: int) -> Splits:
    """The rows of every split of a task, no row in two of them."""
    taken: set[tuple[str, ...]] = set()
    made = {}
    for split in reversed(SCORED[task]):  # the scored rows do not depend on the others
        count = train_rows if split == "train" else eval_rows
        if task == "story_cloze" and split == "train":
            count = train_rows * 5 // 4
        key = f"{seed}-{task}-{split}"
        made[split] = make_rows(task, key, count, split == "train", taken)
    return {split: made[split] for split in SCORED[task]}


def _write_tasks(out: Path, rows: dict[str, Splits], seed: int) -> None:
    glue = out / "glue"
    for split in ("train", "dev"):
        name = f"{split}.tsv"
        files.write_cola(glue / "CoLA" / name, rows["cola"][split])
        files.write_sst2(glue / "SST-2" / name, rows["sst2"][split])
        files.write_mrpc(glue / "MRPC" / name, rows["mrpc"][split])
        files.write_stsb(glue / "STS-B" / name, rows["stsb"][split])
        files.write_glue_pair(glue / "RTE" / name, rows["rte"][split], "sentence1", "sentence2")
        files.write_glue_pair(glue / "QNLI" / name, rows["qnli"][split], "question", "sentence")
        files.write_qqp(glue / "QQP" / name, rows["qqp"][split])
    files.write_mnli(glue / "MNLI" / "train.tsv", rows["mnli"]["train"], 1)
    files.write_mnli(glue / "MNLI" / "dev_matched.tsv", rows["mnli"]["dev"], 5)
    files.write_mnli(glue / "MNLI" / "dev_mismatched.tsv", rows["mnli_mismatched"]["dev"], 5)
    for split in ("train", "dev", "test"):
        files.write_snli(out / "snli_1.0" / f"snli_1.0_{split}.jsonl", rows["snli"][split])
        folder = out / "SciTailV1.1" / "tsv_format"
        files.write_scitail(folder / f"scitail_1.0_{split}.tsv", rows["scitail"][split])
    files.write_race(out / "RACE.tar.gz", rows["race"])
    for split, short in (("train", "val"), ("test", "test")):
        name = f"cloze_test_{short}__spring2016 - cloze_test_ALL_{short}.csv"
        files.write_stories(
            out / "rocstories" / name, rows["story_cloze"][split], f"{seed}-story-ids-{split}"
        )
        files.write_dprd(out / "dprd" / f"{split}.c.txt", rows["dprd"][split])
