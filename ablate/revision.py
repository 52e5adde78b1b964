"""How a study grows: what a new version of it adds, and whether results had been seen by then."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from ablate import journal
from ablate.journal import Entry, State
from ablate.plan import Plan
from trials.spec import NUMERICS, Json, digest


def next_revision(
    plan: Plan,
    state: State,
    stale: int,
    warm: Mapping[str, Sequence[Mapping[str, Json]]] = MappingProxyType({}),
) -> Entry | None:
    """The event that records the study as it is now, or None when nothing has changed.

    Args:
        plan: the resolved plan.
        state: the journal's state.
        stale: ended trials of the journal that the plan does not ask for any more.
        warm: cell key -> what its search is told before its first ask.
    """
    contents = _contents(plan)
    if warm:
        contents["warm"] = warm
    if plan.measured:
        contents["measured"] = plan.measured
    identity = digest({"study": plan.revision_digest, "contents": contents})
    last = state.revisions[-1] if state.revisions else None
    if last is not None and last.digest == identity:
        return None
    return journal.revised(
        revision=len(state.revisions) + 1,
        study=plan.study.to_json(),
        digest=identity,
        added=_added(plan, state, contents, stale) if last is not None else (),
        after_results=results_seen(state),
        plan_counts=plan.counts.to_json(),
        contents=contents,
    )


def results_seen(state: State) -> bool:
    """Whether a trial of the stage that feeds the report has ended with a score.

    Where a part of the journal is lost that cannot be told, and is taken to be so.
    """
    return bool(state.mended) or any(
        trial.status == "finished" and trial.spec_json["stage"] == "confirm"
        for trial in state.trials.values()
    )


def first_seen(state: State) -> Callable[[str, int, str], tuple[int, bool]]:
    """When a cell's trials entered the study.

    Returns:
        (cell, seed, stage) -> the first revision that has them, and whether it came after
        results were seen.
    """
    # Asked once a trial: a look into a list of cells each time would be the square of their number.
    known: list[tuple[frozenset[Json], frozenset[Json]]] = []

    def answer(cell: str, seed: int, stage: str) -> tuple[int, bool]:
        for revision in state.revisions[len(known) :]:
            contents = revision.contents
            known.append((frozenset(contents["cells"]), frozenset(contents["seeds"])))
        for revision, (cells, seeds) in zip(state.revisions, known, strict=True):
            if cell in cells and (stage != "confirm" or seed in seeds):
                return revision.revision, revision.after_results
        return len(state.revisions), False

    return answer


def late_claims(state: State) -> frozenset[str]:
    """Ids of the claims that were stated after results had been seen."""
    first: dict[str, bool] = {}
    for revision in state.revisions:
        for claim in revision.contents["claims"]:
            first.setdefault(canonical(claim), revision.after_results)
    return frozenset(key for key, late in first.items() if late)


def canonical(claim: Mapping[str, Json]) -> str:
    """A claim's identity: all it says, not only its name."""
    return digest(claim)


def _contents(plan: Plan) -> dict[str, Json]:
    return {
        **({"looks": list(plan.looks)} if plan.looks else {}),
        "cells": [cell.key for cell in plan.cells],
        "names": [cell.name for cell in plan.cells],
        "seeds": list(plan.confirm_seeds),
        "claims": [claim.model_dump(mode="json") for claim in plan.study.claims],
    }


def _added(plan: Plan, state: State, contents: Mapping[str, Json], stale: int) -> list[str]:
    """What is new against all earlier revisions, in words."""
    known: dict[str, set[str]] = {key: set() for key in ("cells", "seeds", "claims")}
    for revision in state.revisions:
        for key, found in known.items():
            found |= {digest(item) for item in revision.contents[key]}

    def new(key: str) -> list[int]:
        return [i for i, item in enumerate(contents[key]) if digest(item) not in known[key]]

    words = [f"cell {contents['names'][i]}" for i in new("cells")]
    seeds = [str(contents["seeds"][i]) for i in new("seeds")]
    words += [f"seeds {', '.join(seeds)}"] if seeds else []
    words += [f"claim {contents['claims'][i]['id']}" for i in new("claims")]
    before = [revision.contents.get("looks") for revision in state.revisions]
    if "looks" in contents and contents["looks"] not in before:
        words.append(f"looks at {', '.join(map(str, contents['looks']))} seeds")
    told = {key for r in state.revisions for key in r.contents.get("warm", {})}
    learned = sum(len(v) for k, v in contents.get("warm", {}).items() if k not in told)
    if learned:
        words.append(f"{learned} asks of study {plan.warm_start} told first")
    words += _changed(plan, state)
    if stale:
        words.append(f"{stale} ended trials of cells that have changed or gone are now stale")
    return words or ["settings that change no cell, seed or claim"]


def _changed(plan: Plan, state: State) -> Iterator[str]:
    """What the trials so far were computed from, where that is another thing now."""
    for key, name, what in (
        ("data_digest", "task", "the data of {} are not those of before"),
        ("backbone_digest", "backbone", "the backbone {} is not that of before"),
    ):
        known: dict[Json, set[Json]] = defaultdict(set)
        for trial in state.trials.values():
            known[trial.spec_json.get(name)].add(trial.spec_json.get(key))
        now = {getattr(c.template, name): getattr(c.template, key) for c in plan.cells}
        yield from (what.format(n) for n, v in now.items() if n in known and v not in known[n])
    versions = {trial.spec_json.get("numerics") for trial in state.trials.values()}
    if versions and NUMERICS not in versions:
        old = ", ".join(sorted(map(str, versions)))
        yield f"this package computes numbers of version {NUMERICS}, not {old}"
