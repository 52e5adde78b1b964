"""The recipe by flat names such as `schedule.warmup`, for arms, `tune.space` and expressions."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from ablate.schema import Train
from ablate.validation import sentence
from trials.spec import Json, Recipe, canonical_json

RECIPE_NAMES = (
    "learning_rate",
    "batch_size",
    "label_smoothing",
    "clip",
    "accumulate",
    "epochs",
    "steps",
    "max_length",
    "optimizer.weight_decay",
    "schedule.warmup",
    "dropout.adapter",
    "dropout.attention",
    "dropout.backbone",
)
"""What an arm may fix and a search may tune."""

WHOLE_NUMBERS = frozenset({"batch_size", "accumulate", "steps", "max_length"})

_NESTED = ("optimizer", "schedule", "dropout", "evaluate")


def flat(train: Train) -> dict[str, Json]:
    """The keys that a `train` section gives, by flat name; what it leaves out is not there."""
    values = train.model_dump(exclude_unset=True)
    if train.start_from is not None:
        values["start_from"] = train.start_from.task
    return _flatten(values)


def flat_recipe(recipe: Recipe) -> dict[str, Json]:
    """Every value of a recipe by flat name."""
    return _flatten(asdict(recipe))


def merged(base: Mapping[str, Json], over: Mapping[str, Json]) -> dict[str, Json]:
    """`base` with the values of `over`; a length in steps replaces one in epochs, and back."""
    result = {**base, **over}
    for name, other in (("epochs", "steps"), ("steps", "epochs")):
        if over.get(name) is not None and over.get(other) is None:
            result[other] = None
    return result


def build(values: Mapping[str, Json]) -> Recipe:
    """The recipe of flat values; what they leave out has the default."""
    return _build(canonical_json({**DEFAULTS, **values}))


@lru_cache(maxsize=1024)
def _build(text: str) -> Recipe:
    """Cells mostly share their recipe, and the specs of shared recipes are cheap to digest."""
    nested: dict[str, Json] = {section: {} for section in _NESTED}
    for name, value in json.loads(text).items():
        section, _, key = name.partition(".")
        if key:
            nested[section][key] = value
        else:
            nested[section] = value
    return Recipe.from_json(nested)


def canonical(name: str, value: Json) -> Json:
    """A value in the type of its field."""
    return value if value is None or name in WHOLE_NUMBERS else float(value)


def wrong_value(name: str, value: Any) -> str | None:
    """What is wrong with a value of a recipe field, or None."""
    if value is None and name in ("epochs", "steps"):
        return "must not be null"
    section, _, key = name.partition(".")
    try:
        Train.model_validate({section: {key: value} if key else value})
    except ValidationError as error:
        return sentence(error.errors(include_url=False)[0])
    return None


def _flatten(values: Mapping[str, Json]) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for name, value in values.items():
        if name in _NESTED:
            result.update({f"{name}.{key}": inner for key, inner in value.items()})
        else:
            result[name] = value
    return result


DEFAULTS: Mapping[str, Json] = flat_recipe(Recipe())
"""What a recipe is where nothing is said of it."""
