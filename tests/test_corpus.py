"""From books to shards of tokens and back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gptbench.artifacts import read_json
from gptbench.data import books as book_folder
from gptbench.data import corpus
from gptbench.data import text as texts
from gptbench.data import tokenizer as bpe
from gptbench.data.corpus import TokenCorpus
from gptbench.data.tokenizer import Tokenizer
from gptbench.errors import UserError
from gptbench.settings import CorpusJob, CorpusSettings, TokenizerSettings

BOOKS = {
    "train/b.txt": "The second book.\n\nIt is — “short”.\n",
    "train/a.txt": "\ufeffCHAPTER ONE\r\n\r\nIt's the first book\\text.\n" * 3,
    "train/empty.txt": " \n\n",
    "validation/v.txt": "Held out.",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Books and a tokenizer in `books` and `tokenizer`."""
    for name, content in BOOKS.items():
        path = tmp_path / "books" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    words = Counter(word for content in BOOKS.values() for word in texts.words(content))
    del words["\n"]
    settings = TokenizerSettings(merges=20, min_frequency=1)
    bpe.train_on_counts(words, settings).save(tmp_path / "tokenizer")
    return tmp_path


def make(folder: Path, shard_tokens: int = 1000, workers: int = 1, name: str = "corpus") -> Path:
    job = CorpusJob(corpus=CorpusSettings(shard_tokens=shard_tokens, workers=workers))
    corpus.run(job, folder / "books", folder / "tokenizer", folder / name)
    return folder / name


def expected_tokens(folder: Path, tokenizer: Tokenizer) -> list[int]:
    one, two = (tokenizer.encode(BOOKS[f"train/{name}.txt"]) for name in "ab")
    return [*one, tokenizer.newline, *two]


def test_tokens_are_the_books_in_order(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder / "tokenizer")
    opened = TokenCorpus.open(make(folder), "train")
    assert opened.tokens.tolist() == expected_tokens(folder, tokenizer)
    assert opened.tokens.dtype == np.uint16
    assert opened.names == ["a.txt", "b.txt"]
    assert opened.books.tolist() == [0, len(tokenizer.encode(BOOKS["train/a.txt"])) + 1]
    assert (opened.tokenizer_id, opened.vocab_size) == (tokenizer.id, tokenizer.vocab_size)
    assert opened.newline == tokenizer.newline
    assert tokenizer.decode(opened.read(int(opened.books[1]), 99)) == (
        'the second book .\nit is - " short " .'
    )


def test_index_counts_words_and_bytes(folder: Path) -> None:
    index = read_json(make(folder) / "index.json")
    train = index["splits"]["train"]
    contents = [BOOKS["train/a.txt"], BOOKS["train/b.txt"]]
    assert train["bytes"] == sum(len(content.encode()) for content in contents)
    assert train["words"] == sum(len(content.split()) for content in contents)
    assert train["tokens"] == sum(shard["tokens"] for shard in train["shards"])
    assert TokenCorpus.open(folder / "corpus", "validation").bytes == len("Held out.")


@pytest.mark.parametrize("shard_tokens", [1, 7, 10, 1000])
def test_shards_read_as_one(folder: Path, shard_tokens: int) -> None:
    whole = np.asarray(expected_tokens(folder, Tokenizer.load(folder / "tokenizer")))
    opened = TokenCorpus.open(make(folder, shard_tokens), "train")
    assert len(opened) == len(whole)
    assert np.array_equal(opened.tokens, whole)
    for start in range(len(whole)):
        for length in (0, 1, 6, 20, len(whole)):
            part = opened.read(start, length)
            assert part.dtype == np.int64
            assert np.array_equal(part, whole[start : start + length])
    breaks = [0, *(np.flatnonzero(whole == opened.newline) + 1)]
    assert opened.line_starts().tolist() == breaks


def test_processes_change_nothing(folder: Path) -> None:
    one, two = make(folder, workers=1, name="one"), make(folder, workers=2, name="two")
    for name in ("index.json", "train/tokens-00000.bin", "validation/tokens-00000.bin"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert sorted(path.name for path in (two / "train").iterdir()) == ["tokens-00000.bin"]


def test_blocks_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (make(folder, name="one") / "train/tokens-00000.bin").read_bytes()
    monkeypatch.setattr(book_folder, "BLOCK", 5)
    assert (make(folder, name="two") / "train/tokens-00000.bin").read_bytes() == whole


def test_changed_shard_is_refused(folder: Path) -> None:
    out = make(folder)
    shard = out / "train" / "tokens-00000.bin"
    data = bytearray(shard.read_bytes())
    data[3] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match=r"tokens-00000\.bin: the checksum differs"):
        TokenCorpus.open(out, "train")
    assert len(TokenCorpus.open(out, "validation")) > 0
    shard.unlink()
    with pytest.raises(UserError, match=r"tokens-00000\.bin: No such file"):
        TokenCorpus.open(out, "train")


def test_missing_corpus_and_split(folder: Path) -> None:
    with pytest.raises(UserError, match=r"index\.json: No such file"):
        TokenCorpus.open(folder / "nothing", "train")
    with pytest.raises(UserError, match="no split `test`; there is train, validation"):
        TokenCorpus.open(make(folder), "test")


def test_number_type() -> None:
    assert corpus.number_type(65532) == np.dtype("<u2")
    assert corpus.number_type(65533) == np.dtype("<u4")


def test_missing_books(folder: Path) -> None:
    for path in (folder / "books" / "validation").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"books/validation: the folder has no books; put plain"):
        make(folder)


def test_books_without_text(folder: Path) -> None:
    (folder / "books" / "validation" / "v.txt").write_text(" \n")
    with pytest.raises(UserError, match="validation: the books hold no text"):
        make(folder)
    assert not (folder / "corpus" / "manifest.json").exists()


def test_run_id_follows_books_and_tokenizer(folder: Path) -> None:
    def run_id() -> str:
        return str(read_json(make(folder) / "manifest.json")["run_id"])

    first = run_id()
    assert run_id() == first
    (folder / "books" / "train" / "b.txt").write_text("Changed.")
    second = run_id()
    bpe.train_on_counts(Counter({"changed": 3}), TokenizerSettings(merges=2)).save(
        folder / "tokenizer"
    )
    assert len({first, second, run_id()}) == 3


def test_real_book(real_data: Path, tmp_path: Path) -> None:
    released = real_data / "openai-gpt"
    tokenizer = bpe.import_files(
        released / "encoder_bpe_40000.json", released / "vocab_40000.bpe", tmp_path / "tokenizer"
    )
    book = sorted((real_data / "books" / "validation").glob("*.txt"))[0]
    for split in ("train", "validation"):
        (tmp_path / "books" / split).mkdir(parents=True)
        (tmp_path / "books" / split / book.name).symlink_to(book)
    opened = TokenCorpus.open(make(tmp_path), "train")
    assert opened.tokens.tolist() == tokenizer.encode(book.read_bytes().decode())
    assert (opened.tokens == 0).mean() < 0.001
