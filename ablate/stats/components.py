"""Where does variance come from: arms, seeds, or what is left, on each task and backbone?"""

from dataclasses import dataclass

import numpy as np

from ablate.stats.cells import Cells
from ablate.stats.status import Array, Status

FEW_LEVELS = 5


@dataclass(frozen=True, kw_only=True)
class Component:
    """One source of variance.

    Attributes:
        task, backbone: where; scores of all their arms at the seeds that every arm finished.
        source: `arm`; `seed` (luck that all arms share); `residual` (luck of one arm at one seed,
            and non-determinism).
        levels: how many arms, seeds or values it is estimated from.
        df: degrees of freedom of its mean square.
        variance: in the metric's unit squared.
        sd: its root, in the metric's unit.
        share: of the sum of the components; None where that is zero.
        clipped: a negative estimate was set to 0.
        ci_low, ci_high: 95 % interval of the residual sd; None for the others.
        status: `insufficient_n` below 5 levels, where the point estimate says little.
    """

    task: str
    backbone: str
    source: str
    levels: int
    df: int
    variance: float
    sd: float
    share: float | None
    clipped: bool
    ci_low: float | None = None
    ci_high: float | None = None
    status: Status = "ok"


def components(cells: Cells) -> tuple[Component, ...]:
    """Decompose the variance of each task and backbone with two arms and two seeds or more."""
    found: list[Component] = []
    for task, backbone in dict.fromkeys(key[:2] for key in cells):
        arms = [c.scores for k, c in cells.items() if k[:2] == (task, backbone) and c.scores]
        if len(arms) < 2:
            continue
        seeds = sorted(set.intersection(*(set(scores) for scores in arms)))
        if len(seeds) < 2:
            continue
        scores = np.array([[arm[seed] for seed in seeds] for arm in arms], dtype=np.float64)
        found += crossed(scores, task=task, backbone=backbone)
    return tuple(found)


def crossed(scores: Array, *, task: str, backbone: str) -> tuple[Component, Component, Component]:
    """Expected mean squares of arms crossed with seeds, one value each.

    Args:
        scores: (arms, seeds), at least two of each, without gaps.
        task, backbone: carried over.

    Returns:
        Components of arm, seed and residual.

    Source: Searle, Casella and McCulloch 1992, section 4.3.
    """
    from scipy.special import chdtri

    num_arms, num_seeds = scores.shape
    by_arm, by_seed, mean = scores.mean(axis=1), scores.mean(axis=0), float(scores.mean())
    rest = scores - by_arm[:, None] - by_seed[None, :] + mean
    df = (num_arms - 1, num_seeds - 1, (num_arms - 1) * (num_seeds - 1))
    squares = (
        num_seeds * float(((by_arm - mean) ** 2).sum()) / df[0],
        num_arms * float(((by_seed - mean) ** 2).sum()) / df[1],
        float((rest**2).sum()) / df[2],
    )
    noise = 1e-24 * max(1.0, float(np.abs(scores).max()) ** 2)
    residual = squares[2] if squares[2] > noise else 0.0
    raw = ((squares[0] - residual) / num_seeds, (squares[1] - residual) / num_arms, residual)
    variances = [value if value > noise else 0.0 for value in raw]
    total = sum(variances)
    ends = [(df[2] * residual / float(chdtri(df[2], tail))) ** 0.5 for tail in (0.025, 0.975)]
    levels = (num_arms, num_seeds, scores.size)
    made = [
        Component(
            task=task,
            backbone=backbone,
            source=source,
            levels=levels[i],
            df=df[i],
            variance=variances[i],
            sd=variances[i] ** 0.5,
            share=variances[i] / total if total > 0 else None,
            clipped=raw[i] < -noise,
            ci_low=ends[0] if source == "residual" else None,
            ci_high=ends[1] if source == "residual" else None,
            status="ok" if levels[i] >= FEW_LEVELS else "insufficient_n",
        )
        for i, source in enumerate(("arm", "seed", "residual"))
    ]
    return made[0], made[1], made[2]
