"""A trial at a shared engine, through the deaths of the engine's process."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_training import assign, planned

with warnings.catch_warnings():
    # Ray's own, at its import.
    warnings.simplefilter("ignore")
    from ray.exceptions import ActorUnavailableError, RayActorError

    from ablate.sweep import visit
    from ablate.sweep.visit import SharedStay

from trials.places import Assignment
from trials.spec import TrialResult

PLAN = planned(tune=None, arms=[{"method": "lora"}])
TRIAL = assign(next(iter(PLAN.specs(PLAN.cells[0], {}, "confirm"))), PLAN.cells[0])
REPORTS = [{"progress": {"step": step}, "result": {}} for step in (2, 4, 6)]
END = {"progress": None, "result": {"status": "finished"}}


class Process:
    """An engine's process, which gives reports from where the trial is, and may die first.

    Attributes:
        heard: how many messages the trial's job has had, over all processes.
        dies_before: message -> how often a process dies before it gives that.
        joins: whether each join was alone.
    """

    def __init__(self) -> None:
        self.heard = 0
        self.dies_before: dict[int, int] = {}
        self.forgets_before: set[int] = set()
        self.refusals = 0
        self.joins: list[bool] = []
        self.left: list[str] = []
        self._knows = False
        self.join = SimpleNamespace(remote=self._call(self._join))
        self.next = SimpleNamespace(remote=self._call(self._next))
        self.leave = SimpleNamespace(remote=self.left.append)

    @staticmethod
    def _call(what: Callable[..., Any]) -> Callable[..., Callable[[], Any]]:
        """A call that is made when its answer is waited for."""
        return lambda *given: lambda: what(*given)

    def _join(self, text: str, alone: bool) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ActorUnavailableError("being started again", b"0" * 16)
        assert Assignment.from_json(json.loads(text)) == TRIAL
        self.joins.append(alone)
        self._knows = True

    def _next(self, trial: str) -> Any:
        assert trial == TRIAL.spec.id
        if self.dies_before.get(self.heard, 0):
            self.dies_before[self.heard] -= 1
            self._knows = False
            raise RayActorError(error_msg="The actor died.\nIts worker exited.")
        if self.heard in self.forgets_before:
            self.forgets_before.remove(self.heard)
            self._knows = False
        if not self._knows:
            return None
        self.heard += 1
        return [*REPORTS, END][self.heard - 1]


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    made = Process()

    def get_actor(name: str) -> Process:
        if name != "engine-1":
            raise ValueError(f"no actor {name}")
        return made

    ray = SimpleNamespace(get_actor=get_actor, get=lambda answer: answer())
    monkeypatch.setattr(visit, "ray", ray)
    monkeypatch.setattr(visit, "PAUSE_SECONDS", 0.0)
    return made


def whole(stay: SharedStay) -> list[Any]:
    told = [stay.next()]
    while told[-1]["progress"] is not None:
        told.append(stay.next())
    return told


def test_messages_come_as_the_engine_gives_them(process: Process) -> None:
    assert whole(SharedStay(TRIAL, "engine-1")) == [*REPORTS, END]
    assert process.joins == [False], "once, and beside others"


@pytest.mark.parametrize(
    ("deaths", "joins"),
    [({0: 1}, [False, False]), ({2: 1}, [False, False]), ({1: 1, 3: 1}, [False, False, False]),
     ({2: 2}, [False, False, True]), ({0: 2, 1: 2, 2: 2, 3: 2}, [False, *[False, True] * 4])],
)  # fmt: skip
def test_after_a_death_it_joins_again_and_after_the_second_without_progress_alone(
    process: Process, deaths: dict[int, int], joins: list[bool]
) -> None:
    process.dies_before = deaths
    assert whole(SharedStay(TRIAL, "engine-1")) == [*REPORTS, END]
    assert process.joins == joins


def test_the_third_death_is_the_trials_end(process: Process) -> None:
    process.dies_before = {1: 99}
    told = whole(SharedStay(TRIAL, "engine-1"))
    assert told[0] == REPORTS[0]
    assert len(told) == 2
    result = TrialResult.from_json(told[1]["result"])
    assert result.status == "crashed"
    assert str(result.reason).startswith("its engine's process died 3 times: ")
    assert "\n" not in str(result.reason)
    assert process.joins == [False, False, True]


def test_a_report_that_comes_again_is_no_progress(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its checkpoint a trial may tell once more what was heard already."""
    again = [REPORTS[0], REPORTS[0], REPORTS[0], *REPORTS[1:]]
    monkeypatch.setitem(globals(), "REPORTS", again)
    process.dies_before = {1: 1, 2: 1, 3: 1}
    told = whole(SharedStay(TRIAL, "engine-1"))
    assert told[:3] == again[:3]
    assert TrialResult.from_json(told[3]["result"]).status == "crashed"


def test_an_engine_that_cannot_start_is_not_waited_for(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "The actor died in its creation task.\nImportError: no torch here"

    def failing(assignment: str, alone: bool) -> Callable[[], Any]:
        def answer() -> Any:
            raise RayActorError(error_msg=text, actor_init_failed=True)

        return answer

    process.join = SimpleNamespace(remote=failing)
    slept: list[float] = []
    monkeypatch.setattr(visit, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=slept.append))
    result = TrialResult.from_json(SharedStay(TRIAL, "engine-1").next()["result"])
    expected = ("crashed", "its engine cannot start: ImportError: no torch here")
    assert (result.status, result.reason) == expected
    assert not slept


def test_a_process_that_was_replaced_between_two_messages_is_a_death(process: Process) -> None:
    """The new one answers, but has never heard of the trial."""
    process.forgets_before = {0, 1}
    assert whole(SharedStay(TRIAL, "engine-1")) == [*REPORTS, END]
    assert process.joins == [False, False, False]


def test_while_it_is_being_started_no_more_deaths_are_counted(process: Process) -> None:
    process.dies_before = {2: 1}
    stay = SharedStay(TRIAL, "engine-1")
    told = [stay.next(), stay.next()]
    process.refusals = 7
    told += [stay.next(), stay.next()]
    assert told == [*REPORTS, END]
    assert process.joins == [False, False]


def test_an_engine_that_does_not_come_back_is_waited_for_so_long(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its death on: how long the trial had trained before is no matter."""
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += 100.0

    monkeypatch.setattr(visit, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    stay = SharedStay(TRIAL, "engine-1")
    assert stay.next() == REPORTS[0]
    give = process.next.remote

    def after_hours(trial: str) -> Callable[[], Any]:
        def answer() -> Any:
            clock.now += 10 * visit.RETURN_SECONDS
            return give(trial)()

        return answer

    process.next = SimpleNamespace(remote=after_hours)
    process.dies_before = {1: 2}
    assert stay.next() == REPORTS[1], "hours lie between the two deaths"
    process.refusals = 99
    begun = clock.now
    with pytest.raises(ActorUnavailableError):
        SharedStay(TRIAL, "engine-1").next()
    assert visit.RETURN_SECONDS < clock.now - begun < 2 * visit.RETURN_SECONDS
    assert process.refusals > 80


def test_an_engine_that_is_unknown_is_waited_for_too(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "RETURN_SECONDS", 0.0)
    with pytest.raises(ValueError, match="no actor engine-2"):
        SharedStay(TRIAL, "engine-2").next()


def test_who_leaves_frees_the_place_and_minds_no_death(process: Process) -> None:
    stay = SharedStay(TRIAL, "engine-1")
    stay.next()
    stay.leave()
    assert process.left == [TRIAL.spec.id]
    SharedStay(TRIAL, "engine-2").leave()


def test_a_job_imports_no_torch() -> None:
    """What makes it light."""
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "import ablate.sweep.job, ablate.sweep.visit\n"
        "assert not {'torch', 'transformers', 'optuna', 'mlflow'} & set(sys.modules)"
    )
    root = Path(visit.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
