"""Looking at results while seeds are still being added, without inflating errors.

Each planned look spends its share of the level; the shares sum to one, so the family-wise level
holds for any dependence between comparisons and any rule for stopping.
"""

import math
from collections.abc import Sequence

DEFAULT_LOOKS = (5, 8, 12, 18, 30)
SKEWED_FROM = 8
"""Skewed differences are not tested at a look of fewer seeds."""


def look_weights(looks: Sequence[int]) -> tuple[float, ...]:
    """The share of the level that each look spends: w_k = (n_k / n_K)^2 - (n_{k-1} / n_K)^2.

    Args:
        looks: seed counts, ascending, fixed before the first result.

    Returns:
        As many weights, summing to one.

    Raises:
        ValueError: no looks, or not ascending from 2.
    """
    if not looks or looks[0] < 2 or list(looks) != sorted(set(looks)):
        raise ValueError(f"looks must ascend from 2 or more, but got {tuple(looks)}")
    squares = [(n / looks[-1]) ** 2 for n in looks]
    return tuple(b - a for a, b in zip([0.0, *squares], squares, strict=False))


def weights_of(kind: str, looks: Sequence[int]) -> tuple[float, ...]:
    """As `look_weights`; a question of spread is tested at the last look alone.

    Where seeds were added until means were decided, the sd at stopping is biased low.
    """
    if kind == "variance":
        return (*[0.0] * (len(looks) - 1), 1.0)
    return look_weights(looks)


def sequential_p(p_values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """The smallest p / w over the looks so far, at most 1; None where no look had a test.

    Args:
        p_values: p of each look so far, from any test that is valid at fixed n.
        weights: of the planned looks; at least as many.
    """
    spent = [p / w for p, w in zip(p_values, weights, strict=False) if p is not None and w > 0]
    return min(1.0, *spent) if spent else None


def look_level(level: float, weight: float) -> float:
    """Confidence of a fixed-n interval at a look, such that all looks together have `level`."""
    return 1 - (1 - level) * weight


def conditional_power(n: int, final: int, effect: float, *, alpha: float, by: float = 0.0) -> float:
    """The chance that a two-sided test rejects a mean of `by` at the last look.

    The seeds to come are taken to lie one standard error further away from `by` than those seen:
    who stops for want of power even so gives little away.

    Args:
        n: seeds so far.
        final: seeds at the last look.
        effect: mean difference so far, in sds of the difference.
        alpha: level that the last look may spend.
        by: the mean under the null hypothesis, in the same unit.

    Source: Lachin 2005, for a normal mean; the sd is taken to stay.
    """
    gap = abs(effect - by)
    centre, spread = _final_mean(n, final, gap, gap + 1 / math.sqrt(n))
    return _normal((centre - _critical(final, 1 - alpha / 2)) / spread)


def conditional_equivalence(
    n: int, final: int, effect: float, margin: float, *, alpha: float
) -> float:
    """The chance that TOST finds the mean within the margin at the last look.

    As `conditional_power`, but the seeds to come lie one standard error closer to zero.
    """
    size = abs(effect)
    centre, spread = _final_mean(n, final, size, max(0.0, size - 1 / math.sqrt(n)))
    inner = margin * math.sqrt(final) - _critical(final, 1 - alpha)
    return max(0.0, _normal((inner - centre) / spread) - _normal((-inner - centre) / spread))


def _final_mean(n: int, final: int, seen: float, coming: float) -> tuple[float, float]:
    """Centre and sd of the mean at the last look, in its standard errors."""
    share = n / final
    return math.sqrt(final) * (share * seen + (1 - share) * coming), math.sqrt(1 - share)


def _critical(n: int, probability: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, probability))


def _normal(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


def reached(looks: Sequence[int], num_seeds: int) -> tuple[int, ...]:
    """The planned looks that this many tried seeds allow."""
    return tuple(n for n in looks if n <= num_seeds)
