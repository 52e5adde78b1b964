import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as oracle

from ablate.stats.mcnemar import mcnemar


@pytest.mark.parametrize(("one", "other"), [(0, 6), (3, 12), (40, 55), (1, 0)])
def test_against_statsmodels_and_the_binomial_test(one: int, other: int) -> None:
    assert mcnemar(one, other) == pytest.approx(oracle([[9, one], [other, 9]], exact=True).pvalue)
    assert mcnemar(one, other) == pytest.approx(stats.binomtest(one, one + other).pvalue)


def test_by_hand() -> None:
    assert mcnemar(0, 5) == 2 / 2**5
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(4, 4) == 1.0
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


@given(st.integers(0, 200), st.integers(0, 200))
def test_sides_do_not_matter(one: int, other: int) -> None:
    assert mcnemar(one, other) == mcnemar(other, one) <= 1
