"""A tuned hyperparameter as Optuna sees it, and back."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.combinations import points
from ablate.outcomes import Past
from ablate.quiet import quiet
from trials.errors import Problem, UserError, nearest
from trials.spec import Json, canonical_json

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


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

    def encode(self, value: Json) -> Json:
        """What is drawn for a value.

        Raises:
            ValueError: the space does not hold it.
        """
        if self.choices is not None:
            found = [drawn for drawn, known in self.choices.items() if _same(known, value)]
        else:
            found = [type(self.distribution.low)(value)] if self._holds(value) else []
        if not found:
            raise ValueError(f"{self.name}: the space does not hold {value!r}")
        return found[0]

    def _holds(self, value: Json) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.points is not None:
            return value in self.points
        return bool(self.distribution.low <= value <= self.distribution.high)


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
        return Dimension(name, whole, None, points(entry))
    real = FloatDistribution(low, high, log=log, step=step)
    return Dimension(name, real, None, points(entry))


def _same(left: Json, right: Json) -> bool:
    return canonical_json(left) == canonical_json(right)


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


def lessons(space: Sequence[Dimension], past: Sequence[Past]) -> "list[FrozenTrial]":
    """What an earlier search learned, as far as a space holds its values."""
    made = []
    for item in past:
        if item.values.keys() == {d.name for d in space}:
            with suppress(ValueError):
                made.append(_lesson(space, item))
    return made


def _lesson(space: Sequence[Dimension], past: Past) -> "FrozenTrial":
    from optuna.trial import create_trial

    return create_trial(
        params={d.name: d.encode(past.values[d.name]) for d in space},
        distributions={d.name: d.distribution for d in space},
        values=past.scores,
    )
