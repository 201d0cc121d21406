"""Few-shot: prompts by hand, k = 0 is zero-shot, examples from the training split, ties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from gptbench.artifacts import read_json, write_json
from gptbench.data.fewshot import Questions, demonstration, few_shot_inputs
from gptbench.data.inputs import run as encode
from gptbench.data.inputs import zero_shot_inputs
from gptbench.data.tasks import Example, load_split
from gptbench.data.tokenizer import Tokenizer, run_train
from gptbench.data.world import write_world
from gptbench.errors import UserError
from gptbench.evaluation import fewshot, zeroshot
from gptbench.models.weights import Origin, build, save
from gptbench.plan import Plan
from gptbench.settings import FewShotJob, TokenizerJob, TokenizerSettings
from tests.conftest import tiny_config
from tests.training_fakes import gpt3, transformer

CONFIG = Path(__file__).parent.parent / "config"


class Words:
    """A tokenizer that tells words apart; 0 is the line break."""

    newline = 0
    start, delimiter, classify = 61, 62, 63
    vocab_size = 60
    id = "words"

    def __init__(self) -> None:
        self.known = ["\n"]

    def encode(self, text: str) -> list[int]:
        out = []
        for word in text.split():
            if word not in self.known:
                self.known.append(word)
            out.append(self.known.index(word))
        return out

    def text(self, ids: Any) -> str:
        return " ".join(self.known[i] for i in ids)


SST2 = [Example(("good film",), 1, 0), Example(("bad bad film",), 0, 1), Example(("fine",), 1, 2)]


def prompt(shots: Any, n_ctx: int, solved: list[Example]) -> tuple[list[str], list[str], int]:
    """What is read and what is scored for each candidate, and how many examples were fitted."""
    words: Any = Words()
    made = [demonstration("sst2", example, words) for example in solved]
    found, used = few_shot_inputs("sst2", ("a poor one",), made, shots, words, n_ctx)
    read = [words.text(ids[:first]) for ids, first in found]
    scored = [words.text(ids[first:]) for ids, first in found]
    return read, scored, used


def test_a_prompt_by_hand() -> None:
    """Context 16: the question takes 5 words, the examples 5, 6 and 4 with their line breaks."""
    ask = "a poor one very"
    for shots, read, used in (
        (0, ask, 0),
        (1, f"good film very positive \n {ask}", 1),
        (2, f"good film very positive \n bad bad film very negative \n {ask}", 2),
        (3, f"good film very positive \n bad bad film very negative \n {ask}", 2),
        ("fit", f"good film very positive \n bad bad film very negative \n {ask}", 2),
    ):
        found = prompt(shots, 16, SST2)
        assert found == ([read, read], ["negative", "positive"], used)


def test_what_does_not_fit_whole_is_passed_over() -> None:
    read, _, used = prompt("fit", 14, SST2)
    assert (read[0], used) == (
        "good film very positive \n fine very positive \n a poor one very",
        2,
    )
    assert prompt("fit", 8, SST2)[2] == 0


def test_answers_and_candidates_of_the_other_tasks() -> None:
    words: Any = Words()
    dprd = Example(("Ann met Eve because she slept .", "she", "Ann", "Eve"), 1, 0)
    solved = demonstration("dprd", dprd, words)
    assert words.text(solved) == "Ann met Eve because Eve slept . \n"
    race = Example(("It rained .", "What fell ?", "snow", "rain", "hail", "sun"), 1, 0)
    assert words.text(demonstration("race", race, words)) == "It rained . What fell ? rain \n"
    found, used = few_shot_inputs("dprd", dprd.texts, [solved], 1, words, 40)
    assert used == 1
    assert [words.text(ids[:first]) for ids, first in found] == [
        f"Ann met Eve because Eve slept . \n Ann met Eve because {name}" for name in ("Ann", "Eve")
    ]
    assert {words.text(ids[first:]) for ids, first in found} == {"slept ."}


# On the embedded world. ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny world, its tokenizer, the zero-shot inputs of two tasks, and an untrained model."""
    root = tmp_path_factory.mktemp("world")
    plan = Plan.read(tiny_config(), CONFIG)
    write_world(root / "data", **plan.world_job().world.model_dump())
    job = TokenizerJob(tokenizer=TokenizerSettings(merges=300))
    run_train(job, root / "data" / "books", root / "tokenizer")
    for task in ("sst2", "dprd"):
        encode(plan.encode_job(task), root / "data", root / "tokenizer", root / "tasks" / task)
    bpe = Tokenizer.load(root / "tokenizer")
    torch.manual_seed(0)
    model = build(backbone(), bpe.vocab_size, 52)
    origin = Origin(bpe.id, bpe.vocab_size, 52, backbone(), "run", 3)
    for name in ("model.safetensors", "checkpoints/step-00000003.safetensors"):
        save(root / "model" / name, model.state_dict(), origin.metadata())
    write_json(root / "model" / "manifest.json", {"run_id": "model"})
    return root


def backbone() -> Any:
    return transformer(embd_std=0.5)


def job(**changes: Any) -> FewShotJob:
    """The job of the transformer on the tiny scale, the context of the quick one."""
    plan = Plan.read(tiny_config(), CONFIG)
    data = plan.fewshot_job("transformer", 0).model_dump()
    return FewShotJob.model_validate(data | {"backbone": backbone().model_dump()} | changes)


def test_no_examples_are_the_zero_shot_scores(world: Path, tmp_path: Path) -> None:
    fewshot.run(job(), world / "model", world / "data", world / "tokenizer", tmp_path / "few")
    plan = Plan.read(tiny_config(), CONFIG)
    tasks = [task for task in plan.zeroshot_job("transformer", 0).tasks if task.name in EACH]
    asked = plan.zeroshot_job("transformer", 0).model_copy(
        update={"backbone": backbone(), "tasks": tasks, "probe_seed": None}
    )
    zeroshot.run(asked, world / "model", world / "tasks", tmp_path / "zero")
    few, zero = (read_json(tmp_path / n / "metrics.json")["scores"] for n in ("few", "zero"))
    assert [(e["task"], e["shots"]) for e in few] == [
        (task, shots) for task in ("dprd", "sst2") for shots in ("0", "1", "2", "fit")
    ]
    none = {e["task"]: e for e in few if e["shots"] == "0"}
    for entry in zero:
        for key in ("value", "n", "chance", "split", "metric"):
            assert none[entry["task"]][key] == entry[key]
    fitted = {(e["task"], e["shots"]): e["fitted"] for e in few}
    for task in EACH:
        assert fitted[task, "0"] == 0
        assert fitted[task, "1"] == 1
        assert 1 <= fitted[task, "2"] <= 2
        assert fitted[task, "fit"] >= fitted[task, "2"]
    assert fitted["sst2", "2"] > 1


EACH = ("sst2", "dprd")


def test_the_same_bytes_again(world: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        fewshot.run(job(), world / "model", world / "data", world / "tokenizer", tmp_path / name)
    one, two = (tmp_path / name / "predictions.parquet" for name in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("task", EACH)
def test_examples_are_solved_ones_of_the_training_split(world: Path, task: str) -> None:
    settings = job()
    spec = next(each for each in settings.tasks if each.name == task)
    bpe = Tokenizer.load(world / "tokenizer")
    questions = Questions(settings, spec, world / "data", bpe)
    train = load_split(spec, spec.train, world / "data").examples
    solved = {tuple(demonstration(task, example, bpe)) for example in train}
    split = spec.scored[next(iter(spec.scored))][0]
    encoded, fitted = questions.encoded([split], "fit")
    tests = load_split(spec, split, world / "data").examples
    part = encoded.splits[split]
    count = 0
    for i, example in enumerate(tests):
        zero, _ = zero_shot_inputs(task, example.texts, bpe, settings.n_ctx)
        for k, (ids, _) in enumerate(zero):
            sequence = part.sequence(i, k).tolist()
            assert len(sequence) <= settings.n_ctx
            assert sequence[-len(ids) :] == ids, "the question is the zero-shot one"
            if k:
                continue
            before = sequence[: -len(ids)]
            ends = [at + 1 for at, token in enumerate(before) if token == bpe.newline]
            pieces = [tuple(before[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
            assert sum(map(len, pieces)) == len(before)
            assert set(pieces) <= solved
            assert len(set(pieces)) == len(pieces), "without replacement"
            count += len(pieces)
    assert fitted == pytest.approx(count / len(tests))
    orders = [list(map(tuple, questions.order(split, index)))[:3] for index in range(6)]
    assert len({tuple(order) for order in orders}) == 6, "drawn anew for each question"


def test_another_seed_draws_others(world: Path) -> None:
    bpe = Tokenizer.load(world / "tokenizer")
    first = []
    for seed in (0, 1):
        settings = job(draw_seed=seed)
        questions = Questions(settings, settings.tasks[1], world / "data", bpe)
        first.append([next(iter(questions.order("dev", index))) for index in range(8)])
    assert first[0] != first[1]


def test_a_constant_model_is_at_chance(world: Path, tmp_path: Path) -> None:
    bpe = Tokenizer.load(world / "tokenizer")
    model: Any = build(backbone(), bpe.vocab_size, 52)
    with torch.no_grad():
        model.tokens.zero_()
    origin = Origin(bpe.id, bpe.vocab_size, 52, backbone(), "run", 3)
    save(tmp_path / "m" / "model.safetensors", model.state_dict(), origin.metadata())
    write_json(tmp_path / "m" / "manifest.json", {"run_id": "model"})
    fewshot.run(job(), tmp_path / "m", world / "data", world / "tokenizer", tmp_path / "out")
    for entry in read_json(tmp_path / "out" / "metrics.json")["scores"]:
        assert entry["value"] == pytest.approx(50)


def test_what_cannot_be_scored_is_one_line(world: Path, tmp_path: Path) -> None:
    places = (world / "data", world / "tokenizer", tmp_path)
    cola = job().tasks[0].model_copy(update={"name": "cola"})
    with pytest.raises(UserError, match="task cola has no answers to choose from; give some of"):
        fewshot.run(job(tasks=[cola.model_dump()]), world / "model", *places)
    with pytest.raises(UserError, match="kind transformer, the settings say gpt3"):
        fewshot.run(job(backbone=gpt3().model_dump()), world / "model", *places)


def test_the_job_is_what_the_study_asks_for() -> None:
    config = yaml.safe_load((CONFIG / "config.yaml").read_text())
    made = Plan.read(config, CONFIG).fewshot_job("gpt3", 0)
    assert [task.name for task in made.tasks] == ["dprd", "sst2"]
    assert made.shots == [0, 1, 2, "fit"]
    assert made.n_ctx == 52
    assert np.isclose(made.draw_seed, 0)
