"""`gptbench data check`: faults and warnings of small folders, and the real data's counts."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptbench import cli
from gptbench.data import check
from gptbench.data import tokenizer as bpe
from gptbench.data.inputs import fine_tuning_inputs
from gptbench.data.repeats import encoding_faults, normalised, repeats
from gptbench.data.tasks import Example, Parsed
from gptbench.data.tokenizer import Tokenizer
from gptbench.settings import TokenizerSettings, load_tasks
from tests.conftest import PROJECT

TASKS = load_tasks(PROJECT / "config" / "tasks.yaml")
MRPC = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
COLA = "gj04\t1\t\tFine.\ngj04\t0\t*\tFine not.\n"


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer without merges: a token a character."""
    path = tmp_path_factory.mktemp("tokenizer")
    bpe.train_on_counts(Counter({"abcdefgh": 1}), TokenizerSettings(merges=1)).save(path)
    return path


def put(root: Path, task: str, split: str, content: str | bytes) -> None:
    path = root / TASKS[task].files[split]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """MRPC with a bit of everything that is no fault, and CoLA as it should be."""
    train = [
        "1\t1\t2\tOne cat.\tTwo cats.",
        "1\t1\t2\tONE  cat.\tTwo cats.",
        "0\t1\t2\tA b.\t",
        "0\t1\t2\tItâ€™s.\tIs \ufffd it?",
        "-\t1\t2\tNo label.\tNone.",
    ]
    dev = ["1\t1\t2\tone cat.\ttwo cats.", f"0\t1\t2\tNew.\t{'x' * 20_001}"]
    put(tmp_path, "mrpc", "train", MRPC + "\n".join(train))
    put(tmp_path, "mrpc", "dev", MRPC + "\n".join(dev))
    put(tmp_path, "cola", "train", COLA)
    put(tmp_path, "cola", "dev", COLA)
    return tmp_path


class Ran:
    """One run of the command: its exit status and the lines that it printed."""

    def __init__(self, capture: pytest.CaptureFixture[str], *words: str | Path) -> None:
        try:
            self.status = cli.main(["data", "check", *map(str, words)])
        except SystemExit as ended:
            self.status = int(str(ended.code))
        out, self.err = capture.readouterr()
        self.lines = out.splitlines()

    def of(self, kind: str) -> list[str]:
        """The lines of a kind, such as `fault`."""
        return [line.removeprefix(f"{kind}: ") for line in self.lines if line.startswith(kind)]


def test_what_is_no_fault_is_counted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = Ran(capsys, "mrpc", "cola", "--data", data, "--out", tmp_path / "out.json")
    assert (ran.status, ran.of("fault")) == (0, [])
    splits = json.loads((tmp_path / "out.json").read_text())["mrpc"]["splits"]
    keys = "found labelled unlabelled skipped duplicates overlap empty replaced mojibake control"
    counts = {split: [found[key] for key in keys.split()] for split, found in splits.items()}
    assert counts["train"] == [5, 4, 1, 0, 1, 0, 1, 1, 1, 0]
    assert counts["dev"] == [2, 2, 0, 0, 0, 1, 0, 0, 0, 0]
    assert splits["train"]["labels"] == {"0": 2, "1": 2}
    header, train = ran.lines[0].split(), ran.lines[1].split()
    assert header[:4] == ["split", "found", "official", "unlabelled"]
    assert train[:5] == ["mrpc", "train", "5", "3,668", "1"]
    assert "tokens were not counted" in "\n".join(ran.lines)
    assert "mrpc train: 4 labelled rows, the published split has 3,668" in ran.of("warning")
    assert any("row 2 has a text of 20,001" in line for line in ran.of("warning"))
    assert "mrpc train: 50.0 % of the rows are `0`, 32.5 % in the published split" in ran.of(
        "warning"
    )
    assert max(map(len, ran.lines[: ran.lines.index("tokens were not counted: give --tokenizer"
               " DIR, a folder with a vocabulary")])) <= 120  # fmt: skip


@pytest.mark.parametrize(
    ("task", "split", "content", "said"),
    [
        ("mrpc", "train", MRPC + "2\t1\t2\ta\tb\n", "line 2: label `2`, one of 0, 1 expected"),
        ("mrpc", "dev", MRPC + "1\t1\ta\tb\n", "line 2: 4 columns, 5 expected"),
        ("mrpc", "dev", MRPC, "dev.tsv: the file is empty; get it again from https"),
        ("cola", "dev", b"a\t1\t\t\xe9\n", "line 1: not UTF-8"),
        ("stsb", "train", "sentence1\tsentence2\tscore\na\tb\t9\n", "score `9`, a number from 0"),
        ("race", "train", b"no archive", "not a whole tar archive"),
    ],
)
def test_a_fault_is_one_line_and_exit_status_1(
    data: Path,
    capsys: pytest.CaptureFixture[str],
    task: str,
    split: str,
    content: str | bytes,
    said: str,
) -> None:
    path = data / TASKS[task].files[split].partition(":")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    ran = Ran(capsys, task, "--data", data)
    assert ran.status == 1
    assert any(said in line for line in ran.of("fault"))
    assert not ran.err
    assert ran.lines[-1].startswith("1 data sets,")


def test_a_missing_set_is_a_fault_where_it_was_asked_for(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Ran(capsys, "mrpc", "rte", "--data", data)
    assert asked.status == 1
    where = "get RTE from https://gluebenchmark.com/tasks; files: glue/RTE/train.tsv"
    assert asked.of("fault") == [f"rte: missing; {where}, glue/RTE/dev.tsv"]
    whatever = Ran(capsys, "--data", data)
    assert (whatever.status, whatever.of("fault")) == (0, [])
    assert len(whatever.of("not there")) == len(TASKS) - 2
    (data / TASKS["mrpc"].files["dev"]).unlink()
    half = Ran(capsys, "--data", data)
    assert half.status == 1
    assert "glue/MRPC/dev.tsv is not there; looked in" in half.of("fault")[0]


def test_an_empty_folder_has_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "--data", tmp_path)
    assert ran.status == 1
    assert len(ran.of("fault")) == len(TASKS)


def test_mistakes_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases: list[tuple[list[str | Path], str]] = [
        (["mnl", "--data", data], "`mnl` is no data set; did you mean `mnli`?"),
        (["--data", data / "nowhere"], "nowhere: no such folder"),
        (["--data", data, "--tokenizer", data], "encoder.json: No such file"),
    ]
    for words, said in cases:
        ran = Ran(capsys, *words)
        assert ran.status == 2
        assert said in ran.err


def test_a_scale_says_which_sets_have_to_be_there(
    data: Path, vocabulary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scale = PROJECT / "config" / "local.yaml"
    ran = Ran(capsys, "--data", data, "--config", scale, "--tokenizer", vocabulary)
    assert ran.status == 1
    assert any(line.startswith("rte: missing") for line in ran.of("fault"))
    assert any("cut at 128" in line for line in ran.lines)


# Tokens. -------------------------------------------------------------------------------------

TEXT = st.text("ab ", max_size=40)
SHAPES = {"single": 1, "pair": 2, "similarity": 2, "choice": 4}


@settings(deadline=None)
@given(st.data())
def test_cut_shares_are_those_of_the_inputs(drawn: st.DataObject) -> None:
    tokenizer = Tokenizer(
        {name: i for i, name in enumerate(["<unk>", "\n</w>", "a", "a</w>", "b", "b</w>"])}, []
    )
    form = drawn.draw(st.sampled_from(sorted(SHAPES)))
    rows = drawn.draw(st.lists(st.tuples(*[TEXT] * SHAPES[form]), min_size=1, max_size=5))
    contexts = (16, 24, 32, 64)
    lengths = {text: len(tokenizer.encode(text)) for row in rows for text in row}
    examples = [Example(row, 0, i) for i, row in enumerate(rows)]
    shares = check.cut_shares(examples, form, lengths, contexts)
    for n_ctx in contexts:
        cut = sum(fine_tuning_inputs(row, form, tokenizer, n_ctx)[1] for row in rows)
        assert shares[n_ctx] == pytest.approx(cut / len(rows), abs=1e-6)


def test_the_longest_text_is_counted_in_tokens(data: Path, vocabulary: Path) -> None:
    (found,) = check.check([TASKS["cola"]], data, Tokenizer.load(vocabulary), (64,))
    assert found.splits["train"].longest == len("Finenot.")
    assert found.splits["train"].cut == {64: 0.0}


# Repeats and encoding. -----------------------------------------------------------------------


@settings(deadline=None)
@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once == normalised(f" \n{text}\t ")
    assert not re.search(r"\s\s|^\s|\s$", once)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "A ", "b", "c"])), st.lists(st.sampled_from(["a", "B", "d"])))
def test_repeats_against_plain_counting(train: list[str], dev: list[str]) -> None:
    def parsed(texts: list[str]) -> Parsed:
        return Parsed([Example((t,), 0, i) for i, t in enumerate(texts)], len(texts), 0, 0)

    found = repeats(TASKS["cola"], {"train": parsed(train), "dev": parsed(dev)})
    plain = [[text.strip().lower() for text in texts] for texts in (train, dev)]
    for split, texts in zip(("train", "dev"), plain, strict=True):
        again = sum(text in texts[:i] for i, text in enumerate(texts))
        assert found[split]["duplicates"] == again
    assert found["dev"]["overlap"] == sum(text in plain[0] for text in plain[1])
    assert found["train"]["overlap"] == 0


def test_an_unasked_question_is_no_empty_text() -> None:
    def empty(*rows: tuple[str, ...]) -> int:
        examples = [Example(row, 0, i) for i, row in enumerate(rows)]
        found = repeats(TASKS["race"], {"train": Parsed(examples, len(rows), 0, 0)})
        return found["train"]["empty"]

    assert empty(("a", "", "b", "c"), ("a", "", "b", " ")) == 1
    assert empty(("a", "q", "b", "c"), ("a", "", "b", "c")) == 1


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("plain", set()),
        ("Ünïcode “quoted” — fine…", set()),
        ("schÃ¶n", {"mojibake"}),
        ("lost \ufffd here", {"replaced"}),
        ("bell \x07", {"control"}),
        ("tab\t and line\r\n", set()),
    ],
)
def test_encoding_faults(text: str, kinds: set[str]) -> None:
    assert encoding_faults(text) == kinds


# The real data. ------------------------------------------------------------------------------

SOURCES = {
    "CoLA": "cola", "SST-2": "sst2", "MRPC": "mrpc", "STS-B": "stsb", "RTE": "rte",
    "MNLI": "mnli", "QNLI (v2)": "qnli", "QQP": "qqp", "SNLI": "snli", "SciTail": "scitail",
    "RACE": "race", "DPRD (zero-shot)": "dprd",
}  # fmt: skip


def test_the_real_datas_counts_are_those_of_its_list(real_data: Path) -> None:
    lines = (real_data / "SOURCES.md").read_text().splitlines()
    listed: dict[str, list[int]] = {}
    for cells in (line.strip("| ").split(" | ") for line in lines if line.startswith("|")):
        if cells[0] in SOURCES:
            listed[SOURCES[cells[0]]] = [int(n) for n in re.findall(r"\d+", cells[2])]
    checks = {each.name: each for each in check.check(list(TASKS.values()), real_data)}
    assert set(listed) == set(TASKS) - {"story_cloze"}
    for name, numbers in listed.items():
        counts: list[Any] = [split.found for split in checks[name].splits.values()]
        if name == "race":
            counts = [*counts[:2], counts[2] + counts[3]]
        assert counts == numbers, name
    stories = [split.found for split in checks["story_cloze"].splits.values()]
    assert (stories[0] + stories[1], stories[2]) == (1871, 1871)
    assert check.faults(list(checks.values()), asked=True) == []
