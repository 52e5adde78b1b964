"""Was tuning fair? What each cell's search was given, what it found, and what held on fresh seeds.

A function of the plan and the journal's state, told in plain JSON types. Scores are those of the
primary metric on the split that chooses, in the metric's own unit.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ablate import recipe, tuning
from ablate.importance import importance
from ablate.journal import Ask, State
from ablate.objectives import Objective, objectives
from ablate.outcomes import Complete, Failed, Outcome, Pruned
from ablate.plan import Cell, Plan
from ablate.spent import device_seconds
from ablate.stats.tuning_curve import expected_best
from ablate.tally import TaskFacts, starts
from ablate.tune_keys import PRIMARY
from trials.spec import Json, TrialSpec

EDGE = 0.05
"""A value within this part of a range from its end lies at the edge."""


def certificate(plan: Plan, state: State, facts: Mapping[str, TaskFacts]) -> dict[str, Json]:
    """What a reader needs to judge the search by.

    Returns:
        `cells`: of each cell what `_cell` says; `common_asks`: the fewest asks that any tuned cell
        was told; `curves_at`: numbers of asks up to it; `warnings`: sentences.
    """
    found = {cell.key: _asks(plan, state, cell, facts) for cell in plan.cells}
    told = [len(items) for cell in plan.cells if cell.space and (items := found[cell.key])]
    common = min(told, default=0)
    cells = [_cell(plan, state, cell, facts, found[cell.key], common) for cell in plan.cells]
    return {
        "common_asks": common,
        "curves_at": list(range(1, common + 1)),
        "cells": cells,
        "warnings": [*_unequal(cells), *_untuned(plan), *_at_edges(cells), *_measured(plan)],
    }


def _asks(
    plan: Plan, state: State, cell: Cell, facts: Mapping[str, TaskFacts]
) -> list[tuple[Ask, Outcome]]:
    """The asks of a cell that have ended, judged by the primary metric."""
    aims = objectives((PRIMARY,), facts[cell.task])
    split, made = cell.template.splits.search, []
    for ask in state.asks.get(cell.key, []):
        if all(t in state.trials for t in ask.trials):
            outcome = tuning.outcome(state, ask, split, aims, "a constraint")
            if outcome is not None:
                made.append((ask, outcome))
    return made


def _cell(
    plan: Plan,
    state: State,
    cell: Cell,
    facts: Mapping[str, TaskFacts],
    asks: Sequence[tuple[Ask, Outcome]],
    common: int,
) -> dict[str, Json]:
    (aim,) = objectives((PRIMARY,), facts[cell.task])
    scores = [o.score for _, o in asks if isinstance(o, Complete)]
    trials = {t for ask in state.asks.get(cell.key, []) for t in ask.trials if t in state.trials}
    values = [repr(sorted(ask.values.items())) for ask, _ in asks]
    chosen = [_confirmed(plan, state, cell, aim, rank) for rank in sorted(_chosen(state, cell))]
    matters = importance(
        cell.space,
        [(ask.values, o.score) for ask, o in asks if isinstance(o, Complete)],
        num_ignored=len(asks) - len(scores),
        higher=aim.direction == "higher",
    )
    return {
        "task": cell.task,
        "backbone": cell.backbone,
        "arm": cell.arm.id,
        "label": cell.arm.label,
        "direction": aim.direction,
        "nuisances": sorted(cell.space),
        "asks": len(asks),
        "complete": len(scores),
        "pruned": sum(isinstance(o, Pruned) for _, o in asks),
        "failed": sum(isinstance(o, Failed) for _, o in asks),
        "repeated": len(values) - len(set(values)),
        "reused": sum(state.trials[t].reused_from is not None for t in trials),
        "device_seconds": device_seconds(state.trials[t] for t in trials),
        "expected_best": expected_best(
            scores, len(asks) - len(scores), most=common, higher=aim.direction == "higher"
        ),
        "chosen": chosen,
        "importance": None if matters is None else matters.to_json(),
        "edges": [
            edge for item in chosen if item["rank"] == 1
            for edge in _edges(plan, cell, item["values"])
        ],
    }  # fmt: skip


def _chosen(state: State, cell: Cell) -> Mapping[int, Any]:
    return state.chosen.get(cell.key, {})


def _confirmed(plan: Plan, state: State, cell: Cell, aim: Objective, rank: int) -> dict[str, Json]:
    """A configuration's score in search and on fresh seeds, on the same split.

    The best of many scores is too good (statistics: selection); `shrinkage` says by how much.
    """
    choice, split = _chosen(state, cell)[rank], cell.template.splits.search
    asks = state.asks.get(cell.key, [])
    outcome = tuning.outcome(state, asks[choice.ask], split, (aim,), None)
    searched = outcome.score if isinstance(outcome, Complete) else None
    fresh = [
        value
        for spec in _specs(plan, state, cell, choice.values)
        if (trial := state.trials.get(spec.id)) is not None and trial.status == "finished"
        and (value := aim.of(trial.result_json or {}, split)) is not None
    ]  # fmt: skip
    mean = sum(fresh) / len(fresh) if fresh else None
    sign = 1 if aim.direction == "higher" else -1
    known = searched is not None and mean is not None
    return {
        "rank": rank,
        "ask": choice.ask,
        "values": dict(choice.values),
        "split": split,
        "search_score": searched,
        "confirm_mean": mean,
        "n": len(fresh),
        "shrinkage": sign * (searched - mean) if known else None,  # type: ignore[operator]
    }


def _specs(
    plan: Plan, state: State, cell: Cell, values: Mapping[str, Json]
) -> tuple[TrialSpec, ...]:
    """What confirms values of a cell; nothing where the cell that it starts from has none now."""
    begin = starts(plan, state, cell)
    return () if begin is None else plan.specs(cell, values, "confirm", begin)


def _edges(plan: Plan, cell: Cell, values: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    """Chosen values at an end of their range, and the wider range to try next."""
    for name, value in values.items():
        entry = cell.space.get(name)
        if entry is None or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        ends = _ends(entry)
        if ends is None:
            continue
        low, high, by_factor = ends
        place = _place(value, low, high, by_factor)
        end = "low" if place <= EDGE else "high" if place >= 1 - EDGE else None
        if end is None:
            continue
        wider = _beyond(low, high, by_factor, end)
        wider = round(wider) if all(isinstance(x, int) for x in (low, high)) else wider
        if wider not in (low, high) and _allowed(plan, cell, name, wider):
            bounds = [wider, high] if end == "low" else [low, wider]
            yield {"nuisance": name, "value": value, "end": end, "try": bounds}


def _ends(entry: Mapping[str, Json]) -> tuple[float, float, bool] | None:
    """Both ends of a range, or of choices that are numbers, and whether steps are factors."""
    if "choices" not in entry:
        return entry["low"], entry["high"], bool(entry.get("log"))
    numbers = sorted(x for x in entry["choices"] if type(x) in (int, float))
    if len(numbers) < 2 or len(numbers) != len(entry["choices"]):
        return None
    low, high = numbers[0], numbers[-1]
    return low, high, low > 0 and high / low >= len(numbers)


def _place(value: float, low: float, high: float, by_factor: bool) -> float:
    """Where a value lies between the ends, from 0 to 1."""
    if by_factor:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _beyond(low: float, high: float, by_factor: bool, end: str) -> float:
    """A new end, half the range's width beyond the old one."""
    if by_factor:
        stretch = math.sqrt(high / low)
        return float(f"{low / stretch if end == 'low' else high * stretch:.3g}")
    stretch = (high - low) / 2
    return float(f"{low - stretch if end == 'low' else high + stretch:.3g}")


def _allowed(plan: Plan, cell: Cell, name: str, value: float) -> bool:
    """Whether the field may have such a value at all."""
    known = plan.study.methods.fields(cell.arm.method).get(name)
    wrong = recipe.wrong_value(name, value) if known is None else known.check(value)
    return wrong is None


def _where(cell: Mapping[str, Json]) -> str:
    return f"{cell['label']} on {cell['task']}"


def _unequal(cells: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    """Cells that were told more asks than others."""
    tuned = [cell for cell in cells if cell["nuisances"]]
    counts = sorted({cell["asks"] for cell in tuned})
    if len(counts) > 1:
        fewest = [_where(cell) for cell in tuned if cell["asks"] == counts[0]]
        yield (
            f"Asks differ: {counts[0]} of {', '.join(fewest[:3])}, up to {counts[-1]} of others; "
            f"the curves are compared at {counts[0]}."
        )


def _untuned(plan: Plan) -> Iterator[str]:
    """Comparisons of an arm that was tuned with one that was not, each pair once."""
    tuned = {(c.task, c.backbone, c.arm.id): bool(c.space) for c in plan.cells}
    labels = {c.arm.id: c.arm.label for c in plan.cells}
    pairs: dict[tuple[str, str], None] = {}
    for item in plan.comparisons:
        for treatment in item.treatment:
            for control in item.control:
                sides = [tuned.get((item.task, item.backbone, arm)) for arm in (treatment, control)]
                if set(sides) == {True, False}:
                    pair = (treatment, control) if sides[0] else (control, treatment)
                    pairs[pair] = None
    for winner, other in pairs:
        yield (
            f"{labels[winner]} was tuned and {labels[other]} was not: its values are the "
            "recipe's own."
        )


def _at_edges(cells: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    for cell in cells:
        for edge in cell["edges"]:
            low, high = edge["try"]
            yield (
                f"{_where(cell)}: the best {edge['nuisance']} ({edge['value']:.3g}) lies at the "
                f"{edge['end']} end of its range; try {low:.3g} to {high:.3g}."
            )


def _measured(plan: Plan) -> Iterator[str]:
    for key in plan.measured:
        yield f"The search is not repeatable: tune.{key} is measured, not computed."
