"""Byte-pair encoding: `gptbench tokenizer`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gptbench.commands.common import STAGE_PATHS, Arguments, job_arguments, job_settings
from gptbench.errors import UserError


def add_tokenizer(parser: argparse.ArgumentParser) -> None:
    """`gptbench tokenizer`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    train = actions.add_parser("train", help="learn the merges from the training books")
    job_arguments(train, "books", "out")

    def run(args: Arguments) -> None:
        from gptbench.data import tokenizer
        from gptbench.settings import TokenizerJob

        tokenizer.run_train(job_settings(TokenizerJob, args.settings), args.books, args.out)

    train.set_defaults(run=run)
    take = actions.add_parser("import", help="take over a released vocabulary and its merges")
    take.add_argument(
        "--vocab", type=Path, required=True, metavar="FILE", help="JSON: symbol to id"
    )
    take.add_argument(
        "--merges", type=Path, required=True, metavar="FILE", help="text: one merge a line"
    )
    take.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")

    def take_over(args: Arguments) -> None:
        from gptbench.data import tokenizer

        taken = tokenizer.import_files(args.vocab, args.merges, args.out)
        print(f"tokenizer: {len(taken.merges)} merges, {taken.vocab_size} symbols in {args.out}")

    take.set_defaults(run=take_over)
    for name, form in (
        ("encode", 'JSON lines {"text": ...} on standard input to {"ids": [...]}'),
        ("decode", 'JSON lines {"ids": [...]} on standard input to {"text": ...}'),
    ):
        action = actions.add_parser(name, help=form, description=form + ".")
        action.add_argument(
            "--tokenizer", type=Path, required=True, metavar="DIR", help=STAGE_PATHS["tokenizer"]
        )
        action.set_defaults(run=_lines, action=name)


def _lines(args: Arguments) -> None:
    """Line by line, so that a program at the other end of a pipe gets each answer at once."""
    from gptbench.data import tokenizer

    if sys.stdin is None:
        raise UserError("standard input is closed; pipe JSON lines into it")
    change = {"encode": tokenizer.encode_lines, "decode": tokenizer.decode_lines}[args.action]
    for line in change(tokenizer.Tokenizer.load(args.tokenizer), sys.stdin.buffer):
        print(line, flush=True)
