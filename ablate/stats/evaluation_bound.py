"""What the examples of the evaluation set alone allow, where a score is a share of them.

Luck of the seed comes on top and is not in here. The variance that examples give the mean of any
number of seeds is at most that of one draw an example, p (1 - p) / n, so these intervals are
bounds; that of a difference of two arms holds where the arms do not err on different examples more
often than by chance.
"""

import math
from dataclasses import dataclass

from ablate.stats.level import normal_quantile

_TOLERANCE = 1e-3  # a step that was typed by hand is rounded


@dataclass(frozen=True)
class ExampleNoise:
    """An interval from the number of examples alone.

    Attributes:
        num_examples: of the evaluation set.
        low, high: in the score's own unit; of a difference, oriented as its estimate.
    """

    num_examples: int
    low: float
    high: float


def scale_of(step: float | None, num_examples: int | None) -> float | None:
    """What a perfect score is, 1 or 100, where scores are shares of the examples; else None."""
    if not step or not num_examples:
        return None
    whole = step * num_examples
    return next((s for s in (1.0, 100.0) if math.isclose(whole, s, rel_tol=_TOLERANCE)), None)


def share(
    score: float | None, num_examples: int | None, scale: float | None, *, level: float
) -> ExampleNoise | None:
    """The interval of a score that is a share of examples.

    Args:
        score: of one seed, or the mean of several, from 0 to `scale`.
        num_examples: of the evaluation set.
        scale: of a perfect score; None where scores are no shares.
        level: confidence, in (0, 1).

    Returns:
        The interval; None where the score is no share or is missing.

    Source: Wilson 1927.
    """
    if score is None or not num_examples or not scale or not 0 <= score <= scale:
        return None
    low, high = _wilson(score / scale, num_examples, level)
    return ExampleNoise(num_examples, scale * low, scale * high)


def difference(
    treatment: float, control: float, num_examples: int, scale: float, *, level: float
) -> ExampleNoise | None:
    """The interval of treatment minus control, both shares of equally many examples.

    Args:
        treatment, control: scores from 0 to `scale`.
        num_examples: of the evaluation set.
        scale: of a perfect score.
        level: confidence, in (0, 1).

    Returns:
        The interval; None where a score is no share.

    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10.
    """
    if not (0 <= treatment <= scale and 0 <= control <= scale):
        return None
    a, b = treatment / scale, control / scale
    (a_low, a_high), (b_low, b_high) = (_wilson(p, num_examples, level) for p in (a, b))
    low = a - b - math.hypot(a - a_low, b_high - b)
    high = a - b + math.hypot(a_high - a, b - b_low)
    return ExampleNoise(num_examples, scale * low, scale * high)


def _wilson(p: float, n: int, level: float) -> tuple[float, float]:
    z = normal_quantile(level)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
