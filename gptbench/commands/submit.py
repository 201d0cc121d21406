"""`gptbench submit`: files for the leaderboards, and their check."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptbench.commands.common import CONFIG, STAGE_PATHS, Arguments
from gptbench.errors import FaultsFound, UserError


def add_submit(parser: argparse.ArgumentParser) -> None:
    """`gptbench submit`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, text in (
        ("glue", "GLUE's zip from its hidden test files"),
        ("story_cloze", "answer.txt for Story Cloze"),
        ("race", "RACE's answers as JSON"),
    ):
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.add_argument(
            "--results",
            type=Path,
            required=True,
            metavar="DIR",
            help=STAGE_PATHS["results"],
        )
        action.add_argument(
            "--data", type=Path, required=True, metavar="DIR", help="folder with the test files"
        )
        action.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
        action.add_argument("--variant", default="full", metavar="NAME", help="default: full")
        action.add_argument(
            "--seeds",
            default="pre0-seed0",
            metavar="SEEDS",
            help="the run's seeds; default: pre0-seed0",
        )
        action.add_argument(
            "--tokenizer", type=Path, metavar="DIR", help="default: tokenizer/ of the results"
        )
        if name == "story_cloze":
            action.add_argument("--split", default="test", metavar="NAME", help="default: test")
        action.set_defaults(run=_write, what=name)
    check = actions.add_parser("check", help="check a file before it is handed in")
    check.add_argument("what", choices=("glue", "story_cloze", "race"), help="what it is for")
    check.add_argument("file", type=Path, metavar="FILE", help="the file to check")
    check.add_argument(
        "--data", type=Path, metavar="DIR", help="the test files (Story Cloze, RACE)"
    )
    check.add_argument(
        "--split", default="test", metavar="NAME", help="of Story Cloze; default: test"
    )
    check.set_defaults(run=_check)


def _write(args: Arguments) -> None:
    from gptbench.evaluation import submission
    from gptbench.settings import load_tasks

    tasks = load_tasks(CONFIG / "tasks.yaml")
    source = submission.Source(args.results, args.variant, args.seeds, args.data, args.tokenizer)
    if args.what == "glue":
        remarks = submission.glue(source, tasks, args.out)
        print(f"submit: {args.out}, {len(submission.GLUE) + 1} files")
        print("\n".join(f"submit: {remark}" for remark in remarks))
    elif args.what == "story_cloze":
        count = submission.story_cloze(source, tasks["story_cloze"], args.split, args.out)
        print(f"submit: {args.out}, {count} stories")
    else:
        splits = tasks["race"].scored["test"]
        print(
            f"submit: {args.out}, {submission.race(source, tasks['race'], splits, args.out)}"
            " questions"
        )


def _check(args: Arguments) -> None:
    from collections import Counter

    from gptbench.data.tasks import load_texts
    from gptbench.evaluation import submission
    from gptbench.settings import load_tasks

    if args.what == "glue":
        faults = submission.check_glue(args.file)
    else:
        if args.data is None:
            raise UserError("--data is needed: the folder with the test files")
        task = load_tasks(CONFIG / "tasks.yaml")[args.what]
        if args.what == "story_cloze":
            ids = [row.id for row in load_texts(task, args.split, args.data)]
            faults = submission.check_story_cloze(args.file, ids)
        else:
            rows = [r for s in task.scored["test"] for r in load_texts(task, s, args.data)]
            sizes = Counter(row.id.rpartition("#")[0] or row.id for row in rows)
            faults = submission.check_race(args.file, sizes)
    for fault in faults:
        print(f"{args.file}: {fault}")
    if faults:
        raise FaultsFound(f"{args.file}: {len(faults)} fault(s); mend them before handing it in")
    print(f"{args.file}: in order")
