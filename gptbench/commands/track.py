"""MLflow: `gptbench track`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import STAGE_PATHS, Arguments, results_root_argument


def store(parser: argparse.ArgumentParser) -> None:
    """What is logged, and where to."""
    parser.add_argument(
        "--results", type=Path, required=True, metavar="DIR", help=STAGE_PATHS["results"]
    )
    parser.add_argument(
        "--uri", metavar="URI", help="a tracking server or database; default: results/mlflow.db"
    )


def add_track(parser: argparse.ArgumentParser) -> None:
    """`gptbench track`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    sync = actions.add_parser("sync", help="log to MLflow what is not logged yet")
    store(sync)
    sync.add_argument(
        "--best-effort", action="store_true", help="a server that is away is not an error"
    )
    sync.add_argument(
        "--models", action="store_true", help="register kept weights as logged models too"
    )
    sync.add_argument(
        "--ui",
        metavar="URI",
        help="where the MLflow pages are, for the report's links; remembered;"
        " default: the server, or http://127.0.0.1:5000",
    )

    def run(args: Arguments) -> None:
        from gptbench import tracking

        tracking.sync(
            args.results, args.uri, best_effort=args.best_effort, models=args.models, ui=args.ui
        )

    sync.set_defaults(run=run)
    follow = actions.add_parser("follow", help="log the jobs that run for long while they run")
    store(follow)
    follow.add_argument(
        "--every",
        type=float,
        default=10.0,
        metavar="N",
        help="seconds between two looks; default: 10",
    )

    def look_on(args: Arguments) -> None:
        from gptbench import tracking

        tracking.follow(args.results, args.uri, args.every)

    follow.set_defaults(run=look_on)
    ui = actions.add_parser("ui", help="serve the MLflow UI on 127.0.0.1")
    results_root_argument(ui)
    ui.add_argument("--port", type=int, default=5000, metavar="N", help="default: 5000")

    def serve(args: Arguments) -> None:
        from gptbench import tracking

        tracking.ui(args.results_root, args.port)

    ui.set_defaults(run=serve)
