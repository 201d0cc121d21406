"""Predict, generate and score, against what the workflow wrote and against plain loops."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from gptbench.cli import main
from gptbench.data.tasks import load_examples
from gptbench.errors import UserError
from gptbench.evaluation import byhand, perplexity
from gptbench.settings import load_tasks
from tests.conftest import PROJECT, Project

pytestmark = pytest.mark.workflow
TASKS = load_tasks(PROJECT / "config" / "tasks.yaml")


@pytest.fixture(scope="module")
def results(finished_project: Project) -> Path:
    return finished_project.results


@pytest.mark.parametrize("name", ["sst2", "rte", "stsb", "race", "story_cloze"])
def test_predictions_are_those_of_the_run(
    results: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows of a scored split, given by hand, get what `predictions.parquet` has."""
    folder, task = results / "finetune" / "full" / name / "pre0-seed0", TASKS[name]
    split = next(iter(task.scored.values()))[0]
    table = pq.read_table(folder / "predictions.parquet").to_pydict()
    wanted = {
        index: (prediction, scores)
        for s, index, prediction, scores in zip(
            *(table[key] for key in ("split", "index", "prediction", "scores")), strict=True
        )
        if s == split
    }
    lines, indices = [], []
    for example in load_examples(task, split, results / "world"):
        if example.index not in wanted:
            continue
        texts = example.texts
        row: dict[str, object] = {"text": texts[0]}
        if task.format == "choice":
            row = {"context": texts[0], "question": texts[1], "answers": texts[2:]}
        elif len(texts) == 2:
            row = {"text1": texts[0], "text2": texts[1]}
        lines.append(json.dumps(row))
        indices.append(example.index)
    path = tmp_path / "rows.jsonl"
    path.write_text("\n\n".join(lines))
    assert main(["predict", "--model", str(folder), str(path)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == len(lines) > 5
    for index, answer in zip(indices, answers, strict=True):
        prediction, scores = wanted[index]
        if task.range:
            assert answer["score"] == pytest.approx(prediction, abs=2e-3)
            continue
        said = answer["scores"] if task.labels is None else list(answer["scores"].values())
        assert said == pytest.approx(scores, abs=2e-3)
        if abs(scores[0] - scores[1]) > 0.01:
            number = answer["answer"] if task.labels is None else task.labels.index(answer["label"])
            assert number == prediction


def test_token_scores_are_the_perplexity(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "\n".join(
        (results / "world/books/validation/book-0000.txt").read_text().split("\n")[:30]
    )
    path, model = tmp_path / "text.txt", results / "pretrain/transformer/seed0"
    path.write_text(text)
    assert (
        main(["score", "--model", str(model), str(path), "--html", str(tmp_path / "p.html")]) == 0
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = perplexity.measure(model, path)
    assert rows[0]["logprob"] is None
    scored = [-row["logprob"] for row in rows[1:]]
    assert len(scored) == found["tokens"] > 100
    assert float(np.mean(scored)) == pytest.approx(found["nats_per_token"], rel=1e-5)
    page = (tmp_path / "p.html").read_text("utf-8")
    assert f"perplexity {found['perplexity']:.2f}" in page
    assert "<script" not in page


def test_ranks_and_probabilities_by_a_plain_loop(results: Path) -> None:
    loaded = byhand.Loaded.read(results / "pretrain/lstm/seed0")
    rows = byhand.token_scores(loaded, "the cat <script> sat")
    ids = [row.id for row in rows]
    with torch.inference_mode():
        hidden, table = loaded.model(torch.tensor([ids]))
        logs = (hidden[0] @ table.t()).log_softmax(-1)
    for place, row in enumerate(rows[1:]):
        assert row.logprob == pytest.approx(float(logs[place, row.id]), abs=1e-5)
        assert row.rank == 1 + int((logs[place] > logs[place, row.id]).sum())
    page = byhand.coloured_page(rows, "<model>")
    assert "<script" not in page
    assert "&lt;model&gt;" in page


def test_generation_is_the_model_s_choice(results: Path) -> None:
    loaded = byhand.Loaded.read(results / "pretrain/transformer/seed0")
    greedy = byhand.generate(loaded, "the", 60, byhand.Sampling(temperature=0), 0)
    ids = loaded.tokenizer.encode("the")
    for _ in range(60):
        window = torch.tensor([ids[-loaded.context :]])
        with torch.inference_mode():
            hidden, table = loaded.model(window)
            ids.append(int((hidden[0, -1] @ table.t()).argmax()))
    assert greedy == loaded.tokenizer.decode(ids)
    assert byhand.generate(loaded, "the", 60, byhand.Sampling(top_k=1), 5) == greedy
    drawn = [byhand.generate(loaded, "", 20, byhand.Sampling(), seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_sampling_by_hand() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    assert byhand.Sampling().probabilities(logits).tolist() == pytest.approx([0.5, 0.3, 0.2])
    assert byhand.Sampling(top_k=2).probabilities(logits).tolist() == pytest.approx(
        [5 / 8, 3 / 8, 0]
    )
    for p, kept in ((0.4, 1), (0.5, 1), (0.51, 2), (0.9, 3), (1.0, 3)):
        assert int((byhand.Sampling(top_p=p).probabilities(logits) > 0).sum()) == kept
    cold = byhand.Sampling(temperature=0.5).probabilities(logits).tolist()
    total = 0.25 + 0.09 + 0.04
    assert cold == pytest.approx([0.25 / total, 0.09 / total, 0.04 / total])


@pytest.mark.parametrize(
    ("form", "line", "message"),
    [
        ("single", '{"txt": "a"}', 'line 1: not a row of this task; give {"text": ...}'),
        ("pair", '{"text1": "a"}', '"text2"'),
        ("pair", "[1]", '"text2"'),
        ("pair", "nonsense", '"text2"'),
        ("choice", '{"context": "a", "answers": ["b"]}', '"answers"'),
        ("choice", '{"context": "a", "answers": 3}', '"answers"'),
    ],
)
def test_a_bad_row_is_one_line(form: str, line: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        byhand.read_row(line, form, "line 1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "--model", "pretrain/lstm/seed0"], "a language model; give the folder of a"),
        (["generate", "--model", "finetune/full/rte/pre0-seed0"], "fine-tuned on rte"),
        (["generate", "--model", "pretrain/lstm/seed0", "--top-p", "2"], "--top-p 2.0"),
        (["generate", "--model", "pretrain/lstm/seed0", "--tokens", "0"], "give 1 or more"),
        (["score", "--model", "pretrain/nothing"], "no such file"),
        (["predict", "--model", "finetune/full/rte/pre0-seed1"], "only runs with `keep`"),
    ],
)
def test_a_mistake_is_one_line(
    results: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(results / w) if w.startswith(("pretrain/", "finetune/")) else w for w in words]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("gptbench: ")
    assert message in error
    assert error.count("\n") == 1


def test_perplexity_of_the_page() -> None:
    rows = [byhand.TokenScore("a", 1, None, None), byhand.TokenScore("b", 2, math.log(0.25), 1)]
    assert "perplexity 4.00" in byhand.coloured_page(rows, "m")
