"""The engines of a run: each job its own, or shared ones that are started, filled and given back.

The driver starts one engine for each device that it may use, as trials come, spreads trials over
them, and lets an engine go that has had nothing to train for a while.

A cluster's autoscaler hears of nothing but the resources that something waits for. So where more
trials wait than the devices there can hold, further engines are started, which wait for devices of
their own; they get trials once they have one, and are taken back when fewer trials wait.
"""

import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import ray

from ablate.log import Level, Say, say_nothing
from ablate.pulse import EngineState
from ablate.sweep.handle import Handle
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

    def look(self, waiting: int) -> None:
        """See how things are; called now and then, whether there are trials to place or not.

        Args:
            waiting: trials that could train if there were room.
        """

    @property
    def states(self) -> tuple[EngineState, ...]:
        """The shared engines that there are."""

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
        *,
        may_grow: bool = False,
    ) -> None:
        """Nothing is started here.

        Args:
            resources: what each job takes of the cluster.
            at_most: jobs at once; None for as many as there is room for.
            forks: a server on the one machine that all jobs run on; ended with this.
            may_grow: whether the cluster may get more nodes.
        """
        self.job_resources = resources
        self._forks = forks
        self._may_grow = may_grow
        self._waiting = 0
        self._slots = Slots(resources, at_most)

    @property
    def num_places(self) -> int:
        """As many as the cluster holds, and where more may be used some that wait.

        One lets Tune keep a warm process for it. A cluster that may grow hears of as many as would
        double it, if so many trials wait.
        """
        count = self._slots.count()
        more = max(1, min(self._waiting, count)) if self._may_grow else 1
        return count + (0 if self._slots.is_limited else min(more, self._slots.left))

    def look(self, waiting: int) -> None:
        """Remember how many wait."""
        self._waiting = waiting

    states: tuple[EngineState, ...] = ()

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

    @property
    def left(self) -> int:
        """How many more may be used than are counted."""
        return max(0, self.most - self.count())

    @property
    def most(self) -> int:
        """How many may be used, however the cluster grows."""
        return 1_000_000 if self._at_most is None else self._at_most

    def count(self) -> int:
        """At least 1, so that one waits for a node."""
        if time.monotonic() - self._read > _ASK_SECONDS:
            there = count_places(ray.cluster_resources(), self._resources)
            self._count = there if self._at_most is None else min(there, self._at_most)
            self._read = time.monotonic()
        return self._count


class SharedEngines:
    """Engines that train packs of trials."""

    job_resources: Mapping[str, float] = {"CPU": 0.001}

    def __init__(
        self,
        pack: int | None,
        resources: Mapping[str, float],
        at_most: int | None,
        *,
        may_grow: bool = False,
        say: Say = say_nothing,
    ) -> None:
        """Start without any.

        Args:
            pack: places of each; None for what its device holds.
            resources: what each takes of the cluster.
            at_most: how many there may be; None for what the cluster holds.
            may_grow: whether the cluster may get more nodes, if engines wait for them.
            say: hears of engines that come and go.
        """
        self._may_grow = may_grow
        self._say = say
        self._pack = pack
        self._resources = dict(resources)
        self._all: list[Handle] = []
        self._of_trial: dict[str, Handle] = {}
        self._slots = Slots(resources, at_most)

    def place(self, assignment: Assignment) -> Engagement | None:
        """Send a trial to an engine that has a compatible place free: the one with fewest.

        One that trains the same batches already may have one more: together they waste less.
        """
        kind, seen = assignment.kind, assignment.batches
        free = [e for e in self._all if e.is_usable and len(e.trials) < e.capacity]
        open_to = [e for e in free if e.kind == kind or not e.trials]

        def load(engine: Handle) -> tuple[int, bool]:
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
        there = sum(e.capacity for e in self._all if e.is_usable)
        return there + missing * (self._pack or FIRST_PLACES)

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

    def look(self, waiting: int) -> None:
        """Hear what engines have answered, ask those not asked lately, start and let go."""
        now = time.monotonic()
        wanted = self._wanted(waiting)
        for engine in self._all[:]:
            self._hear(engine, now)
            if engine.is_lost:
                self._let_go(engine, "engine_cannot_start", "error")
            if engine.is_lost or engine.trials:
                continue
            if not engine.is_usable:
                if len(self._all) > wanted:
                    self._let_go(engine, "engine_not_wanted_any_more")
            elif now - engine.idle_since > IDLE_SECONDS:
                self._let_go(engine, "engine_let_go")
        if self._may_grow and len(self._all) >= self._slots.count():
            for _ in range(wanted - len(self._all)):
                self._start().is_extra = True

    @property
    def states(self) -> tuple[EngineState, ...]:
        """The engines that there are, in the order in which they were started."""
        return tuple(engine.state for engine in self._all)

    def _wanted(self, waiting: int) -> int:
        """Engines that all trials there are would fill, as far as so many may be used."""
        told = [e.told.capacity for e in self._all if e.told and e.told.capacity is not None]
        places = self._pack or max(told, default=None)
        if places is None:
            return len(self._all)  # A guess could ask for many times the devices that are needed.
        trials = waiting + len(self._of_trial)
        return min(math.ceil(trials / max(1, places)), self._slots.most)

    def _let_go(self, engine: Handle, why: str, level: Level = "info") -> None:
        self._all.remove(engine)
        ray.kill(engine.actor)
        self._say(why, level, engine=engine.name)

    def close(self) -> None:
        """Give every device back."""
        for engine in self._all:
            ray.kill(engine.actor)
        self._all.clear()

    def _hear(self, engine: Handle, now: float) -> None:
        if engine.answer is not None and ray.wait([engine.answer], timeout=0)[0]:
            try:
                told = ray.get(engine.answer)
            except ray.exceptions.RayActorError as error:
                # Else it is being started again.
                told, engine.is_lost = None, error.actor_init_failed
                lines = str(error).strip().splitlines()
                self._say("engine_lost", "warning", engine=engine.name, reason=lines[:1])
            engine.answer = None
            if told is not None:
                if not engine.is_ready:
                    where = {"node": told.node, "device": told.device}
                    self._say("engine_ready", engine=engine.name, **where)
                engine.hear(told, now)
        if engine.answer is None and now - engine.asked > _ASK_SECONDS:
            engine.answer, engine.asked = engine.actor.state.remote(), now

    def _start(self) -> Handle:
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
        engine = Handle(name, actor, self._pack or FIRST_PLACES, time.monotonic())
        self._all.append(engine)
        return engine


def count_places(available: Mapping[str, float], each: Mapping[str, float]) -> int:
    """How often a size fits the cluster; at least 1, so that one waits for a node."""
    counts = [int(available.get(name, 0.0) / size) for name, size in each.items() if size]
    return max(1, min(counts, default=1))
