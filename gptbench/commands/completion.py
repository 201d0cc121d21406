"""`gptbench completion`: commands and options completed by the shell."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import Arguments


def add_completion(parser: argparse.ArgumentParser) -> None:
    """`gptbench completion`."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell that you use")

    def run(args: Arguments) -> None:
        import shtab

        from gptbench.cli import build_parser

        whole = build_parser()
        _complete_paths(whole)
        print(shtab.complete(whole, args.shell))

    parser.set_defaults(run=run)


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    """Say of each path whether the shell offers folders alone, or files too."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                _complete_paths(each)
        elif action.type is Path or action.metavar == "DIR":
            kind = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]
