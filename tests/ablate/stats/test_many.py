from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate import frame
from ablate.stats.cells import collect
from ablate.stats.many import many, pairs
from ablate.stats.multiplicity import holm


def study(scores: np.ndarray, **columns: object) -> pd.DataFrame:
    """A table of (arms, tasks, seeds) scores."""
    rows = [
        {"task": f"t{t}", "method": "abcdef"[a], "seed": s, "score": scores[a, t, s]}
        for a, t, s in np.ndindex(scores.shape)
        if not np.isnan(scores[a, t, s])
    ]
    return frame.check(pd.DataFrame(rows).assign(**columns))


def test_pairs_against_scipy_and_holm(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(4, 3, 8)) + np.array([0.0, 1.0, 2.0, 0.5])[:, None, None]
    (seen,) = many(collect(study(scores)), level=0.95, rng=rng)
    assert [len(seen.pairs), seen.tasks] == [6, ("t0", "t1", "t2")]
    means = dict(zip("abcd", scores.mean(axis=1), strict=True))
    expected = [stats.ttest_rel(means[p.treatment], means[p.control]).pvalue for p in seen.pairs]
    usual = [i for i, pair in enumerate(seen.pairs) if pair.status == "ok"]
    assert usual
    for i in usual:
        assert seen.pairs[i].p_value == pytest.approx(expected[i])
        assert seen.pairs[i].estimate > 0
    assert [p.p_adjusted for p in seen.pairs] == pytest.approx(
        holm([p.p_value for p in seen.pairs])
    )


def test_ranks_means_and_profiles_agree_on_a_clear_winner(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(3, 6, 5)) + np.array([0.0, 20.0, 10.0])[:, None, None]
    (seen,) = many(collect(study(scores)), level=0.95, rng=rng)
    assert [arm.mean_rank for arm in seen.arms] == [3.0, 1.0, 2.0]
    assert [arm.iqm.estimate for arm in seen.arms] == pytest.approx([0, 20, 10], abs=1)
    assert seen.arms[1].profile[10] == 1.0
    assert seen.arms[0].profile[10] == 0.0
    assert [c.source for c in seen.variance] == ["task", "arm_by_task", "seed", "residual"]


def test_lower_is_better(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(2, 5, 6)) + np.array([0.0, 9.0])[:, None, None]
    (seen,) = many(collect(study(scores, direction="lower")), level=0.95, rng=rng)
    assert [arm.mean_rank for arm in seen.arms] == [1.0, 2.0]
    assert seen.arms[0].iqm.estimate == pytest.approx(0, abs=1)
    assert (seen.direction, seen.pairs[0].treatment) == ("lower", "a")
    assert seen.thresholds[0] > seen.thresholds[-1]


def test_tasks_that_disagree_on_the_direction_are_ranked_only(rng: np.random.Generator) -> None:
    data = study(rng.normal(size=(2, 5, 4)))
    data.loc[data["task"] == "t0", "direction"] = "lower"
    (seen,) = many(collect(data), level=0.95, rng=rng)
    assert (seen.direction, seen.arms[0].iqm, seen.pairs, seen.variance) == ("mixed", None, (), ())
    assert seen.ranking.p_f is not None


def test_an_arm_that_lacks_a_task_is_left_out(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(3, 2, 4))
    scores[2, 1] = np.nan
    (seen,) = many(collect(study(scores)), level=0.95, rng=rng)
    assert [arm.arm for arm in seen.arms] == ["a", "b"]
    assert many(collect(study(scores[:, :1])), level=0.95, rng=rng) == ()
    assert many(collect(study(scores[:1])), level=0.95, rng=rng) == ()


def test_pairs_with_gaps_constants_and_few_seeds(rng: np.random.Generator) -> None:
    means = np.array([[1.0, 2, 3, 4, 5, 6], [0.0, 1, 2, 3, 4, 5], [np.nan] * 5 + [9.0]])
    found = pairs(["a", "b", "c"], means, level=0.95, rng=rng)
    by = {(p.treatment, p.control): p for p in found}
    assert by["a", "b"].status == "degenerate_zero_variance"
    assert by["a", "b"].p_value == 2 / 2**6
    assert (by["c", "a"].n, by["c", "a"].p_value) == (1, None)


def test_in_the_document(table: Callable[..., pd.DataFrame]) -> None:
    from ablate.stats.findings import analyse

    data = table({"lora": [0.1, 0.2, 0.4], "shim": [0.3, 0.1, 0.6]}, tasks=["cola", "rte"])
    rng = np.random.default_rng(0)
    found = analyse(data, comparisons=(), claims=(), rng=rng).to_json()
    (seen,) = found["over_tasks"]
    assert seen["tasks"] == ["cola", "rte"]
    assert seen["ranking"]["status"] == "insufficient_n"
