"""The command line as a user meets it: help, and one line for each mistake."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from gptbench import cli
from gptbench.plan import Plan
from gptbench.settings import WorldJob, WorldSettings
from tests.conftest import PROJECT, tiny_config

WORLD = WorldJob(
    world=WorldSettings(
        seed=1, books_train=2, books_validation=1, words_per_book=300, train_rows=8, eval_rows=8
    )
)


def gptbench(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-m", "gptbench", *words],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    return done


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refused command."""
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_help_lists_every_stage_and_each_has_its_own() -> None:
    text = gptbench("--help").stdout
    for stage in cli.STAGES:
        assert stage in text
        assert "--" in gptbench(stage, "--help").stdout


def test_the_world_is_written(tmp_path: Path) -> None:
    done = gptbench("world", "--out", str(tmp_path / "w"), "--settings", WORLD.to_json())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "w" / "glue" / "CoLA" / "train.tsv").exists()
    assert len(list((tmp_path / "w" / "books" / "train").iterdir())) == 2


def test_broken_settings_are_named(tmp_path: Path) -> None:
    assert "not JSON" in said(gptbench("world", "--out", str(tmp_path), "--settings", "{"))
    misspelt = WORLD.to_json().replace("train_rows", "train_row")
    line = said(gptbench("world", "--out", str(tmp_path), "--settings", misspelt))
    assert "did you mean `train_rows`" in line
    missing = said(gptbench("world", "--out", str(tmp_path), "--settings", "@nowhere.json"))
    assert "nowhere.json: No such file" in missing


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small world and a tokenizer trained on it."""
    root = tmp_path_factory.mktemp("encode")
    cli.main(["world", "--out", str(root / "world"), "--settings", WORLD.to_json()])
    job = Plan.read(tiny_config(), PROJECT / "config").tokenizer_job().to_json()
    books, out = str(root / "world" / "books"), str(root / "tokenizer")
    assert cli.main(["tokenizer", "train", "--settings", job, "--books", books, "--out", out]) == 0
    return root


def encode(root: Path, task: str, out: Path, **options: object) -> subprocess.CompletedProcess[str]:
    job = Plan.read(tiny_config(), PROJECT / "config").encode_job(task).to_json()
    paths = ["--data", str(root / "world"), "--tokenizer", str(root / "tokenizer")]
    return gptbench("encode", "--settings", job, *paths, "--out", str(out), **options)


@contextmanager
def changed(path: Path) -> Iterator[Path]:
    """A file to spoil, that is as it was afterwards."""
    text = path.read_text()
    try:
        yield path
    finally:
        path.write_text(text)


def test_a_missing_file_names_the_file_and_where_to_get_it(encoded: Path, tmp_path: Path) -> None:
    with changed(encoded / "world" / "glue" / "RTE" / "dev.tsv") as path:
        path.unlink()
        line = said(encode(encoded, "rte", tmp_path / "out"))
    assert "RTE/dev.tsv" in line
    assert "gluebenchmark.com" in line
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_wrong_column_lists_those_there_are(encoded: Path, tmp_path: Path) -> None:
    with changed(encoded / "world" / "glue" / "RTE" / "train.tsv") as path:
        path.write_text(path.read_text().replace("sentence2", "hypothesis", 1))
        line = said(encode(encoded, "rte", tmp_path / "out"))
    assert "train.tsv" in line
    assert "sentence2" in line
    assert "hypothesis" in line


def test_a_wrong_label_names_the_row(encoded: Path, tmp_path: Path) -> None:
    with changed(encoded / "world" / "glue" / "RTE" / "train.tsv") as path:
        lines = path.read_text().splitlines()
        lines[3] = lines[3].rsplit("\t", 1)[0] + "\tmaybe"
        path.write_text("\n".join(lines) + "\n")
        line = said(encode(encoded, "rte", tmp_path / "out"))
    assert "train.tsv, line 4" in line
    assert "maybe" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_results_are_said(encoded: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "ermission" in said(encode(encoded, "rte", tmp_path / "out"))


def test_a_folder_that_cannot_be_made_is_said(encoded: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = said(encode(encoded, "rte", tmp_path / "file" / "out"))
    assert str(tmp_path / "file") in line


def test_a_full_disk_leaves_nothing_half_written(encoded: Path, tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))

    line = said(encode(encoded, "rte", tmp_path / "out", preexec_fn=small_files))
    assert "out" in line
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert left == []


def test_a_config_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tiny_config()))
    assert "fine-tuning runs" in gptbench("config", "check", str(path)).stdout
    path.write_text(path.read_text().replace("lm_coef", "lm_cof"))
    assert "did you mean `lm_coef`" in said(gptbench("config", "check", str(path)))


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_completes(
    shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The script is one that the shell reads, and offers commands and their options."""
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("finetune", "perplexity", "--stride", "sync"):
        assert word in script
    if shell == "bash":
        path = tmp_path / "completion.bash"
        path.write_text(script)
        ask = (
            f"source {path}; COMP_WORDS=(gptbench perp); COMP_CWORD=1; "
            "_shtab_gptbench; echo ${COMPREPLY[@]}"
        )
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["perplexity"]
