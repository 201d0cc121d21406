"""The report in a real browser: nothing asked of another host, no error, readable on a phone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.wait import WebDriverWait

from gptbench.report.build import run
from tests.conftest import PROJECT
from tests.report_tree import make_job, make_tree

pytestmark = pytest.mark.browser
AXE = PROJECT / ".cache" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on made-up numbers; one title would be a script if it were not escaped."""
    job = make_job()
    tasks = dict(job.tasks)
    tasks["rte"] = tasks["rte"].model_copy(update={"title": "<script>document.title='x'</script>"})
    job = job.model_copy(update={"tasks": tasks})
    root = make_tree(job, tmp_path_factory.mktemp("report"))
    run(job, root)
    return root / "report" / "index.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chrome, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chrome or not driver:
        pytest.skip("no chromium and chromedriver; install Debian's chromium and chromium-driver")
    options = Options()
    options.binary_location = chrome
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for word in (
        "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-sync"
        " --disable-background-networking --disable-component-update --window-size=1250,900"
    ).split():
        options.add_argument(word)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chrome')}")
    chromium = webdriver.Chrome(options=options, service=Service(driver))
    yield chromium
    chromium.quit()


def requested(browser: webdriver.Chrome) -> list[str]:
    """The addresses asked for since the last call."""
    found = []
    for entry in browser.get_log("performance"):  # type: ignore[no-untyped-call]
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(str(message["params"]["request"]["url"]))
    return found


def test_the_page_is_self_contained_and_without_errors(
    page: Path, browser: webdriver.Chrome
) -> None:
    browser.get(page.as_uri())
    urls = requested(browser)
    assert page.as_uri() in urls
    assert not [url for url in urls if not url.startswith(("file:", "data:", "chrome:"))]
    severe = [
        entry
        for entry in browser.get_log("browser")  # type: ignore[no-untyped-call]
        if entry["level"] == "SEVERE"
    ]
    assert not severe
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
        link.click()
        assert browser.current_url.endswith(f"#{target}")


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


def violations(browser: webdriver.Chrome, page: Path) -> list[str]:
    """What axe-core calls serious or critical on a page, with the first place."""
    browser.get(page.as_uri())
    browser.execute_script(AXE.read_text("utf-8"))
    found = browser.execute_async_script("const done = arguments[0]; axe.run().then(done)")
    return [
        f"{rule['id']}: {rule['help']} ({rule['nodes'][0]['html'][:100]})"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; npm install --prefix .cache axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_accessibility_in_the_report(
    page: Path, browser: webdriver.Chrome, scheme: str
) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    assert violations(browser, page) == []


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; npm install --prefix .cache axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name",
    "index timeline howto-ablation settings statistics method ko/vectors ko/family"
    " ko/index ko/statistics source/gptbench/models/transformer.py".split(),
)
def test_nothing_serious_for_accessibility_in_the_docs(
    site: Path, browser: webdriver.Chrome, name: str, scheme: str
) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get((site / f"{name}.html").as_uri())
    browser.execute_script("localStorage.clear()")  # the theme keeps the scheme of the first visit
    assert violations(browser, site / f"{name}.html") == []
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
