import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.unpaired import compare_unpaired

ARM = st.lists(st.integers(0, 50), min_size=2, max_size=8)


@settings(max_examples=50, deadline=None)
@given(ARM, ARM)
def test_against_scipy_at_unequal_n(a: list[int], b: list[int]) -> None:
    x, y = np.array(a, dtype=float), np.array(b, dtype=float)
    seen, swapped = compare_unpaired(x, y, level=0.9), compare_unpaired(y, x, level=0.9)
    assert swapped.p_value == pytest.approx(seen.p_value)
    assert swapped.estimate == pytest.approx(-seen.estimate)
    if len(set(a)) == len(set(b)) == 1:
        assert seen.p_value is None
        assert seen.status.startswith("degenerate")
    elif min(len(set(a)), len(set(b))) > 1:
        oracle = stats.ttest_ind(x, y, equal_var=False)
        interval = oracle.confidence_interval(0.9)
        assert seen.p_value == pytest.approx(oracle.pvalue)
        assert (seen.ci_low, seen.ci_high) == pytest.approx((interval.low, interval.high))


def test_one_constant_arm_is_still_tested() -> None:
    seen = compare_unpaired(np.ones(4), np.array([0.0, 0.5, 0.2, 0.4]), level=0.95)
    assert seen.df == pytest.approx(3)
    assert seen.p_value is not None


def test_two_constant_arms_have_no_p_value() -> None:
    assert compare_unpaired(np.ones(3), np.zeros(3), level=0.95).status == (
        "degenerate_zero_variance"
    )
    assert compare_unpaired(np.ones(3), np.ones(3), level=0.95).status == (
        "degenerate_no_difference"
    )


def test_few_seeds() -> None:
    assert compare_unpaired(np.array([]), np.ones(3), level=0.95).estimate is None
    seen = compare_unpaired(np.array([2.0]), np.ones(3), level=0.95)
    assert (seen.estimate, seen.p_value, seen.status) == (1.0, None, "insufficient_n")


def test_the_null_may_be_shifted() -> None:
    x, y = np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 0.5])
    assert compare_unpaired(x, y, level=0.95, by=1.0).p_value == pytest.approx(
        stats.ttest_ind(x - 1, y, equal_var=False).pvalue
    )
