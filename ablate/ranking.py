"""How the configurations of one task are ranked and marked. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ablate.frame import plain
from ablate.pareto import Candidate, standing

Row = dict[str, Any]

_IN_DIRECTION = ("mean", "ci_low", "ci_high")


@dataclass
class Entry:
    """A configuration on its way into the table.

    Attributes:
        row: what is said of it; the marks are added.
        sign: turns scores so that higher is better.
        scores: by seed, by which it is ranked, so turned.
        mean, sd: of those; None without any, and of too few.
    """

    row: Row
    sign: int
    scores: dict[int, float] = field(default_factory=dict)
    mean: float | None = None
    sd: float | None = None


def rank(group: Sequence[Entry]) -> None:
    """Give each configuration the scores that rank it, and say on which split they are."""
    scored = [entry for entry in group if entry.row["mean"] is not None]
    splits = {plain(entry.row["chosen_on"]) for entry in scored}
    split = splits.pop() if len(splits) == 1 else None
    for entry in group:
        row = entry.row
        row["ranked_on"] = split or row["split"]
        if row["mean"] is None:
            continue
        own = row["scores"] if split is None else row["choosing"]
        pairs = zip(row["seeds"], own, strict=True)
        entry.scores = {int(seed): entry.sign * float(score) for seed, score in pairs}
        entry.mean, entry.sd = entry.sign * row["mean"], row["sd"]
        if split is not None:
            values = np.array(list(entry.scores.values()))
            entry.mean = float(values.mean())
            entry.sd = float(values.std(ddof=1)) if values.size > 2 else None


def mark_noise(group: Sequence[Entry], against: str) -> None:
    """One-standard-error rule, among the configurations of one task, and the least costly then."""
    winner = max(group, key=_height)
    for entry in group:
        entry.row["within_noise"], entry.row["cheapest"] = None, False
        if winner.mean is None or entry.mean is None:
            continue
        behind = winner.mean - entry.mean
        if winner.sd is not None:
            entry.row["within_noise"] = behind <= winner.sd / math.sqrt(len(winner.scores))
        elif behind == 0:
            entry.row["within_noise"] = True
    near = [e for e in group if e.row["within_noise"] and e.row[against] is not None]
    if near:
        first = min(near, key=lambda entry: (entry.row[against], -_height(entry)))
        first.row["cheapest"] = True


def _height(entry: Entry) -> float:
    """What it is ranked by; below everything without scores."""
    return -math.inf if entry.mean is None else entry.mean


def mark_front(
    entries: Sequence[Entry], group: Sequence[Entry], against: str, *, level: float
) -> None:
    """Say of some of a task's configurations where they stand among all; see `ablate.pareto`."""
    given = [Candidate(entry.row[against], entry.scores) for entry in group]
    places = {id(entry): index for index, entry in enumerate(group)}
    for entry in entries:
        entry.row["pareto"] = standing(places[id(entry)], given, level=level)


def of_levels(entries: Sequence[Entry], column: str, top: int) -> list[Entry]:
    """The best of each level of a factor, the levels in order."""
    found: dict[Any, list[Entry]] = {}
    for entry in entries:
        if entry.row.get(column) is not None:
            found.setdefault(entry.row[column], []).append(entry)
    levels = [found[value] for value in sorted(found, key=_order)]
    return [entry for own in levels for entry in ordered(own, None)[:top]]


def ordered(entries: Sequence[Entry], by: str | None) -> list[Entry]:
    """Best first, or by a column; those without a value last, in the order given."""
    if by is None:
        return sorted(entries, key=_height, reverse=True)
    there = [entry for entry in entries if entry.row.get(by) is not None]
    gone = [entry for entry in entries if entry.row.get(by) is None]

    def place(entry: Entry) -> tuple[bool, Any]:
        value = entry.row[by]
        return (False, -entry.sign * value) if by in _IN_DIRECTION else _order(value)

    return [*sorted(there, key=place), *gone]


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers before texts."""
    return isinstance(value, str), value
