"""What fails at an engine ends alone: the others lose no step and no bit."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from courses import STEPS, Visits, shared, visits

from trials.catalogue import lookup
from trials.places import Assignment
from trials.training import engine as engine_module
from trials.training import run, stepping
from trials.training.engine import DeviceLost, Engine
from trials.training.member import Member
from trials.training.optimiser import FlatAdamW
from trials.training.pack import Pack
from trials.training.run import Run

__all__ = ["shared", "visits"]  # Fixtures, which pytest finds by name.

FAULTY = 5
"""The rank by which a method knows that it is the one to fail."""


def counts(visits: Visits, assignment: Assignment) -> list[int]:
    """How often each step of a trial was taken."""
    taken = Counter(n for step in visits.steps for trial, n in step if trial == assignment.spec.id)
    return [taken[n] for n in range(max(taken, default=-1) + 1)]


def assert_crashed(visits: Visits, assignment: Assignment, status: str, reason: str) -> None:
    result = visits.results[assignment.spec.id]
    assert result.status == status
    assert reason in str(result.reason)
    assert "Traceback" in (Path(assignment.folder) / result.files["traceback"]).read_text()


def break_method(monkeypatch: pytest.MonkeyPatch, hook: str, error: Exception) -> None:
    """A hook of LoRA raises where the rank says so, once two evaluations or so are over."""
    lora = lookup("method", "lora")
    whole = getattr(lora, hook)
    calls = Counter[str]()

    def broken(self: Any, *given: Any, **more: Any) -> Any:
        if self.rank == FAULTY:
            calls[hook] += 1
            if calls[hook] > (6 if hook != "curves" else 1):
                raise error
        return whole(self, *given, **more)

    monkeypatch.setattr(lora, hook, broken)


@pytest.mark.parametrize("hook", ["update", "penalty", "after_step", "curves"])
def test_a_method_that_raises_ends_its_own_trial(
    visits: Visits, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    visits.engine = Engine(3)
    good = [visits.trial(1), visits.trial(3, method="tlora", given={"rank": 6})]
    bad, waits = visits.trial(2, given={"rank": FAULTY}), visits.trial(4, steps=6)
    break_method(monkeypatch, hook, RuntimeError("a fault of its own"))
    visits.join(good[0], bad, good[1], waits)
    visits.go()
    assert_crashed(visits, bad, "crashed", "RuntimeError: a fault of its own")
    assert 0 < visits.steps_done(bad) < STEPS
    for trial in good:
        assert counts(visits, trial) == [1] * STEPS
    assert {waits.spec.id, *(t.spec.id for t in good)} in visits.packs, "its place is taken"
    visits.assert_undisturbed(*good, waits)


@pytest.mark.parametrize("broken", [{"task": "not_there"}, {"backbone": "not_there"}])
def test_a_trial_that_cannot_start_keeps_nobody_waiting(visits: Visits, broken: Any) -> None:
    visits.engine = Engine(2)
    good = [visits.trial(1, steps=4), visits.trial(3, steps=4)]
    bad = dataclasses.replace(visits.trial(2), **broken)
    if "backbone" in broken:
        # It shares nothing with the others, so that it comes last.
        visits.join(bad, *good)
    else:
        visits.join(good[0], bad, good[1])
    visits.go()
    result = visits.results[bad.spec.id]
    assert result.status == "crashed"
    assert "not_there" in str(result.reason)
    assert visits.packs == [{t.spec.id for t in good}]
    visits.assert_undisturbed(*good)


def test_a_metric_that_raises_ends_its_own_trial(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits.engine = Engine(2)
    good, bad = visits.trial(1), visits.trial(2)
    take = Run.take

    def broken(self: Run, part: str, outputs: Any) -> Any:
        if self.spec.id == bad.spec.id and self.member.step == 8:
            raise ValueError("no such score")
        return take(self, part, outputs)

    monkeypatch.setattr(Run, "take", broken)
    visits.join(good, bad)
    visits.go()
    assert_crashed(visits, bad, "crashed", "ValueError: no such score")
    assert [report.step for report in visits.reports[bad.spec.id]] == [4]
    visits.assert_undisturbed(good)


def limit_memory(monkeypatch: pytest.MonkeyPatch, most: int, after: int = 0) -> None:
    """No pass of more than so many members, once one of them has done so many steps."""
    accumulate = Pack._accumulate

    def limited(pack: Pack, members: Sequence[Member], *given: Any) -> Any:
        if len(members) > most and max(member.step for member in members) >= after:
            raise torch.OutOfMemoryError("too many")
        return accumulate(pack, members, *given)

    monkeypatch.setattr(Pack, "_accumulate", limited)


@pytest.mark.parametrize(("most", "places_left"), [(3, 2), (2, 2), (1, 1)])
def test_out_of_memory_halves_the_pack_and_loses_no_step(
    visits: Visits, monkeypatch: pytest.MonkeyPatch, most: int, places_left: int
) -> None:
    visits.engine = Engine(8)
    trials = [visits.trial(seed, given={"rank": 2 + seed}) for seed in range(5)]
    limit_memory(monkeypatch, most, after=6)
    visits.join(*trials)
    visits.go()
    assert visits.engine.capacity == places_left
    assert [len(taken) for taken in visits.steps[:6]] == [5] * 6
    assert max(len(taken) for taken in visits.steps[6:]) == places_left
    for trial in trials:
        assert counts(visits, trial) == [1] * STEPS
    visits.assert_undisturbed(*trials)


def test_out_of_memory_forgets_nobody_who_has_diverged(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where figures are read later, they are read before anybody goes back to the queue."""
    init = stepping.Stepper.__init__

    def reads_late(self: stepping.Stepper, device: torch.device) -> None:
        init(self, device)
        self._every = 99

    monkeypatch.setattr(stepping.Stepper, "__init__", reads_late)
    visits.engine = Engine(3)
    good = [visits.trial(1), visits.trial(2)]
    bad = visits.trial(3, learning_rate=1e30, clip=None)
    limit_memory(monkeypatch, 2, after=3)
    visits.join(*good, bad)
    visits.go()
    result = visits.results[bad.spec.id]
    assert result.status == "diverged"
    assert "at step 2 of" in str(result.reason)
    for trial in good:
        assert counts(visits, trial) == [1] * STEPS
    visits.assert_undisturbed(*good)


def test_a_trial_too_large_by_itself_takes_no_place_from_the_others(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits.engine = Engine(4)
    good = [visits.trial(seed) for seed in (1, 2, 3)]
    large = visits.trial(4, given={"rank": FAULTY})
    break_method(monkeypatch, "update", MemoryError("all of it"))
    visits.join(*good, large)
    visits.go()
    assert_crashed(visits, large, "out_of_memory", "MemoryError: all of it")
    assert visits.engine.capacity == 4
    for trial in good:
        assert counts(visits, trial) == [1] * STEPS
    visits.assert_undisturbed(*good)


def test_one_that_does_not_fit_beside_the_others_waits_for_them(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[Run] = []

    class Large(Run):
        def __init__(self, assignment: Assignment) -> None:
            if visits.engine.size - len(visits.engine._waiting) >= 2:
                raise torch.OutOfMemoryError("no room for its parameters")
            super().__init__(assignment)
            there.append(self)

    monkeypatch.setattr(engine_module, "Run", Large)
    visits.engine = Engine(4)
    trials = [visits.trial(seed, steps=4) for seed in (1, 2, 3)]
    visits.join(*trials)
    visits.go()
    assert visits.engine.capacity == 2
    assert [run.spec.id for run in there] == [trial.spec.id for trial in trials]
    assert [len(pack) for pack in visits.packs] == [2, 1]
    monkeypatch.setattr(engine_module, "Run", Run)
    visits.assert_undisturbed(*trials)


def tear(monkeypatch: pytest.MonkeyPatch, step: int, error: Exception, times: int = 1) -> None:
    """At a step parameters are moved, but the optimiser never comes to its end."""
    left = [times]
    update_all = stepping.update_all

    def torn(optimisers: Sequence[FlatAdamW]) -> None:
        if optimisers and optimisers[0].step == step and len(optimisers) > 1 and left[0]:
            left[0] -= 1
            update_all(optimisers[:1])
            raise error
        update_all(optimisers)

    monkeypatch.setattr(stepping, "update_all", torn)


@pytest.mark.parametrize("step", [2, 6])
def test_a_torn_step_sends_all_back_to_their_checkpoints(
    visits: Visits, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    visits.engine = Engine(8)
    trials = [visits.trial(seed) for seed in (1, 2, 3, 4)]
    tear(monkeypatch, step, torch.OutOfMemoryError("in the middle"))
    visits.join(*trials)
    visits.go()
    assert visits.engine.capacity == 2
    begin = step // 4 * 4
    for trial in trials:
        assert counts(visits, trial) == [1 + (begin <= n < step) for n in range(STEPS)]
    assert [len(taken) for taken in visits.steps[step:]] == [2] * 2 * (STEPS - begin)
    visits.assert_undisturbed(*trials)


def test_after_a_torn_step_of_another_cause_they_train_one_by_one(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be torn again, and nobody would know whose fault it is."""
    visits.engine = Engine(3)
    trials = [visits.trial(seed) for seed in (1, 2)]
    late = [visits.trial(seed, steps=4) for seed in (3, 4)]
    tear(monkeypatch, 6, RuntimeError("in the middle"), times=99)
    visits.join(*trials)
    visits.go(lambda: len(visits.steps) == 7)
    visits.join(*late)
    visits.go()
    assert all(len(taken) == 1 for taken in visits.steps[6:30] if taken[0][0] in
               {t.spec.id for t in trials})  # fmt: skip
    assert {t.spec.id for t in late} in visits.packs, "those who came later share a pack"
    visits.assert_undisturbed(*trials, *late)


def test_a_split_that_cannot_be_read_ends_those_who_want_it(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits.engine = Engine(2)
    good, bad = visits.trial(1), visits.trial(2)
    data = Run.data

    def missing(self: Run, part: str) -> Any:
        if self.spec.id == bad.spec.id and part == "test":
            raise run.UserError("there is no test split")
        return data(self, part)

    monkeypatch.setattr(Run, "data", missing)
    visits.join(good, bad)
    visits.go()
    assert_crashed(visits, bad, "crashed", "there is no test split")
    visits.assert_undisturbed(good)


def test_outputs_that_fail_for_one_are_made_for_the_others(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits.engine = Engine(4)
    trials = [visits.trial(seed) for seed in (1, 2, 3, 4)]
    bad = trials[2]
    all_outputs = Pack.all_outputs

    def failing(pack: Pack, members: Sequence[Member], data: Any) -> Any:
        if any(m.spec.id == bad.spec.id and m.step == 8 for m in members):
            raise RuntimeError("cannot be read")
        return all_outputs(pack, members, data)

    monkeypatch.setattr(Pack, "all_outputs", failing)
    visits.join(*trials)
    visits.go()
    assert_crashed(visits, bad, "crashed", "RuntimeError: cannot be read")
    good = [trial for trial in trials if trial is not bad]
    monkeypatch.setattr(Pack, "all_outputs", all_outputs)
    visits.assert_undisturbed(*good)


def test_a_fault_at_the_probe_of_memory_is_left_to_the_first_step(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(pack: Pack, member: Member) -> int:
        raise RuntimeError("at the rehearsal")

    monkeypatch.setattr(engine_module, "places", broken)
    visits.engine = Engine(None)
    trials = [visits.trial(1, steps=4), visits.trial(2, steps=4)]
    visits.join(*trials)
    visits.go()
    visits.assert_undisturbed(*trials)


STUCK = [
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
]


@pytest.mark.parametrize("error", STUCK)
@pytest.mark.parametrize("where", ["step", "all_outputs", "settle"])
def test_a_device_that_is_lost_fails_no_trial(
    visits: Visits, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    """Its process is to end; from the checkpoints each trial goes on as if nothing had been."""
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 0.0)
    visits.engine = Engine(2)
    trials = [visits.trial(seed) for seed in (1, 2)]
    visits.join(*trials)
    visits.go(lambda: visits.steps_done(trials[0]) == 6)

    def lost(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Pack, where, lost)
        with pytest.raises(DeviceLost, match="CUDA error"):
            visits.go()
    assert not visits.results
    visits.engine.close()
    visits.engine = Engine(2)
    visits.join(*trials)
    visits.go()
    visits.assert_undisturbed(*trials)


def test_an_exhausted_device_is_not_lost() -> None:
    exhausted = torch.AcceleratorError("CUDA error: out of memory")
    assert run.is_out_of_memory(exhausted)
    assert not run.is_fatal(exhausted)
    assert not run.is_fatal(ValueError("CUDA error"))
    assert not run.is_fatal(torch.OutOfMemoryError("CUDA out of memory"))
