"""A table for a terminal: groups of columns that fit its width, under each other."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from gptbench.report.formats import label, one_line
from gptbench.report.tables import BEST, SECOND, Row, Table

WIDTH = 80
GAP = "  "
_ANSI = {BEST: "\033[1m", SECOND: "\033[4m"}
_RESET = "\033[0m"
_WIDEST_CELL = 24


def to_text(table: Table, width: int = WIDTH, ansi: bool = False) -> str:
    """The table in lines of at most `width` columns.

    Labels and wide cells are folded; columns that don't fit stand in a group of their own below,
    with the labels again. With `ansi` the best of a column is bold and the second underlined.
    """
    width = max(width, 40)
    labels = [_label(table, row) for block in table.blocks for row in block.rows]
    left = min(max(map(columns_of, [*labels, one_line(table.head[0])]), default=0), width * 2 // 5)
    lines = fold(f"{label(table)}. {table.title}", width)
    for group in _groups(table, width - left):
        lines += ["", *_group(table, group, left, width, ansi)]
    if table.notes:
        lines.append("")
    for note in table.notes:
        lines += [("  " if i else "- ") + text for i, text in enumerate(fold(note, width - 2))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _label(table: Table, row: Row) -> str:
    """What names a row: its head without citations and sources, which would fold every line."""
    texts = zip(table.head, (row.label, row.reference, row.source), strict=True)
    return ", ".join(one_line(t) for name, t in texts if t and name not in ("reference", "source"))


def _groups(table: Table, room: int) -> Iterator[list[tuple[int, int]]]:
    """Columns with their widths, as many a group as there is room for."""
    group: list[tuple[int, int]] = []
    for i, title in enumerate(table.columns):
        texts = [one_line(row.cells[i].text) for block in table.blocks for row in block.rows]
        # A title is folded at its spaces, a number with its interval is not.
        wide = max(
            [columns_of(word) for word in one_line(title).split()] + [columns_of(t) for t in texts],
            default=1,
        )
        wide = min(wide, _WIDEST_CELL, room - len(GAP))
        if group and sum(w + len(GAP) for _, w in group) + wide + len(GAP) > room:
            yield group
            group = []
        group.append((i, wide))
    if group:
        yield group


def _group(
    table: Table, group: Sequence[tuple[int, int]], left: int, width: int, ansi: bool
) -> Iterator[str]:
    titles = [(table.columns[i], wide, "") for i, wide in group]
    yield from _row(table.head[0], titles, left, ansi, bottom=True)
    rule = "-" * (left + sum(wide + len(GAP) for _, wide in group))
    yield rule
    for number, block in enumerate(table.blocks):
        if number:
            yield rule
        if block.heading:
            yield from fold(block.heading, width)
        for row in block.rows:
            cells = [(row.cells[i].text, wide, row.cells[i].mark) for i, wide in group]
            yield from _row(_label(table, row), cells, left, ansi)


def _row(
    name: str,
    cells: Sequence[tuple[str, int, str]],
    left: int,
    ansi: bool,
    bottom: bool = False,
) -> Iterator[str]:
    """A row's lines: the label to the left, the cells to the right of their columns."""
    names = [text + " " * (left - columns_of(text)) for text in fold(name, left, "  ")]
    folded = [[_cell(text, w, mark, ansi) for text in fold(t, w)] for t, w, mark in cells]
    height = max(len(names), *(len(lines) for lines in folded))
    if bottom:
        names = [" " * left] * (height - len(names)) + names
        folded = [[""] * (height - len(lines)) + lines for lines in folded]
    padded = [
        [line or " " * wide for line in lines] + [" " * wide] * (height - len(lines))
        for lines, (_, wide, _) in zip(folded, cells, strict=True)
    ]
    for first, *rest in zip_longest(names, *padded, fillvalue=""):
        yield GAP.join([first or " " * left, *rest])


def _cell(text: str, width: int, mark: str, ansi: bool) -> str:
    space = " " * (width - columns_of(text))
    return f"{space}{_ANSI[mark]}{text}{_RESET}" if ansi and mark else space + text


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: wide letters take two, accents none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def fold(text: str, width: int, indent: str = "") -> list[str]:
    """A text in lines of at most `width` columns, lines after the first indented."""
    lines, line = [], ""
    for word in one_line(text).split(" "):
        joined = f"{line} {word}" if line.strip() else line + word
        if columns_of(joined) <= width:
            line = joined
            continue
        if line.strip():
            lines.append(line)
            line = indent
        for char in word:
            if columns_of(line + char) > width:
                lines.append(line)
                line = indent
            line += char
    return [*lines, line]
