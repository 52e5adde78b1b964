"""The `span` of a `task.yaml`: how answers are looked for."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from math import isfinite
from typing import Any

from trials.errors import nearest
from trials.tasks.definition import Span
from trials.yaml import Key

KEYS = tuple(field.name for field in fields(Span))
Refuse = Callable[[Sequence[Key], str], None]
"""Takes a key path and what is wrong there."""


def read_span(value: Any, refuse: Refuse) -> Span:
    """Read the keys, each checked; the defaults where one is missing or wrong.

    Args:
        value: what the file holds under `span`.
        refuse: takes every mistake.
    """
    if not isinstance(value, dict):
        refuse(("span",), "must hold keys, such as 'no_answer: 0.0'")
        return Span()
    sound = {}
    for key, given in value.items():
        if key not in KEYS:
            refuse(("span", key), f"no such key{nearest(key, KEYS)}")
        elif (wrong := _wrong(key, given)) is not None:
            refuse(("span", key), f"{wrong}, but got {given!r}")
        else:
            sound[key] = given
    return Span(**sound)


def _wrong(key: str, given: Any) -> str | None:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if key == "no_answer":
        is_sound = given in (None, "search") or (is_number and isfinite(given))
        return None if is_sound else "must be a number, or search"
    least = 1 if key == "max_answer" else 0
    is_sound = is_number and isinstance(given, int) and given >= least
    return None if is_sound else f"must be a whole number of tokens, at least {least}"
