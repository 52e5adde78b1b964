"""Asking a run to stop: once, twice, and when nobody runs."""

import signal
from pathlib import Path

import pytest

from ablate import stops
from ablate.journal import Journal
from ablate.store import StudyFolder
from trials.errors import UserError


def listener(folder: StudyFolder, ends: list[str]) -> stops.Listener:
    ticks = iter(range(0, 10_000, 10))
    return stops.Listener(folder, lambda: ends.append("ended"), lambda: float(next(ticks)))


def test_once_it_drains_and_twice_it_ends(tmp_path: Path) -> None:
    folder, ends = StudyFolder(tmp_path / "mine"), list[str]()
    with Journal.open(folder.journal):
        ear = listener(folder, ends)
        assert ear.heard() is None
        assert stops.ask(folder) == 1
        assert "asked" in str(ear.heard())
        assert ends == []
        assert stops.ask(folder) == 2
        assert "asked" in str(ear.heard())
        ear.heard()
        assert ends == ["ended"], "and only once"


def test_it_looks_now_and_then(tmp_path: Path) -> None:
    folder, now = StudyFolder(tmp_path / "mine"), [100.0]
    ear = stops.Listener(folder, lambda: None, lambda: now[0])
    with Journal.open(folder.journal):
        assert ear.heard() is None
        stops.ask(folder)
        now[0] += stops.LOOK_SECONDS / 2
        assert ear.heard() is None
        now[0] += stops.LOOK_SECONDS
        assert ear.heard() is not None


def test_nobody_is_asked_where_nobody_runs(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "mine")
    with pytest.raises(UserError, match="study 'mine' is not being run"):
        stops.ask(folder)
    with Journal.open(folder.journal):
        assert stops.is_run(folder)
    assert not stops.is_run(folder)
    with pytest.raises(UserError, match="not being run"):
        stops.ask(folder)
    assert not folder.stop.exists()


def test_asking_does_not_take_the_lease(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "mine")
    with Journal.open(folder.journal):
        pass
    assert not stops.is_run(folder)
    with Journal.open(folder.journal):
        assert stops.is_run(folder)


def test_a_new_run_has_not_been_asked(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "mine")
    with Journal.open(folder.journal):
        stops.ask(folder)
    stops.forget(folder)
    stops.forget(folder)
    assert listener(folder, []).heard() is None


@pytest.mark.parametrize("text", ["", "{", "{}", "null", "3"])
def test_a_file_that_is_no_request_asks_nothing(tmp_path: Path, text: str) -> None:
    folder = StudyFolder(tmp_path)
    folder.stop.write_text(text)
    assert listener(folder, []).heard() is None


@pytest.mark.parametrize("is_ignored", [False, True])
def test_the_end_reaches_a_process_in_which_the_signal_is_blocked(is_ignored: bool) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(
        signal.SIGINT, signal.SIG_IGN if is_ignored else signal.default_int_handler
    )
    try:
        with pytest.raises(KeyboardInterrupt):
            stops.interrupt()
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_killed_run_leaves_nothing_that_looks_like_one(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "mine")
    with Journal.open(folder.journal):
        left = (folder.journal / "lease.json").read_text()
    (folder.journal / "lease.json").write_text(left)
    assert not stops.is_run(folder)
