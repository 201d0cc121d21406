"""Speed beside the peers a user would pick, both in one run: `make bench`.

Prints a table and writes it to `benchmarks/results.md` with the machine. The peer of a training
step is transformers' OpenAIGPT of the same sizes; that of the report's statistics is one resample
after another, scored by scikit-learn and scipy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from gptbench import device
from gptbench.artifacts import code_version, package_versions, processor
from gptbench.evaluation import metrics
from gptbench.evaluation import statistics as intervals
from gptbench.models.transformer import Transformer
from gptbench.settings import TransformerSettings

SIZES = {
    "3 x 96, context 64, vocabulary 1,254, batch 16": (3, 96, 4, 64, 1254, 16),
    "4 x 128, context 128, vocabulary 4,000, batch 16": (4, 128, 4, 128, 4000, 16),
    "4 x 256, context 128, vocabulary 8,000, batch 8": (4, 256, 4, 128, 8000, 8),
}
ROUNDS, STEPS = 5, 6


def rates(ours: Callable[[], None], theirs: Callable[[], None], units: float) -> list[float]:
    """Median units a second of both, in turn, and the median of the ratios."""
    found: list[tuple[float, float]] = []
    for turn in range(ROUNDS + 1):
        pair = []
        for run in (ours, theirs):
            start = time.perf_counter()
            for _ in range(STEPS):
                run()
            pair.append(units * STEPS / (time.perf_counter() - start))
        if turn:  # the first is a warm-up
            found.append((pair[0], pair[1]))
    a, b = zip(*found, strict=True)
    return [
        statistics.median(a),
        statistics.median(b),
        statistics.median(x / y for x, y in found),
    ]


def training(size: tuple[int, int, int, int, int, int]) -> list[float]:
    """Tokens a second of one update: forward, backward, AdamW; dropout off, one thread."""
    from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

    layers, width, heads, context, vocabulary, batch = size
    settings = TransformerSettings(
        kind="transformer",
        n_layer=layers,
        n_embd=width,
        n_head=heads,
        embd_dropout=0,
        attn_dropout=0,
        resid_dropout=0,
        init_std="fan_in",
        embd_std=0.1,
    )
    ids = torch.randint(vocabulary, (batch, context))
    model = Transformer(settings, vocabulary, context)
    config = OpenAIGPTConfig(
        vocab_size=vocabulary,
        n_positions=context,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        embd_pdrop=0,
        attn_pdrop=0,
        resid_pdrop=0,
    )
    peer = OpenAIGPTLMHeadModel(config)
    optimizers = [torch.optim.AdamW(m.parameters(), fused=True) for m in (model, peer)]

    def update(loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def ours() -> None:
        states, table = model(ids)
        logits = states[:, :-1].reshape(-1, width) @ table.T
        update(F.cross_entropy(logits, ids[:, 1:].reshape(-1)), optimizers[0])

    def theirs() -> None:
        update(peer(ids, labels=ids).loss, optimizers[1])

    return rates(ours, theirs, ids.numel())


RESAMPLED = {  # metric and examples
    "cola": ("matthews", 1043),
    "sst2": ("accuracy", 1000),
    "mrpc": ("f1", 1000),
    "stsb": ("pearson", 1500),
    "qqp": ("f1", 10_000),
    "mnli": ("accuracy", 10_000),
    "qnli": ("accuracy", 5463),
    "rte": ("accuracy", 1000),
}
VARIANTS, SEEDS, LOOPED = 4, 5, 3


def resampling() -> list[str]:
    """Seconds for the statistics of a table of eight tasks, four variants and five seeds."""
    rng = np.random.default_rng(0)
    data: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    for task, (metric, n) in RESAMPLED.items():
        runs = (VARIANTS, SEEDS, n)
        if metric == "pearson":
            gold = rng.normal(size=n)
            data[task] = gold, gold + rng.normal(size=runs)
        else:
            label = rng.integers(0, 2, n)
            data[task] = label, np.where(rng.random(runs) < 0.8, label, 1 - label)
    keys = tuple((seed, 0) for seed in range(SEEDS))
    start = time.process_time()
    cells = [
        intervals.samples(
            RESAMPLED[task][0], gold, [intervals.Group(keys, own) for own in said], examples=task
        )
        for task, (gold, said) in data.items()
    ]
    drawn = time.process_time() - start
    averages = [intervals.mean(cell) for cell in zip(*cells, strict=True)]
    for row in [*cells, [average for average in averages if average]]:
        for found in row:
            intervals.interval(found)
        for other in row[1:]:
            change = intervals.difference(row[0], other)
            assert change is not None
            whole = intervals.interval(change)
            assert whole.p_value <= 1
            whole.smallest(len(cells))
            intervals.multibootstrap(change)
    ours = time.process_time() - start
    start = time.process_time()
    for task, (gold, said) in data.items():
        for _ in range(LOOPED):
            rows = rng.integers(0, len(gold), len(gold))
            for run in said.reshape(-1, len(gold)):
                metrics.score(RESAMPLED[task][0], gold[rows], run[rows])
    looped = (time.process_time() - start) * intervals.RESAMPLES / LOOPED
    return [
        f"| {intervals.RESAMPLES:,} resamples of 160 runs, scored | {drawn:.1f} s |",
        f"| and all intervals, paired differences, p-values, multi-bootstraps | {ours:.1f} s |",
        f"| resample by resample with scikit-learn and scipy, from {LOOPED} | {looped:,.0f} s |",
    ]


def main() -> None:
    """Measure and write the table."""
    place = device.prepare(1)
    lines = [
        "# Speed",
        "",
        f"{processor()}, one thread, {place.precision}; torch {package_versions()['torch']},"
        f" commit {code_version()[:12]}. Medians of {ROUNDS} rounds, both in turn.",
        "",
        "| training step | gptbench, tokens/s | transformers OpenAIGPT, tokens/s | ratio |",
        "| --- | --- | --- | --- |",
    ]
    for name, size in SIZES.items():
        ours, theirs, ratio = training(size)
        lines.append(f"| {name} | {ours:,.0f} | {theirs:,.0f} | {ratio:.2f} |")
        print(lines[-1], flush=True)
    lines += [
        "",
        "| statistics of a table: 8 tasks of 1,000 to 10,000 examples, 4 variants, 5 seeds |"
        " processor time |",
        "| --- | --- |",
        *resampling(),
    ]
    print("\n".join(lines[-4:]), flush=True)
    path = Path(__file__).with_name("results.md")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
