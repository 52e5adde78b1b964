"""`trials.training.engine.Engine`, in no time and without a backbone."""

from typing import Any, ClassVar

from fake_training import Fate, Training, nobody_crashes

from trials.places import Assignment
from trials.spec import Progress, TrialResult
from trials.training.engine import Event


class FakeEngine:
    """Every `advance` gives the next event of each trial that has a place."""

    fate: ClassVar[Fate] = staticmethod(nobody_crashes)
    joined: ClassVar[list[str]] = []
    left: ClassVar[list[str]] = []
    open: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __init__(self, capacity: int = 1) -> None:
        self.capacity = capacity
        self._trainings: dict[str, Training] = {}
        self._is_open = True
        FakeEngine.open += 1

    def __enter__(self) -> "FakeEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        return len(self._trainings)

    def join(self, assignment: Assignment, *, alone: bool = False) -> None:
        assert self._is_open
        assert assignment.spec.id not in self._trainings
        self.joined.append(assignment.spec.id)
        self._trainings[assignment.spec.id] = Training(assignment.spec, type(self).fate)
        FakeEngine.most = max(self.most, self.size)

    def leave(self, trial: str, reason: str) -> TrialResult | None:
        if self._trainings.pop(trial, None) is None:
            return None
        self.left.append(trial)
        return TrialResult(status="pruned", reason=reason)

    def close(self) -> None:
        FakeEngine.open -= self._is_open
        self._is_open = False

    def advance(self) -> list[Event]:
        return [self._event(trial) for trial in list(self._trainings)[: self.capacity]]

    def _event(self, trial: str) -> Event:
        made: Any = self._trainings[trial].advance()
        if isinstance(made, Progress):
            stopped = TrialResult(status="pruned", reason=f"stopped at step {made.step}")
            return Event(trial, made, stopped)
        del self._trainings[trial]
        return Event(trial, None, made)
