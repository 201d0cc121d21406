"""Tables 1 to 5 in the paper's layout; `formats` writes them.

A table is a list of blocks. Numbers of the runs stand below the paper's; where they are not
comparable with it (synthetic or reduced data) they stand in a block of their own under a
heading that says so, without a difference to the paper and outside its ranking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gptbench.evaluation.statistics import FEWEST_DF, interval
from gptbench.report.reference import Column, Reference
from gptbench.report.results import Results, in_order
from gptbench.report.runs import of_cell
from gptbench.report.scores import column_sample, degenerate_runs, our_score, table_variants
from gptbench.systems import SystemScore

DASH = "-"
BEST, SECOND = "best", "second"
DEGENERATE_NOTE = (
    "†k: k of the runs behind the number are degenerate (a constant answer, or no better than the "
    "majority or chance). They are part of the mean; statistics.csv has the mean without them."
)


USER_NOTE = (
    "Rows of the source user are from the files that the config names under systems, as their "
    "author states them. A number on another split than the paper's (dev) or on other than the "
    "published rows (n) says so and is not ranked."
)


@dataclass(frozen=True)
class Cell:
    """A cell's text; `value` is what it is ranked by, `mark` its rank.

    `runs` is the anchor of the runs behind it in the page's section "Runs".
    """

    text: str
    value: float | None = None
    mark: str = ""
    runs: str = ""


@dataclass(frozen=True)
class Row:
    """A method and its cells."""

    label: str
    reference: str
    source: str
    cells: list[Cell]


@dataclass(frozen=True)
class Block:
    """Rows under a common heading (empty: none)."""

    heading: str
    rows: list[Row]


@dataclass(frozen=True)
class Table:
    """A whole table.

    `unlike` says by column what keeps ours from being like the paper's; empty where nothing does.
    """

    name: str
    title: str
    head: list[str]
    columns: list[str]
    blocks: list[Block]
    notes: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)

    @property
    def unlike_columns(self) -> dict[str, list[str]]:
        """The columns by what is unlike in them."""
        found: dict[str, list[str]] = {}
        for column, why in zip(self.columns, self.unlike, strict=False):
            for reason in why.split("; ") if why else []:
                found.setdefault(reason, []).append(column)
        return found


def all_tables(results: Results, reference: Reference) -> list[Table]:
    """Tables 1 to 5."""
    return [
        data_table(results, reference),
        *(score_table(name, results, reference) for name in reference.tables),
    ]


# What can be compared. ------------------------------------------------------------------------


def reservation(results: Results, tasks: Sequence[str]) -> str:
    """Why numbers on these tasks can't stand beside the paper's; empty where they can."""
    if results.job.config.synthetic:
        return "SYNTHETIC WORLD - not comparable"
    if any(_reduced(results, task) for task in tasks):
        return "REDUCED REAL DATA - not comparable"
    if results.job.config.notes:
        return "WITH RESERVATIONS (see the notes) - not comparable"
    return ""


def _reduced(results: Results, task: str) -> bool:
    """Whether fewer rows than the set has were used, or fewer found than it should have."""
    facts, official = results.facts.get(task), results.job.tasks[task].official
    if facts is None:
        return False
    found = facts["rows_found"]
    return any(
        used < found.get(split, used) or found.get(split, used) < official.get(split, 0)
        for split, used in facts["rows"].items()
    )


def same_split(column: Column, results: Results) -> bool:
    """Whether ours is scored on the split that the paper reports: development is no test set."""
    score = our_score(column, results.job.tasks)
    return score is not None and score.split("_")[0] == column.split.split("_")[0]


# Tables 2 to 5. -------------------------------------------------------------------------------


def score_table(name: str, results: Results, reference: Reference) -> Table:
    """One of tables 2 to 5."""
    table = reference.tables[name]
    tasks = [column.task for column in table.columns if column.task in results.job.tasks]
    paper = [
        Row(
            row.label,
            row.reference,
            row.source,
            [_paper_cell(row.values.get(c.key)) for c in table.columns],
        )
        for row in table.rows
    ]
    users = _system_rows(name, results, reference)
    ours = _our_rows(name, results, reference)
    why = reservation(results, tasks)
    others = len(paper) + len(users)
    if why or not ours:
        rows = _ranked(paper + users)
        own = [Block(why, ours)] if ours else []
    else:
        joint = [same_split(column, results) for column in table.columns]
        rows = _ranked(paper + users + ours, joint, others)
        own = [Block("gptbench", rows[others:] + _differences(name, results, reference))]
    blocks = [Block("", rows[: len(paper)])]
    if users:
        blocks.append(Block("reported by the user", rows[len(paper) : others]))
    blocks += own
    return Table(
        name,
        table.title,
        ["method", "reference", "source"],
        [column.title for column in table.columns],
        blocks,
        [
            *table.notes,
            *([USER_NOTE] if users else []),
            *_notes(name, results, reference, bool(ours)),
        ],
        [unlike(column, table.columns, results) for column in table.columns] if ours else [],
    )


def unlike(column: Column, columns: Sequence[Column], results: Results) -> str:
    """What is not like for like in a column of real data; of an average, in which columns."""
    if results.job.config.synthetic:
        return ""
    if column.task == "average":
        others = [c for c in columns if c.task in results.job.tasks]
        return "a mean over such columns" if any(unlike(c, others, results) for c in others) else ""
    if (score := our_score(column, results.job.tasks)) is None:
        return ""
    split = score.split("_")[0]
    reasons = [] if same_split(column, results) else [f"{split} here, {column.split} in the paper"]
    if _reduced(results, column.task):
        reasons.append("not all rows of the set were used")
    if column.task == "qnli":
        reasons.append("version 2 here, version 1 in the paper")
    return "; ".join(reasons)


def _system_rows(name: str, results: Results, reference: Reference) -> list[Row]:
    """The systems of the config's files that have a score in a table's columns."""
    systems: dict[str, list[SystemScore]] = {}
    for score in results.systems:
        systems.setdefault(score.system, []).append(score)
    rows = []
    for system, scores in systems.items():
        cells = [_system_cell(scores, column, results) for column in reference.tables[name].columns]
        if any(cell.text != DASH for cell in cells):
            cited = ", ".join(dict.fromkeys(s.reference for s in scores if s.reference))
            rows.append(Row(system, cited, "user", cells))
    return rows


def _system_cell(scores: Sequence[SystemScore], column: Column, results: Results) -> Cell:
    """A system's number; ranked (it has a `value`) on the paper's split and all of its rows."""
    if column.task not in results.job.tasks:
        return Cell(DASH)
    known = {s.split: s for s in scores if (s.task, s.metric) == (column.task, column.metric)}
    ours = (our_score(column, results.job.tasks) or "").split("+")
    papers = [part.replace("dev", column.split.split("_")[0], 1) for part in ours]
    for splits in ([column.split], papers, ours):
        if all(split in known for split in splits):
            break
    else:
        return Cell(DASH)
    found = [known[split] for split in splits]
    value = sum(score.value for score in found) / len(found)
    whole = results.job.tasks[column.task].official
    doubts = [] if splits != ours or ours == papers else [splits[0].split("_")[0]]
    doubts += [
        f"n {score.n}"
        for score in found
        if score.n is not None and score.n != _published(whole, score.split, score.n)
    ]
    text = f"{value:.1f}"
    return Cell(f"{text} ({', '.join(doubts)})") if doubts else Cell(text, value)


def _published(whole: Mapping[str, int], split: str, otherwise: int) -> int:
    """The rows of a published split, of its parts where it has parts."""
    parts = [n for name, n in whole.items() if name.startswith(f"{split}_")]
    return whole.get(split, sum(parts) or otherwise)


def _paper_cell(value: float | None) -> Cell:
    return Cell(DASH) if value is None else Cell(f"{value:.1f}", value)


def plus_minus(value: float, half: float | None, signed: bool = False) -> str:
    """A number with the half-width of its interval, as the tables print it."""
    text = f"{value:+.1f}" if signed else f"{value:.1f}"
    text = text.replace("-0.0", "0.0") if float(text) == 0 and not signed else text
    return text if half is None else f"{text} ± {half:.1f}"


def dagger(text: str, count: int) -> str:
    """A number marked with how many of the runs behind it are degenerate."""
    return f"{text} †{count}" if count else text


def _our_rows(name: str, results: Results, reference: Reference) -> list[Row]:
    rows = []
    for variant, spec in table_variants(name, results, reference).items():
        cells = [
            _our_cell(results, reference, name, column, variant)
            for column in reference.tables[name].columns
        ]
        if any(cell.value is not None for cell in cells):
            rows.append(Row(spec.title, "this run", "gptbench", cells))
    return rows


def _our_cell(
    results: Results, reference: Reference, name: str, column: Column, variant: str
) -> Cell:
    found = column_sample(results, reference, name, column, variant)
    if found is None:
        return Cell(DASH)
    whole = interval(found)
    count = _degenerate(results, reference, name, column, variant)
    text = dagger(plus_minus(whole.value, whole.half), count)
    return Cell(text, whole.value, runs=_runs(column, variant))


def _runs(column: Column, variant: str) -> str:
    return of_cell(variant, "" if column.task == "average" else column.task)


def _degenerate(
    results: Results, reference: Reference, name: str, column: Column, variant: str
) -> int:
    """How many of a cell's runs are degenerate, of an average's all tasks together."""
    whole = column.task == "average"
    columns = reference.tables[name].columns if whole else [column]
    return sum(
        len(degenerate_runs(results, variant, part.task, score))
        for part in columns
        if (score := our_score(part, results.job.tasks))
    )


def _differences(name: str, results: Results, reference: Reference) -> list[Row]:
    """Ours minus the paper's, where split and metric are the same."""
    rows = []
    for variant, spec in table_variants(name, results, reference).items():
        try:
            paper = reference.tables[name].row(variant)
        except KeyError:
            continue
        cells = []
        for column in reference.tables[name].columns:
            found = column_sample(results, reference, name, column, variant)
            value = paper.values.get(column.key)
            fits = found is not None and value is not None and same_split(column, results)
            if not fits or found is None or value is None:
                cells.append(Cell(DASH))
                continue
            whole = interval(found)
            text = plus_minus(whole.value - value, whole.half, signed=True)
            cells.append(Cell(text, runs=_runs(column, variant)))
        if any(cell.text != DASH for cell in cells):
            rows.append(Row(f"{spec.title}: difference to the paper", "", "gptbench", cells))
    return rows


def _notes(name: str, results: Results, reference: Reference, ran: bool) -> Iterator[str]:
    if not ran:
        yield "No runs of this project in this table: the scale does not ask for them."
        return
    wanted = len(results.asked.keys)
    yield (
        f"This project's rows: mean over {wanted} run(s) (pre-training seeds "
        f"{_list(results.job.config.pretrain_seeds)}; fine-tuning seeds "
        f"{_list(results.job.config.finetune_seeds)}) ± half the 95 % interval over "
        f"{_given(results)}."
    )
    flagged = sum(
        _degenerate(results, reference, name, column, variant)
        for variant in table_variants(name, results, reference)
        for column in reference.tables[name].columns
    )
    if flagged:
        yield DEGENERATE_NOTE
    columns = reference.tables[name].columns
    splits = [
        f"{column.title}: {score}"
        for column in columns
        if (score := our_score(column, results.job.tasks))
    ]
    yield "Scored here on " + ", ".join(splits) + "; the paper's numbers are on test sets."
    variants = table_variants(name, results, reference)
    for variant, task in results.asked.cells:
        known = len(results.runs[variant, task])
        if variant in variants and any(c.task == task for c in columns) and known < wanted:
            yield f"Incomplete: {variant} on {task}, {known} of {wanted} runs."


def _given(results: Results) -> str:
    config = results.job.config
    pretrain, finetune = len(set(config.pretrain_seeds)), len(set(config.finetune_seeds))
    if pretrain > FEWEST_DF:
        return "seeds and examples"
    if pretrain * (finetune - 1) >= FEWEST_DF:
        return "fine-tuning seeds and examples, given the pre-training"
    return "examples, given these seeds: too few for a verdict on a difference"


def _list(values: Sequence[int]) -> str:
    return ", ".join(str(value) for value in values)


def _ranked(
    rows: list[Row], joint: Sequence[bool] | None = None, own_from: int | None = None
) -> list[Row]:
    """Mark best and second best by column; rows from `own_from` only compete in `joint` ones."""
    marks: dict[tuple[int, int], str] = {}
    for column in range(len(rows[0].cells) if rows else 0):
        ranked = [
            (round(value, 1), index)
            for index, row in enumerate(rows)
            if (value := row.cells[column].value) is not None
            and (own_from is None or index < own_from or (joint and joint[column]))
        ]
        levels = sorted({value for value, _ in ranked}, reverse=True)[:2]
        if len(ranked) < 2:
            continue
        for value, index in ranked:
            if value in levels:
                marks[index, column] = BEST if value == levels[0] else SECOND
    return [
        replace(
            row,
            cells=[replace(cell, mark=marks.get((i, j), "")) for j, cell in enumerate(row.cells)],
        )
        for i, row in enumerate(rows)
    ]


# Table 1. -------------------------------------------------------------------------------------


def data_table(results: Results, reference: Reference) -> Table:
    """Table 1: the data sets, and what was used of them."""
    kinds: dict[str, list[Row]] = {}
    for name in in_order(results.job.tasks, reference):
        task = results.job.tasks[name]
        facts = results.facts.get(name)
        for split in facts["rows"] if facts else {}:
            kinds.setdefault(task.kind, []).append(_data_row(name, split, results))
        if facts is None:
            cells = [Cell(DASH)] * 8
            kinds.setdefault(task.kind, []).append(Row(task.title, name, "not encoded", cells))
    heading = reservation(results, list(results.facts))
    notes = [heading] if heading else []
    notes.append(
        "used: rows after the limits of this scale; found: rows in the files; official: rows of "
        "the published split; tokens: mean of an example, all its sequences together; digest: "
        "the beginning of the file's SHA-256."
    )
    return Table(
        "table1",
        "Data sets",
        ["data set", "name", "split"],
        ["used", "found", "official", "unlabelled", "labels", "tokens", "truncated", "digest"],
        [Block(kind, rows) for kind, rows in kinds.items()],
        notes,
    )


def _data_row(name: str, split: str, results: Results) -> Row:
    facts, task = results.facts[name], results.job.tasks[name]
    labels = facts.get("labels", {}).get(split) or {}
    shown = ", ".join(f"{label}: {count:,}" for label, count in labels.items())
    mean_tokens = facts.get("mean_tokens")
    if isinstance(mean_tokens, dict):
        mean_tokens = mean_tokens.get(split)
    elif (rows := facts["rows"][split]) and split in facts.get("tokens", {}):
        mean_tokens = facts["tokens"][split] / rows
    official = task.official.get(split)
    unlabelled = facts.get("unlabelled", {}).get(split, 0)
    cells = [
        Cell(f"{facts['rows'][split]:,}"),
        Cell(f"{facts['rows_found'].get(split, 0):,}"),
        Cell(DASH if official is None else f"{official:,}"),
        Cell(f"{unlabelled:,}" if unlabelled else DASH),
        Cell(shown or DASH),
        Cell(DASH if mean_tokens is None else f"{float(mean_tokens):.1f}"),
        Cell(f"{100 * facts.get('truncated', {}).get(split, 0):.1f} %"),
        Cell(str(facts.get("digest", {}).get(split, DASH))[:16]),
    ]
    return Row(task.title, name, split, cells)
