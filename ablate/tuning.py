"""The searches of a study: a tuner for each cell, and what came of its asks as a tuner hears it.

Everything here is a function of the plan and the journal's state.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from ablate.journal import Ask, State, Trial
from ablate.objectives import Objective, objectives
from ablate.outcomes import Complete, Failed, Outcome, Past, Pruned
from ablate.plan import Cell, Plan
from ablate.samplers import build_pruner
from ablate.search import Tuner
from ablate.tally import TaskFacts
from ablate.validation import Mistake
from trials.errors import Problem, UserError
from trials.spec import FAILED, Json, canonical_json


def tuner(
    plan: Plan, cell: Cell, facts: Mapping[str, TaskFacts], past: Sequence[Past] = ()
) -> Tuner | None:
    """The search of a cell, before its first ask; None where nothing is tuned.

    Args:
        plan: the resolved plan.
        cell: one of its cells.
        facts: of every task.
        past: what an earlier study learned.

    Raises:
        UserError: what is wrong with sampler, pruner or space.
    """
    tune = plan.study.tune
    if tune is None or not cell.space:
        return None
    return Tuner(
        plan.study.name,
        cell.key,
        cell.space,
        sampler=tune.sampler.model_dump(),
        pruner=None if tune.pruner.name == "none" else tune.pruner.model_dump(),
        directions=[o.direction for o in objectives_of(plan, cell, facts)],
        parallel=tune.parallel,
        budget=tune.budget.most_asks,
        seconds=tune.budget.gpu_seconds,
        violated=partial(plan.violated, cell),
        past=past,
    )


def objectives_of(plan: Plan, cell: Cell, facts: Mapping[str, TaskFacts]) -> tuple[Objective, ...]:
    """What the search of a cell makes better; nothing where nothing is tuned."""
    tune = plan.study.tune
    return () if tune is None else objectives(tune.objectives, facts[cell.task])


def require(plan: Plan, facts: Mapping[str, TaskFacts]) -> None:
    """Prove before anything runs that every cell can be searched.

    Raises:
        UserError: all that is wrong with objectives, sampler, pruner and space, by file and key.
    """
    if plan.study.tune is not None:
        found = dict.fromkeys(plan.study.problem(m) for m in _mistakes(plan, facts))
        if found:
            raise UserError(*found)


def _mistakes(plan: Plan, facts: Mapping[str, TaskFacts]) -> Iterator[Mistake]:
    tune = plan.study.tune
    assert tune is not None
    wrong = list(_wrong_objectives(plan, facts))
    yield from wrong
    try:
        build_pruner(tune.pruner.model_dump())
    except UserError as error:
        yield from _at(("tune", "pruner"), error.problems)
        return
    if wrong:
        return
    seen: set[str] = set()
    for cell in plan.cells:
        text = canonical_json(cell.space)
        if text not in seen:
            seen.add(text)
            try:
                tuner(plan, cell, facts)
            except UserError as error:
                for problem in error.problems:
                    inside = "space" if problem.key in cell.space else "sampler"
                    of_both = problem.key == "pruner"
                    yield from _at(("tune",) if of_both else ("tune", inside), [problem])


def _wrong_objectives(plan: Plan, facts: Mapping[str, TaskFacts]) -> Iterator[Mistake]:
    tune = plan.study.tune
    assert tune is not None
    for index, name in enumerate(tune.objectives):
        for task, fact in facts.items():
            try:
                objectives((name,), fact)
            except ValueError as error:
                yield Mistake(("tune", "objectives", index), f"task {task} has {error}")


def _at(path: tuple[str, ...], problems: Sequence[Problem]) -> Iterator[Mistake]:
    for problem in problems:
        key = () if problem.key is None else (problem.key,)
        yield Mistake((*path, *key), problem.message)


def reports(state: State, ask: Ask, objective: Objective) -> dict[int, float]:
    """Mean of an objective at each step that all trials of an ask have reached."""
    told = [state.trials[t].reports for t in ask.trials]
    means = {}
    for step in sorted(set.intersection(*(set(r) for r in told))) if told else ():
        values = [objective.reported(r[step]) for r in told]
        known = [v for v in values if v is not None]
        if len(known) == len(values):
            means[step] = sum(known) / len(known)
    return means


def told(
    state: State, ask: Ask, split: str, aims: Sequence[Objective], broken: str | None
) -> Outcome | None:
    """What a search was told of an ask when it first ended: that it failed, if it ever did."""
    if was_retried(state, ask):
        return Failed("failed before it was retried", {})
    return outcome(state, ask, split, aims, broken)


def was_retried(state: State, ask: Ask) -> bool:
    """Whether a trial of an ask failed and was tried again."""
    return any(state.trials[t].failed_before for t in ask.trials)


def outcome(
    state: State, ask: Ask, split: str, aims: Sequence[Objective], broken: str | None
) -> Outcome | None:
    """What came of an ask, or None while one of its trials has not ended.

    Args:
        state: the journal's.
        ask: one of its asks.
        split: the one that the search reads.
        aims: the objectives; each is averaged over the ask's trials.
        broken: the constraint that an ask without trials broke.
    """
    trials = [state.trials[t] for t in ask.trials]
    if not trials:
        return Failed(f"breaks {broken}", {})
    if not all(t.final for t in trials):
        return None
    seconds = sum((t.result_json or {}).get("seconds") or 0.0 for t in trials)
    means = reports(state, ask, aims[0])
    if stopped := [t for t in trials if t.status == "pruned"]:
        # Only what was reported up to the step at which the pruner spoke, whatever ran on.
        last = min(max(t.reports, default=0) for t in stopped)
        return Pruned({s: v for s, v in means.items() if s <= last}, seconds)
    failed = next((t for t in trials if t.status in FAILED), None)
    if failed is not None:
        reason = (failed.result_json or {}).get("reason")
        return Failed(reason or failed.status, means, seconds)
    scores = [_mean(aim, trials, split) for aim in aims]
    missing = [aim.name for aim, score in zip(aims, scores, strict=True) if score is None]
    if missing:
        return Failed(f"no value of {', '.join(missing)}", means, seconds)
    first, *others = (score for score in scores if score is not None)
    return Complete(first, means, tuple(others), seconds)


def _mean(aim: Objective, trials: Sequence[Trial], split: str) -> float | None:
    values = [aim.of(t.result_json or {}, split) for t in trials]
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


Warm = Mapping[str, Sequence[Mapping[str, Json]]]
"""Cell key -> what it learns first, `{values, scores}` each; part of a revision."""


def past_of(state: State, key: str) -> tuple[Past, ...]:
    """What a cell learns before its first ask, as its first revision recorded it."""
    found = next((w for r in state.revisions if (w := r.contents.get("warm", {}).get(key))), ())
    return tuple(Past(item["values"], tuple(item["scores"])) for item in found)


def warm(plan: Plan, facts: Mapping[str, TaskFacts], state: State, earlier: State) -> Warm:
    """What each cell learns from an earlier study: the complete asks of its namesakes there.

    A cell that has learned already keeps what it was told, however the earlier study has grown.

    Args:
        plan: the resolved plan.
        facts: of every task.
        state: the journal's.
        earlier: that of the earlier study.
    """
    keys = {
        name: key
        for revision in earlier.revisions
        for name, key in zip(revision.contents["names"], revision.contents["cells"], strict=True)
    }
    learned: dict[str, list[dict[str, Json]]] = {}
    for cell in plan.cells:
        if cell.space and (known := past_of(state, cell.key)):
            learned[cell.key] = [
                {"values": dict(p.values), "scores": list(p.scores)} for p in known
            ]
        elif cell.space and cell.name in keys:
            aims = objectives_of(plan, cell, facts)
            learned[cell.key] = list(_lessons(cell, aims, earlier, keys[cell.name]))
    return {key: items for key, items in learned.items() if items}


def _lessons(
    cell: Cell, aims: Sequence[Objective], earlier: State, key: str
) -> Iterator[dict[str, Json]]:
    split = cell.template.splits.search
    seen: set[str] = set()
    for ask in earlier.asks.get(key, []):
        if any(t not in earlier.trials for t in ask.trials):
            continue  # Its driver was killed before they were planned.
        splits = {earlier.trials[t].spec_json["splits"]["search"] for t in ask.trials}
        values = canonical_json(dict(ask.values))
        if splits != {split} or values in seen or ask.values.keys() != cell.space.keys():
            continue
        found = outcome(earlier, ask, split, aims, None)
        if isinstance(found, Complete):
            seen.add(values)
            yield {"values": dict(ask.values), "scores": list(found.scores)}
