"""Cells that start from another task's adapter: the source first, whatever ends when."""

import os
import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fake_training import (
    FACTS,
    TUNE,
    chosen,
    conductor,
    count,
    disturbed,
    drive,
    ends,
    nobody_crashes,
    planned,
    search,
    some_crash,
    undisturbed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate import journal, runner, tally
from ablate.journal import Journal, State
from ablate.plan import Cell, Plan
from trials.spec import TrialSpec

FIRST, SECOND = "tiny_acceptability", "tiny_paraphrase"
START = [{"when": {"task": SECOND}, "train": {"start_from": {"task": FIRST}}}]


@pytest.fixture(autouse=True)
def _nobody_cuts_the_power(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@cache
def plan_of(tuned: bool, seeds: int = 3) -> Plan:
    """The task that starts from the other is named first."""
    tune: Mapping[str, Any] | None = {**TUNE, "budget": {"trials": 4}} if tuned else None
    return planned(tasks=[SECOND, FIRST], overrides=START, tune=tune, confirm={"seeds": seeds})


@cache
def told(tuned: bool) -> State:
    with TemporaryDirectory() as place:
        return undisturbed(plan_of(tuned), Path(place) / "journal")


def cells(plan: Plan, task: str) -> list[Cell]:
    return [cell for cell in plan.cells if cell.task == task]


def of_task(state: State, task: str, stage: str = "confirm") -> list[journal.Trial]:
    found = [t for t in state.trials.values() if t.spec_json["task"] == task]
    return [t for t in found if t.spec_json["stage"] == stage]


def assert_in_order(folder: Path) -> None:
    """Nothing starts before what it starts from has finished."""
    source: dict[str, str | None] = {}
    finished: set[str] = set()
    for event in journal.read(folder):
        if event.kind == "planned":
            source[event.data["trial"]] = event.data["spec"].get("source")
        if event.kind == "finished" and event.data["result"]["status"] == "finished":
            finished.add(event.data["trial"])
        if event.kind == "started" and source[event.data["trial"]] is not None:
            assert source[event.data["trial"]] in finished


@settings(max_examples=12, deadline=None)
@given(
    tuned=st.booleans(),
    seed=st.integers(0, 10**6),
    places=st.integers(1, 7),
    lives=st.lists(st.integers(0, 80), max_size=4),
)
def test_order_and_kills_change_nothing(
    tuned: bool, seed: int, places: int, lives: list[int]
) -> None:
    plan, quiet = plan_of(tuned), told(tuned)
    with TemporaryDirectory() as place:
        folder = Path(place) / "journal"
        state = disturbed(plan, folder, seed, places, lives)
        assert search(state) == search(quiet)
        assert chosen(state) == chosen(quiet)
        assert ends(state) == ends(quiet)
        assert set(count(folder, "finished").values()) == {1}
        assert_in_order(folder)


@pytest.mark.parametrize("tuned", [False, True])
def test_each_seed_starts_from_the_source_of_that_seed(tuned: bool, tmp_path: Path) -> None:
    plan = plan_of(tuned)
    state = undisturbed(plan, tmp_path / "journal", nobody_crashes)
    assert len(of_task(state, SECOND)) == len(of_task(state, FIRST)) == 2 * 3
    sources = {t.id: t.spec for t in of_task(state, FIRST)}
    for trial in of_task(state, SECOND):
        source = sources[str(trial.spec.source)]
        assert (source.seed, source.method) == (trial.spec.seed, trial.spec.method)
    assert all(spec.source is None for spec in sources.values())
    searched = of_task(state, SECOND, "search")
    assert bool(searched) == tuned
    assert all(sources[str(t.spec.source)].seed == 0 for t in searched)


def test_what_starts_from_other_values_is_another_trial() -> None:
    plan = plan_of(True)
    (cell, *_) = cells(plan, SECOND)
    values = {"learning_rate": 1e-3}
    one = plan.spec(cell, values, 0, "confirm", "a" * 64)
    other = plan.spec(cell, values, 0, "confirm", "b" * 64)
    assert one.id != other.id
    assert one.with_source("b" * 64) == other
    with pytest.raises(ValueError, match="starts from"):
        plan.spec(cell, values, 0, "confirm")
    (source, *_) = cells(plan, FIRST)
    with pytest.raises(ValueError, match="starts from None"):
        plan.spec(source, values, 0, "confirm", "a" * 64)


def test_a_changed_source_is_a_changed_cell() -> None:
    def keys(**more: Any) -> set[str]:
        base: dict[str, Any] = {"tasks": [SECOND, FIRST], "tune": None, "overrides": START}
        plan = planned(**{**base, **more})
        return {cell.key for cell in cells(plan, SECOND)}

    longer = [*START, {"when": {"task": FIRST}, "train": {"steps": 9}}]
    assert not keys() & keys(overrides=longer)
    assert not keys() & keys(overrides=[])
    assert keys() == keys(confirm={"seeds": 5})


def test_a_source_that_failed_fails_what_starts_from_it_and_nothing_else(tmp_path: Path) -> None:
    plan = plan_of(False)

    def fate(spec: TrialSpec) -> int | None:
        return 4 if (spec.task, spec.seed, spec.method) == (FIRST, 1, "lora") else None

    state = undisturbed(plan, tmp_path / "journal", fate)
    (failed,) = (t for t in of_task(state, FIRST) if t.status == "crashed")
    (fallen,) = (t for t in of_task(state, SECOND) if t.status != "finished")
    assert (fallen.spec.seed, fallen.spec.method, fallen.status) == (1, "lora", "crashed")
    assert fallen.result is not None
    reason = f"trial {failed.id[:12]}, which it starts from, has crashed: bad luck"
    assert fallen.result.reason == reason
    assert count(tmp_path / "journal", "started").get(fallen.id) is None
    with Journal.open(tmp_path / "journal") as record:
        assert runner._outcome(conductor(plan, record)) == "failures"
        # Tried again, the source first, the other follows.
        record.extend([journal.retried(t.id) for t in (fallen, failed)])
        course = conductor(plan, record)
        assert not course.done
        drive(course, random.Random(5), 3, nobody_crashes)
        assert course.done
        assert {t.status for t in record.state.trials.values()} == {"finished"}
    assert_in_order(tmp_path / "journal")


def test_a_search_waits_for_its_source_and_says_why_it_cannot_begin(tmp_path: Path) -> None:
    plan = plan_of(True)

    def fate(spec: TrialSpec) -> int | None:
        return 0 if (spec.task, spec.stage, spec.seed) == (FIRST, "confirm", 0) else None

    state = undisturbed(plan, tmp_path / "journal", fate)
    for cell in cells(plan, SECOND):
        assert cell.key not in state.asks
        why = str(tally.stuck(plan, state, cell))
        assert "it starts from trial" in why
        assert "which has crashed" in why
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(plan, record)
        assert course.done
        assert runner._outcome(course) == "failures"
        failed = [t.id for t in record.state.trials.values() if t.status == "crashed"]
        record.extend([journal.retried(identity) for identity in failed])
        course = conductor(plan, record)
        drive(course, random.Random(2), 2, nobody_crashes)
        assert runner._outcome(course) == "done"
        assert all(len(record.state.asks[cell.key]) == 4 for cell in plan.cells)
        assert tally.stuck(plan, record.state, plan.cells[0]) is None


def test_a_source_of_which_nothing_is_confirmed_is_named(tmp_path: Path) -> None:
    plan = plan_of(True)

    def fate(spec: TrialSpec) -> int | None:
        return 2 if (spec.task, spec.method) == (FIRST, "lora") else None

    state = undisturbed(plan, tmp_path / "journal", fate)
    (lora,) = (cell for cell in cells(plan, SECOND) if cell.arm.method == "lora")
    why = f"it starts from lora rank=4 on {FIRST}, tiny, of which nothing was confirmed"
    assert tally.stuck(plan, state, lora) == why
    assert tally.confirmation(plan, state, lora) == []
    (standing,) = (s for s in tally.standings(plan, state, FACTS) if s.cell == lora)
    assert standing.reasons == (why,)


def test_three_tasks_in_a_row(tmp_path: Path) -> None:
    """Also in a plan that names the last one first."""
    texts = [{"when": {"task": SECOND}, "train": {"start_from": {"task": FIRST}}},
             {"when": {"task": "cola"}, "train": {"start_from": {"task": SECOND}}}]  # fmt: skip
    plan = planned(tasks=["cola", SECOND, FIRST], overrides=texts, tune=None)
    placed = [cell.task for cell in plan.in_order]
    assert placed == [FIRST, SECOND, "cola"] * 2
    state = undisturbed(plan, tmp_path / "journal", some_crash)
    assert_in_order(tmp_path / "journal")
    assert all(t.final for t in state.trials.values())
    assert len(state.trials) == 3 * 2 * 3
    crashed = {t.id for t in state.trials.values() if t.status == "crashed"}
    for trial in state.trials.values():
        if trial.spec.source in crashed:
            assert trial.status == "crashed"
