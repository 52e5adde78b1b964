"""Looking at results while seeds are still being added, without inflating errors.

Each planned look spends its share of the level; the shares sum to one, so the family-wise level
holds for any dependence between comparisons and any rule for stopping.
"""

from collections.abc import Sequence

DEFAULT_LOOKS = (5, 8, 12, 18, 30)


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


def sequential_p(p_values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """The smallest p / w over the looks so far, at most 1; None where no look had a test.

    Args:
        p_values: p of each look so far, from any test that is valid at fixed n.
        weights: of the planned looks; at least as many.
    """
    spent = [p / w for p, w in zip(p_values, weights, strict=False) if p is not None]
    return min(1.0, *spent) if spent else None


def look_level(level: float, weight: float) -> float:
    """Confidence of a fixed-n interval at a look, such that all looks together have `level`."""
    return 1 - (1 - level) * weight


def reached(looks: Sequence[int], num_seeds: int) -> tuple[int, ...]:
    """The planned looks that this many tried seeds allow."""
    return tuple(n for n in looks if n <= num_seeds)
