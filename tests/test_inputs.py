"""Figure 1's transformations, zero-shot inputs, truncation, subsets and the files written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gptbench.artifacts import read_json
from gptbench.cli import main
from gptbench.data import inputs
from gptbench.data.encoded import Encoded, EncodedTask
from gptbench.data.inputs import (
    Pool,
    cut_at_pronoun,
    draw,
    fine_tuning_inputs,
    zero_shot_inputs,
)
from gptbench.data.tasks import Example, load_examples
from gptbench.data.tokenizer import Tokenizer, import_files, train_on_counts
from gptbench.errors import UserError
from gptbench.settings import EncodeJob, RowLimits, TaskSpec, TokenizerSettings, load_tasks
from gptbench.training.batches import collate

CONFIG = Path(__file__).parent.parent / "config"
TASKS = load_tasks(CONFIG / "tasks.yaml")
WORDS = [*"abcdefghijklmnopqrstuvwxyz.,?", "the", "dog", "bit", "bob", "because", "was", "mad",
         "very", "positive", "negative", "good", "why", "ran", "it"]  # fmt: skip


PROPERTY = train_on_counts(Counter(dict.fromkeys(WORDS, 9)), TokenizerSettings(merges=200))
"""For property tests, which take no fixtures."""


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    """A vocabulary in which each of `WORDS` is one token."""
    assert all(len(PROPERTY.encode(word)) == 1 for word in WORDS)
    return PROPERTY


def tuned(tokenizer: Tokenizer, form: str, texts: list[str], n_ctx: int = 64) -> list[str]:
    return [tokenizer.decode(ids) for ids in fine_tuning_inputs(texts, form, tokenizer, n_ctx)[0]]


def zero(tokenizer: Tokenizer, name: str, texts: list[str], n_ctx: int = 64) -> list[list[str]]:
    """Context and scored part of each sequence."""
    found = zero_shot_inputs(name, texts, tokenizer, n_ctx)[0]
    return [[tokenizer.decode(ids[:first]), tokenizer.decode(ids[first:])] for ids, first in found]


# Golden cases. -------------------------------------------------------------------------------


def test_single(words: Tokenizer) -> None:
    assert tuned(words, "single", ["The dog."]) == ["<start> the dog . <classify>"]


def test_pair(words: Tokenizer) -> None:
    assert tuned(words, "pair", ["a b", "c"]) == ["<start> a b <delimiter> c <classify>"]


def test_similarity_has_both_orders(words: Tokenizer) -> None:
    assert tuned(words, "similarity", ["a b", "c"]) == [
        "<start> a b <delimiter> c <classify>",
        "<start> c <delimiter> a b <classify>",
    ]


def test_choice(words: Tokenizer) -> None:
    assert tuned(words, "choice", ["the dog ran.", "why?", "a", "b c", ""]) == [
        "<start> the dog ran . why ? <delimiter> a <classify>",
        "<start> the dog ran . why ? <delimiter> b c <classify>",
        "<start> the dog ran . why ? <delimiter> <classify>",
    ]


@pytest.mark.parametrize(
    ("form", "texts", "golden"),
    [
        ("single", ["the dog"], ["s the dog c"]),
        ("pair", ["the dog ran", "it ran"], ["s the dog ran d it ran c"]),
        (
            "similarity",
            ["the dog", "it"],
            ["s the dog d it c", "s it d the dog c"],
        ),
        (
            "choice",
            ["the dog", "why", "bob ran", "it"],
            ["s the dog why d bob ran c", "s the dog why d it c"],
        ),
    ],
)
def test_ids_of_figure_1(words: Tokenizer, form: str, texts: list[str], golden: list[str]) -> None:
    """By id: the tokens' own, and the three after the vocabulary (s, d, c)."""
    special = {"s": words.vocab_size, "d": words.vocab_size + 1, "c": words.vocab_size + 2}
    expected = [
        [special[word] if word in special else words.encode(word)[0] for word in line.split()]
        for line in golden
    ]
    assert fine_tuning_inputs(texts, form, words, 64) == (expected, False)


def test_special_tokens_have_the_paper_s_order(words: Tokenizer) -> None:
    ids = fine_tuning_inputs(["a", "b"], "pair", words, 64)[0][0]
    assert [i for i in ids if i >= words.vocab_size] == [
        words.vocab_size, words.vocab_size + 1, words.vocab_size + 2,
    ]  # fmt: skip


def test_zero_shot(words: Tokenizer) -> None:
    assert zero(words, "cola", ["The dog ran."]) == [["the", "dog ran ."]]
    assert zero(words, "sst2", ["The dog."]) == [
        ["the dog . very", "negative"],
        ["the dog . very", "positive"],
    ]
    assert zero(words, "race", ["The dog.", "why?", "c", "d e"]) == [
        ["the dog . why ?", "c"],
        ["the dog . why ?", "d e"],
    ]
    sentence = "The dog bit Bob because it was mad."
    assert zero(words, "dprd", [sentence, "it", "The dog", "Bob"]) == [
        ["the dog bit bob because the dog", "was mad ."],
        ["the dog bit bob because bob", "was mad ."],
    ]


@pytest.mark.parametrize(
    ("sentence", "pronoun", "before"),
    [
        ("Ann saw it when it ran.", "it", "Ann saw it when "),
        ("Bit by bit, its dog hit it hard.", "it", "Bit by bit, its dog hit "),
        ("He saw it, and ran to it", "it", "He saw "),
        ("He ran because HE was mad.", "he", "He ran because "),
        ("A newbie (that newbie) ran.", "that newbie", "A newbie ("),
    ],
)
def test_pronoun_place(sentence: str, pronoun: str, before: str) -> None:
    found, after = cut_at_pronoun(sentence, pronoun)
    assert found == before
    assert (found + sentence[len(found) : len(found) + len(pronoun)] + after) == sentence


def test_pronoun_that_is_not_there() -> None:
    with pytest.raises(UserError, match="the pronoun `she` is not in `He ran`"):
        cut_at_pronoun("He ran", "she")


# Truncation. ---------------------------------------------------------------------------------


def test_texts_are_cut_as_released(words: Tokenizer) -> None:
    long = " ".join("abcdefghijkl")
    assert tuned(words, "pair", [long, "x"], n_ctx=16) == [
        "<start> a b c d e f <delimiter> x <classify>"
    ]
    assert fine_tuning_inputs([long, "x"], "pair", words, 16)[1]
    assert not fine_tuning_inputs(["a b c d e f", "x"], "pair", words, 16)[1]
    assert tuned(words, "choice", [long, "", long], n_ctx=16) == [
        "<start> a b c d e f <delimiter> a b c d e f <classify>"
    ]


def released_stories(
    tokenizer: Tokenizer, story: str, endings: list[str], n_ctx: int
) -> tuple[list[list[int]], list[list[int]], int]:
    """The released code's inputs of a story: ids and mask of each ending, and the shrunk n_ctx."""
    max_len = n_ctx // 2 - 2
    x1, *x2 = (tokenizer.encode(text) for text in (story, *endings))
    n_ctx = min(len(x1[:max_len]) + max(len(each[:max_len]) for each in x2) + 3, n_ctx)
    ids, mask = [], []
    for each in x2:
        row = [tokenizer.start, *x1[:max_len], tokenizer.delimiter, *each[:max_len]]
        row.append(tokenizer.classify)
        ids.append(row + [0] * (n_ctx - len(row)))
        mask.append([1] * len(row) + [0] * (n_ctx - len(row)))
    return ids, mask, n_ctx


SENTENCE = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)


@settings(deadline=None)
@given(SENTENCE, SENTENCE, SENTENCE, st.integers(16, 48))
def test_stories_are_the_released_ones(story: str, one: str, two: str, n_ctx: int) -> None:
    """Ids, padding, the place of the classify token, and the tokens that L1 predicts."""
    found, cut = fine_tuning_inputs([story, "", one, two], "choice", PROPERTY, n_ctx)
    ids, mask, shrunk = released_stories(PROPERTY, story, [one, two], n_ctx)
    data = Encoded(
        np.asarray([i for sequence in found for i in sequence], np.int32),
        np.cumsum([0, *map(len, found)]).astype(np.int64),
        2,
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
    )
    batch = collate(data, np.zeros(1, np.int64), n_ctx, PROPERTY.vocab_size, "all")
    assert shrunk == max(map(len, found)) <= batch.ids.shape[1] <= n_ctx
    assert batch.ids[:, :shrunk].tolist() == ids
    assert not batch.ids[:, shrunk:].any()
    assert batch.last.tolist() == [row.index(PROPERTY.classify) for row in ids]
    places = batch.places[batch.weights > 0]
    wanted = [row * batch.ids.shape[1] + column - 1
              for row in range(2) for column in range(1, shrunk) if mask[row][column]]  # fmt: skip
    assert places.tolist() == wanted
    whole = max(len(PROPERTY.encode(text)) for text in (story, one, two))
    assert cut == (whole > n_ctx // 2 - 2)


def test_only_the_passage_is_cut(words: Tokenizer) -> None:
    long = " ".join("abcdefghijklmnop")
    assert tuned(words, "choice", [long, "why?", "x", "x y z"], n_ctx=12) == [
        "<start> a b c d e f why ? <delimiter> x <classify>",
        "<start> a b c d why ? <delimiter> x y z <classify>",
    ]
    assert tuned(words, "choice", ["a", long, "x y"], n_ctx=12) == [
        "<start> a b c d e f g <delimiter> x y <classify>"
    ]
    assert tuned(words, "choice", ["a", "why", long], n_ctx=12) == [
        "<start> <delimiter> a b c d e f g h i <classify>"
    ]


def test_zero_shot_loses_the_context_s_beginning(words: Tokenizer) -> None:
    long = " ".join("abcdefghijkl")
    assert zero(words, "race", [long, "why?", "x y"], n_ctx=8) == [["i j k l why ?", "x y"]]
    assert zero(words, "race", ["a", "why", long], n_ctx=8) == [["why", "a b c d e f g"]]
    assert zero(words, "cola", ["a"]) == [["a", ""]]


@settings(deadline=None)
@given(
    st.sampled_from(["single", "pair", "similarity", "choice"]),
    st.lists(SENTENCE, min_size=5, max_size=5),
    st.integers(16, 48),
)
def test_no_sequence_exceeds_the_context(form: str, texts: list[str], n_ctx: int) -> None:
    tokenizer = PROPERTY
    texts = texts[: {"single": 1, "choice": 5}.get(form, 2)]
    sequences, cut = fine_tuning_inputs(texts, form, tokenizer, n_ctx)
    length = sum(len(tokenizer.encode(text)) for text in texts)
    assert cut or max(map(len, sequences)) <= length + 3
    for ids in sequences:
        assert len(ids) <= n_ctx
        assert (ids[0], ids[-1]) == (tokenizer.start, tokenizer.classify)
        assert ids.count(tokenizer.delimiter) == (0 if form == "single" else 1)


@settings(deadline=None)
@given(
    st.sampled_from(["cola", "sst2", "race"]),
    st.lists(SENTENCE, min_size=4, max_size=4),
    st.integers(16, 48),
)
def test_zero_shot_keeps_what_is_scored(name: str, texts: list[str], n_ctx: int) -> None:
    tokenizer = PROPERTY
    whole = [len(scored) for _, scored in inputs.ZERO_SHOT[name](texts, Pool(tokenizer))]
    for (ids, first), n in zip(
        zero_shot_inputs(name, texts, tokenizer, n_ctx)[0], whole, strict=True
    ):
        assert len(ids) <= n_ctx
        assert first >= 1
        assert max(0, len(ids) - first) >= min(n, n_ctx) - 1
        assert max(ids, default=0) < tokenizer.vocab_size


# Subsets. ------------------------------------------------------------------------------------


def test_draw() -> None:
    examples = [Example((str(i),), 0, i) for i in range(100)]
    one, again = draw(examples, 10, 1, "x/train"), draw(examples, 10, 1, "x/train")
    assert one == again
    assert [e.index for e in one] == sorted({e.index for e in one})
    assert len(one) == 10
    assert draw(examples, 10, 2, "x/train") != one != draw(examples, 10, 1, "x/dev")
    assert draw(examples, None, 1, "x") == draw(examples, 100, 1, "x") == examples


# The stage. ----------------------------------------------------------------------------------


def job_of(task: TaskSpec, zeroshot: bool = False, rows: int | None = None) -> EncodeJob:
    limits = RowLimits(train=rows, eval=rows)
    return EncodeJob(
        task=task, n_ctx=32, limits=limits, seed=7, zeroshot=zeroshot, zeroshot_rows=rows
    )


@pytest.fixture
def folder(tmp_path: Path, words: Tokenizer) -> Path:
    """A tokenizer, and small CoLA, STS-B, MRPC and DPRD files."""
    words.save(tmp_path / "tokenizer")
    cola = "".join(f"g\t{i % 2}\t\tThe dog {'ran ' * (i % 5)}.\n" for i in range(20))
    stsb = "sentence1\tsentence2\tscore\n" + "".join(f"a\tb\t{i / 4}\n" for i in range(20))
    mrpc = "Quality\t#1 String\t#2 String\n1\ta\tb c\n0\td\te\n-\tx\ty\n"
    dprd = "The dog bit Bob because it was mad.\nit\nThe dog,Bob\nThe dog\n\n"
    for name, content in {"glue/CoLA/{}.tsv": cola, "glue/STS-B/{}.tsv": stsb,
                          "glue/MRPC/{}.tsv": mrpc, "dprd/{}.c.txt": dprd}.items():  # fmt: skip
        for split in ("train", "dev", "test"):
            path = tmp_path / "data" / name.format(split)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return tmp_path


def encode(folder: Path, job: EncodeJob, name: str = "out") -> Path:
    inputs.run(job, folder / "data", folder / "tokenizer", folder / name)
    return folder / name


def test_encoded_task_comes_back(folder: Path, words: Tokenizer) -> None:
    out = encode(folder, job_of(TASKS["mrpc"]))
    task = EncodedTask.load(out)
    assert (task.name, task.vocab_size, task.tokenizer_id) == ("mrpc", words.vocab_size, words.id)
    train = task.splits["train"]
    assert (len(train), train.per_example, train.labels.tolist()) == (2, 2, [1, 0])
    assert words.decode(train.sequence(0, 1)) == "<start> b c <delimiter> a <classify>"
    assert train.lengths().tolist() == [[6, 6], [5, 5]]
    assert train.index.tolist() == [0, 1]
    assert train.scored_from is None
    assert [a.dtype for a in (train.tokens, train.offsets, train.labels)] == [
        np.int32, np.int64, np.int64,
    ]  # fmt: skip


def test_arrays_are_the_sequences_of_each_example(
    folder: Path, words: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Example by example as lists; so few spans at once that sequences are cut between."""
    monkeypatch.setattr(inputs, "SPANS_AT_ONCE", 3)
    for name in ("mrpc", "cola", "dprd"):
        task = TASKS[name]
        out = encode(folder, job_of(task, zeroshot=name != "mrpc"), name)
        for split in ("train", "test") if name == "dprd" else ("train", "dev"):
            examples = load_examples(task, split, folder / "data")
            if name != "dprd":
                tuned = EncodedTask.load(out).splits[split]
                lists = [fine_tuning_inputs(e.texts, task.format, words, 32)[0] for e in examples]
                flat = [ids for sequences in lists for ids in sequences]
                assert tuned.tokens.tolist() == [i for ids in flat for i in ids]
                assert np.diff(tuned.offsets).tolist() == [len(ids) for ids in flat]
            if name != "mrpc" and split in (zero := EncodedTask.load(out, True).splits):
                scored = [zero_shot_inputs(name, e.texts, words, 32)[0] for e in examples]
                pairs = [pair for sequences in scored for pair in sequences]
                assert zero[split].tokens.tolist() == [i for ids, _ in pairs for i in ids]
                firsts = zero[split].scored_from
                assert firsts is not None
                assert firsts.tolist() == [first for _, first in pairs]


# Kept arrays. --------------------------------------------------------------------------------


def stamps(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(out.iterdir())}


def test_arrays_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_of(TASKS["mrpc"])
    out = encode(folder, job)
    before, manifest = stamps(out), read_json(out / "manifest.json")
    assert "encode: mrpc, 4 rows (new)" in capsys.readouterr().out
    monkeypatch.setattr(inputs, "encode_task", lambda *_: pytest.fail("encoded again"))
    encode(folder, job)
    assert stamps(out) == before
    assert "encode: mrpc, 4 rows, as before" in capsys.readouterr().out
    for name in ("facts.json", "manifest.json"):  # as the workflow does before it runs a job
        (out / name).unlink()
    encode(folder, job)
    again = read_json(out / "manifest.json")
    for key in ("run_id", "files", "inputs", "settings", "rows", "tokenizer_id", "vocab_size"):
        assert again[key] == manifest[key]
    assert read_json(out / "facts.json")["rows"] == {"train": 2, "dev": 2}
    assert EncodedTask.load(out).splits


def _other_data(folder: Path, out: Path) -> None:
    path = folder / "data" / "glue/MRPC/train.tsv"
    path.write_text(path.read_text().replace("\ta\t", "\tdog\t"))


def _other_tokenizer(folder: Path, out: Path) -> None:
    train_on_counts(Counter({"a": 3, "b": 2}), TokenizerSettings(merges=2)).save(
        folder / "tokenizer"
    )


def _broken_array(folder: Path, out: Path) -> None:
    data = bytearray((out / "examples.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (out / "examples.npz").write_bytes(data)


def _no_array(folder: Path, out: Path) -> None:
    (out / "examples.npz").unlink()


def _broken_record(folder: Path, out: Path) -> None:
    (out / "encoded.json").write_text('{"key": ')


def _other_record(folder: Path, out: Path) -> None:
    (out / "encoded.json").write_text("[]")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_other_data, "the data, the tokenizer or the settings changed"),
        (_other_tokenizer, "the data, the tokenizer or the settings changed"),
        (_broken_array, "examples.npz had another checksum"),
        (_no_array, "what was there was broken"),
        (_broken_record, "what was there was broken"),
        (_other_record, "what was there was broken"),
    ],
)
def test_stale_and_broken_arrays_are_made_again(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path, Path], None],
    why: str,
) -> None:
    job = job_of(TASKS["mrpc"])
    out = encode(folder, job)
    change(folder, out)
    capsys.readouterr()
    encode(folder, job)
    assert f"({why})" in capsys.readouterr().out
    fresh = encode(folder, job, "fresh")
    assert (out / "examples.npz").read_bytes() == (fresh / "examples.npz").read_bytes()
    assert (out / "encoded.json").read_bytes() == (fresh / "encoded.json").read_bytes()
    assert EncodedTask.load(out).splits


def test_other_settings_are_not_served(folder: Path) -> None:
    out = encode(folder, job_of(TASKS["mrpc"]))
    first = (out / "examples.npz").read_bytes()
    encode(folder, job_of(TASKS["mrpc"]).model_copy(update={"n_ctx": 16}))
    assert (out / "examples.npz").read_bytes() == first  # the texts are short
    assert read_json(out / "manifest.json")["settings"]["n_ctx"] == 16
    encode(folder, job_of(TASKS["mrpc"], rows=1))
    assert len(EncodedTask.load(out).splits["train"]) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_all_at_once(folder: Path, workers: int) -> None:
    names = ("mrpc", "cola", "dprd")
    jobs = [job_of(TASKS[name], zeroshot=name == "dprd") for name in names]
    inputs.run_all(
        [(job, folder / "data") for job in jobs], folder / "tokenizer", folder / "all", workers
    )
    for name, job in zip(names, jobs, strict=True):
        one = encode(folder, EncodeJob.from_json(job.to_json()), name)
        assert (one / "facts.json").read_bytes() == (
            folder / "all" / name / "facts.json"
        ).read_bytes()
        for path in one.glob("*.npz"):
            assert path.read_bytes() == (folder / "all" / name / path.name).read_bytes()


def test_tasks_of_a_scale_by_command(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((CONFIG / "config.yaml").read_text())
    study = {"title": "One", "variants": ["full"], "tasks": ["mrpc"], "zeroshot": ["dprd"]}
    config |= {"source": "folder", "data_root": None, "world": None, "studies": ["one"]}
    config["experiments"] = {"studies": {"one": study}}
    (folder / "one.yaml").write_text(yaml.safe_dump(config))
    words = ["tasks", str(folder / "one.yaml"), "--data-root", str(folder / "data")]
    words += ["--tokenizer", str(folder / "tokenizer"), "--out", str(folder / "out")]
    for said in ("(new)", "as before"):
        assert main(words) == 0
        printed = capfd.readouterr().out
        assert printed.count(said) == 2, printed
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["dprd", "mrpc"]
    (folder / "data/glue/MRPC/dev.tsv").unlink()
    assert main([*words, "--workers", "1"]) == 2
    assert "glue/MRPC/dev.tsv" in capfd.readouterr().err


def test_facts(folder: Path) -> None:
    facts = read_json(encode(folder, job_of(TASKS["mrpc"])) / "facts.json")
    assert facts["rows"] == {"train": 2, "dev": 2}
    assert facts["rows_found"]["train"] == 3
    assert facts["unlabelled"]["dev"] == 1
    assert facts["labels"]["train"] == {"0": 1, "1": 1}
    assert facts["tokens"]["train"] == 22
    assert facts["mean_tokens"] == 5.5
    assert facts["truncated"] == {"train": 0.0, "dev": 0.0}
    assert facts["duplicates"] == facts["empty"] == facts["broken"] == {"train": 0, "dev": 0}
    bpe = Tokenizer.load(folder / "tokenizer")
    examples = load_examples(TASKS["mrpc"], "train", folder / "data")
    lengths = [len(bpe.encode(text)) for example in examples for text in example.texts]
    assert facts["longest"]["train"] == max(lengths)
    assert facts["overlap"] == {"train": 0, "dev": 2}  # the same file twice
    assert (facts["name"], facts["version"]) == ("mrpc", 1)
    assert len(facts["digest"]["train"]) == 64


def test_regression_labels(folder: Path) -> None:
    out = encode(folder, job_of(TASKS["stsb"]))
    labels = EncodedTask.load(out).splits["dev"].labels
    assert labels.dtype == np.float32
    assert labels[:3].tolist() == [0, 0.25, 0.5]
    assert sum(read_json(out / "facts.json")["labels"]["dev"].values()) == 20


def test_zero_shot_files(folder: Path, words: Tokenizer) -> None:
    out = encode(folder, job_of(TASKS["cola"], zeroshot=True, rows=10))
    task = EncodedTask.load(out, zeroshot=True)
    assert list(task.splits) == ["train", "dev"]
    split = task.splits["dev"]
    assert len(split) == 10
    assert split.scored_from is not None
    assert set(split.scored_from) == {1}
    assert split.labels.tolist() == (split.index % 2).tolist()
    assert words.decode(split.sequence(0)).startswith("the dog")


def test_dprd_is_zero_shot_only(folder: Path, words: Tokenizer) -> None:
    out = encode(folder, job_of(TASKS["dprd"], zeroshot=True))
    assert not (out / "examples.npz").exists()
    with pytest.raises(UserError, match="the task has no inputs for fine-tuning"):
        EncodedTask.load(out)
    split = EncodedTask.load(out, zeroshot=True).splits["test"]
    assert split.per_example == 2
    assert split.scored_from is not None
    rest = [split.sequence(0, k)[split.scored_from[k] :] for k in (0, 1)]
    assert words.decode(rest[0]) == words.decode(rest[1]) == "was mad ."


def test_task_without_heuristic(folder: Path) -> None:
    with pytest.raises(UserError, match="task mrpc: no zero-shot heuristic; there is one for cola"):
        encode(folder, job_of(TASKS["mrpc"], zeroshot=True))


def test_same_bytes_twice(folder: Path) -> None:
    job = job_of(TASKS["cola"], zeroshot=True, rows=10)
    one, two = encode(folder, job, "one"), encode(folder, job, "two")
    for name in ("examples.npz", "zeroshot.npz", "facts.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    ids = [read_json(out / "manifest.json")["run_id"] for out in (one, two)]
    assert ids[0] == ids[1]
    (folder / "data/glue/CoLA/dev.tsv").write_text("g\t1\t\tThe dog.\n")
    assert read_json(encode(folder, job) / "manifest.json")["run_id"] != ids[0]


def test_changed_file_is_refused(folder: Path) -> None:
    out = encode(folder, job_of(TASKS["cola"]))
    data = bytearray((out / "examples.npz").read_bytes())
    data[-200] ^= 1
    (out / "examples.npz").write_bytes(data)
    with pytest.raises(UserError, match=r"examples\.npz: the checksum differs"):
        EncodedTask.load(out)
    with pytest.raises(UserError, match="the task has no zero-shot inputs"):
        EncodedTask.load(out, zeroshot=True)
    (out / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest\.json: No such file"):
        EncodedTask.load(out)


def test_arrays_that_do_not_fit() -> None:
    tokens = np.zeros(4, np.int32)
    broken = Encoded(tokens, np.asarray([0, 2]), 1, np.zeros(1, np.int64), np.zeros(1, np.int64))
    with pytest.raises(UserError, match="x: the arrays do not fit each other"):
        broken.check("x")


@pytest.mark.parametrize("name", TASKS)
def test_real_tasks(real_data: Path, tmp_path: Path, name: str) -> None:
    released = real_data / "openai-gpt"
    import_files(
        released / "encoder_bpe_40000.json", released / "vocab_40000.bpe", tmp_path / "tokenizer"
    )
    zeroshot = name in inputs.ZERO_SHOT
    job = job_of(TASKS[name], zeroshot, rows=40).model_copy(update={"n_ctx": 512})
    inputs.run(job, real_data, tmp_path / "tokenizer", tmp_path / "out")
    for load_zeroshot in ([False] if name != "dprd" else []) + ([True] if zeroshot else []):
        task = EncodedTask.load(tmp_path / "out", load_zeroshot)
        for split in task.splits.values():
            assert len(split) == 40
            assert 1 <= split.lengths().min() <= split.lengths().max() <= 512
            assert (split.tokens == 0).mean() < 0.01
