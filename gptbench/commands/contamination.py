"""Overlap of the books with the scored texts: `gptbench contamination`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import Arguments, job_arguments, job_settings
from gptbench.errors import UserError


def add_contamination(parser: argparse.ArgumentParser) -> None:
    """`gptbench contamination`."""
    job_arguments(parser, "books", "data", "out")
    parser.add_argument(
        "--data-of",
        nargs="+",
        default=[],
        metavar="TASK=DIR",
        help="folders of data sets that are not below --data",
    )

    def run(args: Arguments) -> None:
        from gptbench.data import contamination
        from gptbench.settings import ContaminationJob

        job = job_settings(ContaminationJob, args.settings)
        roots = {}
        for each in args.data_of:
            name, mark, folder = each.partition("=")
            if not mark:
                raise UserError(f"--data-of {each}: TASK=DIR expected")
            roots[name] = Path(folder)
        contamination.run(job, args.books, args.data, args.out, roots)

    parser.set_defaults(run=run)
