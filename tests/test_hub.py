"""The hub: every set fetched from a mirror written by the `datasets` library, read as files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from gptbench.artifacts import read_json
from gptbench.cli import main
from gptbench.data import hub
from gptbench.data.tasks import Example, load_examples, load_split, plain, settle
from gptbench.data.tokenizer import train_on_counts
from gptbench.data.world.write import write_world
from gptbench.errors import UserError
from gptbench.plan import Plan
from gptbench.settings import FetchJob, TaskSpec, TokenizerSettings, load_tasks
from tests.conftest import PROJECT, Project, tiny_config

TASKS = load_tasks(PROJECT / "config" / "tasks.yaml")
SERVED = [name for name, task in TASKS.items() if task.hub]


def text(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, datasets.Value("string"))


def classes(*names: str) -> Any:
    return datasets.ClassLabel(names=list(names))


NLI = ("entailment", "neutral", "contradiction")
TWO_WAY = ("entailment", "not_entailment")
PAIR = text("sentence1", "sentence2")
RACE = text("example_id", "article", "answer", "question") | {
    "options": datasets.List(datasets.Value("string"))
}
IDX = {"idx": datasets.Value("int32")}
# The columns and classes of the cards (docs/data.md), written down here a second time.
GLUE: dict[str, dict[str, Any]] = {
    "cola": text("sentence") | {"label": classes("unacceptable", "acceptable")} | IDX,
    "sst2": text("sentence") | {"label": classes("negative", "positive")} | IDX,
    "mrpc": PAIR | {"label": classes("not_equivalent", "equivalent")} | IDX,
    "qqp": text("question1", "question2") | {"label": classes("not_duplicate", "duplicate")} | IDX,
    "stsb": PAIR | {"label": datasets.Value("float32")} | IDX,
    "mnli": text("premise", "hypothesis") | {"label": classes(*NLI)} | IDX,
    "qnli": text("question", "sentence") | {"label": classes(*TWO_WAY)} | IDX,
    "rte": PAIR | {"label": classes(*TWO_WAY)} | IDX,
}
CARDS: dict[str, dict[str, Any]] = {
    **{f"nyu-mll/glue/{name}": features for name, features in GLUE.items()},
    "stanfordnlp/snli/plain_text": text("premise", "hypothesis") | {"label": classes(*NLI)},
    "allenai/scitail/snli_format": text(
        "sentence1_binary_parse", "sentence1_parse", "sentence1", "sentence2_parse", "sentence2"
    )
    | {"annotator_labels": datasets.List(datasets.Value("string"))}
    | text("gold_label"),
    "ehovy/race/all": RACE,
    "ehovy/race/middle": RACE,
    "ehovy/race/high": RACE,
    "community-datasets/definite_pronoun_resolution/plain_text": text("sentence", "pronoun")
    | {"candidates": datasets.List(datasets.Value("string"), length=2), "label": classes("0", "1")},
}
HUB_SPLITS = {
    "dev": "validation",
    "dev_matched": "validation_matched",
    "dev_mismatched": "validation_mismatched",
    "test_middle": "test",
    "test_high": "test",
}


def on_hub(task: str, split: str) -> tuple[str, str, str]:
    """Repository, configuration and split of a set on the hub, as its card says."""
    if task in GLUE:
        return "nyu-mll/glue", task, HUB_SPLITS.get(split, split)
    repository, configuration = {
        "snli": ("stanfordnlp/snli", "plain_text"),
        "scitail": ("allenai/scitail", "snli_format"),
        "dprd": ("community-datasets/definite_pronoun_resolution", "plain_text"),
        "race": ("ehovy/race", split.removeprefix("test_") if "test" in split else "all"),
    }[task]
    return repository, configuration, HUB_SPLITS.get(split, split)


def hub_row(task: str, example: Example, features: dict[str, Any]) -> dict[str, Any]:
    """An example in the hub's columns."""
    number = int(example.label)
    row: dict[str, Any] = {
        name: [] if isinstance(feature, datasets.List) else "" for name, feature in features.items()
    }
    if task == "race":
        article, question, *options = example.texts
        return row | {
            "article": article,
            "question": question,
            "options": options,
            "answer": "ABCD"[number],
        }
    if task == "dprd":
        sentence, pronoun, *candidates = example.texts
        return {"sentence": sentence, "pronoun": pronoun, "candidates": candidates, "label": number}
    if task == "scitail":
        one, two = example.texts
        gold = ("entailment", "neutral")[number]
        return row | {"sentence1": one, "sentence2": two, "gold_label": gold}
    row |= dict(zip(features, example.texts, strict=False)) | {"label": example.label}
    return row | ({"idx": example.index} if "idx" in features else {})


def put(mirror: Path, place: tuple[str, str, str], rows: list[dict[str, Any]], parts: int) -> None:
    """Write a split as the hub has it, in `parts` files."""
    repository, configuration, split = place
    features = datasets.Features(CARDS[f"{repository}/{configuration}"])
    data = datasets.Dataset.from_list(rows, features=features)
    folder = mirror / repository / configuration
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(parts):
        shard = data.shard(parts, i, contiguous=True)
        shard.to_parquet(folder / f"{split}-{i:05d}-of-{parts:05d}.parquet")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original files of every set, from the embedded world."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, 5, 2, 1, 300, 20, 12)
    return folder


@pytest.fixture(scope="module")
def mirror(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows as the hub has them."""
    folder = tmp_path_factory.mktemp("mirror")
    datasets.disable_progress_bars()
    for name in SERVED:
        for split in TASKS[name].files:
            place = on_hub(name, split)
            features = CARDS["/".join(place[:2])]
            examples = load_examples(TASKS[name], split, world)
            put(folder, place, [hub_row(name, e, features) for e in examples], 1 + len(name) % 2)
    return folder


def job(task: TaskSpec, mirror: Path | None) -> FetchJob:
    return FetchJob(task=task, mirror=str(mirror) if mirror else None)


@pytest.mark.parametrize("name", SERVED)
def test_what_is_fetched_reads_as_the_original_files(
    name: str, world: Path, mirror: Path, tmp_path: Path
) -> None:
    task = TASKS[name]
    hub.fetch(job(task, mirror), tmp_path)
    here = hub.as_found(task, tmp_path)
    assert here.files != task.files
    for split in task.files:
        expected = [(e.texts, e.label) for e in load_examples(task, split, world)]
        assert [(e.texts, e.label) for e in load_examples(here, split, tmp_path)] == expected
        assert len(expected) >= 6
    facts = hub.manifest(tmp_path, name)
    assert facts["rows"] == {s: len(load_examples(task, s, world)) for s in task.files}
    assert facts["repository"] == on_hub(name, "train")[0]
    assert facts["configurations"]["train"] == "/".join(on_hub(name, "train")[1:])
    assert set(facts["files"]) == {f"{split}.jsonl" for split in task.files}


def test_fetch_and_preview_from_the_command_line(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = Counter({"who": 9, "the": 9, "was": 9})
    train_on_counts(words, TokenizerSettings(merges=5)).save(tmp_path / "bpe")
    fetch = ["data", "fetch", "race", "cola", "--out", str(tmp_path), "--mirror", str(mirror)]
    assert main(fetch) == 0
    assert re.match(
        r"fetch: race from ehovy/race: train \d+, dev \d+.*\nfetch: cola from nyu-mll/glue: train",
        capsys.readouterr().out,
    )
    options = ["--data", str(tmp_path), "--tokenizer", str(tmp_path / "bpe"), "--rows", "1"]
    assert main(["data", "preview", "race", *options]) == 0
    assert capsys.readouterr().out.count("<delim>") == 4
    assert main(["data", "preview", "rte", *options]) == 2
    assert "RTE: none of its files is in" in capsys.readouterr().err


def test_fetched_files_have_one_plain_layout(mirror: Path, tmp_path: Path) -> None:
    for name in ("qqp", "cola", "scitail"):
        task = TASKS[name].model_copy(update={"layout": next(iter(TASKS[name].layouts))})
        hub.fetch(job(task, mirror), tmp_path)
        here = hub.as_found(task, tmp_path)
        assert here == plain(here)
        assert settle(here, tmp_path).files == here.files
        assert (here.scored, here.ragged, here.split) == (TASKS[name].scored, False, {})


def test_every_set_but_story_cloze_is_served() -> None:
    assert set(TASKS) - set(SERVED) == {"story_cloze"}
    with pytest.raises(UserError, match=r"story_cloze: the hub does not serve .*rocstories/cloze"):
        hub.fetch(job(TASKS["story_cloze"], None), Path("nowhere"))


def snli_row(**changed: Any) -> dict[str, Any]:
    return {"premise": "A", "hypothesis": "B", "label": 2} | changed


def snli(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    for split in ("train", "dev", "test"):
        put(tmp_path / "m", on_hub("snli", split), rows, 1)
    return tmp_path / "m"


def test_odd_texts_and_hidden_labels(tmp_path: Path) -> None:
    odd = 'A\ttab, "quotes",\nlines \u2028 and \u00e9'
    rows = [snli_row(premise=odd), snli_row(label=-1), snli_row(hypothesis=odd, label=0)]
    hub.fetch(job(TASKS["snli"], snli(tmp_path, rows)), tmp_path)
    parsed = load_split(hub.as_found(TASKS["snli"], tmp_path), "dev", tmp_path)
    assert [(e.texts, e.label, e.index) for e in parsed.examples] == [
        ((odd, "B"), 2, 0),
        (("A", odd), 0, 2),
    ]
    assert (parsed.found, parsed.unlabelled) == (3, 1)


def test_classes_are_read_by_name_whatever_their_number(tmp_path: Path) -> None:
    features = datasets.Features(
        text("premise", "hypothesis") | {"label": classes("contradiction", "entailment", "neutral")}
    )
    folder = tmp_path / "m" / "stanfordnlp" / "snli" / "plain_text"
    folder.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        data = datasets.Dataset.from_list([snli_row(label=i) for i in range(3)], features=features)
        data.to_parquet(folder / f"{split}.parquet")
    hub.fetch(job(TASKS["snli"], tmp_path / "m"), tmp_path)
    examples = load_examples(hub.as_found(TASKS["snli"], tmp_path), "test", tmp_path)
    assert [e.label for e in examples] == [2, 0, 1]


def no_column(task: TaskSpec) -> TaskSpec:
    assert task.hub
    columns = task.hub.columns | {"text1": "premises"}
    return task.model_copy(update={"hub": task.hub.model_copy(update={"columns": columns})})


def no_class(task: TaskSpec) -> TaskSpec:
    assert task.hub
    labels = ["entails", "neutral", "contradiction"]
    return task.model_copy(update={"hub": task.hub.model_copy(update={"labels": labels})})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_column, "no column `premises` .*found premise, hypothesis, label; did you mean `prem"),
        (no_class, "the class `entails` .* is none of entailment, neutral, contradiction"),
    ],
)
def test_an_entry_that_is_not_as_the_hub(tmp_path: Path, change: Any, said: str) -> None:
    mirror = snli(tmp_path, [snli_row()])
    with pytest.raises(UserError, match=said):
        hub.fetch(job(change(TASKS["snli"]), mirror), tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_failed_fetch_leaves_the_last_one(tmp_path: Path) -> None:
    mirror = snli(tmp_path, [snli_row()])
    folder = hub.fetch(job(TASKS["snli"], mirror), tmp_path)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    (mirror / "stanfordnlp/snli/plain_text/test-00000-of-00001.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(UserError, match=r"stanfordnlp/snli \(plain_text, test\): ") as error:
        hub.fetch(job(TASKS["snli"], mirror), tmp_path)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (mirror / "stanfordnlp/snli/plain_text/train-00000-of-00001.parquet").unlink()
    with pytest.raises(UserError, match=r"no train-\*\.parquet; a mirror is .* hf download"):
        hub.fetch(job(TASKS["snli"], mirror), tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the library is asked for; it answers with one row of SNLI."""
    calls: list[tuple[Any, ...]] = []

    def load_dataset(*words: str, **options: Any) -> Any:
        calls.append((*words, options))
        features = datasets.Features(CARDS["stanfordnlp/snli/plain_text"])
        data = datasets.Dataset.from_list([snli_row()], features=features)
        name = f"hf://datasets/stanfordnlp/snli@{'ab' * 20}/plain_text/x.parquet"
        data.info.download_checksums = {name: {}}
        return data

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


def test_the_library_is_asked_for_the_pinned_commit_and_never_for_code(
    asked: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    task = TASKS["snli"]
    assert task.hub
    hub.fetch(job(task, None), tmp_path)
    assert asked == [
        ("stanfordnlp/snli", "plain_text", {"split": split, "revision": task.hub.revision})
        for split in ("train", "validation", "test")
    ]
    assert hub.manifest(tmp_path, "snli")["revision"] == "ab" * 20, "the commit that was resolved"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionError("Couldn't reach 'stanfordnlp/snli' on the Hub"), "check the network"),
        (
            RuntimeError("Dataset scripts are no longer supported, but found snli.py"),
            "as code only, which is never run: use the original files",
        ),
        (ValueError("BuilderConfig 'x' not found.\nAvailable: ['y']"), "found. Available: ['y']"),
    ],
)
def test_what_the_library_raises_is_one_line(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(*words: str, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError, match=re.escape(said)) as found:
        hub.fetch(job(TASKS["snli"], None), tmp_path)
    assert "\n" not in str(found.value)


def test_offline_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gptbench", "data", "fetch", "cola", "--out", str(tmp_path / "o")],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "nyu-mll/glue (cola, train)" in done.stderr
    assert "HF_HUB_OFFLINE is set" in done.stderr
    assert not (tmp_path / "o").exists()


# A scale that fetches. -----------------------------------------------------------------------


def hub_config(world: Path, mirror: Path) -> dict[str, Any]:
    settings = {"source": "hub", "data_root": str(world), "mirror": str(mirror), "world": None}
    return tiny_config() | settings


def hub_books(world: Path, mirror: Path) -> Plan:
    """A scale that has its books from the hub too, and a folder with no books at all."""
    source = {"repository": "someone/books", "mirror": str(mirror)}
    config = hub_config(world, mirror) | {"data_root": None, "studies": ["mine"]}
    config["corpus"] |= {"source": source, "validation_share": 0.1}
    study = {"title": "Mine", "variants": ["full"], "tasks": ["cola", "rte"]}
    config["experiments"] = {"studies": {"mine": study}}
    plan = Plan.read(config, PROJECT / "config")
    plan.check_data()
    return plan


def test_a_hub_scale_reads_what_it_fetches_and_the_rest_from_the_folder(
    world: Path, mirror: Path
) -> None:
    plan = Plan.read(hub_config(world, mirror), PROJECT / "config")
    plan.check_data()
    assert plan.task_files("rte") == [
        Path(f"results/tiny/data/hub/rte/{split}.jsonl") for split in ("train", "dev")
    ]
    assert plan.task_root("story_cloze") == world
    assert plan.encode_job("cola").task.parser == "jsonl"
    folder = Plan.read(hub_config(world, mirror) | {"source": "folder"}, PROJECT / "config")
    assert folder.encode_job("cola").task.parser == "tsv"
    assert hub_books(world, mirror).corpus_job().corpus.source is not None
    assert '"hub"' not in folder.encode_job("cola").to_json()
    with pytest.raises(UserError, match=r"the books are not; give\s+DATA=folder with books/train"):
        Plan.read(hub_config(world, mirror) | {"data_root": None}, PROJECT / "config").check_data()


def test_story_cloze_is_said_to_need_its_files(world: Path, mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "books").symlink_to(world / "books")
    plan = Plan.read(hub_config(tmp_path, mirror), PROJECT / "config")
    with pytest.raises(UserError, match=r"story_cloze: the hub does not serve .* form is needed"):
        plan.check_data()


@pytest.mark.parametrize("scale", ["paper", "local", "one-gpu"])
def test_a_folder_scale_takes_the_hub_on_the_command_line(scale: str, world: Path) -> None:
    data = yaml.safe_load((PROJECT / "config" / f"{scale}.yaml").read_text())
    plan = Plan.read(data | {"source": "hub", "data_root": str(world)}, PROJECT / "config")
    plan.check_data()
    assert [name for name in plan.task_names() if plan.fetches(name)] == SERVED


@pytest.mark.workflow
def test_the_workflow_fetches(world: Path, mirror: Path, tmp_path: Path) -> None:
    project = Project(tmp_path / "hub", hub_config(world, mirror))
    planned = project.planned()
    assert {name for name in planned if name.startswith("fetch_")} == {
        f"fetch_{name}" for name in SERVED
    }
    assert planned["encode"] == len(TASKS)
    assert "world" not in planned
    target = "results/tiny/data/hub/race/manifest.json"
    project.run(target)
    facts = read_json(project.folder / target)
    assert facts["rows"]["train"] == len(load_examples(TASKS["race"], "train", world))
    rows = (project.folder / target).with_name("train.jsonl").read_text().splitlines()
    assert set(json.loads(rows[0])) == {"context", "question", "answers", "label"}
