"""Differences of scores, rounded to where the scores can lie, so that equal means equal."""

import numpy as np

from ablate.stats.status import Array

_SMALLEST = 1e-150
_DIGITS = 12  # of a double's 15 to 17; the rest is noise of the subtraction


def differences(treatment: Array, control: Array, *, step: float | None) -> Array:
    """Treatment minus control, seed by seed.

    Args:
        treatment, control: (seeds,) scores, aligned by seed.
        step: distance of neighbouring scores, in the scores' unit (1/277 for accuracy over 277
            examples); None where scores lie on no grid, and then only float noise is rounded off.

    Returns:
        (seeds,) differences; those that are equal on the grid are equal to the last bit.

    Raises:
        ValueError: shapes differ, or `step` is not positive.
    """
    if treatment.shape != control.shape:
        raise ValueError(f"shapes differ: {treatment.shape} and {control.shape}")
    if step is not None and not step > 0:
        raise ValueError(f"step must be positive, but got {step=}")
    raw = treatment - control
    if raw.size == 0:
        return raw
    if step is not None:
        return np.asarray(np.round(raw / step) * step + 0.0, dtype=np.float64)
    largest = float(np.maximum(np.abs(treatment), np.abs(control)).max())
    if largest == 0:
        return raw
    unit = 10.0 ** (np.floor(np.log10(largest)) + 1 - _DIGITS)
    return np.asarray(np.round(raw / unit) * unit + 0.0, dtype=np.float64)


def constant(values: Array) -> bool:
    """Whether all values are the same, or too close for a square of their distance to exist."""
    return values.size > 0 and float(values.max() - values.min()) < _SMALLEST
