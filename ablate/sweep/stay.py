"""A trial that is trained by its job's own process."""

from ablate.sweep.visit import message, on_given_device
from trials.forkserver import Message
from trials.places import Assignment
from trials.training.engine import train


class OwnStay:
    """A trial that is trained by this process itself, alone."""

    def __init__(self, assignment: Assignment) -> None:
        self._events = train(on_given_device(assignment))

    def next(self) -> Message:
        """Train to the next evaluation."""
        return message(next(self._events))

    def leave(self) -> None:
        """Leave the backbone to the next trial."""
        self._events.close()
