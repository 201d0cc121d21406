"""`make rulegraph`: docs/figures/rulegraph.svg, drawn by graphviz from `snakemake --rulegraph`.

The graph is that of the target `all` at the scale quick, in an order and colours of its own, so
that the same rules give the same picture.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).resolve().parent.parent
PICTURE = PROJECT / "docs" / "figures" / "rulegraph.svg"
COLOURS = {
    "#0072b2": "world tokenizer corpus encode contamination gates",
    "#d55e00": "pretrain finetune",
    "#009e73": "zeroshot fewshot",
}
"""Data, training, evaluation; what is left is the report and its target."""
STYLE = """
  graph [bgcolor=transparent, rankdir=LR, nodesep=0.25, ranksep=0.45]
  node [shape=box, style="rounded,filled", fillcolor=white, fontname="Helvetica,Arial,sans-serif",
        fontsize=13, fontcolor="#222222", penwidth=2]
  edge [color="#8a8a8a", penwidth=1.3, arrowsize=0.7]
"""


def workflow_graph() -> tuple[list[str], list[tuple[str, str]]]:
    """The rules, and which rule's output which other rule reads, both sorted by name."""
    with TemporaryDirectory() as folder:
        words = ["--snakefile", str(PROJECT / "Snakefile"), "--directory", folder, "--rulegraph"]
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *words],
            capture_output=True,
            text=True,
            check=True,
            cwd=PROJECT,
        )
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', done.stdout, re.M))
    edges = re.findall(r"^\s*(\d+) -> (\d+)", done.stdout, re.M)
    return sorted(names.values()), sorted((names[a], names[b]) for a, b in edges)


def to_dot(rules: list[str], edges: list[tuple[str, str]]) -> str:
    """The graph in graphviz's language."""
    colours = {rule: colour for colour, some in COLOURS.items() for rule in some.split()}
    nodes = [f'  {rule} [color="{colours.get(rule, "#cc79a7")}"]' for rule in rules]
    arrows = [f"  {a} -> {b}" for a, b in edges]
    return "\n".join(["digraph rules {" + STYLE, *nodes, *arrows, "}"]) + "\n"


def main() -> None:
    """Draw the picture."""
    dot = to_dot(*workflow_graph())
    done = subprocess.run(["dot", "-Tsvg"], input=dot, capture_output=True, text=True, check=True)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(done.stdout, "utf-8")
    print(PICTURE.relative_to(PROJECT))


if __name__ == "__main__":
    main()
