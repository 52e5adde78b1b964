"""Findings of a race: what each look showed, and that only what was looked at counts."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate.stats.comparison import Comparison
from ablate.stats.draft import Draft
from ablate.stats.questions import Questions, ask, at_look
from ablate.stats.sequential import look_weights

Table = Callable[..., pd.DataFrame]
RACED = Comparison("m", "cola", "backbone", ("a",), ("b",), "mean", "claims", True, "m",
                   looks=(5, 8, 12))  # fmt: skip
WEIGHTS = look_weights((5, 8, 12))


def made(table: Table, a: np.ndarray, b: np.ndarray, comparison: Comparison = RACED) -> Draft:
    return ask(questions(table, a, b), [comparison], [])[0]


def questions(table: Table, a: np.ndarray, b: np.ndarray) -> Questions:
    size = max(len(a), len(b))
    data = table({"a": np.resize(a, size), "b": np.resize(b, size)}, tasks=["cola"])
    absent = ((data["arm"] == "a") & (data["seed"] >= len(a))) | (
        (data["arm"] == "b") & (data["seed"] >= len(b))
    )
    return Questions(frame=data[~absent], level=0.95, margin=0.5, looks=(),
                     generators=lambda name: np.random.default_rng(len(name)))  # fmt: skip


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    return rng.normal(0.6, 0.05, 12), rng.normal(0.55, 0.05, 12)


def test_each_look_is_told_with_its_own_interval(
    table: Table, scores: tuple[np.ndarray, np.ndarray]
) -> None:
    finding = made(table, *scores).finding
    assert [look["num_seeds"] for look in finding.details["looks"]] == [5, 8, 12]
    for look, weight in zip(finding.details["looks"], WEIGHTS, strict=True):
        d = (scores[0] - scores[1])[: look["num_seeds"]]
        half = stats.t.ppf(1 - 0.05 * weight / 2, d.size - 1) * d.std(ddof=1) / d.size**0.5
        assert look["estimate"] == pytest.approx(d.mean())
        assert (look["ci_low"], look["ci_high"]) == pytest.approx(
            (d.mean() - half, d.mean() + half)
        )
        assert look["p_value"] == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
    spent = [look["p_value"] / w for look, w in zip(finding.details["looks"], WEIGHTS, strict=True)]
    assert finding.p_value == pytest.approx(min(1, *spent))


def test_seeds_of_one_side_alone_are_no_look(
    table: Table, scores: tuple[np.ndarray, np.ndarray]
) -> None:
    """Or a stopped arm's five seeds would be tested again at the level of the last look."""
    finding = made(table, scores[0][:5], scores[1]).finding
    assert (finding.n, finding.details["looks_done"], finding.n_dropped) == (5, 1, 0)
    d = scores[0][:5] - scores[1][:5]
    assert finding.p_value == pytest.approx(min(1, stats.ttest_1samp(d, 0).pvalue / WEIGHTS[0]))


def test_seeds_beyond_the_recorded_looks_wait(
    table: Table, scores: tuple[np.ndarray, np.ndarray]
) -> None:
    """A report in the middle of a round tests nothing that no look has seen."""
    seen = replace(RACED, seen=((0, 1, 2, 4),), stopped="futile")
    finding = made(table, *scores, seen).finding
    assert (finding.n, finding.n_dropped, finding.details["looks_done"]) == (4, 1, 1)
    assert finding.details["stopped"] == "futile"
    none = made(table, *scores, replace(RACED, seen=())).finding
    assert (none.p_value, none.ci_low, none.n, none.details["looks"]) == (None, None, 12, [])
    assert none.sequential


def test_spread_is_tested_at_the_last_look_alone(
    table: Table, scores: tuple[np.ndarray, np.ndarray]
) -> None:
    spread = replace(RACED, kind="variance")
    early = made(table, scores[0][:8], scores[1][:8], spread).finding
    assert (early.p_value, early.ci_low, early.status) == (None, None, "insufficient_n")
    assert early.estimate is not None
    last = made(table, *scores, spread)
    fixed = made(table, *scores, replace(spread, looks=None))
    assert last.finding.p_value == fixed.finding.p_value


def test_skewed_differences_are_not_tested_below_eight_seeds(table: Table) -> None:
    gaps = np.array([0.1, 0.11, 0.12, 0.1, 0.6, 0.1, 0.11, 0.12])
    base = np.full(8, 0.3)
    first = made(table, (base + gaps)[:5], base[:5]).finding
    assert (first.p_value, first.status) == (None, "insufficient_n")
    second = made(table, base + gaps, base).finding
    assert second.status == "skewed"
    assert [look["p_value"] is None for look in second.details["looks"]] == [True, False]


def test_equivalence_keeps_the_level_of_the_study(
    table: Table, scores: tuple[np.ndarray, np.ndarray]
) -> None:
    same = replace(RACED, kind="equivalence", margin=0.5)
    finding = made(table, *scores, same).finding
    assert finding.level == pytest.approx(0.9)
    assert finding.p_value is not None
    assert finding.p_value < 0.05


def test_the_race_sees_what_the_report_shows(
    table: Table, scores: tuple[np.ndarray, np.ndarray]
) -> None:
    asked = questions(table, *scores)
    one = at_look(asked, [RACED], "m", 8, WEIGHTS[1])
    told = made(table, *scores).finding.details["looks"][1]
    assert one.sample.seeds == tuple(range(8))
    assert (one.finding.estimate, one.finding.p_value) == (told["estimate"], told["p_value"])
    assert (one.finding.ci_low, one.finding.ci_high) == (told["ci_low"], told["ci_high"])


def test_the_looks_of_a_race_share_their_resamples_with_all_findings(table: Table) -> None:
    """Two spreads on the same scores have the same interval, whatever their names."""
    rng = np.random.default_rng(9)
    asked = questions(table, rng.normal(0.6, 0.02, 12), rng.normal(0.6, 0.06, 12))
    spread = replace(RACED, kind="variance")
    raced, longer = (
        ask(asked, [replace(spread, id=name)], [])[0].finding for name in ("m", "longer")
    )
    fixed = ask(asked, [replace(spread, looks=None)], [])[0].finding
    assert (raced.ci_low, raced.ci_high) == (longer.ci_low, longer.ci_high)
    assert (raced.ci_low, raced.ci_high) == (fixed.ci_low, fixed.ci_high)
