"""Rows of the similarity tasks: do two texts say the same?"""

from __future__ import annotations

from random import Random

from gptbench.data.world.lexicon import GENDERS, TRADES, a, other, pick, sentence
from gptbench.data.world.rows import Row, avoid, mood_of, theme_pair, voice
from gptbench.data.world.voice import Voice

TRADE_QUESTIONS = (
    "Who was in the {p}?",
    "Who was with the {r}?",
    "Who was {g} {ns}?",
    "Who {v} the {A} {n}?",
    "Who worked as {ar}?",
)


def qqp(rng: Random, label: int, train: bool) -> Row:
    """Two questions about who is at work: in one trade, or in two."""
    first, second = theme_pair(rng, label)
    text = voice(rng, first).say(pick(rng, TRADE_QUESTIONS))
    return Row((text, avoid(voice(rng, second), pick(rng, TRADE_QUESTIONS), text)), label)


def mrpc(rng: Random, label: int, train: bool) -> Row:
    """Two reports of what somebody thought of a thing: of one mind, or opposite."""
    positive = int(rng.random() * 2)
    trade = pick(rng, TRADES)
    thing, who = pick(rng, trade.things), pick(rng, trade.people)
    reports = (
        f"The {who} {{l}} the {{q}} {thing}",
        f"The {who} saw the {thing} and was {{f}}",
        f"The {who} had the {thing} and felt {{f}}",
        f"The {who} saw the {thing} and {{m}}",
        f"Because of the {thing} the {who} {{m}}",
    )
    one, two = rng.sample(reports, 2)
    moods = (positive, positive if label else 1 - positive)
    speakers = [Voice(rng, trade, mood_of(rng, mood, train)) for mood in moods]
    return Row((speakers[0].say(one), speakers[1].say(two)), label)


def stsb(rng: Random, level: int, train: bool) -> Row:
    """Two captions; the nearer the doings, the higher the score (0 to 5)."""
    first, second = theme_pair(rng, int(level > 0))
    kind = pick(rng, first.kinds)
    if level == 2:
        kind2 = kind
    elif level == 1:
        kind2 = other(rng, first.kinds, kind)
    else:
        kind2 = pick(rng, second.kinds)
    roles = rng.sample(pick(rng, GENDERS).roles, 2)
    texts: list[str] = []
    thing = ""
    verbs = rng.sample((0, 1), 2)
    for who, what, verb in zip(roles, (kind, kind2), verbs, strict=True):
        thing = other(rng, what.things, thing)
        texts.append(f"{sentence(a(who))} is {what.verbs[verb][1]} the {thing}")
    score = (0.6, 2.8, 4.4)[level] + rng.choice((-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6))
    return Row((texts[0], texts[1]), round(score, 3))
