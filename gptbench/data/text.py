"""Text as the released code prepares it: repair, standardise, split into lower-case words.

The steps (paper.md, "Tokenizer"): `ftfy.fix_text`, the released replacements and white-space
rules, spaCy's blank English tokenizer, lower case. Everything after the repair is local to a
*chunk*, a run of characters between white space (for the exception see `piece_words`); `lines`
and `pieces` rest on that, and it is what makes encoding a whole corpus quick. spaCy and ftfy
are imported on first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

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
_SUFFIX_WINDOW = 128
_LONGEST_EXCEPTION = 16  # characters, so at most as many tokens


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


def piece_words(piece: str) -> tuple[list[str], bool]:
    """The tokens of spaCy, in lower case, of one piece of standardised text by itself, and
    whether the pieces beside it can change them (of about one piece in 100,000).

    spaCy's tokens are local to a piece, but for its last pass over a whole text, which joins
    or splits tokens that spell an exception (two apostrophes become one quotation mark) unless
    a longer or earlier run of tokens, perhaps across a space, is taken first. A piece that the
    pass leaves alone is left alone beside any other.

    Letters alone (ASCII) are one token unless spaCy lists the piece as an exception: each of
    its prefixes, suffixes and infixes has a mark or a digit. It isn't asked about those.
    """
    spacy = _spacy()
    if piece.isascii() and piece.isalpha() and piece not in spacy.exceptions:
        return [piece.lower()], False
    tokens = [token.text for token in spacy.whole(piece)]
    changed = _spells_any(tokens, spacy.exceptions) and tokens != [
        token.text for token in spacy.first_pass(piece)
    ]
    return [token.lower() for token in tokens], changed


def _spells_any(tokens: list[str], exceptions: frozenset[str]) -> bool:
    """Whether a run of tokens spells an exception: so it is where the last pass changed any."""
    for i in range(len(tokens)):
        run = ""
        for token in tokens[i : i + _LONGEST_EXCEPTION]:
            run += token
            if run in exceptions:
                return True
    return False


def line_words(line: Iterable[str]) -> list[str]:
    """The words of one line, given its chunks, from spaCy over the whole line."""
    standard = " ".join(piece for chunk in line for piece in pieces(chunk))
    return [token.text.lower() for token in _spacy().whole(standard)]


def words(text: str) -> list[str]:
    r"""The lower-case words of raw text; a line break is the word `NEWLINE`.

    >>> words("Don't stop.\nGo!")
    ['do', "n't", 'stop', '.', '\n', 'go', '!']
    """
    found: list[str] = []
    for line in lines(text):
        if found:
            found.append(NEWLINE)
        parts = [piece_words(piece) for chunk in line for piece in pieces(chunk)]
        if any(changed for _, changed in parts):
            found.extend(line_words(line))
        else:
            found.extend(word for part, _ in parts for word in part)
    return found


class _Spacy(NamedTuple):
    """The blank English tokenizer, the same without its last pass, and its exceptions."""

    whole: Callable[[str], Iterable[Any]]
    first_pass: Callable[[str], Iterable[Any]]
    exceptions: frozenset[str]


@cache
def _spacy() -> _Spacy:
    from spacy.lang.en import English

    whole: Any = English().tokenizer
    whole.vocab.lex_attr_getters = {}  # what else spaCy finds out about each new word
    whole.suffix_search = _search_end(whole.suffix_search)
    return _Spacy(whole, _without_last_pass(whole), frozenset(whole.rules))


def _search_end(search: Callable[[str], Any]) -> Callable[[str], Any]:
    """spaCy's search for a suffix, of a long text in its last characters alone.

    It is asked once for each mark that is split off, so that a run of 10,000 quotation marks
    would take half a minute. Only a run of dots can be a suffix that is longer than a few
    characters; where the match begins near the cut, the whole text is searched.
    """

    def found(text: str) -> Any:
        if len(text) > _SUFFIX_WINDOW:
            match = search(text[-_SUFFIX_WINDOW:])
            if match is None or match.start() > _SUFFIX_WINDOW // 2:
                return match
        return search(text)

    return found


def _without_last_pass(whole: Any) -> Callable[[str], Iterable[Any]]:
    """A copy of a spaCy tokenizer that does not look for exceptions in its own tokens.

    An exception is looked for there only if a prefix, suffix or infix is found in it when it is
    added; so none is found until all are added.
    """
    from spacy.tokenizer import Tokenizer

    added = False

    def later(search: Callable[[str], Any], nothing: Any) -> Callable[[str], Any]:
        return lambda text: search(text) if added else nothing

    first_pass: Callable[[str], Iterable[Any]] = Tokenizer(
        whole.vocab,
        rules=whole.rules,
        prefix_search=later(whole.prefix_search, None),
        suffix_search=later(whole.suffix_search, None),
        infix_finditer=later(whole.infix_finditer, ()),
        token_match=whole.token_match,
        url_match=whole.url_match,
    )
    added = True
    return first_pass


def forget() -> None:
    """Drop spaCy's own growing caches (its store of every string seen); costs a reload."""
    _spacy.cache_clear()
