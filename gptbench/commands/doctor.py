"""`gptbench doctor`: the environment, the data, and what a scale will take."""

from __future__ import annotations

import argparse

from gptbench.commands.common import (
    Arguments,
    cores_argument,
    results_root_argument,
    scale_arguments,
    scale_plan,
)
from gptbench.errors import FaultsFound


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """`gptbench doctor`."""
    scale_arguments(parser)
    results_root_argument(parser)
    cores_argument(parser)

    def run(args: Arguments) -> None:
        from gptbench import doctor

        plan = scale_plan(args.files, args.data_root)
        print(f"scale {plan.config.scale}: {plan.config.title}")
        faults = 0
        for finding in doctor.examine(plan, args.results_root, args.cores or doctor.cores_here()):
            faults += finding.state == "fault"
            print(finding, flush=True)
        if faults:
            raise FaultsFound(f"{faults} fault(s) keep this scale from running; each line says how")

    parser.set_defaults(run=run)
