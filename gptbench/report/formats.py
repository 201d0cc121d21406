"""A table as CSV, Markdown and LaTeX; any text in it stays text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from gptbench.report import csvfile
from gptbench.report.tables import BEST, DASH, SECOND, Cell, Table


def label(table: Table) -> str:
    """`Table 2` for `table2`; other tables are called by their name."""
    return table.name.replace("table", "Table ")


def one_line(text: str) -> str:
    """A text without line breaks, tabs and control characters."""
    kept = (char for char in " ".join(text.split()) if unicodedata.category(char) != "Cc")
    return "".join(kept)


# CSV. -----------------------------------------------------------------------------------------


def to_csv(table: Table) -> str:
    """Comma-separated, with the block's heading as the first column."""
    rows = [
        [
            block.heading,
            row.label,
            row.reference,
            row.source,
            *("" if cell.text == DASH else cell.text for cell in row.cells),
        ]
        for block in table.blocks
        for row in block.rows
    ]
    return csvfile.to_text(["block", *table.head, *table.columns], rows)


# Markdown. ------------------------------------------------------------------------------------


def to_md(table: Table) -> str:
    """Markdown: best in bold, second best underlined."""
    width = len(table.head) + len(table.columns)
    rule = ["---"] * len(table.head) + ["--:"] * len(table.columns)
    lines = [f"**{_md(label(table))}. {_md(table.title)}**", ""]
    lines += [_md_line([_md(text) for text in [*table.head, *table.columns]]), _md_line(rule)]
    for block in table.blocks:
        if block.heading:
            lines.append(_md_line([f"*{_md(block.heading)}*", *[""] * (width - 1)]))
        for row in block.rows:
            head = [_md(text) for text in (row.label, row.reference, row.source)]
            lines.append(_md_line([*head, *(_md_cell(cell) for cell in row.cells)]))
    return "\n".join([*lines, "", *(f"- {_md(note)}" for note in table.notes)]) + "\n"


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# An underscore inside a word is no emphasis.
_MD_SIGNS = re.compile(r"[\\`*\[\]|]|(?<!\w)_|_(?!\w)")


def _md(text: str) -> str:
    marked = _MD_SIGNS.sub(lambda found: f"\\{found[0]}", one_line(text))
    return "".join(_ENTITIES.get(char, char) for char in marked)


def _md_line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _md_cell(cell: Cell) -> str:
    text = _md(cell.text)
    return f"**{text}**" if cell.mark == BEST else f"<u>{text}</u>" if cell.mark else text


# LaTeX. ---------------------------------------------------------------------------------------


def to_tex(table: Table) -> str:
    """LaTeX for pdflatex and its successors, with the packages booktabs and graphicx.

    A table that is wider than the text is made smaller; notes stand below it.
    """
    width = len(table.head) + len(table.columns)
    spec = "l" * len(table.head) + "r" * len(table.columns)
    lines = [
        "% \\usepackage{booktabs,graphicx}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_tex(table.title)}}}",
        f"\\label{{tab:gptbench-{re.sub('[^a-z0-9]+', '-', table.name.lower())}}}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{{spec}}}",
    ]
    lines += ["\\toprule", _tex_line([_tex(text) for text in [*table.head, *table.columns]])]
    for block in table.blocks:
        lines.append("\\midrule")
        if block.heading:
            lines.append(f"\\multicolumn{{{width}}}{{c}}{{\\textit{{{_tex(block.heading)}}}}} \\\\")
        for row in block.rows:
            head = [_tex(text) for text in (row.label, row.reference, row.source)]
            lines.append(_tex_line([*head, *(_tex_cell(cell) for cell in row.cells)]))
    lines += ["\\bottomrule", "\\end{tabular}}"]
    lines += [f"\\par\\footnotesize\\raggedright {_tex(note)}" for note in table.notes]
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
    # Other letters in the old font encoding, which is the default.
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "''",
    # An option of the line break before it, where it begins a row.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "±": "$\\pm$",
    "†": "$\\dagger$",
    "×": "$\\times$",
    "·": "$\\cdot$",
    "−": "$-$",
    "≤": "$\\le$",
    "≥": "$\\ge$",
    "≠": "$\\ne$",
    "→": "$\\to$",
    "°": "$^\\circ$",
    "µ": "$\\mu$",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": "\\ldots{}",
    "\u00a0": "~",
    "ß": "\\ss{}",
    "æ": "\\ae{}",
    "Æ": "\\AE{}",
    "ø": "\\o{}",
    "Ø": "\\O{}",
    "œ": "\\oe{}",
    "Œ": "\\OE{}",
    "ł": "\\l{}",
    "Ł": "\\L{}",
    **{
        char: f"$\\{name}$"
        for char, name in {
            "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon",
            "η": "eta", "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "π": "pi",
            "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "varphi", "χ": "chi", "ψ": "psi",
            "ω": "omega", "Δ": "Delta", "Σ": "Sigma", "Ω": "Omega",
        }.items()
    },
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
    "\u0328": "k",
}  # fmt: skip


def _tex(text: str) -> str:
    return "".join(_tex_char(char) for char in one_line(text))


def _tex_char(char: str) -> str:
    if char in _TEX or char.isascii():
        return _TEX.get(char, char)
    base, accent = (*unicodedata.normalize("NFD", char), "", "")[:2]
    if len(unicodedata.normalize("NFD", char)) == 2 and base.isascii() and accent in _ACCENTS:
        return f"\\{_ACCENTS[accent]}{{{base}}}"
    # pdflatex stops at a character that its fonts lack; the engines after it print it.
    return f"{{\\ifdefined\\Umathchardef {char}\\else\\texttt{{U+{ord(char):04X}}}\\fi}}"


def _tex_line(texts: Sequence[str]) -> str:
    return " & ".join(texts) + " \\\\"


def _tex_cell(cell: Cell) -> str:
    text = "--" if cell.text == DASH else _tex(cell.text)
    if cell.mark == BEST:
        return f"\\textbf{{{text}}}"
    return f"\\underline{{{text}}}" if cell.mark == SECOND else text


FORMATS: dict[str, Callable[[Table], str]] = {"csv": to_csv, "md": to_md, "tex": to_tex}
