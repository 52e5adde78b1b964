"""A study's searches as Optuna's own storage, for optuna-dashboard and `optuna.load_study`.

Written from the journal: the search itself lives in memory and never reads this file.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate import tuning
from ablate.dimensions import dimensions
from ablate.journal import Ask, State
from ablate.outcomes import Complete, Failed, Pruned
from ablate.plan import Cell, Plan
from ablate.quiet import quiet
from ablate.tally import TaskFacts
from trials.errors import UserError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

DATABASES = (".db", ".sqlite", ".sqlite3")


def write(plan: Plan, state: State, facts: Mapping[str, TaskFacts], file: Path) -> tuple[str, ...]:
    """Write one Optuna study a cell.

    Args:
        plan: the resolved plan.
        state: the journal's.
        facts: of every task.
        file: new; a SQLite database where its name ends so, else Optuna's journal.

    Returns:
        The names of the studies, `<study>: <cell>`.

    Raises:
        UserError: the file exists or cannot be written, or nothing was asked yet.
    """
    cells = [cell for cell in plan.cells if state.asks.get(cell.key)]
    if not cells:
        raise UserError(f"study '{plan.study.name}' has asked nothing that a tuner could show")
    if file.exists():
        raise UserError(f"{file} exists; name a new file")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with quiet():
            storage = _storage(file)
            return tuple(_write_cell(plan, state, facts, cell, storage) for cell in cells)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}") from None


def _storage(file: Path) -> "BaseStorage":
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if file.suffix in DATABASES:
        return RDBStorage(f"sqlite:///{file}")
    return JournalStorage(JournalFileBackend(str(file)))


def _write_cell(
    plan: Plan, state: State, facts: Mapping[str, TaskFacts], cell: Cell, storage: "BaseStorage"
) -> str:
    import optuna

    name = f"{plan.study.name}: {cell.name}"
    aims = tuning.objectives_of(plan, cell, facts)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=["maximize" if aim.direction == "higher" else "minimize" for aim in aims],
    )
    study.set_metric_names([aim.metric or aim.name for aim in aims])
    about = {"cell": cell.key, "task": cell.task, "backbone": cell.backbone, "arm": cell.arm.id}
    for key, value in about.items():
        study.set_user_attr(key, value)
    study.add_trials([_trial(plan, state, facts, cell, ask) for ask in state.asks[cell.key]])
    return name


def _trial(
    plan: Plan, state: State, facts: Mapping[str, TaskFacts], cell: Cell, ask: Ask
) -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial

    aims = tuning.objectives_of(plan, cell, facts)
    broken = None if ask.trials else plan.violated(cell, ask.values)
    found = tuning.outcome(state, ask, cell.template.splits.search, aims, broken)
    space = dimensions(cell.space)
    words = {Complete: "COMPLETE", Pruned: "PRUNED", Failed: "FAIL", type(None): "RUNNING"}
    told: dict[str, Any] = {"ask": ask.number, "trials": list(ask.trials)}
    if isinstance(found, Failed):
        told["reason"] = found.reason
    made = create_trial(
        state=TrialState[words[type(found)]],
        values=list(found.scores) if isinstance(found, Complete) else None,
        params={d.name: d.encode(ask.values[d.name]) for d in space},
        distributions={d.name: d.distribution for d in space},
        intermediate_values=tuning.reports(state, ask, aims[0]) if len(aims) == 1 else {},
        user_attrs=told,
    )
    trials = [state.trials[t] for t in ask.trials if t in state.trials]
    starts = [t.started_at for t in trials if t.started_at is not None]
    ends = [t.finished_at for t in trials if t.finished_at is not None]
    if starts:
        made.datetime_start = datetime.fromtimestamp(min(starts))
    if found is not None and ends:
        made.datetime_complete = datetime.fromtimestamp(max(ends))
    return made
