"""The mean of one difference per seed: t, sign-flip and signed-rank tests side by side."""

import math
from dataclasses import dataclass

import numpy as np

from ablate.stats.effect import Wins, hedges_gz, wins
from ablate.stats.grid import constant
from ablate.stats.level import t_quantile
from ablate.stats.shape import is_skewed, skewness
from ablate.stats.signflip import fewest_pairs, sign_flip
from ablate.stats.status import Array, Status, vector


@dataclass(frozen=True)
class Gain:
    """A mean difference; positive favours the treatment. What cannot be said is None.

    Attributes:
        n: seeds.
        estimate: mean difference, in the metric's own unit.
        sd: of the differences, ddof 1; None below 2 seeds.
        ci_low, ci_high: t interval; None below 2 seeds or without variance.
        test: which test gives `p_value`.
        p_value: two-sided, of a mean equal to `by`.
        p_t, p_sign_flip, p_wilcoxon: the single tests; t is absent without variance.
        hedges_gz: standardised by the sd of the differences.
        wins: how often the treatment wins.
        skew: third standardised moment.
        skewed: lopsided or in two clusters, so that t alone is not to be trusted.
        status: see `ablate.stats.status`.
    """

    n: int
    estimate: float | None = None
    sd: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    test: str | None = None
    p_value: float | None = None
    p_t: float | None = None
    p_sign_flip: float | None = None
    p_wilcoxon: float | None = None
    hedges_gz: float | None = None
    wins: Wins | None = None
    skew: float | None = None
    skewed: bool = False
    status: Status = "insufficient_n"


def mean_gain(
    differences: Array, *, level: float, rng: np.random.Generator, by: float = 0.0
) -> Gain:
    """Test and estimate a mean difference.

    The t test speaks; without variance the sign-flip test does; on skewed differences both must,
    so that the larger p is taken. Where a sign-flip over so few seeds could never reject at the
    level, the status of skewed differences is `insufficient_n`.

    Args:
        differences: (seeds,) treatment minus control, oriented so that positive is better.
        level: confidence of the interval, in (0, 1).
        rng: for sign patterns beyond 20 seeds.
        by: the mean under the null hypothesis.

    Returns:
        The gain, with a status.

    Raises:
        ValueError: a difference is not finite.

    Source: Student 1908; Fisher 1935; Wilcoxon 1945 (permuted exactly, ties at mean rank).
    """
    d = vector(differences, name="differences")
    n = d.size
    if n == 0:
        return Gain(0)
    estimate = float(d[0]) if constant(d) else float(d.mean())
    if n == 1:
        return Gain(1, estimate, wins=wins(d, level=level))
    shifted = d - by
    p_flip = sign_flip(shifted, rng=rng)
    low, high, p_t = t_test(d, level=level, by=by)
    skewed = is_skewed(d)
    test, p_value = _spoken(skewed, p_t, p_flip)
    return Gain(
        n=n,
        estimate=estimate,
        sd=0.0 if constant(d) else float(d.std(ddof=1)),
        ci_low=low,
        ci_high=high,
        test=test,
        p_value=p_value,
        p_t=p_t,
        p_sign_flip=p_flip,
        p_wilcoxon=sign_flip(signed_ranks(shifted), rng=rng),
        hedges_gz=hedges_gz(d),
        wins=wins(d, level=level),
        skew=skewness(d),
        skewed=skewed,
        status=_status(d, skewed, fewest_pairs(1 - level)),
    )


def t_test(
    values: Array, *, level: float, by: float = 0.0
) -> tuple[float | None, float | None, float | None]:
    """The t interval of a mean and the two-sided p of `by`; all None without variance or n < 2."""
    from scipy.special import stdtr

    if values.size < 2 or constant(values):
        return None, None, None
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    half = t_quantile(values.size - 1, level) * error
    p = 2 * float(stdtr(values.size - 1, -abs(mean - by) / error))
    return mean - half, mean + half, p


def signed_ranks(values: Array) -> Array:
    """(n,) ranks of the sizes with the values' signs; zeros rank nowhere, ties share."""
    from scipy.stats import rankdata

    ranks = np.zeros_like(values)
    ranks[values != 0] = rankdata(np.abs(values[values != 0]))
    return np.asarray(np.sign(values) * ranks, dtype=np.float64)


def _status(d: Array, skewed: bool, fewest: int) -> Status:
    if constant(d):
        return "degenerate_no_difference" if d[0] == 0 else "degenerate_zero_variance"
    if d.size < 3 or (skewed and d.size < fewest):
        return "insufficient_n"
    return "skewed" if skewed else "ok"


def _spoken(skewed: bool, p_t: float | None, p_flip: float) -> tuple[str, float]:
    """Which test speaks, and its p."""
    if p_t is None:
        return "sign-flip", p_flip
    if skewed:
        return "paired t and sign-flip", max(p_t, p_flip)
    return "paired t", p_t
