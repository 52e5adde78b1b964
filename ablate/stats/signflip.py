"""The sign-flip test: were treatment and control exchangeable at every seed?"""

import math
import sys
from functools import cache
from typing import Literal

import numpy as np

from ablate.stats.status import Array, vector

EXACT_UP_TO = 20
DRAWS = 9_999
_TIE = 1e-9  # sums that differ by less, relative to the largest possible sum, are equal

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
    if alternative == "two-sided" and threshold <= 0:
        return 1.0
    both = 2 if alternative == "two-sided" else 1  # the sums lie symmetrically about zero
    if sizes.size <= EXACT_UP_TO:
        return both * _share(sizes, threshold)
    found = _count(sizes, threshold, alternative, rng, draws)
    return (1 + found) / (draws + 1)


def smallest_p(n: int) -> float:
    """The smallest two-sided p that n pairs can give: .25 at 3, .0625 at 5, .031 at 6."""
    return 2.0 ** (1 - n) if n >= 1 else 1.0


def fewest_pairs(alpha: float, *, sides: int = 2) -> int:
    """The fewest pairs at which the test could reject at `alpha`: 6 at .05, 10 at .05 / 24.

    More than there can be where nothing may be spent.
    """
    if alpha <= 0:
        return sys.maxsize
    return max(1, math.ceil(math.log2(sides / alpha) - 1e-9))


def _share(sizes: Array, threshold: float) -> float:
    """The share of all 2^n sign patterns whose sum reaches the threshold.

    A sum is one of a sum over the first half and one over the second: for each of the first, the
    sorted second ones are counted that take it there.
    """
    half = sizes.size // 2
    first, second = _all_sums(sizes[:half]), np.sort(_all_sums(sizes[half:]))
    reached = second.size - np.searchsorted(second, threshold - first, side="left")
    return float(reached.sum()) / (first.size * second.size)


def _all_sums(sizes: Array) -> Array:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums


def _count(
    sizes: Array, threshold: float, alternative: Alternative, rng: np.random.Generator, draws: int
) -> int:
    """How many random sign patterns are as extreme; a byte draws the signs of eight values."""
    groups = -(-sizes.size // 8)
    padded = np.zeros((groups, 8))
    padded.ravel()[: sizes.size] = sizes
    sums_of = padded @ _signs_of_bytes().T
    sums = np.zeros(draws)
    for own in sums_of:
        sums += own[rng.integers(0, 256, size=draws, dtype=np.uint8)]
    return int(((np.abs(sums) if alternative == "two-sided" else sums) >= threshold).sum())


@cache
def _signs_of_bytes() -> Array:
    """(256, 8) the eight signs that a byte stands for."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return bits.astype(np.float64) * 2 - 1
