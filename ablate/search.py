"""Which nuisance values a cell tries next: one Optuna tuner per cell, deterministic.

The rule: ask k sees exactly the outcomes of asks <= k - parallel, told in ask order, with a
sampler seeded from (study, cell, k); asks in between are present as running whether or not they
are done. A pruner compares a running ask with what that ask saw, and with nothing told later. So
asks and stops depend on the study and its scores alone, never on what happened to finish first,
and rebuilding after a crash is asking again.

Values that break a constraint are no ask: they are told to Optuna as failed and drawn again, with
a sampler seeded from (study, cell, k, draw), so that a budget is spent on trials.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ablate.combinations import MAX_COMBINATIONS, combinations, size
from ablate.dimensions import dimensions, lessons
from ablate.fronts import ranked
from ablate.outcomes import Ask, Asked, Complete, Failed, Outcome, Past, Pruned
from ablate.quiet import quiet
from ablate.samplers import (
    EXHAUSTIVE,
    ONE_SEQUENCE,
    SAMPLERS,
    build_pruner,
    check,
    named,
)
from ablate.watch import Watch, clean
from trials.errors import Problem, UserError
from trials.spec import canonical_json

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OptunaTrial

Json = Any
Direction = Literal["higher", "lower"]

PATIENCE = 20
"""Draws of one ask that the sampler may lose to constraints before chance draws in its stead."""

MOST_DRAWS = 1000
"""Draws of one ask in all; the last one is asked, and fails, where all break constraints."""


class Tuner:
    """Proposes the nuisance values of one cell and takes in what became of them.

    Args:
        study: name of the study; with `cell` and the ask's number, the sampler's seed.
        cell: id of the cell.
        space: nuisance -> `{low, high}` with `log` or `step`, or `{choices}`.
        sampler: `{"name": ...}` of `SAMPLERS` with its options.
        pruner: `{"name": ...}` of `PRUNERS` with its options; None for none.
        directions: of each objective, which scores are better; reports are of the first.
        parallel: asks in flight at once; part of what fixes the result.
        budget: asks in all, at most.
        seconds: on the device that may be spent; no ask is made by one that has seen as many.
        violated: what values break, in words; None where they break nothing.
        past: what an earlier search learned; told first, and no part of the budget.

    Raises:
        UserError: everything that is wrong with the space, or with the sampler, or the pruner.
    """

    def __init__(
        self,
        study: str,
        cell: str,
        space: Mapping[str, Mapping[str, Json]],
        *,
        sampler: Mapping[str, Json],
        pruner: Mapping[str, Json] | None,
        directions: Sequence[Direction] = ("higher",),
        parallel: int,
        budget: int,
        seconds: float | None = None,
        violated: Callable[[Mapping[str, Json]], str | None] = lambda values: None,
        past: Sequence[Past] = (),
    ) -> None:
        if parallel < 1 or budget < 0 or not set(directions) <= {"higher", "lower"}:
            raise ValueError(f"must not be: {parallel=}, {budget=}, {directions=}")
        self.study, self.cell, self.parallel, self.budget = study, cell, parallel, budget
        self._seconds, self._violated = seconds, violated
        self._higher = tuple(direction == "higher" for direction in directions)
        self._space = dimensions(space)
        self._sampler, self._pruner = dict(sampler), None if pruner is None else dict(pruner)
        self._name = check(self._sampler, self._pruner, len(directions), bool(past))
        self._untried = self._to_try(space)
        self._ahead: Mapping[str, Json] | None = None
        self._lessons = tuple(lessons(self._space, past))
        self._build_sampler(0)
        self._optuna = self._new_study(None)
        self._running: dict[int, OptunaTrial] = {}
        self._told: list[FrozenTrial] = []
        self._asks: list[Ask] = []
        self._first: dict[str, int] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._corrections: dict[int, Outcome] = {}
        self._rungs: dict[int, Mapping[str, Json]] = {}
        self._watches: dict[int, Watch] = {}

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Every ask so far, by number."""
        return tuple(self._asks)

    @property
    def num_asks(self) -> int:
        """How many asks there have been."""
        return len(self._asks)

    @property
    def outcomes(self) -> Mapping[int, Outcome]:
        """What is known of them, as it is told to Optuna."""
        return MappingProxyType(self._outcomes)

    def spent(self) -> bool:
        """Whether no ask will ever follow: the budget or the finite space is used up."""
        if len(self._asks) >= self.budget or self._exhausted():
            return True
        if self._seconds is None:
            return False
        # As every decision, by what the next ask sees, so that it is the same when replayed. An
        # ask that repeats another has the other's trials, which were trained once.
        told = self._asks[: self._seen(len(self._asks))]
        seen = [self._outcomes.get(ask.number) for ask in told if ask.repeat_of is None]
        return sum(o.seconds for o in seen if o is not None) >= self._seconds

    def ready(self) -> bool:
        """Whether the next ask may be made now; if not and not `spent`, an outcome is awaited."""
        return not self.spent() and self._awaited() is None

    def ask(self) -> Ask:
        """Propose the next values.

        Raises:
            ValueError: the tuner is not ready.
        """
        if not self.ready():
            raise ValueError(f"the tuner of cell {self.cell} is not ready to ask")
        return self._ask()

    def record(self, number: int, outcome: Outcome) -> None:
        """Take in what became of an ask; it is told to Optuna when its turn comes.

        Raises:
            ValueError: there is no such ask, or its outcome is known.
        """
        if not 0 <= number < len(self._asks) or number in self._outcomes:
            raise ValueError(f"cell {self.cell}: ask {number} awaits no outcome")
        reports = clean(outcome.reports)
        if self._pruner is not None and reports:
            watch = self._watch(number, reports)
            self._rungs[number] = watch.attributes()
            if isinstance(outcome, Pruned):
                # How far a trial ran past its stop depends on the machine; the search may not.
                reports = dict(watch.applied)
        self._watches.pop(number, None)
        scores = outcome.scores if isinstance(outcome, Complete) else ()
        if (bad := next((x for x in scores if not math.isfinite(x)), None)) is not None:
            # Told as complete, a NaN would leave Optuna's trial running for ever.
            outcome = Failed(f"score is {bad}", seconds=outcome.seconds)
        self._outcomes[number] = replace(outcome, reports=reports)

    def correct(self, number: int, outcome: Outcome) -> None:
        """Take in what became of an ask that had failed and was tried again.

        The search goes on from what it was told, so that it can be replayed; only `best` counts
        the correction.
        """
        self._corrections[number] = outcome

    def should_prune(self, number: int, reports: Mapping[int, float | None]) -> bool:
        """Whether a running ask should stop, judged by what was told when it was asked.

        True from the first step at which the pruner says so: later reports cannot save it.

        Args:
            number: an ask without an outcome.
            reports: step -> value, all so far; a value that is None or not finite is NaN.

        Raises:
            ValueError: there is no such ask, or its outcome is known.
        """
        if not 0 <= number < len(self._asks) or number in self._outcomes:
            raise ValueError(f"cell {self.cell}: ask {number} is not running")
        if self._pruner is None or not reports:
            return False
        return self._watch(number, clean(reports)).stopped

    def best(self, top: int) -> list[Ask]:
        """The completed asks with the best scores, ties to the lower number, each value once.

        Of several objectives, those that no other ask beats come first, by the first objective.
        """
        known = {**self._outcomes, **self._corrections}
        scores = {n: o.scores for n, o in known.items() if isinstance(o, Complete)}
        order = ranked(scores, self._higher)
        distinct = {canonical_json(self._asks[n].values): n for n in reversed(order)}
        return [self._asks[n] for n in sorted(distinct.values(), key=order.index)[:top]]

    def replay(self, asks: Sequence[Asked], outcomes: Mapping[int, Outcome]) -> None:
        """Rebuild the state after a crash, by asking again.

        Args:
            asks: all asks of the cell that the journal holds, by number.
            outcomes: what the journal says became of them; asks without one are running.

        Raises:
            ValueError: this tuner has asked before.
            UserError: it would ask something else today.
        """
        if self._asks:
            raise ValueError(f"the tuner of cell {self.cell} has asked before")
        for past in asks:
            if (missing := self._awaited()) is not None:
                raise self._changed(f"wait for ask {missing}", f"ask {past.number} was made")
            # Asks beyond a budget that a revision lowered were made all the same.
            now = self._ask()
            if (now.number, canonical_json(now.values)) != (
                past.number,
                canonical_json(dict(past.values)),
            ):
                raise self._changed(
                    f"ask {now.number}: {canonical_json(now.values)}",
                    f"{past.number}: {canonical_json(dict(past.values))}",
                )
            if now.number in outcomes:
                self.record(now.number, outcomes[now.number])

    def _changed(self, now: str, past: str) -> UserError:
        return UserError(
            f"the search of cell {self.cell} would now {now}; the journal says {past}: the "
            "sampler's version, the study's space or its number of parallel asks changed"
        )

    def _seen(self, number: int) -> int:
        """How many asks, from the first, are told when this one is made."""
        return max(0, number - self.parallel + 1)

    def _awaited(self) -> int | None:
        """The first ask whose outcome the next one must see and which has none."""
        due = range(len(self._told), self._seen(len(self._asks)))
        return next((n for n in due if n not in self._outcomes), None)

    def _ask(self) -> Ask:
        number = len(self._asks)
        with quiet():
            for past in range(len(self._told), self._seen(number)):
                self._tell(past)
            trial, values = self._draw(number)
        self._running[number] = trial
        first = self._first.setdefault(canonical_json(values), number)
        self._asks.append(Ask(number, values, None if first == number else first))
        return self._asks[-1]

    def _draw(self, number: int) -> "tuple[OptunaTrial, dict[str, Json]]":
        """Values that break no constraint; after `MOST_DRAWS` draws, the last ones."""
        from optuna.trial import TrialState

        exhaustive = self._name in EXHAUSTIVE
        last = MAX_COMBINATIONS if exhaustive else MOST_DRAWS
        resting = self._optuna.sampler
        for draw in range(last):
            # A new one each time: whatever a sampler remembers, it must find among the told.
            by_chance = draw >= PATIENCE and not exhaustive
            self._optuna.sampler = self._build_sampler(number, draw, by_chance=by_chance)
            trial = self._optuna.ask({d.name: d.distribution for d in self._space})
            self._optuna.sampler = resting
            values = {d.name: d.decode(trial.params[d.name]) for d in self._space}
            if self._violated(values) is None:
                break
            if draw < last - 1:
                self._optuna.tell(trial, state=TrialState.FAIL)
        return trial, values

    def _tell(self, number: int) -> None:
        from optuna.trial import TrialState, create_trial

        outcome, trial = self._outcomes[number], self._running.pop(number)
        scores = outcome.scores if isinstance(outcome, Complete) else None
        names = {Complete: "COMPLETE", Pruned: "PRUNED", Failed: "FAIL"}
        state = TrialState[names[type(outcome)]]
        reports = clean(outcome.reports)
        if len(self._higher) == 1:
            for step, value in reports.items():
                trial.report(value, step)
        self._optuna.tell(trial, scores, state=state)
        self._told.append(
            create_trial(
                state=state,
                values=scores,
                intermediate_values=reports,
                system_attrs=dict(self._rungs.pop(number, {})),
            )
        )

    def _watch(self, number: int, reports: Mapping[int, float]) -> Watch:
        """The pruner's view of an ask after these reports, kept from the call before if it can."""
        watch = self._watches.get(number)
        with quiet():
            if watch is None or not watch.leads_to(reports):
                watch = self._watches[number] = self._new_watch(number)
            watch.feed(reports)
        return watch

    def _new_watch(self, number: int) -> Watch:
        from optuna.trial import TrialState, create_trial

        study = self._new_study(self._pruner)
        study.add_trials(self._told[: self._seen(number)])
        # Numbers count (hyperband puts a trial into a bracket by its number), so fill up to it.
        for _ in range(self._seen(number), number):
            study.add_trial(create_trial(state=TrialState.RUNNING))
        return Watch(study, study.ask())

    def _new_study(self, pruner: Mapping[str, Json] | None) -> "Study":
        with quiet():
            import optuna

            study = optuna.create_study(
                # Fixed, because hyperband hashes it.
                study_name=f"{self.study}/{self.cell}",
                directions=["maximize" if up else "minimize" for up in self._higher],
                # At rest: exhaustive samplers stop Optuna's own loop when told, and here is none.
                sampler=optuna.samplers.RandomSampler(seed=0),
                pruner=optuna.pruners.NopPruner() if pruner is None else build_pruner(pruner),
            )
            if pruner is None:
                study.add_trials(self._lessons)
        return study

    def _build_sampler(
        self, number: int, draw: int = 0, *, by_chance: bool = False
    ) -> "BaseSampler":
        factory, options = named(SAMPLERS, {"name": "random"} if by_chance else self._sampler)
        again = (draw,) if draw else ()
        seed = _seed(self.study, self.cell, number, *again)
        injected: dict[str, Any] = {"seed": seed}
        if factory.name in ONE_SEQUENCE:
            injected["seed"] = _seed(self.study, self.cell)
        if factory.name == "grid":
            injected["search_space"] = {d.name: d.points for d in self._space}
        if factory.name == "qmc":
            injected["independent_sampler"] = SAMPLERS["random"].build({}, seed=seed)
        if factory.name == "cmaes" and self._lessons:
            injected["source_trials"] = self._lessons
        sampler: BaseSampler = factory.build(options, **injected)
        return sampler

    def _to_try(self, space: Mapping[str, Mapping[str, Json]]) -> Iterator[dict[str, Json]] | None:
        """Every combination that breaks no constraint; None where a space never ends the search.

        Under a budget of asks only samplers that try each combination once end with the space:
        others may ask again, and the answer is known. Under one of seconds known answers take none.
        """
        exhaustive = self._name in EXHAUSTIVE
        found = combinations(space)
        if exhaustive and found is None:
            name, endless = self._name, [d.name for d in self._space if not d.points]
            if endless:
                raise UserError(
                    *(Problem(f"sampler '{name}' needs choices or a step", key=n) for n in endless)
                )
            raise UserError(
                f"sampler '{name}': {size(space)} combinations; at most {MAX_COMBINATIONS}"
            )
        ends = not space or exhaustive or self._seconds is not None
        return filter(lambda v: self._violated(v) is None, found) if ends and found else None

    def _exhausted(self) -> bool:
        """Whether every combination of a space that ends the search has been asked."""
        if self._untried is None:
            return False
        while self._ahead is None or canonical_json(self._ahead) in self._first:
            self._ahead = next(self._untried, None)
            if self._ahead is None:
                return True
        return False


def _seed(*parts: str | int) -> int:
    """32 bits, which is what numpy's generator takes."""
    return int(hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:8], 16)
