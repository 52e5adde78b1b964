"""A trial that is trained by its job's own process, and what an engine's messages carry."""

import dataclasses
from typing import Any

import ray

from ablate.sweep.visit import Message
from trials.places import Assignment
from trials.training.engine import Engine, Event


class OwnStay:
    """A trial that is trained by this process itself, alone."""

    def __init__(self, assignment: Assignment) -> None:
        self._trial = assignment.spec.id
        self._engine = Engine()
        self._engine.join(on_given_device(assignment))

    def next(self) -> Message:
        """Train to the next evaluation."""
        while True:
            for event in self._engine.advance():
                if event.progress is None:
                    self._engine.close()
                return message(event)

    def leave(self) -> None:
        """Leave the backbone to the next trial."""
        self._engine.leave(self._trial, "left")
        self._engine.close()


def message(event: Event) -> Message:
    """An engine's event as JSON types, with where it happened."""
    result = event.result.to_json()
    progress = None if event.progress is None else event.progress.to_json()
    return {"progress": progress, "result": {**result, "environment": placed(result)}}


def on_given_device(assignment: Assignment) -> Assignment:
    """Put the trial on the device that Ray gave this process."""
    import torch

    wanted = assignment.device
    has_gpu = bool(ray.get_runtime_context().get_accelerator_ids().get("GPU"))
    if wanted == "auto":
        wanted = "cuda" if has_gpu and torch.cuda.is_available() else "cpu"
    return dataclasses.replace(assignment, device=wanted)


def placed(result: dict[str, Any]) -> dict[str, Any]:
    """A result's environment with the node and GPU of this process."""
    context = ray.get_runtime_context()
    gpus = ",".join(context.get_accelerator_ids().get("GPU", []))
    where = {"node": context.get_node_id()[:12], **({"gpu": gpus} if gpus else {})}
    return {**result["environment"], **where}
