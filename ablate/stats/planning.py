"""How many seeds for which question: tables of power, from assumptions or from a pilot."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.stats.power import (
    TARGET,
    detectable_effect,
    detectable_margin,
    detectable_ratio,
    equivalence_power,
    power,
    seeds_for_effect,
    seeds_for_equivalence,
    seeds_for_ratio,
    variance_power,
)
from ablate.stats.signflip import fewest_pairs

SEEDS = (3, 5, 8, 10, 15, 20, 30, 50)
CAREFUL = 0.8
"""Confidence that the true sd lies below the upper one that is told beside a pilot's."""


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What a table of power rests on.

    Attributes:
        sd: of the paired difference, in the metric's unit.
        effect: true mean difference, in the same unit.
        margin: of equivalence, in the same unit.
        ratio: of the two arms' sds.
        comparisons: tests that are adjusted together.
        level: confidence of the study, in (0.5, 1).
        target: wanted power, in (0, 1).
    """

    sd: float = 1.0
    effect: float = 1.0
    margin: float = 1.0
    ratio: float = 2.0
    comparisons: int = 1
    level: float = 0.95
    target: float = TARGET

    @property
    def alpha(self) -> float:
        """Level of each test: Holm's first step."""
        return (1 - self.level) / self.comparisons


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one number of seeds can show.

    Attributes:
        seeds: in each arm, paired.
        detectable_effect, power_of_effect: smallest effect found at the target, and the chance
            to find the assumed one.
        detectable_ratio, power_of_ratio: likewise of sds, by the F test; the chance is 0 where
            the swap-median test of so few seeds cannot reject.
        detectable_margin, power_of_margin: likewise of equivalence, were there no difference.
    """

    seeds: int
    detectable_effect: float | None
    power_of_effect: float
    detectable_ratio: float | None
    power_of_ratio: float
    detectable_margin: float | None
    power_of_margin: float


@dataclass(frozen=True, kw_only=True)
class Needed:
    """The fewest seeds for the target; None where 10,000 do not suffice or nothing is to find."""

    effect: int | None
    ratio: int | None
    margin: int | None


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What a pilot says of one comparison's noise.

    Attributes:
        task, treatment, control: where.
        n: paired seeds.
        sd: of the differences; None below 2 seeds.
        sd_high: that the true sd exceeds with probability .2 only; plan with it to be careful.
        seed_correlation: between the arms; None below 3 seeds.
    """

    task: str
    treatment: str
    control: str
    n: int
    sd: float | None
    sd_high: float | None
    seed_correlation: float | None


def sd_of_differences(sd: float, correlation: float) -> float:
    """The sd of a paired difference of two arms of equal sd.

    Args:
        sd: of each arm from seed to seed.
        correlation: of the arms over seeds, in (-1, 1).

    Source: Var(A - B) = Var A + Var B - 2 Cov(A, B).
    """
    return sd * math.sqrt(2 * (1 - correlation))


def table(given: Assumptions, seeds: Sequence[int] = SEEDS) -> tuple[Row, ...]:
    """What each number of seeds can show under the assumptions."""
    return tuple(_row(given, n) for n in seeds)


def _row(given: Assumptions, n: int) -> Row:
    alpha, target, sd = given.alpha, given.target, given.sd
    possible = n >= fewest_pairs(alpha)
    return Row(
        seeds=n,
        detectable_effect=_times(detectable_effect(n, alpha=alpha, target=target), sd),
        power_of_effect=power(n, given.effect / sd, alpha=alpha),
        detectable_ratio=detectable_ratio(n, alpha=alpha, target=target) if possible else None,
        power_of_ratio=variance_power(n, given.ratio, alpha=alpha) if possible else 0.0,
        detectable_margin=_times(detectable_margin(n, alpha=alpha, target=target), sd),
        power_of_margin=equivalence_power(n, 0.0, given.margin / sd, alpha=alpha),
    )


def _times(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit


def needed(given: Assumptions) -> Needed:
    """The fewest seeds for each of the three questions."""
    alpha, target = given.alpha, given.target
    ratio = seeds_for_ratio(given.ratio, alpha=alpha, target=target)
    return Needed(
        effect=seeds_for_effect(given.effect / given.sd, alpha=alpha, target=target),
        ratio=None if ratio is None else max(ratio, fewest_pairs(alpha)),
        margin=seeds_for_equivalence(0.0, given.margin / given.sd, alpha=alpha, target=target),
    )


def pilots(findings: Mapping[str, Any]) -> tuple[Pilot, ...]:
    """The noise of every paired comparison of means on one task, of a findings document."""
    return tuple(
        Pilot(
            task=finding["task"],
            treatment=finding["treatment"]["label"],
            control=finding["control"]["label"],
            n=finding["n"],
            sd=finding.get("sd"),
            sd_high=_upper(finding.get("sd"), finding["n"]),
            seed_correlation=finding.get("seed_correlation"),
        )
        for finding in findings["findings"]
        if finding["kind"] == "mean" and finding["paired"]
    )


def _upper(sd: float | None, n: int) -> float | None:
    """One-sided limit of a normal sample's sd (Browne 1995: plan with it, not with the sd)."""
    from scipy.special import chdtri

    return None if sd is None else sd * math.sqrt((n - 1) / float(chdtri(n - 1, CAREFUL)))


def pooled_sd(found: Sequence[Pilot]) -> float | None:
    """Root mean square of the sds, weighted by degrees of freedom; None where there are none."""
    known = [(one.n - 1, one.sd) for one in found if one.sd]
    if not known:
        return None
    return math.sqrt(sum(df * sd**2 for df, sd in known) / sum(df for df, _ in known))
