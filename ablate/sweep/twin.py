"""The twin: the same conductor driven by a plain loop in this process. For tests and debugging."""

from ablate.sweep.conductor import Conductor
from trials.spec import Progress, TrialResult
from trials.training.run import Run, crashed, guarded


def run(conductor: Conductor, *, limit: int | None = None) -> int:
    """Run a study's trials one after another.

    Args:
        conductor: the study.
        limit: stop after this many trials have ended; None for all.

    Returns:
        How many trials ended.
    """
    ended = 0
    while (limit is None or ended < limit) and (assignment := conductor.next()) is not None:
        identity = assignment.spec.id
        try:
            training = Run(assignment)
        except Exception as error:  # noqa: BLE001 - a trial that cannot start is recorded
            conductor.finish(identity, crashed(error, assignment))
            ended += 1
            continue
        try:
            conductor.finish(identity, _train(conductor, identity, training))
        finally:
            training.close()
        ended += 1
    return ended


def _train(conductor: Conductor, identity: str, training: Run) -> TrialResult:
    while True:
        made = guarded(training)
        if isinstance(made, TrialResult):
            return made
        assert isinstance(made, Progress)
        if not conductor.report(identity, made):
            return training.result("pruned", f"stopped at step {made.step}")
