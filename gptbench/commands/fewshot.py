"""`gptbench fewshot`."""

from __future__ import annotations

import argparse

from gptbench.commands.common import (
    Arguments,
    data_of,
    data_of_argument,
    job_arguments,
    job_settings,
)


def add_fewshot(parser: argparse.ArgumentParser) -> None:
    """`gptbench fewshot`."""
    job_arguments(parser, "pretrained", "data", "tokenizer", "out")
    data_of_argument(parser)

    def run(args: Arguments) -> None:
        from gptbench.evaluation import fewshot
        from gptbench.settings import FewShotJob

        job = job_settings(FewShotJob, args.settings)
        roots = data_of(args)
        fewshot.run(job, args.pretrained, args.data, args.tokenizer, args.out, roots)

    parser.set_defaults(run=run)
