"""The noise of the evaluation set, beside findings.

Resampled where predictions of each example are stored; else a bound where their number is known.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from ablate.stats.cells import Cell, Cells
from ablate.stats.evaluation_bound import difference, scale_of
from ablate.stats.examples import METRICS, Predictions, two_way
from ablate.stats.finding import Finding
from ablate.stats.status import Array


@dataclass(frozen=True)
class Said:
    """What one trial said of each example.

    Attributes:
        ids: of the examples, in the order of the others.
        labels: (examples,) label ids, or real numbers.
        said: (examples,) of the same kind.
        num_labels: None for real numbers.
    """

    ids: tuple[str, ...]
    labels: Array
    said: Array
    num_labels: int | None


BySeed = Mapping[int, Said]
Read = Callable[[Cell], BySeed]
"""The predictions of a cell on its reported split, by seed; seeds without any are absent."""


def with_examples(
    findings: tuple[Finding, ...],
    cells: Cells,
    read: Read,
    *,
    level: float,
    generators: Callable[[str], np.random.Generator],
) -> tuple[Finding, ...]:
    """Add what resampling the examples shows to every paired comparison of two arms' means.

    Args:
        findings: of an analysis.
        cells: that they rest on.
        read: where predictions come from.
        level: confidence of the intervals, in (0, 1).
        generators: a finding's own random generator, by its id.

    Returns:
        The findings; those with predictions have a detail `examples` (see
        `ablate.stats.examples.TwoWay`), over the seeds whose predictions both arms have.
    """
    known: dict[tuple[str, str, str], BySeed] = {}

    def of(cell: Cell) -> BySeed:
        key = (cell.task, cell.backbone, cell.arm)
        if key not in known:
            known[key] = read(cell)
        return known[key]

    return tuple(_beside(finding, cells, of, level, generators) for finding in findings)


def with_bounds(
    findings: tuple[Finding, ...], cells: Cells, *, level: float
) -> tuple[Finding, ...]:
    """Add to comparisons of two arms' means what their number of examples alone allows.

    Args:
        findings: of an analysis.
        cells: that they rest on.
        level: confidence of the intervals, in (0, 1).

    Returns:
        The findings; those of scores that are shares of examples have a detail `example_noise`
        (see `ablate.stats.evaluation_bound`).
    """
    return tuple(_bounded(finding, cells, level) for finding in findings)


def _bounded(finding: Finding, cells: Cells, level: float) -> Finding:
    sides = _sides(finding, cells)
    if sides is None or finding.estimate is None:
        return finding
    treatment, control = sides
    scale = scale_of(treatment.step, treatment.num_examples)
    same = (treatment.step, treatment.num_examples) == (control.step, control.num_examples)
    one, other = (finding.details.get(f"{side}_mean") for side in ("treatment", "control"))
    if not same or scale is None or not treatment.num_examples or one is None or other is None:
        return finding
    if treatment.lower_is_better:
        # Sides are negated where lower is better, and a positive difference favours the treatment.
        one, other = -other, -one
    made = difference(one, other, treatment.num_examples, scale, level=level)
    details = {**finding.details, "example_noise": None if made is None else asdict(made)}
    return replace(finding, details=details)


def _sides(finding: Finding, cells: Cells) -> tuple[Cell, Cell] | None:
    """The two cells of a paired comparison of two arms' means on one task."""
    arms = [finding.details.get(f"{side}_arms", ()) for side in ("treatment", "control")]
    if finding.kind != "mean" or not finding.paired or any(len(names) != 1 for names in arms):
        return None
    backbone = finding.details["backbone"]
    found = [cells.get((str(finding.task), backbone, names[0])) for names in arms]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _beside(
    finding: Finding,
    cells: Cells,
    of: Read,
    level: float,
    generators: Callable[[str], np.random.Generator],
) -> Finding:
    sides = _sides(finding, cells)
    if sides is None or sides[0].metric not in METRICS:
        return finding
    found = [of(sides[0]), of(sides[1])]
    seeds = [s for s in finding.details["seeds"] if s in found[0] and s in found[1]]
    if not seeds or len({found[i][s].ids for i in (0, 1) for s in seeds}) != 1:
        return finding
    made = two_way(
        _stack(found[0], seeds),
        _stack(found[1], seeds),
        str(sides[0].metric),
        level=level,
        rng=generators(f"{finding.id}/examples"),
        lower_is_better=sides[0].lower_is_better,
    )
    details = {**finding.details, "examples": None if made is None else asdict(made)}
    return replace(finding, details=details)


def _stack(by_seed: BySeed, seeds: list[int]) -> Predictions:
    first = by_seed[seeds[0]]
    said = np.stack([by_seed[seed].said for seed in seeds])
    return Predictions(labels=first.labels, said=said, num_labels=first.num_labels)
