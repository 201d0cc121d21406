"""The palette: told apart by the colour-blind, seen on white, and the same wherever it is used."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptbench.report import style
from gptbench.report.results import Results
from gptbench.settings import Study, Variant
from tests.report_tree import make_job

Array = np.ndarray[Any, Any]
# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SIGHT = {
    "full": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.9505], [1.0], [1.089]])


def linear(colour: str) -> Array:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: Array) -> Array:
    xyz = XYZ @ np.clip(rgb, 0, 1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_measures_know_black_white_and_grey() -> None:
    assert lab(linear("#FFFFFF")) == pytest.approx([100, 0, 0], abs=0.05)
    assert lab(linear("#777777")) == pytest.approx([50.03, 0, 0], abs=0.05)


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_colours_can_be_told_apart(sight: str) -> None:
    """A difference of 2.3 in CIELAB is just seen; these are six times that."""
    seen = {name: lab(SIGHT[sight] @ linear(one.colour)) for name, one in style.STYLES.items()}
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[a] - seen[b]) > 14, (a, b)


@pytest.mark.parametrize("name", style.STYLES)
def test_each_stands_out_from_white(name: str) -> None:
    """WCAG asks 3 to 1 of what a figure needs to be understood."""
    luminance = float(linear(style.STYLES[name].colour) @ [0.2126, 0.7152, 0.0722])
    assert 1.05 / (luminance + 0.05) >= 3


def test_print_in_black_has_markers_and_lines() -> None:
    markers = [one.marker for one in style.STYLES.values()]
    assert len(set(markers)) == len(markers)
    table5 = [style.STYLES[name] for name in ("full", "no-pretraining", "no-aux-lm", "lstm")]
    assert len({one.line for one in table5}) == 4


def test_a_model_looks_like_its_variant_and_own_variants_differ(tmp_path: Path) -> None:
    job = make_job(studies=["table5", "mine"])
    mine = {f"mine-{i}": Variant(title=f"Mine {i}", model="transformer") for i in range(3)}
    study = Study(title="Mine", variants=["full", *mine], tasks=["rte"])
    known = job.experiments
    more = {"variants": {**known.variants, **mine}, "studies": {**known.studies, "mine": study}}
    experiments = known.model_copy(update=more)
    results = Results(job.model_copy(update={"experiments": experiments}), tmp_path)
    assert style.of(results, "transformer") == style.of(results, "full")
    assert style.of(results, "lstm") == style.STYLES["lstm"]
    own = [style.of(results, f"mine-{i}") for i in range(3)]
    assert len(set(own)) == 3
    assert style.of(results, "full") not in own
