import numpy as np
import pytest
from scipy import stats

from ablate.stats.mean_squares import MeanSquare, difference, mean_square, plain


def test_a_mean_square_by_hand() -> None:
    assert mean_square(np.array([-1.0, 0.0, 1.0]), 2, 5) == (5.0, 2)


def test_the_residual_has_the_interval_of_a_variance(rng: np.random.Generator) -> None:
    x = rng.normal(size=9)
    made = plain(MeanSquare(x.var(ddof=1), 8), level=0.95)
    ends = 8 * x.var(ddof=1) / stats.chi2.ppf([0.975, 0.025], 8)
    assert (made.low, made.high) == pytest.approx(tuple(ends))


def test_without_noise_a_component_has_the_interval_of_a_variance() -> None:
    made = difference(MeanSquare(12.0, 7), MeanSquare(0.0, 40), 3, level=0.95)
    ends = 7 * 4.0 / stats.chi2.ppf([0.975, 0.025], 7)
    assert made.variance == pytest.approx(4.0)
    assert (made.low, made.high) == pytest.approx(tuple(ends))


def test_an_estimate_may_be_negative_an_interval_not() -> None:
    made = difference(MeanSquare(1.0, 5), MeanSquare(2.0, 20), 4, level=0.95)
    assert (made.variance, made.low) == (-0.25, 0.0)
    assert made.high > 0


def test_scores_in_another_unit() -> None:
    one = difference(MeanSquare(3.0, 5), MeanSquare(1.0, 20), 4, level=0.9)
    other = difference(MeanSquare(300.0, 5), MeanSquare(100.0, 20), 4, level=0.9)
    assert tuple(other) == pytest.approx(tuple(100 * value for value in one))


@pytest.mark.parametrize("planted", [0.0, 0.2, 2.0])
def test_intervals_hold_the_planted_component(planted: float, rng: np.random.Generator) -> None:
    groups, each, held = 8, 6, []
    for _ in range(600):
        y = planted**0.5 * rng.normal(size=(groups, 1)) + rng.normal(size=(groups, each))
        means = y.mean(axis=1)
        upper = mean_square(means - means.mean(), groups - 1, each)
        lower = mean_square(y - means[:, None], groups * (each - 1), 1)
        made = difference(upper, lower, each, level=0.95)
        held.append(made.low <= planted <= made.high)
    assert np.mean(held) > 0.92
