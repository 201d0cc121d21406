"""Files for the leaderboards: GLUE's zip, and the answers to Story Cloze and RACE.

GLUE: eleven files `<NAME>.tsv` with the header `index<TAB>prediction` and one line a row of the
hidden test set, in its order. AX, the diagnostic set, is answered by the MNLI model. WNLI, on which
the paper reports nothing, gets its majority class for every row and is labelled so.

Story Cloze: `answer.txt`, the csv header `InputStoryid,AnswerRightEnding` and 1 or 2 a story (as
its CodaLab competition took it). RACE: no format is published; ours is JSON, the passage's id to
the letters of its answers in order.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptbench.artifacts import atomic, file_digest, read_json, write_json, write_text
from gptbench.data.formats import ANSWER_LETTERS
from gptbench.data.tasks import load_texts
from gptbench.errors import UserError
from gptbench.evaluation.byhand import CHUNK, Predictor
from gptbench.settings import TaskSpec

HEADER = "index\tprediction"
NLI = ("entailment", "neutral", "contradiction")
TWO = ("entailment", "not_entailment")
BINARY = ("0", "1")
WNLI_MAJORITY = "0"


@dataclass(frozen=True)
class GlueFile:
    """A file of GLUE's zip: which task's model answers which split, and what may stand in it.

    `labels` None: a score from 0 to 5. `rows` is the size of the hidden test set.
    """

    name: str
    task: str
    split: str
    labels: tuple[str, ...] | None
    rows: int


GLUE = (
    GlueFile("CoLA", "cola", "test", BINARY, 1063),
    GlueFile("SST-2", "sst2", "test", BINARY, 1821),
    GlueFile("MRPC", "mrpc", "test", BINARY, 1725),
    GlueFile("STS-B", "stsb", "test", None, 1379),
    GlueFile("QQP", "qqp", "test", BINARY, 390965),
    GlueFile("MNLI-m", "mnli", "test_matched", NLI, 9796),
    GlueFile("MNLI-mm", "mnli", "test_mismatched", NLI, 9847),
    GlueFile("QNLI", "qnli", "test", TWO, 5463),
    GlueFile("RTE", "rte", "test", TWO, 3000),
    GlueFile("AX", "mnli", "ax", NLI, 1104),
)
WNLI = GlueFile("WNLI", "wnli", "test", BINARY, 146)


@dataclass(frozen=True)
class Source:
    """Where predictions come from: a scale's results, a variant, the seeds, and the data."""

    results: Path
    variant: str
    run: str
    data: Path
    tokenizer: Path | None = None

    def predictor(self, task: str) -> Predictor:
        """The kept model of a task; raises `UserError` where it was not kept."""
        return Predictor(self.results / "finetune" / self.variant / task / self.run, self.tokenizer)


def glue(source: Source, tasks: Mapping[str, TaskSpec], out: Path) -> list[str]:
    """Write GLUE's zip and, beside it, `<out>.json` with what made each file.

    Returns remarks, among them that WNLI is its majority class. Raises `UserError` for a test file
    or a model that is missing; nothing is written then.
    """
    files: dict[str, str] = {}
    facts: dict[str, Any] = {}
    remarks: list[str] = []
    predictors: dict[str, Predictor] = {}
    for spec in GLUE:
        rows = load_texts(tasks[spec.task], spec.split, source.data)
        if spec.task not in predictors:
            predictors[spec.task] = source.predictor(spec.task)
        predictor = predictors[spec.task]
        answers = _answers(predictor, [row.texts for row in rows])
        lines = [_glue_line(i, answer, spec) for i, answer in enumerate(answers)]
        files[f"{spec.name}.tsv"] = "\n".join([HEADER, *lines]) + "\n"
        facts[spec.name] = {"task": spec.task, "rows": len(rows), "run_id": _run_id(source, spec)}
        if len(rows) != spec.rows:
            remarks.append(f"{spec.name}: {len(rows)} rows, the hidden test set has {spec.rows}")
    lines = [f"{i}\t{WNLI_MAJORITY}" for i in range(WNLI.rows)]
    files["WNLI.tsv"] = "\n".join([HEADER, *lines]) + "\n"
    facts["WNLI"] = {"rows": WNLI.rows, "majority": WNLI_MAJORITY}
    remarks.append(f"WNLI: its majority class ({WNLI_MAJORITY}) for every row, not a prediction")
    with atomic(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            # A constant time stamp: the same predictions give the same bytes.
            entry = zipfile.ZipInfo(name, (2018, 6, 11, 0, 0, 0))
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    about = {"files": facts, "remarks": remarks, "sha256": file_digest(out)}
    write_json(out.with_name(out.name + ".json"), about)
    return remarks


def _run_id(source: Source, spec: GlueFile) -> str:
    folder = source.results / "finetune" / source.variant / spec.task / source.run
    return str(read_json(folder / "manifest.json")["run_id"])


def _answers(predictor: Predictor, rows: Sequence[tuple[str, ...]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for start in range(0, len(rows), 16 * CHUNK):
        found += predictor.answers(rows[start : start + 16 * CHUNK])
    return found


def _glue_line(index: int, answer: dict[str, Any], spec: GlueFile) -> str:
    if spec.labels is None:
        return f"{index}\t{min(5.0, max(0.0, answer['score'])):.3f}"
    return f"{index}\t{answer['label']}"


def story_cloze(source: Source, task: TaskSpec, split: str, out: Path) -> int:
    """Write `answer.txt` for the stories of a split; returns how many."""
    rows = load_texts(task, split, source.data)
    answers = _answers(source.predictor(task.name), [row.texts for row in rows])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["InputStoryid", "AnswerRightEnding"])
    writer.writerows([row.id, a["answer"] + 1] for row, a in zip(rows, answers, strict=True))
    write_text(out, text.getvalue())
    return len(rows)


def race(source: Source, task: TaskSpec, splits: Sequence[str], out: Path) -> int:
    """Write a JSON object, passage id to its answers' letters; returns how many questions."""
    found: dict[str, list[str]] = {}
    predictor = source.predictor(task.name)
    count = 0
    for split in splits:
        rows = load_texts(task, split, source.data)
        for row, answer in zip(rows, _answers(predictor, [r.texts for r in rows]), strict=True):
            passage = row.id.rpartition("#")[0] or row.id
            found.setdefault(passage, []).append(ANSWER_LETTERS[answer["answer"]])
            count += 1
    write_json(out, found)
    return count


# Checking. ------------------------------------------------------------------------------------


def check_glue(path: Path, rows: Mapping[str, int] | None = None) -> list[str]:
    """What is wrong with a zip for GLUE, a line a fault; empty if nothing is.

    `rows` stands in for the sizes of the hidden test sets.
    """
    specs = {f"{spec.name}.tsv": spec for spec in (*GLUE, WNLI)}
    try:
        with zipfile.ZipFile(path) as archive:
            there = {name: archive.read(name) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a zip file ({error})") from None
    faults = [f"{name} is missing" for name in sorted(specs.keys() - there.keys())]
    faults += [f"{name} does not belong there" for name in sorted(there.keys() - specs.keys())]
    for name, spec in specs.items():
        if name in there:
            wanted = spec.rows if rows is None else rows.get(spec.name, spec.rows)
            faults += [f"{name}{fault}" for fault in _glue_faults(there[name], spec, wanted)]
    return faults


def _glue_faults(data: bytes, spec: GlueFile, wanted: int) -> list[str]:
    """The first fault of each kind in one file."""
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return [": not UTF-8 text"]
    if not lines or lines[0] != HEADER:
        return [", line 1: the header is not index<TAB>prediction"]
    faults = []
    if len(lines) - 1 != wanted:
        faults.append(f": {len(lines) - 1} rows, {wanted} expected")
    for number, line in enumerate(lines[1:]):
        index, tab, label = line.partition("\t")
        where = f", line {number + 2}"
        if not tab or "\t" in label:
            return [*faults, f"{where}: not two columns"]
        if index != str(number):
            return [*faults, f"{where}: index {index}, {number} expected"]
        if spec.labels is not None and label not in spec.labels:
            expected = ", ".join(spec.labels)
            return [*faults, f"{where}: prediction `{label}`, one of {expected} expected"]
        if spec.labels is None and not _is_score(label):
            return [*faults, f"{where}: prediction `{label}`, a number from 0 to 5 expected"]
    return faults


def _is_score(text: str) -> bool:
    try:
        return 0 <= float(text) <= 5
    except ValueError:
        return False


def check_story_cloze(path: Path, ids: Sequence[str]) -> list[str]:
    """What is wrong with an `answer.txt` for the stories `ids`."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as csv ({error})") from None
    if not rows or rows[0] != ["InputStoryid", "AnswerRightEnding"]:
        return ["line 1: the header is not InputStoryid,AnswerRightEnding"]
    faults = [
        f"line {number}: an id and 1 or 2 expected, not {','.join(row)!r:.60}"
        for number, row in enumerate(rows[1:], 2)
        if len(row) != 2 or row[1] not in ("1", "2")
    ]
    given = [row[0] for row in rows[1:] if row]
    return faults[:1] + _id_faults(given, ids)


def check_race(path: Path, sizes: Mapping[str, int]) -> list[str]:
    """What is wrong with a RACE file for passages with so many questions each."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(found, dict):
        return ["not an object of passage ids"]
    faults = _id_faults(list(found), list(sizes))
    for passage, letters in found.items():
        good = isinstance(letters, list) and all(x in list(ANSWER_LETTERS[:4]) for x in letters)
        if not good:
            return [*faults, f"{passage}: a list of letters A to D expected"]
        if passage in sizes and len(letters) != sizes[passage]:
            return [*faults, f"{passage}: {len(letters)} answers, {sizes[passage]} expected"]
    return faults


def _id_faults(given: Sequence[str], wanted: Sequence[str]) -> list[str]:
    faults = []
    counts, known = Counter(given), set(wanted)
    if twice := next((x for x in given if counts[x] > 1), None):
        faults.append(f"{twice} stands there twice")
    missing = [x for x in wanted if x not in counts]
    strange = [x for x in given if x not in known]
    if missing:
        faults.append(f"{missing[0]} is missing ({len(missing)} in all)")
    if strange:
        faults.append(f"{strange[0]} is not in the test set ({len(strange)} in all)")
    return faults
