"""A labelled row, and what the makers of rows share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from random import Random

from gptbench.data.world.lexicon import (
    FEMALE,
    GENDERS,
    MOODS,
    TRADES,
    Gender,
    Mood,
    Trade,
    other,
    pick,
    plural,
    sentence,
)
from gptbench.data.world.voice import Voice


@dataclass(frozen=True)
class Row:
    """One labelled row.

    ``texts`` are the row's texts; for multiple choice they are context, question and the answers.
    ``group`` names a part of a task (a genre, RACE's middle and high).
    """

    texts: tuple[str, ...]
    label: int | float
    group: str = ""


def _halves(mood: Mood) -> tuple[Mood, Mood]:
    """The words of a mood in two halves, every second word in each."""
    slots = ("feelings", "qualities", "acts", "attitudes", "manners", "nouns")
    first, second = (
        replace(mood, **{slot: getattr(mood, slot)[start::2] for slot in slots}) for start in (0, 1)
    )
    return first, second


COMMON_MOODS: tuple[Mood, ...] = tuple(_halves(mood)[0] for mood in MOODS)
RARE_MOODS: tuple[Mood, ...] = tuple(_halves(mood)[1] for mood in MOODS)


def mood_of(rng: Random, positive: int, train: bool, rare_share: float = 0.2) -> Mood:
    """A mood's words: one half of them for training (with some of the other), the other to test."""
    rare = rng.random() < rare_share if train else True
    return (RARE_MOODS if rare else COMMON_MOODS)[positive]


def voice(rng: Random, trade: Trade, mood: Mood | None = None, gender: Gender = FEMALE) -> Voice:
    """Somebody with a name."""
    return Voice(rng, trade, mood or pick(rng, MOODS), gender, pick(rng, gender.names))


def trades(rng: Random, count: int) -> list[Trade]:
    """Different trades, in random order."""
    return rng.sample(TRADES, count)


def namesakes(rng: Random, fields: list[Trade]) -> list[Voice]:
    """Two people with different names, one for each of two trades."""
    first, second = pick(rng, GENDERS), pick(rng, GENDERS)
    called = pick(rng, first.names)
    also = other(rng, second.names, called)
    return [
        Voice(rng, fields[0], pick(rng, MOODS), first, called),
        Voice(rng, fields[1], pick(rng, MOODS), second, also),
    ]


PHRASES = {"p": "{p}", "r": "{r}", "g": "{g} {ns}", "v": "{v} {an}", "o": "{aA} {n}"}


def two_trades(rng: Random, template: str, called: str, fields: list[Trade]) -> str:
    """A template with words of two trades."""
    words = {"N": called}
    for number, trade in enumerate(fields, 1):
        speaker = voice(rng, trade)
        for slot, phrase in PHRASES.items():
            said = speaker.say("x" + phrase)[1:]
            words[f"{slot}{number}"] = said
    return sentence(template.format(**words))


def theme_pair(rng: Random, same: int) -> tuple[Trade, Trade]:
    """Two trades, the same one or two different ones."""
    first, second = trades(rng, 2)
    return first, first if same else second


def _words_of_moods() -> Iterator[str]:
    for mood in MOODS:
        yield from (*mood.feelings, *mood.qualities, *mood.acts)
        yield from (*mood.attitudes, *mood.manners, *mood.nouns)


def _words_of_trades() -> Iterator[str]:
    for trade in TRADES:
        for word in (*trade.things, *trade.places, *trade.people, *trade.adjectives):
            yield from (word, plural(word))
        for kind in trade.kinds:
            yield from chain.from_iterable(kind.verbs)


CONTENT: frozenset[str] = frozenset(chain(_words_of_trades(), _words_of_moods()))


def content(text: str) -> set[str]:
    """The words of ``text`` that a trade or a mood decides, singular and plural as one."""
    return {word.rstrip("s") for word in CONTENT.intersection(words(text))}


def avoid(speaker: Voice, template: str, text: str, pronoun: bool = False) -> str:
    """A filled template that shares no content word with ``text``, if twenty tries find one."""
    taken = content(text)
    said = speaker.say(template, pronoun)
    for _ in range(20):
        if not taken & content(said):
            break
        said = speaker.say(template, pronoun)
    return said


def words(text: str) -> list[str]:
    """The lower-cased words of ``text`` without punctuation."""
    return "".join(c if c.isalpha() else " " for c in text.lower()).split()
