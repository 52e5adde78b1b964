"""Rule on a study's claims from the findings that serve them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ablate.stats.finding import Finding

ClaimKind = Literal["better", "worse", "equivalent", "different", "less_variable", "more_variable"]
ClaimVerdict = Literal["supported", "contradicted", "undecided", "not_robust"]

_SUPPORT: Mapping[str, frozenset[str]] = {
    "better": frozenset({"better"}),
    "worse": frozenset({"worse"}),
    "less_variable": frozenset({"less_variable"}),
    "more_variable": frozenset({"more_variable"}),
    "equivalent": frozenset({"equivalent", "equivalent_but_different"}),
    "different": frozenset({"better", "worse", "different", "equivalent_but_different"}),
}
_AGAINST: Mapping[str, frozenset[str]] = {
    "better": frozenset({"worse"}),
    "worse": frozenset({"better"}),
    "less_variable": frozenset({"more_variable"}),
    "more_variable": frozenset({"less_variable"}),
    "equivalent": frozenset(),
    "different": frozenset({"equivalent"}),
}


@dataclass(frozen=True)
class Claim:
    """A statement that a study sets out to check, resolved to comparisons.

    Attributes:
        id: unique in its study.
        kind: what it states of the treatment.
        sentence: for a reader.
        comparisons: ids of the comparisons that test it.
        over_tasks: whether it is about their mean; else it must hold in each of them.
    """

    id: str
    kind: ClaimKind
    sentence: str
    comparisons: tuple[str, ...]
    over_tasks: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(ClaimKind):
            raise ValueError(f"unknown kind of claim {self.kind!r}")
        if not self.comparisons:
            raise ValueError(f"claim {self.id!r} needs a comparison")


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What the findings say of a claim.

    Attributes:
        findings: ids of those it rests on.
        seeds_needed: seeds in all for power .8 at the observed effects, of the finding that needs
            most; None once decided or where that cannot be said.
        reason: in a few words.
    """

    id: str
    kind: ClaimKind
    sentence: str
    verdict: ClaimVerdict
    findings: tuple[str, ...]
    seeds_needed: int | None
    reason: str


def rule(claim: Claim, findings: Sequence[Finding]) -> Ruling:
    """Rule on a claim.

    Args:
        claim: the statement.
        findings: the confirmatory ones that serve it; all must agree for `supported`.

    Returns:
        The ruling. One finding against it contradicts it; a verdict that failed trials would
        flip makes it `not_robust`.
    """
    against = [f for f in findings if _against(claim.kind, f)]
    open_ = [f for f in findings if f.verdict not in _SUPPORT[claim.kind] and f not in against]
    shaky = [f for f in findings if f.status == "not_robust"]
    verdict: ClaimVerdict = "supported"
    reason = f"shown by {_count(findings)} at the study's level"
    needed = None
    if shaky:
        verdict, reason = "not_robust", _because(shaky, "flips when failed trials count as worst")
    elif against:
        verdict, reason = "contradicted", _because(against, "shows the opposite")
    elif open_ or not findings:
        verdict, reason = "undecided", _why_open(open_)
        counts = [f.seeds_needed for f in open_]
        needed = None if None in counts else max((c for c in counts if c is not None), default=None)
    return Ruling(
        id=claim.id,
        kind=claim.kind,
        sentence=claim.sentence,
        verdict=verdict,
        findings=tuple(f.id for f in findings),
        seeds_needed=needed,
        reason=reason,
    )


def _against(kind: ClaimKind, finding: Finding) -> bool:
    if kind == "equivalent":
        return bool(finding.details.get("beyond_margin"))
    short = {"better": "below_by", "worse": "above_by"}.get(kind)
    if short is not None and finding.details.get(short):
        return True
    return finding.verdict in _AGAINST[kind]


def _why_open(findings: Sequence[Finding]) -> str:
    if not findings:
        return "no finding serves it"
    short = [f for f in findings if f.status == "insufficient_n"]
    if short:
        return _because(short, "has too few seeds to show anything")
    futile = [f for f in findings if f.details.get("stopped") == "futile"]
    if futile:
        return _because(futile, "no more seeds were added, for they would hardly decide it")
    return _because(findings, "is undecided")


def _because(findings: Sequence[Finding], what: str) -> str:
    where = ", ".join(f.task or "the mean over tasks" for f in findings)
    return f"{where}: {what}"


def _count(findings: Sequence[Finding]) -> str:
    return "one finding" if len(findings) == 1 else f"{len(findings)} findings"
