"""A tuned hyperparameter as Optuna sees it, and back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from ablate.quiet import quiet
from trials.errors import Problem, UserError, nearest
from trials.spec import Json, canonical_json

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


MAX_COMBINATIONS = 100_000
"""Largest space of an exhaustive sampler; a grid is written out in memory."""


@dataclass(frozen=True)
class Dimension:
    """One nuisance: how Optuna draws it and what the draw means.

    Attributes:
        name: the nuisance.
        distribution: Optuna's object; choices that are no scalars are drawn by their JSON text.
        choices: drawn value -> value, for a list of choices.
        points: all values that may be drawn; None where they are endless.
    """

    name: str
    distribution: "BaseDistribution"
    choices: Mapping[Json, Json] | None
    points: Sequence[Json] | None

    def decode(self, drawn: Json) -> Json:
        """The value that enters a spec."""
        return drawn if self.choices is None else self.choices[drawn]


def dimensions(space: Mapping[str, Mapping[str, Json]]) -> tuple[Dimension, ...]:
    """In the order of names: draws follow it, so the order in a study's file means nothing."""
    made, problems = [], []
    for name in sorted(space):
        try:
            with quiet():
                made.append(_dimension(name, space[name]))
        except ValueError as error:
            problems.append(Problem(str(error), key=name))
    if problems:
        raise UserError(*problems)
    return tuple(made)


def _dimension(name: str, entry: Mapping[str, Json]) -> Dimension:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    allowed = ("choices",) if "choices" in entry else ("low", "high", "log", "step")
    for key in entry:
        if key not in allowed:
            raise ValueError(f"unknown key '{key}'{nearest(key, allowed)}")
    if "choices" in entry:
        choices = _labelled(entry["choices"])
        drawn = tuple(choices)
        return Dimension(name, CategoricalDistribution(drawn), choices, drawn)
    for key in ("low", "high", "step"):
        value = entry.get(key)
        if key == "step" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} must be a number, but got {value!r}")
        if not math.isfinite(value):
            raise ValueError(f"{key} must be finite, but got {value!r}")
    low, high, step, log = entry["low"], entry["high"], entry.get("step"), entry.get("log", False)
    stride = 1 if step is None else step
    if all(isinstance(value, int) for value in (low, high, stride)):
        whole = IntDistribution(low, high, log=log, step=stride)
        return Dimension(name, whole, None, range(low, high + 1, stride))
    real = FloatDistribution(low, high, log=log, step=step)
    return Dimension(name, real, None, None if step is None else multiples(low, high, step))


def _labelled(choices: Json) -> dict[Json, Json]:
    """What is drawn for each choice: itself, or its JSON text where Optuna knows no such type."""
    if not isinstance(choices, list | tuple) or not choices:
        raise ValueError(f"choices must be a list that is not empty, but got {choices!r}")
    plain = (str, int, float, type(None))
    labels = [c if isinstance(c, plain) else canonical_json(c) for c in choices]
    table = dict(zip(labels, choices, strict=True))
    if len(table) < len(labels):
        raise ValueError(f"choices hold the same value twice: {choices!r}")
    return table


def multiples(low: float, high: float, step: float) -> tuple[float, ...]:
    """In decimals, as people write them: 0.1, 0.2, 0.3."""
    start, stop, stride = (Decimal(str(value)) for value in (low, high, step))
    count = min(int((stop - start) / stride), MAX_COMBINATIONS) + 1
    return tuple(float(start + index * stride) for index in range(count))
