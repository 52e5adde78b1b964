"""The sign-flip test: were treatment and control exchangeable at every seed?"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ablate.stats.status import Array, vector

EXACT_UP_TO = 20
DRAWS = 9_999
_TIE = 1e-9  # sums that differ by less, relative to the largest possible sum, are equal
_CHUNK = 1_000_000

Alternative = Literal["two-sided", "greater"]


def sign_flip(
    values: Array,
    *,
    rng: np.random.Generator,
    alternative: Alternative = "two-sided",
    draws: int = DRAWS,
) -> float:
    """The p value of a mean of zero when each value could as well have had the other sign.

    Exact over all 2^n sign patterns up to 20 values that are not zero, else over random ones.

    Args:
        values: (n,) paired differences.
        rng: used beyond 20 values only.
        alternative: `greater` asks for a mean above zero.
        draws: random sign patterns, at least 9,999.

    Returns:
        p in (0, 1]; 1 when every value is zero. At its smallest 2 / 2^n two-sided.

    Raises:
        ValueError: no values, a value that is not finite, or too few draws.

    Source: Fisher 1935, section 21; p = (1 + b) / (B + 1) after Phipson and Smyth 2010.
    """
    values = vector(values, name="values")
    if values.size == 0:
        raise ValueError("values must not be empty")
    if draws < DRAWS:
        raise ValueError(f"draws must be at least {DRAWS}, but got {draws=}")
    sizes = np.abs(values[values != 0])
    if sizes.size == 0:
        return 1.0
    sizes = sizes / sizes.max()
    observed = float((np.sign(values[values != 0]) * sizes).sum())
    observed = abs(observed) if alternative == "two-sided" else observed
    threshold = observed - _TIE * float(sizes.sum())
    if sizes.size <= EXACT_UP_TO:
        return float(np.mean(_extreme(_all_sums(sizes), threshold, alternative)))
    return (1 + _count(sizes, threshold, alternative, rng, draws)) / (draws + 1)


def smallest_p(n: int) -> float:
    """The smallest two-sided p that n pairs can give: .25 at 3, .0625 at 5, .031 at 6."""
    return 2.0 ** (1 - n) if n >= 1 else 1.0


def _all_sums(sizes: Array) -> Array:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums


def _extreme(sums: Array, threshold: float, alternative: Alternative) -> NDArray[np.bool_]:
    return (np.abs(sums) if alternative == "two-sided" else sums) >= threshold


def _count(
    sizes: Array, threshold: float, alternative: Alternative, rng: np.random.Generator, draws: int
) -> int:
    rows = max(1, _CHUNK // sizes.size)
    found = 0
    for start in range(0, draws, rows):
        shape = (min(rows, draws - start), sizes.size)
        signs = rng.integers(0, 2, size=shape, dtype=np.int8) * 2 - 1
        found += int(_extreme(signs @ sizes, threshold, alternative).sum())
    return found
