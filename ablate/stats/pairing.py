"""Line up two sides by seed: what is compared, what was dropped, what failed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablate.stats.cells import Cell
from ablate.stats.grid import differences
from ablate.stats.status import Array


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side on one task: arms averaged per seed, oriented so that higher is better.

    Attributes:
        scores: seed -> mean over the arms, for seeds that every arm finished.
        failed: seeds at which a trial of some arm failed.
        not_a_number: some finished trial had no number for a score.
        late: some of the scores were added after results were seen.
        devices: kinds of device.
    """

    scores: Mapping[int, float]
    failed: frozenset[int]
    not_a_number: bool
    late: bool
    devices: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Treatment and control on one task.

    Attributes:
        seeds: those that both sides finished, ascending.
        dropped: those that only one side finished or that a side failed.
        step: distance of neighbouring differences, or None.
    """

    task: str
    treatment: Side
    control: Side
    seeds: tuple[int, ...]
    dropped: tuple[int, ...]
    step: float | None
    unit: str | None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one finding rests on: one value per seed and side, averaged over its tasks.

    Attributes:
        parts: one a task.
        seeds: those that every task has.
        differences, treatment, control: (seeds,), positive or higher is better.
    """

    parts: tuple[Aligned, ...]
    seeds: tuple[int, ...]
    dropped: tuple[int, ...]
    differences: Array
    treatment: Array
    control: Array

    @property
    def late(self) -> bool:
        """Whether any score was added after results were seen."""
        return any(part.treatment.late or part.control.late for part in self.parts)

    @property
    def not_a_number(self) -> bool:
        """Whether any finished trial had no number for a score."""
        return any(p.treatment.not_a_number or p.control.not_a_number for p in self.parts)

    @property
    def num_failed(self) -> int:
        """Failed trials over both sides and all tasks, one a seed and side."""
        return sum(len(p.treatment.failed) + len(p.control.failed) for p in self.parts)


def align(
    treatment: Sequence[Cell], control: Sequence[Cell], *, task: str, with_late: bool
) -> Aligned:
    """Line up cells of one task.

    Args:
        treatment, control: cells to average per seed; none where an arm has no results.
        task: their task.
        with_late: whether rows added after results were seen count.

    Returns:
        The two sides, with differences still to be taken.
    """
    cells = [*treatment, *control]
    left, right = _side(treatment, with_late), _side(control, with_late)
    both = set(left.scores) & set(right.scores)
    every = set(left.scores) | set(right.scores) | left.failed | right.failed
    steps = {cell.step for cell in cells if cell.scores}
    step = steps.pop() if len(steps) == 1 else None
    finer = math.lcm(max(len(treatment), 1), max(len(control), 1))
    units = {cell.metric for cell in cells if cell.metric is not None}
    return Aligned(
        task=task,
        treatment=left,
        control=right,
        seeds=tuple(sorted(both)),
        dropped=tuple(sorted(every - both)),
        step=None if step is None else step / finer,
        unit=units.pop() if len(units) == 1 else None,
    )


def sample(parts: Sequence[Aligned], *, seeds: frozenset[int] | None = None) -> Sample:
    """Average over tasks, seed by seed; a seed that some task lacks is dropped.

    Args:
        parts: one a task.
        seeds: only these, where given.
    """
    common = set.intersection(*(set(part.seeds) for part in parts))
    every = set().union(*(set(part.seeds) | set(part.dropped) for part in parts))
    if seeds is not None:
        common, every = common & seeds, every & seeds
    order = tuple(sorted(common))
    sides = [
        [np.array([side.scores[s] for s in order], dtype=np.float64) for side in pair]
        for pair in ((p.treatment, p.control) for p in parts)
    ]
    gaps = [differences(t, c, step=p.step) for (t, c), p in zip(sides, parts, strict=True)]
    return Sample(
        parts=tuple(parts),
        seeds=order,
        dropped=tuple(sorted(every - common)),
        differences=gaps[0] if len(gaps) == 1 else np.mean(gaps, axis=0),
        treatment=np.mean([t for t, _ in sides], axis=0),
        control=np.mean([c for _, c in sides], axis=0),
    )


def matrix(parts: Sequence[Aligned]) -> Array:
    """(tasks, seeds) differences, NaN where a task lacks a seed."""
    seeds = sorted(set().union(*(part.seeds for part in parts)))
    rows = np.full((len(parts), len(seeds)), np.nan)
    for i, part in enumerate(parts):
        single = sample([part])
        rows[i, np.searchsorted(seeds, single.seeds)] = single.differences
    return rows


def _side(cells: Sequence[Cell], with_late: bool) -> Side:
    if not cells:
        return Side(scores={}, failed=frozenset(), not_a_number=False, late=False,
                    devices=frozenset())  # fmt: skip
    late = frozenset().union(*(cell.late for cell in cells))
    skip = frozenset() if with_late else late
    common = set.intersection(*(set(cell.scores) for cell in cells)) - skip
    sign = -1.0 if cells[0].lower_is_better else 1.0
    scores = {s: sign * _average([c.scores[s] for c in cells]) for s in sorted(common)}
    failed = frozenset().union(*(cell.failed for cell in cells)) - skip
    return Side(
        scores=scores,
        failed=failed,
        not_a_number=any(cell.not_a_number - skip for cell in cells),
        late=with_late and bool(late & (common | failed)),
        devices=frozenset().union(*(cell.devices for cell in cells)),
    )


def _average(values: Sequence[float]) -> float:
    return values[0] if len(values) == 1 else math.fsum(values) / len(values)
