import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.bootstrap import Resamples, bca, expanded_tails, resample, resampled_sds


def test_a_resample_holds_as_many_seeds_as_the_sample(rng: np.random.Generator) -> None:
    counts = resample(7, rng=rng, resamples=100)
    assert counts.shape == (100, 7)
    assert set(counts.sum(axis=1)) == {7.0}
    assert len({tuple(row) for row in counts}) > 50


def test_sds_of_resamples_by_drawing_them(rng: np.random.Generator) -> None:
    arms = [1e3 + rng.normal(size=6), rng.exponential(size=6)]
    counts = resample(6, rng=rng, resamples=50)
    for values, seen in zip(arms, resampled_sds(arms, counts), strict=True):
        drawn = [np.repeat(values, row.astype(int)).std(ddof=1) for row in counts]
        assert seen == pytest.approx(np.array(drawn), abs=1e-7)


def test_resamples_of_as_many_seeds_are_the_same() -> None:
    resamples = Resamples(lambda n: np.random.default_rng(n))
    assert resamples(5) is resamples(5)
    again = Resamples(lambda n: np.random.default_rng(n))
    assert (resamples(5) == again(5)).all()


@pytest.mark.parametrize("statistic", [np.mean, np.median, np.std])
def test_bca_against_scipy(rng: np.random.Generator, statistic: object) -> None:
    x = rng.exponential(size=40)

    def along(samples: np.ndarray) -> np.ndarray:
        return statistic(samples, axis=-1)

    seen = bca(x, level=0.95, rng=np.random.default_rng(3), statistic=along)
    oracle = stats.bootstrap(
        (x,), statistic, method="BCa", n_resamples=9_999, rng=np.random.default_rng(3)
    ).confidence_interval
    assert (seen.low, seen.high) == pytest.approx((oracle.low, oracle.high), abs=0.03)
    assert seen.estimate == pytest.approx(statistic(x))
    assert (seen.n, seen.status) == (40, "ok")


def test_bca_is_refused_where_it_covers_too_little(rng: np.random.Generator) -> None:
    seen = bca(np.arange(19.0), level=0.95, rng=rng)
    assert (seen.estimate, seen.low, seen.status) == (9.0, None, "insufficient_n")
    assert bca(np.arange(20.0), level=0.95, rng=rng).low is not None
    assert bca(np.array([]), level=0.95, rng=rng).estimate is None
    constant = bca(np.ones(25), level=0.95, rng=rng)
    assert (constant.low, constant.status) == (None, "degenerate_zero_variance")


@settings(max_examples=10, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(0.01, 1e3))
def test_an_interval_moves_with_its_values(shift: float, scale: float) -> None:
    x = np.random.default_rng(1).normal(size=25)
    one = bca(x, level=0.9, rng=np.random.default_rng(2))
    other = bca(shift + scale * x, level=0.9, rng=np.random.default_rng(2))
    tolerance = 1e-9 * (abs(shift) + scale)
    assert other.low == pytest.approx(shift + scale * one.low, abs=tolerance)
    assert other.high == pytest.approx(shift + scale * one.high, abs=tolerance)


def test_expanded_tails_against_scipy() -> None:
    reach = stats.t.ppf(0.975, 9) * (10 / 9) ** 0.5
    assert expanded_tails(10, 0.95) == pytest.approx((stats.norm.sf(reach), stats.norm.cdf(reach)))
    assert expanded_tails(100_000, 0.95) == pytest.approx((0.025, 0.975), abs=1e-5)
