"""A trial's visit to another process, as its job sees it. Light: nothing here imports torch."""

import functools
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import ray
from ray.exceptions import RayActorError

from trials import forkserver
from trials.forkserver import Died, Message, Visitor
from trials.places import Assignment
from trials.spec import TrialResult

if TYPE_CHECKING:
    from trials.training.engine import Event

DEATHS = 3
"""A trial whose engine dies this often under it, and gets no further in between, has crashed."""
RETURN_SECONDS = 600.0
"""How long a job waits for its engine to be started again, on another node if need be."""
PAUSE_SECONDS = 1.0
"""How long it waits before it asks again."""


class Stay(Protocol):
    """A trial at an engine."""

    def next(self) -> Message:
        """Wait for what the engine has to say next; the last message has no report."""

    def leave(self) -> None:
        """Stop the trial, if it has not ended."""


class ForkedStay:
    """A trial that is trained alone by a process forked for this job.

    Where that dies the job fails, as it would if its own process had died.
    """

    def __init__(self, assignment: Assignment, address: str) -> None:
        """Hand the trial to this job's process at a server of forks.

        Raises:
            OSError: the server is not there.
        """
        self._visitor = _visitor(address)
        self._visitor.begin(assignment, has_gpu=has_gpu())

    def next(self) -> Message:
        """Let it train to the next evaluation."""
        return placed(self._visitor.next())

    def leave(self) -> None:
        """Stop the trial."""
        with suppress(Died):
            self._visitor.leave()


@functools.cache
def _visitor(address: str) -> Visitor:
    """This job's process at a server, which stays for its later trials."""
    return Visitor(address)


class SharedStay:
    """A trial at an engine that others share.

    An engine that died is started again by Ray; the trial then continues there from its last
    checkpoint. After two deaths at which the trial had come no further it trains alone there, so
    that the next one tells whose fault it was. An engine that cannot start at all is not waited
    for.
    """

    def __init__(self, assignment: Assignment, engine: str) -> None:
        self._trial = assignment.spec.id
        self._assignment = json.dumps(assignment.to_json())
        self._name = engine
        self._deaths = 0
        self._step = 0
        self._has_joined = False

    def next(self) -> Message:
        """Wait for the engine, through its deaths."""
        gone: float | None = None
        while True:
            try:
                told = self._hear()
                if told is not None:
                    self._note_step(told)
                    return told
                why = "it was started again"
            except (RayActorError, ValueError) as error:
                if getattr(error, "actor_init_failed", False):
                    return _crashed(f"its engine cannot start: {_line(error, -1)}")
                # A name that is not known belongs to an engine that is being started again.
                if gone is None or self._has_joined:
                    gone = time.monotonic()
                if time.monotonic() - gone > RETURN_SECONDS:
                    raise
                why = _line(error, 0)
            if self._has_joined:
                self._deaths += 1
                self._has_joined = False
            if self._deaths >= DEATHS:
                return _crashed(f"its engine's process died {DEATHS} times: {why}")
            time.sleep(PAUSE_SECONDS)

    def _note_step(self, told: Message) -> None:
        """Forget earlier deaths once the trial is further than at any of them."""
        step = (told["progress"] or {}).get("step", 0)
        if step > self._step:
            self._step, self._deaths = step, 0

    def _hear(self) -> Message | None:
        """The next message; None from an engine that does not know the trial any more."""
        engine = ray.get_actor(self._name)
        if not self._has_joined:
            ray.get(engine.join.remote(self._assignment, self._deaths >= DEATHS - 1))
            self._has_joined = True
        told: Message | None = ray.get(engine.next.remote(self._trial))
        return told

    def leave(self) -> None:
        """Free the place."""
        try:
            ray.get_actor(self._name).leave.remote(self._trial)
        except (RayActorError, ValueError):
            return


def has_gpu() -> bool:
    """Whether Ray gave this process a GPU."""
    return bool(ray.get_runtime_context().get_accelerator_ids().get("GPU"))


def on_given_device(assignment: Assignment) -> Assignment:
    """Put the trial on the device that Ray gave this process."""
    return forkserver.on_given_device(assignment, has_gpu=has_gpu())


def message(event: "Event") -> Message:
    """An engine's event as JSON types, with where it happened."""
    return placed(forkserver.message(event))


def placed(told: Message) -> Message:
    """A message with the node and GPU of this process in its result's environment."""
    context = ray.get_runtime_context()
    gpus = ",".join(context.get_accelerator_ids().get("GPU", []))
    where = {"node": context.get_node_id()[:12], **({"gpu": gpus} if gpus else {})}
    result = told["result"]
    return {**told, "result": {**result, "environment": {**result["environment"], **where}}}


def _crashed(reason: str) -> Message:
    return {"progress": None, "result": TrialResult(status="crashed", reason=reason).to_json()}


def _line(error: Exception, number: int) -> str:
    """One line of a message."""
    lines = str(error).strip().splitlines()
    return lines[number][:300] if lines else type(error).__name__
