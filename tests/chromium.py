"""A headless Chromium for the tests, and what they ask of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

AXE = Path(__file__).parent.parent / ".cache" / "node_modules" / "axe-core" / "axe.min.js"


def started(folder: Path) -> Iterator[webdriver.Chrome]:
    """A Chromium with its profile in `folder`; the test is skipped where there is none."""
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
    options.add_argument(f"--user-data-dir={folder}")
    chromium = webdriver.Chrome(options=options, service=Service(driver))
    chromium.set_script_timeout(300)  # axe-core reads a whole report, on a busy machine too
    chromium.get("about:blank")
    requested(chromium)  # its own start page's
    yield chromium
    chromium.quit()


def requested(browser: webdriver.Chrome) -> list[str]:
    """The addresses asked for since the last call, but for those of the browser's own pages."""
    found = []
    for entry in browser.get_log("performance"):  # type: ignore[no-untyped-call]
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(str(message["params"]["request"]["url"]))
    return [url for url in found if not url.startswith(("chrome:", "chrome-untrusted:"))]


def severe(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """The console's errors since the last call."""
    entries = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry for entry in entries if entry["level"] == "SEVERE"]


def emulate(browser: webdriver.Chrome, width: int = 1250, scheme: str = "light") -> None:
    """A screen of a width (below 500 a phone), in the system's light or dark."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"media": "", "features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def violations(browser: webdriver.Chrome) -> list[str]:
    """What axe-core calls serious or critical on the open page, with the first place."""
    browser.execute_script(AXE.read_text("utf-8"))
    found = browser.execute_async_script("const done = arguments[0]; axe.run().then(done)")
    return [
        f"{rule['id']}: {rule['help']} ({rule['nodes'][0]['html'][:100]})"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
