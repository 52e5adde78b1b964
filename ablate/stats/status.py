"""How far a number can be trusted, in one word (statistics.md, section 3).

| status | meaning |
|---|---|
| `ok` | nothing stands against it |
| `insufficient_n` | too few seeds for this statistic ever to speak |
| `degenerate_zero_variance` | constant values: no t test; the sign-flip test speaks |
| `degenerate_no_difference` | the two sides are identical |
| `nan_present` | a finished trial has no number for a score; it was left out |
| `not_robust` | another verdict once failed trials count as the worst rank |
| `skewed` | lopsided or two-clustered: t and sign-flip must both reject |
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Status = Literal[
    "ok",
    "insufficient_n",
    "degenerate_zero_variance",
    "degenerate_no_difference",
    "nan_present",
    "not_robust",
    "skewed",
]

_GRAVEST_FIRST: tuple[Status, ...] = (
    "not_robust",
    "nan_present",
    "insufficient_n",
    "degenerate_no_difference",
    "degenerate_zero_variance",
    "skewed",
    "ok",
)


def gravest(*statuses: Status) -> Status:
    """The one status to show where several apply."""
    return min(statuses, key=_GRAVEST_FIRST.index)


def vector(values: object, *, name: str) -> Array:
    """Values as a (n,) float array.

    Raises:
        ValueError: another shape, or a value that is not finite (missing is missing: leave it out).
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, but has shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite: leave failed and missing trials out")
    return array
