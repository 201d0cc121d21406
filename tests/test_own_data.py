"""A user's own data sets: entries of a tasks file, csv and JSON lines, from file to score."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from gptbench.artifacts import read_json
from gptbench.cli import main
from gptbench.data import inputs
from gptbench.data.formats import PARSERS, Rows
from gptbench.data.preview import preview
from gptbench.data.tasks import Example, Unlabelled, load_examples, load_split, load_texts
from gptbench.data.tokenizer import Tokenizer, train_on_counts
from gptbench.errors import UserError
from gptbench.evaluation.metrics import METRICS
from gptbench.plan import FinetuneRun, Plan
from gptbench.settings import Metric, TaskSpec, TokenizerSettings, load_tasks, parse
from gptbench.training import finetune
from tests.conftest import PROJECT, tiny_config

MOODS = ["angry", "bored", "calm", "glad", "sad"]
WORDS = "the man and his dog went to town by bus on a day with some rain , they saw it".split()


def sentence(rng: np.random.Generator, word: str) -> str:
    words = [str(each) for each in rng.choice(WORDS, int(rng.integers(4, 9)))]
    words.insert(int(rng.integers(len(words))), word)
    return " ".join(words)


def write_csv(path: Path, header: list[str], table: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *table])


def write_sets(folder: Path) -> Path:
    """Five classes, grades, five candidates and pairs; the tasks file."""
    rng = np.random.default_rng(0)
    moods = [int(i) for i in rng.integers(0, 5, 200)]
    table = [[i, f"{sentence(rng, MOODS[m])}, so", MOODS[m].upper()] for i, m in enumerate(moods)]
    write_csv(folder / "moods.csv", ["id", "message", "mood"], table)
    for split, n in (("train", 160), ("dev", 60)):
        with (folder / f"grades-{split}.jsonl").open("w") as file:
            for grade in rng.integers(2, 9, n) / 2:
                words = {"a": sentence(rng, "good" if grade > 2.5 else "poor"), "b": "an essay"}
                file.write(json.dumps({**words, "grade": float(grade)}) + "\n")
        table = []
        for right in rng.integers(0, 5, n):
            answers = [sentence(rng, "true" if i == right else "false") for i in range(5)]
            table.append([sentence(rng, "story"), "which ?", *answers, "ABCDE"[right]])
        header = ["passage", "ask", "A", "B", "C", "D", "E", "key"]
        write_csv(folder / f"quiz-{split}.csv", header, table)
        table = []
        for same in rng.integers(0, 2, n):
            one = sentence(rng, "cat")
            table.append([one, sentence(rng, "cat" if same else "fish"), "10"[int(same)]])
        write_csv(folder / f"pairs-{split}.csv", ["left", "right", "differs"], table)
    tasks = {
        "moods": {
            "format": "single",
            "parser": "csv",
            "files": "moods.csv",
            "split": {"train": 0.7, "dev": 0.3},
            "columns": {"text1": "message", "label": "mood"},
            "labels": {mood.upper(): i for i, mood in enumerate(MOODS)},
            "metrics": ["accuracy", "macro_f1"],
        },
        "grades": {
            "format": "similarity",
            "parser": "jsonl",
            "files": {"train": "grades-train.jsonl", "dev": "grades-dev.jsonl"},
            "columns": {"text1": "a", "text2": "b", "label": "grade"},
            "range": [1, 4],
        },
        "quiz": {
            "format": "choice",
            "parser": "csv",
            "files": {"train": "quiz-train.csv", "dev": "quiz-dev.csv"},
            "columns": {
                "context": "passage",
                "question": "ask",
                **{f"answer{i}": letter for i, letter in enumerate("ABCDE", 1)},
                "label": "key",
            },
            "labels": list("ABCDE"),
        },
        "pairs": {
            "format": "pair",
            "parser": "csv",
            "files": {"train": "pairs-train.csv", "dev": "pairs-dev.csv"},
            "columns": {"text1": "left", "text2": "right", "label": "differs"},
            "labels": ["same", "different"],
            "label_map": {"0": "same", "1": "different"},
            "metrics": ["f1", "accuracy", "matthews"],
        },
    }
    path = folder / "my-tasks.yaml"
    path.write_text(yaml.safe_dump(tasks))
    return path


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tasks file of four data sets of one's own."""
    return write_sets(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that knows their words."""
    words = "good poor an essay true false story which ? cat fish so".split()
    counts = Counter([*MOODS, *WORDS, *words] * 5)
    folder = tmp_path_factory.mktemp("tokenizer")
    train_on_counts(counts, TokenizerSettings(merges=200)).save(folder)
    return folder


def own_plan(path: Path, epochs: int) -> Plan:
    config = tiny_config() | {"tasks_file": str(path)}
    config["finetune"] |= {"epochs": epochs, "lr": 0.005, "batch_size": 8, "warmup": 0.1}
    return Plan.read(config, PROJECT / "config")


@pytest.mark.parametrize(
    ("name", "epochs", "least"),
    [("moods", 14, 40), ("grades", 6, 30), ("quiz", 6, 40), ("pairs", 14, 75)],
)
def test_from_a_file_to_a_score(
    name: str, epochs: int, least: float, own: Path, tokenizer: Path, tmp_path: Path
) -> None:
    plan = own_plan(own, epochs)
    root = plan.task_root(name)
    assert root == own.parent
    encoded, out = tmp_path / "task", tmp_path / "run"
    inputs.run(plan.encode_job(name), root, tokenizer, encoded)
    facts = read_json(encoded / "facts.json")
    assert facts["rows"] == ({"train": 140, "dev": 60} if name == "moods" else facts["rows"])
    run = plan.finetune_job(FinetuneRun("no-pretraining", name, 0, 0))
    finetune.run(run, encoded, None, out)
    scores = read_json(out / "metrics.json")["scores"]["dev"]
    said = pd.read_parquet(out / "predictions.parquet")
    gold, found = said["gold"].to_numpy(), said["prediction"].to_numpy()
    expected = {
        "moods": lambda: {
            "accuracy": np.mean(gold == found),
            "macro_f1": np.mean([sk.f1_score(gold == c, found == c) for c in range(5)]),
        },
        "grades": lambda: {
            "pearson": np.corrcoef(gold, found)[0, 1],
            "spearman": stats.spearmanr(gold, found).statistic,
        },
        "quiz": lambda: {"accuracy": np.mean(gold == found)},
        "pairs": lambda: {
            "f1": sk.f1_score(gold, found),
            "accuracy": np.mean(gold == found),
            "matthews": np.corrcoef(gold, found)[0, 1],
        },
    }[name]()
    assert scores == pytest.approx({k: 100 * v for k, v in expected.items()}, abs=1e-4)
    assert scores[plan.tasks[name].metrics[0]] > least
    assert len(said) == 60
    widths = {len(row) for row in said["scores"]}
    assert widths == {{"moods": 5, "grades": 4, "quiz": 5, "pairs": 2}[name]}


def test_shares_are_of_the_whole_file_and_disjoint(own: Path) -> None:
    task = load_tasks(own)["moods"]
    train, dev = (
        {e.index for e in load_examples(task, split, own.parent)} for split in ("train", "dev")
    )
    assert (len(train), len(dev)) == (140, 60)
    assert train | dev == set(range(200))
    again = task.model_copy(update={"split_seed": 1})
    assert {e.index for e in load_examples(again, "dev", own.parent)} != dev
    less = task.model_copy(update={"split": {"train": 0.5, "dev": 0.25}})
    sizes = {split: len(load_examples(less, split, own.parent)) for split in task.files}
    assert sizes == {"train": 100, "dev": 50}


# The tutorial. -------------------------------------------------------------------------------

TUTORIAL = (PROJECT / "docs" / "howto-own-data.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of the tutorial in a language."""
    return [part.split("```")[0] for part in TUTORIAL.split(f"```{language}\n")[1:]]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tutorial's folder, in the folder that commands are run in."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "tickets.csv").write_text(blocks("csv")[0])
    tasks, scale, *_ = blocks("yaml")
    (folder / "tasks.yaml").write_text(tasks)
    (folder / "scale.yaml").write_text(scale)
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_tutorial_goes_from_a_csv_to_a_score(mine: Path, tokenizer: Path) -> None:
    config = tiny_config() | yaml.safe_load((mine / "scale.yaml").read_text())
    plan = Plan.read(config, PROJECT / "config")
    plan.check_data()
    runs = plan.runs()
    assert {(run.variant, run.task) for run in runs} == {
        ("full", "tickets"),
        ("no-pretraining", "tickets"),
    }
    inputs.run(plan.encode_job("tickets"), plan.task_root("tickets"), tokenizer, mine / "task")
    facts = read_json(mine / "task" / "facts.json")
    assert facts["rows"] == {"train": 18, "dev": 6}
    assert "18 rows are learnt\nfrom and 6 are scored" in TUTORIAL
    job = plan.finetune_job(FinetuneRun("no-pretraining", "tickets", 0, 0))
    finetune.run(job, mine / "task", None, mine / "run")
    assert set(read_json(mine / "run" / "metrics.json")["scores"]["dev"]) == {
        "accuracy",
        "macro_f1",
    }
    assert f"tickets, split train: 2 of {facts['rows']['train']} labelled rows" in TUTORIAL


def test_the_tutorials_entries_and_errors_are_as_it_says(mine: Path) -> None:
    for block in [blocks("yaml")[0], *blocks("yaml")[2:]]:
        (mine / "each.yaml").write_text(block)
        assert load_tasks(mine / "each.yaml")
    said = [line.removeprefix("gptbench: ") for line in blocks("console")[-1].splitlines()[1:]]
    tasks, table = (mine / "tasks.yaml").read_text(), (mine / "tickets.csv").read_text()

    def refusal(changed: str, rows: str = table) -> str:
        (mine / "tasks.yaml").write_text(changed)
        (mine / "tickets.csv").write_text(rows)
        with pytest.raises(UserError) as found:
            load_examples(load_tasks(Path("mine/tasks.yaml"))["tickets"], "train", mine)
        return str(found.value)

    assert said == [
        refusal(tasks.replace("accuracy", "acuracy")),
        refusal(tasks.replace("text1: message", "text1: mesage")),
        refusal(tasks, table.replace('closes.",technical', 'closes.",techncal')),
    ]


@pytest.mark.parametrize(
    ("study", "task", "said"),
    [
        ("rte", "tickets", "`rte` is a data set's name; name the study otherwise"),
        ("report", "tickets", "`report` is a rule of the workflow"),
        ("mine", "encode", "`encode` is a rule of the workflow"),
    ],
)
def test_names_that_are_taken(mine: Path, study: str, task: str, said: str) -> None:
    path = mine / "tasks.yaml"
    path.write_text(path.read_text().replace("tickets:\n", f"{task}:\n", 1))
    studies = {study: {"title": "x", "variants": ["full"], "tasks": [task]}}
    config = {"tasks_file": str(path), "experiments": {"studies": studies}, "studies": [study]}
    with pytest.raises(UserError, match=said):
        Plan.read(tiny_config() | config, PROJECT / "config")


# Parsers. ------------------------------------------------------------------------------------


def single(**changes: Any) -> TaskSpec:
    entry = {
        "name": "mine",
        "title": "Mine",
        "kind": "classification",
        "format": "single",
        "parser": "csv",
        "columns": {"text1": "text", "label": "y"},
        "labels": ["no", "yes"],
        "files": {},
        "scored": {},
        "metrics": ["accuracy"],
        "paper_split": "none",
        "home": "",
    }
    return parse(TaskSpec, entry | changes, "tasks.yaml")


def rows(text: str, where: str, task: TaskSpec) -> Rows:
    """What a parser makes of a file's text."""
    found = Rows()
    PARSERS[task.parser](found, io.StringIO(text, newline="\n"), f"file {where}", task)
    return found


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])),
            st.sampled_from(["no", "yes"]),
        ),
        max_size=20,
    )
)
def test_csv_is_what_the_csv_module_writes(table: list[tuple[str, str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["text", "y"], *table])
    found = rows(out.getvalue(), "a.csv", single())
    assert [(row.texts, row.label) for row in found.rows] == [((t,), y) for t, y in table]


@given(st.text(st.sampled_from('ab",;\r\n\t\0{}[]:\u2028"'), max_size=60), st.booleans())
def test_no_text_is_more_than_one_line_of_error(text: str, header: bool) -> None:
    choice = single(
        format="choice",
        labels=None,
        columns={"context": "a", "answer1": "b", "answer2": "a", "label": "b"},
    )
    specs = [single(columns={"text1": "a", "label": "b"}), choice]
    specs += [spec.model_copy(update={"parser": "jsonl"}) for spec in specs[1:]]
    for task in specs:
        with suppress(UserError), one_line():
            rows(("a,b\n" if header else "") + text, "x", task)


@contextmanager
def one_line() -> Iterator[None]:
    """A user's error is one line."""
    try:
        yield
    except UserError as error:
        if len(str(error).splitlines()) > 1:
            raise AssertionError(f"more than one line: {error}") from error
        raise


CHOICE: dict[str, Any] = {
    "format": "choice",
    "parser": "jsonl",
    "labels": None,
    "columns": {"context": "c", "answers": "a", "label": "y"},
}


def test_choice_of_json_lines() -> None:
    item = {"c": "Once.", "a": ["one", "two", "three"], "y": 2}
    found = rows(json.dumps(item) + "\r\n\n", "a.jsonl", single(**CHOICE)).rows
    assert found[0].texts == ("Once.", "", "one", "two", "three")
    assert found[0].label == "2"
    named = single(**CHOICE | {"labels": ["x", "y", "z"]})
    assert rows(json.dumps(item | {"y": "y"}), "a.jsonl", named).rows[0].label == "1"
    hidden = rows(json.dumps(item | {"y": None}), "a.jsonl", named)
    assert (hidden.found, hidden.unlabelled) == (1, 1)


@pytest.mark.parametrize(
    ("text", "task", "said"),
    [
        (
            "txt,y\na,no\n",
            single(),
            r"line 1: no column `text` \(columns.text1 of mine\); found txt",
        ),
        ("text;y\na;no\n", single(), "separated by semicolons: save it with commas"),
        ("text\ty\na\tno\n", single(), "separated by tabs: take the parser `tsv`"),
        ("text,y\na,b,no\n", single(), "line 2: 3 columns, 2 expected; a text with a comma"),
        (
            'text,y\n"a,no\n',
            single(),
            r"not csv \(unexpected end of data\); a quotation mark in",
        ),
        ("a,no\n", single(columns={"text1": 0, "label": 2}), "line 1: 2 columns, 3 expected"),
        ("[1]", single(**CHOICE), "line 1: expected a JSON object"),
        ("{", single(**CHOICE), "line 1: not JSON"),
        ('{"c": "", "as": [], "y": 0}', single(**CHOICE), "no key `a` .* did you mean `as`"),
        ('{"c": "", "a": "b", "y": 0}', single(**CHOICE), "`a` is no list of two answers"),
        ('{"c": "", "a": ["b", ""], "y": 0}', single(**CHOICE), "answer 2 is empty"),
        (
            '{"c": "", "a": ["b", "c"], "y": "D"}',
            single(**CHOICE | {"labels": list("ABCD")}),
            "answer `D`, one of A, B expected",
        ),
    ],
)
def test_a_bad_table_is_one_line(text: str, task: TaskSpec, said: str) -> None:
    with pytest.raises(UserError, match=said) as found:
        rows(text, "x", task)
    assert "\n" not in str(found.value)


def test_an_empty_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.csv").touch()
    with pytest.raises(UserError, match=r"^file x\.csv: the file is empty; rows are expected$"):
        load_split(single(files={"train": "x.csv"}), "train", tmp_path)


def test_columns_by_number_have_no_header() -> None:
    task = single(columns={"text1": 1, "label": 0})
    assert [row.texts[0] for row in rows("no,one\nyes,two\n", "x", task).rows] == ["one", "two"]


def test_choice_of_a_table_and_rows_without_labels(tmp_path: Path) -> None:
    task = single(
        format="choice",
        parser="tsv",
        labels=["A", "B"],
        columns={"context": "c", "answer2": "b", "answer1": "a", "label": "y"},
        files={"train": "x.tsv"},
        unlabelled={"test": "t.csv"},
    )
    (tmp_path / "x.tsv").write_text("y\tb\ta\tc\nB\ttwo\tone\tOnce.\n")
    assert load_examples(task, "train", tmp_path)[0] == Example(("Once.", "", "one", "two"), 1, 0)
    (tmp_path / "t.csv").write_text('id,c,a,b\n7,"Then, so",x,y\n')
    found = load_texts(task.model_copy(update={"parser": "csv"}), "test", tmp_path)
    assert found == [Unlabelled(("Then, so", "", "x", "y"), "7", 0)]


def test_own_files_are_read_packed_and_inside_archives(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write("text,y\none,no\n")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("set/b.csv", "text,y\ntwo,yes\n")
    task = single(files={"train": "a.csv", "dev": "set/b.csv"}, archives=["all.zip"])
    found = [load_examples(task, split, tmp_path)[0].texts for split in task.files]
    assert found == [("one",), ("two",)]


def test_check_finds_own_data_where_it_is(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"tasks_file": str(own), "scale": "mine"}))
    config = ["--config", str(PROJECT / "config" / "config.yaml"), str(path)]
    assert main(["data", "check", "moods", "quiz", "--data", str(tmp_path), *config]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {tuple(line.split()[:3]) for line in lines[1:5]}
    assert {("moods", "train", "140"), ("moods", "dev", "60")} < found
    assert lines[-1].startswith("2 data sets, 4 splits: 0 faults")


# Entries. ------------------------------------------------------------------------------------


def entry(**changes: Any) -> dict[str, Any]:
    base = {
        "format": "single",
        "parser": "csv",
        "files": {"train": "a.csv", "dev": "b.csv"},
        "columns": {"text1": "text", "label": "y"},
        "labels": ["no", "yes"],
    }
    return {key: value for key, value in (base | changes).items() if value is not None}


FIVE = {"labels": list("abcde")}
ANSWERS = {"context": "c", "answer1": "a", "answer2": "b", "label": "y"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fromat": "single"}, "unknown key `fromat`; did you mean `format`?"),
        ({"format": "singel"}, "key `format`: .*; did you mean `single`"),
        ({"parser": "cvs"}, "key `parser`: .*; did you mean `csv`"),
        ({"metrics": ["acuracy"]}, "key `metrics.0`: .*; did you mean `accuracy`"),
        (
            {"metrics": ["pearson"]},
            "key `metrics`: `pearson` does not fit .* accuracy, macro_f1, f1",
        ),
        ({"metrics": ["f1"], **FIVE}, "`f1` does not fit .* there is accuracy, macro_f1$"),
        ({"labels": [True, False]}, r"key `labels`: YAML reads yes, no, .* quote them"),
        ({"labels": ["a"]}, "key `labels`: two classes at least"),
        ({"labels": ["a", "a"]}, "key `labels`: `a` is there twice"),
        ({"labels": {"a": 0, "b": 2}}, "key `labels`: a map gives each name a number of its own"),
        ({"labels": None}, "key `labels`: give exactly one of `labels` .* and `range`"),
        ({"labels": None, "range": [0, 0.5]}, "key `range`: 0 to 0.5: two whole numbers"),
        (
            {"label_map": {"1": "yess"}},
            "key `label_map`: `1: yess`: no such class; did you mean `yes`",
        ),
        ({"columns": {"text": "t", "label": "y"}}, "key `columns.text`: unknown .* `text1`?"),
        ({"columns": {"text1": "t"}}, "key `columns.label`: is missing"),
        ({"columns": {"text1": 1, "label": -1}}, "key `columns.label`: -1: .* counted from 0"),
        (
            {"layouts": {"old": {"parser": "tsv", "files": {"train": "a"}, "columns": {"a": 0}}}},
            "key `layouts.old.columns.a`: unknown",
        ),
        ({"format": "choice", "columns": ANSWERS, "metrics": ["f1"]}, "`f1` does not fit"),
        (
            {"format": "choice", "columns": {"context": "c", "label": "y"}},
            "key `columns`: give `answers` .* or a column each",
        ),
        ({"scored": {"dev": ["devel"]}}, "key `scored.dev`: `devel` is no split .* `dev`?"),
        ({"files": {"train": "a.csv"}}, "key `scored`: nothing to score"),
        ({"train": "training"}, "key `train`: `training` is no split .* `train`?"),
        ({"split": {"train": 0.5, "dev": 0.5}}, "key `split`: shares are of one file"),
        ({"files": "a.csv", "split": {"train": 0.8, "dev": 0.3}}, "add up to 1.1, 1 at most"),
        ({"split": {"test": 0.2}}, "key `split.test`: no split of `files`"),
        (
            {"hub": {"repository": "a", "splits": {}, "columns": {}}},
            "key `hub.repository`: String should match pattern",
        ),
        (
            {"hub": {"repository": "a/b", "splits": {"train": "c/train"}, "columns": {}}},
            "key `hub.splits.dev`: is missing",
        ),
    ],
)
def test_a_wrong_entry_names_its_key(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = tmp_path / "tasks.yaml"
    path.write_text(yaml.safe_dump({"mine": entry(**changes)}))
    with pytest.raises(UserError, match=rf"tasks\.yaml: mine: .*{said}") as found:
        load_tasks(path)
    assert "\n" not in str(found.value)


def test_a_tasks_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "tasks.yaml"
    path.write_text("- mine\n")
    with pytest.raises(UserError, match="data sets by name expected"):
        load_tasks(path)
    config = tiny_config() | {"tasks_file": str(PROJECT / "config" / "tasks.yaml")}
    with pytest.raises(UserError, match=r"`mnli` is in tasks\.yaml already"):
        Plan.read(config, PROJECT / "config")


def test_numbers_are_names_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "tasks.yaml"
    path.write_text(yaml.safe_dump({"mine": entry(labels=[1, 2, 3])}))
    task = load_tasks(path)["mine"]
    assert task.labels == ["1", "2", "3"]
    assert (task.title, task.kind) == ("mine", "classification")
    assert task.scored == {"dev": ["dev"]}


def test_every_allowed_metric_is_computed() -> None:
    assert set(METRICS) == set(get_args(Metric))


# What the model sees. ------------------------------------------------------------------------


def shown(own: Path, tokenizer: Path, name: str, n_ctx: int, rows: int = 1) -> list[str]:
    task, bpe = load_tasks(own)[name], Tokenizer.load(tokenizer)
    lines = list(preview(task, "train", own.parent, bpe, n_ctx, rows))
    assert max(map(len, lines)) <= 80
    return lines


def test_preview_of_each_format(own: Path, tokenizer: Path) -> None:
    first = load_examples(load_tasks(own)["pairs"], "train", own.parent)[0]
    lines = shown(own, tokenizer, "pairs", 64)
    text = " ".join(" ".join(lines[3:]).split())
    assert f"<start> {first.texts[0]} <delim> {first.texts[1]} <extract>" in text
    assert f"label {['same', 'different'][int(first.label)]} ({first.label})" in lines[3]
    both = " ".join(shown(own, tokenizer, "grades", 64))
    assert both.count("<start>") == 2
    assert "<delim> an essay <extract>" in both
    assert "text 2, text 1" in both
    choice = shown(own, tokenizer, "quiz", 64)
    right = int(load_examples(load_tasks(own)["quiz"], "train", own.parent)[0].label)
    assert [line for line in choice if "the right one" in line] == [
        line for line in choice if line.startswith(f"  answer {right + 1}: ")
    ]
    assert " ".join(choice).count("which ? <delim>") == 5


def test_preview_marks_what_is_cut(own: Path, tokenizer: Path) -> None:
    task, bpe = load_tasks(own)["pairs"], Tokenizer.load(tokenizer)
    lost = [len(bpe.encode(text)) - 6 for text in load_examples(task, "train", own.parent)[0].texts]
    text = " ".join(shown(own, tokenizer, "pairs", 16)[5:])
    assert [f"[-{n}]" for n in lost if n > 0] == [w for w in text.split() if w.startswith("[-")]
    assert any(n > 0 for n in lost)
    quiz = load_examples(load_tasks(own)["quiz"], "train", own.parent)[0]
    context, question, answer = (len(bpe.encode(text)) for text in quiz.texts[:3])
    cut = context - (20 - 3 - question - answer)
    assert f"[-{cut}] which ? <delim>" in " ".join(shown(own, tokenizer, "quiz", 20)[4:8])


def test_preview_from_the_command_line(
    own: Path, tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tiny_config() | {"tasks_file": str(own)}))
    options = ["--config", str(path), "--tokenizer", str(tokenizer)]
    assert main(["data", "preview", "moods", "--rows", "2", "--split", "dev", *options]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("moods, split dev: 2 of 60 labelled rows, context 52, 0 truncated")
    assert shown.count("<extract>") == 2
    assert main(["data", "preview", "mods", *options]) == 2
    wrong = capsys.readouterr().err
    assert wrong.count("\n") == 1
    assert "no data set `mods`; did you mean `moods`?" in wrong
