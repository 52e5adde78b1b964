"""What stays on the disk: predictions always, adapters as `keep` says, checkpoints not."""

import dataclasses
from pathlib import Path

import pytest
from mini_study import Ran

from ablate import api, keeping
from ablate.journal import State, Trial
from ablate.resolve import Resolved
from ablate.store import StudyFolder
from ablate.tally import TaskFacts


@pytest.fixture
def mine(ran: Ran, tmp_path: Path) -> tuple[Resolved, State, StudyFolder]:
    copy = ran.copy(tmp_path)
    study = api.load(copy.file, settings=["keep=best"], store=str(copy.store), device="cpu")
    return study.resolved, study.state, study.folder


def test_the_best_is_best_by_the_split_that_chooses(
    mine: tuple[Resolved, State, StudyFolder],
) -> None:
    resolved, state, _ = mine
    cell = resolved.plan.cells[0]
    trials = [t for t in state.trials.values() if t.cell == cell.key and t.rank == 1]
    low, high = trials
    for trial, chooses, shows in ((low, 0.1, 0.9), (high, 0.2, 0.8)):
        scores = {"validation": {"mcc": chooses}, "test": {"mcc": shows}}
        trial.result_json = {**(trial.result_json or {}), "scores": scores}
    assert keeping.best_trial(resolved.plan, state, cell, resolved.facts) == high.id
    lower = {cell.task: TaskFacts("mcc", "lower", {}, {})}
    assert keeping.best_trial(resolved.plan, state, cell, lower) == low.id
    for trial in trials:
        trial.status = "crashed"
    assert keeping.best_trial(resolved.plan, state, cell, resolved.facts) is None


def test_only_the_best_adapter_of_a_cell_stays(mine: tuple[Resolved, State, StudyFolder]) -> None:
    resolved, state, folder = mine
    keeping.tidy(resolved.plan, state, folder, resolved.facts)
    kept = {path.parent.name for path in folder.path.glob("trials/*/adapter.safetensors")}
    assert kept == {
        keeping.best_trial(resolved.plan, state, cell, resolved.facts)
        for cell in resolved.plan.cells
    }
    keeping.tidy(resolved.plan, state, folder, resolved.facts)
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("status", "gone"),
    [("finished", True), ("pruned", True), ("crashed", False), ("out_of_memory", False),
     ("running", False), ("waiting", False)],
)  # fmt: skip
def test_a_checkpoint_stays_while_it_may_be_of_use(tmp_path: Path, status: str, gone: bool) -> None:
    folder = StudyFolder(tmp_path)
    trial = Trial("t", {}, "c", None, None, 1, False)
    path = folder.trial("t") / keeping.CHECKPOINT
    path.parent.mkdir(parents=True)
    path.write_text("")
    keeping.forget_checkpoint(folder, dataclasses.replace(trial, status=status))
    assert path.exists() is not gone
    keeping.forget_checkpoint(folder, dataclasses.replace(trial, status=status))
