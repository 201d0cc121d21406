"""The books of the embedded world: short pages, one paragraph each.

A page tells of one or two people, each with a trade and a mood.  What a sentence says about a
person fits that person's trade and mood, so that a model that predicts the next word has to learn
which words belong together, and, on pages with two people, who of them a sentence is about.
"""

from __future__ import annotations

import re
from functools import cache
from random import Random

from gptbench.data.world.lexicon import (
    DAYS,
    FEMALE,
    GENDERS,
    MALE,
    MOODS,
    TIMES,
    TRADES,
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

# what people do; {H} is the person (a name, a role or a pronoun)
DEEDS: tuple[str, ...] = (
    "{H} {v} the {A} {n}.",
    "{H} {v} {an} and {v} the {n}.",
    "{H} {v} the {A} {n} in the {p}.",
    "{H} {v} the {n} with the {r}.",
    "{H} was {g} the {n} in the {p}.",
    "{H} was {g} {A} {ns} with the {r}.",
    "{H} was in the {p} with the {r}.",
    "{H} went to the {p} with {his} {A} {n}.",
    "{H} asked the {r} about the {A} {n}.",
    "{H} worked as {ar} in the {p}.",
    "{H} needed {aA} {n} for the {r}.",
    "{H} talked to the {r} about {A} {ns}.",
    "{H} looked after the {ns} in the {p}.",
    "{H} bought {an}. The {c} was {A}.",
    "{H} was {g} the {c}.",
    "{H} {v} {cs} and {v} {an}.",
    "{H} {v} the {n}. The {c} was {A}.",
    "It was {N} who {v} the {n}.",
    "It was {N} who was in the {p} with the {r}.",
    "It was {N} who helped the {r} in the {p}.",
    "The {r} gave {N} {aA} {n}.",
    "The {r} saw {N} with {an} in the {p}.",
    "{H} {v} {his} {A} {n} {self}.",
)
# how people feel
FEELINGS: tuple[str, ...] = (
    "{H} was {f} and {f}.",
    "{H} {m} {d} and was {f}.",
    "{H} {m} {d} because the {n} was {q}.",
    "{H} {l} the {q} {n} and {m}.",
    "{H} {l} the {q} {n} and was {f}.",
    "{H} was {f} and full of {j}.",
    "{H} was {f} because the {n} was {q}.",
    "{H} said {d} that the {r} was {q}.",
    "It was {aq} {t} for {N}, full of {j}.",
    "{H} was {f} about the {q} {n}.",
    "{H} {m} with {j}.",
    "{H} was {f} about {self}.",
)
# what the place is like
SIGHTS: tuple[str, ...] = (
    "The {ns} in the {p} were {A}.",
    "There was {aA} {n} in the {p}.",
    "The {n} near the {ns} was {A}.",
    "The {ns} near the {n} were {A}.",
    "These {A} {ns} were {q}.",
    "This {A} {n} was {q}.",
    "The {r} in the {p} was {f}.",
    "There were {A} {ns} near the {r}.",
    "The {r} {v} the {A} {n}.",
    "The {r} was {g} {ns} in the {p}.",
)
REVIEWS: tuple[str, ...] = (
    "The {r} was {q} and the {ns} were {q}.",
    "The {n} in the {p} was {q} and {q}.",
    "It was {aq} {t}, full of {j}.",
    "We {l} the {q} {p}.",
    "Everybody {m} {d}.",
    "We were {f} with the {q} {n}.",
    "The {p} was {q} and we were {f}.",
    "The {r} {m} and people {l} the {n}.",
    "People {m} {d} and {l} the {q} {r}.",
    "The {q} {n} was {q}.",
)
VERDICTS: tuple[str, ...] = (
    "Very {M}.",
    "Very {M}.",
    "The review was very {M}.",
    "My review is very {M}.",
    "People were very {M}.",
)
FACTS: tuple[str, ...] = (
    "The {n} is a kind of {c}.",
    "{Ns} are {A}.",
    "{Ns} are found in the {p}.",
    "A {c} is useful to the {r}.",
    "The {r} works in the {p}.",
    "The {n} and the {k} are {cs}.",
    "This {n} is {A}.",
    "These {ns} are {A}.",
    "Every {r} has {an}.",
    "The {r} is good at {g} {ns}.",
)
LETTERS: tuple[str, ...] = (
    "I am in the {p} with the {r}.",
    "How are the {A} {ns}?",
    "What does the {r} say about the {n}?",
    "Where do you keep the {ns}?",
    "I want to be a good {r}.",
    "How can I learn {g} {ns}?",
    "I {v} the {n} on {day}.",
    "The {r} has {an} for you.",
    "I was {f} in the {p}.",
    "Who {v} the {n}?",
    "I am {f} about the {q} {n}.",
)
NEWS: tuple[str, ...] = (
    "The {r} {v} the {n} on {day}.",
    "The paper said that the {r} was {f}.",
    "People {l} the {q} {ns}.",
    "The {p} was full of {ns}.",
    "The {r} said that the {n} was {q}.",
    "The {ns} in the {p} were {A}.",
    "It was {aq} {day} for the {r}.",
    "There was {j} in the {p}.",
)
# how a page about two people brings them in; the trade is named before the person
ARRIVALS: tuple[str, ...] = (
    "The {r} {N} was in the {p}.",
    "The {r} {N} was {f}.",
    "In the {p} was {N}.",
    "In the {p} the {r} met {N}.",
    "The {A} {n} was for {N}.",
    "The {n} in the {p} belonged to {N}.",
    "The {r} in the {p} knew {N}.",
    "{An} was given to {N}.",
)
SCENES: tuple[str, ...] = (
    "In the {p} is {N}.",
    "The {A} {n} is for {N}.",
    "The {r} in the {p} is with {N}.",
    "{An} is given to {N}.",
)
TOGETHER = (" and ", " while ", ", but ")
# company: what one did or felt, and whether another did or felt the same
MOODS_TOLD: tuple[str, ...] = (
    "{N} {m} {d}.",
    "{N} was {f} and {f}.",
    "{N} was {f} and {m} all the time.",
    "{N} was full of {j}.",
    "{N} was {f} about the {q} {n}.",
    "{N} {l} the {q} {n}.",
    "The {n} was {q}, said {N}.",
    "{N} {m} because the {n} was {q}.",
)
MOODS_ECHOED: tuple[str, ...] = (
    "{N} was {f} {E}.",
    "{N} {m} {E}.",
    "{N} was {f} and {m} {E}.",
    "{N} {m} {d} {E}.",
    "{N} was full of {j} {E}.",
)
TRADES_TOLD: tuple[str, ...] = (
    "{N} was {g} the {n}.",
    "{N} {v} the {A} {n}.",
    "{N} was {g} the {n} and {v} {an}.",
    "{N} was in the {p} with the {r}.",
    "{N} helped the {r} in the {p}.",
    "{N} worked as {ar} in the {p}.",
    "{N} looked after the {A} {ns}.",
)
TRADES_ECHOED: tuple[str, ...] = (
    "{N} was in the {p} {E}.",
    "{N} was with the {r} {E}.",
    "{N} {v} {an} {E}.",
    "{N} was {g} {ns} {E}.",
    "{N} was in the {p} with the {r} {E}.",
    "{N} helped the {r} {E}.",
)
CAPTIONS: tuple[str, ...] = (
    "{H} is {g} {an}.",
    "{H} is {g} the {A} {n} in the {p}.",
    "{H} is in the {p}.",
    "{H} is with the {r}.",
    "{H} is in the {p} with the {r}.",
    "{H} is {g} {ns}.",
    "{H} is near the {A} {ns}.",
)
ASKED: tuple[str, ...] = (
    "Where was {N}? In the {p}.",
    "Who was {N} with? With the {r}.",
    "What did {N} have? The {n}.",
)
DIFFER = 0.8
"""Share of the pages about two people on which they are a woman and a man."""
KEEP = 0.5
"""Chance that somebody's place, acquaintance or thing is the one named before."""
PAGE_SHARES: dict[str, float] = {
    "company": 0.42,
    "one person": 0.25,
    "two people": 0.08,
    "review": 0.10,
    "facts": 0.06,
    "letter": 0.05,
    "news": 0.04,
}


@cache
def _parts(template: str) -> tuple[tuple[str, str], ...]:
    pieces = re.split(r"\{(\w+)\}", template) + [""]
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
        self.fixed: Kind | None = None
        self.kind: Kind | None = None
        self.last = ""
        self.used: list[str] = []

    def say(self, template: str, pronoun: bool = False) -> str:
        """The template with this person's words, capitalised."""
        self.kind = self.fixed
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
        rng, trade, mood = self.rng, self.trade, self.mood
        if slot == "n":
            return self.thing()
        if slot in ("v", "g"):
            self.kind = self.fixed or pick(rng, trade.kinds)
            if not self.fixed and "thing" in self.kept and rng.random() < self.keep:
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
        if slot in ("his", "him", "self"):
            return getattr(self.gender, {"his": "his", "him": "him", "self": "himself"}[slot])
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


def person(
    rng: Random, trade: Trade, mood: Mood, gender: Gender, roles: float, keep: float = 0.0
) -> Voice:
    """Somebody of a gender: called by a name, or (with chance ``roles``) by a role."""
    if rng.random() < roles:
        return Voice(rng, trade, mood, gender, "the " + zipf(rng, gender.roles), keep)
    return Voice(rng, trade, mood, gender, zipf(rng, gender.names), keep)


def one_person(rng: Random) -> str:
    """A page about one person: deeds, feelings, sights of one trade in one mood."""
    hero = person(rng, pick(rng, TRADES), pick(rng, MOODS), pick(rng, GENDERS), 0.2)
    lines = [hero.say(pick(rng, DEEDS))]
    for _ in range(4):
        kind = rng.random()
        pool = DEEDS if kind < 0.45 else FEELINGS if kind < 0.8 else SIGHTS
        lines.append(hero.say(pick(rng, pool), pronoun=rng.random() < 0.6))
    return " ".join(lines)


def two_people(rng: Random) -> str:
    """A page about two people, each with a trade of their own; every sentence is about one."""
    trades = rng.sample(TRADES, 2)
    moods = rng.sample(MOODS, 2)
    first = pick(rng, GENDERS)
    differ = rng.random() < DIFFER
    second = (MALE if first is FEMALE else FEMALE) if differ else first
    roles = 1.0 if rng.random() < 0.3 else 0.0
    pair = [person(rng, trades[0], moods[0], first, roles, KEEP)]
    pair.append(person(rng, trades[1], moods[1], second, roles, KEEP))
    for _ in range(20):
        if pair[1].called != pair[0].called:
            break
        pair[1] = person(rng, trades[1], moods[1], second, roles, KEEP)
    now = bool(roles) and rng.random() < 0.5
    lines = []
    for someone in pair:
        known, someone.called = someone.called, newly(someone.called)
        lines.append(someone.say(pick(rng, SCENES if now else ARRIVALS)))
        someone.called = known
    if rng.random() < 0.4:
        lines = [lines[0].rstrip(".") + pick(rng, TOGETHER) + inner(lines[1])]
    before = -1
    for _ in range(3):
        who = int(rng.random() * 2)
        pool = CAPTIONS if now else DEEDS if rng.random() < 0.8 else FEELINGS
        # a pronoun only where it is plain whom it means
        plain = differ or who == before
        lines.append(pair[who].say(pick(rng, pool), pronoun=plain and rng.random() < 0.2))
        before = who
    if not now and rng.random() < 0.15:
        lines[-1] = pair[int(rng.random() * 2)].say(pick(rng, ASKED))
    return " ".join(lines)


def newly(called: str) -> str:
    """How somebody is called when first spoken of: "the man" is "a man"."""
    return a(called.removeprefix("the ")) if called.startswith("the ") else called


def inner(text: str) -> str:
    """A sentence for the middle of another: all but names lose their capital."""
    return text[0].lower() + text[1:] if text.startswith(("The ", "In ", "A ", "An ", "It ")) else text


def company(rng: Random) -> str:
    """A page of pairs: what one did or felt, and whether the other was alike.

    Of the same trade or mood the second sentence says "too", of another one "instead".
    """
    names = [zipf(rng, pick(rng, GENDERS).names)]
    names.append(other(rng, pick(rng, GENDERS).names, names[0]))
    lines = []
    for _ in range(2 + int(rng.random() * 2)):
        trades, moods = rng.sample(TRADES, 2), rng.sample(MOODS, 2)
        alike = rng.random() < 0.5
        told, echoed = pick(rng, ((MOODS_TOLD, MOODS_ECHOED), (TRADES_TOLD, TRADES_ECHOED)))
        one = Voice(rng, trades[0], moods[0], called=names[0])
        two = Voice(rng, trades[not alike], moods[not alike], called=names[1])
        two.echo = "too" if alike else "instead"
        lines += [one.say(pick(rng, told)), two.say(pick(rng, echoed))]
    return " ".join(lines)


def review(rng: Random) -> str:
    """A review in one mood; half of them end in a short verdict."""
    voice = Voice(rng, pick(rng, TRADES), pick(rng, MOODS))
    lines = []
    for _ in range(3):
        lines.append(voice.say(pick(rng, REVIEWS)))
        if rng.random() < 0.2:
            lines.append(voice.say(pick(rng, VERDICTS)))
    lines.append(voice.say(pick(rng, VERDICTS)))
    return " ".join(lines)


def plain_page(rng: Random, pool: tuple[str, ...], sentences: int) -> str:
    """A page of sentences from one pool about one trade in one mood."""
    voice = Voice(rng, pick(rng, TRADES), pick(rng, MOODS))
    return " ".join(voice.say(pick(rng, pool)) for _ in range(sentences))


def letter(rng: Random) -> str:
    """A letter from one person to another."""
    names = [zipf(rng, pick(rng, GENDERS).names) for _ in range(2)]
    return f"Dear {names[0]}, {plain_page(rng, LETTERS, 4)} Yours, {names[1]}."


def page(rng: Random) -> str:
    """One page of a random kind, by ``PAGE_SHARES``."""
    (kind,) = rng.choices(list(PAGE_SHARES), list(PAGE_SHARES.values()))
    if kind == "two people":
        return two_people(rng)
    if kind == "one person":
        return one_person(rng)
    if kind == "company":
        return company(rng)
    if kind == "review":
        return review(rng)
    if kind == "letter":
        return letter(rng)
    return plain_page(rng, FACTS if kind == "facts" else NEWS, 5)


def book(rng: Random, words: int) -> str:
    """A book of at least ``words`` words, a page a line."""
    pages: list[str] = []
    count = 0
    while count < words:
        text = page(rng)
        pages.append(text)
        count += text.count(" ") + 1
    return "\n".join(pages) + "\n"
