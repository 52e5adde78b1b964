"""What a claim's tests can show with the planned seeds, before anything runs."""

from dataclasses import dataclass
from typing import Literal

from ablate.stats.power import detectable_effect, detectable_margin, detectable_ratio
from ablate.stats.signflip import fewest_pairs


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
        return Foresight(claim, detectable_margin(seeds, alpha=alpha), unit, alpha, None)
    # The test of spreads flips signs: no p is below that of all signs alike.
    fewest = fewest_pairs(alpha)
    if seeds < fewest:
        warning = (
            f"at {seeds} seeds no p of its test is below {2 / 2**seeds:.3g}, and {alpha:.3g} is "
            f"needed: no result could be significant; {fewest} seeds could"
        )
        return Foresight(claim, None, unit, alpha, warning)
    return Foresight(claim, detectable_ratio(seeds, alpha=alpha), unit, alpha, None)
