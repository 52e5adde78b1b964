"""What MLflow is told of a study while it runs."""

import getpass
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from ablate import keeping, tally
from ablate.frame import plain
from ablate.journal import State, Trial
from ablate.log import Say, say_nothing
from ablate.plan import Cell
from ablate.resolve import Resolved
from ablate.stats.level import level_of
from ablate.store import StudyFolder, identity
from ablate.tracking import CellInfo, Owner, StudyInfo, Tracker, Writer
from trials.spec import FAILED

FIRST_SECONDS = 20.0
"""How long MLflow leaves the machine to the first trials, unless one reports before."""
CLOSING_SECONDS = 120.0
AWAY_SECONDS = 5.0
"""How long the end of a run waits for a store that is slow, and for one that does not answer."""


@contextmanager
def tracked(
    resolved: Resolved,
    uri: str | None,
    folder: StudyFolder,
    state: State,
    say: Say = say_nothing,
) -> Iterator[Callable[[], None]]:
    """Keep MLflow up to date in the background for the time of a run.

    Args:
        resolved: the study's plan and facts.
        uri: tracking store; None for none.
        folder: the study's folder.
        state: the journal's, as the driver changes it.
        say: hears when the store is away, and when it is back.

    Yields:
        To be called after each change of the state.
    """
    if uri is None:
        yield lambda: None
        return
    writer = Writer(
        partial(Tracker, uri, resolved.plan.study.name, artifacts=None, owner=owner(folder)),
        state,
        Describer(resolved, folder),
        patience=FIRST_SECONDS,
        on_change=partial(_tell, say),
    )
    writer.start()
    interrupted = True
    try:
        yield writer.notify
        interrupted = state.ended == "stopped" or state.ended is None
    finally:
        at_once = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        patience = AWAY_SECONDS if at_once else CLOSING_SECONDS
        complete = writer.close(patience, away=AWAY_SECONDS, interrupted=interrupted)
        if not complete:
            reason = "; ".join(writer.problems) or "it is slow"
            sys.stderr.write(
                f"MLflow does not have everything yet ({reason}); the journal does, and the next "
                "run of this study sends the rest\n"
            )


def owner(folder: StudyFolder) -> Owner:
    """Whose study it is."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # A container may run as a number that has no name.
        user = str(os.getuid())
    return Owner(identity(folder.path.parent), user)


def _tell(say: Say, problem: str | None) -> None:
    if problem is None:
        say("tracking_back")
    else:
        say("tracking_away", "warning", reason=problem)


class Describer:
    """Says what MLflow is to know of cells and study, second after second while a study runs.

    A cell's summary is computed again only when a trial that confirms it has ended.
    """

    def __init__(self, resolved: Resolved, folder: StudyFolder) -> None:
        self._resolved, self._folder = resolved, folder
        self._config = resolved.plan.study.to_json()
        self._cells: dict[str, tuple[object, CellInfo]] = {}

    def __call__(self, state: State) -> tuple[Sequence[CellInfo], StudyInfo]:
        """The cells in the order of the plan, and the study, at a state."""
        plan = self._resolved.plan
        study = StudyInfo(
            name=plan.study.name,
            question=plan.study.question,
            revision=len(state.revisions),
            config=self._config,
            folder=self._folder.path,
            keep_files=partial(_files, self._resolved, self._folder, state),
            stale=frozenset(trial.id for trial in tally.stale_trials(plan, state)),
        )
        return [self._cell(state, cell) for cell in plan.cells], study

    def _cell(self, state: State, cell: Cell) -> CellInfo:
        trials = _confirming(self._resolved, state, cell)
        ended = tuple((t.id, t.status, t.finished_at) for t in trials if t.final)
        before = self._cells.get(cell.key)
        if before is None or before[0] != ended:
            info = _cell(self._resolved, trials, cell)
            before = self._cells[cell.key] = (ended, info)
        return before[1]


def describe(
    resolved: Resolved, folder: StudyFolder, state: State
) -> tuple[Sequence[CellInfo], StudyInfo]:
    """What MLflow is to know of cells and study at a state."""
    return Describer(resolved, folder)(state)


def _confirming(resolved: Resolved, state: State, cell: Cell) -> list[Trial]:
    """The trials that confirm a cell's best values, as far as they are planned."""
    plan = resolved.plan
    return [
        state.trials[spec.id]
        for _, specs in tally.confirmation(plan, state, cell)[:1]
        for spec in specs
        if spec.id in state.trials
    ]


def _cell(resolved: Resolved, trials: Sequence[Trial], cell: Cell) -> CellInfo:
    facts = resolved.facts[cell.task]
    return CellInfo(
        key=cell.key,
        task=cell.task,
        backbone=cell.backbone,
        arm=cell.arm.id,
        label=cell.arm.label,
        method=cell.arm.method,
        factors={k: plain(v) for k, v in cell.arm.typed.items() if k != "method"},
        nuisances=tuple(cell.space),
        primary=facts.primary,
        direction=facts.direction,
        search_split=cell.template.splits.search,
        report_split=cell.template.splits.report,
        summary=_summary(resolved, trials, cell),
        directions=facts.directions,
        grid=facts.grid,
    )


def _summary(resolved: Resolved, trials: Sequence[Trial], cell: Cell) -> Mapping[str, float | None]:
    """Level of the confirmed seeds on the report split; nothing where there are none."""
    plan, facts = resolved.plan, resolved.facts[cell.task]
    split = cell.template.splits.report
    done = [
        t.result_json["scores"][split][facts.primary]
        for t in trials
        if t.status == "finished" and t.result_json
    ]
    failed = sum(trial.status in FAILED for trial in trials)
    if not done:
        return {"num_failed": float(failed)} if failed else {}
    level = level_of(np.array(done), level=plan.study.level, num_failed=failed)
    return {
        "mean": level.mean, "sd": level.sd, "ci_low": level.ci_low, "ci_high": level.ci_high,
        "n": float(len(done)), "num_failed": float(failed),
    }  # fmt: skip


def _files(resolved: Resolved, folder: StudyFolder, state: State, trial: str) -> list[Path]:
    """Files that go to MLflow with a trial that has ended.

    With `keep: best` an adapter goes along if it was the best of its cell when it ended.
    """
    known = state.trials[trial]
    files: Mapping[str, str] = (known.result_json or {}).get("files", {})
    keep = resolved.plan.study.keep
    wanted = set(files) - {keeping.ADAPTER}
    cells = {cell.key: cell for cell in resolved.plan.cells}
    if keeping.ADAPTER in files and known.cell in cells:
        best = keeping.best_trial(resolved.plan, state, cells[known.cell], resolved.facts)
        if keep == "all" or (keep == "best" and best == trial):
            wanted.add(keeping.ADAPTER)
    paths = [folder.trial(trial) / files[name] for name in sorted(wanted)]
    return [path for path in paths if path.is_file()]
