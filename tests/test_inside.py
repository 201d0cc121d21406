"""The page's pictures of the models, of a task's input, and of a sentence's way through a model."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from gptbench.artifacts import read_json
from gptbench.data.encoded import Encoded
from gptbench.data.shown import ROWS
from gptbench.report import data, inside
from gptbench.report.architecture import architecture, classifier
from gptbench.report.build import run
from gptbench.report.diagram import diagram
from gptbench.report.finished import read_results
from gptbench.report.results import Results
from gptbench.settings import ReportJob
from tests.chromium import AXE, violations
from tests.inside_tree import TASKS, add_inside, tokenizer
from tests.report_tree import make_job, make_tree
from tests.training_fakes import bert, gpt2, gpt3, transformer

OVERLAP = {"examples": 4, "testable": 4, "overlapping": 1, "first": "a b c d e f g h"}
SENTENCES = ["the cook saw soup .", "= she was <b> kind ."]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def job() -> ReportJob:
    return make_job(attention={"sentences": SENTENCES})


@pytest.fixture(scope="module")
def root(job: ReportJob, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = add_inside(job, make_tree(job, tmp_path_factory.mktemp("inside")))
    run(job, root)
    return root


@pytest.fixture(scope="module")
def html(root: Path) -> str:
    return (root / "report" / "index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def section(root: Path) -> dict[str, Any]:
    return inside.section(read_results(root))


# The models. ----------------------------------------------------------------------------------


def test_the_page_draws_the_model_from_its_settings(job: ReportJob, html: str) -> None:
    found = re.findall(r'<svg class="diagram".*?</svg>', html, re.DOTALL)
    assert len(found) == 1, "an LSTM is a table"
    text = found[0].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ')
    svg = ElementTree.fromstring(text)
    assert svg.get("role") == "img"
    labels = str(svg.get("aria-labelledby")).split()
    assert [svg.findtext(f"{SVG}{name}") is not None for name in ("title", "desc")] == [True, True]
    assert labels == [e.get("id") for e in svg if e.tag in (f"{SVG}title", f"{SVG}desc")]
    words = [element.text for element in svg.iter(f"{SVG}text")]
    vocab = tokenizer().vocab_size
    for word in ("3 ×", f"[10, 52, {vocab}]", "[10, 4, 52, 24]", "[10, 52, 384]", "36,960 × 3"):
        assert word in words
    backbone = job.config.models["transformer"].backbone
    total = architecture(backbone, 10, 52, vocab).total
    assert f"transformer: {total:,} parameters" in html
    assert "counted in the trained model: 500,000" in html
    assert re.search(r"<summary>lstm: [\d,]+ parameters</summary>", html)


@pytest.mark.parametrize("backbone", [transformer(), gpt2(), gpt3(), bert()], ids=lambda b: b.kind)
def test_nothing_of_a_drawing_overlaps(backbone: Any) -> None:
    made = architecture(backbone, 4, 16, 50)
    drawn = diagram(made, classifier(16, 4, 3))
    assert len(drawn.boxes) == len(made.stages) + 1
    areas = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in drawn.boxes]
    for i, one in enumerate(areas):
        assert one[0] >= 0 <= one[1]
        assert one[2] <= drawn.width
        assert one[3] <= drawn.height
        for other in areas[i + 1 :]:
            apart = one[2] <= other[0] or other[2] <= one[0]
            assert apart or one[3] <= other[1] or other[3] <= one[1]
    _, y, _, height = drawn.frame
    for box in drawn.boxes:
        within = y < box.y and box.y + box.height < y + height
        assert within == (box.stage.part == "block")
    notes = sorted(box.note for box in drawn.boxes if box.note)
    assert min(b - a for a, b in pairwise(notes)) > 20
    branches = [path for path in drawn.arrows if path.count("H") == 2]
    assert len(branches) == 2, "one residual way around each branch"


# A task's input. ------------------------------------------------------------------------------


def test_the_formats_are_rows_of_the_data(section: dict[str, Any]) -> None:
    bpe = tokenizer()
    s, d, e = ([bpe.start], [bpe.delimiter], [bpe.classify])
    by_form = {each.form: each for each in section["formats"]}
    assert list(by_form) == ["single", "pair", "similarity", "choice"]
    ids = {form: [[c.id for c in q] for q in each.sequences] for form, each in by_form.items()}

    def of(text: str) -> list[int]:
        return bpe.encode(text)

    assert ids["single"] == [s + of(TASKS["cola"][1][0]) + e], "the shorter of two"
    one, two = map(of, TASKS["rte"][0])
    assert ids["pair"] == [s + one + d + two + e]
    one, two = map(of, TASKS["mrpc"][0])
    assert ids["similarity"] == [s + one + d + two + e, s + two + d + one + e]
    context, _, *answers = map(of, TASKS["story_cloze"][0])
    assert ids["choice"] == [s + context + d + answer + e for answer in answers]
    chips = by_form["single"].sequences[0]
    assert (chips[0].text, chips[-1].text) == ("<start>", "<extract>")
    assert [chip.special for chip in chips] == [True] + [False] * (len(chips) - 2) + [True]
    assert by_form["single"].source.endswith(", dev, row 8")
    assert by_form["single"].label == "label acceptable", "the hub's name of 1"
    assert by_form["pair"].label == "label not_entailment"
    assert by_form["choice"].label == "answer 2 is right"


def test_rows_of_real_data_sets_are_not_shown(root: Path, job: ReportJob) -> None:
    """Nor the words that a row shares with a book, unless the scale says so."""
    for shown in (False, True):
        changed = {"source": "folder", "data_root": "x", "world": None, "show_texts": shown}
        settled = job.config.model_copy(update=changed)
        results = Results(job.model_copy(update={"config": settled}), root)
        assert results.texts_shown is shown
        formats = inside.section(results)["formats"]
        bpe = tokenizer()
        first = [[chip.id for chip in sequence] for sequence in formats[0].sequences]
        row = TASKS["cola"][1] if shown else ROWS["single"]
        assert first == [[bpe.start, *bpe.encode(row[0]), bpe.classify]]
        assert [len(each.sequences) for each in formats] == [1, 1, 2, 2]
        assert (formats[0].source == "a made-up row") is not shown
        found = {"tasks": {"cola": {"dev": OVERLAP}}}
        (overlap,) = data._overlaps(results, found, ["cola"])
        assert overlap.first == (OVERLAP["first"] if shown else None)


@pytest.mark.parametrize(
    ("lengths", "chosen"),
    [([[9], [6], [3], [6]], 1), ([[8, 5], [9, 9], [6, 30]], 1), ([[3], [5], [4]], 1)],
)
def test_the_shortest_that_is_long_enough(lengths: list[list[int]], chosen: int) -> None:
    flat = [n for row in lengths for n in row]
    offsets = np.cumsum([0, *flat])
    n = len(lengths)
    tokens, labels = np.zeros(sum(flat), np.int32), np.zeros(n, np.int64)
    data = Encoded(tokens, offsets, len(lengths[0]), labels, np.arange(n))
    assert inside.shortest(data) == chosen


# Attention. -----------------------------------------------------------------------------------


def stored(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(root / "attention" / "transformer" / "seed0/attention.json")
    return found


def test_each_small_map_is_its_weights(root: Path, section: dict[str, Any]) -> None:
    for sentence, shown in zip(stored(root)["sentences"], section["sentences"], strict=True):
        for heads, images in zip(sentence["weights"], shown["images"], strict=True):
            for rows, uri in zip(heads, images, strict=True):
                data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
                alpha = np.asarray(imread(io.BytesIO(data), format="png"))[..., 3].astype(float)
                assert alpha.shape == (len(rows), len(rows))
                assert not np.triu(alpha, 1).any()
                for i, row in enumerate(rows):
                    assert np.abs(alpha[i, : i + 1] - row).max() <= 0.5 / 255 + 1e-6


def test_each_share_can_be_read_on_its_colour(html: str) -> None:
    """At 4.5 to 1 or more (WCAG 2, AA) in light and dark: the cell is a mix of two colours."""
    found = re.findall(r"--([a-z-]+): light-dark\((#\w+), (#\w+)\)", html)
    script = re.search(r'w > (\d+) \? "high" : w > (\d+) \? "middle"', html)
    assert script is not None
    high, middle = map(int, script.groups())

    def rgb(colour: str) -> np.ndarray:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        return np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])

    def light(colour: np.ndarray) -> float:
        linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for scheme in (1, 2):
        palette = {row[0]: rgb(row[scheme]) for row in found}
        for w in range(101):
            cell = light(w / 100 * palette["accent"] + (1 - w / 100) * palette["card"])
            text = light(palette["high" if w > high else "mid" if w > middle else "low"])
            assert (max(cell, text) + 0.05) / (min(cell, text) + 0.05) >= 4.5, (scheme, w)


def test_the_csv_files_have_every_weight(root: Path) -> None:
    found = stored(root)
    with (root / "report" / "figures" / "attention.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        (n, layer, head, i, j, weight)
        for n, sentence in enumerate(found["sentences"], 1)
        for layer, heads in enumerate(sentence["weights"], 1)
        for head, lines in enumerate(heads, 1)
        for i, line in enumerate(lines, 1)
        for j, weight in enumerate(line, 1)
    ]
    keys = ("sentence", "layer", "head", "position", "looks_at")
    got = [(*(int(row[k]) for k in keys), float(row["weight"])) for row in rows]
    assert got == expected
    assert {row["token"] for row in rows if row["sentence"] == "2"} >= {"'=", "she"}
    with (root / "report" / "figures" / "attention_heads.csv").open(newline="") as file:
        heads = list(csv.DictReader(file))
    assert [float(row["previous"]) for row in heads] == [row["previous"] for row in found["heads"]]


def test_the_page_shows_the_numbers_of_the_stage(root: Path, html: str) -> None:
    found = stored(root)
    first = found["sentences"][0]
    for rows in (first["token_embedding"], first["position_embedding"], first["states"][0]):
        cells = "".join(f"<span>{round(x, 2) + 0:.2f}</span>" for x in rows[1])
        assert f'<td class="vector">{cells}</td>' in html
    best = first["next"][-1]
    for each in best:
        assert f"<b>{each['p']:.3f}</b> <small>logit {each['logit']:.2f}</small>" in html
    assert f"would give each {100 * found['even']:.1f} %" in " ".join(html.split())
    assert "= she was &lt;b&gt; kind ." in html
    assert "she was <b> kind" not in html


def test_the_same_results_give_the_same_page(job: ReportJob, root: Path, html: str) -> None:
    run(job, root)
    assert (root / "report" / "index.html").read_text("utf-8") == html


def test_without_the_stage_the_page_says_so(tmp_path: Path) -> None:
    asked = make_job()
    none = make_job(attention={"sentences": []})
    for job, said in ((asked, "The stage attention has not run yet"), (none, "asks for none")):
        tree = make_tree(job, tmp_path / job.config.scale / said[:3])
        run(job, tree)
        page = (tree / "report" / "index.html").read_text("utf-8")
        assert said in page
        assert "The tokenizer is not there" in page
        assert 'href="#attention"' not in page
        assert not (tree / "report" / "figures" / "attention.csv").exists()
        assert Results(job, tree).missing == []


# In a browser. --------------------------------------------------------------------------------


@pytest.fixture
def opened(
    root: Path,
    browser: webdriver.Chrome,
) -> Iterator[webdriver.Chrome]:
    browser.get((root / "report" / "index.html").as_uri())
    yield browser
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.get("about:blank")  # the first page after it, whose end the driver may not see
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def numbers(part: Any) -> list[list[int]]:
    """The numbers of the large map, row by row, on and below the diagonal."""
    rows = part.find_elements(By.CSS_SELECTOR, ".map tbody tr")
    cells = [row.find_elements(By.CSS_SELECTOR, "td:not(.hidden)") for row in rows]
    return [[int(cell.text or 0) for cell in row] for row in cells]


@pytest.mark.browser
def test_a_head_is_chosen_with_the_arrow_keys(root: Path, opened: webdriver.Chrome) -> None:
    for n, sentence in enumerate(stored(root)["sentences"]):
        part = opened.find_elements(By.CSS_SELECTOR, "section.attention")[n]
        chosen = part.find_element(By.CSS_SELECTOR, "input:checked")
        seen = set()
        for _ in range(12):
            layer, head = map(int, str(chosen.get_attribute("value")).split(","))
            expected = [[round(100 * w) for w in row] for row in sentence["weights"][layer][head]]
            assert numbers(part) == expected
            which = part.find_element(By.CSS_SELECTOR, ".which").text
            assert which == f"layer {layer + 1}, head {head + 1}"
            seen.add((layer, head))
            chosen.send_keys(Keys.ARROW_RIGHT)
            chosen = part.find_element(By.CSS_SELECTOR, "input:checked")
        assert len(seen) == 12, "all heads are reached"


@pytest.mark.browser
def test_without_script_every_map_is_there(root: Path, opened: webdriver.Chrome) -> None:
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    opened.get((root / "report" / "index.html").as_uri())
    # Without scripts the driver cannot tell when the page is loaded.
    WebDriverWait(opened, 60).until(
        lambda page: (
            len(page.find_elements(By.CSS_SELECTOR, ".attention img")) == 2 * 3 * 4
            and page.find_elements(By.ID, "provenance")
        )
    )
    images = opened.find_elements(By.CSS_SELECTOR, ".attention img")
    assert all(image.is_displayed() and image.size["width"] >= 44 for image in images)
    assert opened.find_element(By.CSS_SELECTOR, ".map").is_displayed()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1250, 390])
def test_the_page_never_scrolls_sideways(root: Path, opened: webdriver.Chrome, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    opened.get((root / "report" / "index.html").as_uri())
    opened.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.browser
@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; npm install --prefix .cache axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_accessibility(
    root: Path, opened: webdriver.Chrome, scheme: str
) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    assert violations(opened) == []


@pytest.mark.browser
def test_the_text_of_the_drawing_stays_in_its_boxes(opened: webdriver.Chrome) -> None:
    wide = opened.execute_script("""
        const svg = document.querySelector("svg.diagram");
        const boxes = [...svg.querySelectorAll("rect.box")].map((b) => b.getBBox());
        return [...svg.querySelectorAll(".detail, rect.box + .title")].filter((text) => {
          const t = text.getBBox();
          return !boxes.some((b) => t.x >= b.x && t.x + t.width <= b.x + b.width
            && t.y >= b.y && t.y + t.height <= b.y + b.height);
        }).map((text) => text.textContent);
    """)
    assert wide == []
