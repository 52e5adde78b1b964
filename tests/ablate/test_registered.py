"""Which questions a race asks, as a study's claims and baselines state them."""

from typing import Any

import pytest
from mini_study import keys

from ablate import registered
from ablate.journal import Event, State
from ablate.plan import Plan, plan
from ablate.race import Race
from ablate.registered import Batch
from ablate.study import Study
from trials.spec import Splits

ARMS = [
    {"method": "lora", "rank": 4},
    {"method": "tlora", "rank": 4},
    {"method": "tlora", "rank": 8},
]
BETTER = {"id": "c", "kind": "better", "treatment": {"method": "tlora", "rank": 4},
          "control": {"method": "lora"}}  # fmt: skip
HERE = {"task": "tiny_acceptability"}


def planned(**changes: Any) -> Plan:
    given = {"confirm": None, "race": {"looks": [5, 8]}, "claims": [], "arms": ARMS, **changes}
    study = Study.from_dict(keys(**given))
    data = {t.name: ("d", Splits()) for t in study.tasks}
    return plan(study, data=data, backbones={b.name: b.name for b in study.backbones})


def only(made: Plan, state: State | None = None) -> Batch:
    (batch,) = registered.batches(made, state or State())
    return batch


def arms(made: Plan, race: Race) -> dict[str, set[str]]:
    """Question -> arms of its cells."""
    names = {cell.key: cell.arm.id for cell in made.cells}
    return {q.id: {names[key] for key in q.cells} for q in race.questions}


def test_a_fixed_number_of_seeds_is_no_race() -> None:
    assert registered.batches(planned(race=None, confirm={"seeds": 3}), State()) == []


def test_without_claims_every_mean_beside_a_baseline_is_asked() -> None:
    made = planned()
    batch = only(made)
    assert (batch.revision, batch.late, batch.race.looks) == (1, False, (5, 8))
    assert {q.kind for q in batch.race.questions} == {"mean"}
    assert sorted(map(len, arms(made, batch.race).values())) == [2, 2]


def test_claims_alone_are_asked_where_there_are_some() -> None:
    made = planned(claims=[{**BETTER, **HERE}])
    assert list(arms(made, only(made).race).values()) == [{"lora rank=4", "tlora rank=4"}]


def test_a_claim_over_tasks_is_one_question() -> None:
    made = planned(
        tasks=["tiny_acceptability", "tiny_paraphrase"], claims=[{**BETTER, "over": "tasks"}]
    )
    (question,) = only(made).race.questions
    assert question.id == "c/tasks"
    assert len(question.cells) == 4
    assert len(only(made).comparisons["c/tasks"]) == 2


def test_a_claim_on_two_backbones_is_a_question_on_each() -> None:
    made = planned(backbones=["tiny", "other/model"], claims=[{**BETTER, **HERE}])
    batch = only(made)
    assert [q.id.partition(":")[0] for q in batch.race.questions] == [
        "c on tiny", "c on other/model",
    ]  # fmt: skip
    parts = [part for found in batch.comparisons.values() for part in found]
    assert all(part.confirmatory and not part.late for part in parts)


def test_margins_and_least_gains_are_handed_on() -> None:
    same = {**BETTER, **HERE, "id": "same", "kind": "equivalent", "margin": 0.5}
    made = planned(claims=[{**BETTER, **HERE, "by": 0.1}, same])
    first, second = only(made).race.questions
    assert (first.kind, first.by, first.margin) == ("mean", 0.1, None)
    assert (second.kind, second.margin) == ("equivalence", 0.5)


@pytest.mark.parametrize("seen", [False, True])
def test_what_comes_before_any_result_joins_the_family(
    seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards it is a batch of its own, with the looks of its day."""
    from ablate import revision

    state = State()
    first = planned(claims=[{**BETTER, **HERE}])
    entry = revision.next_revision(first, state, 0)
    assert entry is not None
    state.apply(Event(1, 0.0, entry.kind, entry.data))
    monkeypatch.setattr(revision, "results_seen", lambda state: seen)
    claims = [{**BETTER, **HERE}, {**BETTER, **HERE, "id": "d", "kind": "different"}]
    found = registered.batches(planned(claims=claims), state)
    ids = [[q.id[0] for q in batch.race.questions] for batch in found]
    assert ids == ([["c"], ["d"]] if seen else [["c", "d"]])
    if seen:
        (late,) = found[1].comparisons.values()
        assert (late[0].family, late[0].confirmatory) == ("claims: added in revision 2", False)
