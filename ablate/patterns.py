"""Patterns: field -> value, or a list of values, of which a cell must have one."""

import json
from collections.abc import Mapping
from typing import Any

from trials.spec import Json, canonical_json


def plain(value: Any) -> Json:
    """Tuples as lists, so that values compare as JSON does."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def matches(pattern: Mapping[str, Any], values: Mapping[str, Json]) -> bool:
    """Whether values have every field of a pattern, equal to it or one of its list."""
    return all(
        name in values and _matches_value(plain(wanted), values[name])
        for name, wanted in pattern.items()
    )


def _matches_value(wanted: Json, value: Json) -> bool:
    if isinstance(value, list):
        if not isinstance(wanted, list):
            return False
        if any(isinstance(item, list) for item in wanted):
            return any(_matches_value(item, value) for item in wanted)
        return _equal(sorted(map(str, wanted)), sorted(map(str, value)))
    if isinstance(wanted, list):
        return any(_equal(item, value) for item in wanted)
    return _equal(wanted, value)


def _equal(left: Json, right: Json) -> bool:
    """Equality that keeps true and 1 apart, but not 8 and 8.0."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def words(value: Json) -> str:
    """A field's value in an id: short and without blanks."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return "+".join(words(item) for item in value) or "none"
    if isinstance(value, str):
        return value if value and not set(value) & set(' "=+') else json.dumps(value)
    return canonical_json(value)
