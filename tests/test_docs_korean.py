"""The Korean pages keep step with the English: structure, commands, links, numbers and names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from posixpath import normpath

import pytest
import yaml

from tests.conftest import PROJECT

DOCS = PROJECT / "docs"
# Pages of the site that are made from a file elsewhere (docs/_hooks.py).
ELSEWHERE = {
    "docs/faithfulness.md": "FAITHFULNESS.md",
    "docs/configuration.md": "config/README.md",
    "docs/changelog.md": "CHANGELOG.md",
}
NUMBER = re.compile(
    r"±\s*\d+(?:\.\d+)?"  # half an interval
    r"|(?<![\w.])-?\d[\d,]*\.\d+(?:e-?\d+)?"  # with a decimal point
    r"|\d[\d,]*\s?%"
    r"|\d{1,3}(?:,\d{3})+"
)


def english_of(path: str) -> str:
    """The English file behind a path of the project, Korean or a page that is made."""
    path = re.sub(r"\.ko(\.\w+)$", r"\1", path.replace("docs/ko/", "docs/", 1))
    return ELSEWHERE.get(path, path)


def korean_of(path: str) -> str:
    """Where the Korean counterpart of an English file is, or would be."""
    path = {source: page for page, source in ELSEWHERE.items()}.get(path, path)
    if path.startswith("docs/"):
        return path.replace("docs/", "docs/ko/", 1)
    return str(PurePosixPath(path).with_suffix(".ko.md"))


def links(text: str, path: str) -> Iterator[str]:
    """Link targets as English files; one that misses an existing Korean page is marked."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if "://" in target or not file:
            yield target if file else "#"
            continue
        resolved = normpath(PurePosixPath(path).parent / file)
        english = english_of(resolved)
        missed = (
            english_of(path) not in (path, english)
            and english == ELSEWHERE.get(resolved, resolved)
            and (PROJECT / korean_of(english)).is_file()
        )
        # Anchors of code are the same in both; those of a page are its headings' words.
        anchor = "#" * bool(anchor) if file.endswith(".md") else anchor
        yield english + anchor + (f" instead of {korean_of(english)}" if missed else "")


def tables(text: str) -> Iterator[str]:
    """Each table's rows and columns."""
    for table in re.findall(r"(?:^\|.*\|$\n?)+", text, re.M):
        rows = [re.split(r"(?<!\\)\|", row)[1:-1] for row in table.strip().split("\n")]
        yield f"{len(rows)} rows of {sorted({len(row) for row in rows})} columns"


def first_difference(english: str, korean: str, paths: tuple[str, str]) -> str | None:
    """What first tells a Korean page from its English one, or None."""
    shapes = [shape(text, path) for text, path in zip((english, korean), paths, strict=True)]
    for what in shapes[0]:
        one, other = (found[what] for found in shapes)
        if what.startswith("set of "):  # Korean has another order of words
            missing = list((Counter(one) - Counter(other)).elements())
            extra = list((Counter(other) - Counter(one)).elements())
            if missing or extra:
                return (
                    f"{paths[1]}: {what[7:]}: {paths[0]} has {missing[:1] or 'nothing'} where "
                    f"the Korean page has {extra[:1] or 'nothing'}"
                )
        elif one != other:
            n = next(
                (i for i, pair in enumerate(zip(one, other, strict=False)) if len({*pair}) > 1), -1
            )
            n = n if n >= 0 else min(len(one), len(other))
            return (
                f"{paths[1]}: {what} {n + 1}: {paths[0]} has {one[n : n + 1] or 'nothing'}, "
                f"the Korean page has {other[n : n + 1] or 'nothing'}"
            )
    return None


def shape(text: str, path: str) -> dict[str, list[str]]:
    """What has to be the same in both languages."""
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
    blocks = [
        kind
        + "\n"
        + "\n".join(re.sub(r"(^|\s)#.*", "", line).strip() for line in body.splitlines())
        for kind, body in fence.findall(text)
    ]
    prose = fence.sub("", text)
    bare = re.sub(r"\]\([^)]*\)", "]", prose)
    return {
        "heading": re.findall(r"^#+(?= )", prose, re.M),
        "code block": blocks,
        "table": list(tables(prose)),
        "set of links": list(links(prose, path)),
        "set of numbers": [re.sub(r"\s", "", n) for n in NUMBER.findall(bare)],
        "set of names in code": sorted(set(re.findall(r"`([^`]+)`", re.sub(r"\s+", " ", bare)))),
    }


PAGES = ["README.ko.md", *(f"docs/ko/{page.name}" for page in sorted(DOCS.glob("ko/*.md")))]


@pytest.mark.parametrize("korean", PAGES)
def test_a_korean_page_keeps_step_with_the_english(korean: str) -> None:
    english = english_of(korean)
    assert (PROJECT / english).is_file(), f"{korean} has no English page {english}"
    texts = [(PROJECT / path).read_text("utf-8") for path in (english, korean)]
    difference = first_difference(texts[0], texts[1], (english, korean))
    assert difference is None, difference


def in_nav(nav: object) -> Iterator[str]:
    """The pages of a part of the navigation."""
    if isinstance(nav, str):
        yield nav
    elif nav:
        for part in nav.values() if isinstance(nav, dict) else list(nav):  # type: ignore[call-overload]
            yield from in_nav(part)


def test_the_pages_for_students_are_there_in_korean() -> None:
    nav = yaml.safe_load((PROJECT / "mkdocs.yml").read_text("utf-8"))["nav"]
    groups = {
        name: list(in_nav(part))
        for entry in nav
        if isinstance(entry, dict)
        for name, part in entry.items()
    }
    wanted = {"index.md", "howto-ablation.md", "howto-report.md", *groups["Explanation"]}
    there = {page.name for page in DOCS.glob("ko/*.md")}
    assert not wanted - there, f"not in Korean: {sorted(wanted - there)}"
    assert sorted(groups["한국어"]) == sorted(f"ko/{name}" for name in there)


CHANGES: list[tuple[str, str, Callable[[str], str], str]] = [
    ("world", "a heading's level", lambda t: t.replace("\n## ", "\n### ", 1), "heading 2"),
    ("design", "a heading left out", lambda t: re.sub(r"\n### .*", "", t, count=1), "heading"),
    ("howto-ablation", "a key", lambda t: t.replace("n_layer: 2", "n_layer: 3"), "code block 1"),
    ("howto-ablation", "a command", lambda t: t.replace("--cores all", "--cores 1"), "code block"),
    ("timeline", "a row", lambda t: re.sub(r"\n\| GPT-1 \|.*", "", t, count=1), "table 2"),
    ("glossary", "a column", lambda t: t.replace(" | 설명 |", " |", 1), "table 1"),
    ("claims", "a link", lambda t: t.replace("](statistics.md)", "](world.md)"), "links"),
    ("index", "an English page", lambda t: t.replace("](claims", "](../claims"), "instead of"),
    ("world", "a decimal", lambda t: t.replace("0.38 %", "0.83 %"), "numbers"),
    ("statistics", "a percentage", lambda t: t.replace("95 %", "90 %", 1), "numbers"),
    ("timeline", "half an interval", lambda t: t.replace("± 25.1", "± 25.2", 1), "numbers"),
    ("faithfulness", "a test", lambda t: t.replace("::test_single", "::test_pair", 1), "names"),
]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [(name, change, message) for name, _, change, message in CHANGES],
    ids=[f"{name}: {what}" for name, what, _, _ in CHANGES],
)
def test_a_change_of_one_language_alone_is_seen(
    name: str, change: Callable[[str], str], message: str
) -> None:
    korean = f"docs/ko/{name}.md"
    english = english_of(korean)
    text = (PROJECT / korean).read_text("utf-8")
    changed = change(text)
    assert changed != text
    found = first_difference((PROJECT / english).read_text("utf-8"), changed, (english, korean))
    assert found
    assert found.startswith(f"{korean}: ")
    assert message in found
