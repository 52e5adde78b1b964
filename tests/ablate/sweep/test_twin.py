"""The twin: the conductor driven by a plain loop."""

from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from fake_training import (
    conductor,
    count,
    ends,
    planned,
    search,
    some_crash,
    undisturbed,
)

from ablate.journal import Journal, State
from ablate.sweep import twin


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(twin, "Engine", FakeEngine)
    monkeypatch.setattr(FakeEngine, "fate", staticmethod(some_crash))
    for counter in ("open", "most"):
        monkeypatch.setattr(FakeEngine, counter, 0)
    for record in ("joined", "left"):
        monkeypatch.setattr(FakeEngine, record, [])
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("pack", [1, 3])
def test_it_comes_to_what_any_executor_comes_to(tmp_path: Path, pack: int) -> None:
    plan = planned()
    quiet = undisturbed(plan, tmp_path / "quiet")
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(plan, record)
        ended = twin.run(course, pack=pack)
        assert course.done
        assert ended == len(record.state.trials)
        assert search(record.state) == search(quiet)
        assert ends(record.state) == ends(quiet)
        pruned = {t.id for t in record.state.trials.values() if t.status == "pruned"}
    assert pruned >= set(FakeEngine.left) != set()
    assert FakeEngine.most == pack
    assert FakeEngine.open == 0


@pytest.mark.parametrize("pack", [1, 4])
def test_a_limit_stops_after_so_many_and_the_rest_follows(tmp_path: Path, pack: int) -> None:
    plan = planned()
    quiet = undisturbed(plan, tmp_path / "quiet")
    ended = 0
    for _ in range(100):
        with Journal.open(tmp_path / "journal") as record:
            course = conductor(plan, record)
            if course.done:
                break
            now = twin.run(course, limit=3, pack=pack)
            assert now <= 3
            ended += now
    assert ended == len(quiet.trials)
    with Journal.open(tmp_path / "journal") as record:
        assert ends(record.state) == ends(quiet)
    assert set(count(tmp_path / "journal", "finished").values()) == {1}


@pytest.mark.parametrize("pack", [1, 4])
def test_a_limit_of_the_run_stops_in_mid_trial_and_the_rest_follows(
    tmp_path: Path, pack: int
) -> None:
    """Whatever was reported is in the journal, so that no search sees less than it would have."""
    plan = planned()
    quiet = undisturbed(plan, tmp_path / "quiet")
    stopped = 0
    for _ in range(200):
        with Journal.open(tmp_path / "journal") as record:
            first = record.state.last_seq

            def limit(state: State, first: int = first) -> str | None:
                return "the time is over" if state.last_seq > first + 7 else None

            course = conductor(plan, record, limit=limit)
            if course.done:
                break
            twin.run(course, pack=pack)
            if course.halted is not None:
                assert course.halted == "the time is over"
                assert course.next() is None
                stopped += 1
    assert stopped > 3
    with Journal.open(tmp_path / "journal") as record:
        assert ends(record.state) == ends(quiet)
        assert search(record.state) == search(quiet)


def test_asks_that_repeat_values_do_not_end_the_run(tmp_path: Path) -> None:
    """An ask whose trials have all ended gives nothing to train, but others follow."""
    from fake_training import TUNE

    plan = planned(tune={**TUNE, "space": {"learning_rate": {"choices": [1e-3, 1e-2]}}})
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(plan, record)
        twin.run(course)
        assert course.done


def test_the_engine_of_a_process_that_is_stopped_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hooks may not stay on the backbone that the next trial uses."""

    def interrupt(self: FakeEngine) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeEngine, "advance", interrupt)
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(planned(), record)
        with pytest.raises(KeyboardInterrupt):
            twin.run(course)
        assert len(record.state.open_trials()) == 1
    assert FakeEngine.open == 0
