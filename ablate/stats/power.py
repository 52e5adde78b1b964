"""How many seeds? Power, detectable effects and the seeds that an effect needs."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from ablate.stats.status import Array

TARGET = 0.8
MOST_SEEDS = 10_000
CURVE_SEEDS = (3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50)
"""Where power curves are computed."""
_TAIL = 1e-14


def power(n: int, effect: float, *, alpha: float) -> float:
    """The chance that a two-sided paired t test rejects.

    Args:
        n: seeds.
        effect: true mean difference in sds of the difference; its sign does not matter.
        alpha: level of the test; divide by the number of comparisons for Holm's worst case.

    Returns:
        Power in [0, 1]; 0 below 2 seeds.

    Source: noncentral t distribution; Cohen 1988, section 2.
    """
    from scipy.special import stdtrit

    if n < 2:
        return 0.0
    critical, shift = float(stdtrit(n - 1, 1 - alpha / 2)), abs(effect) * math.sqrt(n)
    return min(1.0, _exceeds(critical, shift, n - 1) + _exceeds(critical, -shift, n - 1))


def detectable_effect(n: int, *, alpha: float, target: float = TARGET) -> float | None:
    """The smallest true effect, in sds of the difference, found with probability `target`.

    Returns:
        The effect (3.3 at 3 seeds, 1.7 at 5, at alpha .05), or None below 2 seeds.
    """
    return _least(lambda effect: power(n, effect, alpha=alpha), 0.0, target) if n > 1 else None


@cache
def detectable_effects(alpha: float) -> tuple[tuple[int, float], ...]:
    """The detectable effect at each of `CURVE_SEEDS`, as pairs with the seeds."""
    found = ((n, detectable_effect(n, alpha=alpha)) for n in CURVE_SEEDS)
    return tuple((n, effect) for n, effect in found if effect is not None)


def seeds_for_effect(effect: float, *, alpha: float, target: float = TARGET) -> int | None:
    """The fewest seeds at which an effect is found with probability `target`.

    Args:
        effect: true mean difference in sds of the difference.
        alpha: level of the test.
        target: wanted power.

    Returns:
        Seeds in all, not in addition; None above 10,000 or for no effect.
    """
    if effect == 0 or math.isnan(effect):
        return None
    return _fewest(lambda n: power(n, effect, alpha=alpha) >= target)


def equivalence_power(n: int, effect: float, margin: float, *, alpha: float) -> float:
    """The chance that TOST finds an effect within the margin, both in sds of the difference.

    Source: Phillips 1990, with the usual lower bound by two noncentral t probabilities.
    """
    from scipy.special import stdtrit

    if n < 2 or abs(effect) >= margin:
        return 0.0
    critical, root = float(stdtrit(n - 1, 1 - alpha)), math.sqrt(n)
    shifts = ((margin + effect) * root, (margin - effect) * root)
    return max(0.0, sum(_exceeds(critical, shift, n - 1) for shift in shifts) - 1)


def seeds_for_equivalence(
    effect: float, margin: float, *, alpha: float, target: float = TARGET
) -> int | None:
    """The fewest seeds at which TOST finds an effect within the margin; None above 10,000."""
    if not abs(effect) < margin:
        return None
    return _fewest(lambda n: equivalence_power(n, effect, margin, alpha=alpha) >= target)


def detectable_margin(n: int, *, alpha: float, target: float = TARGET) -> float | None:
    """The smallest margin within which TOST finds no difference to lie, with probability `target`.

    Returns:
        The margin in sds of the difference, or None below 2 seeds.
    """
    if n < 2:
        return None
    return _least(lambda margin: equivalence_power(n, 0.0, margin, alpha=alpha), 0.0, target)


def variance_power(n: int, ratio: float, *, alpha: float) -> float:
    """The chance that a two-sided F test sees a ratio of sds, n seeds an arm.

    Normal theory: .21 at 5 seeds for a ratio of 2, .50 at 10, .84 at 20.
    """
    from scipy.special import fdtr, fdtri

    if n < 2:
        return 0.0
    square = max(ratio, 1 / ratio) ** 2
    low, high = (float(fdtri(n - 1, n - 1, tail)) for tail in (alpha / 2, 1 - alpha / 2))
    return float(1 - fdtr(n - 1, n - 1, high / square) + fdtr(n - 1, n - 1, low / square))


def detectable_ratio(n: int, *, alpha: float, target: float = TARGET) -> float | None:
    """The smallest ratio of sds, above 1, that an F test sees with probability `target`."""
    if n < 2:
        return None
    return _least(lambda ratio: variance_power(n, ratio, alpha=alpha), 1.0, target)


def seeds_for_ratio(ratio: float, *, alpha: float, target: float = TARGET) -> int | None:
    """The fewest seeds at which a ratio of sds is seen; None above 10,000 or for equal sds."""
    if ratio <= 0 or ratio == 1 or not math.isfinite(ratio):
        return None
    return _fewest(lambda n: variance_power(n, ratio, alpha=alpha) >= target)


def _least(chance: Callable[[float], float], low: float, target: float) -> float:
    """The smallest value above `low` whose chance, which grows with it, reaches the target."""
    from scipy.optimize import brentq

    if chance(low) >= target:
        return low
    high = low + 1.0
    while chance(high) < target:
        low, high = high, 2 * high
    return float(brentq(lambda value: chance(value) - target, low, high, xtol=1e-6))


def _exceeds(critical: float, shift: float, df: int) -> float:
    """P(noncentral t > critical), for critical > 0.

    Integrated over the sd's sampling distribution, because the library's noncentral t gives NaN
    for some ordinary arguments: E of normal cdf(shift - critical * s) with df * s^2 chi-square.
    """
    from scipy.special import chdtr, chdtri, gammaln, ndtr

    ends = [math.sqrt(float(chdtri(df, tail)) / df) for tail in (1 - _TAIL, _TAIL)]
    low, high = max(ends[0], (shift - 9) / critical), min(ends[1], (shift + 9) / critical)
    if low >= high:
        return 1.0 if (shift - 9) / critical >= ends[1] else 0.0
    nodes, weights = _quadrature()
    s = (low + high) / 2 + (high - low) / 2 * nodes
    constant = math.log(2) + df / 2 * math.log(df / 2) - float(gammaln(df / 2))
    log_density = constant + (df - 1) * np.log(s) - df / 2 * s**2
    inside = float((weights * ndtr(shift - critical * s) * np.exp(log_density)).sum())
    return min(1.0, float(chdtr(df, df * low**2)) + inside * (high - low) / 2)


@cache
def _quadrature() -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on [-1, 1]; finding them is what takes time."""
    nodes, weights = np.polynomial.legendre.leggauss(96)
    return np.asarray(nodes, dtype=np.float64), np.asarray(weights, dtype=np.float64)


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The smallest n from 2 to 10,000 that is enough, for a test that stays true once it is."""
    if not enough(MOST_SEEDS):
        return None
    low, high = 1, 2
    while not enough(high):
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
