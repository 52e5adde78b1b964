import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.onesample import mean_gain, signed_ranks, t_test

GAPS = st.lists(st.integers(-50, 50), min_size=3, max_size=9)


def gain(values: object, **options: object) -> object:
    options = {"level": 0.95, "rng": np.random.default_rng(0), **options}
    return mean_gain(np.array(values, dtype=float), **options)


def test_against_scipy() -> None:
    d = np.array([0.5, 1.2, -0.3, 0.9, 0.6, 1.1, 0.2])
    seen, oracle = gain(d), stats.ttest_1samp(d, 0)
    interval = oracle.confidence_interval(0.95)
    assert seen.p_value == seen.p_t == pytest.approx(oracle.pvalue)
    assert (seen.ci_low, seen.ci_high) == pytest.approx((interval.low, interval.high))
    assert seen.p_wilcoxon == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
    assert (seen.test, seen.status) == ("paired t", "ok")


def test_the_null_may_be_shifted() -> None:
    d = np.array([0.5, 1.2, -0.3, 0.9, 0.6])
    assert gain(d, by=0.4).p_t == pytest.approx(stats.ttest_1samp(d, 0.4).pvalue)
    assert gain(d, by=0.4).estimate == pytest.approx(d.mean())


def test_no_and_one_seed() -> None:
    assert gain([]).estimate is None
    seen = gain([0.4])
    assert (seen.estimate, seen.sd, seen.ci_low, seen.p_value) == (0.4, None, None, None)
    assert seen.status == "insufficient_n"


def test_two_seeds_are_tested_but_not_trusted() -> None:
    seen = gain([0.4, 0.6])
    assert seen.p_t == pytest.approx(stats.ttest_1samp([0.4, 0.6], 0).pvalue)
    assert (seen.status, seen.hedges_gz) == ("insufficient_n", None)


def test_without_variance_the_sign_flip_test_speaks() -> None:
    seen = gain([0.25] * 5)
    assert (seen.p_t, seen.ci_low, seen.hedges_gz) == (None, None, None)
    assert (seen.test, seen.p_value) == ("sign-flip", 0.0625)
    assert (seen.status, seen.estimate, seen.sd) == ("degenerate_zero_variance", 0.25, 0.0)


def test_identical_arms_differ_by_nothing() -> None:
    seen = gain([0.0] * 6)
    assert (seen.p_value, seen.status) == (1.0, "degenerate_no_difference")


def test_skewed_differences_need_both_tests() -> None:
    seen = gain([0.1, 0.2, 0.15, 0.12, 0.18, 0.11, 9.0, 0.14])
    assert seen.status == "skewed"
    assert seen.p_value == max(seen.p_t, seen.p_sign_flip)
    assert seen.p_value > seen.p_sign_flip


@settings(max_examples=50, deadline=None)
@given(GAPS, st.floats(0.01, 100))
def test_swapping_sides_mirrors_everything(values: list[int], scale: float) -> None:
    one, other = gain(values), gain([-v * scale for v in values])
    assert other.estimate == pytest.approx(-one.estimate * scale)
    assert other.p_value == pytest.approx(one.p_value)
    assert other.wins.probability == pytest.approx(1 - one.wins.probability)
    if one.ci_low is not None:
        assert other.ci_high == pytest.approx(-one.ci_low * scale)


@settings(max_examples=50, deadline=None)
@given(GAPS, st.randoms(use_true_random=False))
def test_the_order_of_seeds_does_not_matter(values: list[int], random: object) -> None:
    one, other = gain(values), gain(random.sample(values, len(values)))
    assert other.p_value == pytest.approx(one.p_value)
    assert other.estimate == pytest.approx(one.estimate)


@settings(max_examples=50, deadline=None)
@given(GAPS)
def test_the_interval_excludes_what_the_test_rejects(values: list[int]) -> None:
    assume(len(set(values)) > 1)
    seen = gain(values)
    outside = seen.ci_low > 0 or seen.ci_high < 0
    assert outside == (seen.p_t < 0.05)


def test_signed_ranks_share_ties_and_leave_out_zeros() -> None:
    assert signed_ranks(np.array([0.0, -1.0, 1.0, 3.0])).tolist() == [0.0, -1.5, 1.5, 3.0]


def test_constant_values_have_no_t_test() -> None:
    assert t_test(np.ones(4), level=0.95) == (None, None, None)


def test_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        gain([0.1, np.nan])
