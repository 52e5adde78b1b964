import pytest

from ablate.stats.claims import Claim, rule
from ablate.stats.finding import Finding


def finding(verdict: str, name: str = "f", **options: object) -> Finding:
    base = {"id": name, "kind": "mean", "task": "cola", "treatment": {}, "control": {}, "n": 5,
            "level": 0.95, "family": "claims", "status": "ok", "verdict": verdict}  # fmt: skip
    return Finding(**{**base, **options})


@pytest.mark.parametrize(
    ("kind", "verdict", "expected"),
    [
        ("better", "better", "supported"),
        ("better", "worse", "contradicted"),
        ("better", "undecided", "undecided"),
        ("worse", "worse", "supported"),
        ("worse", "better", "contradicted"),
        ("less_variable", "less_variable", "supported"),
        ("less_variable", "more_variable", "contradicted"),
        ("more_variable", "less_variable", "contradicted"),
        ("equivalent", "equivalent_but_different", "supported"),
        ("equivalent", "different", "undecided"),
        ("different", "worse", "supported"),
        ("different", "equivalent", "contradicted"),
    ],
)
def test_rulings(kind: str, verdict: str, expected: str) -> None:
    assert rule(Claim("c", kind, "s", ("f",)), [finding(verdict)]).verdict == expected


def test_a_gain_short_of_the_claimed_one_contradicts_it() -> None:
    short = finding("undecided", details={"below_by": True})
    assert rule(Claim("c", "better", "s", ("f",)), [short]).verdict == "contradicted"
    assert rule(Claim("c", "worse", "s", ("f",)), [short]).verdict == "undecided"


def test_a_loss_short_of_the_claimed_one_contradicts_it() -> None:
    short = finding("undecided", details={"above_by": True})
    assert rule(Claim("c", "worse", "s", ("f",)), [short]).verdict == "contradicted"
    assert rule(Claim("c", "better", "s", ("f",)), [short]).verdict == "undecided"


def test_a_difference_beyond_the_margin_contradicts_equivalence() -> None:
    far = finding("different", details={"beyond_margin": True})
    assert rule(Claim("c", "equivalent", "s", ("f",)), [far]).verdict == "contradicted"


def test_every_finding_must_support_and_one_may_contradict() -> None:
    claim = Claim("c", "better", "s", ("f", "g"))
    good, open_ = finding("better"), finding("undecided", "g", seeds_needed=17)
    seen = rule(claim, [good, open_])
    assert (seen.verdict, seen.seeds_needed, seen.findings) == ("undecided", 17, ("f", "g"))
    assert rule(claim, [good, finding("worse", "g")]).verdict == "contradicted"
    assert rule(claim, [good, finding("better", "g", status="not_robust")]).verdict == "not_robust"


def test_a_claim_without_seeds_or_findings_is_undecided() -> None:
    claim = Claim("c", "better", "s", ("f",))
    few = rule(claim, [finding("undecided", status="insufficient_n")])
    assert (few.verdict, few.seeds_needed) == ("undecided", None)
    assert "too few seeds" in few.reason
    assert rule(claim, []).verdict == "undecided"


def test_claims_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        Claim("c", "nicer", "s", ("f",))
    with pytest.raises(ValueError, match="needs a comparison"):
        Claim("c", "better", "s", ())
