"""Growth: what is new, and whether results had been seen."""

from typing import Any

from mini_study import keys

from ablate import revision
from ablate.journal import Event, Mended, Revision, State, Trial
from ablate.plan import Plan, plan
from ablate.study import Study
from trials.spec import NUMERICS, Splits


def planned(**changes: Any) -> Plan:
    study = Study.from_dict(keys(**changes))
    data = {t.name: ("d", Splits()) for t in study.tasks}
    return plan(study, data=data, backbones={"tiny": "b"})


def record(state: State, made: Plan, stale: int = 0) -> Revision | None:
    entry = revision.next_revision(made, state, stale)
    if entry is None:
        return None
    state.apply(Event(state.last_seq + 1, 0.0, entry.kind, entry.data))
    return state.revisions[-1]


def show(state: State, stage: str, status: str = "finished") -> None:
    """A trial has ended."""
    name = f"{stage} {status}"
    state.trials[name] = Trial(name, {"stage": stage}, "c", None, None, 1, False, status=status)


def claim(**changes: Any) -> dict[str, Any]:
    return {**keys()["claims"][0], **changes}


def test_the_first_version_adds_nothing_in_words() -> None:
    first = record(State(), planned())
    assert first is not None
    assert (first.revision, first.added, first.after_results) == (1, (), False)
    assert first.plan_counts == {"search": 4, "confirm": 4}
    assert first.contents["seeds"] == [0, 1]
    assert first.study["study"] == "mini"


def test_the_same_study_is_no_revision() -> None:
    state = State()
    record(state, planned())
    assert record(state, planned()) is None
    assert len(state.revisions) == 1


def test_what_is_new_is_said_in_words() -> None:
    state = State()
    record(state, planned())
    made = record(
        state,
        planned(
            confirm={"seeds": 4},
            tasks=["tiny_acceptability", "tiny_paraphrase"],
            claims=[claim(), claim(id="other", kind="worse")],
        ),
    )
    assert made is not None
    assert made.revision == 2
    assert all(w.startswith("cell ") and "tiny_paraphrase" in w for w in made.added[:2])
    assert made.added[2:] == ("seeds 2, 3", "claim other")


def test_words_alone_change_no_cell() -> None:
    state = State()
    record(state, planned())
    made = record(state, planned(question="Other words?"))
    assert made is not None
    assert made.added == ("settings that change no cell, seed or claim",)


def test_going_back_to_a_version_adds_nothing_new() -> None:
    state = State()
    record(state, planned(confirm={"seeds": 3}))
    record(state, planned())
    made = record(state, planned(confirm={"seeds": 3}))
    assert made is not None
    assert made.added == ("settings that change no cell, seed or claim",)


def test_stale_trials_are_counted() -> None:
    state = State()
    record(state, planned())
    made = record(state, planned(train={"steps": 6}), stale=8)
    assert made is not None
    assert made.added[-1].startswith("8 ended trials")


def test_only_a_confirmed_score_counts_as_results_seen() -> None:
    state = State()
    assert not revision.results_seen(state)
    show(state, "search")
    show(state, "confirm", "crashed")
    show(state, "confirm", "running")
    assert not revision.results_seen(state)
    show(state, "confirm")
    assert revision.results_seen(state)


def test_trials_belong_to_the_first_version_that_has_them() -> None:
    state = State()
    small, big = (
        planned(),
        planned(confirm={"seeds": 3}, tasks=["tiny_acceptability", "tiny_paraphrase"]),
    )
    record(state, small)
    show(state, "confirm")
    record(state, big)
    first_seen = revision.first_seen(state)
    old, new = small.cells[0].key, big.cells[-1].key
    assert first_seen(old, 0, "confirm") == (1, False)
    assert first_seen(old, 1_000_000, "search") == (1, False)
    assert first_seen(old, 2, "confirm") == (2, True)
    assert first_seen(new, 0, "confirm") == (2, True)
    assert first_seen(new, 1_000_000, "search") == (2, True)


def test_a_claim_is_late_by_all_that_it_says() -> None:
    """The same name with another direction is another claim."""
    state = State()
    first = planned()
    record(state, first)
    show(state, "confirm")
    turned = planned(claims=[claim(kind="worse"), claim(id="same")])
    record(state, turned)
    late = revision.late_claims(state)
    named = {c.kind: revision.canonical(c.model_dump(mode="json")) for c in turned.study.claims}
    assert late == set(named.values())
    (original,) = first.study.claims
    assert revision.canonical(original.model_dump(mode="json")) not in late


def test_a_claim_stated_again_is_not_late() -> None:
    state = State()
    record(state, planned())
    show(state, "confirm")
    record(state, planned(claims=[]))
    record(state, planned())
    assert not revision.late_claims(state)


def test_other_data_backbones_and_numerics_are_named() -> None:
    """A resumed study says what its earlier trials were computed from, and does not mix them."""
    state = State()
    first = planned()
    record(state, first)
    spec = first.cells[0].template.to_json()
    state.trials["t"] = Trial("t", {**spec, "numerics": 0}, "c", None, None, 1, False)
    data = {t.name: ("other", Splits()) for t in first.study.tasks}
    made = record(state, plan(first.study, data=data, backbones={"tiny": "other"}))
    assert made is not None
    assert made.added[-3:] == (
        "the data of tiny_acceptability are not those of before",
        "the backbone tiny is not that of before",
        f"this package computes numbers of version {NUMERICS}, not 0",
    )


def test_what_came_after_a_damage_counts_as_after_results() -> None:
    """Whether results had been seen cannot be told from a journal that lost a part."""
    state = State()
    assert not revision.results_seen(state)
    state.mended.append(Mended("000001.jsonl", 3, "the line does not match its check", 7))
    assert revision.results_seen(state)
