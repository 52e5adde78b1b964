import numpy as np
import pytest
from scipy import stats

from ablate.stats.variance import (
    compare_spread,
    compare_spread_over_tasks,
    compare_spread_unpaired,
    squared_gaps,
)


def test_squared_gaps_by_hand() -> None:
    t, c = np.array([1.0, 2.0, 6.0]), np.array([0.0, 1.0, 2.0])
    assert squared_gaps(t, c).tolist() == [0.0, 0.0, 15.0]


def test_the_swap_median_test_against_scipy(rng: np.random.Generator) -> None:
    t, c = rng.normal(0, 3, 10), rng.normal(0, 1, 10)
    seen = compare_spread(t, c, level=0.95, rng=rng)
    q = (t - np.median(t)) ** 2 - (c - np.median(c)) ** 2
    oracle = stats.permutation_test((q,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert seen.p_value == pytest.approx(oracle.pvalue)
    assert seen.estimate == pytest.approx(t.std(ddof=1) - c.std(ddof=1))
    assert seen.log_ratio == pytest.approx(np.log(t.std(ddof=1) / c.std(ddof=1)))
    assert seen.ci_low < seen.estimate < seen.ci_high
    assert seen.log_low < seen.log_ratio < seen.log_high


def test_swapping_sides_mirrors_the_difference(rng: np.random.Generator) -> None:
    t, c = rng.normal(0, 3, 8), rng.normal(5, 1, 8)
    one = compare_spread(t, c, level=0.95, rng=np.random.default_rng(1))
    other = compare_spread(c, t, level=0.95, rng=np.random.default_rng(1))
    assert other.p_value == pytest.approx(one.p_value)
    assert other.estimate == pytest.approx(-one.estimate)
    assert other.ci_low == pytest.approx(-one.ci_high)


def test_five_seeds_cannot_reject_and_say_so(rng: np.random.Generator) -> None:
    seen = compare_spread(np.array([0, 9, -9, 5, 20.0]), np.arange(5.0), level=0.95, rng=rng)
    assert seen.status == "insufficient_n"
    assert seen.p_value >= 0.0625


@pytest.mark.parametrize("compare", [compare_spread, compare_spread_unpaired])
def test_awkward_spreads(compare: object, rng: np.random.Generator) -> None:
    few = compare(np.array([0.1, 0.2]), np.array([0.1, 0.4]), level=0.95, rng=rng)
    assert (few.p_value, few.estimate, few.status) == (None, None, "insufficient_n")
    same = compare(np.full(8, 0.1), np.full(8, 0.2), level=0.95, rng=rng)
    assert same.status == "degenerate_no_difference"
    one = compare(np.full(8, 0.1), np.arange(8.0), level=0.95, rng=rng)
    assert (one.status, one.log_ratio) == ("degenerate_zero_variance", None)
    assert one.estimate < 0


def test_brown_forsythe_against_scipy(rng: np.random.Generator) -> None:
    t, c = rng.normal(0, 2, 9), rng.normal(0, 1, 7)
    seen = compare_spread_unpaired(t, c, level=0.95, rng=rng)
    assert seen.p_value == pytest.approx(stats.levene(t, c, center="median").pvalue)
    assert seen.n == 7


def test_two_constant_arms_have_no_unpaired_p(rng: np.random.Generator) -> None:
    assert compare_spread_unpaired(np.ones(4), np.zeros(5), level=0.95, rng=rng).p_value is None


def test_over_tasks_no_task_dominates(rng: np.random.Generator) -> None:
    t, c = rng.normal(0, 3, 10), rng.normal(0, 1, 10)
    alone = compare_spread(t, c, level=0.95, rng=rng)
    both = compare_spread_over_tasks(
        np.array([t, 1000 * t]), np.array([c, 1000 * c]), level=0.95, rng=rng
    )
    assert both.p_value == pytest.approx(alone.p_value)
    assert both.estimate == pytest.approx(alone.estimate * 1001 / 2)
    two = compare_spread_over_tasks(np.ones((2, 2)), np.ones((2, 2)), level=0.95, rng=rng)
    assert two.p_value is None


def test_shapes_must_agree(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        compare_spread(np.ones(3), np.ones(4), level=0.95, rng=rng)


def test_the_level_holds_for_skewed_seeds(rng: np.random.Generator) -> None:
    from ablate.stats.signflip import sign_flip

    pairs = rng.exponential(size=(600, 2, 10))
    rejected = [sign_flip(squared_gaps(t, c), rng=rng) <= 0.05 for t, c in pairs]
    assert np.mean(rejected) < 0.08
