"""The documentation's site: every link leads somewhere, and nothing is asked of another host."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gptbench.cli import STAGES
from gptbench.settings import Config
from tests.conftest import PROJECT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning an error."""
    out = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_no_page_asks_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\bsrc="([^"]+)"', page.read_text("utf-8"))
        loaded += re.findall(
            r'<link[^>]*rel="stylesheet"[^>]*href="([^"]+)"', page.read_text("utf-8")
        )
        assert loaded
        assert not [url for url in loaded if re.match(r"(https?:)?//", url)], page


def test_the_reference_has_every_command_and_key(site: Path) -> None:
    commands = (site / "commands.html").read_text("utf-8")
    for name in STAGES:
        assert f"gptbench {name}" in commands
    settings = (site / "settings.html").read_text("utf-8")
    for key in Config.model_fields:
        assert f"<code>{key}</code>" in settings


def test_a_link_into_the_source_leads_to_its_line(site: Path) -> None:
    """From pages in any folder, to the line where the symbol begins, in the file as it is."""
    found = 0
    for page in [site / "method.html", site / "ko" / "vectors.html", site / "ko" / "family.html"]:
        for link in re.findall(r'href="([^"]*/?source/[^"]+)"', page.read_text("utf-8")):
            file, _, name = link.partition("#")
            target = (page.parent / file).resolve()
            text = target.read_text("utf-8")
            code = re.search(r'<div class="highlight"><pre><code>(.*?)</code></pre>', text, re.S)
            assert code
            source = PROJECT / target.relative_to(site / "source").with_suffix("")
            shown = html.unescape(re.sub(r"<[^>]+>", "", code[1]))
            assert shown.split() == source.read_text("utf-8").split()
            if name:
                line = re.search(rf'<span id="{re.escape(name)}">(.*)', code[1])
                assert line, link
                begins = re.sub(r"<[^>]+>", "", line[1]).strip()
                last = name.rpartition(".")[2]
                assert re.match(rf"(class|def) {last}\b|@", begins), link
                found += 1
    assert found > 40


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    text = (PROJECT / "mkdocs.yml").read_text("utf-8")
    for page in (PROJECT / "docs").glob("*.md"):
        assert page.name in text, f"{page.name} is not in mkdocs.yml"


def test_a_page_says_its_language_and_leads_to_the_other(site: Path) -> None:
    korean = sorted((site / "ko").glob("*.html"))
    assert korean
    for page in korean:
        text, english = (p.read_text("utf-8") for p in (page, site / page.name))
        assert '<html lang="ko"' in text
        assert '<html lang="en"' in english
        assert f'<a href="../{page.name}"><span lang="en">English</span></a>' in text
        assert f'<a href="ko/{page.name}"><span lang="ko">한국어</span></a>' in english
