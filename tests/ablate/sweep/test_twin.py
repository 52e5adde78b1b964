"""The twin: the conductor driven by a plain loop."""

from pathlib import Path
from typing import Any

import pytest
from fake_training import (
    Training,
    conductor,
    count,
    ends,
    planned,
    search,
    some_crash,
    undisturbed,
)

from ablate.journal import Journal
from ablate.sweep import twin
from trials.places import Assignment
from trials.spec import TrialResult


class FakeRun:
    """`trials.training.run.Run`, in no time."""

    open = 0

    def __init__(self, given: Assignment) -> None:
        self.assignment = given
        self.training = Training(given.spec, some_crash)
        if self.training.dies_after == 0:
            raise RuntimeError("cannot start")
        type(self).open += 1

    def advance(self) -> Any:
        made = self.training.advance()
        if isinstance(made, TrialResult) and made.status == "crashed":
            raise RuntimeError("bad luck")
        return made

    def result(self, status: Any, reason: str | None = None, **more: Any) -> TrialResult:
        return TrialResult(status=status, reason=reason, **more)

    def close(self) -> None:
        type(self).open -= 1


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(twin, "Run", FakeRun)
    monkeypatch.setattr(FakeRun, "open", 0)
    monkeypatch.chdir(tmp_path)


def test_it_comes_to_what_any_executor_comes_to(tmp_path: Path) -> None:
    plan = planned()
    quiet = undisturbed(plan, tmp_path / "quiet")
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(plan, record)
        ended = twin.run(course)
        assert course.done
        assert ended == len(record.state.trials)
        assert search(record.state) == search(quiet)
        assert ends(record.state) == ends(quiet)
        reasons = {t.result.reason for t in record.state.trials.values()
                   if t.status == "crashed" and t.result}  # fmt: skip
        assert reasons <= {"RuntimeError: bad luck", "RuntimeError: cannot start"}
    assert FakeRun.open == 0


def test_a_limit_stops_after_so_many_and_the_rest_follows(tmp_path: Path) -> None:
    plan = planned()
    quiet = undisturbed(plan, tmp_path / "quiet")
    ended = 0
    for _ in range(100):
        with Journal.open(tmp_path / "journal") as record:
            course = conductor(plan, record)
            if course.done:
                break
            now = twin.run(course, limit=3)
            assert now <= 3
            ended += now
    assert ended == len(quiet.trials)
    with Journal.open(tmp_path / "journal") as record:
        assert ends(record.state) == ends(quiet)
    assert set(count(tmp_path / "journal", "finished").values()) == {1}


def test_asks_that_repeat_values_do_not_end_the_run(tmp_path: Path) -> None:
    """An ask whose trials have all ended gives nothing to train, but others follow."""
    from fake_training import TUNE

    plan = planned(tune={**TUNE, "space": {"learning_rate": {"choices": [1e-3, 1e-2]}}})
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(plan, record)
        twin.run(course)
        assert course.done


def test_a_trial_whose_process_is_stopped_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hooks may not stay on the backbone that the next trial uses."""

    def interrupt(self: FakeRun) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeRun, "advance", interrupt)
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(planned(), record)
        with pytest.raises(KeyboardInterrupt):
            twin.run(course)
        assert len(record.state.open_trials()) == 1
    assert FakeRun.open == 0
