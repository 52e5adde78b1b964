"""Resampling seeds with replacement: what a statistic would have been with other seeds.

A resample is kept as how often it holds each seed, so that moments of many resamples are one
matrix product.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from ablate.stats.grid import constant
from ablate.stats.status import Array, Status, vector

RESAMPLES = 9_999
_KEPT = 4  # numbers of seeds whose resamples are held in memory
BCA_FROM = 20  # below, a BCa interval covers 71 % at 3 seeds and 81 % at 5


class Statistic(Protocol):
    """A statistic of many samples at once."""

    def __call__(self, samples: Array) -> Array:
        """(..., n) samples in, (...) values out."""


@dataclass(frozen=True)
class Interval:
    """An interval of a statistic, in its own unit.

    Attributes:
        n: values it rests on.
        estimate: of the sample itself.
        low, high: None where the status says why.
        status: `insufficient_n` below 20 values, `degenerate_zero_variance` for constant ones.
    """

    n: int
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    status: Status = "insufficient_n"


def resample(n: int, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> Array:
    """How often each of `resamples` samples with replacement holds each of n seeds.

    Returns:
        (resamples, n) counts; a row sums to n.

    Source: Efron 1979.
    """
    drawn = rng.integers(0, n, size=(resamples, n))
    drawn += n * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * n)
    return counts.reshape(resamples, n).astype(np.float64)


class Resamples:
    """Resamples of n shared seeds, drawn once for each n: all findings see the same ones.

    Attributes:
        draw: a generator for n seeds; the same one for the same n.
    """

    def __init__(self, draw: Callable[[int], np.random.Generator]) -> None:
        self.draw = draw
        self._known = lru_cache(maxsize=_KEPT)(lambda n: resample(n, rng=draw(n)))

    def __call__(self, n: int) -> Array:
        """(resamples, n) counts."""
        return self._known(n)


def resampled_sds(arms: Sequence[Array], counts: Array) -> list[Array]:
    """(resamples,) sds, ddof 1, of each of several (n,) arms in resamples given by counts."""
    centred = [values - values.mean() for values in arms]
    n = centred[0].size
    moments = counts @ np.stack([*centred, *(values**2 for values in centred)], axis=1)
    first, second = np.split(moments, 2, axis=1)
    return list(np.sqrt(np.maximum(second - first**2 / n, 0.0) / (n - 1)).T)


def expanded_tails(n: int, level: float) -> tuple[float, float]:
    """The percentiles of a bootstrap over n seeds that make an interval of the wanted level.

    They lie further out than (1 - level) / 2: resamples of few seeds vary too little, by the
    factor sqrt((n - 1) / n), and what the sd is estimated from asks for t in place of z.

    Source: Hesterberg 2015, arXiv:1411.5279, section 5.2.
    """
    from scipy.special import ndtr, stdtrit

    reach = float(stdtrit(n - 1, 0.5 + level / 2)) * math.sqrt(n / (n - 1))
    outside = float(ndtr(-reach))
    return outside, 1 - outside


def bca(
    values: Array,
    *,
    level: float,
    rng: np.random.Generator,
    statistic: Statistic | None = None,
    counts: Array | None = None,
) -> Interval:
    """The bias-corrected and accelerated bootstrap interval.

    Args:
        values: (n,) scores or differences.
        level: confidence, in (0, 1).
        rng: for the resamples.
        statistic: of a sample; the mean when None.
        counts: (resamples, n) drawn beforehand, for the mean.

    Returns:
        The interval, in the statistic's unit; absent below 20 values, where it covers too little.

    Raises:
        ValueError: a value is not finite.

    Source: Efron 1987; acceleration from the jackknife (Efron and Tibshirani 1993, eq. 14.15).
    """
    from scipy.special import ndtr, ndtri

    x = vector(values, name="values")
    n = x.size
    if n == 0:
        return Interval(0)
    estimate = float(x.mean() if statistic is None else statistic(x))
    if n < BCA_FROM:
        return Interval(n, estimate)
    if constant(x):
        return Interval(n, estimate, status="degenerate_zero_variance")
    if statistic is None:
        counts = resample(n, rng=rng) if counts is None else counts
        drawn, without = estimate + counts @ (x - estimate) / n, (x.sum() - x) / (n - 1)
    else:
        drawn = statistic(x[rng.integers(0, n, size=(RESAMPLES, n))])
        without = statistic(x[(np.arange(n)[:, None] + 1 + np.arange(n - 1)) % n])
    drawn.sort()
    below = (np.searchsorted(drawn, estimate) + np.searchsorted(drawn, estimate, "right")) / 2
    least = 1 / (drawn.size + 1)
    shift = ndtri(np.clip(below / drawn.size, least, 1 - least))
    gaps = without.mean() - without
    scale = 6 * float((gaps**2).sum()) ** 1.5
    acceleration = float((gaps**3).sum()) / scale if scale > 0 else 0.0
    z = ndtri(np.array([(1 - level) / 2, (1 + level) / 2])) + shift
    low, high = np.quantile(drawn, ndtr(shift + z / (1 - acceleration * z)))
    return Interval(n, estimate, float(low), float(high), "ok")
