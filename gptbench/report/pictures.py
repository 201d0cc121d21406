"""A figure as the page shows it: the drawing, what it says in words, and its files."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Picture:
    """`image` is the drawing as a data address, `alt` what it shows for those who do not see it.

    `files` are (what, path from the page) of those of its files that are there.
    """

    name: str
    image: str
    alt: str
    files: list[tuple[str, str]]


def picture(folder: Path, name: str, alt: str, *data: str) -> Picture:
    """The figure `<name>.svg` of a folder of figures; `data` are further files of its numbers."""
    drawn = base64.b64encode((folder / f"{name}.svg").read_bytes()).decode("ascii")
    files = [("svg", f"{name}.svg"), ("png", f"{name}.png"), ("csv", f"{name}.csv")]
    files += [(f"csv ({Path(each).stem})", each) for each in data]
    there = [(what, f"{folder.name}/{each}") for what, each in files if (folder / each).is_file()]
    return Picture(name, f"data:image/svg+xml;base64,{drawn}", alt, there)
