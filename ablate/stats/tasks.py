"""Two arms over several tasks that share their seeds.

A seed that is lucky on one task is often lucky on others, so tasks are not independent: treating
them so rejects a true null hypothesis in 19 % of studies. The mean over tasks of each seed is.
"""

import math
from dataclasses import dataclass

import numpy as np

from ablate.stats.grid import constant
from ablate.stats.onesample import t_test
from ablate.stats.status import Array


@dataclass(frozen=True)
class Heterogeneity:
    """What one mean over tasks hides; positive favours the treatment.

    Attributes:
        by_task: (tasks,) mean difference.
        random_low, random_high, p_random: t interval and test with tasks as the sample: what
            holds for other tasks of this kind (df = tasks - 1).
        left_out_low, left_out_high: range of the mean as each task in turn is left out; None
            below 2 tasks.
        q, p_q: Cochran's test that all tasks share one difference; None when a task's
            differences are constant.
    """

    by_task: tuple[float, ...]
    random_low: float | None
    random_high: float | None
    p_random: float | None
    left_out_low: float | None
    left_out_high: float | None
    q: float | None
    p_q: float | None


def clustered(differences: Array) -> Array:
    """The mean over tasks of each seed that has every task.

    Args:
        differences: (tasks, seeds), NaN where a seed is missing on a task.

    Returns:
        (complete seeds,) means; a one-sample test over them is valid for these tasks.

    Raises:
        ValueError: not two-dimensional.
    """
    if differences.ndim != 2:
        raise ValueError(f"expected (tasks, seeds), but got shape {differences.shape}")
    complete = ~np.isnan(differences).any(axis=0)
    return np.asarray(differences[:, complete].mean(axis=0), dtype=np.float64)


def heterogeneity(differences: Array, *, level: float) -> Heterogeneity:
    """Describe how a difference varies over tasks.

    Args:
        differences: (tasks, seeds), NaN where missing; every task has a seed.
        level: confidence of the interval, in (0, 1).

    Returns:
        The description, over the seeds that each task has.

    Source: Cochran 1954 for Q.
    """
    means = np.nanmean(differences, axis=1)
    low, high, p = t_test(means, level=level)
    total, tasks = float(means.sum()), means.size
    left_out = (total - means) / (tasks - 1) if tasks > 1 else None
    q, p_q = _cochran(differences, means)
    return Heterogeneity(
        by_task=tuple(float(mean) for mean in means),
        random_low=low,
        random_high=high,
        p_random=p,
        left_out_low=None if left_out is None else float(left_out.min()),
        left_out_high=None if left_out is None else float(left_out.max()),
        q=q,
        p_q=p_q,
    )


def _cochran(differences: Array, means: Array) -> tuple[float | None, float | None]:
    from scipy.special import chdtrc

    rows = [row[~np.isnan(row)] for row in differences]
    if len(rows) < 2 or any(row.size < 2 or constant(row) for row in rows):
        return None, None
    weights = np.array([row.size / float(row.var(ddof=1)) for row in rows])
    centre = float((weights * means).sum() / weights.sum())
    q = float((weights * (means - centre) ** 2).sum())
    return (q, float(chdtrc(len(rows) - 1, q))) if math.isfinite(q) else (None, None)
