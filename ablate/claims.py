"""Claims and baselines, resolved to the cells that they compare, before any run.

Treatment and control are matched on every other factor that both sides have, and averaged per
seed (statistics.md, section 4).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from ablate.arm import Arm
from ablate.arms import Methods
from ablate.cell import Cell
from ablate.patterns import matches, plain, words
from ablate.schema import ClaimKeys
from ablate.section import Pattern
from ablate.study import Study
from ablate.validation import Mistake
from trials.errors import Problem, UserError
from trials.spec import Json

Kind = Literal["mean", "variance", "equivalence"]

_KINDS: Mapping[str, Kind] = {
    "better": "mean",
    "worse": "mean",
    "different": "mean",
    "equivalent": "equivalence",
    "less_variable": "variance",
    "more_variable": "variance",
}
_WORDS: Mapping[str, str] = {
    "better": "is better than",
    "worse": "is worse than",
    "different": "differs from",
    "equivalent": "is equivalent to",
    "less_variable": "varies less between seeds than",
    "more_variable": "varies more between seeds than",
}


@dataclass(frozen=True)
class PlannedComparison:
    """One test that will be made.

    Attributes:
        id: unique in the plan.
        task, backbone: where both sides are measured.
        treatment, control: arm ids; several are averaged per seed, and one that is named more
            than once weighs more.
        kind: `mean`, `variance` or `equivalence`.
        family: tests that are adjusted together.
        confirmatory: whether a claim of the study asks for it.
        claim_id: that claim.
        by: least gain that counts, in the metric's unit; below zero the least loss that does.
        margin: largest difference that counts as none.
        note: what the report says of it.
        pick_treatment, pick_control: whether the best arm of that side, by the search split,
            stands for all of them.
    """

    id: str
    task: str
    backbone: str
    treatment: tuple[str, ...]
    control: tuple[str, ...]
    kind: Kind
    family: str
    confirmatory: bool
    claim_id: str | None
    by: float = 0.0
    margin: float | None = None
    note: str | None = None
    pick_treatment: bool = False
    pick_control: bool = False


@dataclass(frozen=True)
class PlannedClaim:
    """A statement that the study sets out to check, as the tests that decide it."""

    id: str
    kind: str
    sentence: str
    comparisons: tuple[str, ...]
    over_tasks: bool


class _Sides:
    """The arms of one task and backbone, and how they meet."""

    def __init__(self, study: Study, arms: Sequence[Arm], space: Mapping[str, set[str]]) -> None:
        self.arms = arms
        self.methods: Methods = study.methods
        self.match = study.keys.match
        self.tuned = space
        self.typed = {name for arm in study.arms for name in arm.typed}

    def select(self, pattern: Pattern) -> list[Arm]:
        """The arms that a pattern matches."""
        return [arm for arm in self.arms if matches(pattern, arm.values())]

    def shared(self, left: Arm, right: Arm, named: set[str]) -> list[str]:
        """The factors that two arms both have and that no pattern names."""
        names = ({*left.fields} & {*right.fields}) | ({*left.recipe} & {*right.recipe})
        names |= {"targets"} if left.targets is not None and right.targets is not None else set()
        names &= self.typed if self.match is None else set(self.match)
        names -= named | self.tuned[left.id] | self.tuned[right.id]
        return ["method"] * ("method" not in named) + sorted(
            name for name in names if self._same_kind(name, left, right)
        )

    def _same_kind(self, name: str, left: Arm, right: Arm) -> bool:
        """Fields of two methods that allow other values only share their name."""
        ours = self.methods.fields(left.method).get(name)
        theirs = self.methods.fields(right.method).get(name)
        if ours is None or theirs is None:
            return ours is theirs
        return (ours.choices, ours.subset_of) == (theirs.choices, theirs.subset_of)

    def meet(self, left: Arm, right: Arm, named: set[str]) -> bool:
        """Whether two arms agree on every factor that they share."""
        ours, theirs = left.values(), right.values()
        return all(ours[name] == theirs[name] for name in self.shared(left, right, named))


def compile_claims(
    study: Study, cells: Sequence[Cell]
) -> tuple[tuple[PlannedComparison, ...], tuple[PlannedClaim, ...]]:
    """Every test of a study: those of its claims, then every arm beside each baseline.

    Raises:
        UserError: claims that cannot be resolved, all at once.
    """
    places: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        places.setdefault((cell.task, cell.backbone), []).append(cell)
    sides = {
        place: _Sides(study, [c.arm for c in found], {c.arm.id: set(c.space) for c in found})
        for place, found in places.items()
    }
    comparisons: list[PlannedComparison] = []
    claims: list[PlannedClaim] = []
    problems: list[Problem] = []
    for index, claim in enumerate(study.claims):
        try:
            found, made = _claim(study, claim, sides)
        except UserError as error:
            problems += [
                study.problem(Mistake(("claims", index), p.message)) for p in error.problems
            ]
            continue
        comparisons += found
        claims += made
    if problems:
        raise UserError(*problems)
    taken = {(c.task, c.backbone, c.treatment, c.control, c.kind) for c in comparisons}
    comparisons += [
        c for c in _exploratory(study, sides)
        if (c.task, c.backbone, c.treatment, c.control, c.kind) not in taken
    ]  # fmt: skip
    return tuple(comparisons), tuple(claims)


def _claim(
    study: Study, claim: ClaimKeys, sides: Mapping[tuple[str, str], _Sides]
) -> tuple[list[PlannedComparison], list[PlannedClaim]]:
    """One claim; on several backbones, one for each of them."""
    chosen = [b for b in study.backbones if claim.backbone in (None, b.name, b.text)]
    tasks = [t for t in study.tasks if claim.task in (None, t.name, t.text)]
    comparisons: list[PlannedComparison] = []
    claims: list[PlannedClaim] = []
    for backbone in chosen:
        id_ = claim.id if len(chosen) == 1 else f"{claim.id} on {backbone.name}"
        found = []
        for task in tasks:
            if (task.name, backbone.name) not in sides:
                raise UserError(f"every arm is excluded on {task.name}, {backbone.name}")
            here = sides[task.name, backbone.name]
            found.append(_comparison(study, claim, id_, task.name, backbone.name, here))
        comparisons += found
        claims.append(
            PlannedClaim(
                id=id_,
                kind=claim.kind,
                sentence=_sentence(study, claim, [t.name for t in tasks], backbone.name),
                comparisons=tuple(c.id for c in found),
                over_tasks=claim.over == "tasks" and len(tasks) > 1,
            )
        )
    return comparisons, claims


def _comparison(
    study: Study, claim: ClaimKeys, id_: str, task: str, backbone: str, sides: _Sides
) -> PlannedComparison:
    named = {*claim.treatment, *claim.control}
    treatment, control = sides.select(claim.treatment), sides.select(claim.control)
    for side, found in (("treatment", treatment), ("control", control)):
        if not found:
            raise UserError(f"no {side} is left on {task}, {backbone}: all are excluded")
    both = {arm.id for arm in treatment} & {arm.id for arm in control}
    if both:
        raise UserError(f"{sorted(both)[0]} is treatment and control at once")
    pick = claim.pick is not None
    if not pick:
        treatment, control = _matched(sides, treatment, control, named)
    equivalent = claim.kind == "equivalent"
    return PlannedComparison(
        id=f"{id_}: {task}, {backbone}",
        task=task,
        backbone=backbone,
        treatment=tuple(arm.id for arm in treatment),
        control=tuple(arm.id for arm in control),
        kind=_KINDS[claim.kind],
        family="claims",
        confirmatory=True,
        claim_id=id_,
        by=0.0 - claim.by if claim.kind == "worse" else claim.by,
        margin=(claim.margin or study.margin) if equivalent else None,
        note="each side's best arm by the search split" if pick else None,
        pick_treatment=pick,
        pick_control=pick,
    )


def _matched(
    sides: _Sides, treatment: Sequence[Arm], control: Sequence[Arm], named: set[str]
) -> tuple[list[Arm], list[Arm]]:
    """Both sides, repeated where needed so that every level weighs the same on both."""
    groups: list[tuple[list[Arm], list[Arm]]] = []
    for left in treatment:
        partners = [right for right in control if sides.meet(left, right, named)]
        if not partners:
            raise _lonely(sides, left, control, named, "treatment")
        group = next((g for g in groups if g[1] == partners), None)
        if group is None:
            groups.append(([left], partners))
        else:
            group[0].append(left)
    met = {right.id for _, partners in groups for right in partners}
    for right in control:
        if right.id not in met:
            raise _lonely(sides, right, treatment, named, "control")
    if len({(len(left), len(right)) for left, right in groups}) == 1:
        return [a for left, _ in groups for a in left], [a for _, right in groups for a in right]
    pairs = [pair for left, right in groups for pair in product(left, right)]
    return [left for left, _ in pairs], [right for _, right in pairs]


def _lonely(
    sides: _Sides, arm: Arm, others: Sequence[Arm], named: set[str], side: str
) -> UserError:
    """Which level only one side has, and what to do about it."""
    values = arm.values()
    for name in sides.shared(arm, others[0], named):
        there = {words(plain(other.values().get(name))) for other in others}
        if words(plain(values[name])) not in there:
            other_side = "control" if side == "treatment" else "treatment"
            return UserError(
                f"only the {side} has {name} {words(plain(values[name]))} "
                f"(the {other_side} has {', '.join(sorted(there))}); "
                f"name the level, or say pick: best_by_search"
            )
    return UserError(
        f"{arm.id} of the {side} meets no arm of the other side; "
        "name the levels, or say pick: best_by_search"
    )


def _exploratory(
    study: Study, sides: Mapping[tuple[str, str], _Sides]
) -> Iterator[PlannedComparison]:
    """Every arm beside each baseline, its mean and its spread."""
    for (task, backbone), here in sides.items():
        for pattern in study.baselines:
            baseline = here.select(pattern)
            for arm in here.arms:
                if baseline and not matches(pattern, arm.values()):
                    beside = _beside(arm, baseline, pattern, here, task, backbone)
                    yield beside
                    yield replace(
                        beside,
                        id=f"spread of {beside.id}",
                        kind="variance",
                        family="baselines: variance",
                    )


def _beside(
    arm: Arm, baseline: Sequence[Arm], pattern: Pattern, sides: _Sides, task: str, backbone: str
) -> PlannedComparison:
    partners = [other for other in baseline if sides.meet(arm, other, {*pattern, "method"})]
    name = " ".join(f"{key}={words(plain(value))}" for key, value in pattern.items())
    return PlannedComparison(
        id=f"{arm.id} beside {name}: {task}, {backbone}",
        task=task,
        backbone=backbone,
        treatment=(arm.id,),
        control=tuple(other.id for other in partners or baseline),
        kind="mean",
        family="baselines",
        confirmatory=False,
        claim_id=None,
        note=None if partners else "control picked by search",
        pick_control=not partners,
    )


def _sentence(study: Study, claim: ClaimKeys, tasks: Sequence[str], backbone: str) -> str:
    """The claim in words."""
    words_ = f"{_shown(claim.treatment)} {_WORDS[claim.kind]} {_shown(claim.control)}"
    if claim.by:
        words_ += f" by {claim.by:g} or more"
    if claim.kind == "equivalent":
        words_ += f" within {claim.margin or study.margin:g}"
    where = f"over {', '.join(tasks)}" if claim.over else f"on {tasks[0]}"
    return f"{words_} {where} ({backbone})"


def _shown(pattern: Mapping[str, Json]) -> str:
    return ", ".join(
        words(plain(value)) if isinstance(value, str) else f"{name} {words(plain(value))}"
        for name, value in pattern.items()
    )
