"""Rows of the tasks with answers to choose from, and the pronoun cases."""

from __future__ import annotations

from random import Random

from gptbench.data.world.lexicon import FEMALE, GENDERS, MALE, MOODS, TRADES, pick, sentence
from gptbench.data.world.rows import Row, avoid, trades, two_trades, voice
from gptbench.data.world.templates import THINGS_TOLD
from gptbench.data.world.voice import Voice

STORY_DEEDS: tuple[str, ...] = (
    "{H} was in the {p}.",
    "{H} was with the {r}.",
    "{H} {v} the {n}.",
    "{H} was {g} {ns}.",
)
STORY_FEELINGS: tuple[str, ...] = (
    "{H} was {f} and {f}.",
    "{H} {m} {d}.",
    "{H} {l} the {q} {n}.",
    "{H} was full of {j}.",
)
ENDINGS: tuple[str, ...] = (
    "{H} {l} the {q} {n}.",
    "{H} was {f} in the {p}.",
    "{H} {l} the {r} and {m}.",
)


def story_cloze(rng: Random, label: int, train: bool) -> Row:
    """Four sentences of a story; the right ending keeps to its trade and mood."""
    fields = trades(rng, 2)
    good = int(rng.random() * 2)
    hero = voice(rng, fields[0], MOODS[good], pick(rng, GENDERS))
    forms = [*rng.sample(STORY_DEEDS, 2), *rng.sample(STORY_FEELINGS, 2)]
    told = [hero.say(form, pronoun=index % 2 == 1) for index, form in enumerate(forms)]
    stray = Voice(rng, fields[1], MOODS[1 - good], hero.gender, hero.called)
    closing, story = pick(rng, ENDINGS), " ".join(told)
    answers = [avoid(speaker, closing, story, pronoun=True) for speaker in (hero, stray)]
    if label == 1:
        answers.reverse()
    return Row((*told, *answers), label)


def race(rng: Random, label: int, train: bool) -> Row:
    """A passage of two sentences about somebody, a question, four answers.

    Middle: both sentences are of one trade, and one answer is of it.  High: they are of two
    trades; each answer names two, and one answer has both of the passage.
    """
    high = rng.random() < 0.5
    fields = trades(rng, 4)
    gender = pick(rng, GENDERS)
    name = pick(rng, gender.names)
    question, answer = pick(
        rng, (("Where was {N}?", "In the {p}."), ("Who was {N} with?", "With the {r}."))
    )
    told = [
        Voice(rng, trade, MOODS[0], gender, name).say(pick(rng, THINGS_TOLD))
        for trade in (fields[:2] if high else fields[:1] * 2)
    ]
    rng.shuffle(told)
    if high:
        one, two, three, four = fields
        wrong = [[one, three], [two, four], [three, four]]
        right = [one, two]
        joined = " and ".join([answer.rstrip("."), answer[0].lower() + answer[1:]])
        answer = joined.replace("p}", "p1}", 1).replace("p}", "p2}", 1)
        answer = answer.replace("r}", "r1}", 1).replace("r}", "r2}", 1)
    else:
        right, wrong = fields[:1], [[trade] for trade in fields[1:]]
        answer = answer.replace("p}", "p1}").replace("r}", "r1}")
    rng.shuffle(wrong)
    themes = [*wrong[:label], right, *wrong[label:]]
    answers = [two_trades(rng, answer, name, rng.sample(theme, len(theme))) for theme in themes]
    return Row(
        (" ".join(told), question.format(N=name), *answers), label, "high" if high else "middle"
    )


def dprd(rng: Random, label: int, train: bool) -> Row:
    """A sentence with a pronoun; its gender or the trade decides whom it means.

    ``texts``: sentence, pronoun, two candidates.
    """
    if rng.random() < 0.5:
        genders = [FEMALE, MALE]
        rng.shuffle(genders)
        called = [pick(rng, gender.names) for gender in genders]
        meant = genders[label]
        verb = pick(rng, ("saw", "helped", "asked", "met"))
        speaker = Voice(rng, pick(rng, TRADES), pick(rng, MOODS), meant, meant.he)
        rest = speaker.say(pick(rng, DPRD_OWN))
        pronoun = meant.he
    else:
        fields = trades(rng, 2)
        meant = pick(rng, GENDERS)
        called = ["the " + pick(rng, trade.people) for trade in fields]
        verb = pick(rng, ("saw", "helped", "asked", "met"))
        speaker = Voice(rng, fields[label], pick(rng, MOODS), meant, meant.he)
        rest = speaker.say(pick(rng, DPRD_TRADE))
        pronoun = meant.he
    text = f"{called[0]} {verb} {called[1]} {rest[0].lower()}{rest[1:]}"
    return Row((sentence(text), pronoun, sentence(called[0]), called[1]), label)


DPRD_OWN = (
    "When {H} {v} {his} {n}.",
    "Because {H} was {f} about {self}.",
    "When {H} was in the {p} with {his} {n}.",
)
DPRD_TRADE = (
    "When {H} {v} the {n} in the {p}.",
    "When {H} was {g} the {A} {n}.",
    "Because {H} had the {A} {n}.",
)
