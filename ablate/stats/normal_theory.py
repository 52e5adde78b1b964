"""Tests of spread that hold for normal seeds only, shown beside the primary one and labelled so.

Off the normal they reject far too often (Pitman-Morgan .11 to .41 at level .05).
"""

import math

import numpy as np

from ablate.stats.grid import constant
from ablate.stats.status import Array, vector


def pitman_morgan(treatment: Array, control: Array) -> float | None:
    """The two-sided p of equal variances on shared seeds.

    The correlation of sums and differences is zero where the variances are equal.

    Args:
        treatment, control: (seeds,) scores, aligned by seed.

    Returns:
        p; None below 3 seeds, where an arm is constant, or where one arm is the other shifted.

    Raises:
        ValueError: shapes differ or a score is not finite.

    Source: Pitman 1939; Morgan 1939.
    """
    from scipy.special import stdtr

    t, c = vector(treatment, name="treatment"), vector(control, name="control")
    if t.shape != c.shape:
        raise ValueError(f"shapes differ: {t.shape} and {c.shape}")
    if t.size < 3 or constant(t) or constant(c):
        return None
    t, c = t - t.mean(), c - c.mean()
    sums, gaps = t + c, t - c
    scale = math.sqrt(float(sums @ sums) * float(gaps @ gaps))
    if scale <= 1e-12 * float(t @ t + c @ c):
        return None
    r = float(np.clip(sums @ gaps / scale, -1.0, 1.0))
    if abs(r) == 1:
        return None
    statistic = r * math.sqrt((t.size - 2) / (1 - r**2))
    return 2 * float(stdtr(t.size - 2, -abs(statistic)))


def f_test(treatment: Array, control: Array) -> float | None:
    """The two-sided p of equal variances on different seeds.

    Returns:
        p; None below 2 seeds an arm or where an arm is constant.

    Raises:
        ValueError: a score is not finite.

    Source: Fisher 1925; two-sided as twice the smaller tail.
    """
    from scipy.special import fdtr, fdtrc

    t, c = vector(treatment, name="treatment"), vector(control, name="control")
    if min(t.size, c.size) < 2 or constant(t) or constant(c):
        return None
    ratio = float(t.var(ddof=1)) / float(c.var(ddof=1))
    df = t.size - 1, c.size - 1
    return min(1.0, 2 * min(float(fdtr(*df, ratio)), float(fdtrc(*df, ratio))))
