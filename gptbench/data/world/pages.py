"""The books of the embedded world: short pages, one paragraph each.

A page tells of one or two people, each with a trade and a mood.  What a sentence says about a
person fits that person's trade and mood, so that a model that predicts the next word has to learn
which words belong together, and, on pages with two people, who of them a sentence is about.
"""

from __future__ import annotations

from random import Random

from gptbench.data.world.lexicon import (
    FEMALE,
    GENDERS,
    MALE,
    MOODS,
    TRADES,
    Gender,
    Mood,
    Trade,
    a,
    other,
    pick,
    zipf,
)
from gptbench.data.world.templates import (
    ARRIVALS,
    ASKED,
    CAPTIONS,
    DEEDS,
    FACTS,
    FEELINGS,
    LETTERS,
    MOODS_ECHOED,
    MOODS_TOLD,
    NEWS,
    REVIEWS,
    SCENES,
    SIGHTS,
    TOGETHER,
    TRADES_ECHOED,
    TRADES_TOLD,
    VERDICTS,
)
from gptbench.data.world.voice import Voice

DIFFER = 0.8
"""Share of the pages about two people on which they are a woman and a man."""
KEEP = 0.5
"""Chance that somebody's place, acquaintance or thing is the one named before."""
PAGE_SHARES: dict[str, float] = {
    "company": 0.48,
    "one person": 0.26,
    "review": 0.10,
    "facts": 0.06,
    "letter": 0.04,
    "two people": 0.03,
    "news": 0.03,
}
COMPANY: dict[tuple[tuple[str, ...], tuple[str, ...]], float] = {
    (TRADES_TOLD, TRADES_ECHOED): 0.68,
    (MOODS_TOLD, MOODS_ECHOED): 0.32,
}
"""What the pairs of a page of company are about."""


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
    small = ("The ", "In ", "A ", "An ", "It ")
    return text[0].lower() + text[1:] if text.startswith(small) else text


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
        told, echoed = rng.choices(list(COMPANY), list(COMPANY.values()))[0]
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
