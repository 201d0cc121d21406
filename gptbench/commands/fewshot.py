"""`gptbench fewshot`."""

from __future__ import annotations

import argparse

from gptbench.commands.common import Arguments, job_arguments, job_settings


def add_fewshot(parser: argparse.ArgumentParser) -> None:
    """`gptbench fewshot`."""
    job_arguments(parser, "pretrained", "data", "tokenizer", "out")

    def run(args: Arguments) -> None:
        from gptbench.evaluation import fewshot
        from gptbench.settings import FewShotJob

        job = job_settings(FewShotJob, args.settings)
        fewshot.run(job, args.pretrained, args.data, args.tokenizer, args.out)

    parser.set_defaults(run=run)
