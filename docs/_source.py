"""Pages of the site with the source files that other pages link to: such links work offline.

A link is written as a path in the checkout, `../gptbench/models/transformer.py#Block`; here it
leads to a page with the highlighted file and an anchor at each class, function and dotted method.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\((?:\.\./)*((?:config|gptbench|tests)/[\w/.-]+\.(?:py|yaml))(#[\w.]+)?\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add a page for each file that a page links to."""
    linked = {
        path
        for file in files.documentation_pages()
        for path, _ in LINK.findall(file.content_string)
    }
    for path in sorted(linked):
        if (ROOT / path).is_file():  # else the link stays, and the build names it
            files.append(File.generated(config, f"source/{path}.md", content=source_page(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Links into the source, as links between pages of the site."""
    if page.file.src_uri.startswith("source/"):
        return markdown
    up = "../" * page.file.src_uri.count("/")
    return LINK.sub(rf"]({up}source/\1.md\2)", markdown)


def source_page(path: str) -> str:
    """A file as a page that the search leaves out."""
    code = (ROOT / path).read_text("utf-8")
    names: dict[int, str] = {}
    if path.endswith(".py"):
        names = {line: f' id="{name}"' for name, line in symbols(ast.parse(code).body)}
    lexer = get_lexer_for_filename(path, stripnl=False)
    lines = highlight(code, lexer, HtmlFormatter(nowrap=True)).splitlines()
    listing = "".join(  # the theme lays out each span in a code block as a line
        f"<span{names.get(number, '')}>{line}\n</span>" for number, line in enumerate(lines, 1)
    )
    return (
        f"---\nsearch: {{exclude: true}}\n---\n# {path}\n\n"
        f'<div class="highlight"><pre><code>{listing}</code></pre></div>\n'
    )


def symbols(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, int]]:
    """Classes, functions and methods (dotted) and the lines where they begin."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            yield prefix + node.name, first
            if isinstance(node, ast.ClassDef):
                yield from symbols(node.body, f"{prefix}{node.name}.")
