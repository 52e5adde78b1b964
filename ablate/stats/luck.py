"""The variance stage: where the luck of one cell comes from, and how to spend runs on it.

Its runs cross initialisations with data orders, each pair of them once or more. Runs that share
both differ by what no seed controls. The sums are `ablate.stats.allocation`'s.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ablate.frame import VARIANCE_STAGE
from ablate.stats.allocation import FEW_LEVELS, Allocation, Source, cheapest, luck
from ablate.stats.cells import REPORT_SPLITS
from ablate.stats.status import Array, Status

_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What a study wants of its runs.

    Attributes:
        error: standard error of a cell's mean, in the metric's unit; None for what `seeds` fresh
            seeds reach.
        seeds: that confirm each cell.
        initialisation_cost, order_cost: of each further one, in runs.
    """

    error: float | None = None
    seeds: int = 10
    initialisation_cost: float = 0.0
    order_cost: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How many runs reach the standard error if only some of the luck is drawn anew.

    Attributes:
        fresh: what each run has anew: `both`, `initialisation`, `order` or `repeat`.
        runs: how many; None where no number of them reaches it.
        floor: the standard error that remains however many there are.
    """

    fresh: str
    runs: int | None
    floor: float


@dataclass(frozen=True, kw_only=True)
class CellLuck:
    """What the variance stage found of one cell.

    Attributes:
        task, backbone, arm, label, metric, split: which cell, and what was scored.
        initialisations, orders, repeats: of the balanced design that was used.
        n: its runs.
        n_dropped: finished runs that are left out so that the design has no gaps.
        num_failed: runs that ended without a score.
        mean: of the runs used; None without a design.
        sources: of variance, in the metric's unit squared.
        sd: of a run with everything fresh; None where a source is unknown.
        identical_repeats: whether runs that share all seeds agree to the last bit; None where
            nothing was repeated.
        error: the standard error that is asked for.
        allocation: the cheapest runs that reach it; None where it is unknown or out of reach.
        mixes: what it takes if only some of the luck is drawn anew.
        status: `insufficient_n` where fewer than 5 initialisations or orders are left.
    """

    task: str
    backbone: str
    arm: str
    label: str
    metric: str
    split: str
    initialisations: int
    orders: int
    repeats: int
    n: int
    n_dropped: int
    num_failed: int
    mean: float | None = None
    sources: tuple[Source, ...] = ()
    sd: float | None = None
    identical_repeats: bool | None = None
    error: float | None = None
    allocation: Allocation | None = None
    mixes: tuple[Mix, ...] = ()
    status: Status = "insufficient_n"


def lucks(
    frame: pd.DataFrame, *, level: float, spending: Spending | None = None
) -> tuple[CellLuck, ...]:
    """Take the variance stage of every cell apart.

    Args:
        frame: a checked table; `seed` is the initialisation's and `order_seed` the order's.
        level: confidence of the intervals, in (0, 1).
        spending: what a mean is to be known to, and what runs cost.

    Returns:
        One entry for each cell with such runs, in order of appearance.
    """
    rows = frame[(frame["stage"] == VARIANCE_STAGE) & frame["primary"]]
    cells = rows.groupby(["task", "backbone", "arm"], sort=False)
    return tuple(_of_cell(part, level, spending or Spending()) for _, part in cells)


def _of_cell(rows: pd.DataFrame, level: float, spending: Spending) -> CellLuck:
    done = rows[(rows["status"] == "finished") & rows["score"].notna()]
    known = list(done["split"].unique())
    split = next((s for s in REPORT_SPLITS if s in known), known[0] if known else "")
    done = done[done["split"] == split]
    scores = balanced(done)
    about = rows.iloc[0]
    i, j, k = scores.shape
    base = {
        **{name: str(about[name]) for name in ("task", "backbone", "arm", "label", "metric")},
        "split": str(split),
        "initialisations": i,
        "orders": j,
        "repeats": k,
        "n": scores.size,
        "n_dropped": len(done) - scores.size,
        "num_failed": len(_trials(rows)) - len(_trials(done)),
    }
    if min(i, j) < 2:
        return CellLuck(**base)
    sources = luck(scores, level=level)
    same = None if k < 2 else bool((scores == scores[:, :, :1]).all())
    found = CellLuck(**base, mean=float(scores.mean()), sources=sources, identical_repeats=same)
    return _with_spending(found, spending)


def _trials(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates(["seed", "order_seed", "repeat"])


def balanced(done: pd.DataFrame) -> Array:
    """(initialisations, orders, repeats) scores: the largest design without gaps, greedily.

    While a pair has no run, the initialisation or order with the most of such gaps is left out;
    of each pair as many runs are used as the pair with the fewest has.

    Args:
        done: finished runs of one cell and split.
    """
    repeats: dict[tuple[int, int], list[float]] = {}
    ordered = done.sort_values(["seed", "order_seed", "repeat"])
    names = ["seed", "order_seed", "score"]
    for seed, order, score in ordered[names].itertuples(index=False, name=None):
        repeats.setdefault((int(seed), int(order)), []).append(float(score))
    starts, orders = (sorted({pair[axis] for pair in repeats}) for axis in (0, 1))
    while gaps := [(i, j) for i in starts for j in orders if (i, j) not in repeats]:
        worst = [_worst(gaps, axis, len(other)) for axis, other in ((0, orders), (1, starts))]
        if worst[0] >= worst[1]:
            starts.remove(worst[0][1])
        else:
            orders.remove(worst[1][1])
    fewest = min((len(repeats[i, j]) for i in starts for j in orders), default=0)
    cube = [[repeats[i, j][:fewest] for j in orders] for i in starts]
    return np.array(cube, dtype=np.float64).reshape(len(starts), len(orders), fewest)


def _worst(gaps: Sequence[tuple[int, int]], axis: int, size: int) -> tuple[float, int]:
    """The level with the largest share of gaps; of equals the last."""
    levels = [pair[axis] for pair in gaps]
    return max((levels.count(level) / size, level) for level in levels)


def _with_spending(found: CellLuck, spending: Spending) -> CellLuck:
    """What the sources say of how runs are best spent; nothing where one of them is unknown."""
    by_name = {source.name: source.variance for source in found.sources}
    if found.repeats < 2:
        # Both together: as if repeats would not average it out, which is the careful side.
        by_name |= {"initialisation:order": by_name["repeat"], "repeat": 0.0}
    known = [v for v in by_name.values() if v is not None]
    if len(known) < len(by_name):
        return found
    total = math.fsum(known)
    values: dict[str, Any] = {"sd": math.sqrt(total), "status": "ok"}
    if total > 0:
        error = spending.error or math.sqrt(total / spending.seeds)
        a, b, c, e = known
        allocation = cheapest(
            (a, b, c, e), error, initialisation_cost=spending.initialisation_cost,
            order_cost=spending.order_cost,
        )  # fmt: skip
        values |= {"error": error, "allocation": allocation, "mixes": mixes(by_name, error)}
    else:
        values["status"] = "degenerate_zero_variance"
    return CellLuck(**{**found.__dict__, **values})


def mixes(variances: Mapping[str, float | None], error: float) -> tuple[Mix, ...]:
    """The runs that each way to repeat takes to reach a standard error.

    Args:
        variances: of `initialisation`, `order`, `initialisation:order` and `repeat`.
        error: standard error, positive.

    Returns:
        One mix for each of what a run may have anew, the most first.

    Source: Var(mean) is the sum of what all runs share and, over their number, of what they do not.
    """
    a, b, c, e = (float(v or 0.0) for v in variances.values())
    shared = {"both": 0.0, "initialisation": b, "order": a, "repeat": a + b + c}
    total = a + b + c + e
    found = []
    for fresh, rest in shared.items():
        left = error**2 - rest
        own = total - rest
        able = left > 0 or (left == 0 and own == 0)
        runs = max(1, math.ceil(own / left * (1 - _ROUNDING))) if left > 0 else 1
        found.append(Mix(fresh=fresh, runs=runs if able else None, floor=math.sqrt(rest)))
    return tuple(found)


def enough_levels(initialisations: int, orders: int) -> bool:
    """Whether a design tells the variance of both, and not only an interval."""
    return min(initialisations, orders) >= FEW_LEVELS
