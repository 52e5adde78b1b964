import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm

from ablate import frame
from ablate.stats.cells import collect
from ablate.stats.interaction import interaction, interactions


def test_against_statsmodels_type_two_unbalanced(rng: np.random.Generator) -> None:
    data = pd.DataFrame(
        [(a, b, s) for a in "xyz" for b in "pq" for s in range(5)], columns=["a", "b", "s"]
    ).iloc[:-3]
    data["y"] = rng.normal(size=len(data)) + (data["a"] == "x") * (data["b"] == "p")
    table = anova_lm(smf.ols("y ~ C(a) * C(b) + C(s)", data).fit(), typ=2)
    seen = interaction(data["y"].to_numpy(), list(data["a"]), list(data["b"]), list(data["s"]))
    assert seen.f == pytest.approx(table.loc["C(a):C(b)", "F"])
    assert seen.p_value == pytest.approx(table.loc["C(a):C(b)", "PR(>F)"])
    assert (seen.df, seen.df_residual) == (2, table.loc["Residual", "df"])


def test_what_cannot_be_tested() -> None:
    y = np.array([1.0, 2.0, 3.0, 5.0])
    assert interaction(y, list("aabb"), list("pqpq"), [0] * 4).status == "insufficient_n"
    assert interaction(y, list("aaaa"), list("pqpq"), [0] * 4).p_value is None
    same = interaction(np.ones(8), list("aabb") * 2, list("pqpq") * 2, [0] * 8)
    assert same.status == "degenerate_no_difference"


def test_a_structure_that_helps_at_one_rank_only_is_found(rng: np.random.Generator) -> None:
    rows = [
        {"task": task, "method": "mtlora", "rank": rank, "structure": structure, "seed": seed,
         "score": 0.1 * (rank == 8 and structure == "shim") + 0.01 * rng.normal()}
        for task in ("cola", "rte") for rank in (4, 8) for structure in ("shim", "icfm")
        for seed in range(5)
    ]  # fmt: skip
    seen = interactions(collect(frame.check(pd.DataFrame(rows))), level=0.95)
    verdicts = {(f.details["factors"][0], f.details["factors"][1], f.task): f.verdict for f in seen}
    assert verdicts["rank", "structure", "cola"] == "different"
    assert verdicts["rank", "task", None] == "undecided"
    assert all(f.p_adjusted >= f.p_value for f in seen)
    assert not any(f.confirmatory for f in seen)


def test_main_effects_against_statsmodels_type_two(rng: np.random.Generator) -> None:
    data = pd.DataFrame(
        [(a, b, s) for a in "xyz" for b in "pq" for s in range(5)], columns=["a", "b", "s"]
    ).drop(index=[0, 7, 8, 21])
    data["y"] = 100 + rng.normal(size=len(data)) + (data["a"] == "x")
    table = anova_lm(smf.ols("y ~ C(a) * C(b) + C(s)", data).fit(), typ=2)
    seen = interaction(data["y"].to_numpy(), list(data["a"]), list(data["b"]), list(data["s"]))
    for effect, name in ((seen.first, "C(a)"), (seen.second, "C(b)")):
        assert (effect.f, effect.df) == pytest.approx(tuple(table.loc[name, ["F", "df"]]))
        assert effect.p_value == pytest.approx(table.loc[name, "PR(>F)"])


def test_a_factor_that_no_block_contains_twice_has_no_main_effect() -> None:
    """Arms a and b never share a seed: seeds and arms cannot be told apart, the rest can."""
    y = np.array([1.0, 2.0, 4.0, 3.0, 6.0, 9.0, 7.0, 5.0])
    seen = interaction(y, list("aaaabbbb"), list("pqpqpqpq"), [0, 0, 1, 1, 2, 2, 3, 3])
    assert (seen.first.p_value, seen.first.f) == (None, None)
    gaps = y[1::2] - y[::2]
    oracle = stats.ttest_ind(gaps[:2], gaps[2:])
    assert seen.p_value == pytest.approx(oracle.pvalue)
    assert seen.f == pytest.approx(oracle.statistic**2)


def test_twenty_thousand_scores_take_no_large_design(rng: np.random.Generator) -> None:
    arms, tasks, seeds = 20, 10, 100
    place = [(a, t, s) for a in range(arms) for t in range(tasks) for s in range(seeds)]
    a, t, s = (list(column) for column in zip(*place, strict=True))
    y = rng.normal(size=len(place)) + np.array(a) * (np.array(t) == 3)
    seen = interaction(y, a, t, list(zip(t, s, strict=True)))
    assert seen.p_value < 1e-6
    assert (seen.df, seen.df_residual) == (171, 20_000 - 1_000 - 190)
