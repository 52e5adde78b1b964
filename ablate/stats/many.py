"""All arms of a backbone over all of its tasks: which are ahead, by ranks, runs and pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ablate.stats.aggregate import Iqm, iqm, profile
from ablate.stats.cells import Cell, Cells
from ablate.stats.components import Component, over_tasks
from ablate.stats.grid import constant
from ablate.stats.multiplicity import holm
from ablate.stats.onesample import mean_gain, t_test
from ablate.stats.ranking import Ranking, friedman
from ablate.stats.shape import is_skewed
from ablate.stats.status import Array, Status

THRESHOLDS = 21


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two arms by their means over tasks, seed by seed; positive favours the treatment.

    Attributes:
        treatment, control: arm ids.
        n: seeds that both arms finished on every task.
        estimate, ci_low, ci_high: in the tasks' unit.
        p_value, p_adjusted: two-sided; by Holm's method over all pairs.
        status: see `ablate.stats.status`.
    """

    treatment: str
    control: str
    n: int
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    status: Status = "insufficient_n"


@dataclass(frozen=True, kw_only=True)
class ArmOverTasks:
    """One arm over all tasks.

    Attributes:
        arm, label: as cells name it.
        mean_rank: over tasks by the mean over seeds, 1 is best; None where ranks are absent.
        iqm: interquartile mean of all runs; None where tasks disagree on which way is better.
        profile: share of runs above each threshold (below, where lower is better), over tasks.
    """

    arm: str
    label: str
    mean_rank: float | None
    iqm: Iqm | None
    profile: tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class OverTasks:
    """What all arms show over all tasks of a backbone. All of it is exploratory.

    Attributes:
        backbone, tasks: where.
        metric: that all tasks share, or `mixed`.
        direction: `higher`, `lower`, or `mixed`, where no score is averaged over tasks.
        arms: in order of appearance; those that have a result on every task.
        ranking: Friedman's test over tasks.
        thresholds: of the profiles, in the tasks' unit.
        pairs: every pair of arms, adjusted together.
        variance: where the scores' variance comes from.
    """

    backbone: str
    tasks: tuple[str, ...]
    metric: str
    direction: str
    arms: tuple[ArmOverTasks, ...]
    ranking: Ranking
    thresholds: tuple[float, ...]
    pairs: tuple[Pair, ...]
    variance: tuple[Component, ...]


def many(cells: Cells, *, level: float, rng: np.random.Generator) -> tuple[OverTasks, ...]:
    """Every backbone with two tasks and two arms that have a result on each of them.

    Args:
        cells: of a study.
        level: confidence of the intervals, in (0, 1).
        rng: for the bootstrap and for sign patterns beyond 20 seeds.
    """
    found = []
    for backbone in dict.fromkeys(key[1] for key in cells):
        here = [cell for key, cell in cells.items() if key[1] == backbone and cell.scores]
        tasks = tuple(dict.fromkeys(cell.task for cell in here))
        by_arm = {
            arm: {c.task: c for c in here if c.arm == arm} for arm in {c.arm: 0 for c in here}
        }
        whole = {arm: own for arm, own in by_arm.items() if len(own) == len(tasks)}
        if min(len(tasks), len(whole)) > 1:
            rows = [[own[task] for task in tasks] for own in whole.values()]
            found.append(_over_tasks(backbone, tasks, rows, level, rng))
    return tuple(found)


def _over_tasks(
    backbone: str,
    tasks: tuple[str, ...],
    rows: Sequence[Sequence[Cell]],
    level: float,
    rng: np.random.Generator,
) -> OverTasks:
    scores = _matrix(rows)
    signs = np.array([-1.0 if cell.lower_is_better else 1.0 for cell in rows[0]])
    oriented = scores * signs[None, :, None]
    ranking = friedman(np.nanmean(oriented, axis=2).T, level=level)
    one_way = len(set(signs)) == 1
    means = iqm(scores, level=level, rng=rng) if one_way else None
    thresholds = np.linspace(np.nanmin(oriented), np.nanmax(oriented), THRESHOLDS)
    names = [row[0].arm for row in rows]
    arms = [
        ArmOverTasks(
            arm=names[i],
            label=row[0].label,
            mean_rank=ranking.mean_ranks[i],
            iqm=None if means is None else means[i],
            profile=tuple(map(float, profile(oriented[i], thresholds))) if one_way else None,
        )
        for i, row in enumerate(rows)
    ]
    metrics = {str(cell.metric) for cell in rows[0]}
    way = "lower" if signs[0] < 0 else "higher"
    return OverTasks(
        backbone=backbone,
        tasks=tasks,
        metric=metrics.pop() if len(metrics) == 1 else "mixed",
        direction=way if one_way else "mixed",
        arms=tuple(arms),
        ranking=ranking,
        thresholds=tuple(float(t) for t in thresholds * signs[0]) if one_way else (),
        pairs=pairs(names, oriented.mean(axis=1), level=level, rng=rng) if one_way else (),
        variance=over_tasks(scores, backbone=backbone) if one_way else (),
    )


def _matrix(rows: Sequence[Sequence[Cell]]) -> Array:
    """(arms, tasks, seeds) scores in the metrics' own direction, NaN where missing."""
    seeds = sorted(set().union(*(cell.scores for row in rows for cell in row)))
    nested = [[[cell.scores.get(seed, np.nan) for seed in seeds] for cell in row] for row in rows]
    return np.array(nested, dtype=np.float64)


def pairs(
    names: Sequence[str], means: Array, *, level: float, rng: np.random.Generator
) -> tuple[Pair, ...]:
    """Every pair of arms by the seed-clustered t test, adjusted together by Holm's method.

    Args:
        names: (arms,) ids.
        means: (arms, seeds) mean over tasks, higher is better, NaN where a task is missing.
        level: confidence of the intervals, in (0, 1).
        rng: for sign patterns beyond 20 seeds.

    Returns:
        One record a pair; the arm with the higher mean over its own seeds is the treatment.
    """
    order = np.argsort([-np.nanmean(row) if (~np.isnan(row)).any() else np.inf for row in means],
                       kind="stable")  # fmt: skip
    made = [
        _pair(names[i], names[j], means[i] - means[j], level, rng)
        for i, j in combinations(order, 2)
    ]
    adjusted = holm([p for _, p in made])
    return tuple(
        Pair(**fields, p_value=p, p_adjusted=q)
        for (fields, p), q in zip(made, adjusted, strict=True)
    )


def _pair(
    treatment: str, control: str, gaps: Array, level: float, rng: np.random.Generator
) -> tuple[dict[str, Any], float | None]:
    d = gaps[~np.isnan(gaps)]
    fields: dict[str, Any] = {"treatment": treatment, "control": control, "n": d.size}
    if d.size < 3 or constant(d) or is_skewed(d):
        gain = mean_gain(d, level=level, rng=rng)
        return {**fields, "estimate": gain.estimate, "ci_low": gain.ci_low,
                "ci_high": gain.ci_high, "status": gain.status}, gain.p_value  # fmt: skip
    low, high, p = t_test(d, level=level)
    return {**fields, "estimate": float(d.mean()), "ci_low": low, "ci_high": high,
            "status": "ok"}, p  # fmt: skip
