"""The rows of the twelve tasks and the pronoun cases, with their labels.

Each maker draws the trades, moods and words of a row first and the label after them, so that
neither text alone says anything about the label.  A row is a ``Row``; ``files`` writes it in the
format of the original distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    plural,
    sentence,
)
from gptbench.data.world.pages import REVIEWS, Voice


@dataclass(frozen=True)
class Row:
    """One labelled row.

    ``texts`` are the row's texts; for multiple choice they are context, question and the answers.
    ``group`` names a part of a task (a genre, RACE's middle and high).
    """

    texts: tuple[str, ...]
    label: int | float
    group: str = ""


NLI_LABELS = ("entailment", "neutral", "contradiction")

Maker = Callable[[Random, int, bool], Row]


def _halves(mood: Mood) -> tuple[Mood, Mood]:
    """The words of a mood in two halves, every second word in each."""
    slots = ("feelings", "qualities", "acts", "attitudes", "manners", "nouns")
    first, second = (
        replace(mood, **{slot: getattr(mood, slot)[start::2] for slot in slots})
        for start in (0, 1)
    )
    return first, second


COMMON_MOODS: tuple[Mood, ...] = tuple(_halves(mood)[0] for mood in MOODS)
RARE_MOODS: tuple[Mood, ...] = tuple(_halves(mood)[1] for mood in MOODS)


def mood_of(rng: Random, positive: int, train: bool, rare_share: float = 0.2) -> Mood:
    """A mood's words: one half of them for training (with some of the other), the other to test."""
    rare = rng.random() < rare_share if train else True
    return (RARE_MOODS if rare else COMMON_MOODS)[positive]


def voice(rng: Random, trade: Trade, mood: Mood | None = None, gender: Gender = FEMALE) -> Voice:
    """Somebody with a name."""
    return Voice(rng, trade, mood or pick(rng, MOODS), gender, pick(rng, gender.names))


def trades(rng: Random, count: int) -> list[Trade]:
    """Different trades, in random order."""
    return rng.sample(TRADES, count)


def namesakes(rng: Random, fields: list[Trade]) -> list[Voice]:
    """Two people with different names, one for each of two trades."""
    first, second = pick(rng, GENDERS), pick(rng, GENDERS)
    called = pick(rng, first.names)
    also = other(rng, second.names, called)
    return [
        Voice(rng, fields[0], pick(rng, MOODS), first, called),
        Voice(rng, fields[1], pick(rng, MOODS), second, also),
    ]


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
# what somebody did with things of one kind, and the same told by the name of the kind
KIND_TEXTS: tuple[str, ...] = (
    "{N} was {g} {ns} and the {A} {n}.",
    "{N} {v} the {n} and {v} {an}.",
    "{N} was {g} the {n} with the {r}.",
)
KIND_CLAIMS: tuple[str, ...] = ("{N} was {g} the {c}.", "{N} {v} the {A} {c}.", "{N} {v} {cs}.")
CAPTION_TEXTS: tuple[str, ...] = (
    "{N} is {g} {an}.",
    "{N} is {g} the {A} {n}.",
    "{N} is {g} {ns} with the {r}.",
)
CAPTION_CLAIMS: tuple[str, ...] = ("{N} is {g} {cs}.", "{N} is {g} the {A} {c}.")
PHRASES = {"p": "{p}", "r": "{r}", "g": "{g} {ns}", "v": "{v} {an}", "o": "{aA} {n}"}


def two_trades(rng: Random, template: str, called: str, fields: list[Trade]) -> str:
    """A template with words of two trades."""
    words = {"N": called}
    for number, trade in enumerate(fields, 1):
        speaker = voice(rng, trade)
        for slot, phrase in PHRASES.items():
            said = speaker.say("x" + phrase)[1:]
            words[f"{slot}{number}"] = said
    return sentence(template.format(**words))




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


def theme_pair(rng: Random, same: int) -> tuple[Trade, Trade]:
    """Two trades, the same one or two different ones."""
    first, second = trades(rng, 2)
    return first, first if same else second


def qnli(rng: Random, label: int, train: bool) -> Row:
    """A question about a doing; the sentence names who is at home in that trade, or another."""
    first, second = theme_pair(rng, 1 - label)
    asked = ("Who {v} the {A} {n}?", "Who was {g} the {n}?", "Who {v} the {n} and the {n}?")
    told = (
        "It was the {r} who was in the {p}.",
        "The {r} in the {p} was {f}.",
        "The {r} works in the {p}.",
        "It was the {r} who helped {N} in the {p}.",
    )
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
    claims = ("{N} was {f}.", "{N} felt {f} that {t}.", "{N} was {f} and full of {j}.")
    return Row((said.say(pick(rng, told)), claim.say(pick(rng, claims))), label)


def scitail(rng: Random, label: int, train: bool) -> Row:
    """A fact about a thing; a claim where it is found."""
    first, second = theme_pair(rng, label)
    told = (
        "The {n} is {A} and useful to the {r}.",
        "Every {r} has {an}, and it is {A}.",
        "The {r} is good with the {A} {n}.",
    )
    claims = (
        "It is found in the {p} near the {ns}.",
        "It is in the {p} with the {ns}.",
        "People keep it in the {p} near the {ns}.",
    )
    said, claim = voice(rng, first), voice(rng, second)
    text = said.say(pick(rng, told))
    return Row((text, avoid(claim, pick(rng, claims), text)), label)


CONTENT: frozenset[str] = frozenset(
    form
    for trade in TRADES
    for word in (*trade.things, *trade.places, *trade.people, *trade.adjectives)
    for form in (word, plural(word))
) | frozenset(
    word
    for mood in MOODS
    for words_ in (mood.feelings, mood.qualities, mood.acts, mood.attitudes, mood.nouns)
    for word in words_
)


def content(text: str) -> set[str]:
    """The words of ``text`` that a trade or a mood decides, singular and plural as one."""
    return {word.rstrip("s") for word in CONTENT.intersection(words(text))}


def avoid(speaker: Voice, template: str, text: str, pronoun: bool = False) -> str:
    """A filled template that shares no content word with ``text``, if twenty tries find one."""
    taken = content(text)
    said = speaker.say(template, pronoun)
    for _ in range(20):
        if not taken & content(said):
            break
        said = speaker.say(template, pronoun)
    return said


def words(text: str) -> list[str]:
    """The lower-cased words of ``text`` without punctuation."""
    return "".join(c if c.isalpha() else " " for c in text.lower()).split()


TRADE_QUESTIONS = (
    "How do I become a good {r} in the {p}?",
    "How can I learn {g} {ns}?",
    "What do I need to work in the {p} with {an}?",
    "Where can I learn {g} {A} {ns}?",
    "What does the {r} do in the {p}?",
    "Who can help me with the {A} {n}?",
)


def qqp(rng: Random, label: int, train: bool) -> Row:
    """Two questions about learning a trade: the same one, or two."""
    first, second = theme_pair(rng, label)
    text = voice(rng, first).say(pick(rng, TRADE_QUESTIONS))
    return Row((text, avoid(voice(rng, second), pick(rng, TRADE_QUESTIONS), text)), label)


def mrpc(rng: Random, label: int, train: bool) -> Row:
    """Two reports of what somebody thought of a thing: of one mind, or opposite."""
    positive = int(rng.random() * 2)
    trade = pick(rng, TRADES)
    thing, who = pick(rng, trade.things), pick(rng, trade.people)
    reports = (
        f"The {who} {{l}} the {thing}.",
        f"The {who} said that the {thing} was {{q}}.",
        f"The {thing} was {{q}}, said the {who}.",
        f"The {who} was {{f}} about the {thing}.",
        f"The {who} {{m}} {{d}} about the {thing}.",
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
    form = pick(rng, ("{} is {} {}.", "{} is {} {} in the {}."))
    texts = []
    thing = ""
    place = ""
    verbs = rng.sample((0, 1), 2)
    for who, (trade, what) in zip(roles, ((first, kind), (second, kind2)), strict=True):
        thing = other(rng, what.things, thing)
        place = other(rng, trade.places, place)
        verb = what.verbs[verbs[len(texts)]][1]
        texts.append(form.format(sentence(a(who)), verb, a(thing), place))
    score = (0.6, 2.8, 4.4)[level] + rng.choice((-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6))
    return Row((texts[0], texts[1]), round(score, 3))


def sst2(rng: Random, label: int, train: bool) -> Row:
    """A sentence of a review."""
    speaker = Voice(rng, pick(rng, TRADES), mood_of(rng, label, train, 0.04))
    return Row((speaker.say(pick(rng, REVIEWS)),), label)


def cola(rng: Random, label: int, train: bool) -> Row:
    """A sentence whose forms agree, or one in which one form does not.

    Each fault turns one of two forms that are both frequent, so that no word tells it.
    """
    speaker = voice(rng, pick(rng, TRADES), gender=pick(rng, GENDERS))
    right = bool(label)
    many = rng.random() < 0.5
    shown_many = many if right else not many
    kind = int(rng.random() * 3)
    if kind == 0:
        verb = ("was", "were")[shown_many]
        noun = "{ns}" if many else "{n}"
        text = pick(rng, (f"The {noun} {verb} {{A}}.", f"The {noun} in the {{p}} {verb} {{A}}."))
    elif kind == 1:
        verb = "{g}" if shown_many else "{v}"
        text = "{N} was " * many + "{N} " * (not many) + f"{verb} the {{n}} in the {{p}}."
    else:
        gender = speaker.gender if right else (MALE if speaker.gender is FEMALE else FEMALE)
        text = pick(
            rng,
            (
                f"{{N}} was {{f}} about {gender.himself}.",
                f"{{N}} {{v}} the {{n}} {gender.himself}.",
            ),
        )
    return Row((speaker.say(text),), label)


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
MAKERS: dict[str, tuple[Maker, int]] = {
    "mnli": (mnli, 3),
    "mnli_mismatched": (mnli_mismatched, 3),
    "snli": (snli, 3),
    "qnli": (qnli, 2),
    "rte": (rte, 2),
    "scitail": (scitail, 2),
    "race": (race, 4),
    "story_cloze": (story_cloze, 2),
    "mrpc": (mrpc, 2),
    "qqp": (qqp, 2),
    "stsb": (stsb, 3),
    "sst2": (sst2, 2),
    "cola": (cola, 2),
    "dprd": (dprd, 2),
}


def make_rows(
    task: str, seed: str, count: int, train: bool, taken: set[tuple[str, ...]]
) -> list[Row]:
    """``count`` rows with balanced labels, none with the texts of ``taken`` (which grows).

    Raises
    ------
    ValueError
        If the task has too few different rows (after 50 tries a row).
    """
    rng = Random(seed)
    maker, labels = MAKERS[task]
    wanted = [index % labels for index in range(count)]
    rng.shuffle(wanted)
    rows: list[Row] = []
    for _ in range(50 * count):
        if len(rows) == count:
            return rows
        row = maker(rng, wanted[len(rows)], train)
        if row.texts not in taken:
            taken.add(row.texts)
            rows.append(row)
    if len(rows) == count:
        return rows
    raise ValueError(f"{task}: only {len(rows)} of {count} different rows")
