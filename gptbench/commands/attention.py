"""`gptbench attention`."""

from __future__ import annotations

import argparse

from gptbench.commands.common import Arguments, job_arguments, job_settings


def add_attention(parser: argparse.ArgumentParser) -> None:
    """`gptbench attention`."""
    job_arguments(parser, "pretrained", "tokenizer", "out")

    def run(args: Arguments) -> None:
        from gptbench.evaluation import attention
        from gptbench.settings import AttentionJob

        job = job_settings(AttentionJob, args.settings)
        attention.run(job, args.pretrained, args.tokenizer, args.out)

    parser.set_defaults(run=run)
