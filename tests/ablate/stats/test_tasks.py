import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from ablate.stats.onesample import mean_gain
from ablate.stats.tasks import clustered, heterogeneity

GAPS = np.array([[1.0, 2.0, 3.0, np.nan], [0.0, 1.0, 5.0, 2.0]])


def test_a_seed_that_a_task_lacks_is_left_out() -> None:
    assert clustered(GAPS).tolist() == [0.5, 1.5, 4.0]
    with pytest.raises(ValueError, match="tasks, seeds"):
        clustered(np.zeros(3))


def test_heterogeneity_by_hand_and_statsmodels() -> None:
    seen = heterogeneity(GAPS, level=0.95)
    assert seen.by_task == (2.0, 2.0)
    rows = [row[~np.isnan(row)] for row in GAPS + np.array([[0.0], [3.0]])]
    shifted = heterogeneity(GAPS + np.array([[0.0], [3.0]]), level=0.95)
    means = [r.mean() for r in rows]
    variances = np.array([r.var(ddof=1) / r.size for r in rows])
    oracle = combine_effects(np.array(means), variances, method_re="dl")
    assert shifted.q == pytest.approx(oracle.q)
    assert shifted.p_q == pytest.approx(stats.chi2.sf(oracle.q, 1))
    assert shifted.p_random == pytest.approx(stats.ttest_1samp(means, 0).pvalue)
    assert (shifted.left_out_low, shifted.left_out_high) == (2.0, 5.0)


def test_one_task_has_no_heterogeneity() -> None:
    seen = heterogeneity(GAPS[:1], level=0.95)
    assert (seen.q, seen.p_random, seen.left_out_low) == (None, None, None)


def test_clustering_holds_its_level_where_tasks_are_correlated(rng: np.random.Generator) -> None:
    gaps = 0.6 * rng.normal(size=(5000, 1, 5)) + rng.normal(size=(5000, 8, 5))
    ours = np.array([clustered(study) for study in gaps])
    naive = gaps.reshape(5000, -1)
    rejected = [np.mean(stats.ttest_1samp(d, 0, axis=1).pvalue <= 0.05) for d in (ours, naive)]
    assert rejected[0] == pytest.approx(0.05, abs=0.011)  # 3.5 standard errors
    assert rejected[1] > 0.12
    seen = mean_gain(clustered(gaps[0]), level=0.95, rng=rng)
    assert seen.p_t == pytest.approx(stats.ttest_1samp(gaps[0].mean(axis=0), 0).pvalue)
