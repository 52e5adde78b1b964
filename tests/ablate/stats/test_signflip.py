import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.stats.signflip import sign_flip, smallest_p

VALUES = st.lists(st.integers(-20, 20), min_size=1, max_size=9)


def brute_force(values: np.ndarray, alternative: str = "two-sided") -> float:
    signs = np.array(list(itertools.product([1, -1], repeat=len(values))))
    sums, observed = signs @ np.abs(values), values.sum()
    if alternative == "two-sided":
        sums, observed = np.abs(sums), abs(observed)
    return float(np.mean(sums >= observed - 1e-9))


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_exact_p_counts_every_pattern(values: list[int]) -> None:
    d, rng = np.array(values, dtype=float), np.random.default_rng(0)
    assert sign_flip(d, rng=rng) == pytest.approx(brute_force(d))
    greater = sign_flip(d, rng=rng, alternative="greater")
    assert greater == pytest.approx(brute_force(d, "greater"))


@settings(max_examples=60, deadline=None)
@given(VALUES, st.floats(0.001, 1000), st.randoms(use_true_random=False))
def test_scale_sign_and_order_do_not_matter(
    values: list[int], scale: float, random: object
) -> None:
    d, rng = np.array(values, dtype=float), np.random.default_rng(0)
    p = sign_flip(d, rng=rng)
    assert sign_flip(-d * scale, rng=rng) == pytest.approx(p)
    assert sign_flip(d[::-1], rng=rng) == pytest.approx(p)


def test_against_scipy() -> None:
    d = np.random.default_rng(3).normal(0.5, 1, size=12)
    oracle = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(d, rng=np.random.default_rng(0)) == pytest.approx(oracle.pvalue)


def test_the_smallest_p_at_few_seeds(rng: np.random.Generator) -> None:
    for n, p in ((3, 0.25), (5, 0.0625), (6, 0.03125)):
        assert sign_flip(np.arange(1.0, n + 1), rng=rng) == p == smallest_p(n)
    assert smallest_p(0) == 1.0


def test_nothing_but_zeros_gives_one(rng: np.random.Generator) -> None:
    assert sign_flip(np.zeros(5), rng=rng) == 1.0


def test_zeros_do_not_count_against_the_exact_limit(rng: np.random.Generator) -> None:
    d = np.concatenate([np.zeros(30), np.ones(6)])
    assert sign_flip(d, rng=rng) == 0.03125


def test_many_seeds_are_sampled_and_repeatable() -> None:
    d = np.random.default_rng(1).normal(0.4, 1, size=40)
    p = [sign_flip(d, rng=np.random.default_rng(7)) for _ in range(2)]
    assert p[0] == p[1]
    assert p[0] == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    certain = sign_flip(np.full(40, 1.0), rng=np.random.default_rng(7))
    assert certain == pytest.approx(1e-4)


def test_mistakes_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="empty"):
        sign_flip(np.array([]), rng=rng)
    with pytest.raises(ValueError, match="finite"):
        sign_flip(np.array([np.nan]), rng=rng)
    with pytest.raises(ValueError, match="at least 9999"):
        sign_flip(np.ones(3), rng=rng, draws=100)
