"""pyproject.toml, requirements.lock and environment.yml say the same, and say all."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"pytorch": "torch", "huggingface_hub": "huggingface-hub"}


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def pins(lines: list[str]) -> dict[str, str]:
    """Name to version; every line has to be `name==version` and nothing else."""
    found: dict[str, str] = {}
    for line in lines:
        match = re.fullmatch(r"([a-zA-Z0-9._-]+)==([a-zA-Z0-9.]+)", line)
        assert match, f"not an exact pin: {line}"
        name = canonicalize_name(match[1])
        assert name not in found, f"pinned twice: {name}"
        found[name] = match[2]
    return found


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return pins([line for line in lines if not line.startswith("#")])


def declared() -> dict[str, str]:
    """What pyproject.toml asks for, at run time and for development."""
    return pins(project()["dependencies"] + project()["optional-dependencies"]["dev"])


def test_the_lock_has_the_versions_of_pyproject() -> None:
    lock = locked()
    assert {name: lock.get(name) for name in declared()} == declared()


def test_conda_has_the_versions_of_pyproject() -> None:
    data = yaml.safe_load((ROOT / "environment.yml").read_text())
    found = {}
    for entry in data["dependencies"]:
        if isinstance(entry, dict) or entry == "pip":
            continue
        if entry.startswith("python>"):
            assert entry == f"python{project()['requires-python']}"
            continue
        name, version = entry.split("=")
        found[CONDA_NAMES.get(name, name)] = version
    assert found == declared()


def test_the_lock_is_complete() -> None:
    """What a locked package needs here is locked too, at a version that it takes."""
    lock = locked()
    for name in lock:
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            pytest.fail(f"{name} is locked but not installed: pip install -r requirements.lock")
        for text in needs:
            need = Requirement(text)
            if need.marker and not need.marker.evaluate({"extra": ""}):
                continue
            needed = canonicalize_name(need.name)
            if name == "torch" and needed.startswith(("nvidia-", "cuda-", "triton")):
                continue  # a CUDA build; torch pins these itself
            assert needed in lock, f"{name} needs {text}, which is not locked"
            assert need.specifier.contains(lock[needed], prereleases=True), f"{name}: {text}"


def imports(folder: Path) -> set[str]:
    """The top-level modules that the code of a folder imports, wherever in a file."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"gptbench", "tests", "benchmarks", "conftest"}


@pytest.mark.parametrize(
    ("folder", "extra"), [("gptbench", False), ("tests", True), ("benchmarks", True)]
)
def test_every_import_is_declared(folder: str, extra: bool) -> None:
    known = declared() if extra else pins(project()["dependencies"])
    distributions = packages_distributions()
    for module in sorted(imports(ROOT / folder)):
        names = {canonicalize_name(name) for name in distributions.get(module, [module])}
        assert names & known.keys(), f"{folder} imports {module}, which pyproject.toml lacks"
