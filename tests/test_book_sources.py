"""Books from every form of file: the same tokens as from plain text, and one line where not."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gptbench.artifacts import read_json
from gptbench.cli import main
from gptbench.data import books as source
from gptbench.data import corpus
from gptbench.data import text as texts
from gptbench.data import tokenizer as bpe
from gptbench.data.books import collect, training_books, without_licence
from gptbench.data.corpus import TokenCorpus
from gptbench.errors import UserError
from gptbench.plan import Plan
from gptbench.settings import (
    CorpusJob,
    CorpusSettings,
    TokenizerJob,
    TokenizerSettings,
    merged_yaml,
    parse,
)
from gptbench.training.windows import Windows

CONFIG = Path(__file__).parent.parent / "config"
SENTENCES = (
    "It's the first line.",
    "“Well,” she said—and left.",
    "",
    "A naïve café & co. <b>",
    "7 & 8",
)


def book(number: int) -> str:
    """A book that no other is like; some have carriage returns and a byte order mark."""
    draw = random.Random(number)
    lines = [f"Book {number} {draw.choice(SENTENCES)}" for _ in range(draw.randint(3, 30))]
    return ("\ufeff" if number % 3 == 0 else "") + ("\r\n" if number % 2 else "\n").join(lines)


BOOKS = {f"book-{n:02d}": book(n) for n in range(12)}
TRAIN, HELD_OUT = sorted(BOOKS)[:9], sorted(BOOKS)[9:]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = Counter(word for text in BOOKS.values() for word in texts.words(text))
    del words["\n"]
    folder = tmp_path_factory.mktemp("tokenizer")
    bpe.train_on_counts(words, TokenizerSettings(merges=30, min_frequency=1)).save(folder)
    return folder


def settings_of(**given: Any) -> CorpusSettings:
    return parse(CorpusSettings, {"workers": 1, "shard_tokens": 500, **given}, "test")


def make(folder: Path, tokenizer: Path, out: str = "corpus", **given: Any) -> Path:
    corpus.run(CorpusJob(corpus=settings_of(**given)), folder, tokenizer, folder.parent / out)
    return folder.parent / out


def split_of(made: Path, split: str) -> tuple[list[int], list[int], list[str]]:
    """Tokens, starts of books, names."""
    opened = TokenCorpus.open(made, split)
    return opened.read(0, len(opened)).tolist(), opened.books.tolist(), opened.names


# Forms. --------------------------------------------------------------------------------------


def _plain(path: Path, names: list[str]) -> None:
    for name in names:
        (path / f"{name}.txt").write_bytes(BOOKS[name].encode())


def _gzip(path: Path, names: list[str]) -> None:
    for n, name in enumerate(names):
        (path / f"{name}{'.txt.gz' if n % 2 else '.gz'}").write_bytes(
            gzip.compress(BOOKS[name].encode())
        )


def zstd(path: Path, data: bytes) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(data)


def _zstd(path: Path, names: list[str]) -> None:
    for name in names:
        zstd(path / f"{name}.txt.zst", BOOKS[name].encode())


def lines_of(names: list[str], field: str = "text") -> bytes:
    rows = [json.dumps({"title": name, field: BOOKS[name]}) for name in names]
    return "\n".join(rows).encode() + b"\n"


def _jsonl(path: Path, names: list[str]) -> None:
    (path / "a.jsonl").write_bytes(lines_of(names[:2]))
    (path / "b.jsonl.gz").write_bytes(gzip.compress(lines_of(names[2:3]) + b"\n"))
    zstd(path / "c.jsonl.zst", lines_of(names[3:]))


def _parquet(path: Path, names: list[str]) -> None:
    for number, part in enumerate((names[:2], names[2:])):
        table = pa.table({"title": part, "text": [BOOKS[name] for name in part]})
        pq.write_table(table, path / f"part-{number}.parquet", row_group_size=2)


def _large_strings(path: Path, names: list[str]) -> None:
    column = pa.array([BOOKS[name] for name in names], pa.large_string())
    pq.write_table(pa.table({"text": column}), path / "all.parquet", compression="zstd")


FORMS = [_gzip, _zstd, _jsonl, _parquet, _large_strings]


def write(folder: Path, form: Callable[[Path, list[str]], None]) -> Path:
    """`folder`/books with nine training and three held-out books."""
    for split, names in (("train", TRAIN), ("validation", HELD_OUT)):
        (folder / "books" / split).mkdir(parents=True)
        form(folder / "books" / split, names)
    return folder / "books"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_tokens_of_plain_text(
    tmp_path: Path, tokenizer: Path, form: Callable[[Path, list[str]], None], workers: int
) -> None:
    expected = make(write(tmp_path / "plain", _plain), tokenizer)
    made = make(write(tmp_path / "other", form), tokenizer, workers=workers)
    for split in ("train", "validation"):
        tokens, starts, names = split_of(made, split)
        assert (tokens, starts) == split_of(expected, split)[:2]
        assert len(set(names)) == len(TRAIN if split == "train" else HELD_OUT)
        ours, plain = (read_json(each / "index.json")["splits"][split] for each in (made, expected))
        for key in ("tokens", "words", "bytes", "shards"):
            assert ours[key] == plain[key]
    assert sorted(p.name for p in made.iterdir()) == [
        "index.json", "manifest.json", "train", "validation",
    ]  # fmt: skip


def test_rows_are_named_by_file_and_place(tmp_path: Path, tokenizer: Path) -> None:
    made = make(write(tmp_path, _jsonl), tokenizer)
    assert split_of(made, "train")[2][:4] == [
        "a.jsonl:1", "a.jsonl:2", "b.jsonl.gz:1", "c.jsonl.zst:1",
    ]  # fmt: skip


def test_a_text_in_blocks_is_the_same(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(write(tmp_path / "one", _plain), tokenizer)
    monkeypatch.setattr(source, "BLOCK", 40)
    for number, form in enumerate((_gzip, _jsonl, _parquet)):
        made = make(write(tmp_path / str(number), form), tokenizer)
        assert split_of(made, "train")[:2] == split_of(whole, "train")[:2]


def test_text_field_and_rows_without_a_text(tmp_path: Path, tokenizer: Path) -> None:
    expected = make(write(tmp_path / "plain", _plain), tokenizer)
    for split, names in (("train", TRAIN), ("validation", HELD_OUT)):
        path = tmp_path / "books" / split
        path.mkdir(parents=True)
        (path / "a.jsonl").write_bytes(b'{"body": null}\n\n' + lines_of(names[:1], "body"))
        rest = [None, *(BOOKS[name] for name in names[1:])]
        pq.write_table(pa.table({"body": rest}), path / "b.parquet")
    made = make(tmp_path / "books", tokenizer, text_field="body")
    assert split_of(made, "train")[:2] == split_of(expected, "train")[:2]


# Rows without book boundaries. ---------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_contiguous_rows_are_lines_in_blocks(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(source, "BLOCK", 200)
    rows = [f"sentence number {n} ." for n in range(60)]
    (tmp_path / "books").mkdir()
    pq.write_table(pa.table({"text": rows[:35]}), tmp_path / "books" / "a.parquet")
    (tmp_path / "books" / "b.jsonl").write_text("".join(f'{{"text": "{r}"}}\n' for r in rows[35:]))
    made = make(
        tmp_path / "books", tokenizer, rows="contiguous", validation_share=0.2, workers=workers
    )
    index = read_json(made / "index.json")
    assert index["boundaries"] == "blocks of rows"
    known = bpe.Tokenizer.load(tokenizer)
    numbers: list[int] = []
    for split in ("train", "validation"):
        opened = TokenCorpus.open(made, split)
        ends = [*(opened.books[1:] - 1), len(opened)]
        for name, start, end in zip(opened.names, opened.books, ends, strict=True):
            first, last = map(int, name.split(":")[1].split("-"))
            shift = 0 if name.startswith("a") else 35
            lines = rows[shift + first - 1 : shift + last]
            ids = opened.read(int(start), int(end - start)).tolist()
            assert ids == known.encode("\n".join(lines))
            assert len("\n".join(lines)) < 200 + 30
            numbers += range(shift + first - 1, shift + last)
    assert sorted(numbers) == list(range(60))
    blocks = [len(index["splits"][split]["books"]) for split in ("train", "validation")]
    assert blocks[1] == round(0.2 * sum(blocks))


# Splitting by whole books. -------------------------------------------------------------------


def one_folder(folder: Path) -> Path:
    (folder / "books").mkdir(parents=True)
    _plain(folder / "books", sorted(BOOKS))
    return folder / "books"


def test_split_by_whole_books(tmp_path: Path, tokenizer: Path) -> None:
    folder = one_folder(tmp_path)
    made = make(folder, tokenizer, validation_share=0.25)
    train, held_out = split_of(made, "train"), split_of(made, "validation")
    assert len(held_out[2]) == 3
    assert sorted(train[2] + held_out[2]) == [f"{name}.txt" for name in sorted(BOOKS)]
    assert train[2] == sorted(train[2])
    again = make(folder, tokenizer, "again", validation_share=0.25, workers=2)
    for path in sorted(made.rglob("*.bin")):
        assert path.read_bytes() == (again / path.relative_to(made)).read_bytes()
    seeded = (make(folder, tokenizer, validation_share=0.25, seed=seed) for seed in range(4))
    assert len({tuple(split_of(made, "validation")[2]) for made in seeded}) > 1
    make(folder, tokenizer, validation_share=0.25)
    # As if the folders had been made by hand.
    for split, names in (("train", train[2]), ("validation", held_out[2])):
        (tmp_path / "by-hand" / split).mkdir(parents=True)
        for name in names:
            (tmp_path / "by-hand" / split / name).write_bytes((folder / name).read_bytes())
    by_hand = make(tmp_path / "by-hand", tokenizer, "hand")
    assert split_of(by_hand, "train") == train
    assert split_of(by_hand, "validation") == held_out


def test_another_book_moves_few(tmp_path: Path, tokenizer: Path) -> None:
    folder = one_folder(tmp_path)
    first = set(split_of(make(folder, tokenizer, validation_share=0.25), "validation")[2])
    (folder / "new.txt").write_text("Another book.")
    second = set(split_of(make(folder, tokenizer, validation_share=0.25), "validation")[2])
    assert len(first & second) >= 2


def test_one_book_is_always_held_out_and_one_is_not(tmp_path: Path, tokenizer: Path) -> None:
    folder = one_folder(tmp_path)
    small = make(folder, tokenizer, validation_share=0.001)
    assert len(split_of(small, "validation")[2]) == 1
    large = make(folder, tokenizer, "large", validation_share=0.999)
    assert len(split_of(large, "train")[2]) == 1
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()
    with pytest.raises(UserError, match="1 books with text, 2 needed to hold one out"):
        make(folder, tokenizer, "none", validation_share=0.5)


# Repeated books. -----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_repeated_books_are_left_out(
    tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    folder = write(tmp_path, _plain)
    expected = make(folder, tokenizer, "expected")
    text = BOOKS[TRAIN[0]]
    (folder / "train" / "z-copy.txt").write_text(text.upper().replace(" ", "  \n"))
    (folder / "train" / "y-held-out.txt").write_text(BOOKS[HELD_OUT[1]])
    (folder / "train" / "z-almost.txt").write_text(text + " More.")
    for name in ("empty-1", "empty-2"):
        (folder / "train" / f"{name}.txt").write_text(" \n")
    made = make(folder, tokenizer, deduplicate=True, workers=workers)
    assert read_json(made / "index.json")["repeated"] == ["y-held-out.txt", "z-copy.txt"]
    assert "corpus: 2 repeated books left out" in capsys.readouterr().out
    assert split_of(made, "validation") == split_of(expected, "validation")
    names = split_of(made, "train")[2]
    assert names == [*(f"{name}.txt" for name in TRAIN), "z-almost.txt"]
    before = len(split_of(expected, "train")[0])
    assert split_of(made, "train")[0][:before] == split_of(expected, "train")[0]


def test_repeated_rows_and_a_drawn_split(tmp_path: Path, tokenizer: Path) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "all.jsonl").write_bytes(lines_of(sorted(BOOKS)) * 3)
    made = make(tmp_path / "books", tokenizer, deduplicate=True, validation_share=0.25)
    names = split_of(made, "train")[2] + split_of(made, "validation")[2]
    assert sorted(names) == sorted(f"all.jsonl:{n}" for n in range(1, 13))
    assert len(read_json(made / "index.json")["repeated"]) == 24


# Licence text. -------------------------------------------------------------------------------

HEADER = "\ufeffThe Project Gutenberg eBook of A Book\n\nTitle: A Book\n\nRelease date: 1 May\n\n"
FOOTER = "\n\nUpdated editions will replace the previous one.\nSection 1. General Terms\n"
BODY = "CHAPTER I\n\nIt was the end of the road. *** Then\n\n* * *\n\nnothing.\n"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("*** START OF THE PROJECT GUTENBERG EBOOK A BOOK ***",
         "*** END OF THE PROJECT GUTENBERG EBOOK A BOOK ***"),
        ("***START OF THE PROJECT GUTENBERG EBOOK A BOOK***",
         "***END OF THE PROJECT GUTENBERG EBOOK A BOOK***"),
        ("*** START OF THIS PROJECT GUTENBERG EBOOK A BOOK ***",
         "End of the Project Gutenberg EBook of A Book, by A. Writer\n\n"
         "*** END OF THIS PROJECT GUTENBERG EBOOK A BOOK ***"),
        ("*** START OF THE PROJECT GUTENBERG EBOOK A BOOK: BEING THE\nTRUE STORY OF IT ***",
         "End of Project Gutenberg's A Book, by A. Writer"),
        ("***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nWhy is this?\n"
         "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*",
         "End of The Project Gutenberg Etext of A Book"),
        ("*** START OF THE PROJECT GUTENBERG EBOOK A BOOK ***\r",
         "*** END OF THE PROJECT GUTENBERG EBOOK A BOOK ***\r"),
    ],
)  # fmt: skip
def test_licence_text_is_taken_off(start: str, end: str) -> None:
    whole = f"{HEADER}{start}\n{BODY}{end}\n{FOOTER}"
    for size in (1 << 20, 300):
        blocks = source.blocks(source.Book("b", Path("b"), whole.encode()), size)
        if size < len(HEADER) + len(start):
            continue  # the start mark is looked for in the first block
        assert "".join(without_licence(blocks)).strip() == BODY.strip()


@pytest.mark.parametrize(
    ("blocks", "kept"),
    [
        ([BODY, "He went to Project Gutenberg's office.\n"], None),
        (["a\n", "b\n"], None),
        (["Of project gutenberg, and the small print!\n"], None),
        (["a\n*** END OF THE PROJECT GUTENBERG EBOOK X ***\nlicence\n", "more licence\n"], "a\n"),
        (["head\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\na\n", "b\n",
          "c\n*** END OF THE PROJECT GUTENBERG EBOOK X ***\nlicence\n", "licence\n"], "a\nb\nc\n"),
        (["h\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\na\n*** END OF THE PROJECT GUTENBERG"
          " EBOOK X ***\nl\nh\n*** START OF THE PROJECT GUTENBERG EBOOK Y ***\nb\n"], "a\nb\n"),
        (["*** START OF THE PROJECT GUTENBERG EBOOK X\n\na\n\n*** * ***\nb\n"],
         "\na\n\n*** * ***\nb\n"),
        ([], ""),
    ],
)  # fmt: skip
def test_marks_over_blocks(blocks: list[str], kept: str | None) -> None:
    assert "".join(without_licence(blocks)) == ("".join(blocks) if kept is None else kept)


def test_licence_text_in_a_corpus(
    tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = make(write(tmp_path / "plain", _plain), tokenizer)
    folder = write(tmp_path / "marked", _plain)
    extra = 0
    for n, path in enumerate(sorted((folder / "train").iterdir())[:4]):
        text = path.read_bytes().decode().lstrip("\ufeff")
        head = f"Release {n}\n*** START OF THE PROJECT GUTENBERG EBOOK {n} ***\n"
        tail = f"\n*** END OF THE PROJECT GUTENBERG EBOOK {n} ***\nLicence {n}\n"
        path.write_bytes(f"{head}{text}{tail}".encode())
    made = make(folder, tokenizer, strip_licence=True)
    assert split_of(made, "train") == split_of(expected, "train")
    licence = read_json(made / "index.json")["licence"]
    assert licence["books"] == 4
    for split in ("train", "validation"):
        entry = read_json(made / "index.json")["splits"][split]
        extra += sum(p.stat().st_size for p in (folder / split).iterdir()) - entry["bytes"]
    assert licence["bytes"] == extra > 0
    assert "corpus: licence text of 4 books taken off" in capsys.readouterr().out
    # With other licence text the same book is repeated; a mark alone changes nothing.
    copy = (folder / "train" / f"{TRAIN[1]}.txt").read_text().replace("Release 1", "Release 77")
    (folder / "train" / "zz.txt").write_text(copy)
    both = make(folder, tokenizer, "both", strip_licence=True, deduplicate=True)
    assert read_json(both / "index.json")["repeated"] == ["zz.txt"]
    assert split_of(both, "train") == split_of(expected, "train")


# The tokenizer reads the same books. ---------------------------------------------------------


def test_the_tokenizer_learns_from_the_training_books(tmp_path: Path) -> None:
    merges = TokenizerSettings(merges=25)
    plain = write(tmp_path / "plain", _plain)
    expected = bpe.run_train(TokenizerJob(tokenizer=merges), plain, tmp_path / "expected")
    reading = settings_of(text_field="text", deduplicate=True).reading()
    job = TokenizerJob(tokenizer=merges, corpus=reading)
    made = bpe.run_train(job, write(tmp_path / "rows", _parquet), tmp_path / "made")
    assert made.id == expected.id
    assert read_json(tmp_path / "made" / "manifest.json")["books"] == len(TRAIN)
    split = settings_of(validation_share=0.25)
    folder = one_folder(tmp_path / "one")
    names = [book.name for book in training_books(collect(folder, split), split)]
    assert len(names) == 9
    assert names != [f"{name}.txt" for name in TRAIN]
    bpe.run_train(
        TokenizerJob(tokenizer=merges, corpus=split.reading()), folder, tmp_path / "drawn"
    )
    assert read_json(tmp_path / "drawn" / "manifest.json")["books"] == 9


# Settings. -----------------------------------------------------------------------------------


def test_jobs_of_before_are_the_same_strings() -> None:
    """What was made with them is still the result of the same settings."""
    plan = Plan.read(merged_yaml([CONFIG / "config.yaml"]), CONFIG)
    assert plan.corpus_job().to_json() == '{"corpus":{"shard_tokens":50000000,"workers":2}}'
    assert plan.corpus_job("other") == plan.corpus_job()
    assert plan.tokenizer_job().to_json() == (
        '{"tokenizer":{"merges":1000,"merges_file":null,"min_frequency":2,"vocab_file":null}}'
    )
    changed = settings_of(deduplicate=True, workers=2, shard_tokens=50_000_000)
    assert CorpusJob(corpus=changed).to_json() == (
        '{"corpus":{"deduplicate":true,"shard_tokens":50000000,"workers":2}}'
    )
    assert CorpusJob.from_json(CorpusJob(corpus=changed).to_json()).corpus == changed
    assert changed.reading() == changed
    assert settings_of(workers=7, shard_tokens=3).reading() is None


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"rows": "contiguous", "deduplicate": True}, "deduplicate needs books"),
        ({"rows": "contiguous", "strip_licence": True}, "strip_licence needs books"),
        ({"source": {"repository": "a/b"}}, "give validation_share"),
        ({"source": {"repository": "ab"}, "validation_share": 0.1}, "`source.repository`"),
        ({"validation_share": 1.0}, "`validation_share`"),
        ({"dedupe": True}, "unknown key `dedupe`; did you mean `deduplicate`"),
    ],
)
def test_wrong_settings(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(UserError, match=re.escape(fault)):
        settings_of(**given)


# Bad input: one line, nothing left. ----------------------------------------------------------


def _truncated_gz(path: Path) -> None:
    data = gzip.compress(b"".join(str(n).encode() + b" words\n" for n in range(5000)))
    (path / "b.txt.gz").write_bytes(data[:-20])


def _no_gz(path: Path) -> None:
    (path / "b.gz").write_bytes(b"plain text")


def _broken_gz(path: Path) -> None:
    data = bytearray(gzip.compress(b"".join(str(n).encode() + b" words\n" for n in range(5000))))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    (path / "b.txt.gz").write_bytes(data)


def _truncated_zst(path: Path) -> None:
    zstd(path / "b.txt.zst", b"".join(str(n).encode() + b" words\n" for n in range(5000)))
    (path / "b.txt.zst").write_bytes((path / "b.txt.zst").read_bytes()[:-30])


def _no_zst(path: Path) -> None:
    (path / "b.zst").write_bytes(b"plain text")


def _truncated_parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": ["a text"] * 1000}), path / "b.parquet")
    (path / "b.parquet").write_bytes((path / "b.parquet").read_bytes()[:-30])


def _broken_pages(path: Path) -> None:
    column = [f"text {n}" for n in range(20000)]
    pq.write_table(pa.table({"text": column}), path / "b.parquet", use_dictionary=False)
    data = bytearray((path / "b.parquet").read_bytes())
    data[5000:60000] = bytes(55000)
    (path / "b.parquet").write_bytes(data)


def _other_field(path: Path) -> None:
    pq.write_table(pa.table({"texts": ["a"], "title": ["t"]}), path / "b.parquet")


def _numbers(path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), path / "b.parquet")


def _other_key(path: Path) -> None:
    (path / "b.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')


def _no_json(path: Path) -> None:
    (path / "b.jsonl").write_text('{"text": "a"}\n{"text": "b"\n')


def _no_object(path: Path) -> None:
    (path / "b.jsonl").write_text('["text"]\n')


def _no_text(path: Path) -> None:
    (path / "b.jsonl").write_text('{"text": ["a"]}\n')


def _half_a_pair(path: Path) -> None:
    (path / "b.jsonl").write_text('{"text": "\\ud800"}\n')


def _latin_1_rows(path: Path) -> None:
    (path / "b.jsonl").write_bytes(b'{"text": "a"}\n{"text": "caf\xe9"}\n')


def _latin_1(path: Path) -> None:
    (path / "b.txt.gz").write_bytes(gzip.compress(b"one\ntwo\ncaf\xe9\n"))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncated_gz, r"b\.txt\.gz: not a whole \.gz file \(Compressed file ended.*get it again"),
        (_no_gz, r"b\.gz: not a whole \.gz file \(Not a gzipped file"),
        (_broken_gz, r"b\.txt\.gz: not a whole \.gz file"),
        (_truncated_zst, r"b\.txt\.zst: not a whole \.zst file \(Truncated"),
        (_no_zst, r"b\.zst: not a whole \.zst file"),
        (_truncated_parquet, r"b\.parquet: not a whole parquet file"),
        (_broken_pages, r"b\.parquet: not a whole parquet file"),
        (_other_field, r"b\.parquet: no field `text` \(corpus\.text_field\); found texts, title;"
                       r" did you mean `texts`\?"),
        (_numbers, r"b\.parquet: the column `text` holds int64, text expected"),
        (_other_key, r"b\.jsonl, line 2: no field `text` .*found txt; did you mean `txt`\?"),
        (_no_json, r"b\.jsonl, line 2: not JSON; one object a line expected"),
        (_no_object, r"b\.jsonl, line 1: not a JSON object"),
        (_no_text, r"b\.jsonl, line 1: `text` is list, a text expected"),
        (_half_a_pair, r"b\.jsonl, line 1: `text` has half a surrogate pair"),
        (_latin_1_rows, r"b\.jsonl, line 2: not UTF-8 text \(byte 0xe9\)"),
        (_latin_1, r"b\.txt\.gz, line 3: not UTF-8 text \(byte 0xe9\)"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    tokenizer: Path,
    spoil: Callable[[Path], None],
    message: str,
    workers: int,
) -> None:
    folder = write(tmp_path, _plain)
    out = make(folder, tokenizer)  # what was there before is no longer what the books say
    spoil(folder / "train")
    with pytest.raises(UserError, match=message) as caught:
        make(folder, tokenizer, workers=workers)
    assert "\n" not in str(caught.value)
    assert list(out.iterdir()) == []
    assert multiprocessing.active_children() == []


def test_no_permission_and_no_folder(
    tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, _plain)
    (folder / "train" / "loop.txt").symlink_to(folder / "train" / "loop.txt")
    (folder / "train" / "folder.txt").mkdir()
    made = make(folder, tokenizer)  # neither is a book
    assert len(split_of(made, "train")[2]) == len(TRAIN)
    job = CorpusJob(corpus=settings_of(validation_share=0.5)).to_json()
    status = main(
        ["corpus", "--settings", job, "--books", str(tmp_path / "nothing"),
         "--tokenizer", str(tokenizer), "--out", str(tmp_path / "out")]
    )  # fmt: skip
    assert status == 2
    error = capsys.readouterr().err
    assert "nothing: the folder is missing; put plain-text UTF-8 files there" in error
    assert error.count("\n") == 1


# The hub's text sets, from a mirror. ---------------------------------------------------------


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Repositories as `hf download` copies them: by the card, by names alone, and code."""
    root = tmp_path / "mirror"
    carded, named, code = root / "someone/books", root / "someone/lines", root / "someone/code"
    for folder in (carded / "data", named / "plain", code):
        folder.mkdir(parents=True)
    _parquet(carded / "data", sorted(BOOKS))
    config = "- config_name: whole\n  data_files:\n  - split: all\n    path: data/*\n"
    (carded / "README.md").write_text(f"---\nconfigs:\n{config}---\n")
    (named / "train.jsonl").write_bytes(lines_of(sorted(BOOKS)))
    (named / "notes.md").write_text("no data")
    (code / "code.py").write_text("raise SystemExit(3)")
    return root


def from_hub(tmp_path: Path, tokenizer: Path, mirror: Path | None, **given: Any) -> Path:
    where = {"mirror": str(mirror)} if mirror else {}
    return make(
        tmp_path / "no-books", tokenizer, source=where | given, validation_share=0.25, workers=1
    )


def test_a_text_set_of_the_hub(tmp_path: Path, tokenizer: Path, mirror: Path) -> None:
    (tmp_path / "x").mkdir()
    expected = make(one_folder(tmp_path / "x"), tokenizer, validation_share=0.25)
    known = {
        tuple(ids)
        for split in ("train", "validation")
        for ids in books_in(TokenCorpus.open(expected, split))
    }
    for repository, more in (
        ("someone/books", {"config": "whole", "split": "all"}),
        ("someone/lines", {}),
    ):
        made = from_hub(tmp_path, tokenizer, mirror, repository=repository, **more)
        found = [
            tuple(ids)
            for split in ("train", "validation")
            for ids in books_in(TokenCorpus.open(made, split))
        ]
        assert len(found) == len(BOOKS)
        assert set(found) == known
        assert read_json(made / "index.json")["origin"]["repository"] == repository
        assert repository in read_json(made / "manifest.json")["inputs"]


def books_in(opened: TokenCorpus) -> list[list[int]]:
    ends = [*(opened.books[1:] - 1), len(opened)]
    return [
        opened.read(int(start), int(end - start)).tolist()
        for start, end in zip(opened.books, ends, strict=True)
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"repository": "someone/code"},
            "as code only, which is never run: take a repository",
        ),
        ({"repository": "someone/none"}, "no such folder; a mirror holds copies"),
        ({"repository": "someone/books", "config": "part"}, "'part' not found"),
        ({"repository": "someone/books", "config": "whole"}, "no split `train`.*found all"),
    ],
)
def test_what_a_mirror_does_not_have(
    tmp_path: Path, tokenizer: Path, mirror: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        from_hub(tmp_path, tokenizer, mirror, **given)
    assert "\n" not in str(caught.value)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("offline", [True, False])
def test_files_of_the_cache_are_read(
    tmp_path: Path, tokenizer: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    """Downloaded files are those of the snapshot's folder, named by the commit. With a connection
    the split's files alone are asked for."""
    import datasets
    import huggingface_hub
    import huggingface_hub.constants

    snapshot = tmp_path / "snapshots" / COMMIT
    snapshot.parent.mkdir()
    (mirror / "someone/lines").rename(snapshot)
    asked: dict[str, Any] = {}
    local = datasets.load_dataset_builder

    def snapshot_download(repository: str, **given: Any) -> str:
        asked.update(given, repository=repository)
        return str(snapshot)

    def builder(path: str, *given: Any, **more: Any) -> Any:
        if path != "someone/lines":
            return local(path, *given, **more)
        assert not offline
        names = {"train": [f"hf://datasets/{path}@{COMMIT}/train.jsonl"], "test": ["other"]}
        return SimpleNamespace(config=SimpleNamespace(data_files=names))

    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    made = from_hub(tmp_path, tokenizer, None, repository="someone/lines")
    assert read_json(made / "index.json")["origin"]["commit"] == COMMIT
    assert asked == {
        "repository": "someone/lines",
        "repo_type": "dataset",
        "revision": None if offline else COMMIT,
        "allow_patterns": None if offline else ["README.md", "train.jsonl"],
    }


# Windows. ------------------------------------------------------------------------------------


def test_windows_over_blocks_of_the_scan(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line starts in small numbers, looked for block by block, are those of the whole; and an
    epoch's order is that of 64-bit numbers."""
    opened = TokenCorpus.open(make(write(tmp_path, _plain), tokenizer), "train")
    ids = opened.read(0, len(opened))
    expected = np.asarray([0, *(np.flatnonzero(ids == opened.newline) + 1)], np.int64)
    monkeypatch.setattr(corpus, "SCANNED", 7)
    starts = opened.line_starts()
    assert starts.dtype == np.uint32
    assert starts.tolist() == expected[expected < len(ids)].tolist()
    windows = Windows(opened, 16, 4, "line", seed=3)
    fit = expected[expected + 16 < len(ids)]
    for epoch in range(3):
        order = np.random.default_rng([3, epoch]).permutation(fit)
        assert windows.order(epoch).tolist() == order.tolist()
