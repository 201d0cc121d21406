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
from gptbench.errors import UserError


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
    parser.add_argument(
        "--tflops",
        type=float,
        metavar="N",
        help="reckon training at N * 10^12 operations a second, in place of this machine's speed",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a job")

    def run(args: Arguments) -> None:
        import json

        from gptbench import forecast

        plan = scale_plan(args.files, args.data_root)
        plan.check_data()
        plan.check_requested(args.study)
        if args.tflops is not None and not 0 < args.tflops < float("inf"):
            raise UserError(f"--tflops {args.tflops}: a number above 0 expected")
        speed = None if args.tflops is None else 1e12 * args.tflops
        found = forecast.forecast(plan, args.results_root, args.study, speed)
        if args.json:
            for job in found:
                facts = {"stage": job.stage, "folder": job.folder, "why": job.why}
                print(json.dumps(facts | {"seconds": round(job.seconds, 3)}))
            return
        print(f"scale {plan.config.scale}: {plan.config.title}\n")
        print(forecast.table(found, args.cores))
        if speed is not None:
            training = [job.seconds for job in found if job.stage in ("pretrain", "finetune")]
            print(
                f"{sum(training) / 3600:,.0f} h of training in all, one job at a time, at"
                f" {args.tflops:g} TFLOP/s"
            )

    parser.set_defaults(run=run)
