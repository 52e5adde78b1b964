"""What a run does at this moment: its queue and its engines. Written beside the journal.

The driver's terminal, `ablate status` on another machine and Ray's metrics show this one record.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ablate.store import write_text

EVERY_SECONDS = 2.0
"""How often a run writes it."""
FRESH_SECONDS = 60.0
"""One that is older belongs to a run that is gone, or that hangs."""


@dataclass(frozen=True, kw_only=True)
class EngineState:
    """One engine.

    Attributes:
        name: of the engine.
        node: where it is, once it has answered.
        device: what it trains on, once it has answered.
        trials: how many it has.
        places: how many it trains together at most; None while it does not know.
        steps_per_second: optimiser steps of all its trials together; None while it does not know.
        memory_bytes: of its device, that its process holds; None on a CPU.
        memory_total_bytes: of its device.
    """

    name: str
    node: str | None = None
    device: str | None = None
    trials: int = 0
    places: int | None = None
    steps_per_second: float | None = None
    memory_bytes: int | None = None
    memory_total_bytes: int | None = None


@dataclass(frozen=True)
class Pulse:
    """A run at one moment.

    Attributes:
        time: unix seconds.
        waiting: trials that could train if there were room.
        running: trials that were given out.
        engines: those that are shared, in the order in which they were started; none where each
            job trains its own trial.
    """

    time: float
    waiting: int
    running: int
    engines: tuple[EngineState, ...] = ()


def write(path: Path, pulse: Pulse) -> None:
    """Replace the file; a store that cannot be written stops nothing here."""
    with suppress(OSError):
        write_text(path, json.dumps(asdict(pulse)) + "\n")


def read(path: Path) -> Pulse | None:
    """What the last run wrote; None where there is nothing to read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        engines = tuple(EngineState(**_known(EngineState, e)) for e in value["engines"])
        return Pulse(**{**_known(Pulse, value), "engines": engines})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _known(kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: item for name, item in value.items() if name in names}
