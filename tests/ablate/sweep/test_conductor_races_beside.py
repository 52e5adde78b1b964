"""Races beside all else that a study may have: sources, limits, trials taken over, searches."""

import os
import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fake_training
import pytest
from fake_training import (
    FACTS,
    TUNE,
    Training,
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

from ablate import certificate, journal, registered, rounds, runner, tally, tuning
from ablate.journal import Journal, State
from ablate.limits import Limits
from ablate.plan import Plan
from ablate.reuse import Finished
from trials.spec import Progress, TrialResult, TrialSpec

LOOKS = [5, 8, 12]
FIRST, SECOND = "tiny_acceptability", "tiny_paraphrase"
ARMS = [
    {"method": "lora", "rank": 4}, {"method": "tlora", "rank": 4}, {"method": "mtlora", "rank": 4},
]  # fmt: skip
START = [{"when": {"task": SECOND}, "train": {"start_from": {"task": FIRST}}}]
ON_SECOND = {"id": "c", "kind": "different", "treatment": {"method": "tlora"},
             "control": {"method": "lora"}, "task": SECOND}  # fmt: skip
SHORT: Mapping[str, Any] = {**TUNE, "budget": {"trials": 3}}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody cuts the power, and one method is better by far more than seeds differ."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setitem(fake_training.GAINS, "mtlora", 1.5)


def raced(**changes: Any) -> Plan:
    fixed: dict[str, Any] = {
        "arms": ARMS, "tune": None, "confirm": None, "race": {"looks": LOOKS},
        "baselines": [{"method": "lora"}],
    }  # fmt: skip
    return planned(**{**fixed, **changes})


@cache
def linked(tuned: bool) -> Plan:
    """The claim is about the task that starts from the other, which is named last."""
    claim = {**ON_SECOND, "kind": "less_variable"}
    return planned(
        arms=ARMS, confirm=None, race={"looks": LOOKS}, tasks=[SECOND, FIRST], overrides=START,
        claims=[claim], tune=SHORT if tuned else None,
    )  # fmt: skip


@cache
def told(tuned: bool, fate: Any = some_crash) -> State:
    with TemporaryDirectory() as place:
        return undisturbed(linked(tuned), Path(place) / "journal", fate)


def ledger(state: State) -> list[Any]:
    return [(look.batch, look.trials, look.num_trials, look.tests) for look in state.looks]


def seeds(plan: Plan, state: State) -> dict[tuple[str, str], int]:
    """(task, method) -> how many seeds its cell was trained on."""
    return {
        (cell.task, cell.arm.method): sum(
            spec is not None for _, _, spec in tally.current_trials(plan, state, cell)
        )
        for cell in plan.cells
    }


# trials that start from another task's adapter


@pytest.mark.parametrize("tuned", [False, True])
def test_a_seed_that_is_added_brings_the_seed_that_it_starts_from(tuned: bool) -> None:
    plan, state = linked(tuned), told(tuned, nobody_crashes)
    # Nothing is asked about the first task: its cells have what starts from them.
    assert seeds(plan, state) == {
        (SECOND, "lora"): 12, (SECOND, "tlora"): 12, (SECOND, "mtlora"): 5,
        (FIRST, "lora"): 12, (FIRST, "tlora"): 12, (FIRST, "mtlora"): 5,
    }  # fmt: skip
    begun = [t for t in state.trials.values() if t.spec_json["task"] == SECOND]
    for trial in begun:
        source = state.trials[str(trial.spec.source)]
        assert (source.status, source.spec.task) == ("finished", FIRST)
        if trial.spec.stage == "confirm":
            assert source.spec.seed == trial.spec.seed
    for look in state.looks:
        assert {test["question"].partition(":")[0] for test in look.tests} == {"c"}


@settings(max_examples=10, deadline=None)
@given(
    tuned=st.booleans(),
    seed=st.integers(0, 10**6),
    places=st.integers(1, 7),
    lives=st.lists(st.integers(0, 90), max_size=4),
)
def test_order_and_kills_change_no_decision(
    tuned: bool, seed: int, places: int, lives: list[int]
) -> None:
    plan, quiet = linked(tuned), told(tuned)
    with TemporaryDirectory() as place:
        folder = Path(place) / "journal"
        state = disturbed(plan, folder, seed, places, lives)
        assert ledger(state) == ledger(quiet)
        assert state.seeds == quiet.seeds
        assert ends(state) == ends(quiet)
        assert set(count(folder, "finished").values()) == {1}


def test_a_source_that_fails_holds_no_race_up(tmp_path: Path) -> None:
    """Its followers have ended as well; retried, they count from the next look on."""
    plan = linked(False)

    def fate(spec: TrialSpec) -> int | None:
        return 0 if (spec.task, spec.method, spec.seed) == (FIRST, "lora", 3) else None

    before = undisturbed(plan, tmp_path / "j", fate)
    assert [test["seeds"] for look in before.looks for test in look.tests][0] == [0, 1, 2, 4]
    assert {len(test["seeds"]) + 1 for look in before.looks for test in look.tests} == set(LOOKS)
    with Journal.open(tmp_path / "j") as record:
        for trial in list(record.state.trials.values()):
            if trial.status == "crashed":
                record.append(journal.retried(trial.id))
        course = conductor(plan, record)
        drive(course, random.Random(0), 3, nobody_crashes)
        assert course.done
        assert {t.status for t in record.state.trials.values()} == {"finished"}
        assert ledger(record.state) == ledger(before)


@pytest.mark.parametrize(("stage", "tuned"), [("search", {}), ("search", {"task": FIRST}),
                                          ("confirm", {})])  # fmt: skip
def test_cells_that_can_never_begin_hold_no_race_up(
    tmp_path: Path, stage: str, tuned: Mapping[str, str]
) -> None:
    """Where the search of a source finds nothing, or the trial that searches start from fails."""
    other = {**ON_SECOND, "id": "d", "treatment": {"method": "mtlora"},
             "control": {"method": "tlora"}}  # fmt: skip
    rates = {**TUNE["space"]["learning_rate"], **({"when": tuned} if tuned else {})}
    plan = planned(
        arms=ARMS, confirm=None, race={"looks": LOOKS}, tasks=[SECOND, FIRST], overrides=START,
        claims=[ON_SECOND, other], tune={**SHORT, "space": {"learning_rate": rates}},
    )  # fmt: skip

    def fate(spec: TrialSpec) -> int | None:
        return 0 if (spec.task, spec.method, spec.stage) == (FIRST, "lora", stage) else None

    state = undisturbed(plan, tmp_path / "j", fate)
    (lora,) = (c for c in plan.cells if (c.task, c.arm.method) == (SECOND, "lora"))
    assert tally.stuck(plan, state, lora) is not None
    asked = {test["question"].partition(":")[0] for look in state.looks for test in look.tests}
    assert asked == {"d"}
    (last,) = [test for test in state.looks[-1].tests if test["question"].startswith("d")]
    assert last["decision"] == "decided"
    with Journal.open(tmp_path / "j") as record:
        assert runner._outcome(conductor(plan, record)) == "failures"


def test_the_certificate_of_a_search_from_another_adapter() -> None:
    plan, state = linked(True), told(True, nobody_crashes)
    rows = certificate.certificate(plan, state, FACTS)["cells"]
    counted = {
        (row["task"], row["label"].split()[0].lower()): row["chosen"][0]["n"] for row in rows
    }
    assert sorted(counted.values()) == sorted(seeds(plan, state).values())


# a run that stops at a limit


@pytest.mark.parametrize("each", [1, 4, 11])
def test_a_race_that_stops_at_a_limit_goes_on_where_it_was(tmp_path: Path, each: int) -> None:
    """A deadline that passes after so many trials, again and again."""
    plan = raced()
    quiet = undisturbed(plan, tmp_path / "quiet", nobody_crashes)
    stops = 0
    for _ in range(100):
        clock = iter([0.0] * each + [2.0] * 10**3)
        limit = Limits(until=1.0, clock=lambda clock=clock: next(clock))  # type: ignore[misc]
        with Journal.open(tmp_path / "j") as record:
            course = conductor(plan, record, limit=limit.reached)
            drive(course, random.Random(0), 2, nobody_crashes)
            state, stops = record.state, stops + (not course.done)
            assert course.done or course.halted is not None
            if course.done:
                break
    assert stops >= 1
    assert ledger(state) == ledger(quiet)
    assert ends(state) == ends(quiet)


def test_a_race_counts_what_it_costs(tmp_path: Path) -> None:
    plan = raced()
    limit = Limits(max_cost=0.0, price=1.0)
    with Journal.open(tmp_path / "j") as record:
        course = conductor(plan, record, limit=limit.reached)
        assert course.next() is None
        assert str(course.halted).startswith("max_cost 0 is reached")
        assert not record.state.looks


# trials of another study


def test_trials_of_another_study_are_ended_seeds(tmp_path: Path) -> None:
    """A whole race from them takes no training, a half of it half; the looks are the same."""
    plan = raced()
    quiet = undisturbed(plan, tmp_path / "quiet")

    def library(most: int) -> Any:
        def elsewhere(identity: str) -> Finished | None:
            spec = quiet.trials[identity].spec
            training, reports = Training(spec, some_crash), []
            while isinstance(made := training.advance(), Progress):
                reports.append(made)
            known = made.status == "finished" and spec.seed < most
            return Finished("other", reports, made) if known else None

        return elsewhere

    for most in (3, 30):
        folder = tmp_path / str(most)
        with Journal.open(folder) as record:
            course = conductor(plan, record, elsewhere=library(most))
            trained = drive(course, random.Random(0), 3)
            assert course.done
            assert ledger(record.state) == ledger(quiet)
            assert ends(record.state) == ends(quiet)
            reused = {t.id for t in record.state.trials.values() if t.reused_from}
        assert reused.isdisjoint(trained)
        assert reused | set(trained) == quiet.trials.keys()
        failed = {t.id for t in quiet.trials.values() if t.status != "finished"}
        late = {t.id for t in quiet.trials.values() if t.spec.seed >= most}
        assert set(trained) == failed | late


# searches of other kinds


MANY = {
    **SHORT, "pruner": {"name": "none"}, "objectives": ["primary", "trainable_parameters"],
    "sampler": {"name": "nsgaii", "population_size": 3}, "constraints": ["learning_rate < 5e-3"],
}  # fmt: skip
SECONDS = {**TUNE, "budget": {"gpu_seconds": 7}, "pruner": {"name": "none"}}


@pytest.mark.parametrize("tune", [MANY, SECONDS])
def test_a_race_follows_any_search(tmp_path: Path, tune: Mapping[str, Any]) -> None:
    plan = raced(tune=tune)
    quiet = undisturbed(plan, tmp_path / "quiet", nobody_crashes)
    assert {spec["seed"] for spec in confirmed(quiet)} >= set(range(5))
    last = {test["question"]: test["decision"] for look in quiet.looks for test in look.tests}
    assert [d for q, d in last.items() if q.startswith("mtlora")] == ["decided"]
    state = disturbed(plan, tmp_path / "j", 3, 4, [20, 40, 60], nobody_crashes)
    assert ledger(state) == ledger(quiet)


def confirmed(state: State) -> list[Any]:
    return [t.spec_json for t in state.trials.values() if t.spec_json["stage"] == "confirm"]


def test_a_study_that_learned_from_another_has_one_family(tmp_path: Path) -> None:
    """What was told first is part of the revision, and no new version of the study."""
    past = planned(arms=ARMS, study="earlier", tune=SHORT)
    earlier = undisturbed(past, tmp_path / "earlier", nobody_crashes)
    plan = raced(tune={**SHORT, "warm_start": "earlier"})
    with Journal.open(tmp_path / "j") as record:
        warm = tuning.warm(plan, FACTS, record.state, earlier)
        assert warm
        course = conductor(plan, record, warm)
        (begun,) = registered.batches(plan, record.state)
        assert begun.revision == 1
        drive(course, random.Random(0), 3, nobody_crashes)
        assert course.done
        state = record.state
    assert {look.batch for look in state.looks} == {1}
    (batch,) = registered.batches(plan, state, tally.frame(plan, state, FACTS))
    assert batch.race.tests
    assert all(batch.race.decision(question.id) != "open" for question in batch.race.questions)


# what may be left of it


@pytest.mark.parametrize("tuned", [False, True])
def test_the_most_that_it_may_come_to_shrinks_as_it_decides(tmp_path: Path, tuned: bool) -> None:
    plan = raced(tune=SHORT if tuned else None)
    assert set(rounds.most_seeds(plan, State(), FACTS).values()) == {12}
    with Journal.open(tmp_path / "j") as record:
        course = conductor(plan, record)
        before = rounds.most_seeds(plan, record.state, FACTS)
        while (given := course.next()) is not None:
            training = Training(given.spec, nobody_crashes)
            while isinstance(made := training.advance(), Progress):
                if not course.report(given.spec.id, made):
                    break
            if isinstance(made, Progress):
                made = TrialResult(status="pruned", reason="stopped")
            course.finish(given.spec.id, made)
            most = rounds.most_seeds(plan, record.state, FACTS)
            assert all(most[key] <= before[key] for key in most)
            before = most
        assert course.done
        trained = {c.key: tally.seeds_asked(plan, record.state, c) for c in plan.cells}
    assert before == trained
    assert sum(trained.values()) < 36


def test_the_most_counts_what_questions_about_followers_need() -> None:
    plan = linked(False)
    most = rounds.most_seeds(plan, State(), FACTS)
    found = {(c.task, c.arm.method): most[c.key] for c in plan.cells}
    assert found == {
        (SECOND, "lora"): 12, (SECOND, "tlora"): 12, (SECOND, "mtlora"): 5,
        (FIRST, "lora"): 12, (FIRST, "tlora"): 12, (FIRST, "mtlora"): 5,
    }  # fmt: skip
