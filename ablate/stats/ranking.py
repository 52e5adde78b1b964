"""Many arms over several tasks by their ranks: is any arm ahead, and by how much must it be?"""

import math
from dataclasses import dataclass

import numpy as np

from ablate.stats.status import Array, Status

FEW_TASKS = 5  # below, the chi-square and F approximations say little


@dataclass(frozen=True)
class Ranking:
    """Friedman's test over tasks; rank 1 is best. What cannot be said is None.

    Attributes:
        num_tasks, num_arms: its size.
        mean_ranks: (arms,) over tasks; ties share.
        chi_square, p_chi_square: Friedman's, with arms - 1 degrees of freedom.
        f, p_f: Iman and Davenport's, with arms - 1 and (arms - 1)(tasks - 1).
        critical_difference: of mean ranks, that Nemenyi's test of all pairs needs.
        status: see `ablate.stats.status`; `insufficient_n` below 5 tasks.
    """

    num_tasks: int
    num_arms: int
    mean_ranks: tuple[float, ...] = ()
    chi_square: float | None = None
    p_chi_square: float | None = None
    f: float | None = None
    p_f: float | None = None
    critical_difference: float | None = None
    status: Status = "insufficient_n"


def friedman(scores: Array, *, level: float) -> Ranking:
    """Rank arms within each task and test whether any differs.

    Args:
        scores: (tasks, arms) means, higher is better, without gaps.
        level: 1 - level is the level of the critical difference.

    Returns:
        The ranking. It describes tasks as a sample: what holds for other tasks of this kind.

    Raises:
        ValueError: not two-dimensional, or a score is not finite.

    Source: Friedman 1937, with the correction for ties; Iman and Davenport 1980; Demsar 2006.
    """
    from scipy.special import chdtrc, fdtrc
    from scipy.stats import rankdata

    if scores.ndim != 2 or not np.isfinite(scores).all():
        raise ValueError(f"expected finite (tasks, arms), but got shape {scores.shape}")
    n, k = scores.shape
    if n == 0 or k == 0:
        return Ranking(n, k)
    ranks = rankdata(-scores, axis=1)
    means = tuple(float(rank) for rank in ranks.mean(axis=0))
    if n < 2 or k < 2:
        return Ranking(n, k, means)
    spread = float(((ranks - (k + 1) / 2) ** 2).sum()) / (k - 1)
    if spread == 0:
        return Ranking(n, k, means, status="degenerate_no_difference")
    gaps = n * (np.array(means) - (k + 1) / 2)
    chi = float((gaps**2).sum()) / spread
    rest = n * (k - 1) - chi
    f = (n - 1) * chi / rest if rest > 1e-9 * chi else None
    return Ranking(
        n,
        k,
        means,
        chi,
        float(chdtrc(k - 1, chi)),
        f,
        None if f is None else float(fdtrc(k - 1, (k - 1) * (n - 1), f)),
        critical_difference(k, n, alpha=1 - level),
        "ok" if n >= FEW_TASKS else "insufficient_n",
    )


def critical_difference(num_arms: int, num_tasks: int, *, alpha: float) -> float:
    """The difference of mean ranks at which Nemenyi's test tells two of all arms apart.

    Raises:
        ValueError: fewer than two arms or one task.

    Source: Nemenyi 1963; Demsar 2006, section 3.2.2.
    """
    if num_arms < 2 or num_tasks < 1:
        raise ValueError(f"expected two arms and a task, but got {num_arms=}, {num_tasks=}")
    error = math.sqrt(num_arms * (num_arms + 1) / (6 * num_tasks))
    return _range_quantile(num_arms, 1 - alpha) / math.sqrt(2) * error


def _range_quantile(k: int, probability: float) -> float:
    """Quantile of the range of k independent normal values.

    Source: P(range <= q) = k * integral of density(z) * (cdf(z) - cdf(z - q))^(k - 1).
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    z = np.linspace(-9.0, 9.0, 4001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    def short(q: float) -> float:
        inside = density * (ndtr(z) - ndtr(z - q)) ** (k - 1)
        return k * float(inside.sum()) * float(z[1] - z[0]) - probability

    return float(brentq(short, 1e-6, 20.0, xtol=1e-10))
