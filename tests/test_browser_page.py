"""What the report's page does in a browser: sorting, theme, links to runs and to MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.chromium import emulate, requested, severe

pytestmark = pytest.mark.browser
EMPTY = '<script type="application/json" id="mlflow">{}</script>'
RUN = "fake-run-full-rte-0-0"


@pytest.fixture
def opened(page: Path, browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """The page on a wide light screen, with nothing remembered; no error may come of a test."""
    emulate(browser)
    browser.get(page.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.get(page.as_uri())
    severe(browser)
    yield browser
    assert not severe(browser)


# MLflow. --------------------------------------------------------------------------------------


def test_without_mlflow_the_page_says_how_to_get_its_links(opened: webdriver.Chrome) -> None:
    assert not opened.find_elements(By.CSS_SELECTOR, "a[href^=http]")
    notes = opened.find_elements(By.CLASS_NAME, "mlflow-note")
    assert "gptbench track sync --results results/quick" in notes[-1].get_attribute("textContent")


def test_the_mlflow_block_becomes_links_and_nothing_is_asked(
    page: Path, tmp_path: Path, browser: webdriver.Chrome
) -> None:
    text = page.read_text("utf-8")
    assert text.count(EMPTY) == 1
    filled = {
        "ui": "http://127.0.0.1:5000",
        "experiment": "7</script><b>",
        "parent": "abc",
        "runs": {RUN: "0123456789abcdef", "of another": "x"},
    }
    data = json.dumps(filled).replace("<", "\\u003c")
    copy = tmp_path / "index.html"
    copy.write_text(text.replace(EMPTY, EMPTY.replace("{}", data)), "utf-8")
    browser.get(copy.as_uri())
    requested(browser)
    experiment = "http://127.0.0.1:5000/#/experiments/7%3C%2Fscript%3E%3Cb%3E"
    row = browser.find_element(By.CSS_SELECTOR, f"[data-run-id='{RUN}']")
    (link,) = row.find_elements(By.CSS_SELECTOR, "a[href^=http]")
    assert link.get_attribute("href") == f"{experiment}/runs/0123456789abcdef"
    other = browser.find_element(By.CSS_SELECTOR, "[data-run-id='fake-run-full-rte-0-1']")
    assert not other.find_elements(By.CSS_SELECTOR, "a[href^=http]")
    note = browser.find_element(By.CLASS_NAME, "mlflow-note")
    assert note.is_displayed() and "open while make ui is running" in note.text
    assert [a.get_attribute("href") for a in note.find_elements(By.TAG_NAME, "a")] == [
        experiment,
        f"{experiment}/runs/abc",
    ]
    assert not [url for url in requested(browser) if url.startswith("http")]
    assert not severe(browser)


def test_an_address_that_is_no_web_address_is_no_link(
    page: Path, tmp_path: Path, browser: webdriver.Chrome
) -> None:
    data = json.dumps({"ui": "javascript:alert(1)//", "experiment": "1", "runs": {RUN: "x"}})
    copy = tmp_path / "index.html"
    copy.write_text(page.read_text("utf-8").replace(EMPTY, EMPTY.replace("{}", data)), "utf-8")
    browser.get(copy.as_uri())
    assert not browser.find_elements(By.CSS_SELECTOR, "a[href^=javascript]")
