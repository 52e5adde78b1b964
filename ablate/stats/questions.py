"""From comparisons and claims to drafts: which cells, which rows, which questions beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ablate.stats.bootstrap import Resamples
from ablate.stats.cells import Cell, Cells, best_by_search, collect
from ablate.stats.claims import Claim
from ablate.stats.comparison import Comparison, arm_fields
from ablate.stats.draft import Draft, draft, unpaired
from ablate.stats.finding import Finding
from ablate.stats.looks import Look, at_looks, take
from ablate.stats.pairing import Aligned, align, sample

PAIRED_SHARE = 2 / 3  # with fewer of the seeds left in pairs, Welch's test is shown beside


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What one analysis works from.

    Attributes:
        frame: the checked table.
        level, margin: of the study.
        looks: seed counts of the race as it is planned now; empty for a fixed number of seeds.
        generators: a random generator by the name of what needs it, so that adding a comparison
            changes no other finding.
    """

    frame: pd.DataFrame
    level: float
    margin: float | None
    looks: tuple[int, ...]
    generators: Callable[[str], np.random.Generator]

    @cached_property
    def cells(self) -> Cells:
        """The table folded into cells."""
        return collect(self.frame)

    @cached_property
    def resamples(self) -> Resamples:
        """Resamples of seeds that all findings share."""
        return Resamples(lambda n: self.generators(f"{n} seeds"))

    @cached_property
    def fields(self) -> Mapping[str, Mapping[str, Any]]:
        """The fields of each arm."""
        return arm_fields(self.frame)

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """The display name of each arm."""
        arms = self.frame.drop_duplicates("arm")
        return dict(zip(arms["arm"], arms["label"], strict=True))


def ask(
    questions: Questions, comparisons: Sequence[Comparison], claims: Sequence[Claim]
) -> list[Draft]:
    """All drafts of an analysis, confirmatory findings and what is shown beside them."""
    by_id = {comparison.id: comparison for comparison in comparisons}
    pooled = {
        name: claim for claim in claims for name in claim.comparisons
        if claim.over_tasks and len(claim.comparisons) > 1
    }  # fmt: skip
    drafts: list[Draft] = []
    for claim in dict.fromkeys(pooled.values()):
        parts = [by_id[name] for name in claim.comparisons]
        drafts += _over_tasks(questions, parts, f"{claim.id}/tasks", parts[0].family)
    for comparison in comparisons:
        if comparison.id in pooled:
            family = f"{comparison.family}: by task"
            comparison = replace(comparison, confirmatory=False, family=family)
        drafts += _single(questions, comparison)
    for group in _same_arms(comparisons):
        name = f"tasks: {' & '.join(group[0].treatment)} vs {' & '.join(group[0].control)}"
        identity = f"{name}, {group[0].backbone}, {group[0].kind}"
        drafts += _over_tasks(questions, group, identity, f"{group[0].family}: over tasks")
    return drafts


def _same_arms(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """Exploratory comparisons of the same arms' means on two tasks or more."""
    groups: dict[tuple[object, ...], list[Comparison]] = {}
    for c in comparisons:
        if c.claim_id is None and c.kind == "mean":
            key = (c.treatment, c.control, c.backbone, c.family, c.by, c.pick)
            groups.setdefault(key, []).append(c)
    return [group for group in groups.values() if len({c.task for c in group}) > 1]


def _single(questions: Questions, comparison: Comparison) -> list[Draft]:
    """A comparison on its task, and beside it what unpaired seeds or late rows show."""
    with_late = comparison.late or not comparison.confirmatory
    part, base = _part(questions, comparison, with_late=with_late)
    found = [_draft(questions, base, [part], comparison)]
    kept, lost = len(found[0].sample.seeds), len(found[0].sample.dropped)
    if comparison.kind == "mean" and 2 <= kept < PAIRED_SHARE * (kept + lost):
        beside = replace(base, id=f"{base.id}/welch", confirmatory=False,
                         family=f"{base.family}: unpaired beside")  # fmt: skip
        pairs = sample([part])
        details = {**beside.details, "late": pairs.late, "dropped_seeds": pairs.dropped}
        beside = replace(beside, n_dropped=0, num_failed=pairs.num_failed, details=details)
        result = unpaired(beside, pairs, level=questions.level, by=comparison.by,
                          rng=questions.generators(beside.id))  # fmt: skip
        found.append(Draft(finding=result, sample=pairs, comparison=comparison))
    if not with_late:
        found += _with_late(questions, [comparison], base)
    return found


def _over_tasks(
    questions: Questions, comparisons: Sequence[Comparison], identity: str, family: str
) -> list[Draft]:
    """The mean over tasks of each seed."""
    first = comparisons[0]
    with_late = first.late or not first.confirmatory
    made = [_part(questions, c, with_late=with_late) for c in comparisons]
    units = {part.unit for part, _ in made}
    base = replace(
        made[0][1], id=identity, kind="across_tasks", task=None, family=family,
        unit=units.pop() if len(units) == 1 else "points",
    )  # fmt: skip
    base = replace(base, details={**base.details, "question": first.kind})
    found = [_draft(questions, base, [part for part, _ in made], first)]
    return found if with_late else found + _with_late(questions, comparisons, base)


def _with_late(
    questions: Questions, comparisons: Sequence[Comparison], base: Finding
) -> list[Draft]:
    """The same question with the rows that were added after results were seen, if there are any."""
    parts = [_part(questions, c, with_late=True)[0] for c in comparisons]
    if not any(part.treatment.late or part.control.late for part in parts):
        return []
    beside = replace(base, id=f"{base.id}/with-late", confirmatory=False,
                     family=f"{base.family}: with late rows")  # fmt: skip
    now = replace(comparisons[0], looks=None, seen=None, stopped=None)
    return [_draft(questions, beside, parts, now)]


def _part(
    questions: Questions, comparison: Comparison, *, with_late: bool
) -> tuple[Aligned, Finding]:
    """The aligned scores of one comparison, and its finding as far as it is known beforehand."""
    sides = {}
    for side in ("treatment", "control"):
        arms = getattr(comparison, side)
        if comparison.pick in (side, "both") and len(set(arms)) > 1:
            where = (comparison.task, comparison.backbone)
            best = best_by_search(questions.frame, arms, *where)
            arms = () if best is None else (best,)
        sides[side] = arms
    cells = {side: _cells(questions, comparison, arms) for side, arms in sides.items()}
    many = questions.frame["backbone"].nunique() > 1
    place = f"{comparison.task}, {comparison.backbone}" if many else comparison.task
    part = align(cells["treatment"], cells["control"], task=place, with_late=with_late)
    shown = {side: arms or getattr(comparison, side) for side, arms in sides.items()}
    base = Finding(
        id=comparison.id,
        kind=comparison.kind,
        task=comparison.task,
        treatment=_side(questions, shown["treatment"]),
        control=_side(questions, shown["control"]),
        n=0,
        unit=part.unit,
        level=questions.level,
        family=comparison.family,
        confirmatory=comparison.confirmatory,
        claim_id=comparison.claim_id,
        details={
            "backbone": comparison.backbone,
            "treatment_arms": shown["treatment"],
            "control_arms": shown["control"],
            "treatment_picked_by_search": comparison.pick in ("treatment", "both"),
            "control_picked_by_search": comparison.pick in ("control", "both"),
            "note": comparison.note,
        },
    )
    return part, base


def _cells(questions: Questions, comparison: Comparison, arms: Sequence[str]) -> list[Cell]:
    """The cells of a side; none if any is absent, for an average over fewer arms is another one."""
    keys = [(comparison.task, comparison.backbone, arm) for arm in arms]
    present = [questions.cells[key] for key in keys if key in questions.cells]
    return present if len(present) == len(keys) else []


def _side(questions: Questions, arms: Sequence[str]) -> Mapping[str, Any]:
    """Label and factor values of a side; a list where averaged arms differ."""
    names = list(dict.fromkeys(questions.labels.get(arm, arm) for arm in arms))
    shown: dict[str, Any] = {"label": " & ".join(names)}
    fields = [questions.fields.get(arm, {}) for arm in arms]
    for key in dict.fromkeys(key for one in fields for key in one):
        values = list(dict.fromkeys(one.get(key) for one in fields))
        shown[key] = values[0] if len(values) == 1 else values
    return shown


def _draft(
    questions: Questions, base: Finding, parts: Sequence[Aligned], comparison: Comparison
) -> Draft:
    looks = questions.looks if comparison.looks is None else comparison.looks
    if looks:
        return at_looks(questions, base, parts, comparison, looks)
    rng = questions.generators(base.id)
    level, margin = questions.level, questions.margin
    return draft(base, sample(parts), comparison, level=level, margin=margin, rng=rng,
                 resamples=questions.resamples)  # fmt: skip


def at_look(
    questions: Questions,
    comparisons: Sequence[Comparison],
    identity: str,
    num_seeds: int,
    share: float,
) -> Draft:
    """What the first seeds of a race say, paid for with a share of the level.

    Args:
        questions: the analysis.
        comparisons: one, or one a task for their mean over tasks.
        identity: id of the finding.
        num_seeds: planned for this look.
        share: of the level that it spends.
    """
    first = comparisons[0]
    made = [_part(questions, c, with_late=first.late or not c.confirmatory) for c in comparisons]
    base = replace(made[0][1], id=identity)
    seeds = frozenset(range(num_seeds))
    return take(questions, base, [part for part, _ in made], first, seeds, Look(num_seeds, share))
