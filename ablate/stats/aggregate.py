"""All runs of an arm over several tasks in one number or one curve.

Seeds are shared by tasks and arms, so one draw of seeds serves them all: a resample holds as many
runs of each task as there were (stratified) and the same seeds for every arm (paired).
"""

from dataclasses import dataclass

import numpy as np

from ablate.stats.bootstrap import expanded_tails, resample
from ablate.stats.status import Array, Status

RESAMPLES = 1_999
_TRIMMED = 0.25
_FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Iqm:
    """The interquartile mean: of the middle half of all runs, in the scores' unit.

    Attributes:
        n: runs.
        num_seeds: they come from.
        estimate, low, high: expanded percentile interval over seeds; None below 3 seeds.
        status: see `ablate.stats.status`.
    """

    n: int
    num_seeds: int
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    status: Status = "insufficient_n"


def interquartile_mean(values: Array) -> float | None:
    """The mean of what is left when a quarter of the runs is cut off at each end.

    Args:
        values: any shape; NaN where a run is missing.

    Source: Agarwal et al. 2021, arXiv:2108.13264, section 4.3; as a 25 % trimmed mean.
    """
    ordered = np.sort(values[~np.isnan(values)])
    cut = int(_TRIMMED * ordered.size)
    return float(ordered[cut : ordered.size - cut].mean()) if ordered.size else None


def iqm(scores: Array, *, level: float, rng: np.random.Generator) -> tuple[Iqm, ...]:
    """The interquartile mean of every arm over all tasks.

    Args:
        scores: (arms, tasks, seeds) in one unit, NaN where missing.
        level: confidence of the intervals, in (0, 1).
        rng: for the bootstrap; the arms see the same resamples.

    Returns:
        One for each arm.

    Raises:
        ValueError: not three-dimensional.
    """
    if scores.ndim != 3:
        raise ValueError(f"expected (arms, tasks, seeds), but got shape {scores.shape}")
    seeds = scores.shape[2]
    counts = resample(seeds, rng=rng, resamples=RESAMPLES) if seeds else np.zeros((0, 0))
    return tuple(_arm(arm, counts, level) for arm in scores)


def _arm(scores: Array, counts: Array, level: float) -> Iqm:
    there = ~np.isnan(scores)
    n, seeds = int(there.sum()), int(there.any(axis=0).sum())
    estimate = interquartile_mean(scores)
    if estimate is None or seeds < _FEWEST_SEEDS:
        return Iqm(n, seeds, estimate)
    drawn = _resampled(scores, counts)
    low, high = np.quantile(drawn[~np.isnan(drawn)], expanded_tails(seeds, level))
    if low == high:
        return Iqm(n, seeds, estimate, status="degenerate_zero_variance")
    return Iqm(n, seeds, estimate, float(low), float(high), "ok")


def _resampled(scores: Array, counts: Array) -> Array:
    """(resamples,) interquartile means; a run weighs as often as its seed was drawn."""
    seed = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)[~np.isnan(scores)]
    values = scores[~np.isnan(scores)]
    order = np.argsort(values)
    upto = np.cumsum(counts[:, seed[order]], axis=1)
    size = upto[:, -1:]
    cut = np.floor(_TRIMMED * size)
    kept = np.diff(np.clip(upto, cut, size - cut), axis=1, prepend=cut)
    total = kept.sum(axis=1)
    sums = kept @ values[order]
    drawn = np.full(total.shape, np.nan)
    np.divide(sums, total, out=drawn, where=total > 0)
    return drawn


def profile(scores: Array, thresholds: Array) -> Array:
    """The share of an arm's runs above each threshold, averaged over tasks.

    Args:
        scores: (tasks, seeds) oriented so that higher is better, NaN where missing.
        thresholds: (m,).

    Returns:
        (m,) shares; NaN without runs.

    Source: Dolan and More 2002; score distributions of Agarwal et al. 2021, section 4.2.
    """
    rows = [row[~np.isnan(row)] for row in scores]
    shares = [(row[:, None] > thresholds).mean(axis=0) for row in rows if row.size]
    empty = np.full(thresholds.size, np.nan)
    return np.asarray(np.mean(shares, axis=0), dtype=np.float64) if shares else empty
