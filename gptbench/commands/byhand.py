"""What was trained, tried by hand: `gptbench predict`, `generate` and `score`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gptbench.commands.common import Arguments
from gptbench.errors import UserError


@contextmanager
def _text(path: Path | None) -> Iterator[tuple[TextIO, str]]:
    """A UTF-8 file (`-` or none: standard input) and how it is called."""
    if path is None or str(path) == "-":
        if sys.stdin is None:
            raise UserError("standard input is closed; pipe text into it, or name a file")
        yield sys.stdin, "standard input"
        return
    try:
        with path.open(encoding="utf-8") as file:
            yield file, str(path)
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def _model(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help=what)
    parser.add_argument(
        "--tokenizer",
        type=Path,
        metavar="DIR",
        help="default: tokenizer/ in or above the model's folder",
    )


def add_predict(parser: argparse.ArgumentParser) -> None:
    """`gptbench predict`."""
    _model(parser, "folder of a fine-tuning run whose weights were kept")
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help='JSON lines: {"text"}, {"text1", "text2"}, or {"context", "question", "answers"};'
        " default: standard input",
    )

    def run(args: Arguments) -> None:
        from gptbench.evaluation import byhand

        predictor = byhand.Predictor(args.model, args.tokenizer)
        with _text(args.file) as (lines, where):
            chunk = 1 if lines.isatty() else byhand.CHUNK
            for line in byhand.predict(predictor, iter(lines), where, chunk):
                print(line, flush=chunk == 1)

    parser.set_defaults(run=run)


def add_generate(parser: argparse.ArgumentParser) -> None:
    """`gptbench generate`."""
    _model(parser, "folder of a pre-trained model")
    parser.add_argument(
        "--prompt", default="", metavar="TEXT", help="text to go on from; default: a new line"
    )
    parser.add_argument(
        "--tokens", type=int, default=50, metavar="N", help="tokens to add; default: 50"
    )
    parser.add_argument(
        "--samples", type=int, default=1, metavar="N", help="texts to draw; default: 1"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="X",
        help="0 takes the most probable; default: 1",
    )
    parser.add_argument(
        "--top-k", type=int, metavar="N", help="draw from the k most probable tokens"
    )
    parser.add_argument(
        "--top-p", type=float, metavar="X", help="draw from the fewest that reach this share"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")

    def run(args: Arguments) -> None:
        from gptbench.evaluation import byhand

        if args.tokens < 1 or args.samples < 1:
            raise UserError("--tokens and --samples: give 1 or more")
        how = byhand.Sampling(args.temperature, args.top_k, args.top_p)
        loaded = byhand.Loaded.read(args.model, args.tokenizer)
        for sample in range(args.samples):
            text = byhand.generate(loaded, args.prompt, args.tokens, how, args.seed + sample)
            print(text + ("\n" if sample + 1 < args.samples else ""), flush=True)

    parser.set_defaults(run=run)


def add_score(parser: argparse.ArgumentParser) -> None:
    """`gptbench score`."""
    _model(parser, "folder of a pre-trained model")
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a text; default: standard input"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a coloured page as well")

    def run(args: Arguments) -> None:
        import json
        from dataclasses import asdict

        from gptbench.artifacts import write_text
        from gptbench.evaluation import byhand

        loaded = byhand.Loaded.read(args.model, args.tokenizer)
        with _text(args.file) as (source, _):
            scores = byhand.token_scores(loaded, source.read())
        if args.html:
            write_text(args.html, byhand.coloured_page(scores, str(args.model)))
        for score in scores:
            print(json.dumps(asdict(score), ensure_ascii=False))

    parser.set_defaults(run=run)
