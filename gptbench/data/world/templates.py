"""The sentence patterns of the books, and those that tasks and probes share with them.

A slot in braces is filled by a ``Voice``: {H} the person (a name, a role or a pronoun), {N} the
name, {v} and {g} a verb, {n} a thing, {ns} things, {p} a place, {r} a profession, {A} an adjective
of the trade, {c} a kind, {f} a feeling, {q} a quality, {m} a doing, {l} an attitude, {d} a manner,
{j} a noun of the mood, {E} "too" or "instead"; a leading a in a slot's name adds an article.
"""

from __future__ import annotations

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
    "{H} had the {A} {n}.",
    "{H} was in the {p} when the {r} {v} the {n}.",
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
    "{N} felt {f}.",
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
    "{H} is {f}, full of {j}.",
)
ASKED: tuple[str, ...] = (
    "Where was {N}? In the {p}.",
    "Who was {N} with? With the {r}.",
    "What did {N} have? The {n}.",
)
# what somebody did, told by things and doings only
DOINGS: tuple[str, ...] = (
    "{N} {v} the {n}.",
    "{N} was {g} the {A} {n}.",
    "{N} {v} {an} and {v} the {n}.",
    "{N} looked after the {A} {ns}.",
    "{N} was {g} {ns}.",
)
THINGS_TOLD: tuple[str, ...] = (
    "The {A} {n} was for {N}.",
    "{An} was given to {N}.",
    "The {n} and the {A} {n} belonged to {N}.",
)
