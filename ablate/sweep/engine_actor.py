"""The process that holds a device and a backbone and trains the trials that visit it.

Ray loads this class wherever there is a handle to it, in the driver and in every job. So nothing
here imports torch but the methods that run in the engine's own process.
"""

import asyncio
import json
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import ray

from ablate.sweep.visit import message, on_given_device
from trials.forkserver import Message
from trials.places import Assignment


class Told(NamedTuple):
    """What an engine tells its driver; the last two are of its device, None on a CPU.

    Attributes:
        capacity: trials that it trains together; None while it does not know.
        trials: those that it has.
        steps: optimiser steps that its process has taken, of all trials together.
        node: address of its machine.
        device: what it trains on.
        memory_bytes: that its process holds.
        memory_total_bytes: that there are.
    """

    capacity: int | None
    trials: int
    steps: int
    node: str
    device: str
    memory_bytes: int | None
    memory_total_bytes: int | None


def _memory() -> tuple[int | None, int | None]:
    import torch

    if not torch.cuda.is_initialized():
        return None, None
    return torch.cuda.memory_reserved(), torch.cuda.mem_get_info()[1]


class EngineActor:
    """A shared engine: one thread trains, the actor's event loop talks to the jobs."""

    def __init__(self, capacity: int | None) -> None:
        """Start with no trial.

        Args:
            capacity: places; None for what the device's memory holds.
        """
        from trials.training.engine import Engine

        self._engine = Engine(capacity)
        gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        device = f"gpu {','.join(gpus)}" if gpus else "cpu"
        self._place = ray.util.get_node_ip_address(), device
        self._messages: dict[str, asyncio.Queue[Message]] = {}
        self._orders: deque[Callable[[], Any]] = deque()
        self._wake = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        threading.Thread(target=self._train, name="train", daemon=True).start()

    async def join(self, assignment: str, alone: bool) -> None:
        """Take a trial, as JSON; `alone` keeps others out while it trains."""
        self._loop = asyncio.get_running_loop()
        given = on_given_device(Assignment.from_json(json.loads(assignment)))
        self._messages[given.spec.id] = asyncio.Queue()
        # It may be here already, for a job that died; what that one did not hear comes again.
        self._order(lambda: self._engine.leave(given.spec.id, "joined again"))
        self._order(lambda: self._engine.join(given, alone=alone))

    async def next(self, trial: str) -> Message | None:
        """Wait for a trial's next report or its end; None when it is not here.

        A process that was started again knows nothing of those that had joined before.
        """
        if trial not in self._messages:
            return None
        told = await self._messages[trial].get()
        if told["progress"] is None:
            self._messages.pop(trial, None)
        return told

    async def leave(self, trial: str) -> None:
        """Stop a trial and free its place."""
        self._messages.pop(trial, None)
        self._order(lambda: self._engine.leave(trial, "left"))

    async def state(self) -> Told:
        """How it is, for the driver."""
        capacity, trials, steps = self._engine.capacity, self._engine.size, self._engine.steps
        return Told(capacity, trials, steps, *self._place, *_memory())

    def _order(self, what: Callable[[], Any]) -> None:
        with self._wake:
            self._orders.append(what)
            self._wake.notify()

    def _train(self) -> None:
        try:
            while True:
                with self._wake:
                    while not self._orders and not self._engine.size:
                        self._wake.wait()
                    orders, self._orders = self._orders, deque()
                for order in orders:
                    order()
                for event in self._engine.advance():
                    self._tell(event.trial, message(event))
        except BaseException:  # noqa: BLE001 - whatever it was
            # Not of any trial's making: a new process takes over from the checkpoints.
            traceback.print_exc()
            os._exit(1)

    def _tell(self, trial: str, told: Message) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._put, trial, told)

    def _put(self, trial: str, told: Message) -> None:
        if trial in self._messages:
            self._messages[trial].put_nowait(told)
