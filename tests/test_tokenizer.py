"""Byte-pair encoding: the worked example, training, the released vocabulary, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptbench.artifacts import read_json
from gptbench.data import text as texts
from gptbench.data import tokenizer as bpe
from gptbench.data.tokenizer import Tokenizer
from gptbench.errors import UserError
from gptbench.settings import TokenizerJob, TokenizerSettings

EXAMPLE = Counter({"low": 5, "lower": 2, "newest": 6, "widest": 3})
LINES = "The lower house is newest.\nThe widest, lowest house wasn't low!\n"


def settings_of(merges: int = 60, frequency: int = 2) -> TokenizerSettings:
    return TokenizerSettings(merges=merges, min_frequency=frequency)


@pytest.fixture
def books(tmp_path: Path) -> Path:
    for split in ("train", "validation"):
        (tmp_path / "books" / split).mkdir(parents=True)
    for i in range(3):
        (tmp_path / "books" / "train" / f"{i}.txt").write_text(LINES * (i + 2))
    (tmp_path / "books" / "validation" / "z.txt").write_text("Quizzical zebras. " * 9)
    return tmp_path / "books"


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return bpe.train_on_counts(Counter(texts.words(LINES * 3)), settings_of())


def test_worked_example() -> None:
    tokenizer = bpe.train_on_counts(EXAMPLE, settings_of(merges=4))
    assert tokenizer.merges == [("e", "s"), ("es", "t</w>"), ("l", "o"), ("e", "w")]
    assert tokenizer.symbols("lowest") == ["lo", "w", "est</w>"]
    assert tokenizer.symbols("low") == ["lo", "w</w>"]
    assert list(tokenizer.encoder)[:3] == ["<unk>", "d", "e"]
    assert list(tokenizer.encoder)[-5:] == ["es", "est</w>", "lo", "ew", "\n</w>"]


def test_more_merges_need_no_earlier_order_changed() -> None:
    few, many = (bpe.train_on_counts(EXAMPLE, settings_of(merges=n)) for n in (4, 9))
    assert many.merges[:4] == few.merges
    assert bpe.train_on_counts(EXAMPLE, settings_of(merges=99)).symbols("newest") == ["newest</w>"]


def merged_everywhere(parts: list[str], pair: tuple[str, str]) -> list[str]:
    found: list[str] = []
    for part in parts:
        whole = bool(found) and (found[-1], part) == pair
        found[-1:] = [found[-1] + part] if whole else [*found[-1:], part]
    return found


def naive_merges(counts: Counter[str], n: int) -> list[tuple[str, str]]:
    """The textbook algorithm, slowly: count all pairs anew for each merge."""
    words = {word: [*word[:-1], word[-1] + "</w>"] for word in counts}
    order = {s: i for i, s in enumerate(sorted({s for parts in words.values() for s in parts}))}
    merges: list[tuple[str, str]] = []
    while len(merges) < n:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in words.items():
            for pair in pairwise(parts):
                pairs[pair] += counts[word]
        pairs = Counter({pair: c for pair, c in pairs.items() if c >= 2})
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], order[pair[0]], order[pair[1]]))
        merges.append(best)
        order.setdefault("".join(best), len(order))
        words = {word: merged_everywhere(parts, best) for word, parts in words.items()}
    return merges


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=7), st.integers(1, 9), min_size=1))
def test_training_is_the_textbook_algorithm(counts: dict[str, int]) -> None:
    trained = bpe.train_on_counts(Counter(counts), settings_of(merges=12))
    assert trained.merges == naive_merges(Counter(counts), len(trained.merges))
    assert len(trained.merges) == len(naive_merges(Counter(counts), 12))


@settings(deadline=None)
@given(st.text(alphabet="abcdehilnorstuw ,.!'\n-\\T", max_size=60))
def test_round_trip(raw: str) -> None:
    tokenizer = round_trip_tokenizer()
    standard = texts.standardise(raw).lower()
    decoded = tokenizer.decode(tokenizer.encode(raw))
    assert decoded.replace(" ", "") == standard.replace(" ", "")
    assert tokenizer.encode(decoded) == tokenizer.encode(raw) or "'" in raw or "." in raw


def round_trip_tokenizer() -> Tokenizer:
    counts = Counter(dict.fromkeys("abcdehilnorstuw,.!'-\\", 2) | {"the": 9, "house": 5})
    counts.update({f"{c}a": 2 for c in "abcdehilnorstuw,.!'-\\"})
    return bpe.train_on_counts(counts, settings_of(merges=20))


def test_unknown_symbols_are_zero(small: Tokenizer) -> None:
    assert small.encode("§") == [0]
    assert small.decode([0]) == "<unk>"


def test_line_breaks_and_special_tokens(small: Tokenizer) -> None:
    ids = small.encode("low\n\n\nlow\n")
    assert ids.count(small.newline) == 1
    assert small.decode(ids) == "low\nlow"
    assert [small.start, small.delimiter, small.classify] == [
        small.vocab_size + i for i in range(3)
    ]
    assert small.decode([small.start, *small.encode("low"), small.classify]) == (
        "<start> low <classify>"
    )
    with pytest.raises(UserError, match="ids run from 0 to"):
        small.decode([small.vocab_size + 3])


def test_cache_is_bounded(monkeypatch: pytest.MonkeyPatch, small: Tokenizer) -> None:
    expected = small.encode(LINES)
    monkeypatch.setattr(bpe, "CACHE_ENTRIES", 8)
    small.forget()
    assert small.encode(LINES) == expected
    assert len(small._chunks) <= 8


def test_training_twice_gives_the_same_bytes(books: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from gptbench.data import tokenizer as t;"
        "from gptbench.settings import *;"
        f"t.run_train(TokenizerJob(tokenizer=TokenizerSettings(merges=40)), Path({str(books)!r}),"
        f" Path({str(tmp_path)!r}) / 'OUT')"
    )
    root = Path(bpe.__file__).parents[2]
    for seed, name in (("1", "one"), ("2", "two")):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", code.replace("OUT", name)]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    for file in ("encoder.json", "merges.txt"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert Tokenizer.load(tmp_path / "one").id == Tokenizer.load(tmp_path / "two").id
    manifest = read_json(tmp_path / "one" / "manifest.json")
    assert manifest["run_id"] == read_json(tmp_path / "two" / "manifest.json")["run_id"]
    assert manifest["tokenizer_id"] == Tokenizer.load(tmp_path / "one").id


def test_only_training_books_count(books: Path) -> None:
    counts = bpe.count_words(sorted((books / "train").glob("*.txt")), workers=2)
    assert counts == Counter(word for word in texts.words(LINES * 9) if word != "\n")
    trained = bpe.train(sorted((books / "train").glob("*.txt")), settings_of())
    assert "z" not in trained.encoder


def test_missing_books_name_the_folder(tmp_path: Path) -> None:
    job = TokenizerJob(tokenizer=settings_of())
    with pytest.raises(UserError, match=r"train: the folder is missing; put plain-text"):
        bpe.run_train(job, tmp_path, tmp_path / "out")
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="the folder has no books"):
        bpe.run_train(job, tmp_path, tmp_path / "out")


def test_book_that_is_not_text(books: Path, tmp_path: Path) -> None:
    (books / "train" / "1.txt").write_bytes(b"fine\nalso fine\nbad \xff here\n")
    with pytest.raises(UserError, match=r"1\.txt, line 3: not UTF-8 text \(byte 0xff\)"):
        bpe.train(sorted((books / "train").glob("*.txt")), settings_of(), workers=1)
    with pytest.raises(UserError, match=r"1\.txt, line 3"):
        bpe.train(sorted((books / "train").glob("*.txt")), settings_of(), workers=2)


def test_import_by_the_job(small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path / "from")
    names = {
        "vocab_file": tmp_path / "from/encoder.json",
        "merges_file": tmp_path / "from/merges.txt",
    }
    paths = {key: str(path) for key, path in names.items()}
    job = TokenizerJob(tokenizer=TokenizerSettings.model_validate({"merges": 1, **paths}))
    imported = bpe.run_train(job, tmp_path / "no-books", tmp_path / "to")
    assert imported.id == small.id == Tokenizer.load(tmp_path / "to").id
    half = TokenizerJob(tokenizer=TokenizerSettings(merges=1, vocab_file="x"))
    with pytest.raises(UserError, match="given together"):
        bpe.run_train(half, tmp_path, tmp_path / "to")


@pytest.mark.parametrize(
    ("encoder", "merges", "message"),
    [
        ({"<unk>": 0, "\n</w>": 2}, "", "ids must run from 0 without gaps"),
        ({"a": 0, "\n</w>": 1}, "", "<unk> with id 0"),
        ({"<unk>": 0, "a": 1}, "", "line break is needed"),
        ({"<unk>": 0, "\n</w>": 1}, "a b\n", "`ab` is not in the vocabulary"),
        ({"<unk>": 0, "\n</w>": 1}, "a b\nc\n", r"merges.txt, line 3: 1 symbols, 2 expected"),
        (["<unk>"], "", "one JSON object from symbol to id"),
    ],
)
def test_broken_vocabulary(tmp_path: Path, encoder: object, merges: str, message: str) -> None:
    (tmp_path / "encoder.json").write_text(json.dumps(encoder))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + merges)
    with pytest.raises(UserError, match=message):
        Tokenizer.load(tmp_path)


def test_missing_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"encoder\.json"):
        Tokenizer.load(tmp_path)


def test_released_vocabulary(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "openai-gpt"
    tokenizer = bpe.import_files(
        folder / "encoder_bpe_40000.json", folder / "vocab_40000.bpe", tmp_path
    )
    assert (tokenizer.vocab_size, len(tokenizer.merges)) == (40478, 40000)
    assert (tokenizer.newline, tokenizer.classify) == (40477, 40480)
    assert Tokenizer.load(tmp_path).id == tokenizer.id
    raw = "Don't panic — it's \\only\\ a test…\n\n(Really!)"
    assert tokenizer.decode(tokenizer.encode(raw)) == (
        "do n't panic - it 's \\only\\ a test ...\n( really ! )"
    )
    assert json.loads((tmp_path / "encoder.json").read_text()) == json.loads(
        (folder / "encoder_bpe_40000.json").read_text()
    )
    assert (tmp_path / "merges.txt").read_bytes() == (folder / "vocab_40000.bpe").read_bytes()


def test_encoding_is_that_of_the_whole_text(real_data: Path) -> None:
    folder = real_data / "openai-gpt"
    tokenizer = bpe.read_files(folder / "encoder_bpe_40000.json", folder / "vocab_40000.bpe")
    raw = "No' ''Deed is there,' he said.\n“I cannot”--8am :) e.g. ''Tis 'em.'\n\n'x' isn't"
    symbols = [symbol for word in texts.words(raw) for symbol in tokenizer.symbols(word)]
    assert tokenizer.encode(raw) == [tokenizer.encoder.get(symbol, 0) for symbol in symbols]
