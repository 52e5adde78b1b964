"""Is one arm steadier from seed to seed than another?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ablate.stats.bootstrap import expanded_tails, resample, resampled_sds
from ablate.stats.grid import constant
from ablate.stats.normal_theory import f_test, pitman_morgan
from ablate.stats.signflip import sign_flip, smallest_p
from ablate.stats.status import Array, Status, vector

_NO_SPREAD = 1e-7  # of the sample's sd: what rounding leaves of a resample without spread


@dataclass(frozen=True)
class Spread:
    """A comparison of seed-to-seed spread. What cannot be said is None.

    Attributes:
        n: seeds (pairs, or the smaller arm's).
        sd_treatment, sd_control: ddof 1; None below 3 seeds.
        estimate: sd of the treatment minus sd of the control, in the metric's own unit: negative
            where the treatment is steadier.
        ci_low, ci_high: expanded percentile bootstrap interval of `estimate` over seeds.
        log_ratio, log_low, log_high: natural log of the ratio of the sds, likewise.
        test, p_value: two-sided.
        normal_theory, p_normal_theory: Pitman-Morgan on shared seeds, F on different ones: for
            normal seeds only, never the verdict's.
        status: `insufficient_n` also where no outcome could reach the level.
    """

    n: int
    sd_treatment: float | None = None
    sd_control: float | None = None
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    log_ratio: float | None = None
    log_low: float | None = None
    log_high: float | None = None
    test: str | None = None
    p_value: float | None = None
    status: Status = "insufficient_n"
    normal_theory: str | None = None
    p_normal_theory: float | None = None


def compare_spread(
    treatment: Array,
    control: Array,
    *,
    level: float,
    rng: np.random.Generator,
    counts: Array | None = None,
) -> Spread:
    """Compare the spread of two arms on shared seeds by the swap-median test.

    Args:
        treatment, control: (seeds,) scores, aligned by seed; direction does not matter.
        level: confidence of the intervals, in (0, 1); the test's level is its complement.
        rng: for the bootstrap, and for sign patterns beyond 20 seeds.
        counts: (resamples, seeds) drawn beforehand (`bootstrap.Resamples`), else drawn here.

    Returns:
        The comparison; no test below 3 seeds.

    Raises:
        ValueError: shapes differ or a score is not finite.

    Source: sign-flip test on differences of squared distances to the median; unlike F and
        Pitman-Morgan it holds its level off the normal (statistics.md, section 2).
    """
    t, c = vector(treatment, name="treatment"), vector(control, name="control")
    if t.shape != c.shape:
        raise ValueError(f"shapes differ: {t.shape} and {c.shape}")
    if t.size < 3:
        return Spread(t.size)
    p = sign_flip(squared_gaps(t, c), rng=rng)
    counts = resample(t.size, rng=rng) if counts is None else counts
    sds = resampled_sds([t, c], counts)
    possible = smallest_p(t.size) <= 1 - level
    made = _spread(t, c, sds, level, "swap-median", p, possible)
    return replace(made, normal_theory="Pitman-Morgan", p_normal_theory=pitman_morgan(t, c))


def compare_spread_unpaired(
    treatment: Array, control: Array, *, level: float, rng: np.random.Generator
) -> Spread:
    """Compare the spread of two arms that share no seeds by the Brown-Forsythe test.

    Args, Returns and Raises as `compare_spread`, but the arms may differ in size.

    Source: Brown and Forsythe 1974 (Levene's test about the median).
    """
    from scipy.special import fdtrc

    t, c = vector(treatment, name="treatment"), vector(control, name="control")
    n = min(t.size, c.size)
    if n < 3:
        return Spread(n)
    a, b = np.abs(t - np.median(t)), np.abs(c - np.median(c))
    within = float(((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum())
    pooled = float(np.concatenate([a, b]).mean())
    between = float(t.size * (a.mean() - pooled) ** 2 + c.size * (b.mean() - pooled) ** 2)
    df = t.size + c.size - 2
    p = float(fdtrc(1, df, between * df / within)) if within > 0 else None
    sds = [resampled_sds([arm], resample(arm.size, rng=rng))[0] for arm in (t, c)]
    made = _spread(t, c, sds, level, "Brown-Forsythe", p, possible=True)
    return replace(made, normal_theory="F", p_normal_theory=f_test(t, c))


def compare_spread_over_tasks(
    treatment: Array,
    control: Array,
    *,
    level: float,
    rng: np.random.Generator,
    counts: Array | None = None,
) -> Spread:
    """Compare the spread of two arms over tasks that share their seeds.

    Each task's squared distances are divided by its pooled variance, so that no task dominates,
    then averaged per seed; the bootstrap draws the same seeds for every task.

    Args:
        treatment, control: (tasks, seeds) scores without gaps.
        level: confidence of the interval, in (0, 1).
        rng, counts: as `compare_spread`.

    Returns:
        The comparison; sds and their difference are means over tasks.
    """
    tasks, n = treatment.shape
    if n < 3:
        return Spread(n)
    pairs = list(zip(treatment, control, strict=True))
    scales = [max(float(t.var()) + float(c.var()), 1e-300) for t, c in pairs]
    gaps = [squared_gaps(t, c) / s for (t, c), s in zip(pairs, scales, strict=True)]
    p = sign_flip(np.mean(gaps, axis=0), rng=rng)
    counts = resample(n, rng=rng) if counts is None else counts
    sds = resampled_sds([*treatment, *control], counts)
    drawn = np.mean(sds[:tasks], axis=0) - np.mean(sds[tasks:], axis=0)
    low, high = np.quantile(drawn, expanded_tails(n, level))
    sd_t, sd_c = (float(np.mean([_sd(row) for row in arm])) for arm in (treatment, control))
    return Spread(
        n=n,
        sd_treatment=sd_t,
        sd_control=sd_c,
        estimate=sd_t - sd_c,
        ci_low=float(low),
        ci_high=float(high),
        log_ratio=math.log(sd_t / sd_c) if min(sd_t, sd_c) > 0 else None,
        test="swap-median",
        p_value=p,
        status=_status(sd_t, sd_c, smallest_p(n) <= 1 - level),
    )


def squared_gaps(treatment: Array, control: Array) -> Array:
    """(seeds,) squared distance of each arm to its own median, treatment minus control."""
    a, b = treatment - np.median(treatment), control - np.median(control)
    gaps = a**2 - b**2
    noise = 1e-12 * float(np.maximum(a**2, b**2).max(initial=0.0))
    return np.asarray(np.where(np.abs(gaps) <= noise, 0.0, gaps), dtype=np.float64)


def _spread(
    t: Array,
    c: Array,
    sds: Sequence[Array],
    level: float,
    test: str,
    p: float | None,
    possible: bool,
) -> Spread:
    sd_t, sd_c = _sd(t), _sd(c)
    sds_t, sds_c = sds
    tails = expanded_tails(min(t.size, c.size), level)
    low, high = np.quantile(sds_t - sds_c, tails)
    log_ratio = log_low = log_high = None
    if sd_t > 0 and sd_c > 0:
        log_ratio = math.log(sd_t / sd_c)
        # A resample that repeats one seed throughout has no spread and no ratio.
        some = (sds_t > _NO_SPREAD * sd_t) & (sds_c > _NO_SPREAD * sd_c)
        ratios = np.log(sds_t[some] / sds_c[some])
        log_low, log_high = (float(q) for q in np.quantile(ratios, tails))
    return Spread(
        n=min(t.size, c.size),
        sd_treatment=sd_t,
        sd_control=sd_c,
        estimate=sd_t - sd_c,
        ci_low=float(low),
        ci_high=float(high),
        log_ratio=log_ratio,
        log_low=log_low,
        log_high=log_high,
        test=test,
        p_value=p,
        status=_status(sd_t, sd_c, possible),
    )


def _sd(values: Array) -> float:
    return 0.0 if constant(values) else float(values.std(ddof=1))


def _status(sd_treatment: float, sd_control: float, possible: bool) -> Status:
    if sd_treatment == 0 and sd_control == 0:
        return "degenerate_no_difference"
    if not possible:
        return "insufficient_n"
    return "degenerate_zero_variance" if 0 in (sd_treatment, sd_control) else "ok"
