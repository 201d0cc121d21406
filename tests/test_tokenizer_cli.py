"""`gptbench tokenizer import | encode | decode` as a user meets them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from gptbench import cli, worker
from gptbench.data import tokenizer as bpe
from gptbench.data.tokenizer import Tokenizer
from gptbench.settings import TokenizerSettings
from tests.conftest import PROJECT

WORDS = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
TEXT = b'{"text": "Low!"}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer's folder."""
    path = tmp_path_factory.mktemp("tokenizer")
    bpe.train_on_counts(Counter(WORDS), TokenizerSettings(merges=4)).save(path)
    return path


class Piped:
    """Runs an action with bytes on its standard input."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capture = patch, capture

    def __call__(self, action: str, folder: Path, data: bytes) -> tuple[int, list[str], str]:
        """The exit status, the lines written and what was said."""
        self.patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        status = cli.main(["tokenizer", action, "--tokenizer", str(folder)])
        out, err = self.capture.readouterr()
        return status, out.splitlines(), err


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Piped:
    return Piped(monkeypatch, capsys)


def test_there_and_back(piped: Piped, folder: Path) -> None:
    texts = ["Low newest", "", "lowest\n\nlow \ud800"]
    data = "".join(json.dumps({"id": 7, "text": text}) + "\n" for text in texts).encode()
    status, lines, _ = piped("encode", folder, b"\xef\xbb\xbf" + data)
    ours = Tokenizer.load(folder)
    assert status == 0
    assert [json.loads(line) for line in lines] == [{"ids": ours.encode(text)} for text in texts]
    status, back, _ = piped("decode", folder, "\r\n".join(lines).encode())
    assert status == 0
    assert [json.loads(line)["text"] for line in back] == [
        "low newest",
        "",
        "lowest\nlow <unk>",
    ]


@pytest.mark.parametrize(
    ("action", "line", "message"),
    [
        ("encode", b"", "empty; write each line in the form"),
        ("encode", b"Low!", 'not JSON; write each line in the form {"text": "some text"}'),
        ("encode", b"[" * 100_000, "not JSON"),
        ("encode", b'{"text": "a\xff"}', "not UTF-8 (byte 0xff)"),
        ("encode", b'["text"]', "no object with the key `text`"),
        ("encode", b'{"Text": "a"}', "no object with the key `text`"),
        ("encode", b'{"text": null}', "`text` is not a string"),
        (
            "decode",
            b'{"text": "a"}',
            'no object with the key `ids`; write each line in the form {"',
        ),
        ("decode", b'{"ids": 1}', "`ids` is not a list of whole numbers"),
        ("decode", b'{"ids": [1.0]}', "`ids` is not a list of whole numbers"),
        ("decode", b'{"ids": [true]}', "`ids` is not a list of whole numbers"),
        ("decode", b'{"ids": [-1]}', "id -1: ids run from 0 to "),
        ("decode", b'{"ids": [9999]}', "id 9999: ids run from 0 to "),
        ("decode", b'{"ids": [' + b"9" * 5000 + b"]}", "not JSON"),
    ],
)
def test_a_bad_line_is_named(
    piped: Piped, folder: Path, action: str, line: bytes, message: str
) -> None:
    good = TEXT if action == "encode" else b'{"ids": [1]}\n'
    status, lines, said = piped(action, folder, good + line + b"\n" + good)
    assert status == 2
    assert len(lines) == 1
    assert len(said.splitlines()) == 1
    assert said.startswith("gptbench: standard input, line 2: ")
    assert message in said


def test_the_warm_worker_is_not_asked(
    piped: Piped, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(argv: list[str]) -> int:
        raise AssertionError(argv)  # its jobs have no standard input

    monkeypatch.setattr(worker, "delegate", asked)
    assert piped("encode", folder, TEXT)[0] == 0


def test_a_missing_tokenizer_is_named(piped: Piped, tmp_path: Path) -> None:
    status, lines, said = piped("encode", tmp_path / "none", TEXT)
    assert (status, lines) == (2, [])
    assert "none/encoder.json: No such file" in said


def test_import(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [folder / bpe.ENCODER, folder / bpe.MERGES]

    def imported(vocab: Path, merges: Path) -> int:
        words = ["tokenizer", "import", "--vocab", str(vocab), "--merges", str(merges)]
        return cli.main([*words, "--out", str(tmp_path / "out")])

    (tmp_path / "binary").write_bytes(b"\x7fELF\xff\xfe")
    for vocab, merges, message in (
        (files[1], files[0], "merges.txt: expected one JSON object from symbol to id"),
        (tmp_path / "binary", files[1], "binary: expected one JSON object"),
        (files[0], tmp_path / "binary", "binary: not UTF-8 text; expected one merge a line"),
        (tmp_path / "none", files[1], "none: No such file"),
    ):
        assert imported(vocab, merges) == 2
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1
        assert message in said
        assert not (tmp_path / "out").exists()
    assert imported(*files) == 0
    assert "4 merges" in capsys.readouterr().out
    assert Tokenizer.load(tmp_path / "out").id == Tokenizer.load(folder).id
    assert (tmp_path / "out" / "manifest.json").exists()


def test_each_answer_comes_at_once_and_a_closed_pipe_is_no_fault(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "gptbench", "tokenizer", "encode", "--tokenizer", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PROJECT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(TEXT)
        process.stdin.flush()
        assert "ids" in json.loads(process.stdout.readline())  # with more to come
        process.stdout.close()
        process.stdin.write(TEXT * 3)
        process.stdin.close()
        assert process.stderr.read() == b""
