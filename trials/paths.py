"""Paths as users write them: in a study, a task, or on the command line."""

import os
from pathlib import Path

from trials.errors import UserError

_MOST_BYTES = 255
"""Of one name in a path, on the file systems that there are."""


def user_path(text: str, base: Path = Path()) -> Path:
    """The path that a text names; `~` is a home folder.

    Args:
        text: as the user wrote it.
        base: what a relative path is relative to.

    Raises:
        UserError: no file can have that path.
    """
    try:
        path = Path(text).expanduser()
        names = [os.fsencode(part) for part in path.parts]
    except RuntimeError:
        raise UserError(f"{text.partition('/')[0]} is no user's home folder") from None
    except UnicodeEncodeError:
        raise UserError(f"{text!a} is no path: it holds half a character") from None
    if any(b"\0" in name for name in names):
        raise UserError(f"{text!r} is no path: it holds a null character")
    if any(len(name) > _MOST_BYTES for name in names):
        raise UserError(f"{text[:60]}… is no path: a name in it has more than {_MOST_BYTES} bytes")
    return base / path


def is_plain_name(text: str) -> bool:
    """Whether a text that may hold `/` stays inside the folder that it is looked up in."""
    parts = text.split("/")
    return all(0 < len(part.encode(errors="replace")) <= _MOST_BYTES for part in parts) and not (
        {".", ".."} & set(parts) or "\0" in text or text.startswith("~")
    )
