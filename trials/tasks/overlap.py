"""What two parts of a task's data share: equal inputs, and rows of one group.

Rows that a model was trained on, or that chose it, say little where they are scored again.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

from trials.spec import Splits
from trials.tasks.base import Rows, Task

LARGE = 0.01
"""Share of a part's rows from which what they share with another part is a caveat."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How many rows of one part stand in another part, or are related to it.

    Attributes:
        first, second: the parts.
        num_rows: rows of the second.
        equal: rows of the second whose texts are those of a row of the first.
        related: rows of the second that share a value of a group with the first; None where the
            task has no groups.
    """

    first: str
    second: str
    num_rows: int
    equal: int
    related: int | None

    @property
    def large(self) -> bool:
        """Whether scores on the second part must be read with it in mind."""
        return max(self.equal, self.related or 0) >= LARGE * self.num_rows

    def __str__(self) -> str:
        found = []
        if self.equal:
            found.append(f"{self.equal:,} also stand in {self.first}")
        if self.related:
            found.append(f"{self.related:,} share a group's value with {self.first}")
        what = " and ".join(found) or f"none stands in {self.first}"
        return f"of {self.num_rows:,} rows of {self.second} {what}"


def used_parts(task: Task, splits: Splits) -> tuple[str, ...]:
    """The parts that trials of a study read: what trains, what chooses, what is shown."""
    return tuple(dict.fromkeys(("train", splits.search, *task.shown(splits))))


def overlaps(task: Task, splits: Splits, parts: Sequence[str]) -> tuple[Overlap, ...]:
    """Compare each two parts, the earlier one first.

    Args:
        task: whose data.
        splits: decide whether a part is held out of train.
        parts: such as `used_parts` gives.

    Raises:
        UserError: there is no such part.
    """
    rows = {part: task.rows(part, splits) for part in parts}
    texts = {part: list(zip(*found.texts, strict=True)) for part, found in rows.items()}
    known = {part: set(found) for part, found in texts.items()}
    values = {part: _values(task, found) for part, found in rows.items()}
    return tuple(
        Overlap(
            first=first,
            second=second,
            num_rows=len(rows[second]),
            equal=sum(text in known[first] for text in texts[second]),
            related=_related(task, rows[second], values[first]),
        )
        for first, second in combinations(parts, 2)
    )


def _values(task: Task, rows: Rows) -> list[set[Hashable]]:
    """The values of each set of linked group columns."""
    return [set().union(*columns) - {None} for columns in task.linked(rows)]


def _related(task: Task, rows: Rows, known: Sequence[set[Hashable]]) -> int | None:
    if not known:
        return None
    found: set[int] = set()
    for columns, values in zip(task.linked(rows), known, strict=True):
        for column in columns:
            found.update(row for row, value in enumerate(column) if value in values)
    return len(found)
