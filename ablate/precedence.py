"""The recipe of a cell: who has the last word."""

from typing import Any

from ablate import recipe
from ablate.arm import Arm
from ablate.references import Reference, meets
from ablate.schema import StudyKeys
from trials.spec import Json, Recipe


def recipe_values(
    keys: StudyKeys, arm: Arm, task: Reference, backbone: Reference
) -> dict[str, Json]:
    """What a cell says of the recipe, by flat name: `train` < `overrides` in order < the arm."""
    values = recipe.flat(keys.train)
    for override in keys.overrides:
        if meets(override.when, arm, task, backbone):
            values = recipe.merged(values, recipe.flat(override.train))
    return recipe.merged(values, arm.recipe)


def cell_values(arm: Arm, task: str, backbone: str, whole: Recipe) -> dict[str, Any]:
    """Everything that an expression may read of a cell, by name."""
    return {**recipe.flat_recipe(whole), **arm.values(), "task": task, "backbone": backbone}
