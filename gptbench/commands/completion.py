"""`gptbench completion`: commands and options completed by the shell."""

from __future__ import annotations

import argparse

from gptbench.commands.common import Arguments


def add_completion(parser: argparse.ArgumentParser) -> None:
    """`gptbench completion`."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    parser.epilog = (
        "bash: gptbench completion bash > ~/.local/share/bash-completion/completions/gptbench; "
        "zsh: gptbench completion zsh > a folder of fpath, as _gptbench"
    )

    def run(args: Arguments) -> None:
        import shtab

        from gptbench.cli import build_parser

        print(shtab.complete(build_parser(), args.shell))

    parser.set_defaults(run=run)
