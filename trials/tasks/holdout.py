"""A part held out of train: whole groups, every stratum in proportion, the same on any machine.

The part is a function of the rows and of a key (the data's digest), never of a trial's seed, so
every trial of a task chooses on the same rows. Draws are hashes, hence free of library versions.
"""

import hashlib
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence

LEAST = 200
NUM_BINS = 10


def hold_out_size(num_rows: int) -> int:
    """Rows to hold out: 200 or a tenth, whichever is more; a fifth of fewer than 400 rows."""
    if num_rows < 2 * LEAST:
        return math.ceil(num_rows / 5)
    return max(LEAST, math.ceil(num_rows / 10))


def group_rows(links: Sequence[Sequence[Sequence[Hashable]]], num_rows: int) -> list[int]:
    """Put rows that share a value into one group, and so on from row to row.

    Args:
        links: sets of columns that share their values, each (columns, rows); a value in two
            columns of one set links their rows, in columns of two sets it does not. None links
            nothing.
        num_rows: number of rows.

    Returns:
        For each row the first row of its group.
    """
    parent = list(range(num_rows))

    def first_of(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for columns in links:
        seen: dict[Hashable, int] = {}
        for row, values in enumerate(zip(*columns, strict=True)):
            for value in values:
                other = row if value is None else seen.setdefault(value, row)
                if other != row:
                    low, high = sorted((first_of(row), first_of(other)))
                    parent[high] = low
    return [first_of(row) for row in range(num_rows)]


def quantile_bins(values: Sequence[float], num_bins: int = NUM_BINS) -> list[int]:
    """The quantile bin of each value; equal values share a bin."""
    ordered = sorted(values)
    bins = {value: bisect_left(ordered, value) * num_bins // len(values) for value in set(values)}
    return [bins[value] for value in values]


def hold_out(
    groups: Sequence[int], strata: Sequence[int], *, size: int, key: str
) -> tuple[int, ...]:
    """Draw whole groups until `size` rows are out, each stratum in proportion.

    Groups are asked in the order of their hashes and taken where every stratum still has room.
    Where whole groups cannot fill the strata exactly, the room grows by 1, 2, 4, ... rows until
    the size is reached. Never more than half of the rows are taken.

    Args:
        groups: for each row the group it belongs to.
        strata: for each row the stratum it counts for.
        size: rows to hold out.
        key: what the order of the groups is drawn from.

    Returns:
        The rows in ascending order; fewer than `size` where groups are too large to fit a half.
    """
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    waiting = sorted(members, key=lambda group: _draw(key, group))
    room = _apportion(Counter(strata), size)
    taken: list[int] = []
    slack = 0
    while waiting and len(taken) < size and slack <= 2 * len(groups):
        passed = []
        for group in waiting:
            if len(taken) >= size:
                break
            rows = members[group]
            counts = Counter(strata[row] for row in rows)
            fits = all(count <= room[stratum] + slack for stratum, count in counts.items())
            if fits and len(taken) + len(rows) <= len(groups) // 2:
                taken += rows
                room.subtract(counts)
            else:
                passed.append(group)
        waiting, slack = passed, max(1, 2 * slack)
    return tuple(sorted(taken))


def _draw(key: str, group: int) -> bytes:
    return hashlib.blake2b(f"{key}/{group}".encode(), digest_size=16).digest()


def _apportion(sizes: Counter[int], total: int) -> Counter[int]:
    """Split a total in proportion to sizes, by largest remainder (Hamilton's method)."""
    num_rows = sum(sizes.values())
    exact = {stratum: divmod(total * size, num_rows) for stratum, size in sizes.items()}
    shares = Counter({stratum: whole for stratum, (whole, _) in exact.items()})
    by_remainder = sorted(exact, key=lambda stratum: (-exact[stratum][1], stratum))
    shares.update(by_remainder[: total - sum(shares.values())])
    return shares
