"""Rows of the inference tasks: does the second text follow from the first?"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from gptbench.data.world.lexicon import GENDERS, TRADES, a, other, pick
from gptbench.data.world.rows import Row, avoid, mood_of, theme_pair, trades, voice
from gptbench.data.world.voice import Voice

# what somebody did with things of one kind, and the same told by the name of the kind
KIND_TEXTS: tuple[str, ...] = (
    "{N} was {g} {ns} and the {A} {n}.",
    "{N} {v} the {n} and {v} {an}.",
    "{N} was {g} the {n} with the {r}.",
)
KIND_CLAIMS: tuple[str, ...] = ("{N} was {g} the {c}", "{N} {v} the {A} {c}", "{N} {v} {cs}")
CAPTION_TEXTS: tuple[str, ...] = (
    "{N} is {g} {an}.",
    "{N} is {g} the {A} {n}.",
    "{N} is {g} {ns} with the {r}.",
)
CAPTION_CLAIMS: tuple[str, ...] = ("{N} is {g} {cs}", "{N} is {g} the {A} {c}")


def claim(
    rng: Random, label: int, said: tuple[str, ...], claimed: tuple[str, ...], called: list[str]
) -> tuple[str, str]:
    """What somebody did with a thing, and a claim by the name of a kind.

    Entailed: the thing is of that kind; neutral: of another kind of the same trade;
    contradicted: of another trade.  The verbs of text and claim always differ.
    """
    fields = trades(rng, 2)
    kind = pick(rng, fields[0].kinds)
    kinds = {0: (kind,), 1: fields[0].kinds, 2: fields[1].kinds}[label]
    kind2 = kind if label == 0 else other(rng, kinds, kind)
    first = int(rng.random() * 2)
    one, two = (voice(rng, fields[index]) for index in (0, int(label == 2)))
    one.fixed = replace(kind, verbs=(kind.verbs[first],))
    two.fixed = replace(kind2, verbs=(kind2.verbs[1 - first],))
    one.called, two.called = called
    text = one.say(pick(rng, said))
    return text, avoid(two, pick(rng, claimed), text)


def mnli(rng: Random, label: int, train: bool) -> Row:
    """What somebody did; a claim."""
    name = pick(rng, pick(rng, GENDERS).names)
    texts = claim(rng, label, KIND_TEXTS, KIND_CLAIMS, [name, name])
    return Row(texts, label, pick(rng, ("fiction", "letters")))


def mnli_mismatched(rng: Random, label: int, train: bool) -> Row:
    """The same in another genre: captions."""
    return replace(snli(rng, label, train), group="captions")


def snli(rng: Random, label: int, train: bool) -> Row:
    """A caption and a claim."""
    role = pick(rng, pick(rng, GENDERS).roles)
    return Row(claim(rng, label, CAPTION_TEXTS, CAPTION_CLAIMS, [a(role), f"the {role}"]), label)


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
    claims = ("{N} was {f}.", "{N} felt {f}.", "{N} was {f} and {f}.")
    return Row((said.say(pick(rng, told)), claim.say(pick(rng, claims))), label)


def scitail(rng: Random, label: int, train: bool) -> Row:
    """A fact about a thing; a claim where it is found."""
    first, second = theme_pair(rng, label)
    told = (
        "This {A} {n} is useful to the {r}.",
        "Every {r} has {aA} {n}.",
        "The {r} is good with the {A} {n}.",
    )
    claims = (
        "It is found in the {p}",
        "It is near the {ns} in the {p}",
        "People keep it in the {p}",
    )
    said, claim = voice(rng, first), voice(rng, second)
    text = said.say(pick(rng, told))
    return Row((text, avoid(claim, pick(rng, claims), text)), label)
