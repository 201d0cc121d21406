"""A few sentences followed through a pre-trained model: attention, states, predictions.

What training computes inside `scaled_dot_product_attention` is computed here again, from what
each block was given, so that the model itself stays as it is.

`python -m gptbench attention --settings JSON --pretrained DIR --tokenizer DIR --out DIR`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gptbench.artifacts import MANIFEST, Run, input_id, write_json
from gptbench.data.preview import token_name
from gptbench.data.tokenizer import Tokenizer
from gptbench.errors import UserError
from gptbench.models.gpt2 import Gpt2
from gptbench.models.gpt3 import BandedAttention, band
from gptbench.models.transformer import Attention, Transformer
from gptbench.models.weights import build, check, load, read
from gptbench.settings import AttentionJob

OUTPUT = "attention.json"
LONGEST = 32
"""Tokens of a sentence that are shown; what is beyond is left out, and said."""
COMPONENTS = 4
"""Components of a vector that are shown."""
NEXT = 5
"""Next tokens that are shown."""
DIGITS = 4


@dataclass(frozen=True)
class Seen:
    """One sentence of n tokens in a model of L layers, H heads and width d.

    `weights` [L, H, n, n]: row i is what token i looks at, its shares of all tokens adding up to 1.
    `states` [L + 1, n, d]: h_0 (token and position) to h_L. `logits` [n, vocab]: of what follows
    each token.
    """

    weights: Tensor
    states: Tensor
    logits: Tensor


@torch.inference_mode()
def look(model: Transformer | Gpt2, ids: Sequence[int]) -> Seen:
    """Run one sequence of ids, no longer than the context, through a model and keep what it did."""
    given: list[Tensor] = []
    states: list[Tensor] = []
    hooks = [model.blocks[0].register_forward_pre_hook(lambda _, args: states.append(args[0][0]))]
    for block in model.blocks:
        attention = block.get_submodule("attn")
        hooks += [
            attention.register_forward_pre_hook(lambda _, args: given.append(args[0][0])),
            block.register_forward_hook(lambda _, __, out: states.append(out[0])),
        ]
    training = model.training
    try:
        hidden, table = model.eval()(torch.tensor([list(ids)], device=model.tokens.device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    layers = [block.get_submodule("attn") for block in model.blocks]
    found = [
        attention_weights(layer, x)
        for layer, x in zip(layers, given, strict=True)
        if isinstance(layer, Attention)
    ]
    return Seen(torch.stack(found), torch.stack(states), hidden[0] @ table.t())


def attention_weights(attention: Attention, x: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(head size)) [heads, n, n] of a layer's input [n, width], masked.

    Token i sees tokens up to i; in a banded layer the last `window` of them.
    """
    n, width = x.shape
    split = (n, attention.heads, width // attention.heads)
    q, k, _ = (part.view(split).transpose(0, 1) for part in attention.qkv(x).split(width, -1))
    scores = q @ k.transpose(1, 2) / split[-1] ** 0.5
    window = attention.window if isinstance(attention, BandedAttention) else n
    found: Tensor = scores.masked_fill(~band(n, window, x.device), -torch.inf).softmax(-1)
    return found


def shares(maps: Sequence[Tensor]) -> dict[str, Any]:
    """Where each head looks on average, over the sentences' maps [L, H, n, n].

    Rows from the third token on count, in which the token before, the first token and the token
    itself are three. `even` is what each of these would get from a head that looks at all places
    alike.
    """
    found = {
        "previous": [weights.diagonal(-1, -2, -1)[..., 1:] for weights in maps],
        "first": [weights[..., 2:, 0] for weights in maps],
        "itself": [weights.diagonal(0, -2, -1)[..., 2:] for weights in maps],
    }
    means = {name: torch.cat(parts, -1).double().mean(-1) for name, parts in found.items()}
    seen = [i + 1 for weights in maps for i in range(2, weights.shape[-1])]
    layers, heads = means["first"].shape
    return {
        "rows": len(seen),
        "even": round(sum(1 / n for n in seen) / len(seen), DIGITS),
        "heads": [
            {"layer": layer + 1, "head": head + 1}
            | {name: _rounded(mean[layer, head]) for name, mean in means.items()}
            for layer in range(layers)
            for head in range(heads)
        ],
    }


def run(job: AttentionJob, pretrained: Path, tokenizer: Path, out: Path) -> None:
    """The stage `attention`: `attention.json` and the manifest.

    In float32 on the processor: some sentences take no longer there. Raises `UserError` for
    inputs that do not belong together, a model without attention of the tokens before, and a
    sentence of fewer than three tokens.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    bpe = Tokenizer.load(tokenizer)
    stage = Run("attention", job, {"pretrained": input_id(pretrained), "tokenizer": bpe.id})
    weights = pretrained / "model.safetensors"
    check(weights, read(weights)[1], bpe.id, job.backbone)
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    model = build(job.backbone, bpe.vocab_size, job.n_ctx)
    if not isinstance(model, Transformer | Gpt2):
        raise UserError(
            f"attention: {job.model} is a {job.backbone.kind}; give a model whose tokens look at"
            " those before them (transformer, gpt2, gpt3)"
        )
    load(weights, model)
    sentences: list[dict[str, Any]] = []
    maps = []
    for number, text in enumerate(job.sentences, 1):
        ids = bpe.encode(text)
        if len(ids) < 3:
            raise UserError(
                f"attention.sentences, {number}: `{text}` has {len(ids)} tokens; give at least 3"
            )
        kept = ids[: min(LONGEST, job.n_ctx)]
        seen = look(model, kept)
        maps.append(seen.weights)
        entry: dict[str, Any] = {"text": text, "left_out": len(ids) - len(kept)}
        sentences.append(entry | facts(model, seen, kept, bpe))
    data = {"model": job.model, "seed": job.seed, "run_id": stage.id, "kind": job.backbone.kind}
    write_json(out / OUTPUT, {**data, **shares(maps), "sentences": sentences})
    stage.finish(out, device="cpu", precision="float32")
    for entry in sentences:
        best = entry["next"][-1][0]
        print(f"{entry['text']} [{len(entry['ids'])} tokens] -> {best['token']} {best['p']:.3f}")


def facts(
    model: Transformer | Gpt2, seen: Seen, ids: Sequence[int], tokenizer: Tokenizer
) -> dict[str, Any]:
    """One sentence as JSON: numbers rounded to four places, of the maps the lower triangles.

    `token_embedding` and `position_embedding` are the first components of the rows of W_e and
    W_p, `states` those of h_0 to h_L, `norms` the lengths of the whole states; `next` are the most
    probable tokens after each, `followed` the probability of the one that did follow.
    """
    tokens, places = model.tokens.detach(), model.positions.detach()
    chances = seen.logits.double().softmax(-1)
    best = chances.topk(min(NEXT, chances.shape[-1]), -1).indices
    return {
        "ids": list(ids),
        "tokens": [token_name(tokenizer, i) for i in ids],
        "weights": [
            [[_numbers(row[: i + 1]) for i, row in enumerate(head)] for head in layer]
            for layer in seen.weights
        ],
        "token_embedding": [_numbers(tokens[i, :COMPONENTS]) for i in ids],
        "position_embedding": [_numbers(row[:COMPONENTS]) for row in places[: len(ids)]],
        "states": [[_numbers(x) for x in state[:, :COMPONENTS]] for state in seen.states],
        "norms": [_numbers(state.norm(dim=-1)) for state in seen.states],
        "next": [
            [
                {
                    "id": i,
                    "token": token_name(tokenizer, i),
                    "logit": _rounded(logits[i]),
                    "p": _chance(row[i]),
                }
                for i in most.tolist()
            ]
            for most, row, logits in zip(best, chances, seen.logits, strict=True)
        ],
        "followed": [_chance(chances[at, after]) for at, after in enumerate(ids[1:])],
    }


def _rounded(value: Tensor) -> float:
    return round(float(value), DIGITS)


def _chance(value: Tensor) -> float:
    return float(f"{float(value):.{DIGITS}g}")


def _numbers(values: Tensor) -> list[float]:
    return [round(value, DIGITS) for value in values.tolist()]
