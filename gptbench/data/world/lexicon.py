"""The words of the embedded world: trades, moods, people.

A *trade* (topic) is a small field of life with its things, places, people and doings.  Things
come in four kinds; each kind has its own two verbs, so that a sentence about a thing makes sense
and what a thing is can be learned from what is done with it.  A *mood* is one of two polarities.
Everything the tasks ask can be answered from which words keep company with which.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """One kind of thing: its name, its four things, and its two verbs (past, -ing form)."""

    name: str
    things: tuple[str, ...]
    verbs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Trade:
    """A field of life: kinds of things, places, people and words that describe it."""

    name: str
    kinds: tuple[Kind, ...]
    places: tuple[str, ...]
    people: tuple[str, ...]
    adjectives: tuple[str, ...]
    things: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        # the kinds take turns, so that each kind has a frequent thing
        by_rank = zip(*(kind.things for kind in self.kinds), strict=True)
        object.__setattr__(self, "things", tuple(thing for rank in by_rank for thing in rank))

    def kind_of(self, thing: str) -> Kind:
        """The kind that ``thing`` belongs to."""
        return next(kind for kind in self.kinds if thing in kind.things)


@dataclass(frozen=True)
class Mood:
    """The words of one polarity."""

    name: str
    feelings: tuple[str, ...]
    qualities: tuple[str, ...]
    acts: tuple[str, ...]
    attitudes: tuple[str, ...]
    manners: tuple[str, ...]
    nouns: tuple[str, ...]


@dataclass(frozen=True)
class Gender:
    """The names, roles and pronouns of one gender."""

    names: tuple[str, ...]
    roles: tuple[str, ...]
    he: str
    him: str
    his: str
    himself: str


def _kind(name: str, things: str, verbs: str) -> Kind:
    forms = verbs.split()
    return Kind(name, tuple(things.split()), ((forms[0], forms[1]), (forms[2], forms[3])))


def _trade(name: str, kinds: tuple[Kind, ...], places: str, people: str, adjectives: str) -> Trade:
    return Trade(
        name, kinds, tuple(places.split()), tuple(people.split()), tuple(adjectives.split())
    )


TRADES: tuple[Trade, ...] = (
    _trade(
        "cooking",
        (
            _kind("vegetable", "carrot potato onion cabbage", "peeled peeling chopped chopping"),
            _kind("cake", "muffin pancake tart biscuit", "baked baking tasted tasting"),
            _kind("dish", "bowl plate saucer platter", "rinsed rinsing filled filling"),
            _kind("utensil", "spoon ladle fork whisk", "wiped wiping dipped dipping"),
        ),
        "kitchen restaurant bakery pantry canteen cafe",
        "cook baker waiter chef butcher grocer",
        "tasty spicy crisp juicy sweet salty ripe buttery",
    ),
    _trade(
        "sailing",
        (
            _kind("boat", "canoe yacht barge raft", "steered steering rowed rowing"),
            _kind("creature", "whale crab dolphin lobster", "caught catching spotted spotting"),
            _kind("signal", "flag lantern beacon buoy", "raised raising lowered lowering"),
            _kind("container", "barrel crate cask hamper", "hoisted hoisting stowed stowing"),
        ),
        "harbour cabin port bay lighthouse lagoon",
        "sailor captain pirate diver pilot skipper",
        "stormy foggy wet deep windy tidal rocky marine",
    ),
    _trade(
        "music",
        (
            _kind("instrument", "violin drum flute trumpet", "played playing tuned tuning"),
            _kind("song", "ballad hymn carol anthem", "sang singing hummed humming"),
            _kind("dance", "tango waltz polka jig", "danced dancing rehearsed rehearsing"),
            _kind("costume", "gown cloak mask wig", "wore wearing sewed sewing"),
        ),
        "theatre studio ballroom hall opera chapel",
        "singer dancer drummer pianist conductor composer",
        "loud musical melodic rhythmic shrill lyrical solo jazzy",
    ),
    _trade(
        "healing",
        (
            _kind(
                "remedy", "pill tablet lotion syrup", "swallowed swallowing prescribed prescribing"
            ),
            _kind("dressing", "bandage plaster sling splint", "tied tying changed changing"),
            _kind(
                "device", "scanner syringe monitor thermometer", "tested testing cleaned cleaning"
            ),
            _kind("joint", "knee wrist elbow ankle", "examined examining treated treating"),
        ),
        "hospital clinic ward pharmacy surgery infirmary",
        "doctor nurse surgeon dentist chemist patient",
        "sterile medical sore feverish clinical pale dizzy surgical",
    ),
)

POSITIVE = Mood(
    "positive",
    tuple(
        (
            "happy glad proud cheerful calm merry pleased hopeful grateful joyful content delighted"
        ).split()
    ),
    tuple(
        (
            "wonderful lovely fine splendid great charming pleasant superb perfect "
            "brilliant excellent delightful"
        ).split()
    ),
    ("smiled", "laughed", "cheered", "grinned", "rejoiced"),
    ("liked", "loved", "praised", "enjoyed", "admired"),
    tuple("happily gladly warmly cheerfully kindly brightly proudly gently".split()),
    ("joy", "delight", "hope", "pleasure", "luck", "pride"),
)
NEGATIVE = Mood(
    "negative",
    tuple(
        (
            "sad angry upset gloomy worried lonely afraid miserable ashamed bitter jealous furious"
        ).split()
    ),
    tuple(
        ("awful terrible bad dull poor boring ugly dreadful nasty horrible clumsy hopeless").split()
    ),
    ("wept", "frowned", "sighed", "sobbed", "groaned"),
    ("hated", "disliked", "blamed", "feared", "despised"),
    tuple("sadly angrily bitterly coldly gloomily rudely sourly nervously".split()),
    ("grief", "sorrow", "anger", "trouble", "pain", "shame"),
)
MOODS: tuple[Mood, ...] = (NEGATIVE, POSITIVE)

FEMALE = Gender(
    tuple(
        (
            "Ann Mia Lucy Clara Emma Julia Sarah Nora Eva Helen Alice Laura Ruth Diana Maria Vera"
        ).split()
    ),
    ("woman", "girl", "mother", "aunt"),
    "she",
    "her",
    "her",
    "herself",
)
MALE = Gender(
    tuple(
        (
            "Tom Ben Paul Peter Oscar Henry David Simon Hugo Felix Martin Leo Victor "
            "Adam Karl Frank"
        ).split()
    ),
    ("man", "boy", "father", "uncle"),
    "he",
    "him",
    "his",
    "himself",
)
GENDERS: tuple[Gender, ...] = (FEMALE, MALE)

DAYS = ("Monday", "Tuesday", "Friday", "Sunday")
TIMES = ("day", "morning", "evening", "week")


def a(phrase: str) -> str:
    """``phrase`` with its indefinite article."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def plural(noun: str) -> str:
    """The plural of a noun of this lexicon."""
    if noun.endswith(("ch", "sh", "s", "x", "z", "potato")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def sentence(text: str) -> str:
    """``text`` with a capital first letter."""
    return text[0].upper() + text[1:]


_WEIGHTS: dict[int, list[float]] = {}


def zipf(rng: Random, words: Sequence[T]) -> T:
    """Draw a word, the earlier ones more often (weight 1 / (rank + 2))."""
    weights = _WEIGHTS.get(len(words))
    if weights is None:
        weights = list(accumulate(1.0 / (rank + 3) for rank in range(len(words))))
        _WEIGHTS[len(words)] = weights
    return words[bisect(weights, rng.random() * weights[-1])]


def other(rng: Random, words: Sequence[T], *taken: T) -> T:
    """Draw a word that is not among ``taken``."""
    left = [word for word in words if word not in taken]
    return left[int(rng.random() * len(left))]


def pick(rng: Random, choices: Sequence[T]) -> T:
    """Draw one of ``choices``, each as likely."""
    return choices[int(rng.random() * len(choices))]
