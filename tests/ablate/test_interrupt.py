"""Ctrl-C: once to stop at the next reports, twice to stop now."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mini_study import Ran, scores, state, write

from ablate import api
from ablate.interrupt import heard
from ablate.journal import State
from ablate.resolve import Resolved
from ablate.runner import Options

ALONE = Options(in_process=True, tracking=False)


@pytest.fixture(autouse=True)
def _usual() -> Iterator[None]:
    """As in the foreground, wherever the tests run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "asked to terminate")],
    ids=["interrupt", "terminate"],
)
def test_the_first_is_heard_and_the_second_stops(
    number: signal.Signals, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with heard() as interrupt:
        assert interrupt.reason is None
        send(number)
        assert interrupt.reason == reason
        assert "Ctrl-C again stops now" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_what_the_process_was_started_to_ignore_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with heard() as interrupt:
        send(signal.SIGINT)
        assert interrupt.reason is None
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_handlers_are_put_back_where_nobody_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with heard():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_nothing_is_heard() -> None:
    found: list[str | None] = []

    def elsewhere() -> None:
        with heard() as interrupt:
            found.append(interrupt.reason)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [None]


def test_a_run_that_was_interrupted_goes_on_to_the_same_end(ran: Ran, tmp_path: Path) -> None:
    study = api.load(write(tmp_path / "mini.yaml"), store=str(tmp_path / "store"), device="cpu")

    def watch(resolved: Resolved, found: State) -> None:
        if any(trial.final for trial in found.trials.values()) and found.ended is None:
            send(signal.SIGINT) if signal.getsignal(signal.SIGINT) != usual else None

    usual = signal.getsignal(signal.SIGINT)
    assert study.run(ALONE, watch) == "stopped"
    stopped = state(tmp_path / "store")
    assert (stopped.ended, stopped.why) == ("stopped", "Ctrl-C")
    assert 0 < sum(trial.final for trial in stopped.trials.values()) < 8
    assert (tmp_path / "store" / "mini" / "report" / "report.html").is_file()
    assert study.run(ALONE) == "done"
    assert scores(state(tmp_path / "store")) == scores(ran.state())
