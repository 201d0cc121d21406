"""Config files: `gptbench config`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import CONFIG, Arguments, data_root_argument, scale_plan


def add_config(parser: argparse.ArgumentParser) -> None:
    """`gptbench config`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="check a scale's config file")
    check.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="later files on top, as --configfile"
    )
    data_root_argument(check)

    def run(args: Arguments) -> None:
        plan = scale_plan(args.files, args.data_root)
        where = ", ".join(map(str, args.files))
        print(
            f"{where}: scale {plan.config.scale}, {len(plan.pretrained())} models to pre-train"
            f" or import, {len(plan.runs())} fine-tuning runs"
        )

    check.set_defaults(run=run)
    schema = actions.add_parser("schema", help="write the JSON schemas made from the settings")
    schema.add_argument(
        "--out",
        type=Path,
        default=CONFIG.parent / "workflow" / "schemas",
        metavar="DIR",
        help="folder to write to; default: workflow/schemas",
    )

    def write(args: Arguments) -> None:
        from gptbench.artifacts import write_json
        from gptbench.settings import schemas

        for name, content in schemas().items():
            write_json(args.out / name, content)

    schema.set_defaults(run=write)
