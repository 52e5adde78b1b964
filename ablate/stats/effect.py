"""How large a difference is, in units of spread and as a chance of winning."""

import math
from dataclasses import dataclass

import numpy as np

from ablate.stats.grid import constant
from ablate.stats.status import Array


@dataclass(frozen=True)
class Wins:
    """How often the treatment wins at a seed.

    Attributes:
        wins, ties: seeds.
        probability: wins plus half the ties, over all seeds.
        low, high: its Clopper-Pearson interval.
    """

    wins: int
    ties: int
    probability: float
    low: float
    high: float


def hedges_correction(df: float) -> float:
    """The factor that takes the small-sample bias off a standardised mean difference.

    Source: Hedges 1981, eq. 6e (exact, by gamma functions).
    """
    if df < 2:
        return math.nan
    return math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)


def hedges_gz(differences: Array) -> float | None:
    """Mean difference over the sd of the differences, bias-corrected with n - 1 degrees.

    Args:
        differences: (seeds,), positive favours the treatment.

    Returns:
        g_z, or None below 3 seeds or without variance.

    Source: Lakens 2013, eq. 6.
    """
    if differences.size < 3 or constant(differences):
        return None
    mean, sd = float(differences.mean()), float(differences.std(ddof=1))
    return mean / sd * hedges_correction(differences.size - 1)


def hedges_gav(treatment: Array, control: Array) -> float | None:
    """Mean difference over the root mean square of the two arms' sds, bias-corrected.

    Unlike g_z it does not grow with the correlation of the seeds, so it compares with unpaired
    studies. The correction uses 2 (n - 1) degrees for n pairs, n1 + n2 - 2 otherwise.

    Returns:
        g_av, or None below 2 seeds an arm or when neither arm varies.

    Source: Cumming 2012, eq. 11.10.
    """
    if min(treatment.size, control.size) < 2 or (constant(treatment) and constant(control)):
        return None
    spread = math.sqrt((float(treatment.var(ddof=1)) + float(control.var(ddof=1))) / 2)
    if spread <= 1e-12 * max(float(np.abs(treatment).max()), float(np.abs(control).max())):
        return None
    gain = float(treatment.mean() - control.mean())
    return gain / spread * hedges_correction(treatment.size + control.size - 2)


def cliff_delta(treatment: Array, control: Array) -> float | None:
    """P(treatment > control) - P(treatment < control) over all pairs of seeds, in [-1, 1].

    Source: Cliff 1993.
    """
    if min(treatment.size, control.size) == 0:
        return None
    return float(np.sign(treatment[:, None] - control[None, :]).mean())


def wins(differences: Array, *, level: float) -> Wins | None:
    """How often the treatment wins at the same seed; None without seeds."""
    n = differences.size
    if n == 0:
        return None
    won, tied = int((differences > 0).sum()), int((differences == 0).sum())
    low, high = clopper_pearson(won + tied / 2, n, level=level)
    return Wins(won, tied, (won + tied / 2) / n, low, high)


def clopper_pearson(successes: float, n: int, *, level: float) -> tuple[float, float]:
    """An interval of a share that covers at least `level`; `successes` may hold half ties.

    Raises:
        ValueError: successes outside 0 to n, or n < 1.

    Source: Clopper and Pearson 1934, by beta quantiles.
    """
    from scipy.special import betaincinv

    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n >= 1, but got {successes=}, {n=}")
    tail = (1 - level) / 2
    low = betaincinv(successes, n - successes + 1, tail) if successes > 0 else 0.0
    high = betaincinv(successes + 1, n - successes, 1 - tail) if successes < n else 1.0
    return float(low), float(high)
