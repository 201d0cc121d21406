"""`claims.csv`: what the paper claims (`claims.yaml`), and what our scores say about it.

A claim has a rule (`claim_rules`), which makes the comparisons that the claim consists of, each
with an interval; `judge` turns them into a verdict. docs/claims.md says how.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gptbench.errors import UserError
from gptbench.evaluation.statistics import GIVEN_SEEDS, LEVEL, POWER, holm
from gptbench.report import csvfile
from gptbench.report.claim_rules import (
    RULES,
    AboveReported,
    Part,
    Rule,
    VariesMore,
    View,
    ZeroShotRises,
    unlike,
)
from gptbench.report.findings import NONE
from gptbench.report.reference import Reference
from gptbench.report.results import Results, main_score
from gptbench.report.scores import degenerate_runs
from gptbench.settings import Settings, nearest, parse, read_yaml

FILE = Path(__file__).with_name("claims.yaml")

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
NOT_TESTABLE = "not testable here"
SYNTHETIC = {
    SUPPORTED: "shown in the synthetic world",
    CONTRADICTED: "opposite in the synthetic world",
    UNDECIDED: "not shown in the synthetic world",
    NOT_TESTABLE: NOT_TESTABLE,
}
"""The verdicts' words where the data is the embedded world."""
MARKS = {SUPPORTED: "✓", CONTRADICTED: "✗", UNDECIDED: "?", NOT_TESTABLE: "–"}


# Claims as data. ------------------------------------------------------------------------------


class PaperNumber(Settings):
    """A number of the paper and its place in `reference.yaml`.

    `at` is a table and a column (`first` and `second` are variants, or `reported` for the best
    reported system: the value is their difference), `figure2_left.<task>` (all layers minus none),
    `figure2_right.<task>`, `text.<key>` or `claims.best`.
    """

    value: float
    at: str
    first: str | None = None
    second: str | None = None


class Sizes(Settings):
    """Data sets whose training rows must all be more, here too, than those of others."""

    large: list[str]
    small: list[str]


class Claim(Settings):
    """A claim of the paper; `section` is the paper's."""

    id: str
    claim: str
    section: str
    paper: tuple[PaperNumber, ...] = ()
    said: str = ""
    sizes: Sizes | None = None
    rule: str
    parameters: dict[str, Any]

    def evaluator(self, where: str) -> Rule:
        """The rule with its parameters; raises `UserError` for an unknown one of either."""
        if self.rule not in RULES:
            raise UserError(f"{where}: no rule `{self.rule}`{nearest(self.rule, RULES)}")
        return parse(RULES[self.rule], self.parameters, f"{where}, rule {self.rule}")


class ClaimsFile(Settings):
    """All of `claims.yaml`, its claims not read yet."""

    claims: list[dict[str, Any]]


def load(path: Path = FILE) -> list[tuple[Claim, Rule]]:
    """The claims with their rules; raises `UserError`: the file, the claim, the nearest name."""
    found: dict[str, tuple[Claim, Rule]] = {}
    for number, entry in enumerate(parse(ClaimsFile, read_yaml(path), str(path)).claims, 1):
        where = f"{path}: claim {entry.get('id', number)}"
        claim = parse(Claim, entry, where)
        if claim.id in found:
            raise UserError(f"{where}: two claims have this id; give one of them another")
        found[claim.id] = claim, claim.evaluator(where)
    return list(found.values())


def _check_names(claim: Claim, rule: Rule, view: View) -> None:
    """Every task, variant and model that a claim names is one of the config's or the paper's."""
    job, tables = view.results.job, view.reference.tables.values()
    rows = [row for table in tables for row in table.rows]
    variants = job.experiments.variants
    known: dict[str, set[str | None]] = {
        "task": {*job.tasks, *(column.task for table in tables for column in table.columns)},
        "variant": {*variants, *view.results.asked.variants, NONE, *(row.variant for row in rows)},
        "model": {*job.config.models, *(row.model for row in rows)},
    }
    kind = "model" if isinstance(rule, VariesMore | ZeroShotRises) else "variant"
    named = [("task", task) for task in getattr(rule, "tasks", [])]
    for key in ("first", "second", "variant", "model"):
        if name := getattr(rule, key, None):
            named.append((kind, name))
    for what, name in named:
        if name not in known[what]:
            mend = nearest(name, sorted(filter(None, known[what])))
            raise UserError(f"{view.file}: claim {claim.id}: no {what} `{name}`{mend}")


# Verdicts. ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """A claim with its verdict: a row of `claims.csv` and of the report's first table.

    `state` is the verdict for real data, `verdict` its words for these data; `short` is the
    evidence in a few words, `evidence` all of it; `paper` are the paper's numbers in words.
    """

    claim: Claim
    state: str
    verdict: str
    short: str
    evidence: str
    paper: str

    @property
    def rest(self) -> str:
        """The evidence after its short form; empty if there is no more."""
        return self.evidence.removeprefix(f"{self.short}.").strip()

    @property
    def too_few(self) -> bool:
        """Whether it is undecided for want of seeds, whatever the numbers are."""
        return self.short.startswith("Given these seeds, no verdict")

    @property
    def mark(self) -> str:
        """The verdict as a character, the same in black and white."""
        return MARKS[self.state]


def evaluate(results: Results, reference: Reference, path: Path = FILE) -> list[Finding]:
    """A verdict on every claim, in the order of the file."""
    view = View(results, reference, path)
    found = []
    for claim, rule in load(path):
        _check_names(claim, rule, view)
        found.append(judge(claim, rule, view))
    return found


def judge(claim: Claim, rule: Rule, view: View) -> Finding:
    """The verdict on one claim.

    It is supported if as many parts as it needs (all, unless the rule says otherwise) are shown
    as claimed, p below 0.05 after Holm over the parts; contradicted if the opposite is shown on
    so many that it can't hold; not testable if what it is about was not run, is not at the
    paper's size and split where the rule asks for that, or the data sets don't differ in size
    as claimed; undecided otherwise, and always with too few seeds for an interval over seeds.
    """
    parts = rule.parts(view)
    shown = _shown(parts)
    groups = {
        name: [part for part, state in zip(parts, shown, strict=True) if state == name]
        for name in ("as claimed", "open", "opposite", "missing")
    }
    obstacles = [*rule.obstacles(view), *_same_sizes(claim, view)]
    few = any(part.given == GIVEN_SEEDS for part in parts)
    state = _state(groups, obstacles, few, rule.needed or len(parts))
    told = _told(parts, groups, obstacles, few, rule, view)
    closing = list(_closing(claim, rule, view, parts, groups, state))
    return Finding(
        claim,
        state,
        SYNTHETIC[state] if view.results.job.config.synthetic else state,
        told[0],
        ". ".join([*told, *closing]) + ".",
        paper_text(claim, view),
    )


def _shown(parts: Sequence[Part]) -> list[str]:
    """For each part: `as claimed`, `opposite`, `open` or `missing`, after Holm."""
    ran = [part for part in parts if part.value is not None]
    adjusted = iter(holm([part.p for part in ran]))
    found = []
    for part in parts:
        if part.value is None:
            found.append("missing")
        elif next(adjusted) >= LEVEL:
            found.append("open")
        else:
            found.append("as claimed" if part.above != part.below else "opposite")
    return found


def _state(groups: dict[str, list[Part]], obstacles: list[str], few: bool, needed: int) -> str:
    total = sum(map(len, groups.values()))
    if obstacles or len(groups["missing"]) == total:
        return NOT_TESTABLE
    if few:
        return UNDECIDED
    if len(groups["opposite"]) > total - needed:
        return CONTRADICTED
    if len(groups["as claimed"]) >= needed:
        return SUPPORTED
    return NOT_TESTABLE if groups["missing"] else UNDECIDED


def _same_sizes(claim: Claim, view: View) -> list[str]:
    """Why the data sets called large are not larger than the small ones here, if so."""
    if claim.sizes is None:
        return []
    rows = {}
    for task in [*claim.sizes.large, *claim.sizes.small]:
        facts, spec = view.results.facts.get(task), view.results.job.tasks.get(task)
        if facts is None or spec is None:
            return [f"how many rows {task} has is not known"]
        rows[task] = int(facts["rows"][spec.train])
    large = min(rows[task] for task in claim.sizes.large)
    small = max(rows[task] for task in claim.sizes.small)
    if large > small:
        return []
    return [
        f"the data sets called large train on {large:,} rows or more here,"
        f" the small ones on up to {small:,}"
    ]


def _told(
    parts: list[Part],
    groups: dict[str, list[Part]],
    obstacles: list[str],
    few: bool,
    rule: Rule,
    view: View,
) -> list[str]:
    """The evidence as sentences without their full stops; the first one is the short form."""
    ran = [part for part in parts if part.value is not None]
    if not ran:
        gone = dict.fromkeys(part.text() for part in groups["missing"])
        return [_sentence("; ".join([*obstacles, *gone]))]
    before = [_sentence("; ".join(obstacles))] if obstacles else []
    if obstacles and isinstance(rule, AboveReported) and view.results.job.config.synthetic:
        levels = (f"{part.label} {part.level:.1f}" for part in ran)
        return [*before, f"Here: {', '.join(levels)}"]
    what = "difference to the best reported" if isinstance(rule, AboveReported) else "difference"
    if ran[0].ratio:
        what = "ratio"
    given = "given these seeds, no verdict: " if few else ""
    if len(parts) == 1:
        return [*before, _sentence(f"{given}{what}, {parts[0].text()}")]
    if few or obstacles:
        above = sum(part.above != part.below for part in ran)
        listed = f"{what} " + ", ".join(part.text() for part in parts)
        return [
            *before,
            _sentence(f"{given}{above} of {len(parts)} have the claimed sign"),
            _sentence(listed),
        ]
    counts = ", ".join(f"{len(group)} {name}" for name, group in groups.items() if group)
    lists = [
        f"{_sentence(name)}: " + ", ".join(part.text() for part in group)
        for name, group in groups.items()
        if group
    ]
    return [f"Of {len(parts)}: {counts} (Holm)", *lists]


def _sentence(text: str) -> str:
    """With a capital letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def _closing(
    claim: Claim,
    rule: Rule,
    view: View,
    parts: list[Part],
    groups: dict[str, list[Part]],
    state: str,
) -> Iterator[str]:
    """What was run, what could have been shown, and how like the paper's the numbers are."""
    ran = [part for part in parts if part.value is not None]
    if not ran:
        return
    if state == UNDECIDED and any(part.given == GIVEN_SEEDS for part in ran):
        yield "So few seeds could show no difference of any size"
    elif state == UNDECIDED and (smallest := _smallest(groups["open"], len(ran))):
        yield smallest
    more = {text for part in ran for text in (part.given, part.span)} - {"", GIVEN_SEEDS}
    units = "seed" if ran[0].ratio or isinstance(rule, ZeroShotRises) else "paired run"
    if isinstance(rule, AboveReported):
        units = "run"
    runs = sorted({part.runs for part in ran})
    count = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    yield ", ".join([f"{count} {units}{'s' * (runs[-1] > 1)}", *sorted(more)])
    if degenerate := _degenerate(rule, view):
        yield degenerate
    if state == NOT_TESTABLE or view.results.job.config.synthetic:
        return
    if different := unlike(view, rule):
        yield "Not like for like with the paper's numbers: " + "; ".join(different)
    else:
        yield from _beside_the_paper(claim, parts)


def _smallest(parts: Sequence[Part], tests: int) -> str:
    """The smallest differences (or the ratio) that could have been shown on the open parts."""
    if parts and parts[0].ratio and parts[0].value and parts[0].low:
        return f"A ratio must be beyond {parts[0].value / parts[0].low:.2f} to be told from 1"
    found = []
    for part in parts:
        smallest = part.whole.smallest(tests) if part.whole else None
        if smallest is not None and np.isfinite(smallest):
            found.append(f"{smallest:.1f}" + f" {part.label}" * (len(parts) > 1))
    if not found:
        return ""
    return f"Smallest difference that {POWER:.0%} of such runs would show: {', '.join(found)}"


def _degenerate(rule: Rule, view: View) -> str:
    """How many of the runs behind a claim are degenerate, by their own flag."""
    total = bad = 0
    for variant, task in dict.fromkeys(rule.cells(view)):
        if task in view.results.job.tasks:
            total += len(view.results.runs.get((variant, task), {}))
            score = main_score(view.results.job.tasks[task])
            bad += len(degenerate_runs(view.results, variant, task, score))
    return f"Degenerate: {bad} of the {total} runs behind it" if bad else ""


def _beside_the_paper(claim: Claim, parts: Sequence[Part]) -> Iterator[str]:
    """Whether the paper's numbers lie within our intervals, for numbers like for like."""
    numbers = {number.at.rpartition(".")[2]: number.value for number in claim.paper}
    for part in parts:
        value = numbers.get(part.key)
        if value is None or part.low is None or part.high is None:
            continue
        where = "below" if value < part.low else "above" if value > part.high else "within"
        yield f"The paper's {value:+.1f} on {part.label} is {where} the interval"


# The paper's numbers in words, and the file. --------------------------------------------------


def paper_text(claim: Claim, view: View) -> str:
    """The paper's numbers of a claim, then what it says beside them."""
    numbers = ", ".join(_number_text(number, view, claim.id) for number in claim.paper)
    read_off = "read off figure 2" if "figure2" in " ".join(n.at for n in claim.paper) else ""
    return "; ".join(text for text in (numbers, claim.said, read_off) if text)


def _number_text(number: PaperNumber, view: View, claim: str) -> str:
    table, _, key = number.at.partition(".")
    reference = view.reference
    right = {point.task: point.title for point in reference.figure2.right}
    titles: dict[str, dict[str, str]] = {
        **{name: {c.key: c.title for c in t.columns} for name, t in reference.tables.items()},
        "figure2_left": {p.task: view.title(p.task) for p in reference.figure2.left},
        "figure2_right": right,
        "text": {stated.key: stated.title for stated in reference.text},
        "claims": {"best": ""},
    }
    for name, known in ((table, titles), (key, titles.get(table, {}))):
        if name not in known:
            raise UserError(
                f"{view.file}: claim {claim}: `{number.at}` is not in reference.yaml"
                f"{nearest(name, known)}"
            )
    title = titles[table][key]
    if table == "claims":
        return f"{number.value:.0f} of {reference.claims.best.datasets}"
    if table == "figure2_left":
        return f"{title} about {number.value:+.0f}"
    if table == "figure2_right":
        return f"{title} about {number.value:.2f}"
    if table == "text":
        return f"{title}: {number.value:g}"
    return f"{title} {number.value:+.1f}" if number.second else f"{title} {number.value:.1f}"


def to_csv(findings: Sequence[Finding]) -> str:
    """`claims.csv`: id, claim, section, verdict, evidence."""
    head = ["id", "claim", "section", "verdict", "evidence"]
    rows = (
        [row.claim.id, row.claim.claim, row.claim.section, row.verdict, row.evidence]
        for row in findings
    )
    return csvfile.to_text(head, rows)


def counts(findings: Sequence[Finding]) -> list[tuple[str, str, int]]:
    """How often each verdict was given: its mark, its words, its number; those given only.

    The words say so where it was given for want of seeds alone.
    """
    rows = [
        (mark, [row for row in findings if row.state == state]) for state, mark in MARKS.items()
    ]
    why = " (too few seeds for a verdict)"
    return [
        (mark, found[0].verdict + why * all(row.too_few for row in found), len(found))
        for mark, found in rows
        if found
    ]
