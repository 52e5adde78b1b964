"""Which nuisance values a cell may have: `tune.constraints`, and the rules of its method."""

from collections.abc import Mapping
from functools import lru_cache

from ablate.cell import Cell
from ablate.combinations import combinations, size
from ablate.expressions import Expression
from ablate.study import Study
from trials.spec import Json

MOST_LISTED = 1000
"""Combinations of a space up to which those that break a constraint are named one by one."""

Infeasible = tuple[tuple[Mapping[str, Json], str], ...]
"""Nuisance values, and what they break."""


def violated(study: Study, cell: Cell, values: Mapping[str, Json]) -> str | None:
    """What nuisance values break: the first of `tune.constraints`, or a rule of the method.

    Args:
        study: the study.
        cell: one of its cells.
        values: nuisance -> value.
    """
    known = {**cell.values, **values}
    for rule in () if study.tune is None else map(_parsed, study.tune.constraints):
        if rule.holds(known) is False:
            return rule.text
    fields = {name: known[name] for name in cell.arm.fields}
    return study.methods.invalid(cell.arm.method, fields)


def infeasible(study: Study, cell: Cell) -> Infeasible:
    """Combinations of nuisance values that are never tried, and what each breaks.

    Empty where a space is endless or holds more than `MOST_LISTED`: there, too, the search draws
    again what breaks a constraint.
    """
    number = size(cell.space) if cell.space else None
    listed = number is not None and number <= MOST_LISTED
    every = combinations(cell.space) if listed else None
    found = ((values, violated(study, cell, values)) for values in every or ())
    return tuple((values, why) for values, why in found if why is not None)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Expression:
    return Expression.parse(text)
