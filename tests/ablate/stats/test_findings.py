"""The whole analysis on tables whose answer is known."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate import frame
from ablate.stats.claims import Claim
from ablate.stats.comparison import Comparison, against_baselines
from ablate.stats.finding import Finding
from ablate.stats.findings import Findings, analyse, validate
from trials.errors import UserError

Table = Callable[..., pd.DataFrame]
LORA = [0.50, 0.52, 0.49, 0.53, 0.51, 0.50, 0.54, 0.52]
SHIM = [0.56, 0.57, 0.56, 0.58, 0.58, 0.55, 0.60, 0.59]
CLAIM = Comparison("c", "cola", "backbone", ("shim",), ("lora",), "mean", "claims", True, "c")
BETTER = Claim("c", "better", "shim is better than lora", ("c",))


def run(
    table: pd.DataFrame, *comparisons: Comparison, claims: tuple[Claim, ...] = (), **options: Any
) -> Findings:
    rng = np.random.default_rng(5)
    found = analyse(table, comparisons=comparisons, claims=claims, rng=rng, **options)
    validate(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    return found


def only(found: Findings, name: str = "c") -> Finding:
    return next(finding for finding in found.findings if finding.id == name)


def test_a_clear_gain_supports_its_claim(table: Table) -> None:
    found = run(table({"lora": LORA, "shim": SHIM}), CLAIM, claims=(BETTER,))
    seen = only(found)
    oracle = stats.ttest_rel(SHIM, LORA)
    assert seen.p_value == pytest.approx(oracle.pvalue)
    assert seen.estimate == pytest.approx(np.mean(SHIM) - np.mean(LORA))
    assert (seen.verdict, seen.n, seen.paired, seen.seeds_needed) == ("better", 8, True, None)
    assert found.claims[0].verdict == "supported"
    assert seen.treatment == {"label": "shim", "method": "shim"}
    assert found.findings[0].confirmatory


def test_swapping_sides_mirrors_the_finding(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM})
    seen = only(run(data, replace(CLAIM, treatment=("lora",), control=("shim",))))
    assert seen.verdict == "worse"
    assert seen.estimate == pytest.approx(-only(run(data, CLAIM)).estimate)


def test_lower_is_better(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM}, direction="lower")
    found = run(data, CLAIM, claims=(BETTER,))
    assert only(found).estimate < 0
    assert found.claims[0].verdict == "contradicted"
    assert found.cells[0]["mean"] == pytest.approx(np.mean(LORA))


def test_a_gain_must_exceed_what_was_claimed(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM})
    found = run(data, replace(CLAIM, by=0.2), claims=(BETTER,))
    assert only(found).verdict == "undecided"
    assert found.claims[0].verdict == "contradicted"
    assert run(data, replace(CLAIM, by=0.02), claims=(BETTER,)).claims[0].verdict == "supported"


def test_a_loss_must_exceed_what_was_claimed(table: Table) -> None:
    """`worse` by so much is tested against a loss of so much, not against a gain."""
    worse = Claim("c", "worse", "lora is worse than shim", ("c",))
    sides = replace(CLAIM, treatment=("lora",), control=("shim",))
    verdicts = {
        by: run(table({"lora": LORA, "shim": SHIM}), replace(sides, by=by), claims=(worse,))
        .claims[0].verdict for by in (0.0, -0.02, -0.2)
    }  # fmt: skip
    assert verdicts == {0.0: "supported", -0.02: "supported", -0.2: "contradicted"}


def test_one_seed_gives_values_alone(table: Table) -> None:
    found = run(table({"lora": [0.5], "shim": [0.6]}), CLAIM, claims=(BETTER,))
    seen = only(found)
    assert seen.estimate == pytest.approx(0.1)
    assert (seen.ci_low, seen.p_value, seen.p_adjusted) == (None, None, None)
    assert (seen.status, seen.verdict) == ("insufficient_n", "undecided")
    assert found.cells[0]["sd"] is None
    assert found.claims[0].verdict == "undecided"


def test_two_seeds_have_no_variance_test(table: Table) -> None:
    data = table({"lora": [0.5, 0.6], "shim": [0.6, 0.8]})
    seen = only(run(data, replace(CLAIM, kind="variance")))
    assert (seen.p_value, seen.status) == (None, "insufficient_n")


def test_a_constant_gain_is_left_to_the_sign_flip_test(table: Table) -> None:
    data = table({"lora": LORA, "shim": [x + 0.03 for x in LORA]}, grid_step=0.01)
    seen = only(run(data, CLAIM))
    assert (seen.status, seen.details["p_t"]) == ("degenerate_zero_variance", None)
    assert seen.p_value == 2 / 2**8
    assert seen.verdict == "better"


def test_identical_arms_are_undecided(table: Table) -> None:
    seen = only(run(table({"lora": LORA, "shim": LORA}), CLAIM))
    assert (seen.status, seen.p_value, seen.verdict) == (
        "degenerate_no_difference",
        1.0,
        "undecided",
    )


def test_a_missing_baseline_is_reported_not_filled(table: Table) -> None:
    found = run(table({"shim": SHIM}), CLAIM, claims=(BETTER,))
    assert (only(found).n, only(found).estimate) == (0, None)
    assert found.claims[0].verdict == "undecided"
    assert any(m["arm"] == "lora" and "no row of this arm" in m["reason"] for m in found.missing)


def test_undefined_scores_are_left_out_and_said(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM})
    data.loc[0, "score"] = np.nan
    found = run(data, CLAIM)
    assert (only(found).status, only(found).n) == ("nan_present", 7)
    assert found.cells[0]["status"] == "nan_present"


def test_a_gain_that_rests_on_dead_seeds_is_not_robust(table: Table) -> None:
    shim = [None, None, None, *SHIM[3:]]
    found = run(table({"lora": LORA, "shim": shim}), CLAIM, claims=(BETTER,))
    seen = only(found)
    assert (seen.verdict, seen.status, seen.num_failed) == ("better", "not_robust", 3)
    assert seen.details["dropped_seeds"] == (0, 1, 2)
    assert found.claims[0].verdict == "not_robust"
    assert sum(m["status"] == "diverged" for m in found.missing) == 3


def test_a_failure_of_the_control_leaves_a_gain_robust(table: Table) -> None:
    found = run(table({"lora": [None, *LORA[1:]], "shim": SHIM}), CLAIM, claims=(BETTER,))
    assert found.claims[0].verdict == "supported"


def test_holm_within_the_family_only(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM, "icfm": [x + 0.004 * (i % 3) for i, x in
                  enumerate(LORA)]})  # fmt: skip
    second = replace(CLAIM, id="d", treatment=("icfm",))
    both = run(data, CLAIM, second)
    smaller = min(only(both).p_value, only(both, "d").p_value)
    assert min(only(both).p_adjusted, only(both, "d").p_adjusted) == pytest.approx(2 * smaller)
    apart = run(data, CLAIM, replace(second, family="other"))
    assert only(apart, "d").p_adjusted == only(apart, "d").p_value


def test_too_few_seeds_in_pairs_shows_welch_beside(table: Table) -> None:
    data = table({"lora": LORA[:5], "shim": SHIM})
    found = run(data[~((data["arm"] == "lora") & (data["seed"] == 4))], CLAIM)
    beside = only(found, "c/welch")
    assert (only(found).n, only(found).n_dropped) == (4, 4)
    assert (beside.test, beside.paired, beside.confirmatory) == ("Welch", False, False)
    oracle = stats.ttest_ind(SHIM, LORA[:4], equal_var=False)
    assert beside.p_value == pytest.approx(oracle.pvalue)


def test_arms_without_common_seeds_are_compared_unpaired(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM})
    data["seed"] += 100 * (data["arm"] == "shim")
    seen = only(run(data, CLAIM))
    assert (seen.paired, seen.test, seen.verdict) == (False, "Welch", "better")
    spread = only(run(data, replace(CLAIM, kind="variance")))
    assert spread.p_value == pytest.approx(stats.levene(SHIM, LORA, center="median").pvalue)


def test_a_claim_over_tasks_is_clustered_by_seed(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM}, tasks=["cola", "rte"])
    parts = [CLAIM, replace(CLAIM, id="d", task="rte")]
    found = run(data, *parts, claims=(replace(BETTER, comparisons=("c", "d"), over_tasks=True),))
    seen = only(found, "c/tasks")
    assert seen.p_value == pytest.approx(stats.ttest_rel(SHIM, LORA).pvalue)
    assert (seen.kind, seen.task, seen.details["tasks"]) == ("across_tasks", None, ["cola", "rte"])
    assert seen.p_adjusted == seen.p_value
    assert [only(found, name).confirmatory for name in ("c", "d")] == [False, False]
    assert found.claims[0].findings == ("c/tasks",)
    assert found.claims[0].verdict == "supported"


@pytest.mark.parametrize("kind", ["equivalence", "variance"])
def test_other_questions_over_tasks(table: Table, kind: Any) -> None:
    data = table({"lora": LORA, "shim": SHIM}, tasks=["cola", "rte"])
    claim = Claim("c", "equivalent" if kind == "equivalence" else "less_variable", "s",
                  ("c", "d"), over_tasks=True)  # fmt: skip
    parts = [replace(CLAIM, kind=kind), replace(CLAIM, kind=kind, id="d", task="rte")]
    found = run(data, *parts, claims=(claim,), margin=0.2)
    assert found.claims[0].verdict == ("supported" if kind == "equivalence" else "undecided")


def test_equivalence_and_its_verdicts(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM})
    seen = only(run(data, replace(CLAIM, kind="equivalence", margin=0.2)))
    assert (seen.verdict, seen.level) == ("equivalent_but_different", pytest.approx(0.9))
    far = run(data, replace(CLAIM, kind="equivalence"), margin=0.01,
              claims=(Claim("c", "equivalent", "s", ("c",)),))  # fmt: skip
    assert only(far).verdict == "different"
    assert far.claims[0].verdict == "contradicted"
    assert only(run(data, replace(CLAIM, kind="equivalence"))).p_value is None


def test_a_steadier_arm(table: Table) -> None:
    wild = [0.5 + 0.2 * (-1) ** i * (i + 1) / 8 for i in range(8)]
    found = run(table({"lora": wild, "shim": SHIM}), replace(CLAIM, kind="variance"))
    assert (only(found).verdict, only(found).effect_size_kind) == ("less_variable", "log_sd_ratio")
    assert only(found).estimate < 0


def test_late_seeds_are_shown_beside_and_never_confirm(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM})
    data["late"] = data["seed"] >= 5
    found = run(data, CLAIM, claims=(BETTER,))
    beside = only(found, "c/with-late")
    assert (only(found).n, only(found).details["late"]) == (5, False)
    assert (beside.n, beside.confirmatory, beside.details["late"]) == (8, False, True)
    assert found.claims[0].findings == ("c",)
    late_claim = run(data, replace(CLAIM, late=True))
    assert (only(late_claim).n, only(late_claim).details["late"]) == (8, True)
    exploratory = run(data, replace(CLAIM, confirmatory=False))
    assert (only(exploratory).n, only(exploratory).details["late"]) == (8, True)


def test_a_side_picked_by_search(table: Table) -> None:
    data = table({"lora rank=4": LORA, "lora rank=8": SHIM, "shim": SHIM})
    search = data.drop_duplicates("arm").assign(stage="search", score=[0.9, 0.1, 0.5], seed=99)
    both = frame.check(pd.concat([data, search]))
    picked = replace(CLAIM, control=("lora rank=4", "lora rank=8"), pick="control")
    seen = only(run(both, picked))
    assert seen.details["control_arms"] == ("lora rank=4",)
    assert seen.details["control_picked_by_search"]
    assert only(run(data, picked)).n == 0


def test_averaged_arms_list_what_differs() -> None:
    rows = [
        {"method": m, "rank": r, "seed": s, "score": 0.5 + 0.01 * s + 0.02 * (m == "shim")}
        for m in ("lora", "shim") for r in (4, 8) for s in range(4)
    ]  # fmt: skip
    both = replace(
        CLAIM,
        task="task",
        treatment=("shim rank=4", "shim rank=8"),
        control=("lora rank=4", "lora rank=8"),
    )
    seen = only(run(pd.DataFrame(rows), both))
    assert seen.treatment["rank"] == [4, 8]
    assert seen.treatment["method"] == "shim"


def test_undecided_findings_name_the_seeds_they_need(table: Table) -> None:
    shim = [x + d for x, d in zip(LORA, [0.02, -0.01, 0.015, -0.005, 0.01, 0, 0.02, -0.012],
                                  strict=True)]  # fmt: skip
    found = run(table({"lora": LORA, "shim": shim}), CLAIM, claims=(BETTER,))
    seen = only(found)
    assert seen.verdict == "undecided"
    assert seen.seeds_needed > 8
    assert seen.details["detectable_effect"] > abs(seen.estimate)
    assert found.claims[0].seeds_needed == seen.seeds_needed


def test_planned_looks_spend_the_level(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM})
    seen = only(run(data, CLAIM, planned_looks=(5, 8)))
    first = stats.ttest_rel(SHIM[:5], LORA[:5]).pvalue / (5 / 8) ** 2
    second = stats.ttest_rel(SHIM, LORA).pvalue / (1 - (5 / 8) ** 2)
    assert seen.p_value == pytest.approx(min(first, second))
    assert (seen.sequential, seen.details["looks_done"]) == (True, 2)
    early = only(run(data, CLAIM, planned_looks=(10, 20)))
    assert (early.p_value, early.status, early.sequential) == (None, "insufficient_n", True)


def test_other_comparisons_change_no_number(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM, "icfm": LORA[::-1]})
    spread = replace(CLAIM, kind="variance")
    alone = only(run(data, spread))
    other = only(run(data, replace(CLAIM, id="d", treatment=("icfm",)), spread))
    assert (alone.ci_low, alone.p_value) == (other.ci_low, other.p_value)


def test_seeds_in_any_order_and_arms_in_any_order(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM})
    shuffled = data.sample(frac=1, random_state=3)
    assert only(run(shuffled, CLAIM)).to_json() == only(run(data, CLAIM)).to_json()


def test_baselines_over_tasks_and_the_time_it_takes() -> None:
    rng = np.random.default_rng(1)
    arms = [("lora", 4), ("lora", 8), *((m, r) for m in ("shim", "icfm", "dtsm") for r in (4, 8))]
    rows = [
        {"task": t, "method": m, "rank": r, "seed": s, "score": rng.normal()}
        for t in ("cola", "rte") for m, r in arms for s in range(5)
    ]  # fmt: skip
    table = frame.check(pd.DataFrame(rows))
    comparisons = against_baselines(table, [{"method": "lora"}])
    run(table, *comparisons)
    start = time.perf_counter()
    found = run(table, *comparisons)
    assert time.perf_counter() - start < 3  # usually a quarter of a second
    kinds = [finding.kind for finding in found.findings]
    assert (kinds.count("mean"), kinds.count("across_tasks")) == (12, 6)
    assert len(found.cells) == 16
    assert len(found.variance) == 6
    assert not any(finding.confirmatory for finding in found.findings)


def test_a_null_table_seldom_shows_anything() -> None:
    rng, rejected = np.random.default_rng(2), 0
    for _ in range(12):
        rows = [(m, s, rng.normal()) for m in ("lora", "a", "b", "c") for s in range(6)]
        table = frame.check(pd.DataFrame(rows, columns=["method", "seed", "score"]))
        comparisons = against_baselines(table, [{"method": "lora"}], kinds=["mean"])
        found = analyse(table, comparisons=comparisons, claims=(), rng=rng)
        rejected += any(finding.verdict != "undecided" for finding in found.findings)
    assert rejected <= 3


def test_seeds_that_other_arms_have_are_listed_as_missing(table: Table) -> None:
    found = run(table({"lora": LORA, "shim": SHIM[:7]}), CLAIM)
    assert found.missing == (
        {"task": "cola", "backbone": "backbone", "arm": "shim", "stage": "confirm", "seed": 7,
         "status": "missing", "reason": "other arms have this seed"},
    )  # fmt: skip


def test_an_empty_table_has_no_findings(table: Table) -> None:
    found = run(table({"lora": LORA}).iloc[:0], CLAIM, claims=(BETTER,))
    assert (found.metric, found.split, found.cells) == (None, None, ())
    assert only(found).n == 0


def test_mistakes_are_refused(table: Table) -> None:
    data = table({"lora": LORA, "shim": SHIM})
    with pytest.raises(ValueError, match="comparisons that repeat"):
        run(data, CLAIM, CLAIM)
    with pytest.raises(ValueError, match="claims lack"):
        run(data, claims=(BETTER,))
    with pytest.raises(ValueError, match="level must be"):
        run(data, CLAIM, level=95)
    with pytest.raises(UserError, match="the column is missing"):
        run(pd.DataFrame({"arm": ["a"]}), CLAIM)
