"""The engines of a run: each job its own, or shared ones that are started, filled and given back.

The driver starts one engine for each device that it may use, as trials come, spreads trials over
them, and lets an engine go that has had nothing to train for a while. Where the cluster holds no
device yet, one engine waits for it with its resource demand, which is what an autoscaler hears.
"""

import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import ray

from trials.forkserver import Server
from trials.places import Assignment

FIRST_PLACES = 4
"""Trials given to an engine that does not know yet how many its memory holds."""
IDLE_SECONDS = 10.0
ROOM_FOR_JOBS = 0.1
"""Of an engine's CPUs, what is left to the light jobs: those of a hundred trials."""
_ASK_SECONDS = 2.0


@dataclass(frozen=True)
class Engagement:
    """Where a trial goes.

    Attributes:
        engine: name of the shared engine; None when the job trains it by itself.
        forks: address of the server that has a process ready for the job; None where there is none.
    """

    engine: str | None = None
    forks: str | None = None


class Engines(Protocol):
    """What the trials of a run are trained by, as the searcher and the scheduler see it."""

    job_resources: Mapping[str, float]
    """What a job's own process takes of the cluster."""

    @property
    def num_places(self) -> int:
        """How many trials may be out at once."""

    def look(self) -> None:
        """See how things are; called now and then, whether there are trials to place or not."""

    def place(self, assignment: Assignment) -> Engagement | None:
        """Find a trial its place; None while there is none."""

    def stop(self, trial: str) -> None:
        """A trial is stopped before its end."""

    def ended(self, trial: str) -> None:
        """A trial has ended; its place is free."""

    def close(self) -> None:
        """Give every device back."""


class OwnEngines:
    """Every job's process trains its trial alone."""

    def __init__(
        self,
        resources: Mapping[str, float],
        at_most: int | None = None,
        forks: Server | None = None,
    ) -> None:
        """Nothing is started here.

        Args:
            resources: what each job takes of the cluster.
            at_most: jobs at once; None for as many as there is room for.
            forks: a server on the one machine that all jobs run on; ended with this.
        """
        self.job_resources = resources
        self._forks = forks
        self._slots = Slots(resources, at_most)

    @property
    def num_places(self) -> int:
        """As many as the cluster holds, and one more where more may be used.

        That one waits with its resource demand, which is what an autoscaler hears, and lets Tune
        keep a warm process for it.
        """
        return self._slots.count() + (0 if self._slots.is_limited else 1)

    def look(self) -> None:
        """There is nothing to see."""

    def place(self, assignment: Assignment) -> Engagement:
        """Wherever Tune finds room for the job."""
        return Engagement(forks=None if self._forks is None else self._forks.address)

    def stop(self, trial: str) -> None:
        """Tune stops the job."""

    def ended(self, trial: str) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Tune ends the jobs."""
        if self._forks is not None:
            self._forks.close()


class Slots:
    """How often a size fits the cluster, read now and then, for the cluster may grow."""

    def __init__(self, resources: Mapping[str, float], at_most: int | None) -> None:
        self._resources = resources
        self._at_most = at_most
        self._read = -math.inf
        self._count = 1

    @property
    def is_limited(self) -> bool:
        """Whether no more may be used than are counted, however the cluster grows."""
        return self._at_most is not None and self.count() >= self._at_most

    def count(self) -> int:
        """At least 1, so that one waits for a node."""
        if time.monotonic() - self._read > _ASK_SECONDS:
            there = count_places(ray.cluster_resources(), self._resources)
            self._count = there if self._at_most is None else min(there, self._at_most)
            self._read = time.monotonic()
        return self._count


@dataclass
class _Engine:
    """An engine as the driver knows it.

    Attributes:
        name: of the actor.
        actor: its handle.
        capacity: trials that it trains together; a guess until it answers.
        kind: what its trials have in common.
        trials: id of each trial that was sent there -> what those that see its batches share.
        answer: the pending answer about its capacity.
        is_ready: whether it has ever answered.
        is_lost: whether it cannot be started, nor again.
        idle_since: when its last trial ended.
    """

    name: str
    actor: Any
    capacity: int
    kind: tuple[object, ...] | None = None
    trials: dict[str, tuple[object, ...]] = field(default_factory=dict)
    answer: Any = None
    is_ready: bool = False
    is_lost: bool = False
    asked: float = 0.0
    idle_since: float = field(default_factory=time.monotonic)


class SharedEngines:
    """Engines that train packs of trials."""

    job_resources: Mapping[str, float] = {"CPU": 0.001}

    def __init__(self, pack: int | None, resources: Mapping[str, float], at_most: int | None):
        """Start without any.

        Args:
            pack: places of each; None for what its device holds.
            resources: what each takes of the cluster.
            at_most: how many there may be; None for what the cluster holds.
        """
        self._pack = pack
        self._resources = dict(resources)
        self._all: list[_Engine] = []
        self._of_trial: dict[str, _Engine] = {}
        self._slots = Slots(resources, at_most)

    def place(self, assignment: Assignment) -> Engagement | None:
        """Send a trial to an engine that has a compatible place free: the one with fewest.

        One that trains the same batches already may have one more: together they waste less.
        """
        kind, seen = assignment.kind, assignment.batches
        free = [e for e in self._all if len(e.trials) < e.capacity]
        open_to = [e for e in free if e.kind == kind or not e.trials]

        def load(engine: _Engine) -> tuple[int, bool]:
            sees = seen in engine.trials.values()
            return 2 * (len(engine.trials) - sees) - sees, not engine.is_ready

        chosen = min(open_to, key=load, default=None)
        if (chosen is None or chosen.trials) and len(self._all) < self._slots.count():
            chosen = self._start()
        if chosen is None:
            return None
        chosen.kind = kind
        chosen.trials[assignment.spec.id] = seen
        self._of_trial[assignment.spec.id] = chosen
        return Engagement(chosen.name)

    @property
    def num_places(self) -> int:
        """Trials that the engines there are, and those that may be started, could hold now."""
        missing = max(0, self._slots.count() - len(self._all))
        return sum(e.capacity for e in self._all) + missing * (self._pack or FIRST_PLACES)

    def ended(self, trial: str) -> None:
        """A trial has ended; its place is free."""
        engine = self._of_trial.pop(trial, None)
        if engine is not None:
            engine.trials.pop(trial, None)
            engine.idle_since = time.monotonic()

    def stop(self, trial: str) -> None:
        """Stop a trial at once, without waiting for its job."""
        engine = self._of_trial.get(trial)
        if engine is not None:
            engine.actor.leave.remote(trial)
        self.ended(trial)

    def look(self) -> None:
        """Hear what engines have answered, ask those not asked lately, let idle ones go."""
        now = time.monotonic()
        for engine in self._all[:]:
            self._hear(engine, now)
            is_idle = not engine.trials and now - engine.idle_since > IDLE_SECONDS
            if engine.is_lost or is_idle:
                self._all.remove(engine)
                ray.kill(engine.actor)

    def close(self) -> None:
        """Give every device back."""
        for engine in self._all:
            ray.kill(engine.actor)
        self._all.clear()

    def _hear(self, engine: _Engine, now: float) -> None:
        if engine.answer is not None and ray.wait([engine.answer], timeout=0)[0]:
            try:
                told = ray.get(engine.answer)
            except ray.exceptions.RayActorError as error:
                # Else it is being started again.
                told, engine.is_lost = None, error.actor_init_failed
            engine.answer = None
            if told is not None:
                engine.capacity, engine.is_ready = told, True
        if engine.answer is None and now - engine.asked > _ASK_SECONDS:
            engine.answer, engine.asked = engine.actor.capacity.remote(), now

    def _start(self) -> _Engine:
        from ablate.sweep.engine_actor import EngineActor

        name = f"engine-{uuid.uuid4().hex[:12]}"
        sizes = dict(self._resources)
        options = {
            "num_cpus": max(0.0, sizes.pop("CPU", 0.0) - ROOM_FOR_JOBS),
            "num_gpus": sizes.pop("GPU", 0),
            "resources": sizes,
            "name": name,
            "max_restarts": -1,
            "max_concurrency": 1000,
        }
        actor = ray.remote(EngineActor).options(**options).remote(self._pack)
        engine = _Engine(name, actor, self._pack or FIRST_PLACES)
        self._all.append(engine)
        return engine


def count_places(available: Mapping[str, float], each: Mapping[str, float]) -> int:
    """How often a size fits the cluster; at least 1, so that one waits for a node."""
    counts = [int(available.get(name, 0.0) / size) for name, size in each.items() if size]
    return max(1, min(counts, default=1))
