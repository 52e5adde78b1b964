"""The permutation test of two arms that share no seeds."""

import math
from itertools import combinations

import numpy as np

from ablate.stats.signflip import DRAWS
from ablate.stats.status import Array, vector

MOST_EXACT = 200_000
_TIE = 1e-9  # of the largest possible sum: sums that differ by less are equal


def permutation_p(treatment: Array, control: Array, *, rng: np.random.Generator) -> float | None:
    """The two-sided p value of equal means when every seed could as well be the other arm's.

    Exact over all ways to part the scores up to 200,000 of them, else over 9,999 random ones.

    Args:
        treatment: (n,) scores.
        control: (m,) scores.
        rng: used where the exact test is too large.

    Returns:
        p in (0, 1]; None without a seed on either side. It asks whether the arms are alike, so
        unequal spread can move it where n and m differ; Welch's test is the primary one.

    Raises:
        ValueError: a score is not finite.

    Source: Fisher 1935; p = (1 + b) / (B + 1) after Phipson and Smyth 2010.
    """
    t, c = vector(treatment, name="treatment"), vector(control, name="control")
    if min(t.size, c.size) == 0:
        return None
    pooled = np.concatenate([t, c])
    pooled = pooled - pooled.mean()
    scale = float(np.abs(pooled).sum())
    if scale == 0:
        return 1.0
    # With the pooled mean taken off, the gap is proportional to one side's sum.
    small = min(t.size, c.size)
    own = pooled[: t.size] if t.size == small else pooled[t.size :]
    threshold = abs(float(own.sum())) - _TIE * scale
    if math.comb(pooled.size, small) <= MOST_EXACT:
        index = np.array(list(combinations(range(pooled.size), small)))
        return float((np.abs(pooled[index].sum(axis=1)) >= threshold).mean())
    order = rng.random((DRAWS, pooled.size)).argpartition(small - 1, axis=1)[:, :small]
    found = int((np.abs(pooled[order].sum(axis=1)) >= threshold).sum())
    return (1 + found) / (DRAWS + 1)
