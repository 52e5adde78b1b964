"""One arm against another on different seeds: Welch's test, and a permutation test beside it."""

import math
from dataclasses import dataclass

import numpy as np

from ablate.stats.effect import cliff_delta, hedges_gav
from ablate.stats.grid import constant
from ablate.stats.level import t_quantile
from ablate.stats.permutation import permutation_p
from ablate.stats.status import Array, Status, vector


@dataclass(frozen=True)
class Unpaired:
    """An unpaired comparison; positive favours the treatment. What cannot be said is None.

    Attributes:
        num_treatment, num_control: seeds.
        estimate: difference of the means, in the metric's own unit.
        error, df: its standard error and Satterthwaite's degrees of freedom.
        p_permutation: of equal arms, exact or over random partings; None where not asked for.
        ci_low, ci_high, p_value: Welch's; None below 2 seeds an arm or when neither arm varies.
        hedges_g: standardised by the root mean square of the two sds.
        cliff_delta: over all pairs of seeds, in [-1, 1].
        status: see `ablate.stats.status`.
    """

    num_treatment: int
    num_control: int
    estimate: float | None = None
    error: float | None = None
    df: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    hedges_g: float | None = None
    cliff_delta: float | None = None
    status: Status = "insufficient_n"
    p_permutation: float | None = None


def compare_unpaired(
    treatment: Array,
    control: Array,
    *,
    level: float,
    by: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Unpaired:
    """Compare two arms that share no seeds.

    Args:
        treatment: (n,) scores, higher is better.
        control: (m,) scores, higher is better.
        level: confidence of the interval, in (0, 1).
        by: the gain under the null hypothesis.
        rng: for the permutation test, which is left out without it.

    Returns:
        The comparison. Two constant arms have no p value of Welch's, where a naive test says 0;
        the permutation test speaks.

    Raises:
        ValueError: a score is not finite.

    Source: Welch 1947; Satterthwaite 1946.
    """
    from scipy.special import stdtr

    t, c = vector(treatment, name="treatment"), vector(control, name="control")
    n, m = t.size, c.size
    if min(n, m) == 0:
        return Unpaired(n, m)
    estimate = float(t.mean() - c.mean())
    delta, effect = cliff_delta(t, c), hedges_gav(t, c)
    if min(n, m) < 2:
        return Unpaired(n, m, estimate, cliff_delta=delta)
    free = None if rng is None else permutation_p(t - by, c, rng=rng)
    if constant(t) and constant(c):
        same: Status = "degenerate_no_difference" if t[0] == c[0] else "degenerate_zero_variance"
        return Unpaired(n, m, estimate, cliff_delta=delta, status=same, p_permutation=free)
    a, b = float(t.var(ddof=1)) / n, float(c.var(ddof=1)) / m
    error = math.sqrt(a + b)
    df = 1 / ((a / (a + b)) ** 2 / (n - 1) + (b / (a + b)) ** 2 / (m - 1))
    half = t_quantile(df, level) * error
    p = 2 * float(stdtr(df, -abs(estimate - by) / error))
    status: Status = "insufficient_n" if min(n, m) < 3 else "ok"
    return Unpaired(
        n, m, estimate, error, df, estimate - half, estimate + half, p, effect, delta, status, free
    )
