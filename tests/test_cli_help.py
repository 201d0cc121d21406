"""The command line's help, its exit statuses and what a shell completes, as a person meets them."""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gptbench import cli
from gptbench.commands import config as config_command
from gptbench.commands.examples import EXAMPLES, STATUSES
from gptbench.plan import Plan
from tests.conftest import PROJECT, tiny_config

METAVARS = {"DIR", "FILE", "PATH", "JSON", "N", "X", "TEXT", "NAME", "URI", "TASK", "TASK=DIR"}
METAVARS |= {"MODEL", "SEEDS", "A", "B"}


def parsers(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.Action]]:
    """Every option and argument of a command line, with the command that has it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, sub in action.choices.items():
                yield from parsers(sub, f"{name} {word}")
        elif not isinstance(action, argparse._HelpAction):
            yield name, action


EVERY = list(parsers(cli.build_parser(), "gptbench"))


def test_every_option_is_explained() -> None:
    assert len(EVERY) > 100
    for command, action in EVERY:
        what = f"{command} {action.option_strings or action.dest}"
        assert action.help, what
        if action.nargs != 0 and action.choices is None:
            assert action.metavar in METAVARS, what


def test_an_option_is_called_the_same_everywhere() -> None:
    """One name, one kind of value; what `--out` names depends on what is written."""
    kinds: dict[str, set[object]] = {}
    for _, action in EVERY:
        for name in action.option_strings:
            if action.choices is None:
                kinds.setdefault(name, set()).add(action.metavar)
    assert {name for name, found in kinds.items() if len(found) > 1} == {"--out"}
    assert kinds["--out"] == {"DIR", "FILE"}
    folders = {name for name, found in kinds.items() if found == {"DIR"}}
    assert folders >= {"--data", "--data-root", "--results", "--results-root", "--tokenizer"}


def helps(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield parser.format_help()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from helps(sub)


def test_help_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for text in helps(cli.build_parser()):
        for line in text.splitlines():
            assert len(line) <= (80 if not line.startswith("  gptbench ") else 100), line


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_the_examples_are_commands(line: str) -> None:
    words = shlex.split(line.partition(" #")[0])
    words = words[: next((i for i, word in enumerate(words) if word in "<>|"), len(words))]
    assert words[0] == "gptbench"
    assert cli.build_parser(words[1]).parse_args(words[1:]).run


def test_commands_for_people_have_examples() -> None:
    stages = "gates corpus encode contamination pretrain finetune zeroshot fewshot attention report"
    assert set(cli.STAGES) - set(EXAMPLES) == set(stages.split())


# Exit statuses. -------------------------------------------------------------------------------


def test_the_statuses_are_those_of_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stated = {int(number) for number in re.findall(r"^  (\d+) ", STATUSES, re.M)}
    got = {cli.main(["config", "check", str(PROJECT / "config" / "config.yaml")])}
    with pytest.raises(SystemExit) as usage:
        cli.main(["table"])
    assert usage.value.code == 2
    got.add(cli.main(["table", "2", "--results", str(tmp_path / "nowhere")]))
    local = str(PROJECT / "config" / "local.yaml")
    got.add(cli.main(["doctor", local, "--data-root", str(tmp_path)]))
    capsys.readouterr()

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(config_command, "scale_plan", broken)
    got.add(cli.main(["config", "check", local]))
    assert "Traceback" in capsys.readouterr().err

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(config_command, "scale_plan", stopped)
    got.add(cli.main(["config", "check", local]))
    assert got == stated


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    job = Plan.read(tiny_config(), PROJECT / "config").world_job()
    many = job.world.model_copy(update={"books_train": 1000, "words_per_book": 20_000})
    settings = job.model_copy(update={"world": many}).to_json()
    world = [sys.executable, "-m", "gptbench", "world", "--out", str(tmp_path / "w")]
    running = subprocess.Popen(
        [*world, "--settings", settings],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A shell has its background jobs ignore SIGINT, and what they start inherits that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 60
    while not list(tmp_path.glob(".w-*/books/train/*")) and time.monotonic() < end:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err.strip().splitlines() == ["gptbench: interrupted; the same command goes on from here"]
    assert not list(tmp_path.glob(".w-*")), "nothing is left half made"


# Completion in real shells. -------------------------------------------------------------------

SETUP = {
    "bash": "PS1='> '; source {script}",
    "zsh": "PS1='> '; autoload -U compinit; compinit -u -d {folder}/dump; source {script};"
    " compdef _shtab_gptbench gptbench",
}


@pytest.mark.parametrize("shell", list(SETUP))
def test_the_tab_key_completes(shell: str, tmp_path: Path) -> None:
    """A real shell in a terminal: a command, its option, and a folder for the option."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"no {shell} here; install Debian's {shell}")
    script = tmp_path / f"completion.{shell}"
    done = subprocess.run(
        [sys.executable, "-m", "gptbench", "completion", shell],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    )
    script.write_text(done.stdout)
    (tmp_path / "unique-folder").mkdir()
    (tmp_path / "unique-file").write_text("")
    start = ["--norc", "--noprofile"] if shell == "bash" else ["-f"]
    child, end = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execve(path, [shell, *start, "-i"], {"TERM": "dumb", "PATH": os.environ["PATH"]})

    def typed(keys: str, wanted: str) -> str:
        os.write(end, keys.encode())
        seen, stop = "", time.monotonic() + 60
        while wanted not in seen and time.monotonic() < stop:
            if select.select([end], [], [], 0.2)[0]:
                seen += os.read(end, 65536).decode("utf-8", "replace")
        return seen

    try:
        setup = SETUP[shell].format(script=script, folder=tmp_path)
        assert "ready-1" in typed(f"{setup}; echo ready-$((0+1))\n", "ready-1")
        assert "perplexity" in typed("gptbench perp\t", "lexity ").replace("\x08", "")
        assert "--model" in typed("--mo\t", "el ")
        assert "unique-folder" in typed("uni\t", "folder"), "a folder, not the file beside it"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(end)
