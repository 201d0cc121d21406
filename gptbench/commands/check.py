"""Check the data sets of a folder: the action `gptbench data check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from gptbench.commands.common import CONFIG, STAGE_PATHS, Arguments, scale_plan
from gptbench.errors import UserError


def add_check(actions: Any) -> None:
    """Add `check` to the actions (sub-parsers) of `gptbench data`."""
    text = "count and check the data sets of a folder; exit status 1 where there is a fault"
    parser = actions.add_parser("check", help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="default: all that are there")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=STAGE_PATHS["data"])
    parser.add_argument(
        "--config",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="a scale's files: its sets have to be there; its tokenizer and context are used",
    )
    parser.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="folder of a tokenizer, to count tokens"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the numbers there as JSON as well"
    )
    parser.set_defaults(run=run)


def run(args: Arguments) -> None:
    """Print the tables, then what is missing, wrong or worth a look; exit with 1 on a fault."""
    from gptbench.artifacts import write_json
    from gptbench.data import check
    from gptbench.data.tokenizer import Tokenizer
    from gptbench.plan import located
    from gptbench.settings import load_tasks, nearest

    contexts = set(check.CONTEXTS)
    folder = args.tokenizer
    asked = list(args.tasks)
    roots: dict[str, Path] = {}
    if args.config:
        plan = scale_plan(args.config, args.data)
        known = plan.entries
        elsewhere = [n for n in known if n in plan.own or plan.fetches(n)]
        roots = {name: plan.task_root(name) for name in elsewhere}
        asked = asked or plan.task_names()
        contexts.add(plan.config.n_ctx)
        if folder is None and (plan.root / "tokenizer").is_dir():
            folder = plan.root / "tokenizer"
    else:
        known = load_tasks(CONFIG / "tasks.yaml")
    for name in asked:
        if name not in known:
            raise UserError(f"`{name}` is no data set{nearest(name, known)}")
    tokenizer = Tokenizer.load(folder) if folder else None
    places = {name: roots.get(name, args.data) for name in asked or known}
    tasks = [located(known[name], root) for name, root in places.items()]
    checks = check.check(tasks, args.data, tokenizer, sorted(contexts), places)
    if args.out:
        write_json(args.out, check.as_json(checks))
    print(check.table(checks), end="\n\n")
    if tokenizer is None:
        print("tokens were not counted: give --tokenizer DIR, a folder with a vocabulary")
    faults = check.faults(checks, asked=bool(asked))
    absent = [] if asked else [each for each in checks if each.missing]
    for each in absent if not all(each.missing for each in checks) else []:
        print(f"not there: {each.name}; {check.where_to_get(each)}")
    warnings = [line for each in checks for line in each.warnings]
    for kind, lines in (("warning", warnings), ("fault", faults)):
        for line in lines:
            print(f"{kind}: {line}")
    splits = sum(len(each.splits) for each in checks)
    there = sum(not each.missing for each in checks)
    print(
        f"{there} data sets, {splits} splits: {len(faults)} faults, {len(warnings)} warnings",
        flush=True,
    )
    if faults:
        sys.exit(1)
