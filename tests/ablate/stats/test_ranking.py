import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.ranking import critical_difference, friedman


def test_against_scipy_with_ties(rng: np.random.Generator) -> None:
    scores = rng.integers(0, 6, size=(9, 4)).astype(float)
    seen, oracle = friedman(scores, level=0.95), stats.friedmanchisquare(*scores.T)
    assert seen.chi_square == pytest.approx(oracle.statistic)
    assert seen.p_chi_square == pytest.approx(oracle.pvalue)
    f = (9 - 1) * seen.chi_square / (9 * (4 - 1) - seen.chi_square)
    assert seen.f == pytest.approx(f)
    assert seen.p_f == pytest.approx(stats.f.sf(f, 3, 24))
    assert seen.status == "ok"


def test_the_worked_example_of_demsar() -> None:
    """Demsar 2006, table 6: mean ranks 3.143, 2.000, 2.893, 1.964 of 14 data sets; CD 1.25."""
    ranks = np.array([3.143, 2.000, 2.893, 1.964])
    chi = 12 * 14 / (4 * 5) * ((ranks**2).sum() - 4 * 25 / 4)
    assert chi == pytest.approx(9.28, abs=0.02)
    assert critical_difference(4, 14, alpha=0.05) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize("k", [2, 3, 10, 50])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_the_studentized_range_against_scipy(k: int, alpha: float) -> None:
    q = stats.studentized_range.ppf(1 - alpha, k, np.inf)
    expected = q / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * 8))
    assert critical_difference(k, 8, alpha=alpha) == pytest.approx(expected, rel=1e-6)


def test_ranks_by_hand() -> None:
    seen = friedman(np.array([[0.9, 0.8, 0.7], [0.5, 0.5, 0.1]]), level=0.95)
    assert seen.mean_ranks == (1.25, 1.75, 3.0)
    assert seen.status == "insufficient_n"


def test_what_has_no_test() -> None:
    same = friedman(np.ones((6, 3)), level=0.95)
    assert (same.mean_ranks, same.p_f, same.status) == (
        (2.0, 2.0, 2.0), None, "degenerate_no_difference",
    )  # fmt: skip
    assert friedman(np.ones((1, 3)), level=0.95).p_f is None
    assert friedman(np.ones((0, 3)), level=0.95).mean_ranks == ()
    unanimous = friedman(np.tile([3.0, 2.0, 1.0], (6, 1)), level=0.95)
    assert (unanimous.f, unanimous.p_f) == (None, None)
    assert unanimous.p_chi_square == pytest.approx(stats.chi2.sf(12, 2))
    with pytest.raises(ValueError, match="finite"):
        friedman(np.array([[1.0, np.nan]]), level=0.95)
    with pytest.raises(ValueError, match="two arms"):
        critical_difference(1, 5, alpha=0.05)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_only_the_order_within_a_task_counts(seed: int, scale: float) -> None:
    scores = np.random.default_rng(seed).normal(size=(6, 4))
    moved = np.exp(scale * scores) + np.arange(6)[:, None]
    one, other = friedman(scores, level=0.95), friedman(moved, level=0.95)
    assert one == other
    mirrored = friedman(scores[:, ::-1], level=0.95)
    assert mirrored.mean_ranks == one.mean_ranks[::-1]
