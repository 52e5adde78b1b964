"""What a `task.yaml` says of texts: its templates, and how completions are written and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from trials.errors import nearest
from trials.tasks.generation import LOSS_ON, Generation, Template, fields_of
from trials.yaml import Key

TEMPLATE_KEYS = ("prompt", "completion", "messages", "loss_on", "merge")
"""Keys that stand for themselves in a `task.yaml`; `generation` holds the others."""

Refuse = Callable[[Sequence[Key], str], None]
"""Takes a key path and what is wrong there."""

_LOWEST: Mapping[str, tuple[type, float, float | None]] = {
    "max_new_tokens": (int, 1, None),
    "beams": (int, 1, None),
    "length_penalty": (float, 0, None),
    "no_repeat_ngram": (int, 0, None),
    "temperature": (float, 0, None),
    "top_k": (int, 0, None),
    "top_p": (float, 0, 1),
}
"""Kind, lowest and highest value of the numbers."""
_ABOVE = ("temperature", "top_p")
"""Those that must lie above their lowest value."""


def read_template(values: Mapping[Any, Any], refuse: Refuse) -> Template | None:
    """Read prompt and completion, or messages.

    Args:
        values: the whole of a `task.yaml`.
        refuse: takes every mistake.

    Returns:
        The template; None where it cannot be told.
    """
    given = {name: _text(values, name, refuse) for name in ("prompt", "completion", "messages")}
    loss_on = values.get("loss_on", "completion")
    if loss_on not in LOSS_ON:
        refuse(("loss_on",), f"must be {' or '.join(LOSS_ON)}, but got {loss_on!r}")
        loss_on = "completion"
    merge = values.get("merge", False)
    if not isinstance(merge, bool):
        refuse(("merge",), f"must be true or false, but got {merge!r}")
        merge = False
    if "messages" in values:
        for name in ("prompt", "completion"):
            if name in values:
                refuse((name,), "goes with no messages; give prompt and completion, or messages")
        messages = given["messages"]
        return (
            None if messages is None else Template(messages=messages, loss_on=loss_on, merge=merge)
        )
    for name in ("prompt", "completion"):
        if name not in values:
            refuse((name,), "is missing; give prompt and completion, or messages")
    prompt, completion = given["prompt"], given["completion"]
    if prompt is None or completion is None:
        return None
    sound = [_is_template(name, text, refuse) for name, text in given.items() if text is not None]
    if not all(sound):
        return None
    return Template(prompt=prompt, completion=completion, loss_on=loss_on, merge=merge)


def read_generation(values: Mapping[Any, Any], refuse: Refuse) -> Generation:
    """Read how completions are written, each key checked.

    Args:
        values: the whole of a `task.yaml`.
        refuse: takes every mistake.
    """
    given = values.get("generation", {})
    if not isinstance(given, dict):
        refuse(("generation",), "must hold keys, such as 'max_new_tokens: 64'")
        return Generation()
    known = [field.name for field in fields(Generation)]
    sound: dict[str, Any] = {}
    for key, value in given.items():
        wrong = f"no such key{nearest(key, known)}" if key not in known else _wrong(key, value)
        if wrong is None:
            sound[key] = _as_held(key, value)
        else:
            refuse(("generation", key), wrong)
    made = Generation(**sound)
    if made.sample and made.beams > 1:
        refuse(("generation", "sample"), f"goes with beams: 1, not {made.beams}")
    for key in ("temperature", "top_k", "top_p"):
        if key in sound and not made.sample:
            refuse(("generation", key), "says how tokens are drawn; add sample: true")
    return made


def _wrong(key: str, value: Any) -> str | None:
    """What is wrong with a value; None where it is right."""
    if key in _LOWEST:
        return _wrong_number(key, value)
    if key == "sample":
        return None if isinstance(value, bool) else f"must be true or false, but got {value!r}"
    if key == "stop":
        texts = [value] if isinstance(value, str) else value
        sound = isinstance(texts, list) and all(isinstance(t, str) and t for t in texts)
        return None if sound else f"must be a text or a list of texts, but got {value!r}"
    try:
        re.compile(value)
    except (re.error, TypeError) as error:
        return f"must be a regular expression, but got {value!r}: {error}"
    return None


def _wrong_number(key: str, value: Any) -> str | None:
    kind, low, high = _LOWEST[key]
    what = "a whole number" if kind is int else "a number"
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        return f"must be {what}, but got {value!r}"
    above = key in _ABOVE
    if value < low or (above and value == low) or (high is not None and value > high):
        limit = f"above {low:g}" if above else f"at least {low:g}"
        most = "" if high is None else f" and at most {high:g}"
        return f"must be {limit}{most}, but got {value}"
    return None


def _as_held(key: str, value: Any) -> Any:
    if key == "stop":
        return (value,) if isinstance(value, str) else tuple(value)
    return float(value) if _LOWEST.get(key, (str,))[0] is float else value


def _text(values: Mapping[Any, Any], key: str, refuse: Refuse) -> str | None:
    value = values.get(key)
    if isinstance(value, str) and value:
        return value
    if key in values:
        refuse((key,), f"must be text, but got {value!r}")
    return None


def _is_template(key: str, text: str, refuse: Refuse) -> bool:
    try:
        names = fields_of(text)
    except ValueError as error:
        refuse((key,), str(error))
        return False
    if not names:
        refuse((key,), "names no column; put one in braces, such as '{question}'")
    return bool(names)
