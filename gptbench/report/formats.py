"""A table as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from gptbench.report.tables import BEST, DASH, SECOND, Cell, Table


def to_csv(table: Table) -> str:
    """Comma-separated, with the block's heading as the first column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["block", *table.head, *table.columns])
    for block in table.blocks:
        for row in block.rows:
            texts = ["" if cell.text == DASH else cell.text for cell in row.cells]
            writer.writerow([block.heading, row.label, row.reference, row.source, *texts])
    return out.getvalue()


def to_md(table: Table) -> str:
    """Markdown: best in bold, second best underlined."""
    width = len(table.head) + len(table.columns)
    rule = ["---"] * len(table.head) + ["--:"] * len(table.columns)
    lines = [f"**{_label(table)}. {table.title}**", ""]
    lines += [_md_line([*table.head, *table.columns]), _md_line(rule)]
    for block in table.blocks:
        if block.heading:
            lines.append(_md_line([f"*{_md(block.heading)}*", *[""] * (width - 1)]))
        for row in block.rows:
            head = [_md(text) for text in (row.label, row.reference, row.source)]
            lines.append(_md_line([*head, *(_md_cell(cell) for cell in row.cells)]))
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes)]) + "\n"


def _label(table: Table) -> str:
    return table.name.replace("table", "Table ")


def _md(text: str) -> str:
    return text.replace("|", "\\|")


def _md_line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _md_cell(cell: Cell) -> str:
    text = _md(cell.text)
    return f"**{text}**" if cell.mark == BEST else f"<u>{text}</u>" if cell.mark else text


def to_tex(table: Table) -> str:
    """LaTeX with the packages booktabs and, for underlines, none."""
    width = len(table.head) + len(table.columns)
    spec = "l" * len(table.head) + "r" * len(table.columns)
    lines = ["\\begin{table}", f"\\caption{{{_tex(table.title)}}}", f"\\begin{{tabular}}{{{spec}}}"]
    lines += ["\\toprule", _tex_line([_tex(text) for text in [*table.head, *table.columns]])]
    for block in table.blocks:
        lines.append("\\midrule")
        if block.heading:
            lines.append(f"\\multicolumn{{{width}}}{{c}}{{\\textit{{{_tex(block.heading)}}}}} \\\\")
        for row in block.rows:
            head = [_tex(text) for text in (row.label, row.reference, row.source)]
            lines.append(_tex_line([*head, *(_tex_cell(cell) for cell in row.cells)]))
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"\\par\\footnotesize {_tex(note)}" for note in table.notes]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


_TEX = {
    "\\": "\\textbackslash{}",
    "&": "\\&",
    "%": "\\%",
    "$": "\\$",
    "#": "\\#",
    "_": "\\_",
    "{": "\\{",
    "}": "\\}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "±": "$\\pm$",
    "†": "$\\dagger$",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(char, char) for char in text)


def _tex_line(texts: Sequence[str]) -> str:
    return " & ".join(texts) + " \\\\"


def _tex_cell(cell: Cell) -> str:
    text = "--" if cell.text == DASH else _tex(cell.text)
    if cell.mark == BEST:
        return f"\\textbf{{{text}}}"
    return f"\\underline{{{text}}}" if cell.mark == SECOND else text


FORMATS: dict[str, Callable[[Table], str]] = {"csv": to_csv, "md": to_md, "tex": to_tex}
