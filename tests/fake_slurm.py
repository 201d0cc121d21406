#!/usr/bin/env python3
"""Slurm's commands as far as Snakemake's plugin calls them: jobs run at once, on this machine.

`install(folder)` makes them; the folder goes first on PATH. What was submitted is in `calls.jsonl`,
a job's state in `<number>.state`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

COMMANDS = "sbatch sacct squeue srun sinfo sacctmgr scontrol scancel".split()
SHORT_WITH_VALUE = ("-n", "-c", "-t", "-D", "-A", "-p", "-C", "-J", "-N")


def install(folder: Path) -> None:
    """Put the commands into a folder."""
    folder.mkdir(parents=True)
    for name in COMMANDS:
        path = folder / name
        path.write_text(f"#!{sys.executable}\n" + Path(__file__).read_text("utf-8"), "utf-8")
        path.chmod(0o755)


def sbatch(home: Path, words: list[str]) -> None:
    """Start `--wrap` and print the job's number."""
    with (home / "calls.jsonl").open("a") as file:
        file.write(json.dumps(words) + "\n")
        number = file.tell()  # grows with each call
    wrapped = next(word for word in words if word.startswith("--wrap="))[len("--wrap=") :]
    output = words[words.index("--output") + 1].replace("%j", str(number))
    state = home / f"{number}.state"
    state.write_text("RUNNING")
    script = (
        f"({wrapped}\n); if [ $? -eq 0 ]; then echo COMPLETED > '{state}';"
        f" else echo FAILED > '{state}'; fi"
    )
    # A compute node has a /tmp of its own, but the environment of `sbatch --export=ALL`.
    with Path(output).open("w") as log:
        subprocess.Popen(
            ["/bin/sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "SLURM_JOB_ID": str(number)},
            cwd=words[words.index("-D") + 1],
            start_new_session=True,
        )
    print(number)


def main() -> None:
    """Do what the name of this file says."""
    name, words, home = Path(sys.argv[0]).name, sys.argv[1:], Path(sys.argv[0]).parent
    if name == "sbatch":
        sbatch(home, words)
    elif name in ("sacct", "squeue") and "--name" in words:
        for path in home.glob("*.state"):
            print(f"{path.stem}|{path.read_text().strip()}")
    elif name == "srun":
        while words[0].startswith("-"):
            words = words[2:] if words[0] in SHORT_WITH_VALUE else words[1:]
        os.execvp(words[0], words)
    elif name == "sinfo":
        print("PARTITION\nmain*")
    elif name == "sacctmgr":
        print("lab")


if __name__ == "__main__":
    main()
