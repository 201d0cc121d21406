"""The explanation pages: their code prints what they say, their links into the code lead somewhere,
the Korean pages are the English ones, and the pictures are what their script draws.
"""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gptbench.cli import build_parser
from gptbench.settings import load_experiments
from tests.conftest import PROJECT
from tests.test_docs_korean import english_of
from tests.test_faithfulness import exists

DOCS = PROJECT / "docs"
NAMES = ["method", "vectors", "family"]
PAGES = [DOCS / part / f"{name}.md" for name in NAMES for part in ("", "ko")]
MARK = "\x1e"


def read(path: Path) -> str:
    return path.read_text("utf-8")


def fences(text: str) -> list[tuple[str, str]]:
    """(language, content) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M)


def prose(text: str) -> str:
    """A page without its fenced blocks and link targets."""
    return re.sub(r"^```.*?^```$|\]\([^)]*\)", "", text, flags=re.S | re.M)


def printed(text: str) -> list[tuple[str, str]]:
    """What each Python block should print, and what it prints; a page's blocks share their names.

    A block that is followed by another one prints nothing.
    """
    blocks = fences(text)
    source, expected = [], []
    for i, (language, content) in enumerate(blocks):
        if language == "python":
            source.append(f"{content}\nprint({MARK!r})\n")
            after = blocks[i + 1] if i + 1 < len(blocks) else ("", "")
            expected.append(after[1] if after[0] == "text" else "")
    words = [sys.executable, "-c", "\n".join(source)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = done.stdout.split(f"{MARK}\n")
    assert len(found) == len(source) + 1
    return list(zip(expected, found[:-1], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_code_prints_what_the_page_says(name: str) -> None:
    blocks = printed(read(DOCS / f"{name}.md"))
    assert len(blocks) >= 8
    for expected, found in blocks:
        assert found == expected


def test_a_wrong_output_is_seen() -> None:
    page = "```python\nx = 2\n```\n\n```python\nprint(x + 2)\n```\n\n```text\n5\n```\n"
    assert printed(page) == [("", ""), ("5\n", "4\n")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_what_is_linked_in_the_code_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)", read(page))
    inside = 0
    for target, anchor in links:
        path = (page.parent / target).resolve()
        assert path.is_file(), target
        place = str(path.relative_to(PROJECT))
        if place.startswith(("gptbench/", "tests/")):
            inside += 1
            assert exists(f"{place}::{anchor}" if anchor else place), f"{target}#{anchor}"
    assert inside > 8


def targets(page: Path) -> list[str]:
    """Where a page's links lead, in the checkout; a Korean page or picture as the English one."""
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        file, _, anchor = target.partition("#")
        place = str((page.parent / file).resolve().relative_to(PROJECT))
        found.append(f"{english_of(place)}#{anchor}")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_korean_page_keeps_step(name: str) -> None:
    """Code, commands, headings, tables, links in their order; no number is lost."""
    english, korean = DOCS / f"{name}.md", DOCS / "ko" / f"{name}.md"
    one, two = read(english), read(korean)
    assert fences(two) == fences(one)
    assert targets(korean) == targets(english)
    rest = prose(one), prose(two)
    for pattern in (r"^#+ ", r"^\|(?:[^|\n]*\|)+$", r"^    .*$", r"^- "):
        counts = [re.findall(pattern, text, re.M) for text in rest]
        assert len(counts[0]) == len(counts[1]), pattern
    assert re.findall(r"^#+", rest[1], re.M) == re.findall(r"^#+", rest[0], re.M)
    assert re.findall(r"^    .*$", rest[1], re.M) == re.findall(r"^    .*$", rest[0], re.M)
    assert sorted(re.findall(r"`[^`]+`", rest[1])) == sorted(re.findall(r"`[^`]+`", rest[0]))
    numbers = [re.findall(r"\d+(?:[.,]\d+)*", text) for text in rest]
    for number in set(numbers[0]):  # Korean counts in 10⁴ and 10⁸, so it may have more
        assert numbers[1].count(number) >= numbers[0].count(number), number


@pytest.mark.parametrize("name", NAMES)
def test_commands_on_the_page_are_there(name: str) -> None:
    studies = load_experiments(PROJECT / "config" / "experiments.yaml").studies
    parser = build_parser()
    commands = re.findall(r"`((?:gptbench|snakemake) [^`]+)`", prose(read(DOCS / f"{name}.md")))
    assert commands
    for command in commands:
        program, *words = shlex.split(command)
        if program == "gptbench" and "--help" in words:
            with pytest.raises(SystemExit) as ended:
                parser.parse_args(words)
            assert ended.value.code == 0
        elif program == "gptbench":
            parser.parse_args(words)
        else:
            assert words[:2] == ["--cores", "all"]
            targets = [word for word in words[2:] if not word.startswith("--") and "=" not in word]
            assert all(target in studies for target in targets), command


def test_pictures_are_what_their_script_draws() -> None:
    drawn = list(runpy.run_path(str(DOCS / "figures" / "make_explanations.py"))["drawn"]())
    assert len(drawn) == 8
    for path, text in drawn:
        assert read(path) == text, f"{path}: python docs/figures/make_explanations.py"
        root = ElementTree.fromstring(text)
        words = [found.text for found in root.iter("{http://www.w3.org/2000/svg}text")]
        hangul = [word for word in words if word and re.search("[가-힣]", word)]
        assert bool(hangul) == path.name.endswith(".ko.svg")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_has_a_picture_with_a_text(page: Path) -> None:
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+\.svg)\)", read(page))
    assert pictures
    for text, target in pictures:
        assert len(text) > 20
        assert (page.parent / target).is_file()


# The report's sections. -------------------------------------------------------------------------

TEMPLATES = PROJECT / "gptbench" / "report" / "templates"
ALL_OF_THEM = "howto-report"
COLUMN = {"method": ("project from the report", "보고서에서 비출 것"), "inside": ("section", "절")}
COLUMN[ALL_OF_THEM] = ("sections", "절")
"""Pages with a table that names sections of the report, and the column with the names."""


def sections() -> tuple[set[str], set[str]]:
    """The names in the report's contents, and the headings of the first screen's cards."""
    listed = re.findall(
        r'^    \("\w+", "([^"]+)", "_\w+\.', read(TEMPLATES / "index.html.j2"), re.M
    )
    cards = re.findall(r'class="card"><h2>([^<{]+)<', read(TEMPLATES / "_overview.html.j2"))
    return set(listed), set(cards)


def named(text: str, heading: str) -> set[str]:
    """What a table's cells name in a column: names parted by `;`, a remark after `:` or `(`."""
    found: set[str] = set()
    for table in re.findall(r"(?:^\|.*\|$\n?)+", text, re.M):
        rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()]
        if heading in rows[0]:
            cells = [row[rows[0].index(heading)] for row in rows[2:]]
            found |= {re.split(r":| \(", part)[0].strip() for c in cells for part in c.split(";")}
    return found


@pytest.mark.parametrize("language", [0, 1], ids=["English", "Korean"])
@pytest.mark.parametrize("name", COLUMN)
def test_sections_have_the_names_of_the_reports_contents(name: str, language: int) -> None:
    listed, cards = sections()
    assert len(listed) > 20
    assert "What ran" in cards
    page = DOCS / ("", "ko")[language] / f"{name}.md"
    found = named(read(page), COLUMN[name][language])
    assert len(found) > 3
    assert found <= listed | cards, f"{page}: not in the report: {found - listed - cards}"
    if name == ALL_OF_THEM:
        assert found == listed, f"{page}: not named: {listed - found}"


def test_a_section_that_the_report_lacks_is_seen() -> None:
    table = "| page | section |\n| --- | --- |\n| a | Data: rows; Attention (after a run) |\n"
    assert named(table, "section") == {"Data", "Attention"}
    assert "Attention" not in sections()[0] | sections()[1]
