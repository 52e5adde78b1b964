"""What a claim can show, before anything runs."""

import pytest

from ablate.stats.foresight import foresee
from ablate.stats.power import equivalence_power, power, variance_power


@pytest.mark.parametrize(("seeds", "effect"), [(3, 3.3), (5, 1.7), (10, 1.0)])
def test_a_mean_shows_what_the_protocol_says(seeds: int, effect: float) -> None:
    """Statistics protocol: at 3 seeds only 3.3 sd is visible, at 5 seeds 1.7, at 10 about 1."""
    found = foresee("c", "mean", seeds, alpha=0.05)
    assert found.effect == pytest.approx(effect, abs=0.06)
    assert power(seeds, found.effect or 0.0, alpha=0.05) == pytest.approx(0.8, abs=1e-3)
    assert found.warning is None


def test_the_found_margin_and_ratio_have_the_power() -> None:
    margin = foresee("c", "equivalence", 10, alpha=0.05).effect or 0.0
    assert equivalence_power(10, 0.0, margin, alpha=0.05) == pytest.approx(0.8, abs=1e-3)
    ratio = foresee("c", "variance", 20, alpha=0.05).effect or 0.0
    assert variance_power(20, ratio, alpha=0.05) == pytest.approx(0.8, abs=1e-3)
    assert 1.9 < ratio < 2.0, "the protocol has power .84 at a ratio of 2"


@pytest.mark.parametrize("kind", ["mean", "variance", "equivalence"])
def test_one_seed_shows_nothing(kind: str) -> None:
    found = foresee("c", kind, 1, alpha=0.05)  # type: ignore[arg-type]
    assert found.effect is None
    assert "nothing can be significant" in str(found.warning)


@pytest.mark.parametrize(("seeds", "alpha", "fewest"), [(5, 0.05, 6), (3, 0.05, 6), (8, 0.005, 9)])
def test_spreads_at_too_few_seeds_are_warned_of(seeds: int, alpha: float, fewest: int) -> None:
    found = foresee("c", "variance", seeds, alpha=alpha)
    assert found.effect is None
    assert str(found.warning).endswith(f"no result could be significant; {fewest} seeds could")
    assert foresee("c", "variance", fewest, alpha=alpha).warning is None
