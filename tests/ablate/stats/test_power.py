import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from ablate.stats.power import (
    CURVE_SEEDS,
    TARGET,
    detectable_effect,
    detectable_effects,
    equivalence_power,
    power,
    seeds_for_effect,
    seeds_for_equivalence,
    seeds_for_ratio,
    variance_power,
)


@pytest.mark.parametrize("n", [3, 5, 10, 50])
@pytest.mark.parametrize("effect", [0.0, 0.1, 0.5, 1.0, 2.5])
def test_power_against_statsmodels(n: int, effect: float) -> None:
    oracle = TTestPower().power(effect, n, 0.05)
    assert power(n, effect, alpha=0.05) == pytest.approx(oracle, abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 3000), st.floats(0, 50), st.floats(1e-5, 0.2))
def test_power_grows_with_seeds_and_effect(n: int, effect: float, alpha: float) -> None:
    here = power(n, effect, alpha=alpha)
    assert alpha - 1e-6 <= here <= 1
    assert power(n + 1, effect, alpha=alpha) >= here - 1e-9
    assert power(n, 1.1 * effect, alpha=alpha) >= here - 1e-9
    assert power(n, -effect, alpha=alpha) == pytest.approx(here)


def test_the_seeds_that_the_protocol_names() -> None:
    needed = [seeds_for_effect(e, alpha=a) for e in (1, 0.8, 0.5) for a in (0.05, 0.05 / 8)]
    assert needed == [10, 17, 15, 24, 34, 55]


def test_the_effects_that_the_protocol_names() -> None:
    assert detectable_effect(3, alpha=0.05) == pytest.approx(3.26, abs=0.01)
    assert detectable_effect(5, alpha=0.05) == pytest.approx(1.68, abs=0.01)
    assert detectable_effect(1, alpha=0.05) is None


def test_the_detectable_effect_has_the_wanted_power() -> None:
    for n in (2, 4, 20):
        effect = detectable_effect(n, alpha=0.01, target=0.9)
        assert power(n, effect, alpha=0.01) == pytest.approx(0.9, abs=1e-4)


def test_no_effect_needs_no_number_of_seeds() -> None:
    assert seeds_for_effect(0.0, alpha=0.05) is None
    assert seeds_for_effect(float("nan"), alpha=0.05) is None
    assert seeds_for_effect(1e-4, alpha=0.05) is None
    assert power(1, 3.0, alpha=0.05) == 0


def test_variance_power_that_the_protocol_names() -> None:
    seen = [variance_power(n, 2, alpha=0.05) for n in (5, 10, 20)]
    assert seen == pytest.approx([0.21, 0.50, 0.84], abs=0.005)
    assert seeds_for_ratio(1.5, alpha=0.05) == seeds_for_ratio(1 / 1.5, alpha=0.05) == 50
    assert seeds_for_ratio(1.0, alpha=0.05) is None
    assert variance_power(1, 2, alpha=0.05) == 0


def test_equivalence_power_by_simulation(rng: np.random.Generator) -> None:
    n, margin, effect = 12, 1.0, 0.2
    d = rng.normal(effect, 1, size=(20_000, n))
    error = d.std(axis=1, ddof=1) / n**0.5
    low, high = (d.mean(axis=1) + margin) / error, (margin - d.mean(axis=1)) / error
    rejected = np.mean(np.minimum(low, high) > 1.7958848)
    assert equivalence_power(n, effect, margin, alpha=0.05) == pytest.approx(rejected, abs=0.01)


def test_seeds_for_equivalence() -> None:
    assert seeds_for_equivalence(0.0, 1.0, alpha=0.05) == 11
    assert seeds_for_equivalence(1.0, 1.0, alpha=0.05) is None
    assert equivalence_power(5, 2.0, 1.0, alpha=0.05) == 0


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 45])
def test_a_power_curve_is_found_with_the_target_power_at_each_of_its_seeds(alpha: float) -> None:
    curve = detectable_effects(alpha)
    assert tuple(n for n, _ in curve) == CURVE_SEEDS
    for n, effect in curve:
        assert power(n, effect, alpha=alpha) == pytest.approx(TARGET, abs=1e-4)
