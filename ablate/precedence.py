"""The recipe of a cell: who has the last word."""

from typing import Any

from ablate import recipe
from ablate.arm import Arm
from ablate.references import Reference, meets
from ablate.schema import StudyKeys
from ablate.validation import Path
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


def cell_values(arm: Arm, task: str, backbone: str, whole: Recipe) -> dict[str, Any]:
    """Everything that an expression may read of a cell, by name."""
    return {**recipe.flat_recipe(whole), **arm.values(), "task": task, "backbone": backbone}
