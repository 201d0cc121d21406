"""Weights from elsewhere and for elsewhere: `gptbench weights`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import Arguments, job_settings


def add_weights(parser: argparse.ArgumentParser) -> None:
    """`gptbench weights`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    take = actions.add_parser("import", help="the released archive, or a transformers folder")
    take.add_argument(
        "path",
        type=Path,
        metavar="PATH",
        help="params_0.npy ... params_shapes.json, or config.json",
    )
    take.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of a pre-trained model"
    )
    take.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="its vocabulary's folder; default: PATH"
    )
    take.add_argument(
        "--heads", type=int, metavar="N", help="attention heads; default: 64 states each"
    )
    take.add_argument(
        "--settings", metavar="JSON", help="an ImportJob as JSON, or @FILE; default: what is found"
    )

    def run(args: Arguments) -> None:
        from gptbench.models import exchange
        from gptbench.settings import ImportJob

        job = job_settings(ImportJob, args.settings) if args.settings else None
        exchange.import_weights(args.path, args.out, args.tokenizer, job, args.heads)

    take.set_defaults(run=run)
    give = actions.add_parser("export", help="for transformers, or in the released layout")
    give.add_argument(
        "model", type=Path, metavar="MODEL", help="folder of a pre-trained or fine-tuned model"
    )
    give.add_argument(
        "--format",
        choices=("hf", "released"),
        required=True,
        help="transformers, or OpenAI's files",
    )
    give.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    give.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="default: tokenizer/ in or above the model's"
    )

    def export(args: Arguments) -> None:
        from gptbench.models import exchange

        exchange.export_weights(args.model, args.out, args.format, args.tokenizer)

    give.set_defaults(run=export)
