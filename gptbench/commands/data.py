"""The data sets: `gptbench data`."""

from __future__ import annotations

import argparse

from gptbench.commands.check import add_check


def add_data(parser: argparse.ArgumentParser) -> None:
    """`gptbench data`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    add_check(actions)
