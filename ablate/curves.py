"""What confirmed trials report as they train, over seeds: the score that chooses, and methods' own.

A function of the plan and the journal's state, told in plain JSON types. Trials that did not finish
are left out, so that a curve does not bend because a seed left it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from ablate.journal import State, Trial
from ablate.plan import Cell, Plan
from ablate.stats.level import level_of
from ablate.tally import TaskFacts, confirmation
from trials.spec import Json

_Points = Mapping[int, Sequence[float]]
"""Step -> the values that seeds reported there."""


def curves(plan: Plan, state: State, facts: Mapping[str, TaskFacts]) -> list[dict[str, Json]]:
    """The curves of every cell's best values.

    Returns:
        One entry for each cell and measure: `measure` is the primary metric on `split`, or, where
        `split` is None, a figure that the method reports of itself, such as `total_rank`. `steps`
        are optimiser steps; `n`, `mean`, `sd`, `low` and `high` (the range) are over the seeds that
        reported there, one value for each step. What cannot be said is None.
    """
    found: list[dict[str, Json]] = []
    for cell in plan.cells:
        trials = _finished(plan, state, cell)
        split, metric = cell.template.splits.search, facts[cell.task].primary
        measured: list[tuple[str, str | None, _Points]] = [
            (metric, split, _values(trials, None)),
            *((name, None, _values(trials, name)) for name in _own(trials)),
        ]
        found += [
            {
                "task": cell.task,
                "backbone": cell.backbone,
                "arm": cell.arm.id,
                "label": cell.arm.label,
                "measure": measure,
                "split": where,
                **_summary(points, plan.study.level),
            }
            for measure, where, points in measured
            if points
        ]
    return found


def _finished(plan: Plan, state: State, cell: Cell) -> list[Trial]:
    """The trials that confirm a cell's best values and have finished."""
    for _, specs in confirmation(plan, state, cell):
        known = [state.trials[spec.id] for spec in specs if spec.id in state.trials]
        return [trial for trial in known if trial.status == "finished"]
    return []


def _own(trials: Sequence[Trial]) -> Iterator[str]:
    """The figures that a method reports of itself, by name."""
    reports = [report for trial in trials for report in trial.reports.values()]
    yield from dict.fromkeys(name for report in reports for name in report.get("extra") or {})


def _values(trials: Sequence[Trial], name: str | None) -> _Points:
    """The primary scores by step, or a method's own figure; what was undefined is left out."""
    points: dict[int, list[float]] = {}
    for trial in trials:
        for step, report in trial.reports.items():
            extra = report.get("extra") or {}
            value = report["primary"] if name is None else extra.get(name)
            if value is not None:
                points.setdefault(step, []).append(float(value))
    return dict(sorted(points.items()))


def _summary(points: _Points, level: float) -> dict[str, Json]:
    levels = [
        asdict(level_of(np.array(values, dtype=np.float64), level=level))
        for values in points.values()
    ]
    names = ("n", "mean", "sd", "low", "high")
    return {"steps": list(points), **{name: [one[name] for one in levels] for name in names}}
