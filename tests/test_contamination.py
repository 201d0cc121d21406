"""Overlap of the books with the scored texts, against a slow restatement with sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptbench.cli import main
from gptbench.data import contamination
from gptbench.data.books import blocks, collect, training_books
from gptbench.data.contamination import Grams, words
from gptbench.plan import Plan
from gptbench.settings import ContaminationJob, CorpusSettings, load_tasks, read_yaml
from tests.conftest import PROJECT

TASKS = load_tasks(PROJECT / "config" / "tasks.yaml")


def plain_words(text: str) -> list[str]:
    """Character by character: letters and digits belong to words, apostrophes are not there."""
    found = [""]
    for char in text.lower():
        if char in "'’":
            continue
        if char.isalnum():
            found[-1] += char
        elif found[-1]:
            found.append("")
    return [word for word in found if word]


def plain_grams(text: str, n: int, shortest: int) -> set[tuple[str, ...]]:
    """The n-grams of a scored text."""
    found = plain_words(text)
    if shortest <= len(found) < n:
        return {tuple(found)}
    return {tuple(found[i : i + n]) for i in range(len(found) - n + 1)}


def plain_overlap(texts: list[str], books: list[str], n: int, shortest: int) -> list[bool]:
    """Whether each text has an n-gram in a book."""
    known = set()
    for book in books:
        found = plain_words(book)
        for k in range(1, n + 1):
            known |= {tuple(found[i : i + k]) for i in range(len(found) - k + 1)}
    return [bool(plain_grams(text, n, shortest) & known) for text in texts]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[bool]]:
    """What `Grams` finds of texts in books, written to files and read in small blocks."""
    folder = tmp_path_factory.mktemp("books")

    def run(texts: list[str], books: list[str], n: int, shortest: int) -> list[bool]:
        grams = Grams(texts, n, shortest)
        found = []
        for i, book in enumerate(books):
            path = folder / f"{i}.txt"
            path.write_text(book, "utf-8")
            found.append(grams.found_in(path)[0])
        return [bool(each) for each in grams.overlapping(found)[0]]

    return run


# The normaliser. -----------------------------------------------------------------------------

WORLD = st.text(
    st.one_of(st.sampled_from("aAbB '’-_.\n1İß\u0301“ ﬁ"), st.characters(exclude_categories=["Cs"]))
)


@settings(deadline=None)
@given(WORLD)
def test_words_are_those_of_the_plain_way(text: str) -> None:
    assert words(text) == plain_words(text)


@settings(deadline=None)
@given(WORLD)
def test_words_of_words_are_the_same(text: str) -> None:
    assert words(" ".join(words(text))) == words(text)


@settings(deadline=None)
@given(WORLD, WORLD)
def test_a_line_break_divides(one: str, two: str) -> None:
    assert words(f"{one}\n{two}") == words(one) + words(two)


@settings(deadline=None)
@given(st.lists(st.text("abcXYZ09", min_size=1)), st.sampled_from([" ", ", ", " -- ", "\n\n", "_"]))
def test_marks_and_case_do_not_matter(parts: list[str], between: str) -> None:
    assert words(between.join(parts).upper()) == [part.lower() for part in parts]


# N-grams. ------------------------------------------------------------------------------------

SPOKEN = st.lists(st.sampled_from(["a", "b", "A.", "it's", "\n"]), max_size=14).map(" ".join)


@settings(deadline=None)
@given(
    st.lists(SPOKEN, min_size=1, max_size=5),
    st.lists(SPOKEN, min_size=1, max_size=3),
    st.sampled_from([(3, 2), (4, 2), (2, 2), (1, 1), (5, 3)]),
)
def test_overlap_is_that_of_sets(
    met: Callable[..., list[bool]], texts: list[str], books: list[str], sizes: tuple[int, int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contamination, "blocks", lambda path: blocks(path, 4))
        assert met(texts, books, *sizes) == plain_overlap(texts, books, *sizes)


def test_overlap_of_long_random_texts(met: Callable[..., list[bool]]) -> None:
    rng = np.random.default_rng(1)
    vocabulary = [f"w{i}" for i in range(300)]
    books = [" ".join(rng.choice(vocabulary, 4000)) for _ in range(3)]
    texts = []
    for size in range(4, 60):
        own = [*rng.choice(vocabulary, size)]
        if size % 2:  # 7 to 19 words of a book in the middle
            taken = books[size % 3].split()[size * 50 :][: 7 + size % 13]
            own[size // 2 : size // 2] = taken
        texts.append(" ".join(own))
    texts += [" ".join(books[0].split()[i : i + k]) for i, k in [(5, 7), (90, 8), (50, 12)]]
    expected = plain_overlap(texts, books, 13, 8)
    assert met(texts, books, 13, 8) == expected
    assert 10 < sum(expected) < len(expected) - 10


def test_what_is_too_short_is_not_testable() -> None:
    grams = Grams(["one two three four five six seven", "it's 8: a b c d e f", "", "a " * 13])
    assert grams.testable.tolist() == [False, True, False, True]
    assert len(grams) == 2
    assert len(Grams([])) == len(Grams(["", "a b"])) == 0


# The stage. ----------------------------------------------------------------------------------

QUOTE = "It was the best of times, it was the worst of times, it was the age of wisdom"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two training books, a held-out one, and CoLA's dev with quotations."""
    for name, text in {
        "train/a.txt": "Chapter 1.\n\n" + QUOTE.replace(", it", ",\nit") + ",\nit was.\n",
        "train/b.txt": "A short sentence of exactly eight words follows: here are eight words"
        " that stand in book b.\n",
        "validation/c.txt": "held out words of a book nobody learns from at any time at all\n",
    }.items():
        path = tmp_path / "books" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    rows = [
        f"It was -- the best of TIMES; {QUOTE[25:]}!",
        "Here are eight words that stand in book.",
        "Short enough.",
        "Held out words of a book nobody learns from at any time at all.",
        QUOTE.replace("worst", "wurst"),
    ]
    path = tmp_path / "glue" / "CoLA" / "dev.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"x\t1\t\t{row}\n" for row in rows))
    return tmp_path


def test_the_stage_counts_examples(folder: Path) -> None:
    found = {}
    for workers in (1, 2):
        job = ContaminationJob(tasks=[TASKS["cola"]], workers=workers)
        out = folder / f"out{workers}" / "contamination.json"
        contamination.run(job, folder / "books", folder, out)
        found[workers] = json.loads(out.read_text())
        manifest = json.loads((out.with_suffix("") / "manifest.json").read_text())
        assert manifest["run_id"] == found[workers].pop("run_id")
        assert manifest["stage"] == "contamination"
    assert found[1] == found[2]
    first = found[1]["tasks"]["cola"]["dev"].pop("first")
    assert first == "it was the best of times it was the worst of times it"
    assert found[1]["tasks"] == {"cola": {"dev": {"examples": 5, "testable": 4, "overlapping": 2}}}
    assert (found[1]["books"], found[1]["n"], found[1]["shortest"]) == (2, 13, 8)


def test_data_and_books_that_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    books = tmp_path / "all"
    books.mkdir()
    for path in (folder / "books").glob("*/*.txt"):
        (books / path.name).write_text(path.read_text())
    corpus = CorpusSettings(validation_share=0.3)
    whole = collect(books, corpus)
    trained = [book.name for book in training_books(whole, corpus)]
    expected = {"a.txt": 1, "b.txt": 1, "c.txt": 1}  # the rows that quote each book
    job = ContaminationJob(tasks=[TASKS["cola"]], workers=1, corpus=corpus)
    out = tmp_path / "new" / "contamination.json"
    line = ["--settings", job.to_json(), "--books", str(books), "--data", str(tmp_path / "none")]
    line += ["--data-of", f"cola={folder}", "--out", str(out)]
    assert main(["contamination", *line]) == 0
    found = json.loads(out.read_text())
    assert found["books"] == len(trained) == 2
    counted = found["tasks"]["cola"]["dev"]
    assert counted["overlapping"] == sum(expected[name] for name in trained)


def test_a_caption_is_no_setting_of_the_job() -> None:
    config = read_yaml(PROJECT / "config" / "config.yaml")
    plan = Plan.read(config, PROJECT / "config")
    renamed = {n: t.model_copy(update={"title": "X", "home": "Y"}) for n, t in plan.tasks.items()}
    other = Plan(plan.config, renamed, plan.experiments)
    assert other.contamination_job() == plan.contamination_job()
    assert plan.pretrains


def test_imported_weights_have_no_books() -> None:
    config = read_yaml(PROJECT / "config" / "released.yaml") | {"data_root": "x"}
    assert not Plan.read(config, PROJECT / "config").pretrains
