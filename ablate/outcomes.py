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
    """An ask with a score; `reports` maps steps to values on the way there."""

    score: float
    reports: Mapping[int, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Pruned:
    """An ask that was stopped for its reports; those after the stop do not count."""

    reports: Mapping[int, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """An ask without a score: crashed, diverged, out of memory."""

    reason: str
    reports: Mapping[int, float | None] = field(default_factory=dict)


Outcome = Complete | Pruned | Failed
