"""Standardising and splitting text: the released rules, and the shortcuts that keep them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import ftfy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptbench.data import text as texts
from tests.released_tokenizer import blank_english, standardised

MARKS = "-~!\";?+,)(/*[]}{|_\\—–―…´&<>'.:$%\n\r\t \x0c\x1b\x7f\xa0\u2028éÃ©aB1"


spacy_tokenizer = cache(blank_english)


def released_words(text: str) -> list[str]:
    """Tokens of spaCy over the whole standardised text at once."""
    tokens = [token.text.lower() for token in spacy_tokenizer()(standardised(text))]
    return [texts.NEWLINE if token == "\n " else token for token in tokens]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a—b–c―d", "a - b - c - d"),
        ("well…", "well..."),
        ("it´s", "it's"),
        ("a\\b", "a\\b"),
        ("wait--what?!", "wait -- what ? !"),
        ("(one) [two] {three} |four|", "( one ) [ two ] { three } | four |"),
        ("a/b*c_d~e+f", "a / b * c _ d ~ e + f"),
        ("  one\t two \n\n \n three  ", "one two \n three"),
        ("\n\n", ""),
        ("a\r\nb\rc", "a \n b \n c"),
        ("&amp; “quoted”", '& " quoted "'),
        ("doesnâ€™t", "doesn't"),
        ("<b> &amp;", "<b> &amp ;"),
    ],
)
def test_standardise(raw: str, expected: str) -> None:
    assert texts.standardise(raw) == expected == standardised(raw)


@given(st.text(alphabet=MARKS) | st.text())
def test_standardise_is_the_released_function(raw: str) -> None:
    assert texts.fix(raw) == ftfy.fix_text(raw)
    assert texts.standardise(raw) == standardised(raw)


@given(st.text(alphabet=MARKS) | st.text())
def test_chunks_are_the_whole(raw: str) -> None:
    lines = [[p for chunk in line for p in texts.pieces(chunk)] for line in texts.lines(raw)]
    assert " \n ".join(" ".join(line) for line in lines) == texts.standardise(raw)


def test_long_lines_are_repaired_as_ftfy_does() -> None:
    raw = "é&amp;" * 200_000 + "<\n&amp;"
    assert texts.fix(raw) == ftfy.fix_text(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Don't stop.\nGo!", ["do", "n't", "stop", ".", "\n", "go", "!"]),
        ("I cannot; gonna", ["i", "can", "not", ";", "gon", "na"]),
        ("Mr. Smith's $5.50", ["mr.", "smith", "'s", "$", "5.50"]),
        ("", []),
    ],
)
def test_words(raw: str, expected: list[str]) -> None:
    assert texts.words(raw) == expected == released_words(raw)


WORDS = st.sampled_from(
    ["don't", "Cannot", "U.S.", "e.g.", ":)", ";-)", "8am", "well-known", "a.b", "(he", "said)",
     "“No”", "3,000", "it's", "\\n", "''", "...", "C++", "Mr.", "o'clock", "\n", "x\\y", "n't",
     "''Deed", "'", "x''", "''"]
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(WORDS | st.text(max_size=6), max_size=12).map(" ".join))
def test_words_are_those_of_the_whole_text(raw: str) -> None:
    assert texts.words(raw) == released_words(raw)


def test_words_of_real_books(real_data: Path) -> None:
    for name in ("validation", "train"):
        book = sorted((real_data / "books" / name).glob("*.txt"))[0]
        raw = book.read_text("utf-8")[:300_000]
        assert texts.words(raw) == released_words(raw)


@pytest.mark.parametrize(
    "raw", ["wrong anywhere?' ''Deed is there,'", "''Tis so.", "' ''Tis", "x'' '", "'em.' '' ''a"]
)
def test_pieces_that_depend_on_their_neighbours(raw: str) -> None:
    assert any(texts.piece_words(p)[1] for chunk in raw.split() for p in texts.pieces(chunk))
    assert texts.words(raw) == released_words(raw)
    assert texts.words(f"a\n{raw}\n' b") == released_words(f"a\n{raw}\n' b")


def test_forgetting_changes_nothing() -> None:
    before = texts.words("It's here.")
    texts.forget()
    assert texts.words("It's here.") == before


def test_long_runs_are_split_as_by_spacy() -> None:
    """Suffixes of long chunks are looked for in their last characters alone."""
    plain = blank_english()
    ends = "'s 'S 5km 5+ °C. AB. a. ... 😀 ’ 5US$ x é. %. ''".split()
    for run in ("'", ".", "x", "..😀", "5km", "A."):
        for length in (126, 127, 128, 190):
            for end in ends:
                raw = (run * length)[:length] + end
                words, _ = texts.piece_words(raw)
                assert words == [token.text.lower() for token in plain(raw)], raw


def test_no_exception_is_longer_than_the_runs_that_are_looked_at() -> None:
    assert max(map(len, blank_english().rules)) <= texts._LONGEST_EXCEPTION
