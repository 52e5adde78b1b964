"""What a claim's tests can show with the planned seeds, before anything runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ablate.stats.power import TARGET, detectable_effect, equivalence_power, variance_power


@dataclass(frozen=True)
class Foresight:
    """What one claim can show.

    Attributes:
        claim: its id.
        effect: smallest true effect that is found with probability .8; None where there is none.
        unit: what it is measured in: `sd of the differences`, or `ratio of sds`.
        alpha: level of each of its tests, at Holm's first step.
        warning: why no result of its could be significant, or None.
    """

    claim: str
    effect: float | None
    unit: str
    alpha: float
    warning: str | None


def foresee(
    claim: str, kind: Literal["mean", "variance", "equivalence"], seeds: int, *, alpha: float
) -> Foresight:
    """What a claim's tests can show.

    Args:
        claim: its id.
        kind: of its tests.
        seeds: that confirm each cell.
        alpha: 1 - level, divided by the number of registered tests.
    """
    unit = "ratio of sds" if kind == "variance" else "sd of the differences"
    if seeds < 2:
        message = f"{seeds} seed has no spread, so nothing can be significant; give more seeds"
        return Foresight(claim, None, unit, alpha, message)
    if kind == "mean":
        return Foresight(claim, detectable_effect(seeds, alpha=alpha), unit, alpha, None)
    if kind == "equivalence":
        margin = _smallest(lambda m: equivalence_power(seeds, 0.0, m, alpha=alpha))
        return Foresight(claim, margin, unit, alpha, None)
    # The test of spreads flips signs: no p is below that of all signs alike.
    smallest = 2 / 2**seeds
    warning = None
    if smallest > alpha:
        fewest = next(n for n in range(2, 200) if 2 / 2**n <= alpha)
        warning = (
            f"at {seeds} seeds no p of its test is below {smallest:.3g}, and {alpha:.3g} is "
            f"needed: no result could be significant; {fewest} seeds could"
        )
        return Foresight(claim, None, unit, alpha, warning)
    ratio = _smallest(lambda more: variance_power(seeds, 1 + more, alpha=alpha), 1.0)
    return Foresight(claim, ratio, unit, alpha, None)


def _smallest(power: Callable[[float], float], offset: float = 0.0) -> float | None:
    """The smallest effect with enough power, plus an offset, for a power that grows with it."""
    from scipy.optimize import brentq

    high = 1.0
    while power(high) < TARGET:
        high *= 2
        if high > 1e6:
            return None
    return offset + float(brentq(lambda e: power(e) - TARGET, 1e-9, high, xtol=1e-4))
