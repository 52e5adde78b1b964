"""Ray Tune's searcher and scheduler as two thin views of one conductor.

The searcher hands out assignments, the scheduler hears every report and may stop a trial; a
stopped trial's last report reaches the scheduler only, so both must share the conductor. Tune's
own experiment files are written to a temporary folder and never read: the journal is the truth.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from ablate.log import Say, say_nothing
from ablate.sweep.conductor import Conductor
from ablate.sweep.engines import Engines
from ablate.sweep.job import PROGRESS, RESULT, Job
from trials.places import Assignment
from trials.spec import Progress, TrialResult

INFRASTRUCTURE_RETRIES = 2
"""How often a trial whose process died is started again; its own failures never are."""


class Desk(Searcher):  # type: ignore[misc]
    """Gives Tune the conductor's assignments, as many as there are places."""

    def __init__(
        self,
        conductor: Conductor,
        engines: Engines,
        look: Callable[[], None] | None = None,
        say: Say = say_nothing,
    ) -> None:
        super().__init__()
        self.conductor = conductor
        self.engines = engines
        self.look = look or (lambda: engines.look(0))
        self.say = say
        self.stopping = False
        self.trial_of: dict[str, str] = {}
        self.cut_off: set[str] = set()
        self.last_error = "no message"
        self._held: Assignment | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of a running study goes into the files that Tune writes."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """The next assignment, None while there is none, or the end."""
        self.look()
        if self.conductor.look() is not None:
            self.stopping = True
        if self.stopping or self.conductor.done:
            return None if self.conductor.running and not self.stopping else Searcher.FINISHED
        if self._held is None:
            if len(self.conductor.running) >= self.engines.num_places:
                return None
            self._held = self.conductor.next()
        if self._held is None:
            return Searcher.FINISHED if self.conductor.done else None
        assignment = self._held
        engagement = self.engines.place(assignment)
        if engagement is None:
            return None
        self._held = None
        self.trial_of[trial_id] = assignment.spec.id
        # As one text: Tune copies a configuration some ten times, and takes apart what is nested.
        return {"assignment": json.dumps(assignment.to_json()), **asdict(engagement)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The process of a trial died more often than it is started again.

        Of every other end the scheduler hears; of an error it hears as well where Tune starts the
        trial again.
        """
        identity = self.trial_of.get(trial_id)
        if error and identity is not None:
            reason = f"its process died {INFRASTRUCTURE_RETRIES + 1} times: {self.last_error}"
            self.engines.stop(identity)
            self.conductor.finish(identity, TrialResult(status="crashed", reason=reason))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the journal is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class Steward(FIFOScheduler):  # type: ignore[misc]
    """Tells the conductor what Tune's trials report, and stops those that it prunes."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk

    def __getstate__(self) -> dict[str, Any]:
        """As for the searcher."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Go on, or stop what the pruner stops."""
        identity = self.desk.trial_of[trial.trial_id]
        if self.desk.conductor.report(identity, read_progress(json.loads(result[PROGRESS]))):
            if self.desk.conductor.look() is not None:
                # It goes on from its checkpoint in a later run.
                self.desk.stopping = True
                self.desk.cut_off.add(identity)
                self.desk.engines.stop(identity)
                return str(TrialScheduler.STOP)
            return str(TrialScheduler.CONTINUE)
        self.desk.engines.stop(identity)
        self._finish(trial, result)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """The trial came to its end, or was cut off where the run must stop."""
        if self.desk.trial_of[trial.trial_id] not in self.desk.cut_off:
            self._finish(trial, result)

    def _finish(self, trial: Any, result: Mapping[str, Any]) -> None:
        made = TrialResult.from_json(json.loads(result[RESULT]))
        identity = self.desk.trial_of[trial.trial_id]
        self.desk.engines.ended(identity)
        self.desk.conductor.finish(identity, made)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A process died; Tune starts the trial again or tells the searcher that it is over."""
        self.desk.last_error = trial_error(trial)
        identity = self.desk.trial_of.get(trial.trial_id)
        self.desk.say("job_died", "warning", trial=identity, reason=self.desk.last_error)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Removed before it ran: Tune is being shut down."""


def read_progress(value: Mapping[str, Any]) -> Progress:
    """A report as it came from a job, where null stands for what was not finite."""
    numbers = {k: math.nan if value[k] is None else value[k] for k in ("primary", "train_loss")}
    scores = {k: math.nan if v is None else v for k, v in value["scores"].items()}
    return Progress.from_json({**value, **numbers, "scores": scores})


def trial_error(trial: Any) -> str:
    """The last line that Tune kept of a job's failure."""
    text = str(trial.get_error() or "no message").strip().splitlines()
    return text[-1][:300] if text else "no message"


def run(
    conductor: Conductor,
    *,
    engines: Engines,
    folder: str,
    job: type[tune.Trainable] = Job,
    look: Callable[[], None] | None = None,
    say: Say = say_nothing,
) -> None:
    """Run a study to its end on the connected Ray cluster.

    Args:
        conductor: the study.
        engines: what trains its trials.
        folder: where Tune may write its own files.
        job: what takes a trial there; another class must report as `Job` does.
        look: called now and then; looks after the engines.
        say: hears of jobs whose processes died.
    """
    desk = Desk(conductor, engines, look, say)
    if conductor.done:
        return
    sized = tune.with_resources(job, {k.lower(): v for k, v in engines.job_resources.items()})
    tuner = tune.Tuner(
        sized,
        tune_config=tune.TuneConfig(
            search_alg=desk,
            scheduler=Steward(desk),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"trial_{trial.trial_id}",
            trial_dirname_creator=lambda trial: f"trial_{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=folder,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=INFRASTRUCTURE_RETRIES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    finally:
        engines.close()
        if conductor.journal.broken is not None:
            # Tune makes an error of its own of what its callbacks raise, or goes on without.
            raise conductor.journal.broken
