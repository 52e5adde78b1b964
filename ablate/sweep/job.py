"""A Tune job: one trial, in a process that stays warm for the next.

With a pack of one the job's process is itself the engine: imports, backbone and tokenised data
stay in the process, and `reset_config` only hands it another trial. Where its machine has a server
of forks, a process from there does so in its stead, and the imports are done already. With larger
packs the job takes its trial to a shared engine and passes on what that has to say.
"""

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ray import tune

from trials.places import Assignment

if TYPE_CHECKING:
    from ablate.sweep.visit import Stay

PROGRESS = "ablate_progress"
RESULT = "ablate_result"


class Job(tune.Trainable):  # type: ignore[misc]
    """Trains the trial named in its configuration, one evaluation a step."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take an assignment; it is loaded at the first step, where a failure is a result."""
        self._assignment = Assignment.from_json(config["assignment"])
        self._engine_name: str | None = config.get("engine")
        self._forks: str | None = config.get("forks")
        self._stay: Stay | None = None

    def step(self) -> dict[str, Any]:
        """Train to the next evaluation.

        Returns:
            Under `PROGRESS` a report and under `RESULT` a result, the one that the trial would
            have if it were stopped here; both as JSON text, which Tune does not take apart.
        """
        if self._stay is None:
            self._stay = self._begin()
        event = self._stay.next()
        made = {RESULT: json.dumps(event["result"]), "done": event["progress"] is None}
        if event["progress"] is None:
            self._stay = None
            return made
        return {PROGRESS: json.dumps(event["progress"]), **made}

    def _begin(self) -> "Stay":
        if self._engine_name is not None:
            from ablate.sweep.visit import SharedStay

            return SharedStay(self._assignment, self._engine_name)
        if self._forks is not None:
            from ablate.sweep.visit import ForkedStay

            with suppress(OSError):
                return ForkedStay(self._assignment, self._forks)
        from ablate.sweep.stay import OwnStay

        return OwnStay(self._assignment)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in the same process."""
        self._leave()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Leave the engine to others."""
        self._leave()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: trials keep their own checkpoints, which Tune never reads."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing, for the same reason."""

    def _leave(self) -> None:
        if self._stay is not None:
            self._stay.leave()
            self._stay = None
