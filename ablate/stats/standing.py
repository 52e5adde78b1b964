"""On each task the best arm, and which others the runs do not tell from it.

The best is chosen by the same scores that it is then compared on, so the comparisons count as all
pairs of arms, whichever of them turns out to be the best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ablate.stats.cells import Cell, Cells, Key
from ablate.stats.finding import Finding
from ablate.stats.many import Pair, pairs

Place = Literal["best", "not_told_apart", "behind"]
ALL_PAIRS = "all pairs"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where an arm stands on a task.

    Attributes:
        place: `best` by its mean; `behind`, where a test finds the best ahead; else
            `not_told_apart`, also where there are too few seeds for any test.
        best: the arm id of the best; of the first, where several share its mean.
        by: the id of the finding that says so, or `all pairs`; None for the best itself.
        p_adjusted: of that test; None where it could not be made.
    """

    place: Place
    best: str
    by: str | None = None
    p_adjusted: float | None = None


def standings(
    cells: Cells, findings: Sequence[Finding], *, level: float, rng: np.random.Generator
) -> dict[Key, Standing]:
    """Where every cell with a score stands among those of its task and backbone.

    What the study itself finds about an arm and the best decides. Where it does not ask, the paired
    t test of all pairs of arms does, adjusted by Holm's method.

    Args:
        cells: of a study.
        findings: that were decided on them.
        level: 1 - level is the level of the tests.
        rng: for sign patterns beyond 20 seeds.

    Returns:
        One for each cell that has a score.
    """
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells.values():
        if cell.scores:
            groups.setdefault((cell.task, cell.backbone), []).append(cell)
    asked = _asked(findings)
    return {
        (cell.task, cell.backbone, cell.arm): standing
        for group in groups.values()
        for cell, standing in _of_task(group, asked, level, rng)
    }


_Asked = Mapping[tuple[str, str, frozenset[str]], Finding]


def _asked(findings: Sequence[Finding]) -> _Asked:
    """Findings on the means of two single arms, by task, backbone and arms; registered ones win."""
    found: dict[tuple[str, str, frozenset[str]], Finding] = {}
    for finding in sorted(findings, key=lambda finding: not finding.confirmatory):
        sides = [
            tuple(finding.details.get(f"{name}_arms", ())) for name in ("treatment", "control")
        ]
        if finding.kind == "mean" and finding.task and all(len(arms) == 1 for arms in sides):
            key = finding.task, finding.details["backbone"], frozenset(a for (a,) in sides)
            found.setdefault(key, finding)
    return found


def _of_task(
    group: Sequence[Cell], asked: _Asked, level: float, rng: np.random.Generator
) -> list[tuple[Cell, Standing]]:
    means = [_oriented(cell) * float(np.mean(list(cell.scores.values()))) for cell in group]
    first = group[int(np.argmax(means))]
    found = _pairs(group, level, rng)
    made = []
    for cell, mean in zip(group, means, strict=True):
        if mean == max(means):
            made.append((cell, Standing(place="best", best=first.arm)))
            continue
        both = frozenset((cell.arm, first.arm))
        finding = asked.get((cell.task, cell.backbone, both))
        standing = (
            _by_pair(found[both], first.arm, level)
            if finding is None
            else _by_finding(finding, first.arm)
        )
        made.append((cell, standing))
    return made


def _oriented(cell: Cell) -> float:
    return -1.0 if cell.lower_is_better else 1.0


def _pairs(
    group: Sequence[Cell], level: float, rng: np.random.Generator
) -> dict[frozenset[str], Pair]:
    seeds = sorted(set().union(*(cell.scores for cell in group)))
    scores = [[_oriented(c) * c.scores.get(seed, np.nan) for seed in seeds] for c in group]
    names = [cell.arm for cell in group]
    found = pairs(names, np.array(scores, dtype=np.float64), level=level, rng=rng)
    return {frozenset((pair.treatment, pair.control)): pair for pair in found}


def _by_finding(finding: Finding, best: str) -> Standing:
    """What a comparison that the study makes says of the arm that is not the best."""
    ahead = "better" if finding.details["treatment_arms"][0] == best else "worse"
    place: Place = "behind" if finding.verdict == ahead else "not_told_apart"
    return Standing(place=place, best=best, by=finding.id, p_adjusted=finding.p_adjusted)


def _by_pair(pair: Pair, best: str, level: float) -> Standing:
    """What the test of all pairs says of the arm that is not the best."""
    gap = (pair.estimate or 0.0) * (1 if pair.treatment == best else -1)
    told = pair.p_adjusted is not None and pair.p_adjusted <= 1 - level and gap > 0
    place: Place = "behind" if told and pair.n > 2 else "not_told_apart"
    return Standing(place=place, best=best, by=ALL_PAIRS, p_adjusted=pair.p_adjusted)
