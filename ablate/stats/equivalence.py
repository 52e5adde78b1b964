"""Is the difference within a margin that was declared beforehand? Never "p > 0.05"."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ablate.stats.grid import constant
from ablate.stats.onesample import t_test
from ablate.stats.shape import is_skewed
from ablate.stats.signflip import sign_flip
from ablate.stats.status import Array, vector

EquivalenceVerdict = Literal["equivalent", "different", "equivalent_but_different", "undecided"]


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of a mean difference against a margin.

    Attributes:
        margin: in the metric's own unit.
        ci_low, ci_high: interval at `level`, 90 % for a study at 95 %; None without variance.
        level: confidence of that interval.
        test: which tests give `p_value`.
        p_value: the larger of the two one-sided p values: small means within the margin.
        p_beyond: small means outside the margin, on either side.
    """

    margin: float
    level: float
    ci_low: float | None = None
    ci_high: float | None = None
    test: str | None = None
    p_value: float | None = None
    p_beyond: float | None = None


def tost(
    differences: Array, *, margin: float, level: float, rng: np.random.Generator
) -> Equivalence:
    """Test whether a mean difference lies strictly within -margin and +margin.

    Without variance the sign-flip test speaks; on skewed differences both must.

    Args:
        differences: (seeds,) treatment minus control.
        margin: largest difference that does not matter, in the metric's own unit, positive.
        level: of the study, in (0.5, 1); the interval has 2 * level - 1.
        rng: for sign patterns beyond 20 seeds.

    Returns:
        The test; everything is None below 2 seeds.

    Raises:
        ValueError: the margin is not positive, or a difference is not finite.

    Source: Schuirmann 1987; Lakens 2017.
    """
    if not margin > 0:
        raise ValueError(f"margin must be positive, but got {margin=}")
    d = vector(differences, name="differences")
    inner = 2 * level - 1
    if d.size < 2:
        return Equivalence(margin, inner)
    low, high, _ = t_test(d, level=inner)
    if constant(d):
        p = _sign_flip(d, margin, rng)
        beyond = _sign_flip_beyond(d, margin, rng)
        return Equivalence(margin, inner, test="TOST by sign-flip", p_value=p, p_beyond=beyond)
    p, test = max(_p_above(d, -margin), 1 - _p_above(d, margin)), "TOST"
    beyond = min(1.0, 2 * min(_p_above(d, margin), 1 - _p_above(d, -margin)))
    if is_skewed(d):
        p, test = max(p, _sign_flip(d, margin, rng)), "TOST by t and sign-flip"
        beyond = max(beyond, _sign_flip_beyond(d, margin, rng))
    return Equivalence(margin, inner, low, high, test, p, beyond)


def verdict(
    p_equivalence: float | None, p_difference: float | None, *, alpha: float
) -> EquivalenceVerdict:
    """Read the two tests together; an absent p value rejects nothing."""
    equivalent = p_equivalence is not None and p_equivalence <= alpha
    different = p_difference is not None and p_difference <= alpha
    if equivalent:
        return "equivalent_but_different" if different else "equivalent"
    return "different" if different else "undecided"


def _p_above(d: Array, null: float) -> float:
    """One-sided p of a t test that the mean lies above `null`."""
    from scipy.special import stdtr

    error = float(d.std(ddof=1)) / d.size**0.5
    return float(stdtr(d.size - 1, -(float(d.mean()) - null) / error))


def _sign_flip(d: Array, margin: float, rng: np.random.Generator) -> float:
    sides = (d + margin, margin - d)
    return max(sign_flip(side, rng=rng, alternative="greater") for side in sides)


def _sign_flip_beyond(d: Array, margin: float, rng: np.random.Generator) -> float:
    sides = (d - margin, -d - margin)
    return min(1.0, 2 * min(sign_flip(side, rng=rng, alternative="greater") for side in sides))
