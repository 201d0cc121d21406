"""The embedded world: formats, determinism, balance, and what words alone may give away."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from gptbench.data.tasks import Example, load_split
from gptbench.data.world import write_world
from gptbench.data.world.lexicon import MOODS, TRADES, a, other, plural, zipf
from gptbench.data.world.pages import PAGE_SHARES, page
from gptbench.data.world.probes import probes
from gptbench.data.world.rows import Row
from gptbench.data.world.tasks import MAKERS, make_rows
from gptbench.errors import UserError
from gptbench.evaluation.gates import gate
from gptbench.settings import TaskSpec, load_tasks
from tests.conftest import PROJECT

ROOT = Path(__file__).parent.parent
SIZES = {
    "books_train": 2,
    "books_validation": 1,
    "words_per_book": 2000,
    "train_rows": 40,
    "eval_rows": 40,
}
MANY = 300

TASKS = load_tasks(PROJECT / "config" / "tasks.yaml")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "data"
    write_world(out, seed=3, **SIZES)
    return out


@pytest.fixture(scope="module")
def specs() -> dict[str, TaskSpec]:
    entries = yaml.safe_load((ROOT / "config" / "tasks.yaml").read_text())
    return {name: TaskSpec(name=name, **entry) for name, entry in entries.items()}


def digests(root: Path) -> dict[str, str]:
    """The hash of every file below a folder."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def rows_of(task: str, count: int, train: bool) -> list[Row]:
    return make_rows(task, f"test-{task}-{train}", count, train, set())


def test_every_split_parses_with_the_real_formats(world: Path, specs: dict[str, TaskSpec]) -> None:
    for name, spec in specs.items():
        for split in spec.files:
            parsed = load_split(spec, split, world)
            assert parsed.skipped == parsed.unlabelled == 0
            assert parsed.found == len(parsed.examples) > 0, (name, split)


def test_row_counts(world: Path, specs: dict[str, TaskSpec]) -> None:
    for name, spec in specs.items():
        if "train" in spec.files:  # of Story Cloze, after a fifth is split off
            assert len(load_split(spec, "train", world).examples) == SIZES["train_rows"]
        for splits in spec.scored.values():
            found = sum(len(load_split(spec, split, world).examples) for split in splits)
            assert found == SIZES["eval_rows"] or name == "race"


def test_splits_are_disjoint(world: Path, specs: dict[str, TaskSpec]) -> None:
    for name, spec in specs.items():
        seen: set[tuple[str, ...]] = set()
        count = 0
        for split in spec.files:
            texts = [example.texts for example in load_split(spec, split, world).examples]
            seen.update(texts)
            count += len(texts)
        assert len(seen) == count, name


def test_bytes_do_not_depend_on_when_or_on_hash_seeds(world: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    code = (
        "from pathlib import Path; from gptbench.data.world import write_world;"
        f"write_world(Path({str(again)!r}), seed=3, **{SIZES!r})"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)
    assert digests(again) == digests(world)


def test_another_seed_gives_another_world_in_the_same_layout(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "other"
    write_world(out, seed=4, **SIZES)
    one, two = digests(world), digests(out)
    assert one.keys() == two.keys()
    assert all(one[name] != two[name] for name in one)


def test_an_earlier_world_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "data"
    write_world(out, seed=1, **{**SIZES, "books_train": 3})
    write_world(out, seed=1, **SIZES)
    assert len(list((out / "books" / "train").iterdir())) == SIZES["books_train"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_world_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/data: cannot be written \(.*mend the permissions"):
        write_world(tmp_path / "file" / "data", seed=1, **SIZES)


@pytest.mark.parametrize("task", MAKERS)
def test_labels_are_balanced(task: str) -> None:
    rows = rows_of(task, 60, True)
    labels = MAKERS[task][1]
    if task == "stsb":
        levels = Counter(sum(row.label > cut for cut in (1.6, 3.5)) for row in rows)
        assert all(0 <= row.label <= 5 for row in rows)
    else:
        levels = Counter(int(row.label) for row in rows)
    assert levels == dict.fromkeys(range(labels), 60 // labels)


@pytest.mark.parametrize("task", [name for name in MAKERS if name not in ("dprd", "sst2")])
def test_words_alone_stay_near_chance(task: str) -> None:
    train, test = rows_of(task, MANY, True), rows_of(task, MANY, False)
    if task == "story_cloze":
        train, test = (
            [Row((" ".join(row.texts[:4]), "", *row.texts[4:]), row.label) for row in rows]
            for rows in (train, test)
        )
    for found in gate(TASKS["mnli" if task == "mnli_mismatched" else task], train, test):
        assert abs(found["score"] - found["chance"]) < 13, found


def test_a_gate_sees_a_leak() -> None:
    rows = [Row((f"one {i}", "yes" if i % 2 else "no"), i % 2) for i in range(60)]
    for found in gate(TASKS["rte"], rows, rows):
        assert found["score"] == 100
        assert found["within"] is False


def test_faults_turn_one_form_only() -> None:
    """A bad sentence of CoLA becomes good by exchanging one form."""
    rows = rows_of("cola", 300, True)
    frames: dict[int, Counter[str]] = {0: Counter(), 1: Counter()}
    for row in rows:
        words = row.texts[0].rstrip(".").split()
        frames[int(row.label)].update(set(words) & {"was", "were", "himself", "herself"})
    for word in ("was", "were", "himself", "herself"):
        good, bad = frames[1][word], frames[0][word]
        assert abs(good - bad) <= 0.35 * (good + bad), (word, good, bad)


def test_makers_end_when_rows_run_out() -> None:
    rows = rows_of("sst2", 50, True)
    assert len({row.texts for row in rows}) == 50
    with pytest.raises(ValueError, match="different rows"):
        make_rows("sst2", "few", 50, True, _Everything())


class _Everything(set[tuple[str, ...]]):
    """A set that holds whatever is asked for."""

    def __contains__(self, item: object) -> bool:
        return True


def test_pages_are_plain_sentences() -> None:
    assert sum(PAGE_SHARES.values()) == pytest.approx(1)
    rng = random.Random("pages")
    for _ in range(500):
        text = page(rng)
        assert not {"\n", "{"} & set(text)
        assert text[0].isupper()
        assert text[-1] in ".?"
        assert len(text.split()) < 80


def test_words_are_their_owners_alone() -> None:
    """No word belongs to two trades or to a trade and a mood."""
    seen: Counter[str] = Counter()
    for trade in TRADES:
        seen.update({*trade.things, *trade.places, *trade.people, *trade.adjectives})
        seen.update(form for kind in trade.kinds for verb in kind.verbs for form in verb)
        seen.update(kind.name for kind in trade.kinds)
    for mood in MOODS:
        seen.update({*mood.feelings, *mood.qualities, *mood.acts, *mood.attitudes})
        seen.update({*mood.manners, *mood.nouns})
    assert [word for word, count in seen.items() if count > 1] == []


def test_probes_are_minimal_pairs() -> None:
    found = probes(1, 20)
    assert {"topic", "polarity", "gender", "category", "agreement"} <= found.keys()
    for kind, pairs in found.items():
        assert len(pairs) == 20
        assert all(prefix and right != wrong for prefix, right, wrong in pairs), kind
    assert found == probes(1, 20) != probes(2, 20)


def test_word_helpers() -> None:
    assert [plural(word) for word in ("bench", "ferry", "toy", "carrot", "potato")] == [
        "benches",
        "ferries",
        "toys",
        "carrots",
        "potatoes",
    ]
    assert (a("apple"), a("pear")) == ("an apple", "a pear")
    rng = random.Random(0)
    draws = Counter(zipf(rng, "abcd") for _ in range(2000))
    assert draws["a"] > draws["b"] > draws["d"] > 0
    assert other(rng, ("a", "b"), "a") == "b"


def test_examples_carry_the_rows(world: Path, specs: dict[str, TaskSpec]) -> None:
    example = load_split(specs["race"], "test_high", world).examples[0]
    assert isinstance(example, Example)
    assert len(example.texts) == 6
    assert example.texts[1].endswith("?")
