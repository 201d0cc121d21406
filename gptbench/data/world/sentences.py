"""Rows of the tasks with a single sentence."""

from __future__ import annotations

from random import Random

from gptbench.data.world.lexicon import FEMALE, GENDERS, MALE, TRADES, pick
from gptbench.data.world.rows import Row, mood_of, voice
from gptbench.data.world.templates import REVIEWS
from gptbench.data.world.voice import Voice


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
