"""The fenced blocks of the documentation: where they are, what they are, their commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import dropwhile
from pathlib import Path

from tests.conftest import PROJECT

FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```", re.M | re.S)
PAGES = ("*.md", "config/*.md", "docs/*.md")
COMMANDS = frozenset("make snakemake gptbench mlflow git cp python pip".split())
"""What a command of the documentation begins with."""


@dataclass(frozen=True)
class Command:
    """A command line, and what the page says that it prints (empty: nothing said)."""

    line: str
    output: str = ""

    @property
    def words(self) -> list[str]:
        """The line as a shell takes it apart, without its comment and the variables it sets."""
        words = shlex.split(self.line, comments=True)
        return list(dropwhile(re.compile(r"[A-Z_]+=").match, words))


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    before: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @cached_property
    def file(self) -> str | None:
        """The file that the sentence before the block says it is, as `mine/tasks.yaml`."""
        ending = {"yaml": "yaml", "csv": "csv", "json": "jsonl?", "text": "txt|csv"}
        wanted = ending.get(self.language)
        named = re.findall(rf"`([\w/.-]+\.(?:{wanted}))`", self.before) if wanted else []
        return named[-1] if named else None

    @cached_property
    def commands(self) -> list[Command]:
        """The commands: after `$ `, else each line; a backslash goes on in the next line."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if not any(line.startswith("$ ") for line in lines):
            return [Command(line) for line in lines if line.strip() and line[0] != "#"]
        found: list[Command] = []
        for line in lines:
            if line.startswith("$ "):
                found.append(Command(line[2:]))
            else:
                last = found.pop()
                found.append(Command(last.line, f"{last.output}{line}\n"))
        return found

    @property
    def kind(self) -> str:
        """`commands`, a language, or `unknown`."""
        if self.language in ("", "console"):
            first = {command.words[0] for command in self.commands if command.words}
            return "commands" if first and first <= COMMANDS else "unknown"
        known = ("yaml", "python", "csv", "json", "text", "mermaid", "tex", "sql")
        return self.language if self.language in known else "unknown"


def pages() -> list[Path]:
    """All pages of the documentation, in the project's root, `config` and `docs`."""
    found = [path for pattern in PAGES for path in PROJECT.glob(pattern)]
    return sorted(path for path in found if path.name != "README.ko.md")  # kept in step, as docs/ko


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        before = text[: found.start()].rstrip().rpartition("\n\n")[2]
        content = re.sub(rf"^{found[1]}", "", found[3], flags=re.M)
        line = text[: found.start()].count("\n") + 1
        yield Block(str(page.relative_to(PROJECT)), line, found[2], content, before)
