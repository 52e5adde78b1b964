import numpy as np
import pytest
from scipy import stats

from ablate.stats.shape import collapsed, is_skewed, lower_cluster, skewness


def test_skewness_against_scipy(rng: np.random.Generator) -> None:
    x = rng.exponential(size=20)
    assert skewness(x) == pytest.approx(stats.skew(x))
    assert skewness(x * 1e-9) == pytest.approx(stats.skew(x))


def test_skewness_needs_three_different_values() -> None:
    assert skewness(np.array([1.0, 2.0])) is None
    assert skewness(np.ones(5)) is None


def test_a_collapse_in_rare_seeds_is_seen() -> None:
    scores = np.array([0.60, 0.61, 0.62, 0.59, 0.60, 0.63, 0.0, 0.01, 0.02, 0.61])
    assert lower_cluster(scores) == collapsed(scores) == 3
    assert is_skewed(scores)


def test_a_high_outlier_is_no_collapse() -> None:
    scores = np.array([0.01, 0.0, 0.02, 0.01, 0.03, 0.02, 0.01, 0.9])
    assert lower_cluster(scores) == 7
    assert collapsed(scores) == 0


def test_balanced_clusters_without_skew_are_seen() -> None:
    x = np.array([0.0, 0.1, 0.2, 0.1, 5.0, 5.1, 5.2, 5.1])
    assert abs(skewness(x) or 0) < 0.1
    assert is_skewed(x)


def test_normal_samples_seldom_look_clustered(rng: np.random.Generator) -> None:
    for n in (8, 10, 20):
        assert np.mean([lower_cluster(rng.normal(size=n)) > 0 for _ in range(1500)]) < 0.03


def test_constant_and_few_values_have_one_cluster() -> None:
    assert lower_cluster(np.ones(10)) == 0
    assert lower_cluster(np.array([0.0, 9.0])) == 0
