"""`gptbench perplexity`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import Arguments


def add_perplexity(parser: argparse.ArgumentParser) -> None:
    """`gptbench perplexity`."""
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="folder of a pre-trained model"
    )
    parser.add_argument(
        "--text", type=Path, required=True, metavar="FILE", help="a UTF-8 text file"
    )
    parser.add_argument(
        "--stride", type=int, metavar="N", help="tokens a window moves; default: half a context"
    )
    parser.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="default: tokenizer/ in or above the model's"
    )

    def run(args: Arguments) -> None:
        import json

        from gptbench.evaluation import perplexity

        found = perplexity.measure(args.model, args.text, args.stride, args.tokenizer)
        print(json.dumps(found, indent=2))

    parser.set_defaults(run=run)
