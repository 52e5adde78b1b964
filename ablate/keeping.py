"""Which files of ended trials stay, in the store and as artifacts: `keep` of the study.

Predictions always stay: reports pair by example. A checkpoint is of no use once its trial has
ended, and goes.
"""

from collections.abc import Mapping

from ablate import tally
from ablate.journal import State, Trial
from ablate.plan import Cell, Plan
from ablate.store import StudyFolder
from ablate.tally import TaskFacts
from trials.spec import FAILED

CHECKPOINT = "checkpoint.safetensors"
ADAPTER = "adapter"


def best_trial(plan: Plan, state: State, cell: Cell, facts: Mapping[str, TaskFacts]) -> str | None:
    """The finished confirming trial of a cell that is best by the split that chooses.

    Not by the split that is shown: the adapter that is deployed is chosen as everything else is.
    """
    fact, split = facts[cell.task], cell.template.splits.search
    found: dict[str, float] = {}
    for trial, _, spec in tally.current_trials(plan, state, cell):
        confirms = spec is not None and spec.stage == "confirm"
        if confirms and trial is not None and trial.status == "finished":
            assert trial.result_json is not None
            found[trial.id] = trial.result_json["scores"][split][fact.primary]
    if not found:
        return None
    sign = 1 if fact.direction == "higher" else -1
    return max(found, key=lambda identity: sign * found[identity])


def forget_checkpoint(folder: StudyFolder, trial: Trial) -> None:
    """Remove the checkpoint of a trial that has ended and will not be retried from it."""
    if trial.final and trial.status not in FAILED:
        (folder.trial(trial.id) / CHECKPOINT).unlink(missing_ok=True)


def tidy(plan: Plan, state: State, folder: StudyFolder, facts: Mapping[str, TaskFacts]) -> None:
    """Remove the adapters that `keep` does not keep: all but the best of each cell, or all.

    Those that trials of other cells start from stay: the study may grow.
    """
    keep = plan.study.keep
    if keep == "all":
        return
    kept: set[str | None]
    kept = {t for cell in plan.cells for t in tally.starts(plan, state, cell) or ()}
    if keep == "best":
        kept |= {best_trial(plan, state, cell, facts) for cell in plan.cells}
    for trial in state.trials.values():
        if trial.status == "finished" and trial.id not in kept:
            files = (trial.result_json or {}).get("files", {})
            if ADAPTER in files:
                (folder.trial(trial.id) / files[ADAPTER]).unlink(missing_ok=True)
