"""Many comparisons at once: Holm for what was registered, Benjamini-Hochberg for screening."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Adjusted = tuple[float | None, ...]


def holm(p_values: Sequence[float | None]) -> Adjusted:
    """Adjusted p values that hold the chance of any false rejection.

    Args:
        p_values: (m,); None or NaN for a comparison that could not be made. It stays in the
            family, where it counts and is never rejected.

    Returns:
        (m,) adjusted p values in the given order; None where there was none.

    Raises:
        ValueError: a p value outside [0, 1].

    Source: Holm 1979.
    """
    p, present = _parse(p_values)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return _restore(steps, order, present)


def benjamini_hochberg(p_values: Sequence[float | None]) -> Adjusted:
    """Adjusted p values that hold the expected share of false rejections.

    Args, Returns and Raises as `holm`.

    Source: Benjamini and Hochberg 1995.
    """
    p, present = _parse(p_values)
    order = np.argsort(p, kind="stable")
    steps = p[order] * p.size / np.arange(1, p.size + 1)
    return _restore(np.minimum.accumulate(steps[::-1])[::-1], order, present)


def adjust(p_values: Sequence[float | None], *, confirmatory: bool) -> Adjusted:
    """Holm's method for what was registered beforehand, else Benjamini and Hochberg's."""
    return holm(p_values) if confirmatory else benjamini_hochberg(p_values)


def adjustment(*, confirmatory: bool) -> str:
    """The name of what `adjust` does."""
    return "holm" if confirmatory else "benjamini-hochberg"


def _parse(p_values: Sequence[float | None]) -> tuple[NDArray[np.float64], list[bool]]:
    present = [p is not None and not math.isnan(p) for p in p_values]
    p = np.array([p if ok else 1.0 for p, ok in zip(p_values, present, strict=True)], dtype=float)
    if ((p < 0) | (p > 1)).any():
        raise ValueError("p values must be between 0 and 1 inclusive")
    return p, present


def _restore(
    steps: NDArray[np.float64],
    order: NDArray[np.intp],
    present: list[bool],
) -> Adjusted:
    adjusted = np.empty_like(steps)
    adjusted[order] = np.minimum(steps, 1.0)
    return tuple(float(p) if ok else None for p, ok in zip(adjusted, present, strict=True))
