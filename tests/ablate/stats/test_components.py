from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from ablate.stats.cells import collect
from ablate.stats.components import arms_and_seeds, components, crossed, over_tasks
from ablate.stats.reml import reml


def test_expected_mean_squares_against_anova(rng: np.random.Generator) -> None:
    y = rng.normal(size=(5, 6)) + rng.normal(size=(5, 1)) + rng.normal(size=(1, 6))
    data = pd.DataFrame([(a, s, y[a, s]) for a in range(5) for s in range(6)], columns=list("asy"))
    table = anova_lm(smf.ols("y ~ C(a) + C(s)", data).fit())
    arm, seed, residual = crossed(y, task="t", backbone="b")
    noise = table.loc["Residual", "mean_sq"]
    assert residual.variance == pytest.approx(noise)
    assert arm.variance == pytest.approx(max(0, (table.loc["C(a)", "mean_sq"] - noise) / 6))
    assert seed.variance == pytest.approx(max(0, (table.loc["C(s)", "mean_sq"] - noise) / 5))
    assert sum(c.share for c in (arm, seed, residual)) == pytest.approx(1)
    for one in (arm, seed, residual):
        assert one.ci_low < one.sd < one.ci_high


def test_over_tasks_against_anova(rng: np.random.Generator) -> None:
    y = rng.normal(size=(3, 5, 6)) + rng.normal(size=(1, 5, 1)) + rng.normal(size=(3, 5, 1))
    place = [(a, t, s) for a in range(3) for t in range(5) for s in range(6)]
    data = pd.DataFrame([(*at, y[at]) for at in place], columns=list("atsy"))
    table = anova_lm(smf.ols("y ~ C(a) * C(t) + C(s)", data).fit())["mean_sq"]
    found = {c.source: c for c in over_tasks(y, backbone="b")}
    assert found["residual"].variance == pytest.approx(table["Residual"])
    both = (table["C(a):C(t)"] - table["Residual"]) / 6
    assert found["arm_by_task"].variance == pytest.approx(max(0, both))
    assert found["task"].variance == pytest.approx(
        max(0, (table["C(t)"] - table["C(a):C(t)"]) / 18)
    )
    assert found["seed"].variance == pytest.approx(max(0, (table["C(s)"] - table["Residual"]) / 15))
    assert {c.method for c in found.values()} == {"ems"}


def test_balanced_scores_give_the_same_by_either_method(rng: np.random.Generator) -> None:
    y = rng.normal(size=(5, 9)) + 2 * rng.normal(size=(5, 1)) + rng.normal(size=(1, 9))
    arm, seed = np.indices(y.shape)
    restricted = reml(y.ravel(), [list(arm.ravel()), list(seed.ravel())], level=0.95)
    squares = crossed(y, task="t", backbone="b")
    assert [e.variance for e in restricted] == pytest.approx([c.variance for c in squares], 1e-5)


def test_few_levels_have_an_interval_only(rng: np.random.Generator) -> None:
    arm, seed, _ = crossed(rng.normal(size=(4, 9)), task="t", backbone="b")
    assert (arm.variance, arm.sd, arm.share, arm.status) == (None, None, None, "insufficient_n")
    assert 0 <= arm.ci_low < arm.ci_high
    assert (seed.status, seed.levels, seed.df) == ("ok", 9, 8)


def test_a_negative_component_is_zero_with_a_flag() -> None:
    y = np.array([[0.0, 1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0, 1.0]] * 3)
    arm, seed, _ = crossed(y, task="t", backbone="b")
    assert (seed.variance, seed.clipped, seed.status) == (0.0, True, "ok")
    assert arm.status == "ok"


def test_constant_scores_have_no_shares_and_no_interval() -> None:
    found = crossed(np.ones((5, 5)), task="t", backbone="b")
    assert [(c.share, c.ci_low, c.ci_high) for c in found] == [(None, 0.0, 0.0)] * 3
    assert {c.status for c in found} == {"degenerate_zero_variance"}
    assert arms_and_seeds(np.array([[1.0, 1, 1], [1, 1, np.nan]]), task="t", backbone="b") == ()


def test_scores_that_are_missing_are_left_out_not_their_seeds(
    table: Callable[..., pd.DataFrame],
) -> None:
    made = components(collect(table({"a": [0.1, 0.2, None], "b": [0.2, 0.4, 0.9]})))
    assert [(c.source, c.levels) for c in made] == [("arm", 2), ("seed", 3), ("residual", 5)]
    assert {c.method for c in made} == {"reml"}
    assert components(collect(table({"a": [0.1, 0.2]}))) == ()
    assert components(collect(table({"a": [0.1, None], "b": [0.2, 0.3]}))) == ()


def test_missing_scores_over_tasks_are_left_to_reml(rng: np.random.Generator) -> None:
    y = rng.normal(size=(3, 6, 5)) + 2 * rng.normal(size=(1, 6, 1))
    whole = {c.source: c for c in over_tasks(y, backbone="b")}
    y[0, 0, 0] = np.nan
    lacking = {c.source: c for c in over_tasks(y, backbone="b")}
    assert lacking["residual"].levels == 89
    assert lacking["task"].method == "reml"
    assert lacking["task"].sd == pytest.approx(whole["task"].sd, rel=0.2)
    assert over_tasks(y[:, :1], backbone="b") == ()
