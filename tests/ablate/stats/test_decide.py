from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ablate.stats.comparison import Comparison
from ablate.stats.decide import decide
from ablate.stats.draft import Draft
from ablate.stats.finding import Finding
from ablate.stats.pairing import Sample

NOTHING = np.array([])
SAMPLE = Sample(parts=(), seeds=(), dropped=(), differences=NOTHING, treatment=NOTHING,
                control=NOTHING)  # fmt: skip
COMPARISON = Comparison("f", "cola", "backbone", ("a",), ("b",))


@pytest.fixture
def judge() -> Callable[..., list[Finding]]:
    def build(*p_values: float | None, kind: Any = "mean", by: float = 0.0, **fields: Any) -> Any:
        base = {"id": "f", "kind": kind, "task": "cola", "treatment": {}, "control": {}, "n": 6,
                "level": 0.95, "family": "x", "status": "ok", "estimate": 0.1,
                "details": {"sd": 0.2}}  # fmt: skip
        finding = Finding(**{**base, **fields})
        asked = replace(COMPARISON, kind=kind, by=by)
        drafts = [
            Draft(finding=replace(finding, id=str(i), p_value=p), sample=SAMPLE, comparison=asked)
            for i, p in enumerate(p_values)
        ]
        return decide(drafts, level=0.95, generators=lambda name: np.random.default_rng(0))

    return build


def test_verdicts_are_read_after_adjustment(judge: Callable[..., Any]) -> None:
    (alone,) = judge(0.03)
    assert (alone.verdict, alone.p_adjusted, alone.seeds_needed) == ("better", 0.03, None)
    first, second = judge(0.03, 0.9)
    assert (first.verdict, first.p_adjusted) == ("undecided", pytest.approx(0.06))
    assert second.seeds_needed is not None


def test_an_absent_p_counts_in_the_family(judge: Callable[..., Any]) -> None:
    first, second = judge(0.03, None)
    assert (first.verdict, second.verdict, second.p_adjusted) == ("undecided", "undecided", None)


@pytest.mark.parametrize(
    ("kind", "estimate", "by", "ci_high", "expected"),
    [
        ("mean", -0.1, 0.0, -0.01, "worse"),
        ("mean", 0.1, 0.5, 0.2, "undecided"),
        ("mean", -0.1, 0.5, -0.01, "worse"),
        ("mean", -0.1, 0.5, 0.01, "undecided"),
        ("mean", -0.1, -0.5, 0.01, "better"),
        ("variance", 0.1, 0.0, None, "more_variable"),
        ("variance", -0.1, 0.0, None, "less_variable"),
    ],
)
def test_which_side_a_rejection_favours(
    judge: Callable[..., Any], kind: str, estimate: float, by: float, ci_high: float, expected: str
) -> None:
    (seen,) = judge(0.001, kind=kind, estimate=estimate, by=by, ci_high=ci_high)
    assert seen.verdict == expected


def test_seeds_needed_exceed_those_there_were(judge: Callable[..., Any]) -> None:
    (seen,) = judge(0.06, estimate=1.0)
    assert seen.seeds_needed == 7
    assert judge(0.9, estimate=0.0)[0].seeds_needed is None


def test_seeds_for_the_other_questions(judge: Callable[..., Any]) -> None:
    sds = {"sd_treatment": 2.0, "sd_control": 1.0}
    (spread,) = judge(0.3, kind="variance", details=sds)
    assert 18 <= spread.seeds_needed <= 20
    (same,) = judge(0.3, kind="equivalence", estimate=0.0, details={"sd": 1.0, "margin": 1.0})
    assert same.seeds_needed == 11
    (unknown,) = judge(0.3, kind="variance", details={"sd_treatment": 0.0, "sd_control": 1.0})
    assert unknown.seeds_needed is None
