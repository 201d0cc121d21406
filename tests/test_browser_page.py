"""What the report's page does in a browser: sorting, theme, links to runs and to MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.chromium import AXE, emulate, requested, severe, violations

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


# Sorting. -------------------------------------------------------------------------------------

TABLE_2 = "//table[caption[starts-with(., 'Table 2.')]]"


def table_2(browser: webdriver.Chrome) -> list[list[tuple[str, str]]]:
    """Of each block of table 2 the rows: (method, MNLI-m)."""
    blocks = browser.find_element(By.XPATH, TABLE_2).find_elements(By.TAG_NAME, "tbody")
    script = "return [...arguments[0].rows].map(r => [...r.cells].map(c => c.textContent.trim()))"
    rows = [browser.execute_script(script, block) for block in blocks]
    return [[(row[0], row[1] if len(row) > 1 else "") for row in block] for block in rows]


def numbers(rows: list[tuple[str, str]]) -> list[float]:
    return [float(cell.split()[0]) for _, cell in rows if cell not in ("", "-")]


def test_a_click_sorts_up_down_and_back_within_the_blocks(opened: webdriver.Chrome) -> None:
    before = table_2(opened)
    paper, ours = before
    assert len(paper) == 7
    assert ours[0][0].startswith("SYNTHETIC WORLD")
    button = opened.find_element(By.XPATH, f"{TABLE_2}//th[2]/button")
    head = opened.find_element(By.XPATH, f"{TABLE_2}//th[2]")
    assert head.get_attribute("aria-sort") == "none"
    for state, down in (("ascending", False), ("descending", True)):
        button.click()
        assert head.get_attribute("aria-sort") == state
        blocks = table_2(opened)
        assert [sorted(block) for block in blocks] == [sorted(block) for block in before]
        assert blocks[1][0] == ours[0], "the heading stays above"
        found = numbers(blocks[0])
        assert found == sorted(found, reverse=down)
        assert len(found) == 6
        assert blocks[0][-1][1] == "-", "what has no number is last"
    button.click()
    assert head.get_attribute("aria-sort") == "none"
    assert table_2(opened) == before


def test_the_keyboard_sorts_and_text_is_sorted_as_text(opened: webdriver.Chrome) -> None:
    first = opened.find_element(By.XPATH, f"{TABLE_2}//th[1]/button")
    opened.execute_script("arguments[0].focus()", first)
    first.send_keys(Keys.ENTER)
    names = [name.lower() for name, _ in table_2(opened)[0]]
    assert names == sorted(names)
    first.send_keys(Keys.TAB)
    second = opened.switch_to.active_element
    assert second.text == "MNLI-m"
    second.send_keys(Keys.SPACE)
    states = [head.get_attribute("aria-sort") for head in
              opened.find_elements(By.XPATH, f"{TABLE_2}//thead//th")]  # fmt: skip
    assert states[:3] == ["none", "ascending", "none"], "one column at a time"


def test_thousands_and_times_are_sorted_as_numbers(opened: webdriver.Chrome) -> None:
    table = "//table[caption[starts-with(., 'Table 1.')]]"
    opened.find_element(By.XPATH, f"{table}//th[button='official']/button").click()
    cells = opened.find_elements(By.XPATH, f"({table}//tbody)[1]/tr[not(@class)]/td[5]")
    found = [int(cell.text.replace(",", "")) for cell in cells]
    assert found == sorted(found)
    assert found[-1] == 549_367
    cost = "//h2[@id='cost']/following::table[1]"
    opened.find_element(By.XPATH, f"{cost}//th[button='time in jobs']/button").click()
    stages = [th.text for th in opened.find_elements(By.XPATH, f"{cost}//tbody/tr/th")]
    # 2 runs of 75 s, 2 of 4 s and 91 of 2 s, 13 data sets of 1 s
    assert stages == ["zeroshot", "encode", "pretrain", "finetune"]


# Theme. ---------------------------------------------------------------------------------------


def colours(browser: webdriver.Chrome) -> tuple[str, str]:
    body = browser.find_element(By.TAG_NAME, "body")
    return body.value_of_css_property("background-color"), body.value_of_css_property("color")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_goes_round_and_is_remembered(opened: webdriver.Chrome, system: str) -> None:
    emulate(opened, scheme=system)
    auto = colours(opened)
    button = opened.find_element(By.ID, "theme")
    assert button.text == "Theme: auto"
    button.click()
    light = colours(opened)
    button.send_keys(Keys.ENTER)
    dark = colours(opened)
    assert light != dark
    assert auto == (dark if system == "dark" else light)
    opened.refresh()
    assert colours(opened) == dark
    assert opened.find_element(By.ID, "theme").text == "Theme: dark"
    opened.find_element(By.ID, "theme").click()
    assert colours(opened) == auto


def test_a_theme_that_is_none_is_auto(opened: webdriver.Chrome) -> None:
    opened.execute_script("localStorage.setItem('gptbench-theme', 'x')")
    opened.refresh()
    assert opened.find_element(By.ID, "theme").text == "Theme: auto"


def test_a_browser_that_refuses_memory_still_switches(opened: webdriver.Chrome) -> None:
    refuse = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }})"
    made = opened.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": refuse})
    try:
        opened.refresh()
        opened.find_element(By.ID, "theme").click()
        opened.find_element(By.ID, "theme").click()
        assert opened.execute_script("return document.documentElement.dataset.theme") == "dark"
    finally:
        opened.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; npm install --prefix .cache axe-core")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1600, 390])
def test_nothing_serious_with_everything_open(
    opened: webdriver.Chrome, theme: str, width: int
) -> None:
    emulate(opened, width)
    opened.execute_script(
        "document.documentElement.dataset.theme = arguments[0];"
        "for (const each of document.querySelectorAll('details')) each.open = true;",
        theme,
    )
    assert violations(opened) == []


# From a number to its run. --------------------------------------------------------------------


def test_a_cell_leads_to_its_run_and_to_the_folder(page: Path, opened: webdriver.Chrome) -> None:
    cell = f"{TABLE_2}//tr[@class='gptbench']/td[2]/a"
    opened.find_element(By.XPATH, cell).click()
    assert opened.current_url.endswith("#run-finetune/full/mnli")
    entry = opened.find_element(By.ID, "run-finetune/full/mnli")
    assert entry.get_attribute("open") is not None
    focused = opened.switch_to.active_element
    assert focused.tag_name == "summary"
    assert focused.text.startswith("MultiNLI")
    link = entry.find_element(By.LINK_TEXT, "pre0-seed0")
    assert link.is_displayed()
    folder = page.parents[1] / "finetune/full/mnli/pre0-seed0"
    assert link.get_attribute("href") == f"{folder.as_uri()}/"
    assert (folder / "metrics.json").is_file()
    link.click()
    assert "metrics.json" in opened.page_source


def test_a_link_to_the_same_run_opens_it_again(opened: webdriver.Chrome) -> None:
    cell = opened.find_element(By.XPATH, f"{TABLE_2}//tr[@class='gptbench']/td[2]/a")
    cell.click()
    entry = opened.find_element(By.ID, "run-finetune/full/mnli")
    opened.execute_script(
        "arguments[0].open = false; arguments[1].scrollIntoView({block: 'center'})", entry, cell
    )
    cell.click()
    assert entry.get_attribute("open") is not None


def test_an_average_opens_all_runs_of_its_variant(page: Path, opened: webdriver.Chrome) -> None:
    opened.get("about:blank")
    opened.get(f"{page.as_uri()}#run-finetune/lstm")
    group = opened.find_element(By.ID, "run-finetune/lstm")
    entries = group.find_elements(By.TAG_NAME, "details")
    assert len(entries) == 8
    assert all(entry.get_attribute("open") is not None for entry in entries)


# Contents, phone, paper. ----------------------------------------------------------------------


def test_contents_fold_above_the_page_and_stand_beside_it(opened: webdriver.Chrome) -> None:
    contents = opened.find_element(By.CLASS_NAME, "toc")
    assert contents.get_attribute("open") is None
    contents.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert contents.get_attribute("open") is not None
    contents.find_element(By.TAG_NAME, "a").send_keys(Keys.ESCAPE)
    assert contents.get_attribute("open") is None
    assert opened.switch_to.active_element.text == "Contents"
    emulate(opened, 1600)
    opened.refresh()
    contents = opened.find_element(By.CLASS_NAME, "toc")
    assert contents.get_attribute("open") is not None
    opened.execute_script("document.getElementById('gains').scrollIntoView()")
    WebDriverWait(opened, 5).until(
        lambda browser: (
            browser.find_element(By.CSS_SELECTOR, ".toc a[aria-current]").text
            == "Gains from pre-training"
        )
    )
    beside, main = (opened.find_element(By.TAG_NAME, tag).rect for tag in ("header", "main"))
    assert beside["x"] + beside["width"] <= main["x"]


def test_the_first_tab_skips_to_the_results(opened: webdriver.Chrome) -> None:
    opened.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    skip = opened.switch_to.active_element
    assert skip.text == "Skip to the results"
    skip.send_keys(Keys.ENTER)
    assert opened.switch_to.active_element.tag_name == "main"


@pytest.mark.parametrize("width", [1600, 1250, 700, 390])
def test_nothing_scrolls_sideways_with_everything_open(
    opened: webdriver.Chrome, width: int
) -> None:
    emulate(opened, width)
    opened.execute_script(
        "for (const each of document.querySelectorAll('details')) each.open = true"
    )
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    over = opened.execute_script(
        "return [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)"
    )
    assert len(over) > 20
    if width > 500:  # on a phone most tables scroll, some by a little
        assert not [pixels for pixels in over if 0 < pixels < 8], "a scroll bar for nothing"


def test_paper_is_light_and_shows_what_is_folded(opened: webdriver.Chrome) -> None:
    opened.execute_script("document.documentElement.dataset.theme = 'dark'")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert colours(opened) == ("rgba(255, 255, 255, 1)", "rgba(0, 0, 0, 1)")
    assert not opened.find_element(By.TAG_NAME, "header").is_displayed()
    hidden = opened.execute_script(
        "return [...document.querySelectorAll('main details :is(td, pre)')].filter(each =>"
        " !each.matches('.runs td:nth-last-child(2)')"
        " && !each.checkVisibility({contentVisibilityAuto: true})).length"
    )
    assert hidden == 0
    assert opened.execute_script("return document.querySelectorAll('main details:not([open])')")


def test_without_a_script_the_page_is_whole(page: Path, browser: webdriver.Chrome) -> None:
    emulate(browser)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get("about:blank")
        browser.get(page.as_uri())
        assert not browser.find_element(By.ID, "theme").is_displayed()
        assert browser.find_element(By.CSS_SELECTOR, "nav a").is_displayed()
        assert not browser.find_elements(By.CSS_SELECTOR, "th button")
        assert "gptbench track sync" in browser.find_elements(By.CLASS_NAME, "mlflow-note")[1].text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


# MLflow. --------------------------------------------------------------------------------------


def test_without_mlflow_the_page_says_how_to_get_its_links(opened: webdriver.Chrome) -> None:
    assert not opened.find_elements(By.CSS_SELECTOR, "a[href^=http]")
    notes = opened.find_elements(By.CLASS_NAME, "mlflow-note")
    assert "gptbench track sync --results results/quick" in notes[-1].text


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
    runs = "http://127.0.0.1:5000/#/experiments/7%3C%2Fscript%3E%3Cb%3E/runs"
    training = "?workflowType=machine_learning"
    row = browser.find_element(By.CSS_SELECTOR, f"[data-run-id='{RUN}']")
    (link,) = row.find_elements(By.CSS_SELECTOR, "a[href^=http]")
    assert link.get_attribute("href") == f"{runs}/0123456789abcdef{training}"
    other = browser.find_element(By.CSS_SELECTOR, "[data-run-id='fake-run-full-rte-0-1']")
    assert not other.find_elements(By.CSS_SELECTOR, "a[href^=http]")
    note = browser.find_element(By.CLASS_NAME, "mlflow-note")
    assert note.is_displayed()
    assert "open while make ui is running" in note.text
    assert [a.get_attribute("href") for a in note.find_elements(By.TAG_NAME, "a")] == [
        f"{runs}{training}",
        f"{runs}/abc{training}",
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
