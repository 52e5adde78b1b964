"""A trial that is trained by its job's own process, and what an engine's messages carry."""

from ablate.sweep.visit import has_gpu, placed
from trials import forkserver
from trials.forkserver import Message
from trials.places import Assignment
from trials.training.engine import Event, train


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


def message(event: Event) -> Message:
    """An engine's event as JSON types, with where it happened."""
    return placed(forkserver.message(event))


def on_given_device(assignment: Assignment) -> Assignment:
    """Put the trial on the device that Ray gave this process."""
    return forkserver.on_given_device(assignment, has_gpu=has_gpu())
