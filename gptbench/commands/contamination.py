"""Overlap of the books with the scored texts: `gptbench contamination`."""

from __future__ import annotations

import argparse

from gptbench.commands.common import (
    Arguments,
    data_of,
    data_of_argument,
    job_arguments,
    job_settings,
)


def add_contamination(parser: argparse.ArgumentParser) -> None:
    """`gptbench contamination`."""
    job_arguments(parser, "books", "data", "out")
    data_of_argument(parser)

    def run(args: Arguments) -> None:
        from gptbench.data import contamination
        from gptbench.settings import ContaminationJob

        job = job_settings(ContaminationJob, args.settings)
        contamination.run(job, args.books, args.data, args.out, data_of(args))

    parser.set_defaults(run=run)
