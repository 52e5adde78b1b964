"""Where does variance come from: arms, tasks, seeds, or what is left?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ablate.stats.cells import Cells
from ablate.stats.mean_squares import Estimate, MeanSquare, difference, mean_square, plain
from ablate.stats.reml import reml
from ablate.stats.status import Array, Status

FEW_LEVELS = 5
LEVEL = 0.95

Method = Literal["ems", "reml"]
_Parts = tuple[int, int | None, Estimate]
_Codes = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Component:
    """One source of variance.

    Attributes:
        task, backbone: where; scores of all their arms. The task is None over several tasks.
        source: `arm`; `task`; `arm_by_task` (an arm's own luck on a task); `seed` (luck that all
            arms share); `residual` (luck of one arm at one seed, and non-determinism).
        levels: how many arms, tasks, seeds or values it is estimated from.
        df: degrees of freedom of its mean square; None where there is none.
        variance: in the metric's unit squared; None below 5 levels, where it says little.
        sd: its root, in the metric's unit.
        share: of the sum of the components; None where that is zero or `variance` is None.
        clipped: a negative estimate was set to 0.
        ci_low, ci_high: 95 % interval of the sd; None where the data give no end.
        status: `insufficient_n` below 5 levels: only the interval is told;
            `degenerate_zero_variance` where all scores are equal.
        method: `ems`, expected mean squares of balanced scores; `reml` of unbalanced ones.
    """

    task: str | None
    backbone: str
    source: str
    levels: int
    df: int | None
    variance: float | None
    sd: float | None
    share: float | None
    clipped: bool
    ci_low: float | None = None
    ci_high: float | None = None
    status: Status = "ok"
    method: Method = "ems"


def components(cells: Cells) -> tuple[Component, ...]:
    """Decompose the variance of each task and backbone with two arms and two seeds or more."""
    found: list[Component] = []
    for task, backbone in dict.fromkeys(key[:2] for key in cells):
        arms = [c.scores for k, c in cells.items() if k[:2] == (task, backbone) and c.scores]
        seeds = sorted(set().union(*arms))
        rows = [[arm.get(seed, np.nan) for seed in seeds] for arm in arms]
        found += arms_and_seeds(np.array(rows, dtype=np.float64).reshape(len(arms), len(seeds)),
                                task=task, backbone=backbone)  # fmt: skip
    return tuple(found)


def arms_and_seeds(scores: Array, *, task: str, backbone: str) -> tuple[Component, ...]:
    """Components of arm, seed and residual on one task.

    Args:
        scores: (arms, seeds), NaN where missing.
        task, backbone: carried over.

    Returns:
        Three components, or none where fewer than two seeds are shared by two arms.
    """
    arms, seeds = scores.shape
    if min(arms, seeds) < 2:
        return ()
    there = ~np.isnan(scores)
    if there.all():
        return crossed(scores, task=task, backbone=backbone)
    if (there.sum(axis=0) > 1).sum() < 2:
        return ()
    arm, seed = np.nonzero(there)
    levels = {"arm": arms, "seed": int(there.any(axis=0).sum()), "residual": int(there.sum())}
    return _unbalanced(scores[there], [arm, seed], None, levels, task=task, backbone=backbone)


def crossed(scores: Array, *, task: str, backbone: str) -> tuple[Component, ...]:
    """Expected mean squares of arms crossed with seeds, one value each.

    Args:
        scores: (arms, seeds), at least two of each, without gaps.
        task, backbone: carried over.

    Returns:
        Components of arm, seed and residual.

    Source: Searle, Casella and McCulloch 1992, section 4.3.
    """
    arms, seeds = scores.shape
    by_arm, by_seed, mean = scores.mean(axis=1), scores.mean(axis=0), float(scores.mean())
    rest = scores - by_arm[:, None] - by_seed[None, :] + mean
    noise = _noise(scores)
    of_arm = _floored(mean_square(by_arm - mean, arms - 1, seeds), noise)
    of_seed = _floored(mean_square(by_seed - mean, seeds - 1, arms), noise)
    residual = _floored(mean_square(rest, (arms - 1) * (seeds - 1), 1), noise)
    made = {
        "arm": (arms, of_arm.df, difference(of_arm, residual, seeds, level=LEVEL)),
        "seed": (seeds, of_seed.df, difference(of_seed, residual, arms, level=LEVEL)),
        "residual": (scores.size, residual.df, plain(residual, level=LEVEL)),
    }
    return _finished(made, task=task, backbone=backbone, method="ems")


def over_tasks(scores: Array, *, backbone: str) -> tuple[Component, ...]:
    """Components over tasks that share arms and seeds; what the arms' means differ by is apart.

    The model is `score ~ arm + (1|task) + (1|arm:task) + (1|seed)`.

    Args:
        scores: (arms, tasks, seeds) in one unit, NaN where missing.
        backbone: carried over.

    Returns:
        Components of task, arm within task, seed and residual; none below two tasks, arms or
        seeds.

    Source: Searle, Casella and McCulloch 1992, sections 4.3 (balanced) and 6.6 (REML).
    """
    arms, tasks, seeds = scores.shape
    if min(arms, tasks, seeds) < 2:
        return ()
    there = ~np.isnan(scores)
    if not there.all():
        arm, task, seed = np.nonzero(there)
        levels = {
            "task": int(there.any(axis=(0, 2)).sum()),
            "arm_by_task": int(there.any(axis=2).sum()),
            "seed": int(there.any(axis=(0, 1)).sum()),
            "residual": int(there.sum()),
        }
        groups = [task, arm * tasks + task, seed]
        return _unbalanced(scores[there], groups, arm, levels, task=None, backbone=backbone)
    mean, noise = float(scores.mean()), _noise(scores)
    cells, by_arm, by_task = scores.mean(axis=2), scores.mean(axis=(1, 2)), scores.mean(axis=(0, 2))
    by_seed = scores.mean(axis=(0, 1)) - mean
    both = cells - by_arm[:, None] - by_task[None, :] + mean
    rest = scores - cells[:, :, None] - by_seed[None, None, :]
    df = (arms - 1) * (tasks - 1)
    of_task = _floored(mean_square(by_task - mean, tasks - 1, arms * seeds), noise)
    of_both = _floored(mean_square(both, df, seeds), noise)
    of_seed = _floored(mean_square(by_seed, seeds - 1, arms * tasks), noise)
    residual = _floored(mean_square(rest, (arms * tasks - 1) * (seeds - 1), 1), noise)
    made = {
        "task": (tasks, of_task.df, difference(of_task, of_both, arms * seeds, level=LEVEL)),
        "arm_by_task": (arms * tasks, df, difference(of_both, residual, seeds, level=LEVEL)),
        "seed": (seeds, of_seed.df, difference(of_seed, residual, arms * tasks, level=LEVEL)),
        "residual": (scores.size, residual.df, plain(residual, level=LEVEL)),
    }
    return _finished(made, task=None, backbone=backbone, method="ems")


def _noise(scores: Array) -> float:
    """A mean square that rounding alone may leave."""
    return 1e-24 * max(1.0, float(np.abs(scores).max()) ** 2)


def _floored(square: MeanSquare, noise: float) -> MeanSquare:
    return square if square.value > noise else MeanSquare(0.0, square.df)


def _unbalanced(
    scores: Array,
    groups: Sequence[_Codes],
    fixed: _Codes | None,
    levels: Mapping[str, int],
    *,
    task: str | None,
    backbone: str,
) -> tuple[Component, ...]:
    found = reml(
        scores, [list(g) for g in groups], fixed=None if fixed is None else list(fixed), level=LEVEL
    )
    if found is None:
        return ()
    made = {
        name: (size, None, Estimate(one.variance, one.low or 0.0, one.high))
        for (name, size), one in zip(levels.items(), found, strict=True)
    }
    return _finished(made, task=task, backbone=backbone, method="reml")


def _finished(
    made: Mapping[str, _Parts],
    *,
    task: str | None,
    backbone: str,
    method: Method,
) -> tuple[Component, ...]:
    total = sum(max(one.variance, 0.0) for _, _, one in made.values())
    return tuple(
        _component(task, backbone, source, *parts, total, method) for source, parts in made.items()
    )


def _component(
    task: str | None,
    backbone: str,
    source: str,
    levels: int,
    df: int | None,
    estimate: Estimate,
    total: float,
    method: Method,
) -> Component:
    known = levels >= FEW_LEVELS
    status: Status = "ok" if known else "insufficient_n"
    if total == 0:
        status, estimate = "degenerate_zero_variance", Estimate(0.0, 0.0, 0.0)
    variance = max(estimate.variance, 0.0) if known else None
    return Component(
        task=task,
        backbone=backbone,
        source=source,
        levels=levels,
        df=df,
        variance=variance,
        sd=None if variance is None else variance**0.5,
        share=variance / total if variance is not None and total > 0 else None,
        clipped=estimate.variance < 0,
        ci_low=estimate.low**0.5,
        ci_high=None if estimate.high is None else estimate.high**0.5,
        status=status,
        method=method,
    )
