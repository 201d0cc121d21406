"""Fills sentence patterns for one person."""

from __future__ import annotations

import re
from functools import cache
from random import Random

from gptbench.data.world.lexicon import (
    DAYS,
    FEMALE,
    TIMES,
    Gender,
    Kind,
    Mood,
    Trade,
    a,
    other,
    pick,
    plural,
    sentence,
    zipf,
)


@cache
def _parts(template: str) -> tuple[tuple[str, str], ...]:
    pieces = [*re.split(r"\{(\w+)\}", template), ""]
    return tuple(zip(pieces[::2], pieces[1::2], strict=True))


class Voice:
    """Fills templates for one person: trade, mood, gender and what the person is called."""

    def __init__(
        self,
        rng: Random,
        trade: Trade,
        mood: Mood,
        gender: Gender = FEMALE,
        called: str = "",
        keep: float = 0.0,
    ) -> None:
        self.rng = rng
        self.trade = trade
        self.mood = mood
        self.gender = gender
        self.called = called
        self.keep = keep
        self.kept: dict[str, str] = {}
        self.echo = ""
        self.kind: Kind | None = None
        self.last = ""
        self.used: list[str] = []

    def say(self, template: str, pronoun: bool = False) -> str:
        """The template with this person's words, capitalised."""
        self.kind = None
        self.last = ""
        self.used = []
        out = []
        for text, slot in _parts(template):
            out.append(text)
            if slot == "H":
                out.append(self.gender.he if pronoun else self.called)
            elif slot:
                out.append(self.word(slot))
        return sentence("".join(out)).replace(". the", ". The")

    def word(self, slot: str) -> str:
        """A word (or two) for one slot of a template."""
        rng, trade = self.rng, self.trade
        if slot == "n":
            return self.thing()
        if slot in ("v", "g"):
            self.kind = pick(rng, trade.kinds)
            if "thing" in self.kept and rng.random() < self.keep:
                self.kind = trade.kind_of(self.kept["thing"])
            return zipf(rng, self.kind.verbs)[slot == "g"]
        if slot in ("an", "An"):
            words = a(self.thing())
            return sentence(words) if slot == "An" else words
        if slot in ("ns", "Ns"):
            words = plural(self.thing())
            return sentence(words) if slot == "Ns" else words
        if slot in ("p", "ap"):
            place = self.again("place", trade.places)
            return a(place) if slot == "ap" else place
        if slot in ("r", "ar"):
            person = self.again("person", trade.people)
            return a(person) if slot == "ar" else person
        if slot in ("A", "aA"):
            adjective = zipf(rng, trade.adjectives)
            return a(adjective) if slot == "aA" else adjective
        if slot == "N":
            return self.called
        if slot in ("c", "cs"):
            if self.kind is None:
                self.kind = zipf(rng, trade.kinds)
            return plural(self.kind.name) if slot == "cs" else self.kind.name
        if slot == "k":
            assert self.kind is not None
            return self.fresh(self.kind.things)
        if slot in ("his", "self"):
            return self.gender.his if slot == "his" else self.gender.himself
        return self.feeling(slot)

    def thing(self) -> str:
        """A thing of the kind the sentence speaks of, or of any kind of the trade."""
        self.last = self.again("thing", self.kind.things if self.kind else self.trade.things)
        self.kind = self.kind or self.trade.kind_of(self.last)
        return self.last

    def again(self, what: str, words: tuple[str, ...]) -> str:
        """This person's own place, acquaintance or thing (with chance ``keep``), or a new one."""
        own = self.kept.get(what)
        if own in words and own not in self.used and self.rng.random() < self.keep:
            self.used.append(own)
            return own
        word = self.fresh(words)
        self.kept.setdefault(what, word)
        return word

    def fresh(self, words: tuple[str, ...]) -> str:
        """A word that the sentence does not hold yet."""
        word = zipf(self.rng, words)
        if word in self.used:
            word = other(self.rng, words, *self.used)
        self.used.append(word)
        return word

    def feeling(self, slot: str) -> str:
        """A word for a slot that the mood (or nothing) decides."""
        rng, mood = self.rng, self.mood
        if slot == "f":
            return self.fresh(mood.feelings)
        if slot in ("q", "aq"):
            quality = self.fresh(mood.qualities)
            return a(quality) if slot == "aq" else quality
        if slot == "M":
            return mood.name
        if slot == "E":
            return self.echo
        if slot == "t":
            return zipf(rng, TIMES)
        if slot == "day":
            return zipf(rng, DAYS)
        words = {"m": mood.acts, "l": mood.attitudes, "d": mood.manners, "j": mood.nouns}[slot]
        return zipf(rng, words)
