"""One statistical result, in the words of `findings.json`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ablate.stats.status import Status

FindingKind = Literal["mean", "variance", "equivalence", "across_tasks", "interaction"]
Verdict = Literal[
    "better",
    "worse",
    "equivalent",
    "different",
    "equivalent_but_different",
    "undecided",
    "more_variable",
    "less_variable",
]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One result. A positive estimate favours the treatment, whatever the metric's direction.

    The estimate of a `variance` finding is the treatment's sd minus the control's, so that it is
    negative where the treatment is steadier.

    Attributes:
        id: unique in its document.
        kind: what was asked.
        task: None for findings over several tasks, which list them in `details`.
        treatment, control: label and factor values; a list where averaged arms differ.
        n: seeds (pairs of them where `paired`).
        n_dropped: seeds that could not be paired.
        num_failed: failed trials of both sides.
        paired: whether seeds were shared.
        estimate, ci_low, ci_high: in `unit`, the interval at `level`, not adjusted.
        test, p_value: two-sided; for equivalence, small means within the margin.
        p_adjusted, adjustment, family: corrected for the comparisons of the family.
        confirmatory: registered before the results were seen.
        sequential: seeds were added in looks, and p values and interval allow for it.
        effect_size, effect_size_kind: standardised.
        status: how far to trust it, see `ablate.stats.status`.
        verdict: what it shows at the study's level.
        seeds_needed: seeds in all for power .8 at the observed effect; None once decided.
        claim_id: the claim that it serves.
        details: further keys of the document.
    """

    id: str
    kind: FindingKind
    task: str | None
    treatment: Mapping[str, Any]
    control: Mapping[str, Any]
    n: int
    n_dropped: int = 0
    num_failed: int = 0
    paired: bool = True
    estimate: float | None = None
    unit: str | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    level: float
    test: str | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    adjustment: str = "holm"
    family: str
    confirmatory: bool = False
    sequential: bool = False
    effect_size: float | None = None
    effect_size_kind: str | None = None
    status: Status = "insufficient_n"
    verdict: Verdict = "undecided"
    seeds_needed: int | None = None
    claim_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; details become keys of their own, what is not finite becomes null."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "details"}
        return {key: plain_json(value) for key, value in {**self.details, **own}.items()}


def plain_json(value: Any) -> Any:
    """Tuples as lists, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
