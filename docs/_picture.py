"""`python docs/_picture.py`: the picture of the README, the first screen of a published report."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

DOCS = Path(__file__).resolve().parent
REPORT = DOCS.parent / "results" / "reference" / "quick" / "index.html"


def main() -> None:
    """Open the report in Chromium, 1250 pixels wide, and write `figures/report.png`."""
    options = Options()
    for word in "--headless=new --no-sandbox --disable-gpu --hide-scrollbars".split():
        options.add_argument(word)
    options.binary_location = shutil.which("chromium") or ""
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    size = {"width": 1250, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(REPORT.as_uri())
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    browser.quit()
    # 96 colours, without dither: a third of the size, and the text as sharp.
    small = picture.quantize(96, dither=Image.Dither.NONE)
    small.save(DOCS / "figures" / "report.png", optimize=True)


if __name__ == "__main__":
    main()
