"""Same config, same bytes; other seeds, other draws, each from a stream of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gptbench.data.corpus import TokenCorpus
from gptbench.settings import FinetuneJob, PretrainJob
from gptbench.training import finetune, pretrain
from gptbench.training.batches import Epochs
from gptbench.training.loop import derive, reseed
from gptbench.training.windows import Windows
from tests.training_fakes import (
    finetune_job,
    lstm,
    pretrain_job,
    random_split,
    task_spec,
    transformer,
    without_cost,
    write_corpus,
    write_task,
)

DROPOUTS = {"embd_dropout": 0.1, "attn_dropout": 0.1, "resid_dropout": 0.1}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_corpus(folder / "corpus")
    splits = {name: random_split(30, 1, 2, seed) for seed, name in enumerate(("train", "dev"))}
    write_task(folder / "task", splits, "rte")
    return folder


def jobs() -> tuple[PretrainJob, FinetuneJob]:
    """Both kinds of training, with every dropout."""
    backbone = transformer(**DROPOUTS)
    return (
        pretrain_job(backbone, steps=8),
        finetune_job(task_spec(), backbone, pretrained=True, pretrain_seed=0),
    )


def both(inputs: Path, out: Path) -> None:
    first, second = jobs()
    pretrain.run(first, inputs / "corpus", out / "pretrain")
    finetune.run(second, inputs / "task", out / "pretrain", out / "finetune")


def everything(out: Path) -> dict[str, object]:
    """Checkpoints, predictions and curves as bytes, metrics without their timings."""
    found: dict[str, object] = {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".safetensors", ".parquet", ".csv")
    }
    assert len(found) == 8, "three checkpoints, two models, two curves, one file of predictions"
    for stage in ("pretrain", "finetune"):
        found[stage] = without_cost(out / stage / "metrics.json")
    return found


def test_same_bytes_in_one_process_and_over_two(inputs: Path, tmp_path: Path) -> None:
    both(inputs, tmp_path / "one")
    torch.rand(7)  # what ran before leaves no trace
    np.random.rand(7)
    both(inputs, tmp_path / "two")
    for name in ("three", "four"):
        code = (
            "import sys; from pathlib import Path; from tests.test_determinism import both;"
            " both(Path(sys.argv[1]), Path(sys.argv[2]))"
        )
        words = [sys.executable, "-c", code, str(inputs), str(tmp_path / name)]
        subprocess.run(words, check=True, cwd=Path(__file__).parent.parent)
    first = everything(tmp_path / "one")
    for name in ("two", "three", "four"):
        assert everything(tmp_path / name) == first


def test_another_seed_is_another_order_and_other_new_weights_and_dropout(inputs: Path) -> None:
    corpus = TokenCorpus.open(inputs / "corpus", "train")
    orders = [
        Windows(corpus, 16, 4, "anywhere", derive("windows", seed)).order(0).tolist()
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]
    modules = [
        finetune.Finetuning(
            finetune_job(seed=seed, backbone=transformer(**DROPOUTS)), 50, "t", None, 9
        )
        for seed in (0, 0, 1)
    ]
    heads = [m.classifier.state_dict()["linear.weight"] for m in modules]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert torch.equal(modules[0].backbone.tokens[:50], modules[2].backbone.tokens[:50]), (
        "the backbone's fresh weights come from the pre-training seed"
    )
    data = random_split(12, 1, 2, 0)
    plans = [
        [b.ids.tolist() for b in Epochs(data, 16, 50, "all", 4, 1, derive("order", seed))]
        for seed in (0, 0, 1)
    ]
    assert plans[0] == plans[1] != plans[2]
    masks = []
    for seed in (0, 0, 1):
        reseed(torch.device("cpu"), "dropout", seed, 3)
        masks.append(torch.nn.functional.dropout(torch.ones(64), 0.5))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_the_streams_of_one_seed_are_not_each_other() -> None:
    purposes = ["weights", "head", "windows", "order"]
    seeds = [derive(purpose, seed) for purpose in purposes for seed in range(50)]
    seeds += [derive("dropout", seed, step) for seed in range(20) for step in range(20)]
    assert len(set(seeds)) == len(seeds)


def test_variants_of_one_seed_share_what_they_can(inputs: Path) -> None:
    """Order, head and fresh weights are the same with and without the auxiliary objective."""
    full, without = (
        finetune.Finetuning(finetune_job(lm_coef=coef), 50, "t", None, 9) for coef in (0.5, 0.0)
    )
    for name, value in full.state_dict().items():
        assert torch.equal(value, without.state_dict()[name]), name
    data = random_split(12, 1, 2, 0)
    one, two = (
        [b.ids.tolist() for b in Epochs(data, 16, 50, lm, 4, 2, derive("order", 0))]
        for lm in ("all", "none")
    )
    assert one == two
    corpus = TokenCorpus.open(inputs / "corpus", "train")
    batches = [
        Windows(corpus, job.n_ctx, 4, "anywhere", derive("windows", job.seed)).batch(2)
        for job in (pretrain_job(transformer(), seed=3), pretrain_job(lstm(), seed=3))
    ]
    assert torch.equal(*batches), "transformer and LSTM read the same windows"
