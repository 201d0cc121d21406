"""The report in a real browser: nothing asked of another host, no error, readable on a phone."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.wait import WebDriverWait

from tests.chromium import AXE, emulate, requested, severe, violations
from tests.conftest import PROJECT

pytestmark = pytest.mark.browser


def test_the_page_is_self_contained_and_without_errors(
    page: Path, browser: webdriver.Chrome
) -> None:
    browser.get(page.as_uri())
    urls = requested(browser)
    assert page.as_uri() in urls
    assert not [url for url in urls if not url.startswith(("file:", "data:"))]
    assert not severe(browser)
    assert browser.title == "SYNTHETIC DATA: gptbench, scale quick"
    text = browser.find_element(By.TAG_NAME, "body").text
    assert "<script>document.title='x'</script>" in text, "a title is text, whatever it holds"


def test_every_link_of_the_page_leads_to_a_place_on_it(
    page: Path, browser: webdriver.Chrome
) -> None:
    browser.get(page.as_uri())
    links = browser.find_elements(By.CSS_SELECTOR, "nav a")
    assert len(links) > 8
    for link in links:
        target = str(link.get_attribute("href")).partition("#")[2]
        assert browser.find_elements(By.ID, target), target
        if not link.is_displayed():
            browser.find_element(By.CSS_SELECTOR, "nav summary").click()
        link.click()
        assert browser.current_url.endswith(f"#{target}")
        below = "return document.getElementById(arguments[0]).getBoundingClientRect().top"
        assert browser.execute_script(below, target) >= 40, "under the bar"


@pytest.mark.parametrize("width", [1250, 390])
def test_the_page_itself_never_scrolls_sideways(
    page: Path, browser: webdriver.Chrome, width: int
) -> None:
    """Wide tables scroll in their own boxes, on a phone too."""
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width


def test_dark_and_light_differ(page: Path, browser: webdriver.Chrome) -> None:
    colours = []
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(page.as_uri())
        body = browser.find_element(By.TAG_NAME, "body")
        colours.append(
            (body.value_of_css_property("background-color"), body.value_of_css_property("color"))
        )
    assert colours[0] != colours[1]
    assert colours[1][0] != colours[1][1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation's site."""
    out = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(out)]
    subprocess.run(words, cwd=PROJECT, check=True)
    return out


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; npm install --prefix .cache axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_accessibility_in_the_report(
    page: Path, browser: webdriver.Chrome, scheme: str
) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(page.as_uri())
    assert violations(browser) == []


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; npm install --prefix .cache axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name",
    "index timeline howto-ablation settings statistics method ko/vectors ko/family"
    " ko/index ko/statistics ko/inside ko/howto-report"
    " source/gptbench/models/transformer.py".split(),
)
def test_nothing_serious_for_accessibility_in_the_docs(
    site: Path, browser: webdriver.Chrome, name: str, scheme: str
) -> None:
    emulate(browser, scheme=scheme)
    browser.get((site / f"{name}.html").as_uri())
    browser.execute_script("localStorage.clear()")  # the theme keeps the scheme of the first visit
    browser.refresh()
    assert violations(browser) == []
    shown = browser.find_element(By.TAG_NAME, "body").get_attribute("data-md-color-scheme")
    assert shown == {"light": "default", "dark": "slate"}[scheme]


def test_the_search_knows_korean(site: Path, browser: webdriver.Chrome) -> None:
    """A word is found with its particles, and nothing is asked of another host."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}/"
        requested(browser)
        wide = {"width": 1250, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", wide)
        browser.get(f"{place}ko/index.html")
        box = WebDriverWait(browser, 20).until(
            element_to_be_clickable((By.CSS_SELECTOR, "input.md-search__input"))
        )
        box.send_keys("퇴화한")
        found = WebDriverWait(browser, 20).until(
            lambda page: page.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
        )
        pages = [str(link.get_attribute("href")) for link in found]
        server.shutdown()
    assert any(page.startswith(f"{place}ko/statistics.html") for page in pages), pages
    urls = requested(browser)
    assert not [url for url in urls if not url.startswith((place, "data:", "blob:", "chrome"))]
