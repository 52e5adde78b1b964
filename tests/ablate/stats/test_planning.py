import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from ablate.stats.planning import (
    Assumptions,
    Pilot,
    needed,
    pilots,
    pooled_sd,
    sd_of_differences,
    table,
)


def test_the_sd_of_a_difference(rng: np.random.Generator) -> None:
    pairs = rng.multivariate_normal([0, 0], [[4, 2], [2, 4]], size=200_000)
    assert (pairs[:, 0] - pairs[:, 1]).std() == pytest.approx(sd_of_differences(2, 0.5), rel=0.01)
    assert sd_of_differences(2, 0.5) == pytest.approx(2.0)


def test_a_row_in_the_metrics_unit() -> None:
    given_ = Assumptions(sd=0.8, effect=0.5, margin=1.2, ratio=2.0, comparisons=8)
    (row,) = table(given_, [20])
    oracle = TTestPower()
    assert row.power_of_effect == pytest.approx(oracle.power(0.625, 20, 0.05 / 8), abs=1e-7)
    effect = oracle.solve_power(nobs=20, alpha=0.05 / 8, power=0.8)
    assert row.detectable_effect == pytest.approx(0.8 * effect, rel=1e-4)
    quantile = stats.f.ppf(1 - 0.05 / 16, 19, 19)
    power = stats.f.sf(quantile / 4, 19, 19) + stats.f.cdf(1 / quantile / 4, 19, 19)
    assert row.power_of_ratio == pytest.approx(power)


def test_what_is_detectable_has_the_wanted_power() -> None:
    given_ = Assumptions(sd=2.0, comparisons=3, target=0.9)
    (row,) = table(given_, [12])
    again = Assumptions(sd=2.0, effect=row.detectable_effect, margin=row.detectable_margin,
                        ratio=row.detectable_ratio, comparisons=3, target=0.9)  # fmt: skip
    (seen,) = table(again, [12])
    chances = (seen.power_of_effect, seen.power_of_ratio, seen.power_of_margin)
    assert chances == pytest.approx((0.9, 0.9, 0.9), abs=1e-4)


def test_the_seeds_that_are_needed_suffice_and_one_less_does_not() -> None:
    given_ = Assumptions(sd=1.0, effect=0.7, margin=0.9, ratio=1.7, comparisons=2)
    found = needed(given_)
    for seeds, name in ((found.effect, "effect"), (found.ratio, "ratio"), (found.margin, "margin")):
        less, enough = table(given_, [seeds - 1, seeds])
        assert getattr(enough, f"power_of_{name}") >= 0.8 > getattr(less, f"power_of_{name}")


def test_too_few_seeds_for_a_sign_flip_see_no_ratio() -> None:
    few, enough = table(Assumptions(comparisons=24), [9, 10])
    assert (few.power_of_ratio, few.detectable_ratio) == (0.0, None)
    assert enough.power_of_ratio > 0
    assert needed(Assumptions(ratio=50.0, comparisons=24)).ratio == 10


def finding(**changes: object) -> dict[str, object]:
    return {
        "kind": "mean", "paired": True, "task": "cola", "n": 5, "sd": 2.0, "seed_correlation": 0.3,
        "treatment": {"label": "shim"}, "control": {"label": "lora"}, **changes,
    }  # fmt: skip


def test_pilots_of_a_document() -> None:
    found = pilots({"findings": [finding(), finding(kind="variance"), finding(paired=False)]})
    (one,) = found
    assert one == Pilot(task="cola", treatment="shim", control="lora", n=5, sd=2.0,
                        sd_high=one.sd_high, seed_correlation=0.3)  # fmt: skip
    assert one.sd_high == pytest.approx(2 * (4 / stats.chi2.ppf(0.2, 4)) ** 0.5)
    assert pilots({"findings": [finding(sd=None, n=1)]})[0].sd_high is None


def test_pilots_are_pooled_by_their_degrees_of_freedom() -> None:
    found = pilots({"findings": [finding(), finding(n=3, sd=1.0), finding(n=1, sd=None)]})
    assert pooled_sd(found) == pytest.approx(((4 * 4 + 2 * 1) / 6) ** 0.5)
    assert pooled_sd(()) is None
    assert pooled_sd(pilots({"findings": [finding(sd=0.0)]})) is None


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100), st.integers(1, 50))
def test_units_cancel(unit: float, comparisons: int) -> None:
    one = needed(Assumptions(sd=1.0, effect=0.8, margin=1.1, comparisons=comparisons))
    scaled = Assumptions(sd=unit, effect=0.8 * unit, margin=1.1 * unit, comparisons=comparisons)
    assert needed(scaled) == one
