"""The recipe of a cell and the fields of its method: who has the last word."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from ablate import recipe
from ablate.arm import Arm
from ablate.arms import Methods
from ablate.patterns import plain
from ablate.references import Reference, meets
from ablate.schema import StudyKeys
from ablate.validation import Mistake, Path
from trials.catalogue import Field
from trials.errors import nearest
from trials.spec import Json, Recipe


def recipe_values(
    keys: StudyKeys, arm: Arm, task: Reference, backbone: Reference
) -> dict[str, Json]:
    """What a cell says of the recipe, by flat name: `train` < `overrides` in order < the arm."""
    values = recipe.flat(keys.train)
    for override in keys.overrides:
        if meets(override.when, arm, task, backbone):
            values = recipe.merged(values, recipe.flat(override.train))
    values = recipe.merged(values, arm.recipe)
    if values.get("head") == "freeze":
        # A random head that never trains would say nothing.
        values["head_start"] = "backbone" if values.get("start_from") is None else "source"
    return values


def field_values(
    keys: StudyKeys, arm: Arm, task: Reference, backbone: Reference, methods: Methods
) -> dict[str, Json]:
    """A cell's method, field by field: its defaults < `overrides` in order < what the arm types."""
    known = methods.fields(arm.method)
    values = dict(arm.fields)
    for override in keys.overrides:
        if meets(override.when, arm, task, backbone):
            given = {n: v for n, v in override.fields.items() if n in known and n not in arm.typed}
            values |= {name: plain(known[name].canonical(value)) for name, value in given.items()}
    return values


def origin(keys: StudyKeys, arm: Arm, task: Reference, backbone: Reference, name: str) -> Path:
    """Where a cell's value of a recipe field was written; under `train` if nowhere."""
    if name in arm.recipe:
        return ("arms", arm.index, name)
    place: Path = ("train",)
    for index, override in enumerate(keys.overrides):
        said = name in recipe.flat(override.train)
        if said and meets(override.when, arm, task, backbone):
            place = ("overrides", index, "train")
    return (*place, *name.split("."))


def field_mistakes(
    keys: StudyKeys,
    arms: Sequence[Arm],
    methods: Methods,
    places: Sequence[tuple[Reference, Reference]],
) -> list[Mistake]:
    """Fields of `overrides` that no arm they meet has, and values that its method refuses.

    Args:
        keys: the study's keys.
        arms: its arms.
        methods: the registered methods.
        places: every task with every backbone.
    """
    found: list[Mistake] = []
    for index, override in enumerate(keys.overrides):
        met = {a.method for a in arms if any(meets(override.when, a, *place) for place in places)}
        known = [methods.fields(method) for method in sorted(met)]
        for name, value in override.fields.items():
            wrong = _wrong_field(name, value, known) if known else None
            if wrong is not None:
                found.append(Mistake(("overrides", index, "fields", name), wrong))
    if found or not any(override.fields for override in keys.overrides):
        return found
    together: dict[str, None] = {}
    for arm, (task, backbone) in product(arms, places):
        values = field_values(keys, arm, task, backbone, methods)
        wrong = methods.invalid(arm.method, values)
        if wrong is not None:
            together[f"{arm.id} on {task.name}: {wrong}"] = None
    return [Mistake(("overrides",), text) for text in together]


def _wrong_field(name: str, value: Any, known: Sequence[Mapping[str, Field]]) -> str | None:
    """What is wrong with a value for the methods that have its field, or None."""
    wrongs = [fields[name].check(value) for fields in known if name in fields]
    if wrongs:
        return next((wrong for wrong in wrongs if wrong is not None), None)
    if name in recipe.RECIPE_NAMES:
        return f"'{name}' belongs to train"
    names = sorted({name for fields in known for name in fields})
    return f"no arm that it meets has a field '{name}'{nearest(name, names)}"


def cell_values(arm: Arm, task: str, backbone: str, whole: Recipe) -> dict[str, Any]:
    """Everything that an expression may read of a cell, by name."""
    return {**recipe.flat_recipe(whole), **arm.values(), "task": task, "backbone": backbone}
