"""Asking a run to stop, from wherever its store can be seen.

One request lets the running trials come to their next evaluation, from which a later run continues.
A second one ends them at once; they continue from their last checkpoint.
"""

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ablate.store import StudyFolder, write_text
from trials.errors import UserError
from trials.spec import Json

LOOK_SECONDS = 1.0
"""How often a run looks for requests."""


def ask(folder: StudyFolder) -> int:
    """Ask the run of a study to stop.

    Returns:
        How often it has been asked by now: 1 lets trials come to their next evaluation, from 2 on
        the run ends at once.

    Raises:
        UserError: nobody runs the study.
    """
    if not is_run(folder):
        raise UserError(f"study '{folder.name}' is not being run")
    request = {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
    requests = [*_read(folder), request]
    write_text(folder.stop, json.dumps(requests) + "\n")
    return len(requests)


def is_run(folder: StudyFolder) -> bool:
    """Whether a process holds the lease of a study's journal."""
    if not (folder.journal / "lease.json").exists():
        return False  # And no look at the lock, which might stand in the way of who is to take it.
    try:
        lease = os.open(folder.journal / "lease", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lease, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lease)
    return False


def forget(folder: StudyFolder) -> None:
    """Begin a run without the requests that an earlier one had heard."""
    with suppress(FileNotFoundError):
        folder.stop.unlink()


def interrupt() -> None:
    """As Ctrl-C twice does; a job of a Ray cluster is born with that signal blocked.

    In the background of a script it is born to ignore it.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        with suppress(ValueError):  # Outside the main thread nothing can be done about it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
    for _ in range(2):  # While a run hears the first, that only drains it.
        signal.raise_signal(signal.SIGINT)


@dataclass
class Listener:
    """A run's ear for requests.

    Attributes:
        folder: the study's.
        end: ends the run at once.
        clock: seconds.
    """

    folder: StudyFolder
    end: Callable[[], None] = interrupt
    clock: Callable[[], float] = time.monotonic
    _next_look: float = 0.0
    _heard: int = 0

    def heard(self) -> str | None:
        """Who asked to stop, in words, or None; a second request ends the run from here."""
        now = self.clock()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            before, self._heard = self._heard, max(self._heard, len(_read(self.folder)))
            if before < 2 <= self._heard:
                self.end()
        return "it was asked to (ablate stop)" if self._heard else None


def _read(folder: StudyFolder) -> list[Json]:
    try:
        value = json.loads(folder.stop.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return value if isinstance(value, list) else []
