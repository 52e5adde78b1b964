"""From a sample to a finding that has not been adjusted for its family yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ablate.stats.bootstrap import Resamples
from ablate.stats.comparison import Comparison
from ablate.stats.equivalence import tost
from ablate.stats.finding import Finding
from ablate.stats.paired import Paired, describe
from ablate.stats.pairing import Sample, matrix
from ablate.stats.signflip import fewest_pairs
from ablate.stats.status import Array, Status, gravest
from ablate.stats.tasks import heterogeneity
from ablate.stats.unpaired import compare_unpaired
from ablate.stats.variance import (
    Spread,
    compare_spread,
    compare_spread_over_tasks,
    compare_spread_unpaired,
)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A finding before adjustment, with what it rests on.

    Attributes:
        finding: without adjusted p, verdict and seeds needed.
        sample: the aligned scores.
        comparison: what was asked; the first of several for a finding over tasks.
        p_difference: p of no difference beside an equivalence test.
        p_beyond: p of a difference within the margin beside an equivalence test.
    """

    finding: Finding
    sample: Sample
    comparison: Comparison
    p_difference: float | None = None
    p_beyond: float | None = None


def draft(
    base: Finding,
    sample: Sample,
    comparison: Comparison,
    *,
    level: float,
    margin: float | None,
    rng: np.random.Generator,
    resamples: Resamples | None = None,
) -> Draft:
    """Answer a comparison's question from its sample.

    Args:
        base: what is known beforehand: id, sides, family.
        sample: the aligned scores.
        comparison: the question.
        level: of the study, in (0.5, 1).
        margin: for equivalence where the comparison declares none.
        rng: for resampling.
        resamples: of seeds, shared with other findings; drawn from `rng` when None.

    Returns:
        The draft. Sides that share fewer than two seeds are compared unpaired.
    """
    base = replace(
        base,
        n=len(sample.seeds),
        n_dropped=len(sample.dropped),
        num_failed=sample.num_failed,
        details={**base.details, **_context(sample)},
    )
    made = Draft(finding=base, sample=sample, comparison=comparison)
    resamples = resamples or Resamples(lambda _: rng)
    apart = len(sample.parts) == 1 and len(sample.seeds) < 2 and min(map(len, _all(sample))) >= 2
    if comparison.kind == "variance":
        made = replace(made, finding=_spread(base, sample, level, rng, resamples, apart))
    elif apart and comparison.kind == "mean":
        made = replace(made, finding=unpaired(base, sample, level=level, by=comparison.by, rng=rng))
    else:
        paired = describe(
            sample.differences, sample.treatment, sample.control, level=level, rng=rng,
            by=comparison.by,
        )  # fmt: skip
        made = replace(made, finding=_mean(base, paired, comparison.by))
        if comparison.kind == "equivalence":
            made = _equivalence(made, comparison.margin or margin, level, rng)
    return replace(made, finding=_finish(made.finding, sample, level))


def unpaired(
    base: Finding,
    sample: Sample,
    *,
    level: float,
    by: float,
    rng: np.random.Generator | None = None,
) -> Finding:
    """Welch's test over all seeds of either side, on one task; a permutation test beside it."""
    treatment, control = _all(sample)
    result = compare_unpaired(treatment, control, level=level, by=by, rng=rng)
    return replace(
        base,
        n=min(result.num_treatment, result.num_control),
        paired=False,
        estimate=result.estimate,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        test="Welch",
        p_value=result.p_value,
        effect_size=result.hedges_g,
        effect_size_kind="hedges_g",
        status=result.status,
        details={**base.details, "by": by, "cliff_delta": result.cliff_delta,
                 "p_permutation": result.p_permutation,
                 "num_treatment": result.num_treatment, "num_control": result.num_control},
    )  # fmt: skip


def _all(sample: Sample) -> tuple[Array, Array]:
    part = sample.parts[0]
    return (
        np.array(list(part.treatment.scores.values()), dtype=np.float64),
        np.array(list(part.control.scores.values()), dtype=np.float64),
    )


def _context(sample: Sample) -> Mapping[str, Any]:
    devices = frozenset[str]().union(
        *(part.treatment.devices | part.control.devices for part in sample.parts)
    )
    return {
        "seeds": sample.seeds,
        "dropped_seeds": sample.dropped,
        "late": sample.late,
        "mixed_devices": len(devices) > 1,
        "grid_step": sample.parts[0].step if len(sample.parts) == 1 else None,
        "treatment_mean": _mean_of(sample.treatment),
        "control_mean": _mean_of(sample.control),
    }


def _mean_of(scores: Array) -> float | None:
    return float(scores.mean()) if scores.size else None


def _mean(base: Finding, paired: Paired, by: float) -> Finding:
    gain, wins = paired.gain, paired.gain.wins
    details: dict[str, Any] = {
        "by": by,
        "sd": gain.sd,
        "p_t": gain.p_t,
        "p_sign_flip": gain.p_sign_flip,
        "p_wilcoxon": gain.p_wilcoxon,
        "hedges_gav": paired.hedges_gav,
        "cliff_delta": paired.cliff_delta,
        "seed_correlation": paired.seed_correlation,
        "skew": gain.skew,
        "skewed": gain.skewed,
        "collapsed_treatment": paired.collapsed_treatment,
        "collapsed_control": paired.collapsed_control,
    }
    if wins is not None:
        details |= {"wins": wins.wins, "ties": wins.ties, "probability_better": wins.probability,
                    "probability_low": wins.low, "probability_high": wins.high}  # fmt: skip
    return replace(
        base,
        estimate=gain.estimate,
        ci_low=gain.ci_low,
        ci_high=gain.ci_high,
        test=gain.test,
        p_value=gain.p_value,
        effect_size=gain.hedges_gz,
        effect_size_kind="hedges_gz",
        status=gain.status,
        details={**base.details, **details},
    )


def _equivalence(
    made: Draft, margin: float | None, level: float, rng: np.random.Generator
) -> Draft:
    """Replace the test of no difference by the test of a difference within the margin."""
    finding = made.finding
    details = {**finding.details, "margin": margin, "p_difference": finding.p_value}
    if margin is None:
        empty = replace(finding, test=None, p_value=None, status="insufficient_n",
                        details={**details, "note": "no margin was declared"})  # fmt: skip
        return replace(made, finding=empty)
    result = tost(made.sample.differences, margin=margin, level=level, rng=rng)
    finding_now = replace(
        finding,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        level=result.level,
        test=result.test,
        p_value=result.p_value,
        status=_one_sided(finding, level),
        details={**details, "p_beyond_margin": result.p_beyond},
    )
    return replace(
        made, finding=finding_now, p_difference=finding.p_value, p_beyond=result.p_beyond
    )


def _one_sided(finding: Finding, level: float) -> Status:
    """The status where sign-flips are one-sided, which fewer seeds allow."""
    enough = finding.details["skewed"] and finding.n >= fewest_pairs(1 - level, sides=1)
    short = finding.status == "insufficient_n"
    return "skewed" if enough and short and finding.n > 2 else finding.status


def _spread(
    base: Finding,
    sample: Sample,
    level: float,
    rng: np.random.Generator,
    resamples: Resamples,
    apart: bool,
) -> Finding:
    if apart:
        treatment, control = _all(sample)
        result = compare_spread_unpaired(treatment, control, level=level, rng=rng)
        return _from_spread(base, result, paired=False)
    counts = resamples(len(sample.seeds)) if sample.seeds else None
    if len(sample.parts) == 1:
        result = compare_spread(
            sample.treatment, sample.control, level=level, rng=rng, counts=counts
        )
    else:
        arms = [[[side.scores[s] for s in sample.seeds] for side in pair] for pair in
                ((p.treatment, p.control) for p in sample.parts)]  # fmt: skip
        scores = np.array(arms, dtype=np.float64)
        result = compare_spread_over_tasks(
            scores[:, 0], scores[:, 1], level=level, rng=rng, counts=counts
        )
    return _from_spread(base, result, paired=True)


def _from_spread(base: Finding, result: Spread, *, paired: bool) -> Finding:
    return replace(
        base,
        n=result.n,
        paired=paired,
        estimate=result.estimate,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        test=result.test,
        p_value=result.p_value,
        effect_size=result.log_ratio,
        effect_size_kind="log_sd_ratio",
        status=result.status,
        details={**base.details, "sd_treatment": result.sd_treatment,
                 "sd_control": result.sd_control, "log_ratio_low": result.log_low,
                 "log_ratio_high": result.log_high, "normal_theory": result.normal_theory,
                 "p_normal_theory": result.p_normal_theory},
    )  # fmt: skip


def _finish(finding: Finding, sample: Sample, level: float) -> Finding:
    status = finding.status
    if sample.not_a_number:
        status = gravest(status, "nan_present")
    details: dict[str, Any] = dict(finding.details)
    if len(sample.parts) > 1:
        details |= {"tasks": [part.task for part in sample.parts], **_over_tasks(sample, level)}
    return replace(finding, status=status, details=details)


def _over_tasks(sample: Sample, level: float) -> Mapping[str, Any]:
    parts: Sequence[Any] = sample.parts
    if any(not part.seeds for part in parts):
        return {}
    seen = heterogeneity(matrix(parts), level=level)
    return {
        "by_task": seen.by_task,
        "random_tasks_low": seen.random_low,
        "random_tasks_high": seen.random_high,
        "random_tasks_p": seen.p_random,
        "leave_one_task_out_low": seen.left_out_low,
        "leave_one_task_out_high": seen.left_out_high,
        "heterogeneity_q": seen.q,
        "heterogeneity_p": seen.p_q,
    }
