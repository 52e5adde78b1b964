import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from ablate.stats.effect import (
    cliff_delta,
    clopper_pearson,
    hedges_correction,
    hedges_gav,
    hedges_gz,
    wins,
)

A, B = np.array([3.0, 5.0, 4.0, 8.0]), np.array([1.0, 4.0, 4.0, 5.0])
ARMS = st.lists(st.integers(0, 10), min_size=1, max_size=8)


def test_the_correction_is_close_to_its_usual_approximation() -> None:
    for df in (4, 9, 30):
        assert hedges_correction(df) == pytest.approx(1 - 3 / (4 * df - 1), abs=3e-3)


def test_hedges_by_hand() -> None:
    d = A - B  # 2 1 0 3: mean 1.5, variance 5/3
    assert hedges_gz(d) == pytest.approx(1.5 / (5 / 3) ** 0.5 * hedges_correction(3))
    spread = ((A.var(ddof=1) + B.var(ddof=1)) / 2) ** 0.5
    assert hedges_gav(A, B) == pytest.approx(1.5 / spread * hedges_correction(6))


def test_effects_without_spread_are_absent() -> None:
    assert hedges_gz(np.ones(5)) is None
    assert hedges_gz(np.array([1.0, 2.0])) is None
    assert hedges_gav(np.ones(3), np.ones(3)) is None
    assert hedges_gav(np.ones(1), np.ones(3)) is None
    assert cliff_delta(np.array([]), A) is None
    assert wins(np.array([]), level=0.95) is None


@settings(max_examples=50, deadline=None)
@given(ARMS, ARMS)
def test_cliff_against_mann_whitney(a: list[int], b: list[int]) -> None:
    x, y = np.array(a, dtype=float), np.array(b, dtype=float)
    u = stats.mannwhitneyu(x, y, method="asymptotic").statistic if len({*a, *b}) > 1 else None
    expected = 0.0 if u is None else 2 * u / (x.size * y.size) - 1
    assert cliff_delta(x, y) == pytest.approx(expected)
    assert cliff_delta(y, x) == pytest.approx(-expected)


def test_wins_count_ties_half() -> None:
    seen = wins(A - B, level=0.95)
    assert seen is not None
    assert (seen.wins, seen.ties, seen.probability) == (3, 1, 0.875)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (3, 5), (5, 5), (7, 20)])
def test_clopper_pearson_against_statsmodels(successes: int, n: int) -> None:
    expected = proportion_confint(successes, n, alpha=0.1, method="beta")
    assert clopper_pearson(successes, n, level=0.9) == pytest.approx(expected)


def test_a_share_lies_between_none_and_all() -> None:
    with pytest.raises(ValueError, match="between 0 and n"):
        clopper_pearson(6, 5, level=0.95)
