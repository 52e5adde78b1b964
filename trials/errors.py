"""What a user did wrong, where, and the nearest right name.

Every mistake that a user can make ends in one `UserError` that holds all problems found in the
same file or call. The command line prints them without a traceback and exits with status 2.
"""

import difflib
import errno
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One mistake: what was expected, what was found, and where.

    Attributes:
        message: one sentence; names the nearest valid name where there is one.
        file: the file that holds the mistake, as the user wrote its path.
        line: 1-based line within `file`.
        key: dotted key within the file, such as `arms[1].method`.
    """

    message: str
    file: str | None = None
    line: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        place = self.file or ""
        if place and self.line is not None:
            place = f"{place}:{self.line}"
        return ": ".join(part for part in (place, self.key, self.message) if part)


class UserError(Exception):
    """One or more mistakes of the user's; never a bug of ours."""

    def __init__(self, *problems: Problem | str) -> None:
        if not problems:
            raise ValueError("a UserError needs at least one problem")
        self.problems = tuple(p if isinstance(p, Problem) else Problem(p) for p in problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[type["UserError"], tuple[Problem, ...]]:
        """Pickle by problems, so that an error crosses process borders whole."""
        return (type(self), self.problems)


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Of errors of the system: nothing can be written, though nothing is wrong with what was."""


def nearest(name: object, options: Iterable[str]) -> str:
    """Suggest the option closest to a mistyped name.

    Args:
        name: what the user typed.
        options: the valid names.

    Returns:
        `"; did you mean 'x'?"`, or `"; expected one of a, b, c"` where nothing is close and the
        list is short, or an empty string.
    """
    names = sorted(options)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; expected one of {', '.join(names)}" if 0 < len(names) <= 16 else ""


_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """A text as a terminal may have it: what would steer it, or turn its lines, is spelled out."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)
