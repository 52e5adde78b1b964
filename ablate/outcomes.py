"""What a search asks, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trials.spec import Json


@dataclass(frozen=True)
class Ask:
    """One proposal.

    Attributes:
        number: 0 for the first of its cell.
        values: nuisance -> value, plain JSON.
        repeat_of: the first ask with the same values, whose answers may be used again.
    """

    number: int
    values: Mapping[str, Json]
    repeat_of: int | None = None


@dataclass(frozen=True)
class Past:
    """What an earlier search learned: nuisance values, and a score for each objective."""

    values: Mapping[str, Json]
    scores: tuple[float, ...]


class Asked(Protocol):
    """What a record of an earlier ask must say."""

    @property
    def number(self) -> int:
        """0 for the first of its cell."""

    @property
    def values(self) -> Mapping[str, Json]:
        """Nuisance -> value."""


@dataclass(frozen=True)
class Complete:
    """An ask with a score; `reports` maps steps to values on the way there.

    Attributes:
        score: of the first objective.
        reports: of the first objective, by step.
        others: scores of the other objectives.
        seconds: on the device, for a budget of seconds.
    """

    score: float
    reports: Mapping[int, float | None] = field(default_factory=dict)
    others: tuple[float, ...] = ()
    seconds: float = 0.0

    @property
    def scores(self) -> tuple[float, ...]:
        """Of every objective, in order."""
        return (self.score, *self.others)


@dataclass(frozen=True)
class Pruned:
    """An ask that was stopped for its reports; those after the stop do not count."""

    reports: Mapping[int, float | None] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Failed:
    """An ask without a score: crashed, diverged, out of memory."""

    reason: str
    reports: Mapping[int, float | None] = field(default_factory=dict)
    seconds: float = 0.0


Outcome = Complete | Pruned | Failed
