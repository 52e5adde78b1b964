"""Races as the conductor drives them: rounds, kills, crashes, retries and growth."""

import json
import os
import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fake_training
import pytest
from fake_training import (
    FACTS,
    MortalJournal,
    conductor,
    count,
    disturbed,
    drive,
    ends,
    nobody_crashes,
    planned,
    some_crash,
    undisturbed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate import journal, registered, tally
from ablate.journal import Journal, State
from ablate.plan import Plan
from ablate.stats.comparison import Comparison
from trials.spec import TrialSpec

LOOKS = [5, 8, 12]
ARMS = [
    {"method": "lora", "rank": 4}, {"method": "tlora", "rank": 4}, {"method": "mtlora", "rank": 4},
]  # fmt: skip
FIXED: dict[str, Any] = {
    "tune": None, "confirm": None, "race": {"looks": LOOKS}, "baselines": [{"method": "lora"}],
}  # fmt: skip
BETTER = {"id": "better", "kind": "better", "treatment": {"method": "mtlora"},
          "control": {"method": "lora"}, "task": "tiny_acceptability"}  # fmt: skip


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody cuts the power, and one method is better by far more than seeds differ."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setitem(fake_training.GAINS, "mtlora", 1.5)


def raced(**changes: Any) -> Plan:
    return planned(**{"arms": ARMS, **FIXED, **changes})


def seeds(plan: Plan, state: State) -> dict[str, int]:
    """Method -> how many seeds its cell was trained on."""
    return {
        cell.arm.method: sum(
            spec is not None for _, _, spec in tally.current_trials(plan, state, cell)
        )
        for cell in plan.cells
    }


def ledger(state: State) -> list[Any]:
    return [(look.batch, look.trials, look.num_trials, look.tests) for look in state.looks]


def compared(plan: Plan, state: State) -> dict[str, Comparison]:
    frame = tally.frame(plan, state, FACTS)
    return {item.id: item for item in registered.comparisons(plan, state, frame)}


def resume(plan: Plan, folder: Path, fate: Any = nobody_crashes) -> State:
    with Journal.open(folder) as record:
        course = conductor(plan, record)
        drive(course, random.Random(0), 3, fate)
        assert course.done
        return record.state


def decisions(state: State, batch: int = 1) -> list[tuple[int, str]]:
    return [
        (test["num_seeds"], test["decision"])
        for look in state.looks
        if look.batch == batch
        for test in look.tests
    ]


def test_the_better_arm_is_found_and_seeds_are_saved(tmp_path: Path) -> None:
    plan = raced()
    state = undisturbed(plan, tmp_path / "j", nobody_crashes)
    last = {test["question"]: test["decision"] for look in state.looks for test in look.tests}
    assert [d for q, d in last.items() if q.startswith("mtlora")] == ["decided"]
    trained = seeds(plan, state)
    assert trained["mtlora"] < 12
    assert trained["lora"] == max(trained.values())
    assert sum(trained.values()) < 3 * 12
    assert sum(trained.values()) == len(state.trials)
    assert {t.spec_json["stage"] for t in state.trials.values()} == {"confirm"}


@cache
def told(searched: bool) -> tuple[Plan, State]:
    plan = raced(**({"tune": dict(fake_training.TUNE)} if searched else {}))
    with TemporaryDirectory() as place:
        return plan, undisturbed(plan, Path(place) / "journal")


@settings(max_examples=12, deadline=None)
@given(
    searched=st.booleans(),
    seed=st.integers(0, 10**6),
    places=st.integers(1, 9),
    lives=st.lists(st.integers(0, 90), max_size=4),
)
def test_order_and_kills_change_no_decision(
    searched: bool, seed: int, places: int, lives: list[int]
) -> None:
    """Crashes among the trials, kills of the driver at any event, looks half written."""
    plan, quiet = told(searched)
    with TemporaryDirectory() as place:
        folder = Path(place) / "journal"
        state = disturbed(plan, folder, seed, places, lives, some_crash)
        assert ledger(state) == ledger(quiet)
        assert state.seeds == quiet.seeds
        assert ends(state) == ends(quiet)
        assert set(count(folder, "planned").values()) == {1}
        assert set(count(folder, "finished").values()) == {1}


def test_the_report_rules_by_the_looks_of_the_ledger(tmp_path: Path) -> None:
    plan = raced(claims=[BETTER])
    state = undisturbed(plan, tmp_path / "j", nobody_crashes)
    (name,) = plan.claims[0].comparisons
    item = compared(plan, state)[name]
    tests = [test for look in state.looks for test in look.tests]
    assert item.looks == tuple(LOOKS)
    assert item.seen == tuple(tuple(test["seeds"]) for test in tests)
    assert item.stopped == tests[-1]["decision"] == "decided"
    assert item.confirmatory
    # What no claim is about has the seeds of the first look.
    assert seeds(plan, state)["tlora"] == 5


def test_a_claim_about_spread_keeps_all_seeds(tmp_path: Path) -> None:
    steady = {**BETTER, "id": "steady", "kind": "less_variable"}
    plan = raced(claims=[BETTER, steady])
    state = undisturbed(plan, tmp_path / "j", nobody_crashes)
    assert seeds(plan, state) == {"lora": 12, "tlora": 5, "mtlora": 12}
    spread = [t for look in state.looks for t in look.tests if t["question"].startswith("steady")]
    assert [t["p_value"] is None for t in spread] == [True, True, False]


def crashes_early(spec: TrialSpec) -> int | None:
    return 0 if spec.method == "mtlora" and spec.seed == 2 else None


def test_a_retried_seed_counts_from_the_next_look_on(tmp_path: Path) -> None:
    plan = raced(claims=[{**BETTER, "treatment": {"method": "tlora"}}])

    def fate(spec: TrialSpec) -> int | None:
        return 0 if spec.method == "tlora" and spec.seed == 2 else None

    before = undisturbed(plan, tmp_path / "j", fate)
    assert before.looks[0].tests[0]["seeds"] == [0, 1, 3, 4]
    failed = [t.id for t in before.trials.values() if t.status == "crashed"]
    with Journal.open(tmp_path / "j") as record:
        for identity in failed:
            record.append(journal.retried(identity))
    after = resume(plan, tmp_path / "j")
    assert ledger(after)[: len(before.looks)] == ledger(before)
    (item,) = [c for c in compared(plan, after).values() if c.claim_id]
    assert item.seen is not None
    assert item.seen[0] == (0, 1, 3, 4)


def test_an_arm_that_fails_throughout_waits_for_a_retry(tmp_path: Path) -> None:
    """The others go on without it; retried, it has its first look, and so on."""

    def fate(spec: TrialSpec) -> int | None:
        return 0 if spec.method == "mtlora" else None

    plan = raced()
    before = undisturbed(plan, tmp_path / "j", fate)
    assert seeds(plan, before)["mtlora"] == 5
    assert {t["question"].split()[0] for look in before.looks for t in look.tests} == {"tlora"}
    with Journal.open(tmp_path / "j") as record:
        for trial in list(record.state.trials.values()):
            if trial.status == "crashed":
                record.append(journal.retried(trial.id))
    after = resume(plan, tmp_path / "j")
    found = [t for look in after.looks for t in look.tests if t["question"].startswith("mtlora")]
    assert found[0]["num_seeds"] == 5
    assert found[-1]["decision"] == "decided"


def test_an_arm_added_late_is_a_batch_of_its_own(tmp_path: Path) -> None:
    first = raced(arms=ARMS[:2])
    before = undisturbed(first, tmp_path / "j", nobody_crashes)
    grown = raced()
    after = resume(grown, tmp_path / "j")
    assert ledger(after)[: len(before.looks)] == ledger(before)
    assert {look.batch for look in after.looks} == {1, 2}
    assert decisions(after, 2)[-1][1] == "decided"
    found = compared(grown, after)
    old, new = (next(c for n, c in found.items() if n.startswith(m)) for m in ("tlora", "mtlora"))
    assert (old.family, new.family) == ("baselines", "baselines: added in revision 2")
    assert (old.late, new.late, new.confirmatory) == (False, True, False)
    # Only what is new was trained: the control's seeds were there.
    assert sum(t.late for t in after.trials.values()) == seeds(grown, after)["mtlora"]


def test_looks_added_late_leave_the_registered_ones_alone(tmp_path: Path) -> None:
    """An undecided claim keeps its looks and its verdict; more seeds are an exploratory batch."""
    plan = raced(claims=[{**BETTER, "treatment": {"method": "tlora"}}], race={"looks": [4, 6]})
    before = undisturbed(plan, tmp_path / "j", nobody_crashes)
    if decisions(before)[-1][1] == "decided":
        raise AssertionError("the story needs a claim that two looks leave open")
    more = raced(claims=[{**BETTER, "treatment": {"method": "tlora"}}], race={"looks": [4, 6, 20]})
    after = resume(more, tmp_path / "j")
    assert ledger(after)[: len(before.looks)] == ledger(before)
    (item,) = [c for c in compared(more, after).values() if c.claim_id]
    assert item.looks == (4, 6)
    assert len(item.seen or ()) == len(decisions(before))
    assert [n for n, _ in decisions(after, 2)][0] == 4
    late = {t.spec_json["seed"] for t in after.trials.values() if t.late}
    assert late <= set(range(6, 20))
    assert after.revisions[-1].added[-1] == "looks at 4, 6, 20 seeds"


def test_the_first_plan_decides_not_the_file_of_today(tmp_path: Path) -> None:
    """Turned into a fixed number of seeds after results, a claim is tested by its looks still."""
    plan = raced(claims=[BETTER])
    undisturbed(plan, tmp_path / "j", nobody_crashes)
    fixed = raced(claims=[BETTER], race=None, confirm={"seeds": 12})
    after = resume(fixed, tmp_path / "j")
    (item,) = [c for c in compared(fixed, after).values() if c.claim_id]
    assert item.looks == tuple(LOOKS)
    assert len(item.seen or ()) == len({n for n, _ in decisions(after)})


def test_a_race_that_is_over_takes_no_look_again(tmp_path: Path) -> None:
    plan = raced()
    undisturbed(plan, tmp_path / "j", nobody_crashes)
    events = len(journal.read(tmp_path / "j"))
    resume(plan, tmp_path / "j")
    assert len(journal.read(tmp_path / "j")) == events


def test_the_ledger_is_plain_json(tmp_path: Path) -> None:
    state = undisturbed(raced(), tmp_path / "j")
    assert json.loads(json.dumps([look.tests for look in state.looks], allow_nan=False))
    assert MortalJournal.lives is None
