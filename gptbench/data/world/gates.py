"""Gates that keep the embedded world honest: what the words alone give away.

A classifier that sees nothing but counts of words, without any pre-training, has to stay near
chance on every task with two texts or with answers to choose from; so has one that sees only the
last text (or the answers).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import matthews_corrcoef

Counts = Any
Array = npt.NDArray[np.float64]


class Labelled(Protocol):
    """A parsed row: its texts (of choice tasks: context, question, answers) and its label."""

    @property
    def texts(self) -> tuple[str, ...]: ...

    @property
    def label(self) -> int | float: ...


def gate(task: str, train: Sequence[Labelled], test: Sequence[Labelled]) -> dict[str, object]:
    """Score two bag-of-words classifiers on a task.

    Parameters
    ----------
    task
        Its name, for the result.
    train, test
        Rows to fit on and to score.  Choice tasks have four texts or more.

    Returns
    -------
    dict
        ``task``, ``metric``, ``chance``, and, for the classifier that sees all texts (``words``)
        and for the one that sees the last text or the answers only (``last``; None with a single
        text): ``<name>``, ``<name>_low``, ``<name>_high`` (95 %) and ``<name>_near_chance``.
    """
    texts = len(train[0].texts)
    choice = texts > 3
    labels = {row.label for row in train}
    if choice:
        metric, chance = "accuracy", 1 / (texts - 2)
    elif len(labels) > 6 or any(isinstance(label, float) for label in labels):
        metric, chance = "pearson", 0.0
    elif task == "cola":
        metric, chance = "matthews", 0.0
    else:
        metric, chance = "accuracy", 1 / len(labels)
    result: dict[str, object] = {"task": task, "metric": metric, "chance": chance, "n": len(test)}
    for name in ("words", "last"):
        if name == "last" and texts == 1:
            result[name] = None
            continue
        fit = _choice_score if choice else _score
        value = fit(metric, train, test, name == "last")
        low, high = _interval(metric, value, len(test))
        result |= {name: value, f"{name}_low": low, f"{name}_high": high}
        result[f"{name}_near_chance"] = low <= chance <= high
    return result


def _interval(metric: str, value: float, n: int) -> tuple[float, float]:
    """A 95 % interval: Wilson's for accuracy, Fisher's for the correlations."""
    z = 1.96
    if metric == "accuracy":
        middle = (value + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return middle - half, middle + half
    centre = math.atanh(max(-0.999, min(0.999, value)))
    half = z / math.sqrt(max(1, n - 3))
    return math.tanh(centre - half), math.tanh(centre + half)


def _vectorizer(texts: list[str]) -> CountVectorizer:
    return CountVectorizer(binary=True, token_pattern=r"\w+").fit(texts)


def _pair_features(vectors: CountVectorizer, rows: Sequence[Labelled], last: bool) -> Counts:
    """Counts of the texts and, for pairs, the words they share and how many."""
    counts = [vectors.transform(texts) for texts in zip(*(row.texts for row in rows), strict=True)]
    if last or len(counts) == 1:
        return counts[-1].tocsr()
    shared = counts[0].multiply(counts[1])
    overlap = sparse.csr_matrix(shared.sum(1))
    return sparse.hstack([*counts, shared, overlap]).tocsr()


def _score(
    metric: str, train: Sequence[Labelled], test: Sequence[Labelled], last: bool
) -> float:
    vectors = _vectorizer([text for row in train for text in row.texts])
    features, unseen = (_pair_features(vectors, rows, last) for rows in (train, test))
    gold = np.array([row.label for row in test])
    labels = np.array([row.label for row in train])
    if metric == "pearson":
        guess = Ridge(alpha=1.0).fit(features, labels).predict(unseen)
        return float(np.corrcoef(guess, gold)[0, 1]) if guess.std() > 0 else 0.0
    guess = LogisticRegression(max_iter=500).fit(features, labels).predict(unseen)
    if metric == "matthews":
        return float(matthews_corrcoef(gold, guess))
    return float((guess == gold).mean())


def _choice_score(
    metric: str, train: Sequence[Labelled], test: Sequence[Labelled], last: bool
) -> float:
    """Each answer a row of its own (right or wrong); the likeliest one is chosen."""
    vectors = _vectorizer([text for row in train for text in row.texts])

    def features(rows: Sequence[Labelled]) -> Counts:
        context = vectors.transform([" ".join(row.texts[:2]) for row in rows for _ in row.texts[2:]])
        answer = vectors.transform([text for row in rows for text in row.texts[2:]])
        if last:
            return answer.tocsr()
        shared = context.multiply(answer)
        return sparse.hstack([answer, shared, sparse.csr_matrix(shared.sum(1))]).tocsr()

    right = np.array([i == row.label for row in train for i in range(len(row.texts) - 2)])
    model = LogisticRegression(max_iter=500).fit(features(train), right)
    scores = model.decision_function(features(test)).reshape(len(test), -1)
    return float((scores.argmax(1) == np.array([row.label for row in test])).mean())
