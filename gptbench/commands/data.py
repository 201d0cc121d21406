"""Data sets: `gptbench data`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gptbench.commands.check import add_check
from gptbench.commands.common import CONFIG, Arguments, scale_plan
from gptbench.errors import UserError

if TYPE_CHECKING:
    from gptbench.plan import Plan
    from gptbench.settings import TaskSpec


def add_data(parser: argparse.ArgumentParser) -> None:
    """`gptbench data`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    add_check(actions)
    _add_preview(actions)
    _add_fetch(actions)


def _add_preview(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    preview = actions.add_parser("preview", help="rows of a data set as the model sees them")
    preview.add_argument("task", metavar="TASK", help="a data set's name, as `rte`")
    preview.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with the data sets; default: the scale's"
    )
    preview.add_argument("--split", metavar="NAME", help="default: the training split")
    preview.add_argument("--rows", type=int, default=3, metavar="N", help="default: 3")
    preview.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="folder of a tokenizer; default: the scale's"
    )
    preview.add_argument(
        "--n-ctx", type=int, metavar="N", help="tokens of context; default: the scale's"
    )
    _config_option(preview)

    def run(args: Arguments) -> None:
        from gptbench.data import hub
        from gptbench.data.preview import preview as lines
        from gptbench.data.tokenizer import Tokenizer

        plan = scale_plan(args.config, args.data)
        task = known_task(plan, args.task)
        root = args.data or plan.task_root(args.task)
        if args.data:
            task = hub.as_found(plan.entries[args.task], root)
        folder = args.tokenizer or plan.root / "tokenizer"
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no tokenizer there; give --tokenizer FOLDER (a scale that was run has"
                " one in results/<scale>/tokenizer)"
            )
        split = args.split or task.train
        for line in lines(
            task,
            split,
            root,
            Tokenizer.load(folder),
            args.n_ctx or plan.config.n_ctx,
            args.rows,
        ):
            print(line)

    preview.set_defaults(run=run)


def _add_fetch(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fetch = actions.add_parser("fetch", help="load data sets from the Hugging Face hub")
    fetch.add_argument("tasks", metavar="TASK", nargs="+", help="names of data sets")
    fetch.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="gets hub/TASK/SPLIT.jsonl"
    )
    fetch.add_argument(
        "--mirror", type=Path, metavar="DIR", help="a folder with copies of the hub's repositories"
    )
    fetch.add_argument(
        "--settings", metavar="JSON", help="the job's settings as JSON, or @FILE with them"
    )
    _config_option(fetch)

    def run(args: Arguments) -> None:
        from gptbench.commands.common import job_settings
        from gptbench.data import hub
        from gptbench.settings import FetchJob

        if args.settings:
            jobs = [job_settings(FetchJob, args.settings)]
        else:
            plan = scale_plan(args.config, args.out)
            mirror = str(args.mirror) if args.mirror else plan.config.mirror
            tasks = [plan.entries[known_task(plan, name).name] for name in args.tasks]
            jobs = [FetchJob(task=task, mirror=mirror) for task in tasks]
        for job in jobs:
            hub.fetch(job, args.out)
            facts = hub.manifest(args.out, job.task.name)
            rows = ", ".join(f"{split} {facts['rows'][split]:,}" for split in job.task.files)
            print(f"fetch: {job.task.name} from {facts['repository']}: {rows}", flush=True)

    fetch.set_defaults(run=run)


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        nargs="+",
        type=Path,
        metavar="FILE",
        default=[CONFIG / "config.yaml"],
        help="a scale's files as for --configfile, later ones on top; default: config/config.yaml",
    )


def known_task(plan: Plan, name: str) -> TaskSpec:
    """A task by name; raises `UserError` with the nearest right one."""
    from gptbench.settings import nearest

    if name not in plan.tasks:
        raise UserError(
            f"no data set `{name}`{nearest(name, plan.tasks)}; there is {', '.join(plan.tasks)}"
        )
    return plan.tasks[name]
