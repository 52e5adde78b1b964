import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from ablate.stats.equivalence import tost, verdict


def test_against_statsmodels(rng: np.random.Generator) -> None:
    d = rng.normal(0.1, 0.4, 12)
    seen = tost(d, margin=0.5, level=0.95, rng=rng)
    p, _, _ = DescrStatsW(d).ttost_mean(-0.5, 0.5)
    assert seen.p_value == pytest.approx(p)
    interval = stats.ttest_1samp(d, 0).confidence_interval(0.9)
    assert (seen.ci_low, seen.ci_high) == pytest.approx((interval.low, interval.high))
    assert seen.level == pytest.approx(0.9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=9), st.floats(0.05, 2))
def test_the_verdict_is_the_interval_inside_the_margin(values: list[float], margin: float) -> None:
    d = np.round(np.array(values), 3)
    seen = tost(d, margin=margin, level=0.95, rng=np.random.default_rng(0))
    mirrored = tost(-d, margin=margin, level=0.95, rng=np.random.default_rng(0))
    assert mirrored.p_value == pytest.approx(seen.p_value)
    wider = tost(d, margin=margin * 2, level=0.95, rng=np.random.default_rng(0))
    assert wider.p_value <= seen.p_value + 1e-12
    if seen.test == "TOST" and abs(seen.p_value - 0.05) > 1e-9:
        inside = -margin < seen.ci_low and seen.ci_high < margin
        assert inside == (seen.p_value <= 0.05)


def test_without_variance_the_sign_flip_test_speaks(rng: np.random.Generator) -> None:
    seen = tost(np.full(5, 0.1), margin=0.5, level=0.95, rng=rng)
    assert (seen.test, seen.ci_low, seen.p_value) == ("TOST by sign-flip", None, 1 / 32)
    beyond = tost(np.full(6, 0.9), margin=0.5, level=0.95, rng=rng)
    assert (beyond.p_value, beyond.p_beyond) == (1.0, 2 / 64)


def test_skewed_differences_need_both(rng: np.random.Generator) -> None:
    d = np.array([0.0, 0.01, 0.02, 0.01, 0.0, 0.02, 0.01, 0.4])
    assert tost(d, margin=0.3, level=0.95, rng=rng).test == "TOST by t and sign-flip"


def test_beyond_the_margin_on_either_side(rng: np.random.Generator) -> None:
    d = np.array([1.0, 1.1, 0.9, 1.05, 0.95])
    for sign in (1, -1):
        seen = tost(sign * d, margin=0.5, level=0.95, rng=rng)
        assert seen.p_beyond == pytest.approx(stats.ttest_1samp(d, 0.5).pvalue)


def test_few_seeds_and_mistakes(rng: np.random.Generator) -> None:
    assert tost(np.array([0.1]), margin=0.5, level=0.95, rng=rng).p_value is None
    with pytest.raises(ValueError, match="margin must be positive"):
        tost(np.zeros(3), margin=0.0, level=0.95, rng=rng)


@pytest.mark.parametrize(
    ("p_equivalence", "p_difference", "expected"),
    [
        (0.01, 0.5, "equivalent"),
        (0.01, 0.01, "equivalent_but_different"),
        (0.5, 0.01, "different"),
        (0.5, 0.5, "undecided"),
        (None, None, "undecided"),
    ],
)
def test_verdicts(p_equivalence: float, p_difference: float, expected: str) -> None:
    assert verdict(p_equivalence, p_difference, alpha=0.05) == expected
