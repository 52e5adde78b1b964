import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.paired import compare_paired, correlation

PAIRS = st.lists(st.tuples(st.integers(0, 277), st.integers(0, 277)), min_size=3, max_size=9)


def test_against_scipy(rng: np.random.Generator) -> None:
    t, c = rng.normal(0.7, 0.02, 10), rng.normal(0.68, 0.02, 10)
    seen = compare_paired(t, c, level=0.95, rng=rng)
    assert seen.gain.p_t == pytest.approx(stats.ttest_rel(t, c).pvalue)
    assert seen.seed_correlation == pytest.approx(stats.pearsonr(t, c).statistic)


@settings(max_examples=50, deadline=None)
@given(PAIRS, st.integers(-50, 50))
def test_a_common_shift_changes_nothing(pairs: list[tuple[int, int]], shift: int) -> None:
    t, c = np.array(pairs, dtype=float).T / 277
    options = {"level": 0.95, "rng": np.random.default_rng(0), "step": 1 / 277}
    one = compare_paired(t, c, **options).gain
    other = compare_paired(t + shift / 277, c + shift / 277, **options).gain
    assert other.p_value == pytest.approx(one.p_value)
    assert other.estimate == pytest.approx(one.estimate)
    assert other.status == one.status


def test_a_constant_gain_on_the_grid_has_no_t_test(rng: np.random.Generator) -> None:
    c = np.array([190, 195, 201, 188, 199]) / 277
    seen = compare_paired(c + 2 / 277, c, level=0.95, rng=rng, step=1 / 277)
    assert (seen.gain.p_t, seen.gain.status) == (None, "degenerate_zero_variance")
    assert seen.gain.p_value == 0.0625


def test_a_collapse_is_counted(rng: np.random.Generator) -> None:
    control = np.linspace(0.60, 0.63, 10)
    treatment = np.array([0.61, 0.64, 0.0, 0.62, 0.63, 0.0, 0.66, 0.65, 0.62, 0.64])
    seen = compare_paired(treatment, control, level=0.95, rng=rng)
    assert (seen.collapsed_treatment, seen.collapsed_control) == (2, 0)
    assert seen.gain.status == "skewed"


def test_a_constant_arm_correlates_with_nothing() -> None:
    assert correlation(np.ones(4), np.arange(4.0)) is None
    assert correlation(np.arange(2.0), np.arange(2.0)) is None


def test_shapes_must_agree(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        compare_paired(np.ones(3), np.ones(4), level=0.95, rng=rng)
