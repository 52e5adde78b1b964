"""How long a study will take and what it will cost, by what its store has measured."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ablate import journal, rounds, smoke
from ablate.journal import State
from ablate.plan import Cell, Plan
from ablate.registered import batches
from ablate.rehearsal import expected_seeds
from ablate.resolve import Resolved
from ablate.store import StudyFolder, studies
from ablate.tally import chosen_values, current_trials
from trials.errors import UserError

Key = tuple[str, ...]


@dataclass(frozen=True)
class Expected:
    """What is expected of one cell.

    Attributes:
        cell: the cell.
        trials: that are left to train, at most.
        steps: of each; None where the data are not at hand.
        each: seconds of one of them; None where nothing like it was measured.
        seconds: of device time in all; None as well.
        basis: what the prediction rests on.
    """

    cell: Cell
    trials: int
    steps: int | None
    each: float | None
    seconds: float | None
    basis: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "cell": self.cell.key, "trials": self.trials, "steps": self.steps,
            "seconds": self.seconds, "basis": self.basis,
        }  # fmt: skip


def forecast(resolved: Resolved, folder: StudyFolder) -> list[Expected]:
    """What is left of every cell, at most: pruned and repeated asks take less.

    Device time is that of trials one after another; packs and several devices take less of the
    clock.

    Args:
        resolved: the study.
        folder: its folder; the other studies of its store are looked at where it knows too little.
    """
    plan = resolved.plan
    state = _state(folder.path)
    paces = _paces([state])
    smoked = dict(smoke.read(folder))
    if any(_pace(paces, cell) is None for cell in plan.cells):
        others = (f for f in studies(folder.path.parent) if f.name != folder.name)
        paces = _paces([state, *(_state(f.path) for f in others)])
    most = rounds.most_seeds(plan, state, resolved.facts)
    return [_expected(resolved, state, cell, most[cell.key], paces, smoked) for cell in plan.cells]


def rehearsed(plan: Plan) -> dict[str, dict[str, float]]:
    """What a race takes on average, from its beginning, by how much the arms differ.

    Returns:
        `no_difference`, and `one_sd` where every difference is one sd -> cell -> seeds. Empty where
        the number of seeds is fixed.
    """
    effects = {"no_difference": 0.0, "one_sd": 1.0} if plan.looks else {}
    return {name: _rehearsed(plan, effect) for name, effect in effects.items()}


def _rehearsed(plan: Plan, effect: float) -> dict[str, float]:
    trained = partial(rounds.seeds_of_cells, plan)
    # Before the first result all questions are one batch.
    for batch in batches(plan, State()):
        rng = np.random.default_rng(0)
        return expected_seeds(batch.race, effect, rng=rng, trained=trained)
    return {key: float(seeds) for key, seeds in trained({}).items()}


def _state(path: Path) -> State:
    """A journal's state; empty where there is none that can be read."""
    try:
        return journal.load(StudyFolder(path).journal)
    except UserError:
        return State()


def _paces(states: Sequence[State]) -> Mapping[Key, list[float]]:
    """Seconds of a step of finished trials, by task, backbone and method, and by the first two."""
    found: dict[Key, list[float]] = defaultdict(list)
    for state in states:
        for trial in state.trials.values():
            steps = max((r["num_steps"] for r in trial.reports.values()), default=0)
            seconds = (trial.result_json or {}).get("seconds")
            if trial.status == "finished" and steps and seconds and trial.reused_from is None:
                spec = trial.spec_json
                place = (spec["task"], spec["backbone"])
                found[(*place, spec["method"])].append(seconds / steps)
                found[place].append(seconds / steps)
    return found


def _pace(paces: Mapping[Key, list[float]], cell: Cell) -> tuple[float, str] | None:
    place = (cell.task, cell.backbone)
    for key in ((*place, cell.arm.method), place):
        if key in paces:
            number, of = len(paces[key]), " ".join(key[2:] or ("any method",))
            trials = "1 trial" if number == 1 else f"{number} trials"
            return median(paces[key]), f"{trials} of {of} on {cell.task}"
    return None


def _expected(
    resolved: Resolved,
    state: State,
    cell: Cell,
    seeds: int,
    paces: Mapping[Key, list[float]],
    smoked: Mapping[str, float],
) -> Expected:
    steps, (trials, beside) = num_steps(resolved, cell), _left(resolved.plan, state, cell, seeds)
    known = _pace(paces, cell)
    if known is None and cell.key in smoked:
        known = smoked[cell.key], "a smoke run, at most"
    if known is None or steps is None:
        return Expected(cell, trials, steps, None, None, None)
    each = steps * known[0]
    return Expected(cell, trials, steps, each, trials * each + beside, known[1])


def num_steps(resolved: Resolved, cell: Cell) -> int | None:
    """Optimiser steps of a trial by the recipe; None where the task's data are not at hand."""
    from trials.training import data

    own = cell.template.recipe
    if own.steps is not None:
        return own.steps
    task = resolved.tasks.get(cell.task)
    if task is None:
        return None
    rows = task.rows("train", cell.template.splits)
    return data.num_steps(own, len(rows))


def _left(plan: Plan, state: State, cell: Cell, seeds: int) -> tuple[int, float]:
    """Trials of a cell that have not ended, at most, and seconds that its search may take beside.

    Under a budget of seconds nobody knows how many trials a search will be.

    Args:
        plan: of the study.
        state: the journal's.
        cell: one of the plan.
        seeds: the most that confirm it.
    """
    chosen = chosen_values(plan, state, cell)
    top = min(plan.study.confirm.top, plan.num_asks(cell)) if cell.space else 1
    ended = [
        trial for trial, _, _ in (current_trials(plan, state, cell) if state.trials else ())
        if trial is not None and trial.final
    ]  # fmt: skip
    searched = [trial for trial in ended if trial.spec_json["stage"] == "search"]
    # Before the search is over nothing is chosen, and after it perhaps fewer than asked for.
    asked = (len(chosen) or top) * seeds + len(plan.luck(cell))
    confirm = asked - (len(ended) - len(searched))
    tune = plan.study.tune
    if tune is None or not cell.space or chosen:
        return max(0, confirm), 0.0
    if tune.budget.gpu_seconds is not None:
        # An ask that repeats another has its trials, which count once.
        once = {trial.id: trial for trial in searched}.values()
        spent = sum((trial.result_json or {}).get("seconds") or 0.0 for trial in once)
        return max(0, confirm), max(0.0, tune.budget.gpu_seconds - spent)
    search = plan.num_asks(cell) * len(plan.search_seeds) - len(searched)
    return max(0, search) + max(0, confirm), 0.0
