"""`gptbench doctor`: the environment, the data, and what a scale will take."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import CONFIG, Arguments
from gptbench.errors import UserError


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """`gptbench doctor`."""
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="config files as for --configfile, later ones on top; default: config/config.yaml",
    )
    parser.add_argument("--data-root", help="stands in for the files' data_root")
    parser.add_argument("--results-root", type=Path, default=Path("results"))
    parser.add_argument("--cores", type=int, help="default: this machine's")

    def run(args: Arguments) -> None:
        from gptbench import doctor
        from gptbench.plan import Plan
        from gptbench.settings import merged_yaml

        files = args.files or [CONFIG / "config.yaml"]
        data = merged_yaml(files)
        if args.data_root:
            data["data_root"] = args.data_root
        plan = Plan.read(data, CONFIG, ", ".join(map(str, files)))
        print(f"scale {plan.config.scale}: {plan.config.title}")
        faults = 0
        for finding in doctor.examine(plan, args.results_root, args.cores or doctor.cores_here()):
            faults += finding.state == "fault"
            print(finding, flush=True)
        if faults:
            raise UserError(f"{faults} fault(s) keep this scale from running; each line says how")

    parser.set_defaults(run=run)
