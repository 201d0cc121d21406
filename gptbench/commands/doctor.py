"""`gptbench doctor`: the environment, the data, and what a scale will take."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import Arguments, scale_arguments, scale_plan
from gptbench.errors import UserError


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """`gptbench doctor`."""
    scale_arguments(parser)
    parser.add_argument("--results-root", type=Path, default=Path("results"))
    parser.add_argument("--cores", type=int, help="default: this machine's")

    def run(args: Arguments) -> None:
        from gptbench import doctor

        plan = scale_plan(args.files, args.data_root)
        print(f"scale {plan.config.scale}: {plan.config.title}")
        faults = 0
        for finding in doctor.examine(plan, args.results_root, args.cores or doctor.cores_here()):
            faults += finding.state == "fault"
            print(finding, flush=True)
        if faults:
            raise UserError(f"{faults} fault(s) keep this scale from running; each line says how")

    parser.set_defaults(run=run)
