"""Writes rows in the file formats of the original distributions, the same bytes every time."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from gptbench.data.world.rows import Row

NLI_LABELS = ("entailment", "neutral", "contradiction")
GLUE_PAIR_LABELS = ("entailment", "not_entailment")
STORY_COLUMNS = (
    "InputStoryid",
    *(f"InputSentence{number}" for number in range(1, 5)),
    "RandomFifthSentenceQuiz1",
    "RandomFifthSentenceQuiz2",
    "AnswerRightEnding",
)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with plain line ends, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def write_tsv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write tab-separated columns without quoting; no header line where ``header`` is empty."""
    lines = ["\t".join(header)] if header else []
    lines += ["\t".join(map(str, row)) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def write_cola(path: Path, rows: list[Row]) -> None:
    """CoLA: source, label, the author's mark, sentence; no header."""
    write_tsv(path, (), [("wd26", r.label, "" if r.label else "*", r.texts[0]) for r in rows])


def write_sst2(path: Path, rows: list[Row]) -> None:
    """SST-2: sentence, label."""
    write_tsv(path, ("sentence", "label"), [(r.texts[0], r.label) for r in rows])


def write_mrpc(path: Path, rows: list[Row]) -> None:
    """MRPC: label, two ids, two sentences."""
    header = ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
    write_tsv(path, header, [(r.label, 2 * i, 2 * i + 1, *r.texts) for i, r in enumerate(rows)])


def write_qqp(path: Path, rows: list[Row]) -> None:
    """QQP: row id, two question ids, two questions, label."""
    header = ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
    write_tsv(path, header, [(i, 2 * i, 2 * i + 1, *r.texts, r.label) for i, r in enumerate(rows)])


def write_stsb(path: Path, rows: list[Row]) -> None:
    """STS-B: six columns on the source (here none), two sentences, score."""
    header = "index genre filename year old_index source1 source2 sentence1 sentence2 score".split()
    none = ("none",) * 6
    write_tsv(path, header, [(i, *none, *r.texts, r.label) for i, r in enumerate(rows)])


def write_glue_pair(path: Path, rows: list[Row], first: str, second: str) -> None:
    """RTE and QNLI: index, two texts, entailment or not."""
    header = ("index", first, second, "label")
    write_tsv(
        path,
        header,
        [(i, *r.texts, GLUE_PAIR_LABELS[int(r.label)]) for i, r in enumerate(rows)],
    )


def write_mnli(path: Path, rows: list[Row], annotators: int) -> None:
    """MNLI: ids, genre, parses (here none), two texts, the annotators' labels, the gold label."""
    header = [
        *"index promptID pairID genre sentence1_binary_parse sentence2_binary_parse".split(),
        *"sentence1_parse sentence2_parse sentence1 sentence2".split(),
        *(f"label{number}" for number in range(1, annotators + 1)),
        "gold_label",
    ]
    lines = []
    for i, row in enumerate(rows):
        label = NLI_LABELS[int(row.label)]
        ids = (i, i, f"{i}{label[0]}", row.group)
        lines.append((*ids, *("none",) * 4, *row.texts, *(label,) * annotators, label))
    write_tsv(path, header, lines)


def write_snli(path: Path, rows: list[Row]) -> None:
    """SNLI: a JSON object a line."""
    lines = []
    for row in rows:
        item = {"gold_label": NLI_LABELS[int(row.label)]}
        item |= {"sentence1": row.texts[0], "sentence2": row.texts[1]}
        lines.append(json.dumps(item) + "\n")
    write_text(path, "".join(lines))


def write_scitail(path: Path, rows: list[Row]) -> None:
    """SciTail: premise, hypothesis, label; no header."""
    write_tsv(path, (), [(*r.texts, ("neutral", "entails")[int(r.label)]) for r in rows])


def write_stories(path: Path, rows: list[Row], seed: str) -> None:
    """Story Cloze: an id, four sentences, two endings, the number of the right one."""
    rng = Random(seed)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(STORY_COLUMNS)
    for row in rows:
        digits = f"{rng.getrandbits(128):032x}"
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        writer.writerow(["-".join(parts), *row.texts, int(row.label) + 1])
    write_text(path, buffer.getvalue())


def write_dprd(path: Path, rows: list[Row]) -> None:
    """DPRD: blocks of sentence, pronoun, candidates, answer and an empty line."""
    blocks = []
    for row in rows:
        text, pronoun, *candidates = row.texts
        answer = candidates[int(row.label)]
        blocks.append(f"{text}\n{pronoun}\n{','.join(candidates)}\n{answer}\n\n")
    write_text(path, "".join(blocks))


def write_race(path: Path, splits: dict[str, list[Row]]) -> None:
    """RACE: a gzipped tar of one JSON object a passage, with fixed times and owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for split, rows in splits.items():
            numbers = {"middle": 0, "high": 0}
            for row in sorted(rows, key=lambda row: row.group != "middle"):
                numbers[row.group] += 1
                name = f"{row.group}{numbers[row.group]}.txt"
                article, question, *options = row.texts
                item = {
                    "answers": ["ABCD"[int(row.label)]],
                    "options": [options],
                    "questions": [question],
                    "article": article,
                    "id": name,
                }
                data = json.dumps(item).encode()
                member = tarfile.TarInfo(f"RACE/{split}/{row.group}/{numbers[row.group]}.txt")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(buffer.getvalue())
