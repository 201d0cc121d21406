"""The published label distributions, as far as a source was found; data alone."""

from __future__ import annotations

from typing import NamedTuple


class Edition(NamedTuple):
    """Rows of each label in one edition of a split, and where that is from."""

    labels: dict[str, int]
    source: str


_COUNTED = "counted in a complete copy of the published files"
_RELEASED = "counted in a complete copy, divided as in the released code"
_ACL = "ACL wiki, Paraphrase Identification (State of the art); Microsoft's two files"
_CARD = "the data set's card (huggingface.co/datasets/scitail): all three splits together"
_NLI = ("entailment", "neutral", "contradiction")


def _answers(*counts: int) -> dict[str, int]:
    return {str(i): count for i, count in enumerate(counts)}


def _classes(names: tuple[str, ...], *counts: int) -> dict[str, int]:
    return dict(zip(names, counts, strict=True))


_QNLI = ("entailment", "not_entailment")

PUBLISHED: dict[str, dict[str, Edition]] = {
    "mnli": {"dev_matched": Edition(_classes(_NLI, 3479, 3123, 3213), _COUNTED)},
    "snli": {
        "dev": Edition(_classes(_NLI, 3329, 3235, 3278), _COUNTED),
        "test": Edition(_classes(_NLI, 3368, 3219, 3237), _COUNTED),
    },
    "qnli": {"dev": Edition(_classes(_QNLI, 2702, 2761), _COUNTED)},
    "rte": {
        "train": Edition(_classes(_QNLI, 1249, 1241), _COUNTED),
        "dev": Edition(_classes(_QNLI, 146, 131), _COUNTED),
    },
    "scitail": {
        "train": Edition({"entails": 10101, "neutral": 16925}, _CARD),
    },
    "race": {
        "train": Edition(_answers(19146, 22726, 23891, 22103), _COUNTED),
        "dev": Edition(_answers(1067, 1291, 1303, 1226), _COUNTED),
        "test_middle": Edition(_answers(309, 388, 374, 365), _COUNTED),
        "test_high": Edition(_answers(754, 935, 950, 859), _COUNTED),
    },
    "story_cloze": {
        "train": Edition(_answers(762, 735), _RELEASED),
        "dev": Edition(_answers(200, 174), _RELEASED),
        "test": Edition(_answers(960, 911), _COUNTED),
    },
    "mrpc": {
        "train": Edition(_answers(1323, 2753), _ACL),
        "dev": Edition(_answers(578, 1147), _ACL),
    },
    "stsb": {
        "train": Edition(_answers(615, 810, 939, 1322, 1461, 602), _COUNTED),
        "dev": Edition(_answers(242, 235, 273, 346, 285, 119), _COUNTED),
    },
    "sst2": {
        "train": Edition(_answers(29780, 37569), _COUNTED),
        "dev": Edition(_answers(428, 444), _COUNTED),
    },
    "cola": {
        "train": Edition(_answers(2528, 6023), _COUNTED),
        "dev": Edition(_answers(324, 719), _COUNTED),
    },
    "dprd": {
        "train": Edition(_answers(661, 661), _COUNTED),
        "test": Edition(_answers(282, 282), _COUNTED),
    },
}
"""By task and split. A choice's labels are the numbers of the right answers, STS-B's rounded
scores; of MRPC `dev` is Microsoft's test set."""


def published_shares(task: str, split: str) -> dict[str, float]:
    """The published share of each label; empty where none is known."""
    edition = PUBLISHED.get(task, {}).get(split)
    if edition is None:
        return {}
    rows = sum(edition.labels.values())
    return {label: count / rows for label, count in edition.labels.items()}
