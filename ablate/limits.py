"""What a run may cost and until when: device time from the journal, and when to stop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ablate.journal import State
from ablate.spent import device_seconds

_SHARE = 50
"""How many times longer than a look at the journal took the next one waits."""


@dataclass
class Limits:
    """Says when a run is over though work is left.

    Attributes:
        until: unix seconds; None for no end.
        max_cost: in the currency of the price; None for no limit.
        price: of an hour of one device.
        devices: that a trial, or a pack, holds: a part of one where several share it.
        clock: unix seconds.
    """

    until: float | None = None
    max_cost: float | None = None
    price: float | None = None
    devices: float = 1.0
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
        cost = device_seconds(state.trials.values()) / 3600 * self.devices * self.price
        self._next_look = now + _SHARE * (time.perf_counter() - begin)
        if cost < self.max_cost:
            return None
        return f"max_cost {self.max_cost:g} is reached: {cost:.2f} at {self.price:g} per GPU-hour"
