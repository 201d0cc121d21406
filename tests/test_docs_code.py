"""Every fenced block of the documentation does what it says.

Commands run in a copy of the project with a finished run in it; what would take hours, needs a
network or starts a server is named in `NOT_RUN` with the reason, and its arguments are checked all
the same. Configs are laid over a scale and checked, Python runs, samples are read.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import importlib
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gptbench.cli import STAGES, build_parser, main
from gptbench.report.claims import Claim
from gptbench.settings import Config, load_tasks, parse
from gptbench.systems import read_systems
from tests.conftest import PROJECT, Project, tiny_config
from tests.doc_blocks import Block, Command, blocks, pages
from tests.test_submission import write_hidden

pytestmark = pytest.mark.workflow

NOT_RUN = {
    "make": "runs the whole workflow, the tests or a server; its recipe is read with -n",
    "git": "needs a network",
    "pip": "needs a network",
    "cp -r finetune-transformer-lm": "copies what git fetched from the network",
    "gptbench data fetch": "needs the Hugging Face hub",
    "gptbench weights import finetune-transformer-lm": "needs the released weights",
    "gptbench doctor config/released.yaml": "times a step of the paper's model: a minute and more",
    "gptbench perplexity --model results/gpt1": "needs the released weights",
    "gptbench world --out": "the world at its full size; the finished run has a small one",
    "gptbench track ui": "starts a server; tests/test_browser_mlflow.py has one",
    "gptbench track follow": "looks on until a workflow ends",
    "gptbench track sync --results results/quick --uri": "needs the server of the line above",
    "mlflow server": "starts a server; tests/test_tracking.py has one",
    "python -m pytest": "the tests run themselves",
    "python docs/_picture.py": "starts a browser; tests/test_browser.py has one",
}
"""Commands by how they begin, and why they are not run here. Each has to be in a page."""

OTHER_OUTPUT = {
    "gptbench data preview": "pieces of the quick scale's tokenizer; the run here is smaller",
    "gptbench doctor": "sizes and times of the quick scale, on the machine that the page names",
    "gptbench submit story_cloze": "the run here has fewer rows",
    "gptbench submit race": "the run here has fewer rows",
    "gptbench weights import exported": "the model here is smaller",
}
"""Commands that run here and print something else, and why; first words of lines are compared."""

SPOILED = {
    "unknown key `experiments.variants.frozen.lm_coeff`": (
        *("my-ablation.yaml", "frozen: true, lm_coef: 0", "frozen: true, lm_coeff: 0"),
    ),
    "key `metrics.0`": ("mine/tasks.yaml", "[accuracy,", "[acuracy,"),
    "no column `mesage`": ("mine/tasks.yaml", "text1: message", "text1: mesage"),
    "label `techncal`": ("mine/tickets.csv", 'closes.",technical', 'closes.",techncal'),
    "is not a multiple of n_head": ("my-size.yaml", "n_head: 8", "n_head: 5"),
    "is not a multiple of micro_batch": ("my-size.yaml", "micro_batch: 8", "micro_batch: 6"),
}
"""Errors that pages show: a part of the message, and the mistake in a file that brings it about."""

SAMPLES = {
    "docs/corpora.md": ("data/books/train/*.txt ",),
    "docs/howto-tracking.md": ("tags.`gptbench.stage` = ",),
    "docs/howto-run.md": ("112 jobs: 1 world, ", "Done in 1 min 15 s: "),
}
"""Pages with blocks that are neither code nor data, and how they begin: folders, what the
workflow prints (of the scale `tiny`, with other times each time), and MLflow's filters, which
tests/test_browser_mlflow.py types."""


@pytest.fixture(scope="module")
def folder(finished_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a reader has it after `make reproduce`, with data and a few files."""
    place = tmp_path_factory.mktemp("docs") / "gptbench"
    shutil.copytree(finished_project.folder, place, copy_function=shutil.copy2)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / name, place)
    shutil.copytree(PROJECT / "results" / "reference", place / "results" / "reference")
    quick = place / "results" / "quick"
    (place / "results" / "tiny").rename(quick)
    config = tiny_config() | {"scale": "quick"}
    (place / "config" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    for name in ("local", "showcase", "my-ablation", "my-size"):
        (place / "results" / name).symlink_to(quick, target_is_directory=True)
    data = place / "folder"
    shutil.copytree(quick / "world", data)
    write_hidden(data)
    (data / "openai-gpt").mkdir()
    weights = ["params_shapes.json", *(f"params_{n}.npy" for n in range(10))]
    for name in (*weights, "encoder_bpe_40000.json", "vocab_40000.bpe"):
        (data / "openai-gpt" / name).touch()
    (place / "DIR").symlink_to(data, target_is_directory=True)
    shutil.copytree(data / "books", place / "my-books")
    rows = [{"text1": "the cook is happy .", "text2": "the cook smiles ."}] * 2
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "some.txt").write_text("the cook is happy .\n" * 20)
    seen = json.loads((quick / "attention/transformer/seed0/manifest.json").read_text())
    (place / "job.json").write_text(json.dumps(seen["settings"]))
    (place / "mine.yaml").write_text("lm_coef: 0.25\n")
    (place / "my-systems.yaml").write_text("systems: [my-systems.csv]\n")
    return place


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy as the working directory, its environment that of a reader."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GPTBENCH_NO_WORKER", "1")
    monkeypatch.delenv("COLUMNS", raising=False)
    return folder


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_a_page(page: Path, here: Path) -> None:
    names: dict[str, Any] = {}
    printed: str | None = None
    for block in blocks(page):
        if block.file is not None and block.language in ("yaml", "csv", "text", "json"):
            (here / block.file).parent.mkdir(exist_ok=True)
            (here / block.file).write_text(block.text, "utf-8")
        if block.kind == "commands":
            for command in block.commands:
                check_command(command, str(block), here)
        elif block.kind == "yaml":
            check_yaml(block, here)
        elif block.kind == "python":
            printed = check_python(block, names)
        elif block.kind == "text" and printed is not None:
            assert printed == block.text, f"{block}: this is what is printed"
            printed = None
        elif block.kind in ("csv", "text"):
            if not is_sample(block):
                check_sample(block, here)
        elif block.kind == "json":
            for line in block.text.splitlines():
                json.loads(line)
        else:
            assert is_sample(block), f"{block}: what is this?"


def is_sample(block: Block) -> bool:
    """Whether the block is named in `SAMPLES`."""
    return block.text.startswith(SAMPLES.get(block.page, ()))


# Commands. --------------------------------------------------------------------------------------


def check_command(command: Command, where: str, folder: Path) -> None:
    """Run a command, or check its arguments where it is not run."""
    words = command.words
    assert words, f"{where}: no command"
    lines = command.output.splitlines()
    if lines and all(line.startswith("gptbench: ") for line in lines):
        for line in lines:
            with mistake(folder, line, where):
                status, printed = gptbench(words[1:])
            assert (status, printed) == (2, line + "\n"), f"{where}: {command.line}"
    elif words[0] == "gptbench":
        check_gptbench(command, where)
    elif words[0] == "snakemake":
        check_snakemake(words, where, folder)
    elif words[0] == "make":
        done = subprocess.run(
            ["make", "-n", *words[1:]], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{where}: {command.line}\n{done.stderr}"
        for line in done.stdout.splitlines():
            if line.startswith("snakemake "):
                check_snakemake(Command(line).words, where, folder)
    elif words[:2] == ["python", "-c"]:
        subprocess.run(["bash", "-c", command.line], cwd=folder, env=environment(), check=True)
    else:
        assert not_run(command) is not None, f"{where}: `{command.line}` is run nowhere"


def environment() -> dict[str, str]:
    """A reader's environment, with the commands of this one."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def not_run(command: Command) -> str | None:
    """The entry of `NOT_RUN` that a command falls under."""
    line = " ".join(command.words)
    return next((start for start in NOT_RUN if line.startswith(start)), None)


def gptbench(words: list[str]) -> tuple[int, str]:
    """A command's exit status and what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            status = main(words)
        except SystemExit as leaving:  # --help
            status = int(leaving.code or 0)
    return status, printed.getvalue()


def check_gptbench(command: Command, where: str) -> None:
    words = command.words[1:]
    if not_run(command) is not None:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                build_parser(next((w for w in words if w in STAGES), None)).parse_args(words)
            except SystemExit:
                pytest.fail(f"{where}: {command.line}\n{said.getvalue()}")
        return
    status, printed = gptbench(words)
    line = " ".join(command.words)
    if line.startswith("gptbench doctor"):  # too little memory is this machine's fault
        faults = re.findall(r"^FAULT (\w+)", printed, re.M)
        assert set(faults) <= {"memory", "disk"}, f"{where}: {command.line}\n{printed}"
        fault = bool(faults)
    else:
        fault = command.output.rpartition("gptbench: ")[2].endswith("handing it in\n")
    assert status == (1 if fault else 0), f"{where}: {command.line}\n{printed}"
    if any(line.startswith(start) for start in OTHER_OUTPUT):
        first = [each.split()[0] for each in command.output.splitlines() if each.strip()]
        there = printed.split()
        assert [
            word for word in first if re.fullmatch("[a-z]{3,}", word) and word not in there
        ] == []
    elif command.output:
        assert printed == command.output, f"{where}: {command.line}"


_DONE: set[tuple[str, ...]] = set()


def check_snakemake(words: list[str], where: str, folder: Path) -> None:
    """What a run would do, without doing it; in full only where it stops at the tokenizer."""
    if tuple(words) in _DONE:
        return
    _DONE.add(tuple(words))
    command = [*words, "--dry-run", "--quiet", "all"]
    if "--until" in words:
        command = words
    if "--profile" in words:  # without the plugin, the profile's other keys are still parsed
        command += ["--executor", "local"] if shutil.which("sbatch") is None else []
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{where}: {' '.join(command)}\n{done.stderr[-3000:]}"


@contextlib.contextmanager
def mistake(folder: Path, line: str, where: str) -> Iterator[None]:
    """A file with the mistake in it that brings an error about; mended afterwards."""
    entry = next((SPOILED[part] for part in SPOILED if part in line), None)
    assert entry is not None, f"{where}: what brings `{line}` about?"
    name, good, bad = entry
    text = (folder / name).read_text("utf-8")
    assert good in text, f"{name}: no `{good}` to spoil"
    (folder / name).write_text(text.replace(good, bad, 1), "utf-8")
    try:
        yield
    finally:
        (folder / name).write_text(text, "utf-8")


# Data and code. ---------------------------------------------------------------------------------


def check_yaml(block: Block, folder: Path) -> None:
    """A config over a scale, data sets, or claims."""
    data = yaml.safe_load(block.text)
    if isinstance(data, list):
        for entry in data:
            parse(Claim, entry, str(block))
    elif set(data) <= set(Config.model_fields):
        path = folder / (block.file or "block.yaml")
        path.write_text(block.text, "utf-8")
        tried = [
            gptbench(["config", "check", f"config/{scale}.yaml", str(path.relative_to(folder))])
            for scale in ("config", "local")
        ]
        assert 0 in [status for status, _ in tried], f"{block}: {tried}"
    else:
        path = folder / (block.file or "block.yaml")
        path.write_text(block.text, "utf-8")
        assert set(load_tasks(path)) == set(data), str(block)


def check_sample(block: Block, folder: Path) -> None:
    """Scores of other systems are read; another csv is one whose rows are of one length."""
    rows = list(csv.reader(io.StringIO(block.text)))
    assert len({len(row) for row in rows}) == 1, f"{block}: rows of several lengths"
    if rows[0][0] == "system":
        path = folder / "my-systems.csv"
        path.write_text(block.text, "utf-8")
        tasks = load_tasks(PROJECT / "config" / "tasks.yaml")
        assert len(read_systems(path, tasks)) == len(rows) - 1


def check_python(block: Block, names: dict[str, Any]) -> str | None:
    """Run a block and return what it prints; of signatures alone, that they are the code's."""
    tree = ast.parse(block.text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if functions and all(ast.unparse(node.body[-1]) == "..." for node in functions):
        for part in re.split(r"^# (?=gptbench/\S+\.py$)", block.text, flags=re.M)[1:]:
            path, _, code = part.partition("\n")
            module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
            for node in ast.parse(code).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    check_interface(node, getattr(module, node.name), str(block))
        return None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, str(block), "exec"), names)
    return printed.getvalue()


def check_interface(node: ast.stmt, thing: Any, where: str) -> None:
    if isinstance(node, ast.FunctionDef):
        signature = [n for n in inspect.signature(thing).parameters if n not in ("self", "cls")]
        said = [a.arg for a in node.args.args if a.arg not in ("self", "cls")]
        assert signature[: len(said)] == said, f"{where}: {node.name}{signature}"
    elif isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef):
                check_interface(inner, getattr(thing, inner.name), f"{where}: {node.name}")


# The tables. ------------------------------------------------------------------------------------


def test_no_entry_of_the_tables_is_stale() -> None:
    found = [block for page in pages() for block in blocks(page)]
    commands = [c for block in found if block.kind == "commands" for c in block.commands]
    lines = [" ".join(command.words) for command in commands]
    assert {start for start in NOT_RUN if not any(x.startswith(start) for x in lines)} == set()
    shown = [" ".join(c.words) for c in commands if c.output]
    assert {start for start in OTHER_OUTPUT if not any(x.startswith(start) for x in shown)} == set()
    outputs = "".join(command.output for command in commands)
    assert {part for part in SPOILED if part not in outputs} == set()
    assert sum(is_sample(block) for block in found) == sum(map(len, SAMPLES.values()))
