"""What a run may cost and until when: device time from the journal, and when to stop."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ablate.journal import State

_SHARE = 50
"""How many times longer than a look at the journal took the next one waits."""


def device_seconds(state: State) -> float:
    """Time for which devices were held by the trials of a journal.

    Trials that share a device share its time; one that was taken over from another study took
    none here; of one that runs, what it has reported.
    """
    held: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for trial in state.trials.values():
        result = trial.result_json or {}
        reported = max((r["seconds"] for r in trial.reports.values()), default=0.0)
        seconds = result.get("seconds") or reported
        if trial.reused_from is not None or not seconds:
            continue
        environment = result.get("environment") or {}
        device = tuple(str(environment.get(key)) for key in ("node", "gpu"))
        end = trial.finished_at or (trial.started_at or 0.0) + seconds
        held[device].append((end - seconds, end))
    return sum(_covered(spans) for spans in held.values())


def _covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


@dataclass
class Limits:
    """Says when a run is over though work is left.

    Attributes:
        until: unix seconds; None for no end.
        max_cost: in the currency of the price; None for no limit.
        price: of an hour of one device.
        clock: unix seconds.
    """

    until: float | None = None
    max_cost: float | None = None
    price: float | None = None
    clock: Callable[[], float] = time.time
    _next_look: float = 0.0

    def reached(self, state: State) -> str | None:
        """Which limit is reached, in words, or None; the journal is looked through now and then."""
        now = self.clock()
        if self.until is not None and now >= self.until:
            when = datetime.fromtimestamp(self.until).isoformat(" ", "minutes")
            return f"the deadline {when} has passed"
        if self.max_cost is None or self.price is None or now < self._next_look:
            return None
        begin = time.perf_counter()
        cost = device_seconds(state) / 3600 * self.price
        self._next_look = now + _SHARE * (time.perf_counter() - begin)
        if cost < self.max_cost:
            return None
        return f"max_cost {self.max_cost:g} is reached: {cost:.2f} at {self.price:g} per GPU-hour"
