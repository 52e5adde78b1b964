"""From drafts to findings: adjust within families, read the verdicts, count seeds still needed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ablate.stats.draft import Draft
from ablate.stats.equivalence import verdict as equivalence_verdict
from ablate.stats.finding import Finding, Verdict
from ablate.stats.multiplicity import adjust, adjustment
from ablate.stats.power import (
    detectable_effect,
    detectable_effects,
    detectable_margin,
    detectable_ratio,
    seeds_for_effect,
    seeds_for_equivalence,
    seeds_for_ratio,
)
from ablate.stats.robust import failure_p, rank_test
from ablate.stats.signflip import fewest_pairs

Generators = Callable[[str], np.random.Generator]


def decide(drafts: Sequence[Draft], *, level: float, generators: Generators) -> tuple[Finding, ...]:
    """Finish findings.

    Args:
        drafts: in the order of the document.
        level: of the study; verdicts are read at 1 - level.
        generators: a finding's own random generator, by its id.

    Returns:
        The findings, in the same order. What was registered is adjusted by Holm's method within
        its family, what was not by Benjamini and Hochberg's.
    """
    families: dict[tuple[str, bool], list[Draft]] = {}
    for one in drafts:
        families.setdefault((one.finding.family, one.finding.confirmatory), []).append(one)
    done: dict[str, Finding] = {}
    for (_, confirmatory), family in families.items():
        rivals = [one.finding.p_value for one in family]
        adjusted = adjust(rivals, confirmatory=confirmatory)
        for i, one in enumerate(family):
            finding = _decided(one, adjusted[i], len(family), 1 - level)
            done[finding.id] = _robust(one, finding, rivals, i, 1 - level, generators)
    return tuple(done[one.finding.id] for one in drafts)


def _decided(one: Draft, p_adjusted: float | None, size: int, alpha: float) -> Finding:
    named = adjustment(confirmatory=one.finding.confirmatory)
    finding = replace(one.finding, p_adjusted=p_adjusted, adjustment=named)
    p_difference = None if one.p_difference is None else min(1.0, size * one.p_difference)
    p_beyond = None if one.p_beyond is None else min(1.0, size * one.p_beyond)
    seen = _verdict(one, p_adjusted, p_difference, alpha)
    outside = p_beyond is not None and p_beyond <= alpha
    details = {**finding.details, **_detectable(one, alpha / size)}
    if one.comparison.kind == "mean" and p_adjusted is not None and finding.estimate is not None:
        details["below_by"] = p_adjusted <= alpha and finding.estimate < one.comparison.by
        details["above_by"] = p_adjusted <= alpha and finding.estimate > one.comparison.by
    if one.comparison.kind == "equivalence":
        details |= {"p_difference_adjusted": p_difference, "beyond_margin": outside}
    if seen not in ("undecided", "different"):
        return replace(finding, verdict=seen, details=details)
    needed, fewest = _seeds_needed(one, alpha / size), _fewest(one, alpha / size)
    if fewest is not None and finding.n < fewest:
        alone = _fewest(one, alpha)
        short = _too_few(finding.n, fewest, size, alone=alone is not None and finding.n < alone)
        details["note"] = "; ".join(filter(None, (details.get("note"), short)))
        needed = fewest if _constant_gain(one) else needed and max(needed, fewest)
    return replace(finding, verdict=seen, seeds_needed=needed, details=details)


def _fewest(one: Draft, alpha: float) -> int | None:
    """The fewest seeds whose sign-flips could reject, where the finding's test rests on them."""
    test = one.finding.test or ""
    if one.finding.sequential or not ("sign-flip" in test or test == "swap-median"):
        return None
    return fewest_pairs(alpha, sides=1 if one.comparison.kind == "equivalence" else 2)


def _too_few(n: int, fewest: int, size: int, *, alone: bool) -> str:
    """Why a test by sign-flips is undecided whatever the scores, in words."""
    why = f"this test rests on sign-flips, which with {n} seeds"
    if alone:
        return f"{why} cannot reject at all; it takes {fewest} seeds or more"
    return f"{why} cannot be the first of {size} comparisons to reject; with {fewest} they can"


def _constant_gain(one: Draft) -> bool:
    """Whether every seed shows the same difference, and another than under the null hypothesis."""
    finding = one.finding
    same = finding.details.get("sd") == 0 and one.comparison.kind == "mean"
    return same and finding.estimate != one.comparison.by


def _verdict(
    one: Draft, p_adjusted: float | None, p_difference: float | None, alpha: float
) -> Verdict:
    finding, kind = one.finding, one.comparison.kind
    if kind == "equivalence":
        return equivalence_verdict(p_adjusted, p_difference, alpha=alpha)
    if p_adjusted is None or p_adjusted > alpha or finding.estimate is None:
        return "undecided"
    if kind == "variance":
        return "more_variable" if finding.estimate > 0 else "less_variable"
    return _mean_verdict(finding, one.comparison.by)


def _mean_verdict(finding: Finding, by: float) -> Verdict:
    """A gain shown to be short of `by` is worse only where it is shown to be a loss as well.

    So is a loss shown to be short of it better only where it is shown to be a gain.
    """
    assert finding.estimate is not None
    if finding.estimate > by:
        gain = by >= 0 or (finding.ci_low is not None and finding.ci_low > 0)
        return "better" if gain and finding.estimate > 0 else "undecided"
    loss = by <= 0 or (finding.ci_high is not None and finding.ci_high < 0)
    return "worse" if loss and finding.estimate < 0 else "undecided"


def _detectable(one: Draft, alpha: float) -> Mapping[str, Any]:
    """What this many seeds find with power .8 at the family's strictest level.

    `detectable` pairs numbers of seeds with the effect that they find.
    """
    finding = one.finding
    if one.comparison.kind == "variance":
        possible = finding.n >= fewest_pairs(alpha) or not finding.paired
        return {"detectable_ratio": detectable_ratio(finding.n, alpha=alpha) if possible else None}
    sd = finding.details.get("sd")
    if not finding.paired or sd is None or sd == 0:
        return {}
    effect = detectable_effect(finding.n, alpha=alpha)
    curve = [(n, found * sd) for n, found in detectable_effects(alpha)]
    found = {"detectable_effect": None if effect is None else effect * sd, "detectable": curve}
    if one.comparison.kind == "equivalence":
        margin = detectable_margin(finding.n, alpha=alpha)
        found["detectable_margin"] = None if margin is None else margin * sd
    return found


def _seeds_needed(one: Draft, alpha: float) -> int | None:
    finding, details = one.finding, one.finding.details
    if one.comparison.kind == "variance":
        treatment, control = (details.get(f"sd_{side}") for side in ("treatment", "control"))
        if not treatment or not control:
            return None
        return _more(finding, seeds_for_ratio(treatment / control, alpha=alpha))
    sd = details.get("sd")
    if not finding.paired or finding.estimate is None or not sd:
        return None
    if one.comparison.kind == "equivalence":
        margin = details.get("margin")
        if margin is None:
            return None
        needed = seeds_for_equivalence(finding.estimate / sd, margin / sd, alpha=alpha)
        return _more(finding, needed)
    effect = (finding.estimate - one.comparison.by) / sd
    return _more(finding, seeds_for_effect(effect, alpha=alpha))


def _more(finding: Finding, needed: int | None) -> int | None:
    """An undecided finding needs at least one more seed than it had."""
    return None if needed is None else max(needed, finding.n + 1)


def _robust(
    one: Draft,
    finding: Finding,
    rivals: Sequence[float | None],
    place: int,
    alpha: float,
    generators: Generators,
) -> Finding:
    """Mark a finding whose verdict flips once failed trials count as the worst rank."""
    if one.sample.num_failed == 0:
        return finding
    rng = generators(f"{finding.id}/robust")
    details = {**finding.details, "p_failures": failure_p(one.sample, rng=rng)}
    if one.comparison.kind == "variance":
        return replace(finding, details=details)

    def second(count_failed: bool) -> str:
        shift, p = rank_test(one.sample, by=one.comparison.by, count_failed=count_failed, rng=rng)
        others = [*rivals[:place], p, *rivals[place + 1 :]]
        p_adjusted = adjust(others, confirmatory=finding.confirmatory)[place]
        if p_adjusted is None or p_adjusted > alpha:
            return "undecided"
        return "better" if shift > 0 else "worse"

    ranked, complete = second(count_failed=True), second(count_failed=False)
    details["verdict_failed_worst"] = ranked
    if one.comparison.kind == "equivalence":
        flips = ranked != "undecided" and finding.verdict == "equivalent"
    elif finding.verdict == "undecided":
        flips = ranked != complete and ranked != "undecided"
    else:
        flips = ranked != finding.verdict
    status = "not_robust" if flips else finding.status
    return replace(finding, status=status, details=details)
