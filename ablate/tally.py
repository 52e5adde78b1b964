"""Plan and journal -> the frame: one row per trial, split and metric, nothing left out.

A trial that the plan asks for and that has not finished is a row without a score: failed with its
reason, or missing. Trials of the journal that the plan does not ask for any more are stale; they
stay in the journal and out of the frame.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ablate.frame import FIXED_COLUMNS, NUISANCE_PREFIX, VARIANCE_STAGE, check
from ablate.journal import State, Trial
from ablate.plan import Cell, Plan
from trials.families import Head
from trials.spec import FAILED, Json, TrialResult, TrialSpec


@dataclass(frozen=True)
class TaskFacts:
    """What scores mean on a task.

    Attributes:
        primary: metric that tuning, selection and claims use.
        direction: `higher` or `lower`, of the primary metric.
        directions: of every metric.
        grid: metric -> whether its values lie on a grid of 1/n.
        head: what it asks of a trial's head.
    """

    primary: str
    direction: str
    directions: Mapping[str, str]
    grid: Mapping[str, bool]
    head: Head = Head(2)


def frame(plan: Plan, state: State, facts: Mapping[str, TaskFacts]) -> pd.DataFrame:
    """The study's results as a checked table.

    Args:
        plan: the current plan.
        state: the journal's state.
        facts: of every task.
    """
    rows = [
        row
        for cell in plan.cells
        for trial, values, spec in current_trials(plan, state, cell)
        for row in _rows(plan, cell, trial, values, spec, facts[cell.task])
    ]
    if not rows:
        return pd.DataFrame(columns=list(FIXED_COLUMNS))
    return check(pd.DataFrame(rows), source=f"study {plan.study.name}")


def current_trials(
    plan: Plan, state: State, cell: Cell
) -> Iterator[tuple[Trial | None, Mapping[str, Json], TrialSpec | None]]:
    """The trials that the plan asks of a cell: of its search, that confirm, of its variance stage.

    Yields:
        The trial as the journal knows it (None before it was planned), its nuisance values, and
        the spec of one that does not search (None for those that do).
    """
    for ask in state.asks.get(cell.key, []):
        for identity in ask.trials:
            # A driver that was killed in between has asked and not planned.
            if identity in state.trials:
                yield state.trials[identity], ask.values, None
    num_seeds = seeds_asked(plan, state, cell)
    for values, specs in every_seed(plan, state, cell):
        for number, spec in enumerate(specs):
            # What was trained before the study became a race is shown as well.
            if number < num_seeds or spec.id in state.trials:
                yield state.trials.get(spec.id), values, spec
    for values, specs in variance(plan, state, cell):
        for spec in specs:
            yield state.trials.get(spec.id), values, spec


def variance(
    plan: Plan, state: State, cell: Cell
) -> list[tuple[Mapping[str, Json], tuple[TrialSpec, ...]]]:
    """The nuisance values and trials of a cell's variance stage: those of its best values.

    Empty without such a stage, and before the values are chosen.
    """
    sources = starts(plan, state, cell) if plan.luck(cell) else None
    if sources is None:
        return []
    return [
        (values, plan.variance_specs(cell, values, sources))
        for values in chosen_values(plan, state, cell)[:1]
    ]


def seeds_asked(plan: Plan, state: State, cell: Cell) -> int:
    """How many seeds confirm a cell: all that are planned, or those that a race has asked for."""
    most = len(plan.confirm_seeds)
    return min(state.seeds.get(cell.key, plan.looks[0]), most) if plan.looks else most


def confirmation(
    plan: Plan, state: State, cell: Cell
) -> list[tuple[Mapping[str, Json], tuple[TrialSpec, ...]]]:
    """The trials that confirm a cell now, by rank: their nuisance values, and a spec for each seed.

    Those of every seed, or, of a race, of the seeds that it has asked for. Empty before the values
    are chosen, or those of the cell that this one starts from.
    """
    seeds = seeds_asked(plan, state, cell)
    return [(values, specs[:seeds]) for values, specs in every_seed(plan, state, cell)]


def every_seed(
    plan: Plan, state: State, cell: Cell
) -> list[tuple[Mapping[str, Json], tuple[TrialSpec, ...]]]:
    """As `confirmation`, with all seeds that a race may come to."""
    sources = starts(plan, state, cell)
    if sources is None:
        return []
    return [
        (values, plan.specs(cell, values, "confirm", sources))
        for values in chosen_values(plan, state, cell)
    ]


def seed_by_seed(plan: Plan, state: State, cell: Cell) -> list[tuple[int, TrialSpec]]:
    """The specs that confirm a cell with their rank, seeds first so that cells compare early.

    Those of its variance stage, which has its best values, come after them.
    """
    by_rank = [specs for _, specs in confirmation(plan, state, cell)]
    confirming = [
        (rank, spec)
        for of_seed in zip(*by_rank, strict=True)
        for rank, spec in enumerate(of_seed, 1)
    ]
    beside = [specs for _, specs in variance(plan, state, cell)]
    return [*confirming, *((1, spec) for specs in beside for spec in specs)]


def starts(plan: Plan, state: State, cell: Cell) -> tuple[str, ...] | None:
    """Ids of the trials that a cell starts from, by the seeds that confirm.

    They are those of its source's best values. Empty where it starts from the backbone; None
    where those values have not been chosen yet.
    """
    if cell.source is None:
        return ()
    found = every_seed(plan, state, plan.cell(cell.source))
    return tuple(spec.id for spec in found[0][1]) if found else None


def stuck(plan: Plan, state: State, cell: Cell) -> str | None:
    """Why a cell cannot begin that starts from another; None where it can, or may yet."""
    if cell.source is None:
        return None
    source, begin = plan.cell(cell.source), starts(plan, state, cell)
    if begin is None:
        if not has_searched(state, source) and stuck(plan, state, source) is None:
            return None
        return f"it starts from {source.name}, of which nothing was confirmed"
    known = state.trials.get(begin[0])
    if not cell.space or known is None or known.status not in FAILED:
        return None  # Where nothing is searched, each of its trials says so itself.
    return f"it starts from trial {known.id[:12]} ({source.name}), which has {known.status}"


def without_start(source: Trial) -> TrialResult:
    """The end of a trial whose source has nothing to start from."""
    why = source.result.reason if source.result is not None else None
    reason = f"trial {source.id[:12]}, which it starts from, has {source.status}"
    return TrialResult(status="crashed", reason=f"{reason}: {why}" if why else reason)


def has_searched(state: State, cell: Cell) -> bool:
    """Whether a cell has asked, and all that it asked for has ended.

    What a driver asked for and was killed before it planned has not.
    """
    asks = state.asks.get(cell.key, [])
    trials = [state.trials.get(identity) for ask in asks for identity in ask.trials]
    return bool(asks) and all(trial is not None and trial.final for trial in trials)


def chosen_values(plan: Plan, state: State, cell: Cell) -> list[Mapping[str, Json]]:
    """The nuisance values that a cell's confirmation uses; empty before they are chosen."""
    if not cell.space:
        return [{}]
    ranks = state.chosen.get(cell.key, {})
    return [ranks[rank].values for rank in sorted(ranks) if rank <= plan.study.confirm.top]


def stale_trials(plan: Plan, state: State) -> list[Trial]:
    """Trials of the journal that the plan does not ask for any more."""
    current = {
        trial.id
        for cell in plan.cells
        for trial, _, _ in current_trials(plan, state, cell)
        if trial is not None
    }
    return [trial for trial in state.trials.values() if trial.id not in current]


def _rows(
    plan: Plan,
    cell: Cell,
    trial: Trial | None,
    values: Mapping[str, Json],
    spec: TrialSpec | None,
    facts: TaskFacts,
) -> Iterator[dict[str, Any]]:
    row = _constants(plan, cell, values)
    row |= {"direction": facts.direction, "metric": facts.primary, "primary": True}
    if trial is None:
        assert spec is not None
        row |= {"stage": spec.stage, "seed": spec.seed, "split": cell.template.splits.report}
        row |= streams(spec.to_json())
        yield {**row, "status": "missing", "reason": "not run yet", "trial_id": spec.id}
        return
    stage = trial.spec_json["stage"]
    result = trial.result_json or {}
    splits = cell.template.splits
    row |= {
        "stage": stage,
        "seed": trial.spec_json["seed"],
        **streams(trial.spec_json),
        "split": splits.search if stage == "search" else splits.report,
        "revision": trial.revision,
        "late": trial.late,
        "reused_from": trial.reused_from,
        "trial_id": trial.id,
        "status": trial.status if trial.final else "missing",
        "reason": result.get("reason") if trial.final else f"{trial.status}, not ended yet",
        "selected_epoch": result.get("selected_epoch"),
        "trainable_parameters": result.get("adapter_parameters"),
        "seconds": result.get("seconds"),
        "peak_memory_bytes": result.get("peak_memory_bytes"),
        "device": result.get("device"),
        "environment": _environment(result.get("environment") or {}),
    }
    if trial.status != "finished":
        yield row
        return
    for split, scores in result["scores"].items():
        num_examples = result["num_examples"].get(split)
        for metric, score in scores.items():
            yield {
                **row,
                "split": split,
                "metric": metric,
                "score": score,
                "primary": metric == facts.primary,
                "direction": facts.directions.get(metric, "higher"),
                "num_examples": num_examples,
                "grid_step": 1 / num_examples if facts.grid.get(metric) and num_examples else None,
            }


def streams(spec: Mapping[str, Json]) -> dict[str, Json]:
    """The order's own seed and the number of the repeat, of trials that have them."""
    if spec["stage"] != VARIANCE_STAGE:
        return {}
    return {"order_seed": spec["order_seed"], "repeat": spec.get("repeat", 0)}


def _constants(plan: Plan, cell: Cell, values: Mapping[str, Json]) -> dict[str, Any]:
    typed = {k: "+".join(map(str, v)) if isinstance(v, list) else v for k, v in _factors(cell)}
    tuned = {f"{NUISANCE_PREFIX}{key}": value for key, value in values.items()}
    return {
        "study": plan.study.name,
        "task": cell.task,
        "backbone": cell.backbone,
        "arm": cell.arm.id,
        "label": cell.arm.label,
        "method": cell.arm.method,
        **typed,
        **tuned,
        "score": None,
    }


def _factors(cell: Cell) -> list[tuple[str, Json]]:
    return [(key, value) for key, value in cell.arm.typed.items() if key != "method"]


def _environment(found: Mapping[str, str]) -> str | None:
    """What may make numbers differ, as one text; where a trial ran is not part of it."""
    kept = {k: v for k, v in found.items() if k not in ("node", "gpu")}
    return " ".join(f"{key}={value}" for key, value in sorted(kept.items())) or None


@dataclass(frozen=True)
class Standing:
    """Where a cell stands, for `status` and the live view.

    Attributes:
        cell: the cell.
        search: (done, planned) asks of the search; those made so far under a budget of seconds.
        confirm: (done, planned) trials of the confirmation; those that a race has asked for.
        running, failed: trials of all stages.
        reused: trials of all stages that another study had trained.
        reasons: why trials failed, each once.
        best: best mean search score of the cell's asks; None before the first.
        variance: (done, planned) trials of the variance stage.
    """

    cell: Cell
    search: tuple[int, int]
    confirm: tuple[int, int]
    running: int
    failed: int
    reused: int
    reasons: tuple[str, ...]
    best: float | None
    variance: tuple[int, int] = (0, 0)


def standings(plan: Plan, state: State, facts: Mapping[str, TaskFacts]) -> list[Standing]:
    """Where each cell stands."""
    return [_standing(plan, state, cell, facts[cell.task]) for cell in plan.cells]


def _standing(plan: Plan, state: State, cell: Cell, facts: TaskFacts) -> Standing:
    trials = [(trial, spec) for trial, _, spec in current_trials(plan, state, cell)]
    known = [trial for trial, _ in trials if trial is not None]
    failed = [trial for trial in known if trial.status in FAILED]
    asks = state.asks.get(cell.key, [])
    asked = [
        [state.trials[t] for t in ask.trials]
        for ask in asks
        if all(t in state.trials for t in ask.trials)
    ]
    means = [
        sum(_search_score(t, cell, facts) for t in members) / len(members)
        for members in asked
        if members and all(t.status == "finished" and t.result_json for t in members)
    ]  # fmt: skip
    ended = [t.spec_json["stage"] for t in known if t.final]
    tune = plan.study.tune
    timed = tune is not None and tune.budget.gpu_seconds is not None
    planned = len(asks) if timed else plan.num_asks(cell)
    top = min(plan.study.confirm.top, plan.num_asks(cell)) if cell.space else 1
    # Fewer than asked for, where fewer asks ended with a score.
    chosen = chosen_values(plan, state, cell)
    reasons = [str((t.result_json or {}).get("reason") or t.status) for t in failed]
    waits = stuck(plan, state, cell)
    if waits is not None:
        reasons.append(waits)
    return Standing(
        cell=cell,
        search=(sum(all(t.final for t in members) for members in asked), planned),
        confirm=(
            ended.count("confirm"),
            (len(chosen) or top) * seeds_asked(plan, state, cell),
        ),
        variance=(ended.count(VARIANCE_STAGE), len(plan.luck(cell))),
        running=sum(trial.status == "running" for trial in known),
        failed=len(failed),
        reused=sum(trial.reused_from is not None for trial in known),
        reasons=tuple(dict.fromkeys(reasons)),
        best=(max(means) if facts.direction == "higher" else min(means)) if means else None,
    )


def _search_score(trial: Trial, cell: Cell, facts: TaskFacts) -> float:
    assert trial.result_json is not None
    return float(trial.result_json["scores"][cell.template.splits.search][facts.primary])
