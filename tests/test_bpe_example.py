"""The worked example of byte-pair encoding against its published steps, and in the page."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptbench.data import bpe_example
from gptbench.data.tokenizer import train_on_counts
from gptbench.settings import TokenizerSettings

END = "</w>"


def test_the_textbook_form() -> None:
    textbook, _ = bpe_example.worked()
    assert [(*step.pair, step.times) for step in textbook.steps] == [
        ("e", "s", 9),
        ("es", "t", 9),
        ("est", END, 9),
        ("l", "o", 7),
        ("lo", "w", 7),
    ]
    assert textbook.steps[-1].words == [
        ["low", END],
        ["low", "e", "r", END],
        ["n", "e", "w", "est" + END],
        ["w", "i", "d", "est" + END],
    ]
    assert textbook.unseen[0] == ["l", "o", "w", "e", "s", "t", END]
    assert textbook.unseen[-1] == ["low", "est" + END]
    assert textbook.start[0] == ["l", "o", "w", END]
    # By hand: s t and t </w> are where e s is; w e in lower (2) and newest (6).
    assert textbook.steps[0].others == [(("s", "t"), 9), (("t", END), 9), (("w", "e"), 8)]
    assert textbook.steps[4].others == [
        (("n", "e"), 6),
        (("e", "w"), 6),
        (("w", "est" + END), 6),
    ]


def test_the_released_form() -> None:
    _, ours = bpe_example.worked()
    assert [(*step.pair, step.times) for step in ours.steps[:4]] == [
        ("e", "s", 9),
        ("es", "t" + END, 9),
        ("l", "o", 7),
        ("e", "w", 6),
    ]
    assert ours.unseen[-1] == ["lo", "w", "est" + END]


def test_the_example_is_our_trainer() -> None:
    _, ours = bpe_example.worked()
    counts = Counter(low=5, lower=2, newest=6, widest=3)
    trained = train_on_counts(counts, TokenizerSettings(merges=5))
    assert [step.pair for step in ours.steps] == trained.merges
    assert ours.unseen[-1] == trained.symbols("lowest")


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text("abc", min_size=1, max_size=6), st.integers(1, 9), min_size=1))
def test_each_merge_is_of_a_most_frequent_pair(counts: dict[str, int]) -> None:
    words = {word: (*word, END) for word in counts}
    for left, right in bpe_example.learn(counts, 8):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in words.items():
            for pair in pairwise(symbols):
                pairs[pair] += counts[word]
        assert pairs[left, right] == max(pairs.values())
        for word, symbols in words.items():
            # Blanks part the symbols, so that a replacement can only meet whole ones.
            text = f" {'  '.join(symbols)} ".replace(f" {left}  {right} ", f" {left}{right} ")
            words[word] = tuple(text.split())


def test_learning_ends_with_the_pairs() -> None:
    assert bpe_example.learn({"ab": 1}, 9) == [("a", "b"), ("ab", END)]
