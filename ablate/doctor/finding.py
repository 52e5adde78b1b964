"""What a look at one part of an installation or study came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "mended", "warning", "broken"]

_NAMED = 3


@dataclass(frozen=True)
class Finding:
    """One sentence on one part.

    Attributes:
        part: what was looked at.
        status: `warning` for what stops nothing; `broken` for what must be mended first.
        text: what is so.
        remedy: what to do about it; None where there is nothing to do, or nothing can be done.
    """

    part: str
    status: Status
    text: str
    remedy: str | None = None


def some(things: Sequence[str]) -> str:
    """The first of several things, and how many more there are."""
    more = len(things) - _NAMED
    return ", ".join(things[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
