"""The released way from text to ids, written slowly and plainly from its known facts.

Repair by `ftfy.fix_text`, the standardising rules, spaCy's blank English tokenizer over the whole
text at once, lower case, and byte-pair encoding by the loop of Sennrich et al. (2016) inside each
token. It shares no code with gptbench; the tests and `benchmarks/tokenizer.py` compare with it.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import ftfy

REPLACED = {"\u2014": "-", "\u2013": "-", "\u2015": "-", "\u2026": "...", "\u00b4": "'"}
SET_APART = '-~!";?+,)(/*[]}{|_'  # not the backslash
RUN = re.compile("|".join(re.escape(mark) + "+" for mark in SET_APART))


def standardised(text: str) -> str:
    """Repaired text with the marks set apart and the white space in order."""
    text = ftfy.fix_text(text)
    for old, new in REPLACED.items():
        text = text.replace(old, new)
    text = RUN.sub(lambda run: f" {run[0]} ", text)
    text = re.sub(r"\s*\n\s*", " \n ", text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


def merged(token: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """The symbols of a token: of the pairs in it, the one learnt first is merged everywhere."""
    symbols = [*token[:-1], token[-1] + "</w>"]
    while known := [pair for pair in pairwise(symbols) if pair in ranks]:
        left, right = min(known, key=ranks.__getitem__)
        old, symbols, i = symbols, [], 0
        while i < len(old):
            size = 2 if old[i : i + 2] == [left, right] else 1
            symbols.append("".join(old[i : i + size]))
            i += size
    return symbols


class Released:
    """A vocabulary and merges, and the ids that the released code gives with them."""

    def __init__(self, vocabulary: Path, merges: Path) -> None:
        self.encoder: dict[str, int] = json.loads(vocabulary.read_text("utf-8"))
        lines = merges.read_text("utf-8").split("\n")[1:-1]  # a version line, a last line feed
        pairs = [(left, right) for left, right in map(str.split, lines)]
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self.spacy = blank_english()
        self.known: dict[str, list[int]] = {}  # the released code remembers tokens, too

    def encode(self, text: str) -> list[int]:
        """The ids of one text."""
        return [i for token in self.spacy(standardised(text)) for i in self.token(token.text)]

    def token(self, text: str) -> list[int]:
        """The ids of one token of spaCy."""
        text = text.lower()
        if text not in self.known:
            if text == "\n ":  # spaCy keeps the blank after a line break
                symbols = ["\n</w>"]
            else:
                assert text == "".join(text.split()), f"white space in a token: {text!r}"
                symbols = merged(text, self.ranks)
            self.known[text] = [self.encoder.get(symbol, 0) for symbol in symbols]
        return self.known[text]


def blank_english() -> Any:
    """The tokenizer of spaCy's English without a model."""
    from spacy.lang.en import English

    return English().tokenizer
