"""Pre-training: windows, the loss, what is written, and going on exactly."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gptbench.artifacts import read_json
from gptbench.data.corpus import TokenCorpus
from gptbench.device import lease, prepare
from gptbench.errors import UserError
from gptbench.models.weights import build, read
from gptbench.progress import Progress, duration
from gptbench.training import loop, pretrain
from gptbench.training.pretrain import Pretraining, checkpoint_steps, validation_loss
from gptbench.training.resume import Resume
from gptbench.training.windows import Batches, Windows, contiguous
from tests.training_fakes import (
    CONTEXT,
    NEWLINE,
    VOCAB,
    lstm,
    pretrain_job,
    stop_after,
    transformer,
    without_cost,
    write_corpus,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus")


@pytest.fixture
def train(corpus: Path) -> TokenCorpus:
    return TokenCorpus.open(corpus, "train")


# Windows. ------------------------------------------------------------------------------------


def test_an_epoch_is_disjoint_windows_from_a_random_offset(train: TokenCorpus) -> None:
    windows = Windows(train, CONTEXT, 4, "anywhere", 0)
    orders = [np.sort(windows.order(epoch)) for epoch in range(20)]
    for order in orders:
        assert len(order) == windows.per_epoch
        assert set(np.diff(order)) == {CONTEXT}
        assert 0 <= order[0] < CONTEXT
        assert order[-1] + CONTEXT < len(train)
    assert len({int(order[0]) for order in orders}) > 5
    assert not np.array_equal(windows.order(0), np.sort(windows.order(0)))


def test_line_windows_begin_after_a_line_break(train: TokenCorpus) -> None:
    windows = Windows(train, CONTEXT, 4, "line", 0)
    for start in windows.order(3):
        assert start == 0 or train.tokens[start - 1] == NEWLINE
    assert len(set(windows.order(3).tolist())) == windows.per_epoch
    assert windows.steps(4) == windows.per_epoch


def test_a_batch_is_a_pure_function_of_seed_and_step(train: TokenCorpus) -> None:
    one = Windows(train, CONTEXT, 5, "anywhere", 0)
    batches = [one.batch(step) for step in range(60)]
    assert torch.equal(Windows(train, CONTEXT, 5, "anywhere", 0).batch(59), batches[59])
    assert torch.equal(one.batch(0), batches[0])
    assert not torch.equal(Windows(train, CONTEXT, 5, "anywhere", 1).batch(0), batches[0])
    assert batches[0].shape == (5, CONTEXT + 1)
    tail = list(Batches(one, 57, 60, 5))
    assert [step for _, step, _ in tail] == [57, 58, 59]
    assert torch.equal(tail[-1][0], batches[59])


def test_a_short_corpus_is_refused(tmp_path: Path) -> None:
    small = TokenCorpus.open(write_corpus(tmp_path / "c", tokens=60), "train")
    with pytest.raises(UserError, match="a window needs 65"):
        Windows(small, 64, 4, "anywhere", 0)


def test_validation_windows_lie_side_by_side(corpus: Path) -> None:
    held_out = TokenCorpus.open(corpus, "validation")
    parts = list(contiguous(held_out, CONTEXT, 100))
    assert [count for _, count in parts] == [16] * 6 + [4]
    joined = torch.cat([ids[0, 1:] for ids, _ in parts])
    assert joined.tolist() == held_out.tokens[1:101].tolist()


# The loss. -----------------------------------------------------------------------------------


@torch.no_grad()
def test_l1_by_hand() -> None:
    module = Pretraining(pretrain_job(), VOCAB, 10).double()
    ids = torch.randint(VOCAB, (2, CONTEXT + 1))
    loss = module.training_step((ids, 0, 0), 0)
    hidden, table = module.backbone(ids[:, :-1])
    total = 0.0
    for row in range(2):
        for i in range(CONTEXT):
            logits = hidden[row, i] @ table.t()
            total -= float(logits[ids[row, i + 1]] - logits.logsumexp(0))
    assert float(loss) == pytest.approx(total / (2 * CONTEXT), rel=1e-4)


def test_validation_loss_is_a_tokens_mean(corpus: Path) -> None:
    held_out = TokenCorpus.open(corpus, "validation")
    model: Any = build(transformer(), VOCAB, CONTEXT)
    with torch.no_grad():
        model.tokens.zero_()
    loss, count = validation_loss(model, held_out, CONTEXT, 100, prepare(1))
    assert count == 100
    assert loss == pytest.approx(np.log(VOCAB), rel=1e-6)


def test_micro_batches_share_the_embeddings_mask_and_nothing_else() -> None:
    job = pretrain_job(transformer(embd_dropout=0.5, resid_dropout=0.5), micro_batch=2)
    module = Pretraining(job, VOCAB, 10)
    assert module.accumulate == 2
    seen: list[torch.Tensor] = []

    def decode(ids: torch.Tensor, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        seen.append(tokens.detach())
        return torch.rand(1, CONTEXT, 16)

    module.decode = decode
    ids = torch.randint(VOCAB, (1, CONTEXT + 1))
    losses = [module.training_step((ids, 3, part), 0).item() for part in (0, 1)]
    assert torch.equal(seen[0], seen[1])
    assert losses[0] != losses[1]
    module.training_step((ids, 4, 0), 0)
    assert not torch.equal(seen[1], seen[2])


def test_micro_batches_give_the_same_update(corpus: Path, tmp_path: Path) -> None:
    pretrain.run(pretrain_job(), corpus, tmp_path / "whole")
    pretrain.run(pretrain_job(micro_batch=1), corpus, tmp_path / "parts")
    losses = [
        read_json(tmp_path / name / "metrics.json")["validation_loss"]
        for name in ("whole", "parts")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    with pytest.raises(ValueError, match="not a multiple of micro_batch 3"):
        pretrain_job(micro_batch=3)


# The stage. ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", [transformer(), lstm()], ids=["transformer", "lstm"])
def test_it_learns_and_says_so(
    backbone: Any, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain.run(pretrain_job(backbone, steps=60), corpus, tmp_path)
    metrics = read_json(tmp_path / "metrics.json")
    assert metrics["tokens"] == 60 * 4 * CONTEXT
    assert metrics["checkpoints"] == [0, 30, 60]
    assert metrics["validation_loss"] < 0.9 * np.log(VOCAB)
    assert metrics["perplexity"] == pytest.approx(np.exp(metrics["validation_loss"]))
    assert metrics["flops"] > 6 * metrics["tokens"] * 1000
    with (tmp_path / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["validation_loss"]] == ["0", "30", "60"]
    assert rows[1]["lr"] == "0"
    assert rows[-1]["step"] == "60"
    files = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert files == [f"step-{step:08d}.safetensors" for step in (0, 30, 60)]
    last, found = read(tmp_path / "checkpoints" / files[-1])
    final, _ = read(tmp_path / "model.safetensors")
    assert all(torch.equal(last[name], final[name]) for name in final)
    assert found["run_id"] == metrics["run_id"] == read_json(tmp_path / "manifest.json")["run_id"]
    assert not (tmp_path / "resume.ckpt").exists()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("pretrain: small seed 0, 60 steps, loss ")


def test_epochs_set_the_number_of_updates(corpus: Path, tmp_path: Path, train: TokenCorpus) -> None:
    pretrain.run(pretrain_job(steps=None, epochs=1, window_start="line"), corpus, tmp_path)
    lines = Windows(train, CONTEXT, 4, "line", 0).per_epoch
    metrics = read_json(tmp_path / "metrics.json")
    assert metrics["steps"] == lines // 4
    assert metrics["epochs"] == pytest.approx(1, abs=4 / lines)


def test_checkpoints_are_log_spaced() -> None:
    assert checkpoint_steps(2500, 8) == [0, 39, 78, 156, 312, 625, 1250, 2500]
    assert checkpoint_steps(12, 1) == [12]
    assert checkpoint_steps(3, 8) == [0, 1, 2, 3]


NOISY = transformer(embd_dropout=0.1, attn_dropout=0.1, resid_dropout=0.1)


def outputs(folder: Path) -> dict[str, Any]:
    """Everything that must come out the same, as bytes."""
    names = ["model.safetensors", "curves.csv"]
    names += [f"checkpoints/{path.name}" for path in (folder / "checkpoints").iterdir()]
    metrics = without_cost(folder / "metrics.json")
    return {"metrics": metrics} | {name: (folder / name).read_bytes() for name in names}


def test_interrupted_anywhere_the_bytes_are_the_same(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = pretrain_job(NOISY, micro_batch=2)
    pretrain.run(job, corpus, tmp_path / "whole")
    pretrain.run(job, corpus, tmp_path / "again")
    expected = outputs(tmp_path / "whole")
    assert outputs(tmp_path / "again") == expected
    for step in (1, 6, 12):
        out = tmp_path / f"after-{step}"
        undo = stop_after(monkeypatch, step)
        with pytest.raises(KeyboardInterrupt):
            pretrain.run(job, corpus, out)
        undo()
        assert (out / "resume.ckpt").exists()
        assert not (out / "metrics.json").exists()
        pretrain.run(job, corpus, out)
        assert outputs(out) == expected
        assert not (out / "resume.ckpt").exists()


def test_the_state_of_another_run_is_not_used(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    undo = stop_after(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        pretrain.run(pretrain_job(seed=1), corpus, tmp_path / "one")
    undo()
    pretrain.run(pretrain_job(), corpus, tmp_path / "one")
    assert "of another run" in capsys.readouterr().out
    pretrain.run(pretrain_job(), corpus, tmp_path / "two")
    assert outputs(tmp_path / "one") == outputs(tmp_path / "two")
    resume = Resume(tmp_path, "id")
    resume.path.write_bytes(b"broken")
    (tmp_path / ".resume.ckpt.1.tmp").write_bytes(b"half")
    assert resume.load() is None
    assert "not readable; started afresh" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.tmp"))


def test_a_signal_ends_it_at_the_next_step(corpus: Path, tmp_path: Path) -> None:
    """It shows itself after its first updates, when it listens; only the signal makes it save."""
    job = pretrain_job(steps=100_000)
    command = [sys.executable, "-m", "gptbench", "pretrain", "--settings", job.to_json()]
    with subprocess.Popen(
        [*command, "--corpus", str(corpus), "--out", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GPTBENCH_LIVE_SECONDS": "0.01", "GPTBENCH_RESUME_SECONDS": "1e9"},
    ) as process:
        end = time.monotonic() + 240
        while not (tmp_path / "out" / "live.json").exists() and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        error = process.stderr.read()
        assert process.wait(60) == 130, error
    assert "Traceback" not in error
    assert (tmp_path / "out" / "resume.ckpt").exists()


# What it stands on. --------------------------------------------------------------------------


def test_gpus_are_leased_one_job_each(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from gptbench.device import lease;"
        f"print(lease(['a', 'b'], pathlib.Path({str(tmp_path)!r})), flush=True); sys.stdin.read()"
    )
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    given = {int(holder.stdout.readline()) for holder in holders if holder.stdout}
    assert given == {0, 1}
    for holder in holders:
        holder.communicate()
    assert lease(["a"], tmp_path) == 0


def test_progress_says_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 20.0, 20.0, 25.0])
    monkeypatch.setattr("gptbench.progress.time.monotonic", lambda: next(clock))
    progress = Progress(1000, "job", "tokens")
    progress.update(10)
    progress.update(190, loss=torch.tensor(3.14159))
    progress.close()
    lines = capsys.readouterr().out.splitlines()
    line = "job: 20 % of 1,000 tokens, 10 tokens/s, loss 3.14, 1 min 20 s left"
    assert lines == [line, line.replace("10 tokens", "8 tokens").replace("20 s left", "40 s left")]
    assert [duration(s) for s in (5, 185, 7620)] == ["5 s", "3 min 5 s", "2 h 7 min"]


def test_seeds_are_derived_apart() -> None:
    seeds = {loop.derive(use, seed) for use in ("weights", "dropout") for seed in range(10)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**63 for seed in seeds)
