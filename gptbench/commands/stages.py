"""The stages that the workflow runs from data to report."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import Arguments, job_arguments, job_settings


def add_corpus(parser: argparse.ArgumentParser) -> None:
    """`gptbench corpus`."""
    job_arguments(parser, "books", "tokenizer", "out")

    def run(args: Arguments) -> None:
        from gptbench.data import corpus
        from gptbench.settings import CorpusJob

        corpus.run(job_settings(CorpusJob, args.settings), args.books, args.tokenizer, args.out)

    parser.set_defaults(run=run)


def add_encode(parser: argparse.ArgumentParser) -> None:
    """`gptbench encode`."""
    job_arguments(parser, "data", "tokenizer", "out")

    def run(args: Arguments) -> None:
        from gptbench.data import inputs
        from gptbench.settings import EncodeJob

        inputs.run(job_settings(EncodeJob, args.settings), args.data, args.tokenizer, args.out)

    parser.set_defaults(run=run)


def add_pretrain(parser: argparse.ArgumentParser) -> None:
    """`gptbench pretrain`."""
    job_arguments(parser, "corpus", "out")

    def run(args: Arguments) -> None:
        from gptbench.settings import PretrainJob
        from gptbench.training import pretrain

        pretrain.run(job_settings(PretrainJob, args.settings), args.corpus, args.out)

    parser.set_defaults(run=run)


def add_finetune(parser: argparse.ArgumentParser) -> None:
    """`gptbench finetune`."""
    job_arguments(parser, "task", "out")
    parser.add_argument(
        "--pretrained", metavar="DIR", help="folder of a pre-trained model; empty for none"
    )

    def run(args: Arguments) -> None:
        from gptbench.settings import FinetuneJob
        from gptbench.training import finetune

        pretrained = Path(args.pretrained) if args.pretrained else None
        finetune.run(job_settings(FinetuneJob, args.settings), args.task, pretrained, args.out)

    parser.set_defaults(run=run)


def add_zeroshot(parser: argparse.ArgumentParser) -> None:
    """`gptbench zeroshot`."""
    job_arguments(parser, "pretrained", "tasks", "tokenizer", "out")

    def run(args: Arguments) -> None:
        from gptbench.evaluation import zeroshot
        from gptbench.settings import ZeroshotJob

        job = job_settings(ZeroshotJob, args.settings)
        zeroshot.run(job, args.pretrained, args.tasks, args.out, tokenizer=args.tokenizer)

    parser.set_defaults(run=run)


def add_report(parser: argparse.ArgumentParser) -> None:
    """`gptbench report`."""
    job_arguments(parser, "results")
    parser.add_argument(
        "--publish",
        type=Path,
        metavar="PATH",
        help="write the report there, to be given away without the runs: no links to their folders",
    )

    def run(args: Arguments) -> None:
        from gptbench.report import build
        from gptbench.settings import ReportJob

        build.run(job_settings(ReportJob, args.settings), args.results, args.publish)

    parser.set_defaults(run=run)
