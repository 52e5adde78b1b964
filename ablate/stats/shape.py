"""Are values lopsided or in two clusters, as when one arm collapses at rare seeds?"""

import numpy as np

from ablate.stats.grid import constant
from ablate.stats.status import Array

SKEW_LIMIT = 1.0
CLUSTERS_FROM = 8
CLUSTER_GAP = 5.0  # within-cluster sds; under 2 % of normal samples of 8 or more reach it


def skewness(values: Array) -> float | None:
    """The third standardised moment (Fisher-Pearson g1); None below 3 values or constant."""
    if values.size < 3 or constant(values):
        return None
    centred = values - values.mean()
    scale = float(np.abs(centred).max())
    centred = centred / scale
    return float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)


def lower_cluster(values: Array) -> int:
    """How many values form a cluster well below the rest; 0 where there is one cluster.

    Two clusters: the widest gap exceeds five times the pooled sd within its two sides.
    """
    if values.size < CLUSTERS_FROM or constant(values):
        return 0
    ordered = np.sort(values)
    gaps = np.diff(ordered)
    cut = int(gaps.argmax()) + 1
    inside = [part - part.mean() for part in (ordered[:cut], ordered[cut:])]
    spread = float(np.sqrt(sum(float((part**2).sum()) for part in inside) / (values.size - 2)))
    return cut if 0 < CLUSTER_GAP * spread < float(gaps[cut - 1]) else 0


def collapsed(values: Array) -> int:
    """How many values lie in a cluster well below the majority."""
    below = lower_cluster(values)
    return below if 2 * below <= values.size else 0


def is_skewed(values: Array) -> bool:
    """Whether a test of the mean alone is not to be trusted at small levels."""
    skew = skewness(values)
    return (skew is not None and abs(skew) > SKEW_LIMIT) or lower_cluster(values) > 0
