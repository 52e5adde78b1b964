"""A thread that keeps MLflow up to date while the driver goes on; MLflow never holds it up."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ablate import journal
from ablate.tracking.client import StoreError
from ablate.tracking.facts import CellInfo, StudyInfo
from ablate.tracking.tracker import Tracker
from ablate.tracking.uris import redact
from trials.errors import UserError

Describe = Callable[[journal.State], tuple[Sequence[CellInfo], StudyInfo]]

_LONGEST_PAUSE = 60.0
_LAST_PAUSE = 0.5


class Writer:
    """Sends a driver's journal to MLflow in the background.

    The driver changes the state as it likes and says so with `notify`; it waits for nothing. The
    writer copies the trials that changed since it last looked, passes over one that it caught
    half changed (the notice of that change is still to come), and sends from its copies.

    Attributes:
        problems: what went wrong, one note an outage, for the driver to show.
    """

    def __init__(
        self,
        connect: Callable[[], Tracker],
        state: journal.State,
        describe: Describe,
        *,
        interval: float = 1.0,
        patience: float = 0.0,
        on_change: Callable[[str | None], None] = lambda problem: None,
    ) -> None:
        """Nothing is opened before `start`.

        Args:
            connect: opens the store; called in the thread, again where it failed.
            state: the journal's, as the driver changes it.
            describe: what is to be known of cells and study at a state; called in the thread,
                with a copy of the state.
            interval: seconds between two synchronisations, at least.
            patience: seconds that nothing is opened, unless a trial reports or ends before:
                opening a store takes the time of a CPU that trials need to start.
            on_change: called in the thread when an outage begins, with what went wrong, and
                with None when it is over.
        """
        self._on_change = on_change
        self.problems: list[str] = []
        self._connect = connect
        self._state = state
        self._describe = describe
        self._interval = interval
        self._patience = patience
        self._mirror = journal.State()
        self._tracker: Tracker | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._deadline = self._away = float("inf")
        self._interrupted = False
        self._is_done = False
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="ablate-tracking", daemon=True)

    def start(self) -> None:
        """Begin; the first synchronisation follows at once, or after `patience`."""
        self._wake.set()
        self._thread.start()

    def notify(self) -> None:
        """The state has changed; to be called after each change."""
        self._wake.set()

    def close(
        self, timeout: float = 60.0, *, away: float = 60.0, interrupted: bool = False
    ) -> bool:
        """Send the last state and end the runs.

        Args:
            timeout: seconds to wait for the store.
            away: seconds to wait from when it does not answer, if that is sooner.
            interrupted: the study did not come to its end.

        Returns:
            Whether MLflow has everything. If not, `problems` says why, and the next driver or
            `Tracker.sync` sends the rest.
        """
        self._interrupted = interrupted
        self._deadline, self._away = time.monotonic() + timeout, away
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return self._is_done

    def _run(self) -> None:
        until = time.monotonic() + self._patience
        while not self._closing.is_set() and time.monotonic() < until and not self._has_news():
            self._closing.wait(min(0.2, self._patience))
        failures = 0
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            began = time.monotonic()
            failures = 0 if self._attempt() else failures + 1
            # A store that is slow gets larger batches, not all of the driver's time.
            took = time.monotonic() - began
            pause = self._interval * 2**failures if failures else max(self._interval, took)
            self._closing.wait(min(pause, _LONGEST_PAUSE))
            if failures:
                self._wake.set()
        while not (self._attempt() and self._finish()):
            if self._is_away:
                self._deadline = min(self._deadline, time.monotonic() + self._away)
            if time.monotonic() + _LAST_PAUSE > self._deadline:
                return
            time.sleep(_LAST_PAUSE)
        self._is_done = True

    def _has_news(self) -> bool:
        return any(trial.reports or trial.final for trial in list(self._state.trials.values()))

    def _attempt(self) -> bool:
        return self._guarded(self._sync)

    def _finish(self) -> bool:
        return self._guarded(self._end)

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Whether it worked; tracking that fails must not end a study, so nothing is raised."""
        try:
            work()
        except (StoreError, UserError) as error:
            # One note an outage: every request words it in its own way.
            if not self._is_away:
                self._note(str(error))
                self._on_change(str(error))
            self._is_away = True
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not stop a study either
            self._note(redact(f"tracking failed: {type(error).__name__}: {error}"))
        else:
            if self._is_away:
                self._on_change(None)
            self._is_away = False
            return True
        return False

    def _sync(self) -> None:
        if self._tracker is None:
            self._tracker = self._connect()
        self._copy()
        cells, study = self._describe(self._mirror)
        self._tracker.sync(self._mirror, cells, study)

    def _end(self) -> None:
        assert self._tracker is not None
        self._tracker.close(interrupted=self._interrupted)

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _copy(self) -> None:
        """Bring the mirror up to the state, copying only the trials that changed.

        The driver may change the state meanwhile: containers are copied in one step each.
        """
        state, mirror = self._state, self._mirror
        for trial in list(state.trials.values()):
            before = mirror.trials.get(trial.id)
            if before is None or _version(trial) != _version(before):
                copied = replace(trial, reports=dict(trial.reports))
                if _is_whole(copied):
                    mirror.trials[trial.id] = copied
        mirror.asks = {cell: list(asks) for cell, asks in list(state.asks.items())}
        mirror.chosen = {cell: dict(ranks) for cell, ranks in list(state.chosen.items())}
        mirror.revisions, mirror.looks = list(state.revisions), list(state.looks)
        mirror.seeds = dict(state.seeds)
        mirror.ended, mirror.last_seq = state.ended, state.last_seq


def _version(trial: journal.Trial) -> tuple[object, ...]:
    return trial.status, trial.attempts, len(trial.reports), trial.finished_at, trial.started_at


def _is_whole(trial: journal.Trial) -> bool:
    """Whether a copy holds a state that the trial was in, not half of a change."""
    if trial.status == "running" and trial.started_at is None:
        return False
    return trial.final == (trial.finished_at is not None) == (trial.result_json is not None)
