"""One arm against another on shared seeds."""

from dataclasses import dataclass

import numpy as np

from ablate.stats.effect import cliff_delta, hedges_gav
from ablate.stats.grid import constant, differences
from ablate.stats.onesample import Gain, mean_gain
from ablate.stats.shape import collapsed
from ablate.stats.status import Array, vector


@dataclass(frozen=True)
class Paired:
    """A paired comparison; positive favours the treatment.

    Attributes:
        gain: the mean difference and its tests.
        hedges_gav: standardised by the arms' own spread.
        cliff_delta: over all pairs of seeds, in [-1, 1].
        seed_correlation: Pearson's r between the arms; what pairing gains. None below 3 seeds or
            for a constant arm.
        collapsed_treatment, collapsed_control: seeds in a cluster well below the arm's others.
    """

    gain: Gain
    hedges_gav: float | None
    cliff_delta: float | None
    seed_correlation: float | None
    collapsed_treatment: int
    collapsed_control: int


def compare_paired(
    treatment: Array,
    control: Array,
    *,
    level: float,
    rng: np.random.Generator,
    by: float = 0.0,
    step: float | None = None,
) -> Paired:
    """Compare two arms seed by seed.

    Args:
        treatment, control: (seeds,) scores, aligned by seed, higher is better (negate a metric
            for which lower is better).
        level: confidence of the interval, in (0, 1).
        rng: for sign patterns beyond 20 seeds.
        by: the gain under the null hypothesis, in the metric's own unit.
        step: distance of neighbouring scores, where they lie on a grid.

    Returns:
        The comparison; what cannot be said is None.

    Raises:
        ValueError: shapes differ or a score is not finite (a failed trial is missing, never zero).

    Source: statistics.md, section 1.
    """
    treatment, control = vector(treatment, name="treatment"), vector(control, name="control")
    gaps = differences(treatment, control, step=step)
    return describe(gaps, treatment, control, level=level, rng=rng, by=by)


def describe(
    gaps: Array,
    treatment: Array,
    control: Array,
    *,
    level: float,
    rng: np.random.Generator,
    by: float = 0.0,
) -> Paired:
    """As `compare_paired`, for (seeds,) differences that were rounded beforehand."""
    return Paired(
        gain=mean_gain(gaps, level=level, rng=rng, by=by),
        hedges_gav=hedges_gav(treatment, control),
        cliff_delta=cliff_delta(treatment, control),
        seed_correlation=correlation(treatment, control),
        collapsed_treatment=collapsed(treatment),
        collapsed_control=collapsed(control),
    )


def correlation(treatment: Array, control: Array) -> float | None:
    """Pearson's correlation over seeds; None below 3 seeds or for a constant arm."""
    if treatment.size < 3 or constant(treatment) or constant(control):
        return None
    return float(np.corrcoef(treatment, control)[0, 1])
