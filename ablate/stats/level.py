"""The level of one cell: mean, spread and interval over its seeds."""

import math
from dataclasses import dataclass

from ablate.stats.effect import clopper_pearson
from ablate.stats.grid import constant
from ablate.stats.status import Array, Status, vector


@dataclass(frozen=True)
class Level:
    """Summary of one cell, in the metric's own unit and direction.

    Attributes:
        n: seeds with a score.
        num_failed: seeds without one because the trial failed.
        mean: None without seeds.
        sd: ddof 1; None below 3 seeds.
        ci_low, ci_high: t interval of the mean; None below 3 seeds or without variance.
        low, high: range.
        failure_low, failure_high: Clopper-Pearson interval of the share of failed seeds.
        status: see `ablate.stats.status`.
    """

    n: int
    num_failed: int
    mean: float | None = None
    sd: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    low: float | None = None
    high: float | None = None
    failure_low: float | None = None
    failure_high: float | None = None
    status: Status = "insufficient_n"


def level_of(scores: Array, *, level: float, num_failed: int = 0) -> Level:
    """Summarise a cell.

    One seed gives its value alone; two give mean and range; from three on sd and interval.

    Args:
        scores: (seeds,) scores of finished trials.
        level: confidence of the intervals, in (0, 1).
        num_failed: trials that ended without a score.

    Returns:
        The summary; what cannot be said is None, never 0.

    Raises:
        ValueError: a score is not finite.

    Source: Student 1908; degenerate cases in statistics.md, section 3.
    """
    scores = vector(scores, name="scores")
    n, tried = scores.size, scores.size + num_failed
    fail_low, fail_high = clopper_pearson(num_failed, tried, level=level) if tried else (None, None)
    if n == 0:
        return Level(0, num_failed, failure_low=fail_low, failure_high=fail_high)
    mean, low, high = float(scores.mean()), float(scores.min()), float(scores.max())
    sd = None
    if constant(scores):
        mean, sd = low, 0.0 if n > 2 else None
    elif n > 2:
        sd = float(scores.std(ddof=1))
    ci_low, ci_high = t_interval(mean, sd, n, level=level)
    return Level(
        n=n,
        num_failed=num_failed,
        mean=mean,
        sd=sd,
        ci_low=ci_low,
        ci_high=ci_high,
        low=low,
        high=high,
        failure_low=fail_low,
        failure_high=fail_high,
        status=_status(n, constant(scores)),
    )


def t_interval(
    mean: float, sd: float | None, n: int, *, level: float
) -> tuple[float | None, float | None]:
    """The t interval of a mean over n seeds; None, None without a spread."""
    if not sd:
        return None, None
    half = t_quantile(n - 1, level) * sd / math.sqrt(n)
    return mean - half, mean + half


def t_quantile(df: float, level: float) -> float:
    """Half width, in standard errors, of a two-sided t interval at `level`."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.5 + level / 2))


def normal_quantile(level: float) -> float:
    """Half width, in standard errors, of a two-sided normal interval at `level`."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2))


def _status(n: int, is_constant: bool) -> Status:
    if n < 3:
        return "insufficient_n"
    return "degenerate_zero_variance" if is_constant else "ok"
