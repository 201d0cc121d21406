"""`gptbench plan`: what a run would do, before it does it."""

from __future__ import annotations

import argparse

from gptbench.commands.common import (
    Arguments,
    cores_argument,
    results_root_argument,
    scale_arguments,
    scale_plan,
)


def add_plan(parser: argparse.ArgumentParser) -> None:
    """`gptbench plan`."""
    scale_arguments(parser)
    results_root_argument(parser)
    parser.add_argument(
        "--study",
        action="append",
        default=[],
        metavar="NAME",
        help="a study that runs on request, besides the others; can be given several times",
    )
    cores_argument(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a job")

    def run(args: Arguments) -> None:
        import json

        from gptbench import forecast

        plan = scale_plan(args.files, args.data_root)
        plan.check_data()
        plan.check_requested(args.study)
        found = forecast.forecast(plan, args.results_root, args.study)
        if args.json:
            for job in found:
                facts = {"stage": job.stage, "folder": job.folder, "why": job.why}
                print(json.dumps(facts | {"seconds": round(job.seconds, 1)}))
            return
        print(f"scale {plan.config.scale}: {plan.config.title}\n")
        print(forecast.table(found, args.cores))

    parser.set_defaults(run=run)
