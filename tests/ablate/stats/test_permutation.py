import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.permutation import permutation_p

SCORES = st.lists(st.integers(-20, 20), min_size=2, max_size=5)


def p_of(treatment: object, control: object) -> float | None:
    sides = (np.array(side, dtype=float) for side in (treatment, control))
    return permutation_p(*sides, rng=np.random.default_rng(0))


def test_all_partings_by_hand() -> None:
    """Of the 20 ways to part 1..6 in threes only {1,2,3} and {4,5,6} lie so far apart."""
    assert p_of([4, 5, 6], [1, 2, 3]) == pytest.approx(2 / 20)


def test_against_scipy(rng: np.random.Generator) -> None:
    t, c = rng.normal(1, 1, 7), rng.normal(0, 1, 5)

    def gap(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(x, axis=axis) - np.mean(y, axis=axis)

    # scipy doubles the smaller tail; the size of the gap, as here, is its square's upper tail.
    oracle = stats.permutation_test(
        (t, c), lambda x, y, axis: gap(x, y, axis) ** 2, n_resamples=np.inf, alternative="greater"
    )
    assert p_of(t, c) == pytest.approx(oracle.pvalue)


def test_many_seeds_are_drawn(rng: np.random.Generator) -> None:
    t, c = rng.normal(0.5, 1, 30), rng.normal(0, 1, 25)
    assert p_of(t, c) == pytest.approx(stats.ttest_ind(t, c).pvalue, abs=0.03)
    assert p_of(t + 5, c) == 1 / 10_000


def test_nothing_to_part() -> None:
    assert p_of([], [1.0]) is None
    assert p_of([2, 2], [2, 2, 2]) == 1.0
    with pytest.raises(ValueError, match="finite"):
        p_of([np.nan], [1.0])


@settings(max_examples=40, deadline=None)
@given(SCORES, SCORES, st.integers(-5, 5))
def test_sides_order_and_shift_do_not_matter(one: list[int], other: list[int], by: int) -> None:
    p = p_of(one, other)
    assert p_of(other, one) == pytest.approx(p)
    assert p_of(one[::-1], other) == pytest.approx(p)
    assert p_of([3 * x + by for x in one], [3 * x + by for x in other]) == pytest.approx(p)
    assert 0 < p <= 1
