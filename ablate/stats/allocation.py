"""Where luck comes from inside one cell, and how to spend runs on it.

In an explicit design each initialisation meets each data order, some of them more than once. It
separates the luck of the start, of the order, of the two together, and what differs between runs
that share both: non-determinism.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ablate.stats import mean_squares
from ablate.stats.mean_squares import MeanSquare, mean_square
from ablate.stats.status import Array, Status

FEW_LEVELS = 5


@dataclass(frozen=True)
class Source:
    """One source of luck.

    Attributes:
        name: `initialisation`, `order`, `initialisation:order` or `repeat`.
        levels: it was estimated from.
        variance: in the scores' unit squared, negative estimates as 0; None below 5 levels of
            initialisation or order, where only the interval is told.
        low, high: interval of the variance.
        clipped: a negative estimate was set to 0.
        status: see `ablate.stats.status`.
    """

    name: str
    levels: int
    variance: float | None
    low: float | None
    high: float | None
    clipped: bool = False
    status: Status = "ok"


@dataclass(frozen=True)
class Allocation:
    """How many runs of which kind.

    Attributes:
        num_initialisations, num_orders, num_repeats: each initialisation meets each order, or, in
            a `paired` design, each run has an initialisation and an order of its own.
        paired: whether it is of that kind; then the numbers of both are equal.
        cost: in the unit of the costs given.
        error: standard error of the cell's mean that it reaches.
    """

    num_initialisations: int
    num_orders: int
    num_repeats: int
    paired: bool
    cost: float
    error: float


def luck(scores: Array, *, level: float) -> tuple[Source, Source, Source, Source]:
    """Components of a crossed design of initialisations and data orders with repeats.

    Args:
        scores: (initialisations, orders, repeats) without gaps; two or more of each of the first
            two. With a single repeat the interaction and non-determinism cannot be told apart:
            both together are under `repeat`, and the interaction is absent.
        level: confidence of the intervals, in (0, 1).

    Returns:
        Sources of initialisation, order, their interaction, and repeats.

    Raises:
        ValueError: another shape, or a score is not finite.

    Source: Searle, Casella and McCulloch 1992, section 4.5 (expected mean squares of the two-way
        random model).
    """
    if scores.ndim != 3 or min(scores.shape[:2], default=0) < 2 or scores.shape[2] < 1:
        raise ValueError(f"expected (initialisations, orders, repeats), got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite: repeat failed runs")
    i, j, k = scores.shape
    mean, cells = float(scores.mean()), scores.mean(axis=2)
    rows, columns = cells.mean(axis=1) - mean, cells.mean(axis=0) - mean
    both = cells - mean - rows[:, None] - columns[None, :]
    first, second = mean_square(rows, i - 1, j * k), mean_square(columns, j - 1, i * k)
    inter = mean_square(both, (i - 1) * (j - 1), k)
    rest = mean_square(scores - cells[:, :, None], i * j * (k - 1), 1) if k > 1 else inter
    joint = Source("initialisation:order", i * j, None, None, None, status="insufficient_n")
    if k > 1:
        joint = _of_difference(joint.name, i * j, inter, rest, k, level)
    repeats = mean_squares.plain(rest, level=level)
    return (
        _of_difference("initialisation", i, first, inter, j * k, level),
        _of_difference("order", j, second, inter, i * k, level),
        joint,
        Source("repeat", scores.size, repeats.variance, repeats.low, repeats.high),
    )


def _of_difference(
    name: str, levels: int, upper: MeanSquare, lower: MeanSquare, repeats: int, level: float
) -> Source:
    if upper.value == 0 and lower.value == 0:
        return Source(name, levels, 0.0, None, None, status="degenerate_zero_variance")
    made = mean_squares.difference(upper, lower, repeats, level=level)
    few = levels < FEW_LEVELS
    return Source(
        name,
        levels,
        None if few else max(made.variance, 0.0),
        made.low,
        made.high,
        made.variance < 0,
        "insufficient_n" if few else "ok",
    )


def cheapest(
    variances: tuple[float, float, float, float],
    target: float,
    *,
    initialisation_cost: float = 0.0,
    order_cost: float = 0.0,
    run_cost: float = 1.0,
    most: int = 500,
) -> Allocation | None:
    """The cheapest runs whose mean has a standard error of at most `target`.

    Args:
        variances: of initialisation, order, their interaction and repeats.
        target: standard error, in the scores' unit, positive.
        initialisation_cost, order_cost: of each further one, beside its runs.
        run_cost: of a run, positive.
        most: initialisations or orders that are tried.

    Returns:
        The allocation, paired where that costs no more; None where `most` does not suffice.

    Raises:
        ValueError: a negative variance or cost, or a target that is not positive.

    Source: Var(mean) = a / I + b / J + c / IJ + e / IJK, and (a + b + c + e / K) / I where each
        initialisation has an order of its own (Searle et al. 1992).
    """
    costs = (initialisation_cost, order_cost, run_cost)
    if min(*variances, *costs) < 0 or run_cost == 0 or not target > 0:
        raise ValueError(f"expected variances and costs from 0 and a target above it: {target=}")
    own = np.arange(1.0, most + 1)
    first, second, joint, repeat = variances
    paired = _least(own, own, (first + second + joint) / own, repeat / own, target, costs, own)
    i, j = own[:, None], own[None, :]
    shared = first / i + second / j + joint / (i * j)
    crossed = _least(i, j, shared, repeat / (i * j), target, costs, i * j)
    found = [replace(one, paired=mark) for one, mark in ((paired, True), (crossed, False)) if one]
    return min(found, key=lambda one: (one.cost, not one.paired), default=None)


def _least(
    initialisations: Array,
    orders: Array,
    shared: Array,
    repeat: Array,
    target: float,
    costs: tuple[float, float, float],
    pairs: Array,
) -> Allocation | None:
    """The cheapest of many designs, each with as few repeats as reach the target."""
    left = target**2 - shared
    able = (left > 0) | ((left == 0) & (repeat == 0))
    ratio = np.divide(repeat, left, out=np.zeros(left.shape), where=left > 0)
    repeats = np.maximum(1.0, np.ceil(ratio - 1e-9))
    cost = initialisations * costs[0] + orders * costs[1] + pairs * repeats * costs[2]
    if not able.any():
        return None
    best = np.unravel_index(np.where(able, cost, np.inf).argmin(), left.shape)
    shape = left.shape
    i, j = (np.broadcast_to(each, shape)[best] for each in (initialisations, orders))
    error = math.sqrt(float(shared[best]) + float(np.broadcast_to(repeat, shape)[best]) /
                      float(repeats[best]))  # fmt: skip
    return Allocation(int(i), int(j), int(repeats[best]), False, float(cost[best]), error)
