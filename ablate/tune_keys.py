"""`tune`: the keys of the search stage."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ablate.section import Items, Number, Pattern, Section, shown
from trials.spec import canonical_json

PRIMARY = "primary"
"""The objective that is the task's primary metric."""

MEASURED = ("seconds", "peak_memory_bytes")
"""Objectives that a machine measures, so that a search by them may ask other values each time."""

COSTS = ("trainable_parameters", *MEASURED)
"""Objectives that are no score: less is better."""

MOST_SEEDS = 1000
"""Seeds that the objective of a search averages, at most."""

MOST_ASKS = 1000
"""Asks of a cell under a budget of seconds, whatever they take."""


class Distribution(Section):
    """One entry of `tune.space`: a range, or choices."""

    low: Number | None = None
    high: Number | None = None
    log: bool = False
    step: Number | None = None
    choices: Items[Any] | None = None
    when: Pattern = {}

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        ranged = self.low is not None or self.high is not None
        if ranged == (self.choices is not None):
            raise ValueError("needs either low and high, or choices")
        wrong = self._wrong_range() if ranged else _wrong_choices(self.choices or ())
        if wrong is not None:
            raise ValueError(wrong)
        if not ranged and (self.log or self.step is not None):
            raise ValueError("log and step belong to low and high, not to choices")
        return self

    @property
    def bounds(self) -> tuple[int | float, int | float]:
        """Both ends of a range.

        Raises:
            ValueError: the entry has choices.
        """
        if self.low is None or self.high is None:
            raise ValueError("an entry with choices has no bounds")
        return self.low, self.high

    def _wrong_range(self) -> str | None:
        if self.low is None or self.high is None:
            return f"has {'high' if self.low is None else 'low'} but not the other bound"
        if self.low >= self.high:
            return f"low {shown(self.low)} must be below high {shown(self.high)}"
        if self.log and self.low <= 0:
            return f"log needs low above 0, but got {shown(self.low)}"
        if self.log and self.step is not None:
            return "log and step exclude each other"
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            return f"step {shown(self.step)} must be above 0 and fit between low and high"
        return None


def _wrong_choices(choices: Sequence[Any]) -> str | None:
    if not choices:
        return "choices is empty"
    for index, choice in enumerate(choices):
        if choice in choices[:index]:
            return f"choices holds {choice!r} twice"
    return None


class Budget(Section):
    """`tune.budget`: asks of each cell, or seconds on the device that its asks may take."""

    trials: Annotated[int, Field(ge=1)] | None = None
    gpu_seconds: Annotated[Number, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.trials is None) == (self.gpu_seconds is None):
            raise ValueError("needs either trials or gpu_seconds")
        return self

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What the file gives: a key of a later version is not in the digests of earlier ones."""
        return {key: value for key, value in handler(self).items() if value is not None}

    @property
    def most_asks(self) -> int:
        """Asks of a cell at most; a budget of seconds ends there where asks take no time."""
        return MOST_ASKS if self.trials is None else self.trials


class Named(Section):
    """A sampler or pruner with options of its own."""

    model_config = ConfigDict(extra="allow")
    name: str

    @model_validator(mode="after")
    def _plain_options(self) -> Self:
        try:
            canonical_json(self.options)
        except (TypeError, ValueError):
            raise ValueError("an option must be plain and finite") from None
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class Sampler(Named):
    """`tune.sampler`; the options are the sampler's own."""

    name: Literal[
        "tpe", "random", "grid", "qmc", "cmaes", "gp", "brute_force", "nsgaii", "nsgaiii"
    ] = "tpe"


class Pruner(Named):
    """`tune.pruner`; the options are the pruner's own."""

    name: Literal[
        "none",
        "median",
        "percentile",
        "successive_halving",
        "hyperband",
        "threshold",
        "patient",
        "wilcoxon",
    ] = "none"


def _objectives(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("needs at least one objective")
    twice = next((name for name in value if value.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"names '{twice}' twice")
    return value


class Tune(Section):
    """`tune`: the search stage."""

    budget: Budget
    parallel: Annotated[int, Field(ge=1)] = 4
    seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 1
    space: dict[str, Distribution]
    constraints: Items[str] = ()
    sampler: Sampler = Sampler()
    pruner: Pruner = Pruner()
    objectives: Annotated[Items[str], AfterValidator(_objectives)] = (PRIMARY,)
    warm_start: str | None = None

    @property
    def measured(self) -> tuple[str, ...]:
        """The keys by which the search depends on a clock or a machine, and not on scores alone."""
        found = [f"objectives: {name}" for name in self.objectives if name in MEASURED]
        return (*found, *(("budget: gpu_seconds",) if self.budget.gpu_seconds else ()))

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a later version's key where it is not given, so that digests stay."""
        content = handler(self)
        return {k: v for k, v in content.items() if k != "warm_start" or v is not None}
