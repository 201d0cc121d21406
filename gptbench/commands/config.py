"""Config files: `gptbench config`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import CONFIG, Arguments


def add_config(parser: argparse.ArgumentParser) -> None:
    """`gptbench config`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="check a scale's config file")
    check.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="later files on top, as --configfile"
    )
    check.add_argument("--data-root", help="stands in for the file's data_root")

    def run(args: Arguments) -> None:
        from gptbench.plan import Plan
        from gptbench.settings import merged_yaml

        data = merged_yaml(args.files)
        if args.data_root:
            data["data_root"] = args.data_root
        where = ", ".join(map(str, args.files))
        plan = Plan.read(data, CONFIG, where)
        print(
            f"{where}: scale {plan.config.scale}, {len(plan.pretrained())} models to pre-train"
            f" or import, {len(plan.runs())} fine-tuning runs"
        )

    check.set_defaults(run=run)
    schema = actions.add_parser("schema", help="write the JSON schemas made from the settings")
    schema.add_argument("--out", type=Path, default=CONFIG.parent / "workflow" / "schemas")

    def write(args: Arguments) -> None:
        from gptbench.artifacts import write_json
        from gptbench.settings import schemas

        for name, content in schemas().items():
            write_json(args.out / name, content)

    schema.set_defaults(run=write)
