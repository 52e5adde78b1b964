"""Ctrl-C while a study runs: the first stops it at the next reports, the second at once.

A request to terminate, as a job system sends before it takes a machine away, counts as a first.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Interrupt:
    """Whether somebody has asked a run to stop.

    Attributes:
        reason: who asked, in words; None while nobody has.
    """

    reason: str | None = None


@contextmanager
def heard() -> Iterator[Interrupt]:
    """Hear of Ctrl-C instead of being ended by it, once; outside the main thread, of nothing.

    A signal that the process was started to ignore, as in the background of a script, stays so.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: found for number, found in before.items() if found != signal.SIG_IGN}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def first(number: int, frame: FrameType | None) -> None:
        restore()
        interrupt.reason = "Ctrl-C" if number == signal.SIGINT else "asked to terminate"
        sys.stderr.write("stopping when what trains reports next; Ctrl-C again stops now\n")

    for number in before:
        signal.signal(number, first)
    try:
        yield interrupt
    finally:
        restore()
