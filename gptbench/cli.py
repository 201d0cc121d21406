"""The command line: `gptbench STAGE`. Every rule of the workflow calls one, and a person can too.

Each command is a module of `gptbench/commands`; imports are inside its `run`, so that a command
starts in a few hundredths of a second where the warm worker does its work (`worker.py`).
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from gptbench import worker
from gptbench.commands.examples import epilog
from gptbench.display import QUIET
from gptbench.errors import STOPPED, UserError

STAGES = {
    "doctor": ("doctor", "check the environment and the data, and say what a scale will take"),
    "plan": ("plan", "what a run will do, what it will reuse, and how long it should take"),
    "table": ("tables", "print a table of a finished report: text, Markdown, CSV or LaTeX"),
    "compare": ("tables", "differences of two results, reports, CSVs of scores, or the paper"),
    "predict": ("byhand", "a fine-tuned model on new rows: JSON lines in, JSON lines out"),
    "generate": ("byhand", "text from a pre-trained model"),
    "score": ("byhand", "log-probability and rank of each token of a text"),
    "perplexity": ("perplexity", "perplexity of a pre-trained model on a text, as JSON"),
    "data": ("data", "data sets: check, preview rows, fetch from the hub"),
    "tasks": ("tasks", "all data sets of a scale to token ids; what is there already is kept"),
    "submit": ("submit", "files for GLUE, Story Cloze and RACE, and their check"),
    "weights": ("weights", "weights from elsewhere and for elsewhere: import, export"),
    "track": ("track", "MLflow: sync, follow, ui"),
    "config": ("config", "check a config file, write the schemas"),
    "completion": ("completion", "a script with which the shell completes commands and options"),
    # The stages of the workflow, in its order.
    "world": ("world", "write the embedded world: books and tasks in the original formats"),
    "gates": ("world", "what bag of words and the second text alone reach on the embedded world"),
    "tokenizer": ("tokenizer", "byte-pair encoding: train, import, encode, decode"),
    "corpus": ("stages", "books to token shards"),
    "encode": ("stages", "one data set to token ids"),
    "contamination": ("contamination", "how much of the scored texts stands in the books"),
    "pretrain": ("stages", "pre-train one model (L1)"),
    "finetune": ("stages", "fine-tune and score one run (L3)"),
    "zeroshot": ("stages", "score the checkpoints of a model without fine-tuning"),
    "fewshot": ("fewshot", "score a model with solved examples in the context"),
    "attention": ("attention", "follow sentences through a model: attention, states, predictions"),
    "report": ("stages", "tables, figures and the page"),
}
"""Each command's module in `gptbench/commands`, where `add_<command>` is, and what it does."""


def build_parser(stage: str | None = None) -> argparse.ArgumentParser:
    """The parser; only `stage` is spelled out where one is given."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="gptbench",
        description="A reproducible benchmark and ablation pipeline for GPT-1.",
        epilog=epilog(None),
        formatter_class=form,
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="file that gets a copy of what is printed"
    )
    stages = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="stage")
    for name, (module, text) in STAGES.items():
        said = text[0].upper() + text[1:] + "."
        sub = stages.add_parser(
            name, help=text, description=said, epilog=epilog(name), formatter_class=form
        )
        if stage in (None, name):
            commands = importlib.import_module(f"gptbench.commands.{module}")
            getattr(commands, f"add_{name}")(sub)
    return parser


class Tee:
    """A text stream that also writes to a log file."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self.stream, self.log = stream, log

    def write(self, text: str) -> int:
        """Write to both."""
        self.log.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        """Flush both."""
        self.log.flush()
        self.stream.flush()

    def isatty(self) -> bool:
        """A logged job prints lines, not bars."""
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def _logged(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = sys.stdout, sys.stderr
    with path.open("w", encoding="utf-8", buffering=1) as log:
        if os.environ.get(QUIET):
            sys.stdout = sys.stderr = log
        else:
            sys.stdout, sys.stderr = Tee(streams[0], log), Tee(streams[1], log)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status (`commands/examples.py` says what each means)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    stage = next((word for word in arguments if word in STAGES), None)
    # The worker's jobs have no standard input.
    reads = stage == "tokenizer" and {"encode", "decode"} & set(arguments)
    if stage in worker.WARM and not reads and not {"-h", "--help"} & set(arguments):
        status = worker.delegate(arguments)
        if status is not None:
            return status
    args = build_parser(stage).parse_args(arguments)
    with ExitStack() as stack:
        try:
            stack.enter_context(_logged(args.log))
            args.run(args)
        except UserError as error:
            print(f"gptbench: {error}", file=sys.stderr)
            return error.status
        except BrokenPipeError:
            os.close(sys.stdout.fileno())
            return 141  # as the shell says of a command whose reader is gone
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            print(f"gptbench: {error.filename or 'file'}: {error.strerror}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"gptbench: {STOPPED}", file=sys.stderr)
            return 130
        except Exception:  # a fault of ours: all of it, into the log too
            traceback.print_exc()
            return 70
    return 0
