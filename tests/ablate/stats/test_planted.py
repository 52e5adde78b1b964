"""Effects that were planted are found, and those that were not are not."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from ablate import frame
from ablate.stats.claims import Claim
from ablate.stats.comparison import against_baselines
from ablate.stats.finding import Finding
from ablate.stats.findings import Findings, analyse

TASKS = tuple(f"task{i}" for i in range(8))


def table(arms: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A table of (tasks, seeds) scores; NaN is a trial that diverged."""
    rows = [
        {"task": TASKS[t], "method": arm, "seed": s, "score": scores[t, s],
         "status": "diverged" if np.isnan(scores[t, s]) else "finished"}
        for arm, scores in arms.items() for t, s in np.ndindex(scores.shape)
    ]  # fmt: skip
    return frame.check(pd.DataFrame(rows))


def analysed(data: pd.DataFrame, margin: float | None = None) -> Findings:
    asked = against_baselines(data, [{"method": "lora"}], margin=margin)
    claims = (Claim("c", "better", "shim is better", (asked[0].id,)),)
    return analyse(data, comparisons=asked, claims=claims, margin=margin,
                   rng=np.random.default_rng(0))  # fmt: skip


def only(found: Findings, kind: str, task: str | None = None) -> Finding:
    return next(f for f in found.findings if f.kind == kind and f.task == task)


def seeds_of(rng: np.random.Generator, sd: float = 1.0, seeds: int = 20) -> np.ndarray:
    """Eight tasks whose seeds are partly lucky on all of them."""
    shared = 0.5 * rng.normal(size=(1, seeds))
    return 80 + shared + sd * rng.normal(size=(8, seeds))


def test_a_gain_on_all_tasks_and_a_steadier_arm_on_one() -> None:
    rng = np.random.default_rng(1)
    lora, shim = seeds_of(rng), seeds_of(rng) + 1.0
    noise = rng.normal(size=(2, 20))
    lora[0], shim[0] = 80 + 1.5 * noise[0], 81 + 0.8 * noise[1]
    found = analysed(table({"lora": lora, "shim": shim}))
    gain = only(found, "across_tasks")
    assert gain.verdict == "better"
    assert gain.ci_low < 1.0 < gain.ci_high
    spread = only(found, "variance", "task0")
    assert spread.estimate == pytest.approx(-0.7, abs=0.35)
    assert spread.ci_low < spread.estimate < spread.ci_high < 0
    assert spread.details["sd_control"] - spread.details["sd_treatment"] > 0
    assert spread.p_value < 0.05


def test_equal_arms_give_no_claim() -> None:
    """Of 40 studies with a true null hypothesis two would claim a gain, did they not adjust."""
    supported = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        data = table({arm: seeds_of(rng)[:2] for arm in ("lora", "shim", "icfm")})
        supported += any(claim.verdict == "supported" for claim in analysed(data).claims)
    assert supported <= 2


def test_one_below_is_not_equivalent_within_one() -> None:
    rng = np.random.default_rng(3)
    data = table({"lora": seeds_of(rng)[:1], "shim": seeds_of(rng)[:1] - 1.0})
    seen = only(analysed(data, margin=1.0), "equivalence", "task0")
    assert seen.verdict not in ("equivalent", "equivalent_but_different")


def test_a_small_difference_may_be_real_and_trivial() -> None:
    rng = np.random.default_rng(4)
    lora = seeds_of(rng)[:1]
    shim = lora + 0.3 + 0.1 * rng.normal(size=lora.shape)
    seen = only(analysed(table({"lora": lora, "shim": shim}), 1.0), "equivalence", "task0")
    assert seen.verdict == "equivalent_but_different"


def test_failures_of_the_worst_fifth_are_not_robust() -> None:
    """Of two equal arms the one that loses its worst seeds seems better; with them it is not."""
    rng = np.random.default_rng(0)
    lora, shim = rng.normal(80, 1, size=(2, 1, 20))
    shim[0, shim[0] < np.sort(shim[0])[4]] = np.nan
    found = analysed(table({"lora": lora, "shim": shim}))
    seen = only(found, "mean", "task0")
    assert (seen.verdict, seen.num_failed) == ("better", 4)
    assert seen.status == "not_robust"
    assert seen.details["verdict_failed_worst"] == "undecided"
    assert found.claims[0].verdict == "not_robust"


def test_rare_collapses_are_skewed_and_counted() -> None:
    rng = np.random.default_rng(6)
    lora, shim = rng.normal(80, 1, size=(2, 1, 20))
    shim[0, [3, 11]] = 50.0
    found = analysed(table({"lora": lora, "shim": shim}))
    seen = only(found, "mean", "task0")
    assert (seen.status, seen.test) == ("skewed", "paired t and sign-flip")
    assert seen.p_value == max(seen.details["p_t"], seen.details["p_sign_flip"])
    assert (seen.details["collapsed_treatment"], seen.details["collapsed_control"]) == (2, 0)
    cell = next(cell for cell in found.cells if cell["arm"] == "shim")
    assert cell["num_collapsed"] == 2
    assert 0 < cell["collapse_low"] < 0.1 < cell["collapse_high"]


def skewed_gain(seeds: int) -> pd.DataFrame:
    """Every seed gains, one of them much more than the others."""
    lora = np.random.default_rng(7).normal(80, 1, size=(1, seeds))
    gains = np.full(seeds, 1.0) + np.linspace(0, 0.2, seeds)
    gains[0] = 4.0
    return table({"lora": lora, "shim": lora + gains})


def test_five_skewed_seeds_cannot_decide_and_the_finding_says_so() -> None:
    """t and sign-flip must both reject, and of five seeds a sign-flip cannot."""
    seen = only(analysed(skewed_gain(5)), "mean", "task0")
    assert seen.details["skewed"]
    assert (seen.p_value, seen.status, seen.verdict) == (0.0625, "insufficient_n", "undecided")
    assert seen.seeds_needed >= 6
    assert "with 5 seeds cannot reject at all; it takes 6" in seen.details["note"]


def test_enough_skewed_seeds_can() -> None:
    seen = only(analysed(skewed_gain(8)), "mean", "task0")
    assert (seen.status, seen.verdict, seen.details["note"]) == ("skewed", "better", None)


def test_skewed_seeds_within_a_margin_need_one_side_only() -> None:
    """A one-sided sign-flip of five seeds can reach .05, and TOST is one-sided."""
    seen = only(analysed(skewed_gain(5), margin=50.0), "equivalence", "task0")
    assert (seen.status, seen.p_value) == ("skewed", 1 / 32)
    assert seen.verdict == "equivalent"


def test_a_family_asks_for_more_seeds_than_one_comparison() -> None:
    lora = np.random.default_rng(8).normal(80, 1, size=(1, 6))
    arms = {"lora": lora} | {f"m{i}": lora + 0.5 + i for i in range(3)}
    data = table(arms)
    found = analysed(data)
    spread = [f for f in found.findings if f.kind == "variance"]
    assert {f.status for f in spread} <= {"ok"}
    assert all("cannot be the first of 3 comparisons" in f.details["note"] for f in spread)
    gains = [f for f in found.findings if f.kind == "mean"]
    assert {(f.status, f.p_value) for f in gains} == {("degenerate_zero_variance", 1 / 32)}
    assert {f.verdict for f in gains} == {"better"}, "together they pass Benjamini and Hochberg"
