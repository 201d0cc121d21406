"""The page without a browser: its links, the runs behind its numbers, and what is not alike."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gptbench.cli import main
from gptbench.report import overview, tables
from gptbench.report.build import run
from gptbench.report.reference import load
from gptbench.report.results import Results
from gptbench.settings import ReportJob
from tests.report_tree import add_on_request, make_job, make_tree

GONE = "finetune/lstm/rte/pre0-seed1"
REAL = {"source": "folder", "data_root": "somewhere", "world": None}


class Page(HTMLParser):
    """The ids and links of a page, the cells of its tables and their links."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.plain: list[tuple[str, str]] = []
        self._row, self._cell, self._linked, self._text = "", False, False, ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found.get("href", ""))
            self._linked = True
        if tag == "tr":
            self._row = found.get("class", "")
        if tag == "td":
            self._cell, self._linked, self._text = "data-value" in found, False, ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "td" and self._cell and not self._linked and "gptbench" in self._row:
            self.plain.append((self._row, self._text))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic scale with a study on request and a missing run."""
    job = make_job()
    root = make_tree(job, tmp_path_factory.mktemp("page"), skip=(GONE,))
    run(job, add_on_request(job, root, "timeline"))
    return root


@pytest.fixture(scope="module")
def html(root: Path) -> str:
    return (root / "report/index.html").read_text("utf-8")


def test_every_anchor_has_its_one_place(root: Path) -> None:
    page = Page(root / "report/index.html")
    assert len(page.ids) == len(set(page.ids))
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert inside <= set(page.ids)
    assert {"run-finetune/full/rte", "run-finetune/full", "run-zeroshot/transformer"} <= inside
    assert {"run-pretrain/lstm", "run-fewshot/gpt3", "run-finetune/bert/qqp"} <= inside


def test_every_number_of_ours_in_the_tables_leads_to_runs(root: Path) -> None:
    assert Page(root / "report/index.html").plain == []


def test_every_file_that_is_linked_is_there(root: Path) -> None:
    links = [link for link in Page(root / "report/index.html").links if link.startswith("../")]
    for link in links:
        assert (root / "report" / link).exists(), link
    assert "../finetune/full/rte/pre0-seed0/" in links
    assert "../finetune/full/rte/pre0-seed0/predictions.parquet" in links
    assert "../pretrain/lstm/seed0/metrics.json" in links


def test_every_run_of_the_studies_has_its_row(root: Path, html: str) -> None:
    ids = re.findall('<tr data-run-id="([^"]+)"', html)
    metrics = [json.loads(path.read_text()) for path in root.glob("finetune/*/*/*/metrics.json")]
    wanted = sorted(each["run_id"] for each in metrics)
    assert sorted(name for name in ids if name != "fake-run") == wanted
    found = {name: len(list(root.glob(f"{name}/*/*/metrics.json")))
             for name in ("pretrain", "zeroshot", "fewshot")}  # fmt: skip
    assert ids.count("fake-run") == sum(found.values())


def test_a_runs_row_has_the_scores_of_its_file(root: Path, html: str) -> None:
    metrics = json.loads((root / "finetune/full/mrpc/pre0-seed1/metrics.json").read_text())
    (row,) = re.findall(f'<tr data-run-id="{metrics["run_id"]}">.*', html)
    cells = re.findall(r'<td class="n">([^<]*)</td>', row)
    dev, train = metrics["scores"]["dev"], metrics["scores"]["train"]
    wanted = [dev["f1"], dev["accuracy"], train["f1"], train["accuracy"]]
    assert cells == [*(f"{value:.2f}" for value in wanted), "2.0"]


def test_a_missing_run_is_named_in_its_entry(html: str) -> None:
    entry = html[html.index('<details id="run-finetune/lstm/rte">') :]
    assert '<p class="no">Missing: pre0-seed1</p>' in entry[: entry.index("</details>")]


def test_a_published_report_names_folders_and_links_to_none(root: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(
        json.dumps(json.loads((root / "report/manifest.json").read_text())["settings"])
    )
    before = (root / "report/index.html").read_bytes()
    out = tmp_path / "given" / "away"
    words = ["report", "--settings", f"@{settings}", "--results", str(root), "--publish", str(out)]
    assert main(words) == 0
    page = Page(out / "index.html")
    others = [link for link in page.links if not link.startswith("#")]
    assert all((out / link).exists() and ".." not in link for link in others)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert "pre0-seed0" in (out / "index.html").read_text("utf-8")
    assert (out / "scores.csv").read_bytes() == (root / "report/scores.csv").read_bytes()
    assert (root / "report/index.html").read_bytes() == before


def test_the_contents_are_the_sections(html: str) -> None:
    contents = re.findall('<li><a href="#([^"]+)"', html[: html.index("<main")])
    headings = re.findall('<h2 id="([^"]+)"', html[html.index("<main") :])
    assert headings == ["headline", *contents]


def test_the_first_screen_says_on_what_it_ran(html: str) -> None:
    first = html[html.index("<main") : html.index('<h2 id="claims"')]
    for words in ("SYNTHETIC DATA", "synthetic: books and 13 data sets", "pre-training seeds 0",
                  "with at least one job running", "Missing:", "finetune/lstm/rte: 1",
                  "No comparison with the paper"):  # fmt: skip
        assert words in first


def test_devices_are_those_of_the_manifests() -> None:
    machine = {"processor": "a processor", "system": "x"}
    manifests: dict[str, dict[str, Any]] = {
        "a": {"device": "cuda", "precision": "bf16", "machine": machine},
        "b": {"device": "cuda", "precision": "bf16", "machine": machine},
        "c": {"device": "cpu", "precision": "float32"},
        "d": {"machine": machine},
    }
    assert overview.devices(manifests) == [
        "cpu, float32: unknown processor",
        "cuda, bf16: a processor",
    ]


# Like for like. -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_job() -> ReportJob:
    """Real data; the official numbers of rows are taken away, but of MultiNLI's."""
    job = make_job(**REAL)
    whole = {
        name: task if name == "mnli" else task.model_copy(update={"official": {}})
        for name, task in job.tasks.items()
    }
    return job.model_copy(update={"tasks": whole})


def whole(job: ReportJob) -> ReportJob:
    tasks = {n: t.model_copy(update={"official": {}}) for n, t in job.tasks.items()}
    return job.model_copy(update={"tasks": tasks})


def test_columns_that_are_not_alike_say_why(real_job: ReportJob, tmp_path: Path) -> None:
    root = make_tree(real_job, tmp_path / "real")
    results, reference = Results(real_job, root, resamples=20), load()
    made = {table.name: table for table in tables.all_tables(results, reference)}
    table2 = dict(zip(made["table2"].columns, made["table2"].unlike, strict=True))
    assert (
        table2["MNLI-m"] == "dev here, test_matched in the paper; not all rows of the set were used"
    )
    assert table2["SNLI"] == "", "both are on the test set, all of it"
    assert table2["QNLI"] == ("dev here, test in the paper; version 2 here, version 1 in the paper")
    assert made["table5"].unlike[0] == "a mean over such columns"
    assert made["table2"].unlike_columns["version 2 here, version 1 in the paper"] == ["QNLI"]
    assert made["table2"].unlike_columns["dev here, test in the paper"] == [
        "SciTail",
        "QNLI",
        "RTE",
    ]
    assert set(made["table3"].unlike) == {""}
    run(real_job, root)
    html = (root / "report/index.html").read_text("utf-8")
    assert 'title="not like for like: dev here, test in the paper">≠</abbr>' in html
    assert overview.headline(results, reference) == [], "a part of MultiNLI is no comparison"


def test_synthetic_tables_have_their_block_and_no_column_marks(root: Path) -> None:
    made = tables.all_tables(Results(make_job(), root, resamples=20), load())
    assert not any(why for table in made for why in table.unlike)


def test_the_headline_has_differences_where_splits_are_the_papers(
    real_job: ReportJob, tmp_path: Path
) -> None:
    job = whole(real_job)
    root = make_tree(job, tmp_path / "real")
    results, reference = Results(job, root, resamples=20), load()
    lines = {line.title: line for line in overview.headline(results, reference)}
    snli, rte = lines["SNLI"], lines["RTE"]
    runs = [json.loads((root / f"finetune/full/snli/pre0-seed{k}/metrics.json").read_text())
            for k in (0, 1)]  # fmt: skip
    mean = sum(each["scores"]["test"]["accuracy"] for each in runs) / 2
    assert snli.paper == 89.9
    assert snli.change == pytest.approx(mean - 89.9)
    assert snli.runs == "run-finetune/full/snli"
    assert (rte.paper, rte.change, rte.unlike) == (56.0, None, "dev here, test in the paper")
    run(job, root)
    html = (root / "report/index.html").read_text("utf-8")
    assert ">Compared with the paper</h2>" in html
    assert "SYNTHETIC" not in html
