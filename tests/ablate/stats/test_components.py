from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from ablate.stats.cells import collect
from ablate.stats.components import components, crossed


def test_expected_mean_squares_against_anova(rng: np.random.Generator) -> None:
    y = rng.normal(size=(4, 6)) + rng.normal(size=(4, 1)) + rng.normal(size=(1, 6))
    data = pd.DataFrame([(a, s, y[a, s]) for a in range(4) for s in range(6)], columns=list("asy"))
    table = anova_lm(smf.ols("y ~ C(a) + C(s)", data).fit())
    arm, seed, residual = crossed(y, task="t", backbone="b")
    noise = table.loc["Residual", "mean_sq"]
    assert residual.variance == pytest.approx(noise)
    assert arm.variance == pytest.approx(max(0, (table.loc["C(a)", "mean_sq"] - noise) / 6))
    assert seed.variance == pytest.approx(max(0, (table.loc["C(s)", "mean_sq"] - noise) / 4))
    assert sum(c.share for c in (arm, seed, residual)) == pytest.approx(1)
    assert residual.ci_low < residual.sd < residual.ci_high


def test_a_negative_component_is_zero_with_a_flag() -> None:
    y = np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]])
    arm, _, _ = crossed(y, task="t", backbone="b")
    assert (arm.variance, arm.clipped, arm.status) == (0.0, True, "insufficient_n")


def test_constant_scores_have_no_shares() -> None:
    assert [c.share for c in crossed(np.ones((3, 3)), task="t", backbone="b")] == [None] * 3


def test_only_seeds_that_all_arms_finished_count(table: Callable[..., pd.DataFrame]) -> None:
    made = components(collect(table({"a": [0.1, 0.2, None], "b": [0.2, 0.4, 0.9]})))
    assert [(c.source, c.levels) for c in made] == [("arm", 2), ("seed", 2), ("residual", 4)]
    assert components(collect(table({"a": [0.1, 0.2]}))) == ()
    assert components(collect(table({"a": [0.1, None], "b": [0.2, 0.3]}))) == ()
