"""Expected best of n tries."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.stats.tuning_curve import expected_best

SCORES = st.lists(st.floats(-5, 5), min_size=1, max_size=5)


@given(SCORES, st.integers(0, 2), st.booleans())
def test_it_is_the_mean_over_all_draws(scores: list[float], unscored: int, higher: bool) -> None:
    tries = [*scores, *[None] * unscored]
    for n, found in enumerate(expected_best(scores, unscored, most=3, higher=higher), 1):
        draws = [[x for x in draw if x is not None] for draw in product(tries, repeat=n)]
        best = [(max if higher else min)(draw) for draw in draws if draw]
        assert found == pytest.approx(np.mean(best), abs=1e-9)


def test_one_try_is_the_mean_and_many_tend_to_the_best() -> None:
    curve = expected_best([1.0, 2.0, 6.0], 0, most=200)
    assert curve[0] == pytest.approx(3.0)
    assert all(b >= a - 1e-12 for a, b in pairwise(curve))  # type: ignore[operator]
    assert curve[-1] == pytest.approx(6.0)


def test_without_a_score_there_is_no_curve() -> None:
    assert expected_best([], 4, most=2) == [None, None]
    assert expected_best([1.0], 0, most=0) == []
