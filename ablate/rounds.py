"""The rounds of a study's races, from plan and journal alone: which look is due, who goes on."""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ablate import journal, ledger, tally
from ablate.journal import Entry, State
from ablate.plan import Plan
from ablate.race import Evidence, Examine, Question, Race
from ablate.registered import Batch, batches
from ablate.stats.findings import generators
from ablate.stats.questions import Questions, at_look
from ablate.tally import TaskFacts

SEED_OF_RESAMPLING = 20260101
"""Of the sign flips and bootstraps, so that a report on the same data is the same report."""


def due(plan: Plan, state: State, facts: Mapping[str, TaskFacts]) -> Entry | None:
    """The look that is to be taken now, as its entry of the ledger; None while none is due.

    A look may make the next one due, so this is to be called until there is none.
    """
    frame = tally.frame(plan, state, facts)
    if frame.empty:
        return None
    trials, num_trials = ledger.seen(frame)
    study = plan.study
    questions = Questions(
        frame=frame,
        level=study.level,
        margin=study.margin,
        looks=(),
        generators=generators(np.random.default_rng(SEED_OF_RESAMPLING)),
    )
    ended = {cell.key: _ended(plan, state, cell.key) for cell in plan.cells}
    found = batches(plan, state, frame)
    for batch in found:
        race = _asked(batch, found)
        made = race.look(ended, _examine(questions, batch)).tests[len(race.tests) :]
        if made:
            tests = [test.to_json() for test in made]
            return journal.looked(trials, num_trials, tests, at=time.time(), batch=batch.revision)
    return None


def extension(plan: Plan, state: State, facts: Mapping[str, TaskFacts]) -> dict[str, int]:
    """Cells that are to train more seeds than the journal says, and how many."""
    found = batches(plan, state, tally.frame(plan, state, facts))
    wanted: dict[str, int] = {}
    for batch in found:
        for key, num_seeds in _asked(batch, found).wanted.items():
            wanted[key] = max(num_seeds, wanted.get(key, 0))
    return {
        key: num_seeds
        for key, num_seeds in seeds_of_cells(plan, wanted).items()
        if num_seeds > tally.seeds_asked(plan, state, plan.cell(key))
    }


def seeds_of_cells(plan: Plan, wanted: Mapping[str, int]) -> dict[str, int]:
    """Cell -> how many seeds it trains, for a race to have those that it wants.

    All have those of the first look. A seed of a cell that starts from another one needs that
    seed there.

    Args:
        plan: of a study with a race.
        wanted: cell -> seeds; those that nothing is asked about may be left out.
    """
    first, most = plan.looks[0], len(plan.confirm_seeds)
    found = {cell.key: min(wanted.get(cell.key, first), most) for cell in plan.cells}
    for cell in reversed(plan.in_order):
        if cell.source is not None:
            found[cell.source] = max(found[cell.source], found[cell.key])
    return found


def most_seeds(plan: Plan, state: State, facts: Mapping[str, TaskFacts]) -> dict[str, int]:
    """Cell -> the most seeds that it may come to, by what a race has decided so far."""
    asked = {cell.key: tally.seeds_asked(plan, state, cell) for cell in plan.cells}
    if not plan.looks:
        return asked
    # While a search goes on it may yet pick any arm of a side.
    chosen = all(tally.every_seed(plan, state, cell) for cell in plan.cells)
    found = batches(plan, state, tally.frame(plan, state, facts) if chosen else None)
    for batch in found:
        race = _asked(batch, found)
        for key in {key for question in race.open for key in question.cells}:
            asked[key] = max(asked[key], race.looks[-1])
    return seeds_of_cells(plan, asked)


def _asked(batch: Batch, found: list[Batch]) -> Race:
    """Its race; questions that an earlier batch has decided, or still works on, wait in it."""
    waiting = {
        question.id
        for other in found
        if other.revision < batch.revision
        for question in other.race.questions
        if other.race.decision(question.id) in ("open", "decided")
    }
    return replace(batch.race, waiting=frozenset(waiting))


def _examine(questions: Questions, batch: Batch) -> Examine:
    """The evidence of a question by the tests that the report makes."""

    def examine(question: Question, num_seeds: int, share: float) -> Evidence:
        parts = batch.comparisons[question.id]
        made = at_look(questions, parts, question.id, num_seeds, share)
        finding = made.finding
        return Evidence(
            seeds=made.sample.seeds,
            estimate=finding.estimate,
            sd=finding.details.get("sd"),
            ci_low=finding.ci_low,
            ci_high=finding.ci_high,
            p_value=finding.p_value,
            p_beyond=made.p_beyond,
        )

    return examine


def _ended(plan: Plan, state: State, key: str) -> frozenset[int]:
    """Seeds whose trials have ended, in whatever way; all where there is nothing to confirm."""
    if not tally.every_seed(plan, state, plan.cell(key)):
        return frozenset(plan.confirm_seeds)
    return frozenset(
        spec.seed
        for trial, _, spec in tally.current_trials(plan, state, plan.cell(key))
        if spec is not None and spec.stage == "confirm" and trial is not None and trial.final
    )
