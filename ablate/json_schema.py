"""The JSON schema of a study file, for editors: keys from the models, arms from the catalogue."""

from typing import Any

from ablate.arms import Methods
from ablate.recipe import RECIPE_NAMES, WHOLE_NUMBERS
from ablate.schema import StudyKeys
from trials import catalogue
from trials.catalogue import Field
from trials.spec import Json
from trials.targets import CANONICAL_TARGETS, PRESETS, QUALIFIED_TARGETS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LIBRARY: dict[str, Any] = {
    "type": "object",
    "properties": {"method": {"type": "string", "pattern": "^peft\\.[A-Za-z0-9]+Config$"}},
    "required": ["method"],
}
"""An arm of the peft library, whose fields depend on its installed version."""
_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}


def json_schema() -> dict[str, Json]:
    """The schema of every key, with the methods that are registered now."""
    schema = StudyKeys.model_json_schema()
    keys = schema["properties"]
    keys["split"] = {
        "anyOf": [{"const": "auto"}, {"$ref": "#/$defs/SplitKeys"}],
        "default": "auto",
    }
    keys["targets"] = _targets()
    methods = Methods(catalogue.methods())
    arms = [
        _arm(name, methods) for name in methods.classes if not name.startswith(catalogue.OF_PEFT)
    ]
    arms.append(_LIBRARY)
    keys["arms"] = {"type": "array", "minItems": 1, "items": {"anyOf": arms}}
    return {"$schema": _DIALECT, **schema, "title": "A study of ablate"}


def _targets() -> dict[str, Any]:
    known = [*CANONICAL_TARGETS, *QUALIFIED_TARGETS]
    names = {"type": "array", "items": {"enum": known}, "minItems": 1}
    modules = {
        "type": "object",
        "properties": {"modules": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
        "required": ["modules"],
        "additionalProperties": False,
    }
    return {"anyOf": [names, {"enum": list(PRESETS)}, modules]}


def _arm(method: str, methods: Methods) -> dict[str, Any]:
    fields = methods.fields(method)
    properties: dict[str, Any] = {"method": {"const": method}, "label": {"type": "string"}}
    for name in RECIPE_NAMES:
        kind = "integer" if name in WHOLE_NUMBERS else "number"
        properties[name] = _each({"type": [kind, "null"]})
    properties["targets"] = _each(_targets())
    for name, item in fields.items():
        properties[name] = _each(_field(item), named=item.subset_of is not None)
        properties[name]["description"] = item.help
    return {
        "type": "object",
        "properties": properties,
        "required": ["method"],
        "additionalProperties": False,
    }


def _field(item: Field) -> dict[str, Any]:
    if item.choices is not None:
        found: dict[str, Any] = {"enum": list(item.choices)}
    elif item.subset_of is not None:
        items = {"enum": list(item.subset_of)}
        found = {"type": "array", "items": items, "maxItems": len(item.subset_of) - 1}
    else:
        found = {"type": _TYPES[item.kind]}
        bounds = {"minimum": item.low, "maximum": item.high}
        found |= {key: bound for key, bound in bounds.items() if bound is not None}
    return {"anyOf": [found, {"type": "null"}]} if item.optional else found


def _each(one: dict[str, Any], *, named: bool = False) -> dict[str, Any]:
    """A value, or `{each: [...]}` of them."""
    several: dict[str, Any] = {"type": "array", "items": one, "minItems": 1}
    each = {"anyOf": [several, {"const": "all"}]} if named else several
    multiplied = {
        "type": "object",
        "properties": {"each": each},
        "required": ["each"],
        "additionalProperties": False,
    }
    return {"anyOf": [one, multiplied]}
