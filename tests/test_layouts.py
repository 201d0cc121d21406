"""Every layout that the data sets are given out in, by small files in exactly that format.

A writer's docstring says where the format is taken from. Loading code was read, never copied.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest
import yaml

from gptbench.data import archives
from gptbench.data.tasks import (
    Example,
    Unlabelled,
    files_of,
    load_examples,
    load_split,
    load_texts,
    plain,
    settle,
    settled_or_first,
)
from gptbench.errors import UserError
from gptbench.plan import Plan
from gptbench.settings import TaskSpec, load_tasks, parse

CONFIG = Path(__file__).parent.parent / "config"
TASKS = load_tasks(CONFIG / "tasks.yaml")
Files = dict[str, bytes]


def lines(rows: Iterable[str], end: str = "\n") -> bytes:
    return "".join(row + end for row in rows).encode()


def tabs(*cells: object) -> str:
    return "\t".join(map(str, cells))


# The distributions, a few rows each. ---------------------------------------------------------


def glue() -> Files:
    """GLUE's tsv files.

    Columns and quoting as huggingface/datasets reads them (datasets/glue/glue.py: csv.QUOTE_NONE,
    no header in CoLA's train and dev files alone, no label column in the test files), the header
    lines as in the distributed files.
    """
    files = {}
    for split in ("train", "dev"):
        files[f"CoLA/{split}.tsv"] = lines(
            [tabs("gj04", 1, "", 'He said "go.'), tabs("gj04", 0, "*", "Him go said.")]
        )
        files[f"SST-2/{split}.tsv"] = lines([tabs("sentence", "label"), tabs('a " joy ', 1)])
        files[f"QNLI/{split}.tsv"] = lines(
            [
                tabs("index", "question", "sentence", "label"),
                tabs(0, 'Who "is?', "He.", "entailment"),
            ]
        )
        files[f"RTE/{split}.tsv"] = lines(
            [
                tabs("index", "sentence1", "sentence2", "label"),
                tabs(0, "A.", 'B".', "not_entailment"),
            ]
        )
        files[f"QQP/{split}.tsv"] = lines(
            [
                tabs("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
                tabs(133273, 213221, 213222, '"Why?', "Why", 1),
            ]
        )
        files[f"MRPC/{split}.tsv"] = lines(
            [
                tabs("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
                tabs(1, 702876, 702977, 'A "b', "C"),
            ]
        )
        source = "index genre filename year old_index source1 source2 sentence1 sentence2".split()
        row = [0, "main-captions", "MSRvid", "2012test", "0001", "none", "none", "A", 'B"']
        files[f"STS-B/{split}.tsv"] = lines([tabs(*source, "score"), tabs(*row, "5.000")])
        files["STS-B/test.tsv"] = lines([tabs(*source), tabs(*row)])
    head = [
        *"index promptID pairID genre sentence1_binary_parse sentence2_binary_parse".split(),
        *"sentence1_parse sentence2_parse sentence1 sentence2".split(),
    ]
    row = [0, 63735, "63735n", "slate", "( a )", "( b )", "(ROOT a)", "(ROOT b)", "A", 'B "c']
    files["MNLI/train.tsv"] = lines(
        [tabs(*head, "label1", "gold_label"), tabs(*row, "neutral", "neutral")]
    )
    marks = [f"label{i}" for i in range(1, 6)]
    for name in ("matched", "mismatched"):
        files[f"MNLI/dev_{name}.tsv"] = lines(
            [
                tabs(*head, *marks, "gold_label"),
                tabs(*row, *["contradiction"] * 5, "contradiction"),
            ]
        )
        files[f"MNLI/test_{name}.tsv"] = lines([tabs(*head), tabs(*row)])
    files["CoLA/test.tsv"] = lines([tabs("index", "sentence"), tabs(0, "Bill"), tabs(1, 'A "')])
    files["SST-2/test.tsv"] = lines([tabs("index", "sentence"), tabs(0, "uneasy .")])
    files["QNLI/test.tsv"] = lines([tabs("index", "question", "sentence"), tabs(0, "Q?", "S.")])
    files["RTE/test.tsv"] = lines([tabs("index", "sentence1", "sentence2"), tabs(0, "A", "B")])
    files["QQP/test.tsv"] = lines([tabs("id", "question1", "question2"), tabs(0, "Q?", "R?")])
    files["MRPC/test.tsv"] = lines(
        [tabs("index", "#1 ID", "#2 ID", "#1 String", "#2 String"), tabs(0, 10, 11, "A", 'B "')]
    )
    files["diagnostic/diagnostic.tsv"] = lines(
        [tabs("index", "sentence1", "sentence2"), tabs(0, "The cat sat.", "It did not.")]
    )
    return files


def msr() -> Files:
    """Microsoft Research's release: a byte order mark (glue.py skips its three bytes), CRLF."""
    head = tabs("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
    return {
        f"MRPC/msr_paraphrase_{split}.txt": b"\xef\xbb\xbf"
        + lines(
            [head, tabs(1, 702876, 702977, 'called "the', "B"), tabs(0, 1, 2, "C", "D")], "\r\n"
        )
        for split in ("train", "test")
    }


def quora() -> Files:
    """Quora's own file.

    The header and first rows as sentence-transformers' documentation prints them. Tabs with csv
    quoting: huggingface/datasets (datasets/quora/quora.py) and most published code read it with
    the csv dialect's default quotes; the raw file itself was not seen.
    """
    head = tabs("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
    rows = [tabs(i, 2 * i, 2 * i + 1, f"What is {i}?", f"Is it {i}?", i % 2) for i in range(19)]
    quoted = tabs(19, 38, 39, '"What does ""yes\tno"" mean?"', '"A\nb?"', 1)
    return {"quora_duplicate_questions.tsv": lines([head, *rows, quoted])}


def cola_raw() -> Files:
    """CoLA's public release, its raw folder.

    File names as in cola_public_1.1.zip (nyu-mll.github.io/CoLA), columns as its readers name
    them: source, label, the author's mark, sentence; no header.
    """
    return {
        f"cola_public/raw/{name}.tsv": lines([tabs(source, 1, "", f'In "{name}.')])
        for name, source in (
            ("in_domain_train", "gj04"),
            ("in_domain_dev", "gj04"),
            ("out_of_domain_dev", "clc95"),
        )
    } | {"cola_public/README": b"CoLA"}


SNLI_HEAD = [
    *"gold_label sentence1_binary_parse sentence2_binary_parse sentence1_parse".split(),
    *"sentence2_parse sentence1 sentence2".split(),
]
MARKS = [f"label{i}" for i in range(1, 6)]


def nli_txt(stem: str, splits: Iterable[str], ids: Iterable[str]) -> Files:
    """SNLI's and MultiNLI's txt.

    Header lines as the public readers of both print them (SNLI has captionID and pairID, MultiNLI
    promptID, pairID and genre); no quoting. Rows with one annotator are written both with the
    empty cells of the others and without.
    """
    row = ["( a )", "( b )", "(ROOT a)", "(ROOT b)", 'A "church', "B."]
    extra = [f"{name}0" for name in ids]
    rows = [
        tabs("neutral", *row, *extra, "neutral", "", "", "", ""),
        tabs("entailment", *row, *extra, "entailment"),
        tabs("-", *row, *extra, *["neutral", "entailment"] * 2, "contradiction"),
    ]
    head = tabs(*SNLI_HEAD, *ids, *MARKS)
    return {f"{stem}/{stem}_{split}.txt": lines([head, *rows]) for split in splits}


def nli_jsonl(stem: str, splits: Iterable[str]) -> Files:
    """SNLI's and MultiNLI's jsonl: a row as printed in documentation of both."""
    item = {
        "annotator_labels": ["neutral", "entailment"],
        "genre": "oup",
        "gold_label": "neutral",
        "pairID": "82890e",
        "promptID": "82890",
        "sentence1": " From Home Work",
        "sentence1_binary_parse": "( From )",
        "sentence1_parse": "(ROOT)",
        "sentence2": "Modern “work”.",
        "sentence2_binary_parse": "( b )",
        "sentence2_parse": "(ROOT)",
    }
    rows = [item, item | {"gold_label": "-", "pairID": "1"}, item | {"pairID": "2"}]
    return {f"{stem}/{stem}_{split}.jsonl": lines(map(json.dumps, rows)) for split in splits}


MULTINLI = ("train", "dev_matched", "dev_mismatched")


def scitail(folder: str) -> Files:
    """SciTail V1.1's four formats.

    Its README and predictor_format/README (copies on GitHub) give columns and keys, and
    huggingface/datasets (datasets/scitail/scitail.py) file names and that no file has a header.
    `snli_format` says `entailment` for what the others call `entails`.
    """
    pairs = [("A " + split, 'B "', split) for split in ("train", "dev", "test")]
    files = {}
    for one, two, split in pairs:
        if folder == "tsv_format":
            name = f"scitail_1.0_{split}.tsv"
            rows = [tabs(one, two, "entails"), tabs("C", "D", "neutral")]
        elif folder == "dgem_format":
            name = f"scitail_1.0_structure_{split}.tsv"
            graph = "both<>have<>a way$$$Single<>have<>this"
            rows = [tabs(one, two, "entails", graph), tabs("C", "D", "neutral", graph)]
        elif folder == "snli_format":
            name = f"scitail_1.0_{split}.txt"
            item = {"annotator_labels": ["entailment"], "gold_label": "entailment"}
            item |= {"sentence1": one, "sentence2": two}
            other = {"gold_label": "neutral", "sentence1": "C", "sentence2": "D"}
            rows = [json.dumps(item), json.dumps(other)]
        else:
            name = f"scitail_1.0_structure_{split}.jsonl"
            item = {"question": "Q?", "gold_label": "entails", "sentence1": one, "answer": "X"}
            item |= {"sentence2": two, "sentence2_structure": "a<>b<>c"}
            other = {"gold_label": "neutral", "sentence1": "C", "sentence2": "D"}
            rows = [json.dumps(item), json.dumps(other)]
        files[f"SciTailV1.1/{folder}/{name}"] = lines(rows)
    return files


def passage(n: int, key: str) -> dict[str, object]:
    return {
        "answers": ["C"] * n,
        "options": [["a", "b", "c", "d"]] * n,
        "questions": [f"{key} {i}?" for i in range(n)],
        "article": f"Passage {key}.",
        "id": f"{key}.txt",
    }


RACE_PARTS = [
    f"{split}/{level}" for split in ("train", "dev", "test") for level in ("middle", "high")
]


def race_folder() -> Files:
    """RACE as its archive unpacks (Lai et al. 2017): RACE/split/level/N.txt, a JSON object each."""
    return {
        f"RACE/{part}/{number}.txt": json.dumps(passage(2, f"{part} {number}")).encode()
        for part in RACE_PARTS
        for number in (2, 10, 9)
    }


def race_jsonl(by_question: bool) -> Files:
    """RACE as JSON lines: the archive's objects, or the hub's columns (its card's example)."""
    files = {}
    for part in RACE_PARTS:
        rows: list[dict[str, object]] = [passage(2, f"{part} {number}") for number in (2, 9, 10)]
        if by_question:
            rows = [
                {
                    "example_id": f"{part}.txt",
                    "article": f"Passage {part} {number}.",
                    "answer": "C",
                    "question": f"{part} {number} {i}?",
                    "options": ["a", "b", "c", "d"],
                }
                for number in (2, 9, 10)
                for i in (0, 1)
            ]
        files[f"RACE/{part}.jsonl"] = lines(map(json.dumps, rows))
    return files


STORY_HEAD = (
    "InputStoryid,InputSentence1,InputSentence2,InputSentence3,InputSentence4,"
    "RandomFifthSentenceQuiz1,RandomFifthSentenceQuiz2"
)


def stories(n: int, answers: bool = True) -> bytes:
    rows = (
        f'id-{i},One {i}.,"Two, ""too"".",Three.,Four.,"End a, b.",End b.'
        + (f",{i % 2 + 1}" if answers else "")
        for i in range(n)
    )
    return lines([STORY_HEAD + (",AnswerRightEnding" if answers else ""), *rows])


def stories_2016() -> Files:
    """Story Cloze, spring 2016: the real files' names and header."""
    return {
        "rocstories/cloze_test_val__spring2016 - cloze_test_ALL_val.csv": stories(10),
        "rocstories/cloze_test_test__spring2016 - cloze_test_ALL_test.csv": stories(4),
    }


def stories_2018() -> Files:
    """Story Cloze, winter 2018.

    File names as in huggingface/datasets (datasets/story_cloze/story_cloze.py) and, of the test
    set, in several public evaluation scripts; its columns without AnswerRightEnding.
    """
    return {
        "rocstories/cloze_test_val__winter2018-cloze_test_ALL_val - 1 - 1.csv": stories(10),
        "rocstories/cloze_test_test__winter2018-cloze_test_ALL_test - 1.csv": stories(3, False),
    }


def sts() -> Files:
    """STS-B's own release: tabs, no header, no quoting, sometimes two more cells at the end.

    The order of columns (genre, file, year, id, score, sentences) as public readers have it; the
    further cells are what they skip (pytorch/text reads 5 and 6, others set error_bad_lines).
    """
    rows = [
        tabs("main-captions", "MSRvid", "2012test", "0001", "5.000", 'A "plane', "B."),
        tabs("main-forums", "x", "2015", "0002", "0.6", "C", "D", "http://a.org", "CC BY-SA"),
    ]
    return {f"stsbenchmark/sts-{split}.csv": lines(rows) for split in ("train", "dev", "test")}


def dprd() -> Files:
    """DPRD's blocks, as the real files have them."""
    block = ["The bee stung the man because it was mad.", "it", "The bee,the man", "the bee", ""]
    return {f"dprd/{split}.c.txt": lines(block) for split in ("train", "test")}


def in_glue(files: Files) -> Files:
    return {f"glue/{name}": data for name, data in files.items()}


LAYOUTS: dict[str, tuple[str, str, Callable[[], Files], list[str]]] = {
    # id: task, layout, files, archives that they come in
    **{
        f"{task}-glue": (task, "default", lambda: in_glue(glue()), [name])
        for task, name in {
            "cola": "CoLA.zip",
            "sst2": "SST-2.zip",
            "qnli": "QNLIv2.zip",
            "rte": "RTE.zip",
            "qqp": "QQP-clean.zip",
            "mrpc": "MRPC.zip",
            "stsb": "STS-B.zip",
            "mnli": "MNLI.zip",
        }.items()
    },
    "mrpc-msr": ("mrpc", "msr", msr, ["MSRParaphraseCorpus.zip"]),
    "qqp-quora": ("qqp", "quora", quora, []),
    "cola-raw": ("cola", "raw", cola_raw, ["cola_public_1.1.zip"]),
    "snli-jsonl": (
        "snli",
        "default",
        lambda: nli_jsonl("snli_1.0", ("train", "dev", "test")),
        ["snli_1.0.zip"],
    ),
    "snli-txt": (
        "snli",
        "txt",
        lambda: nli_txt("snli_1.0", ("train", "dev", "test"), ("captionID", "pairID")),
        ["snli_1.0.zip"],
    ),
    "mnli-jsonl": (
        "mnli",
        "jsonl",
        lambda: nli_jsonl("multinli_1.0", MULTINLI),
        ["multinli_1.0.zip"],
    ),
    "mnli-txt": (
        "mnli",
        "txt",
        lambda: nli_txt("multinli_1.0", MULTINLI, ("promptID", "pairID", "genre")),
        ["multinli_1.0.zip"],
    ),
    **{
        f"scitail-{name}": ("scitail", name, partial(scitail, name), ["SciTailV1.1.zip"])
        for name in ("tsv_format", "snli_format", "dgem_format", "predictor_format")
    },
    "race-folder": ("race", "folder", race_folder, []),
    "race-jsonl": ("race", "jsonl", lambda: race_jsonl(False), []),
    "race-questions": ("race", "jsonl", lambda: race_jsonl(True), []),
    "story-2016": ("story_cloze", "default", stories_2016, []),
    "story-2018": ("story_cloze", "winter2018", stories_2018, []),
    "stsb-original": ("stsb", "original", sts, ["Stsbenchmark.tar.gz"]),
    "dprd": ("dprd", "default", dprd, []),
}


# Ways to lay them down. ----------------------------------------------------------------------


def put(root: Path, files: Files) -> None:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def put_gz(root: Path, files: Files) -> None:
    put(root, {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in files.items()})


def pack(path: Path, files: Files) -> None:
    """Write a zip or a tar.gz, with the folder entries that the real ones have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in files:
                archive.writestr(f"__MACOSX/{Path(name).parent}/._{Path(name).name}", b"\0mac")
            for name, data in files.items():
                archive.writestr(name, data)
        return
    with tarfile.open(path, "w:gz") as tar:
        folder = tarfile.TarInfo("stsbenchmark")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def everything(task: TaskSpec, root: Path) -> dict[str, list[Example]]:
    return {split: load_examples(task, split, root) for split in settle(task, root).files}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str, tmp_path: Path) -> None:
    """Each layout is found, read, and read the same as .gz and inside its archive."""
    task_name, layout, write, packed_in = LAYOUTS[name]
    task, files = TASKS[task_name], write()
    put(tmp_path / "plain", files)
    settled = settle(task, tmp_path / "plain")
    laid_out = task if layout == "default" else task.layouts[layout]
    assert settled.files == laid_out.files
    assert plain(settled).layouts == {}
    read = everything(task, tmp_path / "plain")
    assert all(read.values())
    put_gz(tmp_path / "gz", files)
    if name != "race-folder":  # a folder of 28,000 files is not given out as .gz files
        assert everything(task, tmp_path / "gz") == read
    for archive in packed_in:
        for place in ("", "glue/") if "glue" in name else ("",):
            root = tmp_path / f"packed{len(place)}"
            inside = {key.removeprefix("glue/"): data for key, data in files.items()}
            pack(root / place / archive, inside)
            assert everything(task, root) == read
            assert files_of(task, root) == [root / place / archive]
            assert list((root / place).iterdir()) == [root / place / archive]


def only(name: str, root: Path) -> dict[str, list[Example]]:
    task_name, _, write, _ = LAYOUTS[name]
    put(root, write())
    return everything(TASKS[task_name], root)


def test_what_glue_files_say(tmp_path: Path) -> None:
    put(tmp_path, in_glue(glue()))
    first = {
        name: load_examples(TASKS[name], "train", tmp_path)[0]
        for name in "cola sst2 qnli rte qqp mrpc stsb mnli".split()
    }
    assert first == {
        "cola": Example(('He said "go.',), 1, 0),
        "sst2": Example(('a " joy ',), 1, 0),
        "qnli": Example(('Who "is?', "He."), 0, 0),
        "rte": Example(("A.", 'B".'), 1, 0),
        "qqp": Example(('"Why?', "Why"), 1, 0),
        "mrpc": Example(('A "b', "C"), 1, 0),
        "stsb": Example(("A", 'B"'), 5.0, 0),
        "mnli": Example(("A", 'B "c'), 1, 0),
    }


HIDDEN = {
    ("cola", "test"): [Unlabelled(("Bill",), "0", 0), Unlabelled(('A "',), "1", 1)],
    ("sst2", "test"): [Unlabelled(("uneasy .",), "0", 0)],
    ("qnli", "test"): [Unlabelled(("Q?", "S."), "0", 0)],
    ("rte", "test"): [Unlabelled(("A", "B"), "0", 0)],
    ("qqp", "test"): [Unlabelled(("Q?", "R?"), "0", 0)],
    ("mrpc", "test"): [Unlabelled(("A", 'B "'), "0", 0)],
    ("stsb", "test"): [Unlabelled(("A", 'B"'), "0", 0)],
    ("mnli", "test_matched"): [Unlabelled(("A", 'B "c'), "0", 0)],
    ("mnli", "test_mismatched"): [Unlabelled(("A", 'B "c'), "0", 0)],
    ("mnli", "ax"): [Unlabelled(("The cat sat.", "It did not."), "0", 0)],
}


@pytest.mark.parametrize(("name", "split"), HIDDEN)
def test_hidden_test_files(name: str, split: str, tmp_path: Path) -> None:
    put(tmp_path, in_glue(glue()))
    expected = HIDDEN[name, split]
    assert load_texts(TASKS[name], split, tmp_path) == expected
    parsed = load_split(TASKS[name], split, tmp_path)
    assert (parsed.examples, parsed.found, parsed.unlabelled) == ([], len(expected), len(expected))


def test_hidden_test_file_that_is_not_there(tmp_path: Path) -> None:
    put(tmp_path, {k: v for k, v in in_glue(glue()).items() if "test" not in k})
    assert settle(TASKS["rte"], tmp_path).unlabelled == {}
    with pytest.raises(UserError, match=r"RTE: glue/RTE/test\.tsv is not there"):
        load_texts(TASKS["rte"], "test", tmp_path)


def test_texts_of_a_labelled_split(tmp_path: Path) -> None:
    put(tmp_path, nli_jsonl("snli_1.0", ("train", "dev", "test")))
    texts = load_texts(TASKS["snli"], "dev", tmp_path)
    assert [(each.id, each.index) for each in texts] == [("82890e", 0), ("1", 1), ("2", 2)]
    assert [e.index for e in load_examples(TASKS["snli"], "dev", tmp_path)] == [0, 2]


def test_texts_of_labelled_cola(tmp_path: Path) -> None:
    """The test file's own header is looked for in the test file alone."""
    put(tmp_path, in_glue(glue()))
    texts = load_texts(TASKS["cola"], "dev", tmp_path)
    assert texts[1] == Unlabelled(("Him go said.",), "1", 1)


@pytest.mark.parametrize(("name", "other"), [("mrpc", msr), ("stsb", sts), ("mnli", None)])
def test_hidden_files_beside_another_release(
    name: str, other: Callable[[], Files] | None, tmp_path: Path
) -> None:
    """GLUE's test file is predicted for GLUE, also where training reads the original release."""
    split = "test_matched" if name == "mnli" else "test"
    put(tmp_path, nli_jsonl("multinli_1.0", MULTINLI) if other is None else other())
    if other is not None:
        assert load_texts(TASKS[name], split, tmp_path)[1].texts == ("C", "D")
    hidden = {k: v for k, v in in_glue(glue()).items() if "test" in k}
    put(tmp_path, hidden)
    assert load_texts(TASKS[name], split, tmp_path) == HIDDEN[name, split]
    if other is not None:
        assert len(load_split(TASKS[name], split, tmp_path).examples) == 2


def test_repeated_ids_are_counted_and_refused_where_they_are_predicted(tmp_path: Path) -> None:
    head, row = tabs("index", "sentence1", "sentence2"), tabs(7, "A", "B")
    labelled = [tabs(head, "label"), *[tabs(row, "entailment")] * 3]
    put(
        tmp_path,
        {
            "glue/RTE/train.tsv": lines(labelled),
            "glue/RTE/dev.tsv": lines(labelled),
            "glue/RTE/test.tsv": lines([head, row, row]),
        },
    )
    parsed = load_split(TASKS["rte"], "train", tmp_path)
    assert (len(parsed.examples), parsed.repeated_ids) == (3, 2)
    with pytest.raises(UserError, match=r"line 3: the id `7` stands at file .*line 2 too"):
        load_texts(TASKS["rte"], "test", tmp_path)


def test_msr_has_the_labelled_test_split(tmp_path: Path) -> None:
    read = only("mrpc-msr", tmp_path)
    assert read["test"] == [Example(('called "the', "B"), 1, 0), Example(("C", "D"), 0, 1)]
    settled = settle(TASKS["mrpc"], tmp_path)
    assert (settled.scored, settled.official) == ({"test": ["test"]}, {"train": 4076, "test": 1725})


def test_quora_quotes_and_split(tmp_path: Path) -> None:
    read = only("qqp-quora", tmp_path)
    assert {name: len(part) for name, part in read.items()} == {"train": 18, "dev": 2}
    both = sorted([*read["train"], *read["dev"]], key=lambda each: each.index)
    assert [each.index for each in both] == list(range(20))
    assert both[19] == Example(('What does "yes\tno" mean?', "A\nb?"), 1, 19)
    assert read == everything(TASKS["qqp"], tmp_path)


def test_cola_joins_both_dev_sets(tmp_path: Path) -> None:
    read = only("cola-raw", tmp_path)
    assert [e.texts[0] for e in read["dev"]] == ['In "in_domain_dev.', 'In "out_of_domain_dev.']
    assert [e.index for e in read["dev"]] == [0, 1]


@pytest.mark.parametrize("name", ["snli-txt", "mnli-txt", "snli-jsonl", "mnli-jsonl"])
def test_unlabelled_pairs_are_counted(name: str, tmp_path: Path) -> None:
    task_name, _, write, _ = LAYOUTS[name]
    put(tmp_path, write())
    parsed = load_split(TASKS[task_name], "train", tmp_path)
    assert (parsed.found, parsed.unlabelled, len(parsed.examples)) == (3, 1, 2)
    expected = ('A "church', "B.") if "txt" in name else (" From Home Work", "Modern “work”.")
    assert parsed.examples[0] == Example(expected, 1, 0)


def test_four_formats_of_scitail_say_the_same(tmp_path: Path) -> None:
    read = [only(f"scitail-{name}", tmp_path / name) for name in TASKS["scitail"].layouts]
    assert read[1:] == read[:1] * 3
    assert read[0]["test"] == [Example(("A test", 'B "'), 0, 0), Example(("C", "D"), 1, 1)]


def test_scitail_without_its_test_split(tmp_path: Path) -> None:
    files = {k: v for k, v in scitail("tsv_format").items() if "test" not in k}
    put(tmp_path, files)
    assert settle(TASKS["scitail"], tmp_path).scored == {"dev": ["dev"]}
    put(tmp_path, scitail("tsv_format"))
    assert settle(TASKS["scitail"], tmp_path).scored == {"test": ["test"]}


def test_forms_of_race_say_the_same(tmp_path: Path) -> None:
    read = [only(f"race-{name}", tmp_path / name) for name in ("folder", "jsonl", "questions")]
    with tarfile.open(tmp_path / "RACE.tar.gz", "w:gz") as tar:
        for name, data in sorted(race_folder().items(), key=lambda item: _place(item[0])):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert everything(TASKS["race"], tmp_path) == read[0]
    assert read[1:] == read[:1] * 2
    assert [len(part) for part in read[0].values()] == [12, 12, 6, 6]
    assert read[0]["test_middle"][2].texts[:2] == ("Passage test/middle 9.", "test/middle 9 0?")
    assert files_of(TASKS["race"], tmp_path / "folder")[0] == tmp_path / "folder/RACE/train/middle"


def _place(name: str) -> tuple[int, int]:
    """Where a passage stands in the real archive: middle before high, by number."""
    part, _, number = name.removeprefix("RACE/").rpartition("/")
    return RACE_PARTS.index(part), int(number.removesuffix(".txt"))


def test_real_archive_and_its_unpacked_folder(real_data: Path, tmp_path: Path) -> None:
    """The folder is read in the archive's order: the dev split, unpacked here."""
    with tarfile.open(real_data / "RACE.tar.gz") as tar:
        members = [m for m in tar if m.name.startswith(("RACE/dev", "RACE/test")) and m.isfile()]
        for member in members[::10]:
            content = tar.extractfile(member)
            assert content is not None
            put(tmp_path, {member.name: content.read()})
    with tarfile.open(tmp_path / "RACE.tar.gz", "w:gz") as tar:
        for member in members[::10]:
            tar.add(tmp_path / member.name, member.name)
    for split in ("dev", "test_middle", "test_high"):
        folder = TASKS["race"].layouts["folder"].files
        task = plain(TASKS["race"]).model_copy(update={"files": folder})
        assert load_examples(task, split, tmp_path) == load_examples(
            plain(TASKS["race"]), split, tmp_path
        )


def test_stories_of_2018(tmp_path: Path) -> None:
    read = only("story-2018", tmp_path)
    assert {name: len(part) for name, part in read.items()} == {"train": 8, "dev": 2}
    texts = load_texts(TASKS["story_cloze"], "test", tmp_path)
    story = 'One 0. Two, "too". Three. Four.'
    assert texts[0] == Unlabelled((story, "", "End a, b.", "End b."), "id-0", 0)
    parsed = load_split(TASKS["story_cloze"], "test", tmp_path)
    assert (parsed.found, parsed.unlabelled) == (3, 3)


def test_sts_rows_of_unequal_length(tmp_path: Path) -> None:
    read = only("stsb-original", tmp_path)
    assert read["test"] == [Example(('A "plane', "B."), 5.0, 0), Example(("C", "D"), 0.6, 1)]


# Which layout is taken. ----------------------------------------------------------------------


def test_first_whole_layout_is_taken(tmp_path: Path) -> None:
    snli = TASKS["snli"]
    put(tmp_path, nli_txt("snli_1.0", ("train", "dev", "test"), ("captionID", "pairID")))
    put(tmp_path, nli_jsonl("snli_1.0", ("train", "dev")))
    assert settle(snli, tmp_path).files == snli.layouts["txt"].files
    put(tmp_path, nli_jsonl("snli_1.0", ("test",)))
    assert settle(snli, tmp_path).files == snli.files
    forced = snli.model_copy(update={"layout": "txt"})
    assert settle(forced, tmp_path).files == snli.layouts["txt"].files


def test_a_leading_folder_may_be_missing(tmp_path: Path) -> None:
    put(tmp_path, glue())
    assert settle(TASKS["rte"], tmp_path).files["dev"] == "RTE/dev.tsv"


def test_half_a_layout_names_what_is_missing(tmp_path: Path) -> None:
    put(tmp_path, nli_txt("snli_1.0", ("train", "test"), ("captionID", "pairID")))
    with pytest.raises(UserError) as caught:
        settle(TASKS["snli"], tmp_path)
    message = str(caught.value)
    assert message.startswith("SNLI: snli_1.0/snli_1.0_dev.txt is not there; looked in")
    assert "https://nlp.stanford.edu/projects/snli/" in message
    assert load_examples(TASKS["snli"], "test", tmp_path)
    with pytest.raises(UserError, match=r"snli_1.0/snli_1.0_dev\.txt is not there"):
        load_examples(TASKS["snli"], "dev", tmp_path)


def test_nothing_there_names_all_places(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        settle(TASKS["mnli"], tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "glue/MNLI/train.tsv",
        "multinli_1.0/multinli_1.0_train.jsonl",
        "multinli_1.0/multinli_1.0_train.txt",
        "MNLI.zip or multinli_1.0.zip",
        str(tmp_path),
        "https://gluebenchmark.com/tasks",
    ):
        assert part in message
    assert settled_or_first(TASKS["mnli"], tmp_path) == plain(TASKS["mnli"])


def test_archive_of_another_set_is_not_taken(tmp_path: Path) -> None:
    pack(tmp_path / "RTE.zip", {"MNLI/train.tsv": b"x", "MNLI/dev.tsv": b"x"})
    with pytest.raises(UserError, match="none of its files is in"):
        settle(TASKS["rte"], tmp_path)


def test_unknown_layout_names_the_nearest() -> None:
    entry = yaml.safe_load((CONFIG / "tasks.yaml").read_text())["snli"]
    with pytest.raises(UserError, match="no layout `text`; did you mean `txt`"):
        parse(TaskSpec, {"name": "snli", **entry, "layout": "text"}, "tasks.yaml: snli")
    entry["layouts"]["default"] = entry["layouts"]["txt"]
    with pytest.raises(UserError, match="give this one another name"):
        parse(TaskSpec, {"name": "snli", **entry}, "tasks.yaml: snli")


def test_jobs_name_the_files_that_they_read(tmp_path: Path) -> None:
    """The plan reads the same layout as the loaders, and its job has nothing of the others."""
    config = yaml.safe_load((CONFIG / "local.yaml").read_text()) | {"data_root": str(tmp_path)}
    put(tmp_path, {"books/train/a.txt": b"a", "books/validation/a.txt": b"a"})
    put(tmp_path, race_folder())
    pack(tmp_path / "SciTailV1.1.zip", scitail("snli_format"))
    plan = Plan.read(config, CONFIG)
    job = plan.encode_job("scitail")
    assert job.task.files["test"] == "SciTailV1.1.zip:SciTailV1.1/snli_format/scitail_1.0_test.txt"
    assert job.task.parser == "jsonl"
    assert '"layouts"' not in job.to_json()
    assert '"archives"' not in job.to_json()
    assert plan.task_files("scitail") == [tmp_path / "SciTailV1.1.zip"]
    assert plan.task_files("race")[0] == tmp_path / "RACE/train/middle"
    assert plan.encode_job("snli").task.files == TASKS["snli"].files
    with pytest.raises(UserError, match="MultiNLI: none of its files is in"):
        plan.check_data()
    assert load_examples(job.task, "test", tmp_path)[0].texts == ("A test", 'B "')


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading an archive opens no file for writing, wherever it lies."""
    pack(tmp_path / "snli_1.0.zip", nli_jsonl("snli_1.0", ("train", "dev", "test")))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o500)
    try:
        assert load_examples(TASKS["snli"], "dev", tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_changed_archive_is_read_again(tmp_path: Path) -> None:
    pack(tmp_path / "x.zip", {"a.txt": b"1"})
    assert archives.names_in(tmp_path / "x.zip")[-1] == "a.txt"
    pack(tmp_path / "x.zip", {"b-longer-name.txt": b"12"})
    assert archives.names_in(tmp_path / "x.zip")[-1] == "b-longer-name.txt"
