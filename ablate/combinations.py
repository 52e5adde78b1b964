"""The combinations that a finite space of nuisances holds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import product
from typing import Any

MAX_COMBINATIONS = 100_000
"""Largest space that is tried one by one; a grid is written out in memory."""


def points(entry: Mapping[str, Any]) -> Sequence[Any] | None:
    """All values of a nuisance; None where they are endless.

    Args:
        entry: `{choices}`, or `{low, high}` with `log` or `step`; two whole bounds without a step
            hold the whole numbers between them.
    """
    if "choices" in entry:
        return tuple(entry["choices"])
    low, high, step = entry["low"], entry["high"], entry.get("step")
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, int | None):
        return range(low, high + 1, step or 1)
    return None if step is None else multiples(low, high, step)


def size(space: Mapping[str, Mapping[str, Any]]) -> int | None:
    """How many combinations there are; None where they are endless."""
    lists = [points(entry) for entry in space.values()]
    known = [values for values in lists if values is not None]
    return math.prod(map(_length, known)) if len(known) == len(lists) else None


def _length(values: Sequence[Any]) -> int:
    """How many there are; `len` refuses a range with more than a machine's word can count."""
    if isinstance(values, range):
        return max(0, -((values.start - values.stop) // values.step))
    return len(values)


def combinations(space: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]] | None:
    """Every combination, names in order; None where they are endless or too many."""
    number = size(space)
    if number is None or number > MAX_COMBINATIONS:
        return None
    lists = [points(space[name]) or () for name in sorted(space)]
    return (dict(zip(sorted(space), point, strict=True)) for point in product(*lists))


def multiples(low: float, high: float, step: float) -> tuple[float, ...]:
    """In decimals, as people write them: 0.1, 0.2, 0.3."""
    start, stop, stride = (Decimal(str(value)) for value in (low, high, step))
    count = min(int((stop - start) / stride), MAX_COMBINATIONS) + 1
    return tuple(float(start + index * stride) for index in range(count))
