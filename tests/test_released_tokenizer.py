"""Ids equal to those of the released way on every text, against `released_tokenizer.py`."""

from __future__ import annotations

import random
import tarfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptbench.data import text as texts
from gptbench.data import tokenizer as bpe
from gptbench.data.tokenizer import Tokenizer
from gptbench.settings import TokenizerSettings
from tests.conftest import REAL_DATA
from tests.released_tokenizer import Released, blank_english, merged

SMALL = (
    "The lower house is newest; the widest, lowest house wasn't low! \"Don't,\" she said.\n"
    "Café № 5 - 3,000 miles (e.g. 8am) ﬁne ' '' :) x.y …\n"
)
ODD = {
    "empty": "",
    "white space only": " \t\n\x0b\x0c\r\x1c\x1f\x85\xa0\u2003\u2028\u2029\u3000",
    "line breaks": "a\n b\r\nc\rd\u2028e\u2029f\x85g\n\n\n\nh\x0b\x0ci\n",
    "backslashes": "\\ \\\\ a\\b \\n \\\\n c:\\dir\\file \\+ +\\+",
    "runs of marks": '--- ~~ !!?? "" ;; ++ ,, )) (( // ** [[ ]] }} {{ || __ -~!";?+,)(/*[]}{|_',
    "dashes": "a—b–c―d…e´s ‒ − ‐",
    "mojibake": "doesnâ€™t fiancÃ©e â€œquotedâ€\x9d Ã¢â‚¬â„¢ l’humanitÃ© ÐŸÑ€Ð¸Ð²ÐµÑ‚ sch√∂n",
    "entities": "&amp; &lt;b&gt; &#10; &#x20; &nbsp;x &eacute; &amp;amp;\n<p> &amp;\n&lt;",
    "emoji": "😀😀 👩‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️ x😀y :) ;-) (ಠ_ಠ) ¯\\(ツ)/¯ <3 8-D o_O",
    "ligatures and widths": "ﬁne eﬀect ﬃ ĳ Ǆ ｆｕｌｌ ｱ ² ½ K Å ™ №",
    "quotation marks": "“a” ‘b’ «c» ‹d› „e‟ `f' ``g'' ''h'' '' ' ' ''' wrong?' ''Deed is,'",
    "zero width": "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg\u180eh\u034fi",
    "controls": "".join(map(chr, [*range(32), *range(127, 160)])) + "a\x00b\x07c\x1b[31md\x1b[0m",
    "NUL": "\x00 a\x00\x00b \x00",
    "surrogates": "\ud83d\ude00 \ud800 \udfff a\udc80b \ude00\ud83d",
    "not characters": "\ufffe \uffff \ufdd0 \U0010ffff \ufffd \ufff9a\ufffb",
    "right to left": "שלום עולם! مرحبا، بالعالم؟ \u202eabc\u202c \u2067x\u2069 ١٢٣ רש״י",
    "case": "İstanbul IĞDIR ΑΣ ΑΣΑ Σ ς STRASSE ß ẞ ǅ Ω ᾼ",
    "combining": "e\u0301 o\u0308\u0323 \u0301a Z̷̡̈́a̵lgo \u0915\u094d\u0937 각 \u1100\u1161",
    "numbers": "3,000.50 $5 5$ US$5 €5 5km 10°C. 8am 8a.m. 1/2 x² 1st 2-3 C++ C+5 '90s",
    "addresses": "see http://a.b/c?d=e&f=(g) www.x.org, a.b@c.de. #tag @me ftp://x/ file.txt",
    "abbreviations": "Mr. Dr. e.g. i.e. U.S.A. I.B.M. Ph.D. can't won't'd've y'all'd cannot gonna",
    "symbols in the text": "</w> a</w> <unk> \n</w> <start> <classify> low</w>",
    "long runs": "." * 3000 + " " + "-" * 3000 + " " + "x." * 1500 + " " + "é" * 3000,
}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Released]:
    """Ours and the reference on the released vocabulary; without it, on a small one."""
    folder = REAL_DATA / "openai-gpt"
    files = folder / "encoder_bpe_40000.json", folder / "vocab_40000.bpe"
    if not folder.is_dir():
        folder = tmp_path_factory.mktemp("small")
        counts = Counter(word for word in texts.words(SMALL * 3) if word != texts.NEWLINE)
        bpe.train_on_counts(counts, TokenizerSettings(merges=80)).save(folder)
        files = folder / bpe.ENCODER, folder / bpe.MERGES
    return bpe.read_files(*files), Released(*files)


@pytest.mark.parametrize("name", ODD)
def test_odd_texts(name: str, released: tuple[Tokenizer, Released]) -> None:
    ours, reference = released
    raw = ODD[name]
    assert ours.encode(raw) == reference.encode(raw)
    around = f"It's {raw}\n{raw}{raw} end."
    assert ours.encode(around) == reference.encode(around)


def real_lines(root: Path) -> list[str]:
    """Some lines of each book and of each file of the tasks, evenly from its beginning."""
    found: list[str] = []
    books = sorted((root / "books").glob("*/*.txt"))
    tasks = [
        path
        for path in sorted(root.rglob("*.*"))
        if path.suffix in (".tsv", ".csv", ".jsonl", ".txt") and "books" not in path.parts
    ]
    for files, size, rows in ((books, 60_000, 8), (tasks, 200_000, 120)):
        for path in files:
            with path.open("rb") as file:
                lines = file.read(size).decode("utf-8", "replace").split("\n")
            lines = [line for line in lines[:-1] if line.strip()]
            found += lines[:: max(1, len(lines) // rows)][:rows]
    with tarfile.open(root / "RACE.tar.gz") as race:
        passages = (member for member in race if member.isfile())
        for _, member in zip(range(40), passages, strict=False):
            content = race.extractfile(member)
            assert content is not None
            found.append(content.read().decode("utf-8"))
    return found


def test_real_books_and_tasks(real_data: Path, released: tuple[Tokenizer, Released]) -> None:
    ours, reference = released
    lines = real_lines(real_data)
    assert len(lines) >= 5000
    assert [line for line in lines if ours.encode(line) != reference.encode(line)] == []
    # Many lines as one text: the rules that look across white space.
    for start in range(0, len(lines), 500):
        whole = "\n".join(lines[start : start + 500])
        assert ours.encode(whole) == reference.encode(whole)


MARKS = [*"'\"`:;)(.,-\\/$<>&\n\r\t ", "''", "...", "\n\n", "&amp;", "</w>", "â€™"]
ODD_WORDS = [word for odd in ODD.values() if len(odd) < 200 for word in odd.split(" ")]
PIECES = st.deferred(
    lambda: st.one_of(
        st.sampled_from(sorted(blank_english().rules)),  # spaCy's exceptions
        st.sampled_from(MARKS),
        st.sampled_from(ODD_WORDS),
        st.text(max_size=5),
        st.text(st.characters(categories=["Cs", "Cc", "Cf", "Zs", "So", "Mn", "Pf"]), max_size=3),
    )
)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(PIECES, st.sampled_from(["", " ", " ", "\n"])), max_size=14))
def test_any_text(released: tuple[Tokenizer, Released], parts: list[tuple[str, str]]) -> None:
    ours, reference = released
    raw = "".join(piece + space for piece, space in parts)
    assert ours.encode(raw) == reference.encode(raw)


# Words. ---------------------------------------------------------------------------------------


@st.composite
def small_vocabularies(draw: st.DrawFn) -> Tokenizer:
    """Merges over two letters in any order, such that a later one may make an earlier one's part.

    Training can't give such an order; a file can.
    """
    symbols = ["a", "b", "a</w>", "b</w>"]
    merges: list[tuple[str, str]] = []
    for _ in range(draw(st.integers(0, 12))):
        left = draw(st.sampled_from([s for s in symbols if not s.endswith("</w>")]))
        right = draw(st.sampled_from(symbols))
        merges.append((left, right))
        symbols.append(left + right)
    names = dict.fromkeys(["<unk>", *symbols, "\n</w>"])
    return Tokenizer({name: i for i, name in enumerate(names)}, draw(st.permutations(merges)))


@settings(deadline=None)
@given(small_vocabularies(), st.text("ab", min_size=1, max_size=60))
def test_symbols_are_those_of_the_slow_loop(tokenizer: Tokenizer, word: str) -> None:
    ranks = {merge: rank for rank, merge in enumerate(tokenizer.merges)}
    assert tokenizer.symbols(word) == merged(word, ranks)
    assert tokenizer._symbols_of_long(word) == merged(word, ranks)


@pytest.mark.parametrize("letters", ["a", "ab", "etaoin", "abcdefghijklmnopqrstuvwxyz"])
def test_long_words(letters: str, released: tuple[Tokenizer, Released]) -> None:
    ours, reference = released
    word = "".join(random.Random(1).choices(letters, k=2000))
    for size in (2, 30, 249, 250, 251, 2000):
        assert ours.symbols(word[:size]) == merged(word[:size], reference.ranks)
    assert ours.encode(word) == reference.encode(word)


def replaced(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """The slow loop with one character a symbol, so that `str.replace` merges a pair."""
    codes: dict[str, str] = {}
    names: dict[str, str] = {}

    def code(symbol: str) -> str:
        names.setdefault(codes.setdefault(symbol, chr(0xF0000 + len(codes))), symbol)
        return codes[symbol]

    coded = "".join(map(code, [*word[:-1], word[-1] + "</w>"]))
    while True:
        pairs = {(names[a], names[b]) for a, b in set(pairwise(coded))} & ranks.keys()
        if not pairs:
            return [names[c] for c in coded]
        left, right = min(pairs, key=ranks.__getitem__)
        coded = coded.replace(code(left) + code(right), code(left + right))


def test_a_word_of_a_megabyte(released: tuple[Tokenizer, Released]) -> None:
    ours, reference = released
    word = ("thelowerhouseisnewest" * 50_000)[:1_000_000]
    expected = replaced(word, reference.ranks)
    assert "".join(expected) == word + "</w>"
    assert ours.symbols(word) == expected
    ids = ours.encode(f"A {word}.")
    assert ids[1:-1] == [reference.encoder.get(symbol, 0) for symbol in expected]
    assert not any(len(kept) > 10_000 for kept in [*ours._chunks, *ours._pieces, *ours._words])
