"""`gptbench tasks`: all data sets of a scale as token ids, without the workflow."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import Arguments, scale_arguments, scale_plan


def add_tasks(parser: argparse.ArgumentParser) -> None:
    """`gptbench tasks`."""
    scale_arguments(parser)
    parser.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="folder of a tokenizer; default: the scale's"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write to; default: the scale's tasks"
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="default: 2")

    def run(args: Arguments) -> None:
        from gptbench.data import inputs

        plan = scale_plan(args.files, args.data_root)
        inputs.run_all(
            [(plan.encode_job(task), plan.task_root(task)) for task in plan.task_names()],
            args.tokenizer or plan.root / "tokenizer",
            args.out or plan.root / "tasks",
            args.workers,
        )

    parser.set_defaults(run=run)
