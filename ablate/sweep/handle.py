"""A shared engine as the driver knows it."""

from dataclasses import dataclass, field
from typing import Any

from ablate.pulse import EngineState


@dataclass
class Handle:
    """An engine as the driver knows it.

    Attributes:
        name: of the actor.
        actor: its handle.
        capacity: trials that it trains together; a guess until it answers.
        idle_since: when its last trial ended, or when it got the device that it had waited for.
        kind: what its trials have in common.
        trials: id of each trial that was sent there -> what those that see its batches share.
        answer: the pending answer about how it is.
        is_ready: whether it has ever answered.
        is_lost: whether it cannot be started, nor again.
        is_extra: whether there was no device for it when it was started.
        told: its last answer.
        heard: when that came.
        pace: steps a second between its last two answers.
    """

    name: str
    actor: Any
    capacity: int
    idle_since: float
    kind: tuple[object, ...] | None = None
    trials: dict[str, tuple[object, ...]] = field(default_factory=dict)
    answer: Any = None
    is_ready: bool = False
    is_extra: bool = False
    is_lost: bool = False
    asked: float = 0.0
    told: Any = None
    heard: float = 0.0
    pace: float | None = None

    @property
    def is_usable(self) -> bool:
        """Whether trials may be sent there: it has a device, or is about to."""
        return self.is_ready or not self.is_extra

    def hear(self, told: Any, now: float) -> None:
        """Take in an answer."""
        if self.is_extra and not self.is_ready:
            self.idle_since = now
        self.is_ready = True
        if self.told is not None and now > self.heard:
            # A process that was started again counts from zero.
            steps = told.steps - self.told.steps
            self.pace = (steps if steps >= 0 else told.steps) / (now - self.heard)
        self.told, self.heard = told, now
        if told.capacity is not None:
            self.capacity = told.capacity

    @property
    def state(self) -> EngineState:
        """For whoever watches the run."""
        told = self.told
        if told is None:
            return EngineState(name=self.name, trials=len(self.trials))
        return EngineState(
            name=self.name,
            node=told.node,
            device=told.device,
            trials=len(self.trials),
            places=self.capacity if told.capacity is not None else None,
            steps_per_second=self.pace,
            memory_bytes=told.memory_bytes,
            memory_total_bytes=told.memory_total_bytes,
        )
