"""Which seed next: seeds are added in rounds until the questions of a study are decided. Pure.

At each look every open question has as many seeds as the plan says. What its test gives is paid
for (`ablate.stats.sequential`) and adjusted over the family, and the question stops when it is
decided, or when more seeds would hardly decide it. A race is a value: what was tested makes the
next one, so that the same results lead to the same race in whatever order they came.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from ablate.stats.comparison import Kind
from ablate.stats.multiplicity import holm
from ablate.stats.sequential import (
    conditional_equivalence,
    conditional_power,
    sequential_p,
    weights_of,
)

FUTILE = 0.1
"""Conditional power below which a question stops."""

Decision = Literal["open", "decided", "futile", "undecided"]
"""`undecided` is what is still open at the last look."""


@dataclass(frozen=True)
class Question:
    """One test of the family.

    Attributes:
        id: unique in the race.
        kind: a question of spread is never stopped early.
        cells: keys of the cells whose trials it needs.
        by: mean under the null hypothesis (`mean` only).
        margin: largest difference that does not matter (`equivalence` only).
    """

    id: str
    kind: Kind
    cells: tuple[str, ...]
    by: float = 0.0
    margin: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a test, valid for a fixed number of seeds, says at one look.

    Attributes:
        seeds: those that every cell of the question finished.
        estimate, sd: of the differences; None where they cannot be said.
        ci_low, ci_high: interval at the look's own level.
        p_value: None where there is no test.
        p_beyond: of a difference within the margin (`equivalence` only).
    """

    seeds: tuple[int, ...]
    estimate: float | None = None
    sd: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    p_beyond: float | None = None


@dataclass(frozen=True, kw_only=True)
class Looked(Evidence):
    """One entry of the ledger: a question at a look.

    Attributes:
        question: its id.
        num_seeds: planned for this look.
        p_sequential: smallest p so far, each over the share of the level that its look spends.
        p_adjusted: that, over the family as it stood.
        decision: what follows from it.
    """

    question: str
    num_seeds: int
    p_sequential: float | None = None
    p_adjusted: float | None = None
    decision: Decision = "open"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "seeds": list(self.seeds)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Looked":
        """The entry that `to_json` gave."""
        return cls(**{**value, "seeds": tuple(value["seeds"])})


Examine = Callable[[Question, int, float], Evidence]
"""(question, planned seeds, share of the level) -> its evidence from the first so many seeds."""


@dataclass(frozen=True)
class Race:
    """A family of questions and all that has been tested so far.

    Attributes:
        questions: registered together; Holm's method adjusts over all of them.
        looks: ascending seed counts, fixed before the first result.
        level: of the study.
        tests: what was tested, in the order of the looks.
        waiting: questions that ask for nothing now, though they count in the family.
    """

    questions: tuple[Question, ...]
    looks: tuple[int, ...]
    level: float
    tests: tuple[Looked, ...] = ()
    waiting: frozenset[str] = frozenset()

    @cached_property
    def history(self) -> Mapping[str, Sequence[Looked]]:
        """Question -> its tests, look by look."""
        found: dict[str, list[Looked]] = {question.id: [] for question in self.questions}
        for test in self.tests:
            found[test.question].append(test)
        return found

    def decision(self, question: str) -> Decision:
        """Where a question stands."""
        tests = self.history[question]
        return tests[-1].decision if tests else "open"

    @cached_property
    def open(self) -> tuple[Question, ...]:
        """The questions that still ask for seeds."""
        return tuple(
            question
            for question in self.questions
            if self.decision(question.id) == "open" and question.id not in self.waiting
        )

    @cached_property
    def wanted(self) -> Mapping[str, int]:
        """Cell -> how many seeds it is to train: as many as its furthest question asks for."""
        found: dict[str, int] = {}
        still_open = frozenset(self.open)
        for question in self.questions:
            seeds = self._coming(question) if question in still_open else self._had(question)
            for cell in question.cells:
                found[cell] = max(seeds, found.get(cell, 0))
        return found

    def trials(self, known: AbstractSet[tuple[str, int]]) -> Iterator[tuple[str, int]]:
        """The (cell, seed) to train now, seed by seed so that cells can be compared early.

        Args:
            known: those that were given out before; they are not asked for again.
        """
        most = max(self.wanted.values(), default=0)
        for seed in range(most):
            for cell, seeds in self.wanted.items():
                if seed < seeds and (cell, seed) not in known:
                    yield cell, seed

    def look(self, ended: Mapping[str, AbstractSet[int]], examine: Examine) -> "Race":
        """The race after the look that is due, or this one while none is.

        A look waits until every trial of the round has ended, so that it does not matter which
        ended first. It uses the seeds that it has; a question without two of them waits until a
        failed trial has been retried.

        Args:
            ended: cell -> seeds whose trials have ended, in whatever way.
            examine: gives the evidence.
        """
        for cell, seeds in self.wanted.items():
            if not ended.get(cell, frozenset()) >= frozenset(range(seeds)):
                return self
        made = tuple(self._examined(examine))
        return self._judged(made) if made else self

    def weights(self, question: Question) -> tuple[float, ...]:
        """The share of the level that each look spends."""
        return weights_of(question.kind, self.looks)

    def _coming(self, question: Question) -> int:
        return self.looks[len(self.history[question.id])]

    def _had(self, question: Question) -> int:
        return max((test.num_seeds for test in self.history[question.id]), default=0)

    def _share(self, question: Question) -> float:
        return self.weights(question)[len(self.history[question.id])]

    def _examined(self, examine: Examine) -> Iterator[Looked]:
        for question in self.open:
            seeds = self._coming(question)
            evidence = examine(question, seeds, self._share(question))
            if len(evidence.seeds) >= 2:
                yield Looked(question=question.id, num_seeds=seeds, **vars(evidence))

    def _judged(self, made: tuple[Looked, ...]) -> "Race":
        """With p values paid for and adjusted, and what follows for the questions just tested."""
        raced = replace(self, tests=(*self.tests, *made))
        spent = {q.id: raced._spent(q, "p_value") for q in self.questions}
        adjusted = dict(zip(spent, holm(list(spent.values())), strict=True))
        rejected = sum(p is not None and p <= 1 - self.level for p in adjusted.values())
        share = (1 - self.level) / max(1, len(spent) - rejected)
        by_id = {question.id: question for question in self.questions}
        judged = []
        for test in made:
            paid = replace(
                test, p_sequential=spent[test.question], p_adjusted=adjusted[test.question]
            )
            decision = raced._decided(by_id[test.question], paid, share)
            judged.append(replace(paid, decision=decision))
        return replace(self, tests=(*self.tests, *judged))

    def _spent(self, question: Question, name: str) -> float | None:
        values = [getattr(test, name) for test in self.history[question.id]]
        return sequential_p(values, self.weights(question))

    def _decided(self, question: Question, test: Looked, share: float) -> Decision:
        alpha = 1 - self.level
        if test.p_adjusted is not None and test.p_adjusted <= alpha:
            return "decided"
        p_beyond = self._spent(question, "p_beyond")
        if p_beyond is not None and len(self.questions) * p_beyond <= alpha:
            return "decided"
        if test.num_seeds == self.looks[-1]:
            return "undecided"
        chance = self._chance(question, test, share * self.weights(question)[-1])
        return "futile" if chance < FUTILE else "open"

    def _chance(self, question: Question, test: Looked, alpha: float) -> float:
        """Of being decided at the last look, if the seeds to come are a little kinder."""
        if question.kind == "variance" or test.estimate is None or test.sd is None:
            return 1.0
        if test.sd == 0:
            return 0.0 if question.kind == "mean" and test.estimate == question.by else 1.0
        n, effect = len(test.seeds), test.estimate / test.sd
        final = n + self.looks[-1] - test.num_seeds
        if question.margin is None:
            by = question.by / test.sd
            return conditional_power(n, final, effect, alpha=alpha, by=by)
        margin = question.margin / test.sd
        within = conditional_equivalence(n, final, effect, margin, alpha=alpha)
        nearer = math.copysign(margin, effect)
        beyond = conditional_power(n, final, effect, alpha=alpha, by=nearer)
        return max(within, beyond if abs(effect) > margin else 0.0)
