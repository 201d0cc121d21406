"""CSV whose texts a spreadsheet shows as texts, whoever wrote them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_STARTS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_NUMBER = re.compile(
    r"[+-]?(\d[\d,]*\.?\d*|\.\d+)(e[+-]?\d+)?( ± \d+\.?\d*)?( †\d+)?", re.IGNORECASE
)


def safe(text: str) -> str:
    """A text with `'` before it where a spreadsheet would take it for a formula.

    That is where it starts with `= + - @`, a tab or a line break and is no number (one with its
    interval or its dagger is a number). Spreadsheets and people read the rest as it is.

    >>> safe('=HYPERLINK("x")'), safe("-0.5 ± 1.2"), safe("-dev")
    ('\\'=HYPERLINK("x")', '-0.5 ± 1.2', "'-dev")
    """
    if text.startswith(_STARTS_A_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def to_text(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A header and rows as CSV, every cell safe; equal cells give equal bytes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe(text) for text in head])
    writer.writerows([safe(text) for text in row] for row in rows)
    return out.getvalue()
