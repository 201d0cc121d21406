"""The embedded world: `gptbench world` and `gptbench gates`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import CONFIG, Arguments, job_settings


def add_world(parser: argparse.ArgumentParser) -> None:
    """`gptbench world`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--settings", metavar="JSON", help="a WorldJob as JSON, or @FILE; default: quick's world"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="another seed than the settings'")

    def run(args: Arguments) -> None:
        from gptbench.data.world import write_world
        from gptbench.plan import Plan
        from gptbench.settings import WorldJob, read_yaml

        if args.settings:
            world = job_settings(WorldJob, args.settings).world
        else:
            world = Plan.read(read_yaml(CONFIG / "config.yaml"), CONFIG).world_job().world
        if args.seed is not None:
            world = world.model_copy(update={"seed": args.seed})
        write_world(args.out, **world.model_dump())
        print(f"world: {args.out} (synthetic, seed {world.seed})")

    parser.set_defaults(run=run)


def add_gates(parser: argparse.ArgumentParser) -> None:
    """`gptbench gates`."""
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="a folder `gptbench world` wrote"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file to write the table to")

    def run(args: Arguments) -> None:
        from gptbench.artifacts import write_json
        from gptbench.data.tasks import load_examples
        from gptbench.evaluation import gates
        from gptbench.settings import load_tasks

        rows = []
        for name, task in load_tasks(CONFIG / "tasks.yaml").items():
            if name == "dprd":
                continue
            for score, splits in task.scored.items():
                if len(task.scored) > 1 and score not in ("dev_matched", "test"):
                    continue
                test = [e for split in splits for e in load_examples(task, split, args.data)]
                train = load_examples(task, task.train, args.data)
                rows += gates.gate(task, train, test)
        print(gates.table(rows))
        if args.out:
            write_json(args.out, rows)

    parser.set_defaults(run=run)
