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
    ("kind", "estimate", "by", "nearest_end", "expected"),
    [
        ("mean", -0.1, 0.0, -0.01, "worse"),
        ("mean", 0.1, 0.0, 0.01, "better"),
        ("mean", 0.1, 0.5, 0.2, "undecided"),
        ("mean", -0.1, 0.5, -0.01, "worse"),
        ("mean", -0.1, 0.5, 0.01, "undecided"),
        ("mean", -0.1, -0.5, 0.01, "undecided"),
        ("mean", -0.8, -0.5, -0.6, "worse"),
        ("mean", 0.1, -0.5, 0.01, "better"),
        ("mean", 0.1, -0.5, -0.01, "undecided"),
        ("variance", 0.1, 0.0, None, "more_variable"),
        ("variance", -0.1, 0.0, None, "less_variable"),
    ],
)
def test_which_side_a_rejection_favours(
    judge: Callable[..., Any],
    kind: str,
    estimate: float,
    by: float,
    nearest_end: float,
    expected: str,
) -> None:
    end = "ci_low" if estimate > 0 else "ci_high"
    (seen,) = judge(0.001, kind=kind, estimate=estimate, by=by, **{end: nearest_end})
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


def test_what_was_registered_is_adjusted_by_holm_the_rest_by_benjamini_and_hochberg(
    judge: Callable[..., Any],
) -> None:
    explored = judge(0.03, 0.04)
    assert [f.p_adjusted for f in explored] == pytest.approx([0.04, 0.04])
    assert {f.adjustment for f in explored} == {"benjamini-hochberg"}
    registered = judge(0.03, 0.04, confirmatory=True)
    assert [f.p_adjusted for f in registered] == pytest.approx([0.06, 0.06])
    assert {f.adjustment for f in registered} == {"holm"}


def test_what_was_not_registered_takes_nothing_from_what_was() -> None:
    finding = Finding(
        id="r", kind="mean", task="cola", treatment={}, control={}, n=6, level=0.95, family="x",
        estimate=0.1, p_value=0.03, status="ok", confirmatory=True,
    )  # fmt: skip
    late = replace(finding, id="late", p_value=0.5, confirmatory=False)
    drafts = [Draft(finding=f, sample=SAMPLE, comparison=COMPARISON) for f in (finding, late)]
    seen = decide(drafts, level=0.95, generators=lambda name: np.random.default_rng(0))
    assert [f.p_adjusted for f in seen] == [0.03, 0.5]


def test_what_could_have_been_detected_is_told(judge: Callable[..., Any]) -> None:
    (mean,) = judge(0.3, n=10)
    assert mean.details["detectable_effect"] == pytest.approx(0.2 * 0.996, abs=0.001)
    (same,) = judge(0.3, kind="equivalence", n=10, details={"sd": 0.2, "margin": 1.0})
    assert same.details["detectable_margin"] == pytest.approx(0.2 * 1.005, abs=0.001)
    (spread,) = judge(0.3, kind="variance", n=20, details={})
    assert spread.details["detectable_ratio"] == pytest.approx(1.934, abs=0.001)
    (few,) = judge(0.3, kind="variance", n=5, details={})
    assert few.details["detectable_ratio"] is None


def test_a_note_of_its_own_is_kept(judge: Callable[..., Any]) -> None:
    details = {"note": "matched by hand", "sd": 0.0}
    (seen,) = judge(0.0625, n=5, test="sign-flip", details=details)
    assert seen.details["note"].startswith("matched by hand; this test rests on sign-flips")
    assert seen.seeds_needed == 6
    assert judge(0.0625, n=5, test="paired t")[0].details.get("note") is None
    sequential = judge(0.0625, n=5, test="sign-flip", sequential=True)
    assert sequential[0].details.get("note") is None
