"""Text as the released code prepares it: repair, standardise, split into lower-case words.

The steps (paper.md, "Tokenizer"): `ftfy.fix_text`, the released replacements and white-space
rules, spaCy's blank English tokenizer, lower case. Everything after the repair is local to a
*chunk*, a run of characters between white space; `lines` and `pieces` rest on that, and it
is what makes encoding a whole corpus quick. spaCy and ftfy are imported on first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

NEWLINE = "\n"
"""The word that stands for a line break; spaCy hands it over as "\\n "."""

_REPLACED = str.maketrans({"—": "-", "–": "-", "―": "-", "…": "...", "´": "'"})
# A run of one mark is set apart. The released expression is not a raw string and so loses
# the backslash; it is absent here too.
_SET_APART = re.compile(r'([-~!";?+,)(/*\[\]}{|_])\1*')
_AROUND_BREAK = re.compile(r"\s*\n\s*")
_BLANKS = re.compile(r"[^\S\n]+")
# What ftfy can change in plain ASCII: entities (&), control characters, escapes, carriage return.
_ASCII_TO_MEND = re.compile(r"[&\x00-\x08\x0b-\x1f\x7f]")
_SEGMENT = 1_000_000  # ftfy's max_decode_length


def fix(text: str) -> str:
    """`ftfy.fix_text(text)`, without calling it for lines that it provably leaves alone.

    ftfy works line by line; an ASCII line without ampersands and control characters comes
    back unchanged. From the first "<" on ftfy no longer decodes HTML entities, and so it is here.
    """
    if text.isascii() and not _ASCII_TO_MEND.search(text):
        return text
    return "".join(_fix_lines(text))


def _fix_lines(text: str) -> Iterator[str]:
    import ftfy

    config = ftfy.TextFixerConfig(explain=False)
    for line in _segments(text):
        if config.unescape_html and "<" in line:
            config = config._replace(unescape_html=False)
        if line.isascii() and not _ASCII_TO_MEND.search(line):
            yield line
        else:
            yield ftfy.fix_and_explain(line, config).text


def _segments(text: str) -> Iterator[str]:
    """Lines with their line feed; longer ones in pieces, cut where ftfy cuts them."""
    position = 0
    while position < len(text):
        end = text.find("\n", position) + 1 or len(text)
        end = min(end, position + _SEGMENT)
        yield text[position:end]
        position = end


def standardise(text: str) -> str:
    r"""Repaired and standardised text, as the released `text_standardize` after `fix_text`.

    >>> standardise("Wait--what?\n\n  (No\\reply…)")
    'Wait -- what ? \n ( No\\reply... )'
    """
    text = _set_apart(fix(text))
    text = _AROUND_BREAK.sub(" \n ", text)
    return _BLANKS.sub(" ", text).strip()


def _set_apart(text: str) -> str:
    return _SET_APART.sub(r" \g<0> ", text.translate(_REPLACED))


def lines(text: str) -> Iterator[list[str]]:
    """The chunks of each line of *raw* text that isn't blank.

    Standardising each chunk by itself, joining a line's by spaces and lines by " \\n " gives
    `standardise(text)`.
    """
    for line in fix(text).split("\n"):
        if found := line.split():
            yield found


def pieces(chunk: str) -> list[str]:
    """A raw chunk standardised and cut at the spaces that this put in."""
    return _set_apart(chunk).split()


def piece_words(piece: str) -> list[str]:
    """The tokens of spaCy, in lower case, of one piece of standardised text (no white space).

    Letters alone (ASCII) are one token unless spaCy lists the piece as an exception: each of
    its prefixes, suffixes and infixes has a mark or a digit. It isn't asked about those.
    """
    tokenize, exceptions = _spacy()
    if piece.isascii() and piece.isalpha() and piece not in exceptions:
        return [piece.lower()]
    return [token.text.lower() for token in tokenize(piece)]


def words(text: str) -> list[str]:
    r"""The lower-case words of raw text; a line break is the word `NEWLINE`.

    >>> words("Don't stop.\nGo!")
    ['do', "n't", 'stop', '.', '\n', 'go', '!']
    """
    found: list[str] = []
    for line in lines(text):
        if found:
            found.append(NEWLINE)
        for chunk in line:
            for piece in pieces(chunk):
                found.extend(piece_words(piece))
    return found


@cache
def _spacy() -> tuple[Callable[[str], Iterable[Any]], frozenset[str]]:
    """The blank English tokenizer and its exceptions."""
    from spacy.lang.en import English

    tokenizer: Any = English().tokenizer
    return tokenizer, frozenset(tokenizer.rules)


def forget() -> None:
    """Drop spaCy's own growing caches (its store of every string seen); costs a reload."""
    _spacy.cache_clear()
