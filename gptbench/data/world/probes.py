"""Probes of what a language model has learned of the embedded world: minimal pairs."""

from __future__ import annotations

from random import Random

from gptbench.data.world.lexicon import FEMALE, GENDERS, MALE, MOODS, TRADES, other, pick, plural
from gptbench.data.world.rows import namesakes, trades
from gptbench.data.world.templates import (
    DOINGS,
    MOODS_ECHOED,
    MOODS_TOLD,
    THINGS_TOLD,
    TRADES_ECHOED,
    TRADES_TOLD,
)
from gptbench.data.world.voice import Voice

Probe = tuple[str, str, str]
"""Prefix, right continuation, wrong continuation."""


def probes(seed: int, count: int = 100) -> dict[str, list[Probe]]:
    """Minimal pairs for each kind of knowledge.

    Parameters
    ----------
    seed
        Seed of the draw.
    count
        Pairs for each kind.

    Returns
    -------
    dict
        Kind of knowledge to (prefix, right continuation, wrong continuation).  A model knows a
        kind as far as it gives the right continuation the higher mean log-probability.
    """
    makers = {
        "topic": _topic,
        "category": _category,
        "polarity": _polarity,
        "gender": _gender,
        "agreement": _agreement,
        "reference": _reference,
        "comparison of moods": _same_mood,
        "comparison of trades": _same_trade,
    }
    result = {}
    for kind, maker in makers.items():
        rng = Random(f"{seed}-probe-{kind}")
        result[kind] = [maker(rng) for _ in range(count)]
    return result


def _hero(rng: Random) -> Voice:
    gender = pick(rng, GENDERS)
    return Voice(rng, pick(rng, TRADES), pick(rng, MOODS), gender, pick(rng, gender.names))


def _topic(rng: Random) -> Probe:
    hero = _hero(rng)
    stray = other(rng, TRADES, hero.trade)
    prefix = f"{hero.say(pick(rng, DOINGS))} {hero.say('{H} was in the', pronoun=True)}"
    return prefix, f"{pick(rng, hero.trade.places)}.", f"{pick(rng, stray.places)}."


def _category(rng: Random) -> Probe:
    trade = pick(rng, TRADES)
    kind = pick(rng, trade.kinds)
    wrong = other(rng, trade.kinds, kind)
    return f"The {pick(rng, kind.things)} is a kind of", f"{kind.name}.", f"{wrong.name}."


def _polarity(rng: Random) -> Probe:
    hero = _hero(rng)
    wrong = other(rng, MOODS, hero.mood)
    prefix = f"{hero.say('{H} {l} the {q} {n}.')} {hero.say('{H} was', pronoun=True)}"
    return prefix, f"{pick(rng, hero.mood.feelings)}.", f"{pick(rng, wrong.feelings)}."


def _gender(rng: Random) -> Probe:
    hero = _hero(rng)
    wrong = MALE if hero.gender is FEMALE else FEMALE
    return hero.say("{N} went to the {p} with"), hero.gender.his, wrong.his


def _agreement(rng: Random) -> Probe:
    trade = pick(rng, TRADES)
    thing = pick(rng, trade.things)
    place = pick(rng, trade.places)
    if rng.random() < 0.5:
        return f"The {plural(thing)} in the {place}", "were", "was"
    return f"The {thing} in the {place}", "was", "were"


def _reference(rng: Random) -> Probe:
    """Two people, two trades: where was one of them?"""
    pair = namesakes(rng, trades(rng, 2))
    said = " ".join(someone.say(pick(rng, THINGS_TOLD)) for someone in pair)
    rng.shuffle(pair)
    right, wrong = (pick(rng, someone.trade.places) for someone in pair)
    return f"{said} {pair[0].say('{N} was in the')}", f"{right}.", f"{wrong}."


def _echo(rng: Random, told: tuple[str, ...], echoed: tuple[str, ...]) -> Probe:
    fields, moods = trades(rng, 2), rng.sample(MOODS, 2)
    alike = rng.random() < 0.5
    one = Voice(rng, fields[0], moods[0], called=pick(rng, FEMALE.names))
    two = Voice(rng, fields[not alike], moods[not alike], called=pick(rng, MALE.names))
    prefix = f"{one.say(pick(rng, told))} {two.say(pick(rng, echoed)).removesuffix(' .')}"
    return (prefix, "too", "instead") if alike else (prefix, "instead", "too")


def _same_mood(rng: Random) -> Probe:
    return _echo(rng, MOODS_TOLD, MOODS_ECHOED)


def _same_trade(rng: Random) -> Probe:
    return _echo(rng, TRADES_TOLD, TRADES_ECHOED)
