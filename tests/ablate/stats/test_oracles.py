"""Every statistic against an independent route: the values of `tests/oracles/answers.json`.

`tests/oracles/answers.py` made them, with scipy, statsmodels, brute force and textbook examples;
nothing of `ablate` is used there.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.stats import allocation, components, equivalence, interaction, power, ranking, reml
from ablate.stats.aggregate import interquartile_mean
from ablate.stats.effect import cliff_delta, clopper_pearson, hedges_gav, hedges_gz
from ablate.stats.level import level_of
from ablate.stats.mcnemar import mcnemar
from ablate.stats.multiplicity import benjamini_hochberg, holm
from ablate.stats.normal_theory import f_test, pitman_morgan
from ablate.stats.onesample import mean_gain
from ablate.stats.paired import compare_paired
from ablate.stats.permutation import permutation_p
from ablate.stats.signflip import sign_flip
from ablate.stats.tasks import clustered, heterogeneity
from ablate.stats.unpaired import compare_unpaired
from ablate.stats.variance import compare_spread, compare_spread_unpaired

FILE = Path(__file__).parents[2] / "oracles" / "answers.json"
ORACLES = json.loads(FILE.read_text(encoding="utf-8"))


def array(values: object) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def level(case: Any) -> dict[str, Any]:
    made = level_of(array(case["scores"]), level=0.95, num_failed=case["failed"])
    return {"mean": made.mean, "sd": made.sd, "low": made.ci_low, "high": made.ci_high,
            "failure_low": made.failure_low, "failure_high": made.failure_high}  # fmt: skip


def paired(case: Any) -> dict[str, Any]:
    t, c = array(case["treatment"]), array(case["control"])
    made = compare_paired(t, c, level=0.95, rng=rng())
    gain = made.gain
    return {"estimate": gain.estimate, "p_t": gain.p_t, "low": gain.ci_low, "high": gain.ci_high,
            "p_sign_flip": gain.p_sign_flip, "p_wilcoxon": gain.p_wilcoxon,
            "hedges_gz": hedges_gz(t - c), "hedges_gav": hedges_gav(t, c),
            "cliff_delta": cliff_delta(t, c), "skew": gain.skew,
            "seed_correlation": made.seed_correlation}  # fmt: skip


def unpaired(case: Any) -> dict[str, Any]:
    t, c = array(case["treatment"]), array(case["control"])
    made = compare_unpaired(t, c, level=0.95, rng=rng())
    return {"estimate": made.estimate, "df": made.df, "p": made.p_value, "low": made.ci_low,
            "high": made.ci_high, "p_permutation": permutation_p(t, c, rng=rng())}  # fmt: skip


def spread(case: Any) -> dict[str, Any]:
    t, c = array(case["treatment"]), array(case["control"])
    shared = compare_spread(t, c, level=0.95, rng=rng())
    apart = compare_spread_unpaired(t, c, level=0.95, rng=rng())
    return {"sd_difference": shared.estimate, "log_ratio": shared.log_ratio,
            "swap_median": shared.p_value, "brown_forsythe": apart.p_value,
            "pitman_morgan": pitman_morgan(t, c), "f": f_test(t, c)}  # fmt: skip


def families(case: Any) -> dict[str, Any]:
    p = case["p"]
    return {"holm": holm(p), "benjamini_hochberg": benjamini_hochberg(p)}


def tasks(case: Any) -> dict[str, Any]:
    gaps = array(case["gaps"])
    seen = heterogeneity(gaps, level=0.95)
    gain = mean_gain(clustered(gaps), level=0.95, rng=rng())
    return {"clustered_p": gain.p_t, "clustered_low": gain.ci_low, "random_p": seen.p_random,
            "random_low": seen.random_low, "q": seen.q, "p_q": seen.p_q,
            "left_out": [seen.left_out_low, seen.left_out_high]}  # fmt: skip


def ranks(case: Any) -> dict[str, Any]:
    made = ranking.friedman(array(case["scores"]), level=0.95)
    return {"mean_ranks": made.mean_ranks, "chi_square": made.chi_square, "f": made.f,
            "p_chi_square": made.p_chi_square, "p_f": made.p_f,
            "critical_difference": made.critical_difference}  # fmt: skip


def iqm(case: Any) -> dict[str, Any]:
    return {"iqm": interquartile_mean(array(case["scores"]))}


def crossed(case: Any) -> dict[str, Any]:
    made = components.crossed(array(case["scores"]), task="t", backbone="b")
    return {one.source: one.variance for one in made} | {"residual_high": made[2].ci_high}


def luck(case: Any) -> dict[str, Any]:
    made = allocation.luck(array(case["scores"]), level=0.95)
    return {one.name: one.variance for one in made}


def mixed(case: Any) -> dict[str, Any]:
    made = reml.reml(array(case["y"]), case["groups"], fixed=case["fixed"], level=0.95)
    return {"variances": [one.variance for one in made]}


def tost(case: Any) -> dict[str, Any]:
    made = equivalence.tost(array(case["gaps"]), margin=case["margin"], level=0.95, rng=rng())
    return {"p": made.p_value, "low": made.ci_low, "high": made.ci_high}


def interacting(case: Any) -> dict[str, Any]:
    made = interaction.interaction(array(case["y"]), case["a"], case["b"], case["s"])
    return {"f": made.f, "p": made.p_value, "f_a": made.first.f, "p_a": made.first.p_value,
            "f_b": made.second.f, "p_b": made.second.p_value}  # fmt: skip


def powers(case: Any) -> dict[str, Any]:
    alpha = case["alpha"]
    return {"power": power.power(10, 0.8, alpha=alpha),
            "seeds": power.seeds_for_effect(0.8, alpha=alpha),
            "detectable": power.detectable_effect(10, alpha=alpha),
            "ratio": power.variance_power(20, 2.0, alpha=alpha)}  # fmt: skip


def rates(case: Any) -> dict[str, Any]:
    return {"clopper_pearson": clopper_pearson(*case["share"], level=0.95),
            "mcnemar": mcnemar(*case["discordant"])}  # fmt: skip


def flips(case: Any) -> dict[str, Any]:
    d = array(case["gaps"])
    return {"two_sided": sign_flip(d, rng=rng()),
            "greater": sign_flip(d, rng=rng(), alternative="greater")}  # fmt: skip


STATISTICS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "level": level, "paired": paired, "unpaired": unpaired, "spread": spread, "families": families,
    "tasks": tasks, "ranks": ranks, "iqm": iqm, "crossed": crossed, "luck": luck, "mixed": mixed,
    "tost": tost, "interaction": interacting, "power": powers, "rates": rates, "flips": flips,
}  # fmt: skip


@pytest.mark.parametrize("case", ORACLES, ids=[case["name"] for case in ORACLES])
def test_values(case: dict[str, Any]) -> None:
    seen = STATISTICS[case["statistic"]](case["given"])
    tolerance = 1e-3 if case["statistic"] == "mixed" else 1e-6
    for name, expected in case["expected"].items():
        values, wanted = (x if isinstance(x, list | tuple) else [x] for x in (seen[name], expected))
        for value, one in zip(values, wanted, strict=True):
            if one is None:
                assert value is None, name
            else:
                assert value == pytest.approx(one, rel=tolerance, abs=1e-9), name


def test_there_are_enough_of_them() -> None:
    values = [value for case in ORACLES for value in case["expected"].values()]
    assert len(values) >= 100
    assert {case["statistic"] for case in ORACLES} == set(STATISTICS)
    assert all(case["source"] for case in ORACLES)
    assert not any(isinstance(v, float) and math.isnan(v) for v in values)
