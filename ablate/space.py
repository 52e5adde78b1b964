"""The nuisances of a cell: which entries of `tune.space` apply to it, and with which values."""

from collections.abc import Mapping
from typing import Any

from ablate import recipe
from ablate.arm import Arm
from ablate.arms import Methods
from ablate.patterns import plain
from ablate.references import Reference, meets
from ablate.section import shown
from ablate.tune_keys import Distribution
from trials.spec import Json

Space = dict[str, dict[str, Json]]
"""Name -> `{"low", "high", "log", "step"}` with numbers of the field's kind, or `{"choices"}`."""


def has(name: str, method: str, methods: Methods) -> bool:
    """Whether a method's trials have a field of that name, in the method or in the recipe."""
    return name in methods.fields(method) or name in recipe.RECIPE_NAMES


def space_of(
    entries: Mapping[str, Distribution],
    arm: Arm,
    task: Reference,
    backbone: Reference,
    methods: Methods,
) -> Space:
    """What is tuned in one cell."""
    return {
        name: described(name, entry, arm.method, methods)
        for name, entry in entries.items()
        if has(name, arm.method, methods) and meets(entry.when, arm, task, backbone)
    }


def described(name: str, entry: Distribution, method: str, methods: Methods) -> dict[str, Json]:
    """An entry as plain values, its numbers in the type of the field."""
    if entry.choices is not None:
        choices = [canonical(name, choice, method, methods) for choice in entry.choices]
        return {"choices": choices}
    number = int if is_whole(name, method, methods) else float
    low, high = entry.bounds
    return {
        "low": number(low),
        "high": number(high),
        "log": entry.log,
        "step": None if entry.step is None else number(entry.step),
    }


def canonical(name: str, value: Any, method: str, methods: Methods) -> Json:
    """A nuisance value as it enters a spec."""
    known = methods.fields(method)
    return plain(known[name].canonical(value)) if name in known else recipe.canonical(name, value)


def is_whole(name: str, method: str, methods: Methods) -> bool:
    """Whether a field holds whole numbers."""
    known = methods.fields(method)
    return known[name].kind == "int" if name in known else name in recipe.WHOLE_NUMBERS


def wrong_for(name: str, entry: Distribution, method: str, methods: Methods) -> str | None:
    """What is wrong with an entry for one method that has the field, or None."""
    if entry.choices is not None:
        values = [("choices", choice) for choice in entry.choices]
    elif (wrong := _wrong_kind(name, entry, method, methods)) is not None:
        return wrong
    else:
        values = [("low", entry.low), ("high", entry.high)]
    item = methods.fields(method).get(name)
    for place, value in values:
        wrong = recipe.wrong_value(name, value) if item is None else item.check(value)
        if wrong is not None:
            return f"{place} {wrong}"
    return None


def _wrong_kind(name: str, entry: Distribution, method: str, methods: Methods) -> str | None:
    """Whether a range cannot be one of this field."""
    item = methods.fields(method).get(name)
    if item is not None and (item.kind not in ("int", "float") or item.choices is not None):
        return f"'{name}' of method '{method}' is no number; give choices"
    if is_whole(name, method, methods):
        for end, number in (("low", entry.low), ("high", entry.high), ("step", entry.step)):
            if number is not None and not isinstance(number, int):
                return f"{end} must be a whole number, but got {shown(number)}"
    return None
