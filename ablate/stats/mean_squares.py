"""Variance components of balanced scores from expected mean squares, with intervals."""

import math
from typing import NamedTuple

from ablate.stats.status import Array


class MeanSquare(NamedTuple):
    """A sum of squares over its degrees of freedom."""

    value: float
    df: int


class Estimate(NamedTuple):
    """A component in the scores' unit squared; the interval is cut at zero, the estimate is not."""

    variance: float
    low: float
    high: float | None


def mean_square(effects: Array, df: int, repeats: int) -> MeanSquare:
    """Of effects that sum to zero, each shared by `repeats` scores."""
    return MeanSquare(repeats * float((effects**2).sum()) / df, df)


def plain(square: MeanSquare, *, level: float) -> Estimate:
    """The component that a mean square estimates alone: the residual's.

    Source: chi-square distribution of a normal sample's variance.
    """
    from scipy.special import chdtri

    total, tail = square.value * square.df, (1 - level) / 2
    low, high = (total / float(chdtri(square.df, side)) for side in (tail, 1 - tail))
    return Estimate(square.value, low, high)


def difference(upper: MeanSquare, lower: MeanSquare, repeats: int, *, level: float) -> Estimate:
    """The component (upper - lower) / repeats, which may be negative.

    Args:
        upper: mean square that holds the component.
        lower: what the upper one would be without it.
        repeats: scores that share one level of the component.
        level: confidence of the interval, in (0, 1).

    Source: Ting, Burdick, Graybill, Jeyaratnam and Lu 1990, the modified large-sample interval.
    """
    tail = (1 - level) / 2
    spread_low = _squared_arm(upper, lower, tail, down=True)
    spread_high = _squared_arm(upper, lower, tail, down=False)
    gap = upper.value - lower.value
    low, high = gap - math.sqrt(spread_low), gap + math.sqrt(spread_high)
    return Estimate(gap / repeats, max(low, 0.0) / repeats, max(high, 0.0) / repeats)


def _squared_arm(upper: MeanSquare, lower: MeanSquare, tail: float, *, down: bool) -> float:
    """Squared distance of the gap of two mean squares to an end of its interval."""
    from scipy.special import fdtri

    probability = 1 - tail if down else tail
    f = float(fdtri(upper.df, lower.df, probability))
    one = 1 - 1 / _chi_ratio(upper.df, probability)
    two = 1 / _chi_ratio(lower.df, 1 - probability) - 1
    both = ((f - 1) ** 2 - (one * f) ** 2 - two**2) / f
    a, b = upper.value, lower.value
    return max((one * a) ** 2 + (two * b) ** 2 + both * a * b, 0.0)


def _chi_ratio(df: int, probability: float) -> float:
    """Quantile of a chi-square over its degrees of freedom."""
    from scipy.special import chdtri

    return float(chdtri(df, 1 - probability)) / df
