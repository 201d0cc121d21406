"""Pages of the site that are made from elsewhere: the commands, the settings, files of the root."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from markdown.extensions.toc import slugify_unicode
from mkdocs.structure.files import File, Files

from gptbench.cli import build_parser
from gptbench.settings import schemas

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "results" / "reference"
ELSEWHERE = {
    "configuration.md": "config/README.md",
    "faithfulness.md": "FAITHFULNESS.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
KOREAN = "ko/"


def on_config(config: Any) -> Any:
    """A Korean heading's anchor is its words, as on GitHub, and no number."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify_unicode
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are no files of `docs/`."""
    pages = {"commands.md": commands(), "settings.md": settings()}
    pages |= {name: (ROOT / source).read_text("utf-8") for name, source in ELSEWHERE.items()}
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    for path in sorted(PUBLISHED.glob("*/figures/figure2_*.png")):
        name = f"reference/{path.relative_to(PUBLISHED).as_posix()}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Links between files of the checkout, as links between pages of the site."""
    up = "../" * page.file.src_uri.count("/")
    for name, source in ELSEWHERE.items():
        markdown = re.sub(rf"\]\((?:\.\./)*{re.escape(source)}", f"]({up}{name}", markdown)
    markdown = markdown.replace("](../results/reference/", "](reference/")
    markdown = re.sub(r"\]\((?:\.\./)*docs/", f"]({up}", markdown)
    title, _, rest = markdown.partition("\n")
    return f"{title}\n\n{_other_language(page.file.src_uri, files)}\n{rest}"


def _other_language(source: str, files: Files) -> str:
    """A link to the same page in the other language, where there is one."""
    korean = source.startswith(KOREAN)
    other = source.removeprefix(KOREAN) if korean else KOREAN + source
    if files.get_file_from_path(other) is None:
        return ""
    link = f"../{other}" if korean else other
    lang, name = ("en", "English") if korean else ("ko", "한국어")
    return f'[<span lang="{lang}">{name}</span>]({link})\n'


def on_page_context(context: Any, *, page: Any, config: Any, nav: Any) -> Any:
    """The theme's words, and `html lang`, in the language of the page."""
    config.theme["language"] = "ko" if page.file.src_uri.startswith(KOREAN) else "en"
    return context


def commands() -> str:
    """Every command with its help, as the parser prints it."""
    parser = build_parser()
    parts = ["# Commands", "", *_block(parser)]
    for name, sub in _subcommands(parser).items():
        parts += [f"## gptbench {name}", "", *_block(sub)]
        for action, inner in _subcommands(sub).items():
            parts += [f"### gptbench {name} {action}", "", *_block(inner)]
    return "\n".join(parts)


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def _block(parser: argparse.ArgumentParser) -> list[str]:
    return ["```text", parser.format_help().rstrip(), "```", ""]


def settings() -> str:
    """Every key of the settings: its type and default, from the classes that check them."""
    parts = ["# Settings", "", "Made from the classes that check the config files.", ""]
    for file, title in (
        ("config.schema.json", "Config"),
        ("task.schema.json", "TaskSpec"),
        ("experiments.schema.json", "Experiments"),
    ):
        schema = schemas()[file]
        for name, part in {title: schema, **schema.get("$defs", {})}.items():
            heading = f"## {name}"
            if "properties" in part and heading not in parts:
                parts += [heading, "", part.get("description", ""), "", *_keys(part), ""]
    return "\n".join(parts)


def _keys(part: dict[str, Any]) -> list[str]:
    needed = part.get("required", [])
    rows = ["| key | type | default |", "| --- | --- | --- |"]
    for key, what in part["properties"].items():
        default = "required" if key in needed else f"`{what.get('default')}`"
        rows.append(f"| `{key}` | {_type(what)} | {default} |")
    return rows


def _type(what: dict[str, Any]) -> str:
    if "$ref" in what:
        return str(what["$ref"]).rsplit("/", 1)[1]
    for key in ("anyOf", "oneOf"):
        if key in what:
            return " or ".join(_type(each) for each in what[key])
    if "enum" in what or "const" in what:
        return ", ".join(f"`{each}`" for each in what.get("enum", [what.get("const")]))
    inner = what.get("items", what.get("additionalProperties"))
    kind = str(what.get("type", "any"))
    return f"{kind} of {_type(inner)}" if isinstance(inner, dict) and inner else kind
