"""Gates that keep a made data set honest: what a classifier reads off the words alone.

On a data set that asks for knowledge, a bag of words of both texts, and the second text (or the
answers) alone, stay near chance without any pre-training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from gptbench.evaluation import statistics
from gptbench.settings import TaskSpec

Features = dict[str, float]
METHODS = ("bag of words", "second text only")


class Labelled(Protocol):
    """A row: its texts (of a choice: context, question, answers) and its label."""

    @property
    def texts(self) -> tuple[str, ...]:
        """What is read."""

    @property
    def label(self) -> int | float:
        """What is asked."""


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _features(texts: Sequence[str]) -> Features:
    """Counts of each word by text; for several texts the words they share, too."""
    found: Features = {}
    bags = [_words(text) for text in texts]
    for n, bag in enumerate(bags):
        for word in bag:
            found[f"{n} {word}"] = found.get(f"{n} {word}", 0.0) + 1.0
        found[f"{n} length"] = len(bag) / 10
    if len(bags) > 1:
        shared = set(bags[-1]).intersection(*bags[:-1])
        found["shared"] = float(len(shared))
        found.update({f"both {word}": 1.0 for word in shared})
    return found


def _views(task: TaskSpec, example: Labelled, method: str) -> list[Features]:
    """The features of an example: one set, or one for each answer of a choice."""
    texts = example.texts
    if task.format == "choice":
        context = " ".join(texts[:2])
        if method == METHODS[1]:
            return [_features([answer]) for answer in texts[2:]]
        return [_features([context, answer]) for answer in texts[2:]]
    return [_features(texts[1:] if method == METHODS[1] else texts)]


def _predict(
    task: TaskSpec, train: Sequence[Labelled], test: Sequence[Labelled], method: str
) -> npt.NDArray[Any]:
    """Predictions of a linear model on the features, trained on `train`."""
    vectorizer = DictVectorizer()
    views = [view for example in train for view in _views(task, example, method)]
    x = vectorizer.fit_transform(views)
    each = len(views) // len(train)
    labels = np.asarray([example.label for example in train])
    y = (np.arange(each)[None] == labels[:, None]).ravel().astype(int) if each > 1 else labels
    model = Ridge() if task.range else LogisticRegression(C=0.1, max_iter=500)
    model.fit(sparse.csr_matrix(x), y)
    seen = vectorizer.transform([v for example in test for v in _views(task, example, method)])
    if each > 1:
        scores = model.decision_function(seen).reshape(len(test), each)
        return np.asarray(scores.argmax(1))
    return np.asarray(model.predict(seen))


def gate(
    task: TaskSpec, train: Sequence[Labelled], test: Sequence[Labelled]
) -> list[dict[str, Any]]:
    """A row a method: `task, method, metric, score, ci_low, ci_high, chance, within`.

    `chance` is the best constant answer; `within` says whether the score's 95 % interval over
    the test rows holds it. Single texts have no second text.
    """
    metric = "accuracy" if "f1" in task.metrics else task.metrics[0]
    gold = np.asarray([example.label for example in test])
    chance = statistics.constant_score(metric, gold)
    rows = []
    for method in METHODS[: 1 if task.format == "single" else 2]:
        said = _predict(task, train, test, method)
        scored = statistics.sample(metric, gold, said, [(0, 0)], examples=task.name)
        found = statistics.interval(scored)
        rows.append(
            {
                "task": task.name,
                "method": method,
                "metric": metric,
                "score": round(found.value, 2),
                "ci_low": None if found.low is None else round(found.low, 2),
                "ci_high": None if found.high is None else round(found.high, 2),
                "chance": round(chance, 2),
                "within": found.low is not None and found.low <= chance,
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a plain table."""
    lines = [f"{'task':12} {'method':17} {'metric':9} {'score':>6} {'interval':>15} {'chance':>7}"]
    for row in rows:
        interval = f"{row['ci_low']:.1f} to {row['ci_high']:.1f}"
        lines.append(
            f"{row['task']:12} {row['method']:17} {row['metric']:9} {row['score']:6.1f}"
            f" {interval:>15} {row['chance']:7.1f}{'' if row['within'] else '  above chance'}"
        )
    return "\n".join(lines)
