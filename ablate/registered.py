"""The plan's comparisons as the statistics take them: what was registered when, for which looks.

Questions of a race that were there before results were seen are one family, with the looks that
were planned then. What a later version of the study adds, questions or looks, is a batch of its
own: it is exploratory, and changes nothing for those before it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from ablate import revision
from ablate.claims import PlannedComparison
from ablate.journal import Revision, State
from ablate.plan import Plan
from ablate.race import Looked, Question, Race
from ablate.stats.cells import best_by_search
from ablate.stats.claims import Claim
from ablate.stats.comparison import Comparison, Pick

_PICKS: Mapping[tuple[bool, bool], Pick | None] = {
    (False, False): None,
    (True, False): "treatment",
    (False, True): "control",
    (True, True): "both",
}


@dataclass(frozen=True)
class Batch:
    """Questions that were registered together.

    Attributes:
        revision: the version of the study that registered them.
        late: whether results had been seen by then.
        comparisons: question -> what answers it; several tasks for a mean over tasks.
        race: their race so far.
    """

    revision: int
    late: bool
    comparisons: Mapping[str, tuple[Comparison, ...]]
    race: Race


def comparisons(plan: Plan, state: State, frame: pd.DataFrame) -> list[Comparison]:
    """Every comparison of the plan; those of a race with the looks that were taken for them.

    Args:
        plan: of the study.
        state: the journal's.
        frame: its results, by which a side's best arm is picked.
    """
    late, registry = revision.late_claims(state), _Registry(plan, frame)
    found = {item.id: registry.comparison(item, late) for item in plan.comparisons}
    for batch in reversed(batches(plan, state, frame)):
        for question, parts in batch.comparisons.items():
            seen = tuple(test.seeds for test in batch.race.history[question])
            decision = batch.race.decision(question)
            stopped = None if decision == "open" else decision
            for part in parts:
                found[part.id] = replace(part, looks=batch.race.looks, seen=seen, stopped=stopped)
    return list(found.values())


def unregistered(plan: Plan, frame: pd.DataFrame, margin: float | None) -> list[Comparison]:
    """The plan's comparisons asked of another metric than they were registered for.

    They are exploratory, no claim is ruled on, and what is in the primary metric's unit has no
    meaning: gains under the null hypothesis, and the study's own margins.

    Args:
        plan: of the study.
        frame: its results, by which a side's best arm is picked.
        margin: in the other metric's unit: each difference of means is asked whether it lies
            within it as well.
    """
    registry = _Registry(plan, frame)
    planned = [item for item in plan.comparisons if item.kind != "equivalence" and not item.by]
    made = [registry.comparison(item, frozenset()) for item in planned]
    asked: dict[object, Comparison] = {}
    for one in made:
        key = (one.task, one.backbone, one.treatment, one.control, one.kind, one.pick)
        asked.setdefault(key, replace(one, confirmatory=False, claim_id=None, margin=None))
    found = list(asked.values())
    means = [one for one in found if one.kind == "mean"] if margin is not None else []
    return found + [
        replace(one, id=f"{one.id}/equivalence", kind="equivalence", margin=margin,
                family=f"{one.family}: equivalence")
        for one in means
    ]  # fmt: skip


def claims(plan: Plan) -> list[Claim]:
    """The plan's claims."""
    return [
        Claim(
            id=item.id,
            kind=item.kind,  # type: ignore[arg-type]
            sentence=item.sentence,
            comparisons=item.comparisons,
            over_tasks=item.over_tasks,
        )
        for item in plan.claims
    ]


def batches(plan: Plan, state: State, frame: pd.DataFrame | None = None) -> list[Batch]:
    """The races of a study so far, in the order of their revisions; none where it has none.

    Args:
        plan: of the study as it is now.
        state: the journal's; an empty one for a study that has not run.
        frame: its results, by which a side's best arm is picked; without, all its arms count.
    """
    versions = _versions(plan, state)
    if not any("looks" in version.contents for version in versions):
        return []
    registry = _Registry(plan, frame)
    questions = list(_questions(plan))
    num_early = max(1, sum(not version.after_results for version in versions))
    taken: set[str] = set()
    looks: tuple[int, ...] | None = None
    found: list[Batch] = []
    for version in versions[num_early - 1 :]:
        known = {n: parts for n, parts in questions if registry.is_known(version, parts)}
        before, looks = looks, _looks(version)
        asked = {n: parts for n, parts in known.items() if n not in taken or looks != before}
        taken |= known.keys()
        if asked:
            found.append(_batch(registry, state, version, asked))
    return found


def _versions(plan: Plan, state: State) -> list[Revision]:
    """The study's revisions, with the one that its next run would record."""
    warm = state.revisions[-1].contents.get("warm", {}) if state.revisions else {}
    entry = revision.next_revision(plan, state, 0, warm)
    coming = [] if entry is None else [Revision(**entry.data, time=0.0)]
    return [*state.revisions, *coming]


def _looks(version: Revision) -> tuple[int, ...]:
    """A fixed number of seeds is a race with a single look."""
    contents = version.contents
    return tuple(contents["looks"]) if "looks" in contents else (max(2, len(contents["seeds"])),)


def _questions(plan: Plan) -> Iterator[tuple[str, tuple[PlannedComparison, ...]]]:
    """The tests that decide how far a race goes: those of claims, else of means with baselines."""
    by_id = {item.id: item for item in plan.comparisons}
    for claim in plan.claims:
        parts = tuple(by_id[name] for name in claim.comparisons)
        if claim.over_tasks and len(parts) > 1:
            yield f"{claim.id}/tasks", parts
        else:
            yield from ((part.id, (part,)) for part in parts)
    if not plan.claims:
        yield from ((item.id, (item,)) for item in plan.comparisons if item.kind == "mean")


class _Registry:
    """What a plan's comparisons are about: claims by their content, cells by their key."""

    def __init__(self, plan: Plan, frame: pd.DataFrame | None) -> None:
        self.level = plan.study.level
        self._plan, self._frame = plan, frame
        self._keys = {(c.task, c.backbone, c.arm.id): c.key for c in plan.cells}

    @cached_property
    def _stated(self) -> Mapping[str, str]:
        """Id of a planned claim -> its content; on several backbones one is planned for each."""
        study = self._plan.study
        return {
            name: revision.canonical(claim.model_dump(mode="json"))
            for claim in study.claims
            for name in (claim.id, *(f"{claim.id} on {b.name}" for b in study.backbones))
        }

    def is_known(self, version: Revision, parts: Sequence[PlannedComparison]) -> bool:
        """Whether a version of the study has a question: its claim and its cells."""
        there = {revision.canonical(claim) for claim in version.contents["claims"]}
        cells = set(version.contents["cells"])
        return all(
            (part.claim_id is None or self._stated[part.claim_id] in there)
            and cells.issuperset(self._cells(part, picked=False))
            for part in parts
        )

    def question(self, name: str, parts: Sequence[PlannedComparison]) -> Question:
        """As a race asks it; of a side that is picked, its best cell alone."""
        cells = dict.fromkeys(key for part in parts for key in self._cells(part, picked=True))
        first = parts[0]
        return Question(name, first.kind, tuple(cells), by=first.by, margin=first.margin)

    def _cells(self, item: PlannedComparison, *, picked: bool) -> Iterator[str]:
        sides = ((item.treatment, item.pick_treatment), (item.control, item.pick_control))
        for arms, is_picked in sides:
            if picked and is_picked and self._frame is not None and len(set(arms)) > 1:
                best = best_by_search(self._frame, arms, item.task, item.backbone)
                arms = arms if best is None else (best,)
            yield from (self._keys[item.task, item.backbone, arm] for arm in arms)

    def comparison(self, planned: PlannedComparison, late: frozenset[str]) -> Comparison:
        """As the statistics take it.

        Args:
            planned: of the plan.
            late: claims that were stated after results had been seen.
        """
        in_time = planned.claim_id is None or self._stated[planned.claim_id] not in late
        return Comparison(
            id=planned.id,
            task=planned.task,
            backbone=planned.backbone,
            treatment=planned.treatment,
            control=planned.control,
            kind=planned.kind,
            family=planned.family,
            confirmatory=planned.confirmatory and in_time,
            claim_id=planned.claim_id,
            by=planned.by,
            margin=planned.margin,
            note=planned.note,
            pick=_PICKS[planned.pick_treatment, planned.pick_control],
            late=not in_time,
        )

    def of_batch(self, planned: PlannedComparison, version: Revision) -> Comparison:
        """As `comparison`, of a question that a version of the study registered."""
        made = self.comparison(planned, frozenset())
        if not version.after_results:
            return made
        family = f"{planned.family}: added in revision {version.revision}"
        return replace(made, family=family, confirmatory=False, late=True)


def _batch(
    registry: _Registry,
    state: State,
    version: Revision,
    asked: Mapping[str, tuple[PlannedComparison, ...]],
) -> Batch:
    questions = tuple(registry.question(name, parts) for name, parts in asked.items())
    tests = tuple(
        Looked.from_json(test)
        for look in state.looks
        if look.batch == version.revision
        for test in look.tests
        if test["question"] in asked
    )
    return Batch(
        version.revision,
        version.after_results,
        {
            name: tuple(registry.of_batch(part, version) for part in parts)
            for name, parts in asked.items()
        },
        Race(questions, _looks(version), registry.level, tests),
    )
