"""The parts of the bridge to Ray Tune that need no cluster."""

import json
import math
import pickle
import warnings
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_training import Training, assign, nobody_crashes, planned

with warnings.catch_warnings():
    # Ray's own, at its import.
    warnings.simplefilter("ignore")
    from ray.tune.schedulers import TrialScheduler
    from ray.tune.search import Searcher

    from ablate.sweep import engines
    from ablate.sweep.conductor import Conductor
    from ablate.sweep.engines import Engagement, OwnEngines
    from ablate.sweep.job import PROGRESS, RESULT
    from ablate.sweep.tune_bridge import Desk, Steward, read_progress, trial_error

from trials.places import Assignment
from trials.spec import Progress, TrialResult, TrialSpec


def spec() -> TrialSpec:
    plan = planned(tune=None)
    return plan.spec(plan.cells[0], {}, 0, "confirm")


def test_a_report_comes_back_as_it_was() -> None:
    report = Training(spec(), nobody_crashes).progress(4)
    assert read_progress(json.loads(json.dumps(report.to_json()))) == report


def test_null_stands_for_what_was_not_finite() -> None:
    value = Training(spec(), nobody_crashes).progress(4).to_json()
    value |= {"primary": None, "train_loss": None, "scores": {"accuracy": None, "f1": 0.5}}
    report = read_progress(value)
    assert math.isnan(report.primary)
    assert math.isnan(report.train_loss)
    assert math.isnan(report.scores["accuracy"])
    assert report.scores["f1"] == 0.5


def test_of_a_dead_process_the_last_line_is_kept() -> None:
    error = SimpleNamespace(
        get_error=lambda: "Traceback ...\n  more\nActorDiedError: gone " + "x" * 999
    )
    assert trial_error(error).startswith("ActorDiedError: gone")
    assert len(trial_error(error)) == 300
    assert trial_error(SimpleNamespace(get_error=lambda: None)) == "no message"


class Stub:
    """A conductor with so many trials to give."""

    def __init__(self, trials: int) -> None:
        plan = planned(tune=None, confirm={"seeds": trials}, arms=[{"method": "lora"}])
        (cell,) = plan.cells
        self.left = [assign(s, cell) for s in plan.specs(cell, {}, "confirm")]
        self.running: set[str] = set()
        self.ended: dict[str, TrialResult] = {}
        self.blocked = False
        self.goes_on = True
        self.halted: str | None = None

    def look(self) -> str | None:
        return self.halted

    @property
    def done(self) -> bool:
        return not self.left and not self.running

    def next(self) -> Assignment | None:
        if self.blocked or not self.left:
            return None
        given = self.left.pop(0)
        self.running.add(given.spec.id)
        return given

    def report(self, identity: str, progress: Progress) -> bool:
        assert identity in self.running
        return self.goes_on

    def finish(self, identity: str, result: TrialResult) -> None:
        self.running.discard(identity)
        self.ended[identity] = result


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    held = {"CPU": 2.0}
    monkeypatch.setattr(engines.ray, "cluster_resources", lambda: dict(held))
    return held


def desk(stub: Stub, at_most: int | None = None) -> Desk:
    return Desk(cast("Conductor", stub), OwnEngines({"CPU": 1.0}, at_most))


def test_one_more_is_given_than_there_are_places(cluster: dict[str, float]) -> None:
    stub = Stub(6)
    at = desk(stub)
    given = [at.suggest(f"t{n}") for n in range(5)]
    assert [g is None for g in given] == [False, False, False, True, True]
    told = given[0]["assignment"]
    assert isinstance(told, str), "Tune takes apart and copies what is nested"
    assert json.loads(json.dumps(Assignment.from_json(told).to_json())) == json.loads(told)
    assert given[0]["engine"] is None
    assert given[0]["forks"] is None
    assert list(at.trial_of) == ["t0", "t1", "t2"]
    assert set(at.trial_of.values()) == stub.running
    stub.finish(at.trial_of["t1"], TrialResult(status="finished"))
    assert at.suggest("t5") is not None
    assert at.suggest("t6") is None


def test_none_waits_where_no_more_may_be_used(cluster: dict[str, float]) -> None:
    at = desk(Stub(6), at_most=1)
    assert [at.suggest(f"t{n}") is None for n in range(3)] == [False, True, True]


class Places:
    """Engines that have room when they are told so."""

    job_resources: Mapping[str, float] = {"CPU": 0.5}
    num_places = 4

    def __init__(self) -> None:
        self.has_room = True
        self.calls: list[str] = []
        self.states = ()

    def look(self, waiting: int) -> None:
        self.calls.append("look")

    def place(self, assignment: Assignment) -> Engagement | None:
        return Engagement("engine-1") if self.has_room else None

    def stop(self, trial: str) -> None:
        self.calls.append(f"stop {trial}")

    def ended(self, trial: str) -> None:
        self.calls.append(f"ended {trial}")

    def close(self) -> None:
        self.calls.append("close")


def test_a_trial_waits_for_a_place_and_is_not_forgotten() -> None:
    stub, places = Stub(2), Places()
    at = Desk(cast("Conductor", stub), places)
    places.has_room = False
    assert at.suggest("t0") is None
    assert at.suggest("t1") is None
    assert len(stub.running) == 1, "one is held, and no other is taken meanwhile"
    assert places.calls == ["look", "look"]
    places.has_room = True
    given = at.suggest("t2")
    assert given["engine"] == "engine-1"
    told = Assignment.from_json(given["assignment"])
    assert {told.spec.id} == stub.running == set(at.trial_of.values())


def test_engines_hear_of_every_end() -> None:
    stub, places = Stub(3), Places()
    at = Desk(cast("Conductor", stub), places)
    steward = Steward(at)
    for n in range(3):
        at.suggest(f"t{n}")
    places.calls.clear()
    pruned, whole, dead = (at.trial_of[f"t{n}"] for n in range(3))
    report = json.dumps(Training(spec(), nobody_crashes).progress(4).to_json())
    told = {PROGRESS: report, RESULT: json.dumps(TrialResult(status="pruned").to_json())}
    trials = [SimpleNamespace(trial_id=f"t{n}", get_error=lambda: "Died") for n in range(3)]
    steward.on_trial_result(None, trials[0], told)
    assert places.calls == [], "it goes on"
    stub.goes_on = False
    steward.on_trial_result(None, trials[0], told)
    assert places.calls == [f"stop {pruned}", f"ended {pruned}"]
    steward.on_trial_complete(None, trials[1], told)
    assert places.calls[2:] == [f"ended {whole}"]
    steward.on_trial_error(None, trials[2])
    assert len(places.calls) == 3, "Tune may start it again"
    at.on_trial_complete("t2", error=True)
    assert places.calls[3:] == [f"stop {dead}"]


def test_it_is_finished_when_the_study_is(cluster: dict[str, float]) -> None:
    stub = Stub(2)
    at = desk(stub)
    for n in range(2):
        assert isinstance(at.suggest(f"t{n}"), dict)
    assert at.suggest("t2") is None, "two still run, and more may follow from them"
    for identity in list(stub.running):
        stub.finish(identity, TrialResult(status="finished"))
    assert at.suggest("t3") == Searcher.FINISHED


def test_nothing_to_give_now_is_not_the_end(cluster: dict[str, float]) -> None:
    stub = Stub(2)
    stub.blocked = True
    assert desk(stub).suggest("t0") is None


def test_stopping_gives_nothing_more(cluster: dict[str, float]) -> None:
    at = desk(Stub(2))
    at.stopping = True
    assert at.suggest("t0") == Searcher.FINISHED


def test_a_limit_ends_the_run_and_leaves_its_trials_to_a_later_one(
    cluster: dict[str, float],
) -> None:
    stub = Stub(2)
    at = desk(stub)
    steward = Steward(at)
    at.suggest("t0")
    report = Training(spec(), nobody_crashes).progress(4)
    told = {PROGRESS: json.dumps(report.to_json()), RESULT: "{}"}
    stub.halted = "the deadline has passed"
    running = SimpleNamespace(trial_id="t0")
    assert steward.on_trial_result(None, running, told) == TrialScheduler.STOP
    steward.on_trial_complete(None, running, told)
    assert not stub.ended, "Tune tells of its end all the same; it goes on from its checkpoint"
    assert at.suggest("t1") == Searcher.FINISHED


def test_tune_saves_nothing_of_the_study(cluster: dict[str, float]) -> None:
    at = desk(Stub(2))
    assert not vars(pickle.loads(pickle.dumps(at)))
    assert at.__getstate__() == Steward(at).__getstate__() == {}


def test_the_scheduler_hears_stops_and_ends(cluster: dict[str, float]) -> None:
    stub = Stub(3)
    at = desk(stub)
    steward = Steward(at)
    for n in range(3):
        at.suggest(f"t{n}")
    report = Training(spec(), nobody_crashes).progress(4)
    so_far = TrialResult(status="pruned", reason="stopped at step 4")
    told: dict[str, Any] = {
        PROGRESS: json.dumps(report.to_json()), RESULT: json.dumps(so_far.to_json()),
    }  # fmt: skip
    trials = [SimpleNamespace(trial_id=f"t{n}", get_error=lambda: "Died: why") for n in range(3)]
    assert steward.on_trial_result(None, trials[0], told) == TrialScheduler.CONTINUE
    assert not stub.ended
    stub.goes_on = False
    assert steward.on_trial_result(None, trials[0], told) == TrialScheduler.STOP
    assert stub.ended[at.trial_of["t0"]] == so_far
    whole = TrialResult(status="finished", scores={"held_out": {"accuracy": 0.5}})
    steward.on_trial_complete(None, trials[1], {RESULT: json.dumps(whole.to_json())})
    assert stub.ended[at.trial_of["t1"]] == whole
    steward.on_trial_error(None, trials[2])
    assert at.trial_of["t2"] not in stub.ended, "Tune may start it again"
    at.on_trial_complete("t2", error=True)
    dead = stub.ended[at.trial_of["t2"]]
    assert dead.status == "crashed"
    assert "Died: why" in str(dead.reason)
    at.on_trial_complete("t1")
    assert stub.ended[at.trial_of["t1"]] == whole
