import itertools
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from ablate.stats.allocation import cheapest, luck


def test_against_anova(rng: np.random.Generator) -> None:
    i, j, k = 5, 6, 3
    y = rng.normal(size=(i, 1, 1)) + rng.normal(size=(1, j, 1)) + rng.normal(size=(i, j, k))
    rows = [(a, b, y[a, b, c]) for a in range(i) for b in range(j) for c in range(k)]
    table = anova_lm(smf.ols("y ~ C(a) * C(b)", pd.DataFrame(rows, columns=list("aby"))).fit())
    square = table["mean_sq"]
    start, order, both, repeat = luck(y, level=0.95)
    assert repeat.variance == pytest.approx(square["Residual"])
    assert both.variance == pytest.approx(max(0, (square["C(a):C(b)"] - square["Residual"]) / k))
    assert start.variance == pytest.approx(max(0, (square["C(a)"] - square["C(a):C(b)"]) / (j * k)))
    assert order.variance == pytest.approx(max(0, (square["C(b)"] - square["C(a):C(b)"]) / (i * k)))


def test_one_repeat_leaves_interaction_and_non_determinism_together(
    rng: np.random.Generator,
) -> None:
    start, _, both, repeat = luck(rng.normal(size=(5, 5, 1)), level=0.95)
    assert (both.variance, both.low, both.status) == (None, None, "insufficient_n")
    assert repeat.variance > 0
    assert start.status == "ok"


def test_few_levels_and_constant_scores(rng: np.random.Generator) -> None:
    start, order, _, _ = luck(rng.normal(size=(3, 7, 2)), level=0.95)
    assert (start.variance, start.status, order.status) == (None, "insufficient_n", "ok")
    same = luck(np.ones((5, 5, 2)), level=0.95)
    assert {one.status for one in same[:3]} == {"degenerate_zero_variance"}
    for bad in (np.ones((1, 5, 2)), np.ones((5, 5)), np.full((5, 5, 2), np.nan)):
        with pytest.raises(ValueError, match=r"expected|finite"):
            luck(bad, level=0.95)


@pytest.mark.parametrize("variances", [(1.0, 0.5, 0.2, 0.3), (0.0, 0.0, 0.0, 2.0), (2.0, 0, 0, 0)])
@pytest.mark.parametrize("costs", [(0.0, 0.0, 1.0), (5.0, 0.0, 1.0), (1.0, 8.0, 1.0)])
def test_against_all_small_designs(variances: tuple[float, ...], costs: tuple[float, ...]) -> None:
    target = 0.55
    a, b, c, e = variances
    able = []
    for i, j, k in itertools.product(range(1, 31), range(1, 31), range(1, 16)):
        if a / i + b / j + c / (i * j) + e / (i * j * k) <= target**2 + 1e-12:
            able.append(i * costs[0] + j * costs[1] + i * j * k * costs[2])
        if i == j and (a + b + c + e / k) / i <= target**2 + 1e-12:
            able.append(i * (costs[0] + costs[1] + k * costs[2]))
    made = cheapest(
        variances, target, initialisation_cost=costs[0], order_cost=costs[1], run_cost=costs[2]
    )
    assert made.cost == pytest.approx(min(able))
    assert made.error <= target + 1e-9


def test_fresh_luck_in_each_run_is_cheapest_where_only_runs_cost() -> None:
    made = cheapest((1.0, 1.0, 1.0, 1.0), 0.5)
    assert (made.paired, made.num_initialisations, made.num_repeats) == (True, 16, 1)
    assert made.error == pytest.approx(0.5)
    assert cheapest((1.0, 1.0, 1.0, 1.0), 1e-3, most=100) is None
    assert math.isclose(cheapest((0.0, 0.0, 0.0, 0.0), 1.0).cost, 1.0)
    with pytest.raises(ValueError, match="target"):
        cheapest((1.0, 1.0, 1.0, 1.0), 0.0)
