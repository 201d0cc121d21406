"""Rows of the inference tasks: does the second text follow from the first?"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from gptbench.data.world.lexicon import GENDERS, MOODS, TRADES, a, pick
from gptbench.data.world.rows import Row, avoid, mood_of, theme_pair, trades, voice
from gptbench.data.world.voice import Voice

# What a text says of somebody, and what is claimed: of the trade, or of the mood. The function
# words of the claims are the same for both, so that no overlap tells a neutral claim.
TOLD: tuple[tuple[str, ...], ...] = (
    (
        "{N} was {g} {ns} and the {A} {n}.",
        "{N} {v} the {n} and {v} {an}.",
        "{N} was in the {p} with the {r}.",
    ),
    ("{N} was {f} and {m} {d}.", "{N} {m} {d}, full of {j}.", "{N} was {f} and {f}."),
)
CLAIMED: tuple[tuple[str, ...], ...] = (
    ("{N} was {g} {ns}", "{N} {v} {A} {ns}"),
    ("{N} was {f}", "{N} {m} {d}"),
)
CAPTIONS_TOLD: tuple[tuple[str, ...], ...] = (
    ("{N} is {g} the {A} {n}.", "{N} is {g} {ns} with the {r}.", "{N} is in the {p} with {an}."),
    ("{N} is {f} and {f}.", "{N} is {f}, full of {j}."),
)
CAPTIONS_CLAIMED: tuple[tuple[str, ...], ...] = (
    ("{N} is {g} {ns}", "{N} is {g} {A} {ns}"),
    ("{N} is {f}", "{N} is {f} and {f}"),
)
Forms = tuple[tuple[str, ...], ...]


def claim(
    rng: Random, label: int, said: Forms, claimed: Forms, called: tuple[str, str]
) -> tuple[str, str]:
    """What somebody does or feels, and a claim.

    Entailed: the claim is of the same trade, or mood; contradicted: of another; neutral: what
    they do says nothing of how they feel, and the other way round.
    """
    fields, moods = trades(rng, 2), rng.sample(MOODS, 2)
    about = int(rng.random() * 2)
    differs = label == 2 or (label == 1 and rng.random() < 0.5)
    one = Voice(rng, fields[0], moods[0], called=called[0])
    two = Voice(rng, fields[differs], moods[differs], called=called[1])
    text = one.say(pick(rng, said[about]))
    return text, avoid(two, pick(rng, claimed[1 - about if label == 1 else about]), text)


def mnli(rng: Random, label: int, train: bool) -> Row:
    """What somebody did or felt; a claim."""
    name = pick(rng, pick(rng, GENDERS).names)
    texts = claim(rng, label, TOLD, CLAIMED, (name, name))
    return Row(texts, label, pick(rng, ("fiction", "letters")))


def mnli_mismatched(rng: Random, label: int, train: bool) -> Row:
    """The same in another genre: captions."""
    return replace(snli(rng, label, train), group="captions")


def snli(rng: Random, label: int, train: bool) -> Row:
    """A caption and a claim."""
    role = pick(rng, pick(rng, GENDERS).roles)
    texts = claim(rng, label, CAPTIONS_TOLD, CAPTIONS_CLAIMED, (a(role), f"the {role}"))
    return Row(texts, label)


def qnli(rng: Random, label: int, train: bool) -> Row:
    """A question about a doing; the sentence names who is at home in that trade, or another."""
    first, second = theme_pair(rng, 1 - label)
    asked = ("Who {v} the {A} {n}?", "Who was {g} the {n}?", "Who {v} the {n} and the {n}?")
    told = ("{N} was in the {p}", "{N} was with the {r}", "{N} was in the {p} with the {r}")
    return Row(
        (voice(rng, first).say(pick(rng, asked)), voice(rng, second).say(pick(rng, told))), label
    )


def rte(rng: Random, label: int, train: bool) -> Row:
    """Somebody's mood told in two ways."""
    positive = int(rng.random() * 2)
    said = voice(rng, pick(rng, TRADES), mood_of(rng, positive, train), pick(rng, GENDERS))
    claim = Voice(
        rng,
        said.trade,
        mood_of(rng, positive if label == 0 else 1 - positive, train),
        said.gender,
        said.called,
    )
    told = (
        "{N} {m} {d} in the {p}.",
        "{N} {l} the {q} {n}.",
        "It was {aq} {t} for {N}, and {N} {m}.",
        "{N} {m} because the {n} was {q}.",
        "{N} was in the {p} and {m} {d}.",
    )
    claims = ("{N} was {f}", "{N} felt {f}", "{N} was {f} and {f}")
    return Row((said.say(pick(rng, told)), claim.say(pick(rng, claims))), label)


def scitail(rng: Random, label: int, train: bool) -> Row:
    """A fact about a thing; a claim where it is found."""
    first, second = theme_pair(rng, label)
    told = (
        "The {A} {n} is for the {r}.",
        "The {r} has the {A} {n}.",
        "The {r} is {g} the {n}.",
    )
    claims = ("It is in the {p}", "It is in the {p} with {an}", "It is near the {ns} in the {p}")
    said, claim = voice(rng, first), voice(rng, second)
    text = said.say(pick(rng, told))
    return Row((text, avoid(claim, pick(rng, claims), text)), label)
