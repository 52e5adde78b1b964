"""The `hub` of a `task.yaml`: which data set of the hub has the rows, and under which names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trials.errors import nearest
from trials.tasks.definition import Hub
from trials.tasks.lines import NEEDED, SPLITS
from trials.yaml import Key

KEYS = ("id", "config", "revision", "columns", "splits")
Refuse = Callable[[Sequence[Key], str], None]
"""Takes a key path and what is wrong there."""


def read_hub(value: Any, columns: Sequence[str], refuse: Refuse) -> Hub | None:
    """Read the keys, each checked.

    Args:
        value: what the file holds under `hub`.
        columns: the columns that rows must have.
        refuse: takes every mistake.

    Returns:
        Where the rows are; None where the id is missing or something else than a mapping stands.
    """
    if not isinstance(value, dict):
        refuse(("hub",), "must hold keys, such as 'id: nyu-mll/glue'")
        return None
    for key in value:
        if key not in KEYS:
            refuse(("hub", key), f"no such key{nearest(key, KEYS)}")
    path = _text(value, "id", refuse)
    if "id" not in value:
        refuse(("hub",), "id is missing, such as 'id: nyu-mll/glue'")
    renamed = _pairs(value, "columns", columns, refuse)
    splits = _pairs(value, "splits", SPLITS, refuse)
    for split in NEEDED if splits else ():
        if split not in splits:
            refuse(("hub", "splits"), f"does not say which split is {split}")
    given = {"splits": tuple(splits.items())} if splits else {}
    return Hub(
        path=path or "",
        config=_text(value, "config", refuse),
        revision=_text(value, "revision", refuse),
        columns=tuple(renamed.items()),
        **given,
    )


def _text(value: Mapping[Any, Any], key: str, refuse: Refuse) -> str | None:
    found = value.get(key)
    if key not in value or (isinstance(found, str) and found):
        return found
    hint = "; put quotes around it" if isinstance(found, int | float) else ""
    refuse(("hub", key), f"must be text, but got {found!r}{hint}")
    return None


def _pairs(
    value: Mapping[Any, Any], key: str, ours: Sequence[str], refuse: Refuse
) -> dict[str, str]:
    """Our name -> the hub's name."""
    found = value.get(key, {})
    if not isinstance(found, dict):
        refuse(("hub", key), f"must be pairs of your name and the hub's, but got {found!r}")
        return {}
    sound = {}
    for name, theirs in found.items():
        if name not in ours:
            refuse(("hub", key, name), f"the task has no such name{nearest(name, ours)}")
        elif not isinstance(theirs, str) or not theirs:
            refuse(("hub", key, name), f"must be the hub's name, but got {theirs!r}")
        else:
            sound[name] = theirs
    return sound
