import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.level import level_of, t_quantile

SCORES = st.lists(st.floats(-100, 100), min_size=3, max_size=12)


def test_against_scipy() -> None:
    x = np.array([0.61, 0.58, 0.66, 0.60, 0.63])
    seen = level_of(x, level=0.9, num_failed=1)
    low, high = stats.t.interval(0.9, 4, loc=x.mean(), scale=stats.sem(x))
    assert (seen.ci_low, seen.ci_high) == pytest.approx((low, high))
    assert (seen.mean, seen.sd) == pytest.approx((x.mean(), x.std(ddof=1)))
    assert (seen.n, seen.num_failed, seen.status) == (5, 1, "ok")
    expected = stats.binomtest(1, 6).proportion_ci(0.9, method="exact")
    assert (seen.failure_low, seen.failure_high) == pytest.approx((expected.low, expected.high))


def test_one_seed_gives_its_value_alone() -> None:
    seen = level_of(np.array([0.5]), level=0.95)
    assert (seen.mean, seen.sd, seen.ci_low, seen.ci_high) == (0.5, None, None, None)
    assert seen.status == "insufficient_n"


def test_two_seeds_give_mean_and_range() -> None:
    seen = level_of(np.array([0.5, 0.7]), level=0.95)
    assert (seen.mean, seen.low, seen.high) == pytest.approx((0.6, 0.5, 0.7))
    assert (seen.sd, seen.ci_low, seen.status) == (None, None, "insufficient_n")


def test_equal_scores_have_no_interval() -> None:
    seen = level_of(np.full(5, 0.1), level=0.95)
    assert (seen.mean, seen.sd, seen.ci_low) == (0.1, 0.0, None)
    assert seen.status == "degenerate_zero_variance"


def test_no_seed_gives_nothing() -> None:
    seen = level_of(np.array([]), level=0.95, num_failed=3)
    assert (seen.n, seen.mean, seen.num_failed) == (0, None, 3)
    assert level_of(np.array([]), level=0.95).failure_low is None


def test_a_failed_trial_is_missing_and_never_zero() -> None:
    with pytest.raises(ValueError, match="finite"):
        level_of(np.array([0.5, np.nan]), level=0.95)


@settings(max_examples=50, deadline=None)
@given(SCORES, st.floats(-1000, 1000), st.floats(0.1, 10))
def test_shift_and_scale_carry_over(scores: list[float], shift: float, scale: float) -> None:
    x = np.array(scores)
    plain, moved = level_of(x, level=0.95), level_of(x * scale + shift, level=0.95)
    assert moved.mean == pytest.approx(plain.mean * scale + shift, abs=1e-6)
    assert (moved.sd or 0) == pytest.approx((plain.sd or 0) * scale, abs=1e-6)


def test_the_t_quantile() -> None:
    assert t_quantile(4, 0.95) == pytest.approx(stats.t.ppf(0.975, 4))
