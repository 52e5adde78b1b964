"""From plain values to checked keys: pydantic's errors as sentences with a place.

Where a part is wrong, it is reported, taken out, and the rest is read again, so that what needs
the rest (`ablate.checks`) still finds its own mistakes in the same pass.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ablate.schema import StudyKeys
from trials.errors import nearest
from trials.yaml import Key

Path = tuple[Key, ...]

_PLACEHOLDERS: Mapping[Path, Any] = {
    ("study",): "unnamed",
    ("tasks",): (),
    ("backbones",): (),
    ("targets",): "lora",
    ("arms",): (),
    ("train",): {"epochs": 1.0},
    ("tune", "budget"): {"trials": 1},
    ("tune", "budget", "trials"): 1,
    ("tune", "space"): {},
}
"""What stands for a key that must be there and is missing or wrong, to read on."""

_EXPECTED: Mapping[str, str] = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


@dataclass(frozen=True)
class Mistake:
    """What is wrong, and at which key path of the study; a file and line come later.

    Attributes:
        path: the key path.
        message: one sentence.
        superfluous: whether the key is merely one too many, so that nothing follows from it.
    """

    path: Path
    message: str
    superfluous: bool = False


@dataclass(frozen=True)
class Reading:
    """The keys as far as they could be read.

    Attributes:
        keys: the checked keys without the parts that are wrong; None where nothing is left.
        mistakes: what was wrong.
        kept: path of a list -> original indices of the entries that are left in `keys`.
    """

    keys: StudyKeys | None
    mistakes: tuple[Mistake, ...]
    kept: Mapping[Path, tuple[int, ...]]

    def explains(self, path: Path) -> bool:
        """Whether a mistake at a path may only follow from a known one, at, in or around it."""
        return any(
            path[: len(known.path)] == known.path
            or (known.path[: len(path)] == path and not known.superfluous)
            for known in self.mistakes
        )

    def original(self, path: Path) -> Path:
        """A path within `keys` as a path of the file."""
        return _original(path, self.kept)


def read_keys(raw: Any) -> Reading:
    """Check the plain values of a study against the schema."""
    if not isinstance(raw, Mapping):
        return Reading(None, (Mistake((), "must hold keys and values"),), {})
    dropped: frozenset[Path] = frozenset()
    placeholders: frozenset[Path] = frozenset()
    mistakes: list[Mistake] = []
    while True:
        kept: dict[Path, tuple[int, ...]] = {}
        pruned = _prune(raw, (), dropped, kept)
        try:
            keys = StudyKeys.model_validate(_filled(pruned, placeholders))
        except ValidationError as error:
            found = [(_place(item, kept), item) for item in error.errors(include_url=False)]
        else:
            return Reading(keys, tuple(mistakes), kept)
        reading = Reading(None, tuple(mistakes), {})
        mistakes += [
            Mistake(path, sentence(item), superfluous=item["type"] == "extra_forbidden")
            for path, item in found
            if not reading.explains(path)
        ]
        needed = frozenset(
            path for path, item in found if item["type"] == "missing" and path in _PLACEHOLDERS
        )
        culprits = {_culprit(raw, path, dropped) for path, _ in found if path not in needed}
        if not needed - placeholders and culprits - {()} <= dropped:
            return Reading(None, tuple(mistakes), {})
        dropped |= culprits - {()}
        placeholders |= needed


def _filled(pruned: Any, placeholders: frozenset[Path]) -> Any:
    """The values with something in the place of what must be there."""
    for path in sorted(placeholders, key=len):
        place = pruned
        for step in path[:-1]:
            place = place.get(step) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.setdefault(path[-1], _PLACEHOLDERS[path])
    return pruned


def _culprit(raw: Any, path: Path, dropped: frozenset[Path]) -> Path:
    """The smallest part of the file that can be taken out for a mistake at `path`."""
    while path and (path in dropped or not _exists(raw, path)):
        path = path[:-1]
    return path


def _prune(
    value: Any, path: Path, dropped: frozenset[Path], kept: dict[Path, tuple[int, ...]]
) -> Any:
    """A copy without the dropped parts; notes which entries of each list are left."""
    if isinstance(value, Mapping):
        return {
            key: _prune(item, (*path, key), dropped, kept)
            for key, item in value.items()
            if (*path, key) not in dropped
        }
    if isinstance(value, list | tuple):
        left = tuple(i for i in range(len(value)) if (*path, i) not in dropped)
        kept[path] = left
        return [_prune(value[i], (*path, i), dropped, kept) for i in left]
    return value


def _original(path: Sequence[Key], kept: Mapping[Path, tuple[int, ...]]) -> Path:
    result: Path = ()
    for step in path:
        if isinstance(step, int) and not isinstance(step, bool) and result in kept:
            left = kept[result]
            step = left[step] if step < len(left) else step
        result = (*result, step)
    return result


def _exists(value: Any, path: Path) -> bool:
    for step in path:
        inside = isinstance(value, Mapping) and step in value
        if not inside and not (
            isinstance(value, list | tuple) and isinstance(step, int) and step < len(value)
        ):
            return False
        value = value[step]
    return True


def _place(item: ErrorDetails, kept: Mapping[Path, tuple[int, ...]]) -> Path:
    return _original([step for step in item["loc"] if step != "[key]"], kept)


def sentence(item: ErrorDetails) -> str:
    """One error of pydantic's in our words."""
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "extra_forbidden":
        name = item["loc"][-1]
        return f"unknown key '{name}'{nearest(name, _keys_at(item['loc'][:-1]))}"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"])
        hint = nearest(value, options)
        hint = hint if hint.startswith("; did") else ""
        return f"must be {_either(options)}, but got {value!r}{hint}"
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {context[key]:g}, but got {value!r}"
    if kind == "finite_number":
        return f"must be finite, but got {value!r}"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}, but got {value!r}"
    return f"{item['msg']}, but got {value!r}"


def _either(options: Sequence[str]) -> str:
    return options[0] if len(options) == 1 else f"one of {', '.join(options)}"


def _keys_at(location: Sequence[int | str]) -> list[str]:
    """The keys that the mapping at a place of the schema may have."""
    model: type[BaseModel] = StudyKeys
    for step in location:
        if isinstance(step, str) and step in model.model_fields:
            inner = next(_models_in(model.model_fields[step].annotation), None)
            model = inner or model
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
