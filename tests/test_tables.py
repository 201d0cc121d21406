"""Tables on the terminal and for a paper, texts that stay texts, and other systems' scores."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gptbench import cli
from gptbench.artifacts import write_json
from gptbench.errors import UserError
from gptbench.report import csvfile, finished, formats, scores, tables, terminal
from gptbench.report.build import run
from gptbench.report.reference import load
from gptbench.report.results import Results
from gptbench.report.tables import BEST, SECOND, Block, Cell, Row, Table
from gptbench.settings import Config, Experiments, ReportJob, Study, load_tasks
from gptbench.systems import read_systems
from tests.report_tree import ROOT, make_job, make_tree

SCRIPT, LINK = "<script>alert(1)</script>", '=HYPERLINK("x")'
REAL = {"source": "folder", "data_root": "somewhere", "world": None}
TASKS = load_tasks(ROOT / "config/tasks.yaml")
HEADER = "system,task,metric,split,value,n,reference"


def write_systems(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def hostile_job(systems: Path) -> ReportJob:
    """Table 2 and a study, with markup and formulas for titles."""
    job = make_job(studies=["table2", "mine"], title=SCRIPT, systems=[str(systems)])
    study = Study(title=LINK, variants=["full", "no-aux-lm"], tasks=["rte", "cola"])
    variants = job.experiments.variants
    named = {
        "full": variants["full"].model_copy(update={"title": SCRIPT}),
        "no-aux-lm": variants["no-aux-lm"].model_copy(update={"title": LINK}),
    }
    added = Experiments(variants=named, studies={"mine": study})
    retitled = {"rte": LINK, "cola": SCRIPT, "snli": "+1", "qnli": "@x\ty"}
    return job.model_copy(
        update={
            "experiments": job.experiments.merged(added),
            "tasks": {
                name: task.model_copy(update={"title": retitled.get(name, task.title)})
                for name, task in job.tasks.items()
            },
        }
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on data sets whose rows, titles and systems hold markup and formulas."""
    root = tmp_path_factory.mktemp("hostile")
    systems = write_systems(
        root / "mine.csv",
        '"=HYPERLINK(""x"")",rte,accuracy,test,70.5,,<script>alert(1)</script>',
        '"=HYPERLINK(""x"")",snli,accuracy,test,91.0,9824,',
        "<script>alert(1)</script>,snli,accuracy,test,50,12,-dash",
    )
    job = hostile_job(systems)
    make_tree(job, root / "results", rows=40)
    path = root / "results/tasks/rte/facts.json"
    facts = json.loads(path.read_text("utf-8"))
    facts["labels"]["dev"] = {SCRIPT: 3, LINK: 4}
    facts["labels"]["train"] = {LINK: 5}
    write_json(path, facts)
    run(job, root / "results")
    return root / "results"


def every_csv(root: Path) -> dict[str, list[list[str]]]:
    return {
        path.name: list(csv.reader(io.StringIO(path.read_text("utf-8"))))
        for path in (root / "report").rglob("*.csv")
    }


# Texts stay texts. ----------------------------------------------------------------------------


def test_markup_and_formulas_are_text_in_the_page(hostile: Path) -> None:
    page = (hostile / "report/index.html").read_text("utf-8")
    assert re.findall("<script([^>]*)>", page) == [
        ' id="early"', ' type="application/json" id="mlflow"', ' id="behaviour"',
    ]  # fmt: skip
    assert "alert(1)</script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    assert "=HYPERLINK(&#34;x&#34;)" in page


def test_no_cell_of_a_csv_is_a_formula(hostile: Path) -> None:
    found = every_csv(hostile)
    assert {"scores.csv", "table1.csv", "table2.csv", "mine.csv", "differences.csv"} <= set(found)
    for name, rows in found.items():
        for cell in (cell for row in rows for cell in row):
            if cell[:1] in ("=", "+", "-", "@", "\t"):
                number, _, half = cell.partition(" ± ")
                assert float(number) is not None, name
                assert float(half or 0) >= 0, name
    cells = {name: {cell for row in rows for cell in row} for name, rows in found.items()}
    assert f"'{LINK}" in cells["scores.csv"] & cells["table2.csv"] & cells["mine.csv"]
    assert SCRIPT in cells["scores.csv"] & cells["table2.csv"]
    labels = {cell for cell in cells["table1.csv"] if "HYPERLINK" in cell}
    assert labels >= {f"'{LINK}: 5", f"{SCRIPT}: 3, {LINK}: 4"}


@pytest.mark.parametrize(
    "text", ["-1", "+0.5", "-0.5 ± 1.2", "+3.0 ± 0.4 †1", "-1,234.5", "-1e-05", "", "a=b"]
)
def test_numbers_and_plain_texts_stay_as_they_are(text: str) -> None:
    assert csvfile.safe(text) == text


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|x", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-", "-1 ± =2", "=1.5"]
)
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert csvfile.safe(text) == f"'{text}"


def test_markdown_and_tex_escape_them(hostile: Path) -> None:
    for path in (hostile / "report/tables").iterdir():
        text = path.read_text("utf-8")
        if path.suffix == ".md":
            assert not re.search(r"<(?!/?u>)", text), path.name
        if path.suffix == ".tex":
            assert "<" not in text, path.name
            assert '"' not in text, path.name
    table = finished.read_table(hostile, "mine")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in formats.to_md(table)
    assert "\\textless{}script\\textgreater{}alert(1)" in formats.to_tex(table)
    assert "=HYPERLINK(''x'')" in formats.to_tex(table)


def test_markdown_signs_are_text() -> None:
    table = Table("t", "*a* [b](c)", ["x", "", ""], ["`d`"],
                  [Block("", [Row("e|f\ng", "_h_", "a_b", [Cell("1")])])])  # fmt: skip
    text = formats.to_md(table)
    assert "\\*a\\* \\[b\\](c)" in text
    assert "| e\\|f g | \\_h\\_ | a_b | 1 |" in text


# LaTeX. ---------------------------------------------------------------------------------------

ODD = Table(
    "odd_name",
    'é Ångström ß λ ± † < > " | [x] *y* # $ % & _ ^ ~ \\ { } `a` 한국어 – — “q” … → 😀',
    ["*method*", "[reference]", "source"],
    ["−1", "≥ 2"],
    [
        Block("[block]", [Row("[a]", "*b*", "c", [Cell("1.0 ± 0.1", 1, BEST), Cell("-")])]),
        Block("", [Row("* d", "", "", [Cell("2.0 †1", 2, SECOND), Cell("다")])] * 2),
    ],
    ["Note with 100 % of $x_1$ & ^ \\ {.", "두 번째 <note>"],
)


def test_every_tex_table_compiles(hostile: Path, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex: install texlive-latex-base and texlive-latex-recommended")
    sources = sorted((hostile / "report/tables").glob("*.tex"))
    assert len(sources) == 7
    for source in sources:
        shutil.copy(source, tmp_path)
    (tmp_path / "odd.tex").write_text(formats.to_tex(ODD), "utf-8")
    names = [source.name for source in sources] + ["odd.tex"]
    (tmp_path / "all-tables.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
        + "".join(f"\\input{{{name}}}\n\\clearpage\n" for name in names)
        + "\\end{document}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error",
         "all-tables.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    pages = re.search(r"\((\d+) pages?", done.stdout)
    assert pages is not None
    assert int(pages[1]) >= len(names)
    assert "Overfull \\hbox" not in done.stdout


# On the terminal. -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["1", "2", "3", "4", "5", "averages", "mine"])
@pytest.mark.parametrize("width", [60, 80, 200])
def test_text_fits_and_loses_nothing(hostile: Path, name: str, width: int) -> None:
    table = finished.read_table(hostile, name)
    text = terminal.to_text(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\033" not in text
    assert "**" not in text
    squeezed = re.sub(r"\s", "", text)
    for block in table.blocks:
        assert re.sub(r"\s", "", block.heading) in squeezed
        for row in block.rows:
            for cell in row.cells:
                if len(cell.text) < 20:
                    assert cell.text in text


def test_columns_that_do_not_fit_go_below_with_the_labels_again() -> None:
    columns = [f"column{i}" for i in range(6)]
    rows = [Row(name, "", "", [Cell(f"{i}.0 ± 9.9") for i in range(6)]) for name in ("one", "two")]
    table = Table("t", "T", ["m", "", ""], columns, [Block("BLOCK", rows)])
    text = terminal.to_text(table, 40)
    assert text.count("one") == text.count("two") == text.count("BLOCK") == 2
    assert text.count("---\n") == 2
    assert terminal.to_text(table, 80).count("one") == 1


def test_best_is_bold_and_second_underlined_on_a_terminal_only() -> None:
    row = Row("a", "", "", [Cell("1.0", 1, BEST), Cell("2.0", 2, SECOND), Cell("3.0", 3)])
    table = Table("t", "T", ["m", "", ""], ["x", "y", "zzzzzz"], [Block("", [row])])
    shown = terminal.to_text(table, 80, ansi=True)
    assert "\033[1m1.0\033[0m" in shown
    assert "\033[4m2.0\033[0m" in shown
    assert re.sub(r"\033\[\dm", "", shown) == terminal.to_text(table, 80)


def test_wide_letters_and_control_characters_keep_the_columns() -> None:
    row = Row("한국어 제목\033[31m", "", "", [Cell("1.0"), Cell("값")])
    table = Table("t", "표", ["이름", "", ""], ["열", "b"], [Block("", [row])])
    text = terminal.to_text(table, 40)
    assert "\033" not in text
    # In EUC-KR a Korean letter takes two bytes, as it takes two columns.
    lines = [line for line in text.splitlines() if line.endswith(("b", "값"))]
    assert len({len(line.encode("euc-kr")) for line in lines}) == 1


# gptbench table. ------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["md", "csv", "tex"])
def test_the_command_prints_what_the_report_wrote(
    hostile: Path, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = (hostile / f"report/tables/table2.{ending}").read_text("utf-8")
    assert cli.main(["table", "2", "--results", str(hostile), "--format", ending]) == 0
    assert capsys.readouterr().out == wanted
    out = tmp_path / f"deep/t.{ending}"
    assert cli.main(["table", "2", "--results", str(hostile), "--out", str(out)]) == 0
    assert out.read_text("utf-8") == wanted


def test_the_command_prints_80_columns_where_there_is_no_terminal(
    hostile: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert cli.main(["table", "2", "--results", str(hostile)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "SYNTHETIC WORLD - not comparable" in out
    assert "reported by the user" in out


@pytest.mark.parametrize(
    ("name", "said"),
    [("averag", "did you mean `averages`?"), ("6", "no table `6`"), ("min", "`mine`")],
)
def test_an_unknown_table_names_the_nearest(
    hostile: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["table", name, "--results", str(hostile)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_where_nothing_was_run_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["table", "2", "--results", str(tmp_path / "no")]) == 2
    assert "no such folder; run the scale first" in capsys.readouterr().err
    assert cli.main(["table", "2", "--results", str(tmp_path)]) == 2
    assert "no report in it; run the scale to its end first" in capsys.readouterr().err
    for name in ("scores.csv", "manifest.json"):
        (tmp_path / name).write_text("{}")
    assert cli.main(["table", "2", "--results", str(tmp_path)]) == 2
    assert "older version" in capsys.readouterr().err
    (tmp_path / "tables.json").write_text("[{]")
    assert cli.main(["table", "2", "--results", str(tmp_path)]) == 2
    assert "broken" in capsys.readouterr().err


# Systems of a file. ---------------------------------------------------------------------------


def systems_table(tmp_path: Path, name: str, *rows: str) -> dict[str, Row]:
    """The paper's and the file's rows of a table by label, beside no results."""
    path = write_systems(tmp_path / "mine.csv", *rows)
    results = Results(make_job(**REAL, studies=["table5"], systems=[str(path)]), tmp_path)
    table = tables.score_table(name, results, load())
    return {row.label: row for block in table.blocks for row in block.rows}


def test_a_systems_number_is_ranked_with_the_papers_on_the_same_split(tmp_path: Path) -> None:
    rows = systems_table(
        tmp_path, "table2",
        "Mine,snli,accuracy,test,91.04,9824,Doe 2020", "Mine,rte,accuracy,dev,99,277,",
        "Mine,mnli,accuracy,test_matched,10,,", "Part,snli,accuracy,test,95,500,",
    )  # fmt: skip
    mine, paper = rows["Mine"], rows["Finetuned Transformer LM"]
    assert (mine.reference, mine.source) == ("Doe 2020", "user")
    # Columns: MNLI-m, MNLI-mm, SNLI, SciTail, QNLI, RTE.
    assert [cell.text for cell in mine.cells] == ["10.0", "-", "91.0", "-", "-", "99.0 (dev)"]
    assert [cell.mark for cell in mine.cells] == ["", "", BEST, "", "", ""]
    assert [cell.mark for cell in paper.cells] == [BEST, BEST, SECOND, BEST, BEST, ""]
    assert rows["Part"].cells[2] == Cell("95.0 (n 500)")


def test_table_5_takes_the_mean_of_both_mnli_sets(tmp_path: Path) -> None:
    rows = systems_table(
        tmp_path, "table5",
        "Both,mnli,accuracy,test_matched,80,,", "Both,mnli,accuracy,test_mismatched,83,,",
        "Dev,mnli,accuracy,dev_matched,80,,", "Dev,mnli,accuracy,dev_mismatched,82,9832,",
        "One,mnli,accuracy,test,79.25,,", "One,mrpc,accuracy,test,79,,",
    )  # fmt: skip
    texts = {name: rows[name].cells[6].text for name in ("Both", "Dev", "One")}
    assert texts == {"Both": "81.5", "Dev": "81.0 (dev)", "One": "79.2"}
    assert rows["One"].cells[3].text == "-", "MRPC is scored by F1 there"


def test_race_rows_are_those_of_its_parts(tmp_path: Path) -> None:
    rows = systems_table(tmp_path, "table3", "Mine,race,accuracy,test,60,4934,",
                         "Part,race,accuracy,test_high,50,4934,")  # fmt: skip
    assert rows["Mine"].cells[3].text == "60.0"
    assert rows["Part"].cells[2].text == "50.0 (n 4934)"


def test_systems_are_in_the_scores_as_the_users(hostile: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((hostile / "report/scores.csv").read_text("utf-8"))))
    mine = [row for row in rows if row["source"] == "user"]
    assert {row["source"] for row in rows} == {"paper", "reported", "gptbench", "user"}
    assert [(r["table"], r["method"], r["task"], r["value"], r["n"]) for r in mine] == [
        ("table2", f"'{LINK}", "rte", "70.5", ""),
        ("table2", f"'{LINK}", "snli", "91", "9824"),
        ("table2", SCRIPT, "snli", "50", "12"),
        ("table5", f"'{LINK}", "rte", "70.5", ""),
    ]
    assert {(r["run_id"], r["variant"], r["ci_low"], r["seed"]) for r in mine} == {("",) * 4}


def test_a_reports_id_follows_the_file_and_no_other_id_changes(tmp_path: Path) -> None:
    path = write_systems(tmp_path / "mine.csv", "A,rte,accuracy,test,70,,")
    job = make_job(**REAL, studies=["table3"], systems=[str(path)])
    root = tmp_path / "results"
    root.mkdir()
    run(job, root)
    first = json.loads((root / "report/manifest.json").read_text())["run_id"]
    write_systems(path, "A,rte,accuracy,test,71,,")
    run(job, root)
    assert json.loads((root / "report/manifest.json").read_text())["run_id"] != first
    assert '"systems"' not in make_job().to_json()
    assert "systems" in Config.later


def test_all_metrics_that_ours_have_are_in_the_scores(tmp_path: Path) -> None:
    path = write_systems(tmp_path / "m.csv", "A,mrpc,accuracy,test,70,,", "A,mrpc,f1,dev,80,,",
                         "A,dprd,accuracy,test,60,,")  # fmt: skip
    results = Results(make_job(**REAL, studies=["table5"], systems=[str(path)]), tmp_path)
    rows = [row for row in scores.collect(results, load()) if row.source == "user"]
    assert [(row.table, row.metric, row.split) for row in rows] == [
        ("table4", "accuracy", "test"), ("table4", "f1", "dev"), ("table5", "f1", "dev"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty; the first row has to be system,task,metric,split,value"),
        (f"{HEADER}\n", "no rows below the header"),
        ("system,task,metric,split\nA,rte,accuracy,test", "row 1: column `value` is missing"),
        ("system,task,metric,split,values\n", "row 1: unknown column 'values'; did you mean `val"),
        ("system;task;metric;split;value\n", "separate columns by commas"),
        ("system,task,metric,split,value,value\n", "column `value` is there twice"),
        (f"{HEADER}\n,rte,accuracy,test,70", "row 2: column `system` is empty"),
        (f"{HEADER}\nA,rte,accuracy,test,70,,\nA,rte,accuracy,test", "row 3: column `value` is e"),
        (f"{HEADER}\nA,rtee,accuracy,test,70", "row 2: column `task`: no data set 'rtee'; did you"),
        (f"{HEADER}\nA,wnli2,accuracy,test,70", "column `task`"),
        (f"{HEADER}\nA,cola,f1,test,70", "column `metric`: cola has no metric 'f1'; known: matth"),
        (f"{HEADER}\nA,mnli,accuracy,train,70", "column `split`: mnli has no split 'train'; known"),
        (f"{HEADER}\nA,rte,accuracy,test,x", "row 2: column `value`: 'x' is no number from 0 to"),
        (f"{HEADER}\nA,rte,accuracy,test,nan", "column `value`: 'nan' is no number"),
        (f"{HEADER}\nA,rte,accuracy,test,-1", "is no number from 0 to 100 (accuracy as"),
        (f"{HEADER}\nA,cola,matthews,test,101", "from -100 to 100"),
        (f"{HEADER}\nA,rte,accuracy,test,0.7", "give percentages (87.3), not shares"),
        (f"{HEADER}\nA,rte,accuracy,test,70,1.5", "column `n`: '1.5' is no number of rows"),
        (f"{HEADER}\nA,rte,accuracy,test,70,1", "column `n`"),
        (f"{HEADER}\nA,rte,accuracy,test,70,,b,c", "row 2: more cells than the header has"),
        (f"{HEADER}\nA,rte,accuracy,test,70\nA,rte,accuracy,test,71", "row 3: the same score as"),
        (f'{HEADER}\n"A"x,rte,accuracy,test,70', "not CSV"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(UserError) as caught:
        read_systems(path, TASKS)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv: No such file"):
        read_systems(tmp_path / "none.csv", TASKS)
    path = tmp_path / "bytes.csv"
    path.write_bytes(b"system\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        read_systems(path, TASKS)


def test_a_byte_order_mark_and_spaces_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "\ufeffsystem,task,metric,split,value\n A , rte ,accuracy,test, 70.5 \n", "utf-8"
    )
    (score,) = read_systems(path, TASKS)
    assert (score.system, score.task, score.value, score.n) == ("A", "rte", 70.5, None)
