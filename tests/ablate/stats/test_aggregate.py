import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.aggregate import RESAMPLES, interquartile_mean, iqm, profile
from ablate.stats.bootstrap import expanded_tails, resample


def test_the_mean_of_the_middle_half() -> None:
    assert interquartile_mean(np.array([[0.0, 1, 2, 3], [4, 5, 6, 100]])) == 3.5
    assert interquartile_mean(np.array([7.0, np.nan])) == 7.0
    assert interquartile_mean(np.array([np.nan])) is None


@pytest.mark.parametrize("size", [4, 7, 24])
def test_against_scipy(rng: np.random.Generator, size: int) -> None:
    x = rng.normal(size=size)
    assert interquartile_mean(x) == pytest.approx(stats.trim_mean(x, 0.25))


def test_resamples_hold_whole_seeds(rng: np.random.Generator) -> None:
    """The interval is that of resamples written out, the same seeds for each task."""
    scores = rng.normal(size=(1, 3, 6)) + rng.normal(size=(1, 1, 6))
    scores[0, 1, 2] = np.nan
    (seen,) = iqm(scores, level=0.9, rng=np.random.default_rng(0))
    counts = resample(6, rng=np.random.default_rng(0), resamples=RESAMPLES).astype(int)
    drawn = [interquartile_mean(np.repeat(scores[0], row, axis=1)) for row in counts]
    assert (seen.low, seen.high) == pytest.approx(tuple(np.quantile(drawn, expanded_tails(6, 0.9))))
    assert (seen.n, seen.num_seeds, seen.status) == (17, 6, "ok")


def test_arms_see_the_same_seeds(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(1, 2, 8))
    one, other = iqm(np.concatenate([scores, scores + 3]), level=0.95, rng=rng)
    assert other.low - one.low == pytest.approx(3)
    assert other.high - one.high == pytest.approx(3)


def test_gaps_and_few_seeds(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(3, 2, 5))
    scores[0, 0, 1] = np.nan
    scores[1, :, 2:] = np.nan
    scores[2] = 0.5
    lacking, two, constant = iqm(scores, level=0.95, rng=rng)
    assert (lacking.n, lacking.status) == (9, "ok")
    assert (two.num_seeds, two.low, two.status) == (2, None, "insufficient_n")
    assert (constant.estimate, constant.low) == (0.5, None)
    assert constant.status == "degenerate_zero_variance"
    assert iqm(np.full((1, 2, 0), 0.0), level=0.95, rng=rng)[0].estimate is None
    with pytest.raises(ValueError, match="expected"):
        iqm(np.ones((2, 2)), level=0.95, rng=rng)


def test_a_profile_by_hand() -> None:
    scores = np.array([[0.1, 0.9], [0.5, np.nan]])
    assert profile(scores, np.array([0.0, 0.3, 0.5, 0.9])).tolist() == [1.0, 0.75, 0.25, 0.0]
    assert np.isnan(profile(np.full((2, 2), np.nan), np.array([0.0]))).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_a_profile_falls_and_swaps_with_its_tasks(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(4, 6))
    grid = np.linspace(-3, 3, 13)
    seen = profile(scores, grid)
    assert (np.diff(seen) <= 0).all()
    assert seen == pytest.approx(profile(scores[::-1, ::-1], grid))
