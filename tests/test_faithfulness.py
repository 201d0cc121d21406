"""FAITHFULNESS.md names files, symbols, settings and tests that exist, and leaves no cell empty."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parent.parent
HEADER = ["Statement", "Source", "Code", "Test", "Deviation"]


class Statement(NamedTuple):
    """A row of a table: its line in the file and its cells."""

    line: int
    cells: list[str]


def statements() -> list[Statement]:
    """All rows of all tables, headers and rulers left out; every table has the same header."""
    rows = []
    table: list[list[str]] = []
    for number, line in enumerate((ROOT / "FAITHFULNESS.md").read_text("utf-8").splitlines(), 1):
        if not line.startswith("|"):
            table = []
            continue
        table.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        if len(table) == 1:
            assert table[0] == HEADER, f"line {number}"
        elif len(table) > 2:
            rows.append(Statement(number, table[-1]))
    return rows


STATEMENTS = statements()


def references(cell: str) -> list[str]:
    """What a cell names as code: everything in backquotes that is a path."""
    return [name for name in re.findall(r"`([^`]+)`", cell) if "/" in name.split("::")[0]]


@cache
def symbols(path: Path) -> frozenset[str]:
    """Functions, classes, constants and (dotted) members of a Python file."""
    found: set[str] = set()

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign):
                found.update(prefix + t.id for t in node.targets if isinstance(t, ast.Name))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(prefix + node.target.id)

    visit(ast.parse(path.read_text("utf-8")).body, "")
    return frozenset(found)


def exists(reference: str) -> bool:
    """Whether a file, and the symbol or setting in it, is there."""
    file, _, inside = reference.partition("::")
    path = ROOT / file
    if not path.is_file() or not inside:
        return path.is_file()
    if path.suffix == ".py":
        return inside in symbols(path)
    value: Any = yaml.safe_load(path.read_text("utf-8"))
    for key in inside.split("."):
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


@pytest.mark.parametrize("row", STATEMENTS, ids=lambda row: f"line{row.line}")
def test_a_statement_has_its_code_and_its_test(row: Statement) -> None:
    assert len(row.cells) == len(HEADER)
    assert all(row.cells), "an empty cell"
    _, _, code, test, deviation = row.cells
    assert references(code)
    assert references(test)
    for name in references(code):
        assert not name.startswith("tests/")
        assert exists(name), name
    for name in references(test):
        assert name.startswith("tests/test_")
        assert "::test_" in name
        assert exists(name), name
    for name in references(deviation):
        assert exists(name), name


def test_each_statement_stands_once() -> None:
    names = [row.cells[0] for row in STATEMENTS]
    assert len(names) == len(set(names)) > 50


@pytest.mark.parametrize(
    "name",
    [
        "gptbench/models/none.py",
        "gptbench/models/transformer.py::Transformers",
        "gptbench/models/transformer.py::Transformer.encode",
        "config/paper.yaml::finetune.rate",
        "config/paper.yaml::lm_coef.value",
        "tests/test_models.py::test_nothing",
    ],
)
def test_what_does_not_exist_is_seen(name: str) -> None:
    assert not exists(name)
