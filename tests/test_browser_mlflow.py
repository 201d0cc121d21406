"""The MLflow UI of a finished run in a real browser: from a number of the report to its run.

The runs are real ones of the tests' tiny scale, logged by a sync, served as `make ui` serves them.
"""

from __future__ import annotations

import re
import shutil
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from gptbench import tracking
from tests.chromium import emulate, requested, severe
from tests.conftest import Project
from tests.test_tracking import client, server

pytestmark = pytest.mark.browser
SECONDS = 40
# The UI asks who is logged in, which a server without logins does not know; and Chromium notes
# that a box of its page of a model was measured again.
KNOWN = (
    "/ajax-api/2.0/mlflow/users/current - Failed to load resource",
    "ResizeObserver loop completed with undelivered notifications.",
)
# Two models, and the run of the stage above them.
PRETRAIN = r"\b3 matching runs"


class Served:
    """Results with their MLflow server: the folder of the scale, the address, the experiment."""

    def __init__(self, results: Path, address: str) -> None:
        self.results, self.address = results, address
        self.client = client(results.parent)
        found = self.client.get_experiment_by_name(f"gptbench/{results.name}")
        assert found
        self.experiment = f"{address}/#/experiments/{found.experiment_id}"
        self.number = found.experiment_id

    def run(self, where: str) -> str:
        """The id of the one run that a filter finds."""
        (run,) = self.client.search_runs([self.number], where)
        return str(run.info.run_id)


@pytest.fixture(scope="module")
def served(
    finished_project: Project, browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A copy of the finished project's results, logged afresh and served."""
    root = tmp_path_factory.mktemp("served") / "results"
    results = root / finished_project.results.name
    shutil.copytree(finished_project.results, results)
    (results / "tracking.json").unlink(missing_ok=True)
    tracking.sync(results, models=True)
    with server(root) as address:
        tracking.sync(results, ui=address)
        yield Served(results, address)


@pytest.fixture
def opened(served: Served, browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """The browser, its assistant's panel closed; afterwards nothing but the known error."""
    emulate(browser)
    browser.get(served.address)
    browser.execute_script("localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false')")
    browser.execute_script(
        "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"
    )
    browser.get("about:blank")
    requested(browser)
    yield browser
    errors = [entry["message"] for entry in severe(browser)]
    assert not [text for text in errors if not any(known in text for known in KNOWN)]
    hosts = {urllib.parse.urlsplit(url).hostname for url in requested(browser) if "http" in url[:4]}
    assert hosts <= {"127.0.0.1"}


def until(browser: webdriver.Chrome, css: str, text: str) -> WebElement:
    """The first element of a kind with a text in it, once it is there."""

    def found(driver: webdriver.Chrome) -> WebElement | None:
        try:
            for element in driver.find_elements(By.CSS_SELECTOR, css):
                if text in (element.text or str(element.get_attribute("textContent"))):
                    return element
        except (NoSuchElementException, StaleElementReferenceException):
            pass
        return None

    wait = WebDriverWait(browser, SECONDS)
    made = wait.until(found, f"no {css} with the text {text!r} on {browser.current_url}")
    assert made is not None
    return made


def test_from_a_cell_of_a_table_to_its_run_in_mlflow(
    served: Served, opened: webdriver.Chrome
) -> None:
    opened.get((served.results / "report" / "index.html").as_uri())
    cell = opened.find_element(By.CSS_SELECTOR, "td a[href^='#run']")
    opened.execute_script("arguments[0].click()", cell)
    entry = opened.find_element(By.ID, str(cell.get_attribute("href")).partition("#")[2])
    row = entry.find_element(By.CSS_SELECTOR, "tr[data-run-id]")
    run_id = str(row.get_attribute("data-run-id"))
    link = row.find_element(By.LINK_TEXT, "MLflow")
    assert str(link.get_attribute("href")).startswith(served.experiment)
    link.click()
    until(opened, "body", "About this run")
    name = served.client.get_run(served.run(f"tags.`gptbench.run_id` = '{run_id}'")).info.run_name
    until(opened, "body", str(name))
    until(opened, "body", run_id)
    until(opened, "body", "gptbench.run_id")
    until(opened, "body", "scores/")


def test_runs_are_filtered_by_a_tag(served: Served, opened: webdriver.Chrome) -> None:
    opened.get(f"{served.experiment}/runs?workflowType=machine_learning")
    assert not re.search(PRETRAIN, until(opened, "body", "matching runs").text)
    text = "tags.`gptbench.stage` = 'pretrain'"

    def filtered(driver: webdriver.Chrome) -> bool:
        if re.search(PRETRAIN, driver.find_element(By.TAG_NAME, "body").text):
            return True
        # The box suggests while one types; an Enter too soon takes a suggestion instead.
        box = driver.find_element(By.CSS_SELECTOR, "[data-testid='search-box']")
        if box.get_attribute("value") != text:
            box.send_keys(Keys.CONTROL, "a")
            box.send_keys(text)
        else:
            box.send_keys(Keys.ENTER)
        return False

    WebDriverWait(opened, SECONDS, poll_frequency=2).until(filtered)
    row = until(opened, ".ag-row", "pretrain (2 jobs)")
    row.find_element(By.TAG_NAME, "button").click()
    until(opened, "a", "pretrain transformer seed0")
    until(opened, "a", "pretrain lstm seed0")


def test_the_reproduction_shows_its_stages_and_these_their_jobs(
    served: Served, opened: webdriver.Chrome
) -> None:
    parent = served.run("tags.`gptbench.stage` = 'reproduction'")
    opened.get(f"{served.experiment}/runs/{parent}")
    for stage in ("tokenizer (1 job)", "pretrain (2 jobs)", "zeroshot (2 jobs)"):
        until(opened, "a", stage)
    until(opened, "a", "pretrain (2 jobs)").click()
    until(opened, "a", "pretrain transformer seed0").click()
    until(opened, "body", "pretrain transformer seed0")
    until(opened, "a", "pretrain (2 jobs)")


def test_the_report_is_among_the_reproductions_files(
    served: Served, opened: webdriver.Chrome
) -> None:
    parent = served.run("tags.`gptbench.stage` = 'reproduction'")
    opened.get(f"{served.experiment}/runs/{parent}/artifacts/report")
    until(opened, "body", "index.html")
    until(opened, "body", "scores.csv")


def test_a_run_shows_its_data_its_model_and_its_system_metrics(
    served: Served, opened: webdriver.Chrome
) -> None:
    run = served.run("tags.`gptbench.folder` = 'pretrain/transformer/seed0'")
    page = f"{served.experiment}/runs/{run}"
    opened.get(f"{page}?workflowType=machine_learning")
    until(opened, "body", "corpus/train")
    until(opened, "body", "pretrain-transformer-seed0")
    opened.get(f"{page}/system-metrics")
    until(opened, "body", "process_cpu_percentage")
    opened.get(f"{page}/model-metrics")
    search = until(opened, "input[placeholder*='Search metric']", "")
    search.send_keys("gradient")
    until(opened, "body", "pretrain transformer seed0 (gradient_norm)")
    found = served.client.search_logged_models([served.number], max_results=200)
    (model,) = [each for each in found if each.source_run_id == run]
    opened.get(f"{served.experiment}/models/{model.model_id}")
    until(opened, "body", "Datasets used")
    until(opened, "a", "pretrain transformer seed0")
    until(opened, "body", "corpus/validation")
    opened.get(f"{served.experiment}/models?workflowType=machine_learning")
    until(opened, "a", "finetune-")
