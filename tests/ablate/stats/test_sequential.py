import numpy as np
import pytest
from scipy import stats

from ablate.stats.sequential import (
    DEFAULT_LOOKS,
    conditional_equivalence,
    conditional_power,
    look_level,
    look_weights,
    reached,
    sequential_p,
    weights_of,
)


def test_weights_spend_the_whole_level() -> None:
    weights = look_weights(DEFAULT_LOOKS)
    assert sum(weights) == pytest.approx(1)
    assert weights[0] == pytest.approx((5 / 30) ** 2)
    assert look_weights([7]) == (1.0,)


@pytest.mark.parametrize("looks", [[], [1, 5], [5, 5], [8, 5]])
def test_looks_ascend_from_two(looks: list[int]) -> None:
    with pytest.raises(ValueError, match="must ascend"):
        look_weights(looks)


def test_p_is_the_smallest_that_was_spent() -> None:
    assert sequential_p([0.02, 0.03], [0.25, 0.75]) == pytest.approx(0.04)
    assert sequential_p([None, 0.03], [0.25, 0.75]) == pytest.approx(0.04)
    assert sequential_p([0.9], [0.25, 0.75]) == 1.0
    assert sequential_p([None], [1.0]) is None


def test_levels_and_reached_looks() -> None:
    assert look_level(0.95, 0.5) == pytest.approx(0.975)
    assert reached([5, 8, 12], 9) == (5, 8)


def test_peeking_does_not_inflate_errors(rng: np.random.Generator) -> None:
    looks, weights = (5, 8, 12), look_weights((5, 8, 12))
    d = rng.normal(size=(4000, 12))
    p = np.array([stats.ttest_1samp(d[:, :n], 0, axis=1).pvalue for n in looks])
    sequential = (p / np.array(weights)[:, None]).min(axis=0)
    assert np.mean(sequential <= 0.05) < 0.055
    assert np.mean(p.min(axis=0) <= 0.05) > 0.08


def test_spread_spends_nothing_before_the_last_look() -> None:
    assert weights_of("variance", (5, 8, 12)) == (0.0, 0.0, 1.0)
    assert weights_of("mean", (5, 8, 12)) == look_weights((5, 8, 12))
    assert sequential_p([0.01, None, 0.04], weights_of("variance", (5, 8, 12))) == 0.04


def test_conditional_power_by_simulation(rng: np.random.Generator) -> None:
    """The seeds to come are drawn around the assumed mean; the sd stays, as the formula says."""
    n, final, effect, by, alpha = 8, 30, 0.2, -0.1, 0.01
    assumed = effect + 1 / np.sqrt(n)
    coming = rng.normal(assumed, 1, size=(200_000, final - n)).sum(axis=1)
    z = np.sqrt(final) * ((n * effect + coming) / final - by)
    expected = np.mean(z > stats.t.ppf(1 - alpha / 2, final - 1))
    found = conditional_power(n, final, effect, alpha=alpha, by=by)
    assert found == pytest.approx(expected, abs=0.005)


def test_conditional_equivalence_by_simulation(rng: np.random.Generator) -> None:
    n, final, effect, margin, alpha = 8, 30, -0.6, 0.9, 0.05
    assumed = -(0.6 - 1 / np.sqrt(n))
    coming = rng.normal(assumed, 1, size=(200_000, final - n)).sum(axis=1)
    mean = (n * effect + coming) / final
    inner = margin * np.sqrt(final) - stats.t.ppf(1 - alpha, final - 1)
    expected = np.mean(np.sqrt(final) * np.abs(mean) < inner)
    found = conditional_equivalence(n, final, effect, margin, alpha=alpha)
    assert found == pytest.approx(expected, abs=0.005)
    assert conditional_equivalence(n, final, effect, 0.1, alpha=alpha) == 0.0
