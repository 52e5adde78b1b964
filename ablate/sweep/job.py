"""A Tune job: one trial in a process that stays warm for the next.

With a pack of one the job's process is itself the engine: imports, backbone and tokenised data
stay in the process, and `reset_config` only hands it another trial.
"""

import json
from typing import Any

import ray
from ray import tune

from trials.places import Assignment
from trials.spec import TrialResult

PROGRESS = "ablate_progress"
RESULT = "ablate_result"


class Job(tune.Trainable):  # type: ignore[misc]
    """Trains the trial named in its configuration, one evaluation a step."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take an assignment; it is loaded at the first step, where a failure is a result."""
        self._assignment = Assignment.from_json(config["assignment"])
        self._run: Any = None

    def step(self) -> dict[str, Any]:
        """Train to the next evaluation.

        Returns:
            Under `PROGRESS` a report and under `RESULT` a result, the one that the trial would
            have if it were stopped here; both as JSON text, which Tune does not take apart.
        """
        from trials.training.run import Run, crashed, guarded

        if self._run is None:
            try:
                self._run = Run(_on_device(self._assignment))
            except Exception as error:  # noqa: BLE001 - a trial that cannot start is recorded
                result = crashed(error, self._assignment)
                return {RESULT: json.dumps(result.to_json()), "done": True}
        made = guarded(self._run)
        if isinstance(made, TrialResult):
            self._close()
            return {RESULT: json.dumps(_placed(made.to_json())), "done": True}
        so_far = _placed(self._run.result("pruned", f"stopped at step {made.step}").to_json())
        return {PROGRESS: json.dumps(made.to_json()), RESULT: json.dumps(so_far), "done": False}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in the same process."""
        self._close()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Leave the backbone as it was."""
        self._close()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: trials keep their own checkpoints, which Tune never reads."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing, for the same reason."""

    def _close(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None


def _on_device(assignment: Assignment) -> Assignment:
    """Put the trial on the device that Ray gave this job."""
    import dataclasses

    import torch

    wanted = assignment.device
    has_gpu = bool(ray.get_runtime_context().get_accelerator_ids().get("GPU"))
    if wanted == "auto":
        wanted = "cuda" if has_gpu and torch.cuda.is_available() else "cpu"
    return dataclasses.replace(assignment, device=wanted)


def _placed(result: dict[str, Any]) -> dict[str, Any]:
    """Add where the trial ran to its environment."""
    context = ray.get_runtime_context()
    gpus = ",".join(context.get_accelerator_ids().get("GPU", []))
    where = {"node": context.get_node_id()[:12], **({"gpu": gpus} if gpus else {})}
    return {**result, "environment": {**result["environment"], **where}}
