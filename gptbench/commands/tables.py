"""`gptbench table` and `gptbench compare`: what came out, on the terminal or as a file."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from gptbench.commands.common import CONFIG, Arguments

FORMATS = ("text", "md", "csv", "tex")


def add_table(parser: argparse.ArgumentParser) -> None:
    """`gptbench table`."""
    parser.add_argument("name", metavar="N", help="1 to 5, averages, or the name of a study")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results/quick"),
        metavar="DIR",
        help="a scale's results; default: %(default)s",
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="default: by the ending of --out, or text"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there")

    def run(args: Arguments) -> None:
        from gptbench.artifacts import write_text
        from gptbench.report import finished, formats, terminal

        table = finished.read_table(args.results, args.name)
        ending = args.out.suffix.removeprefix(".") if args.out else ""
        form = args.format or (ending if ending in FORMATS else "text")
        if form != "text":
            text = formats.FORMATS[form](table)
        elif args.out:
            text = terminal.to_text(table)
        else:
            text = terminal.to_text(table, *screen())
        if args.out:
            write_text(args.out, text)
        else:
            sys.stdout.write(text)

    parser.set_defaults(run=run)


def add_compare(parser: argparse.ArgumentParser) -> None:
    """`gptbench compare`."""
    sides = "a results folder (results/<scale>), a published report, a CSV of scores, or `paper`"
    parser.add_argument("first", metavar="A", help=sides)
    parser.add_argument("second", metavar="B", help="the same; differences are A minus B")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write compare.html and compare.csv there as well"
    )

    def run(args: Arguments) -> None:
        from gptbench.report import compare
        from gptbench.report.terminal import fold, to_text
        from gptbench.settings import load_tasks

        found = compare.compare(args.first, args.second, load_tasks(CONFIG / "tasks.yaml"))
        width, ansi = screen()
        for letter, side in (("A", found.a), ("B", found.b)):
            lines = [part for text in [side.name, *side.facts] for part in fold(text, width - 3)]
            print("\n".join(f"{letter if i == 0 else ' '}  {text}" for i, text in enumerate(lines)))
        print()
        sys.stdout.write(to_text(compare.table(found, halves=False), width, ansi))
        if args.out:
            compare.write(found, args.out)
            print(f"\n{args.out / 'compare.html'}\n{args.out / 'compare.csv'}")

    parser.set_defaults(run=run)


def screen() -> tuple[int, bool]:
    """The width of what standard output is (80 where unknown), and whether it shows bold."""
    ansi = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return shutil.get_terminal_size((80, 24)).columns, ansi
