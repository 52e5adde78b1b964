"""Looks after a run on Ray while it goes on: engines, nodes that join, and whoever watches."""

import time
from collections.abc import Callable

from ray.util.metrics import Gauge

from ablate.log import Say
from ablate.pulse import EVERY_SECONDS, Pulse
from ablate.sweep.conductor import Conductor
from ablate.sweep.engines import Engines
from ablate.sweep.versions import Nodes


class Keeper:
    """Called as often as the run comes to it; does nothing that waits."""

    def __init__(
        self,
        conductor: Conductor,
        engines: Engines,
        nodes: Nodes | None,
        show: Callable[[Pulse], None],
        say: Say,
    ) -> None:
        """Look after a run.

        Args:
            conductor: the study.
            engines: what trains its trials.
            nodes: those of a cluster, where others may join.
            show: takes what there is to see, every `EVERY_SECONDS`.
            say: hears of nodes that join.
        """
        self._conductor, self._engines, self._nodes = conductor, engines, nodes
        self._show, self._say = show, say
        self._gauges = Gauges(conductor.plan.study.name)
        self._shown = float("-inf")

    def look(self) -> None:
        """See how things are."""
        waiting = self._conductor.num_waiting
        self._engines.look(waiting)
        if time.monotonic() - self._shown < EVERY_SECONDS:
            return
        self._shown = time.monotonic()
        self._look_at_nodes()
        states = self._engines.states
        pulse = Pulse(time.time(), waiting, len(self._conductor.running), states)
        self._gauges.tell(pulse)
        self._show(pulse)

    def _look_at_nodes(self) -> None:
        """A node that runs something else would give other numbers: the run stops."""
        if self._nodes is None:
            return
        joined, problems = self._nodes.look()
        for node in joined:
            self._say("node_joined", node=node)
        for problem in problems:
            self._say("node_differs", "error", reason=problem)
            self._conductor.halted = self._conductor.halted or problem


class Gauges:
    """A pulse as metrics of Ray's own exporter: `ablate_...`, by study and engine."""

    OF_STUDY = ("trials_waiting", "trials_running", "engines")
    OF_ENGINE = ("trials", "places", "steps_per_second", "memory_bytes")

    def __init__(self, study: str) -> None:
        self._study = study
        self._of_study = {
            name: Gauge(f"ablate_{name}", f"{name.replace('_', ' ')} of a study", ("study",))
            for name in self.OF_STUDY
        }
        self._of_engine = {
            name: Gauge(
                f"ablate_engine_{name}",
                f"{name.replace('_', ' ')} of an engine",
                ("study", "engine"),
            )
            for name in self.OF_ENGINE
        }
        self._known: set[str] = set()

    def tell(self, pulse: Pulse) -> None:
        """Set every metric; those of engines that are gone to zero."""
        counts = (pulse.waiting, pulse.running, len(pulse.engines))
        for name, count in zip(self.OF_STUDY, counts, strict=True):
            self._of_study[name].set(count, {"study": self._study})
        for gone in self._known - {engine.name for engine in pulse.engines}:
            for name in self.OF_ENGINE:
                self._set(name, gone, 0.0)
        self._known = {engine.name for engine in pulse.engines}
        for engine in pulse.engines:
            for name in self.OF_ENGINE:
                value = getattr(engine, name)
                if value is not None:
                    self._set(name, engine.name, float(value))

    def _set(self, name: str, engine: str, value: float) -> None:
        self._of_engine[name].set(value, {"study": self._study, "engine": engine})
