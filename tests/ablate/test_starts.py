"""Starting from another task's adapter, in studies and their plans."""

from typing import Any

import pytest

from ablate.plan import Plan, plan
from ablate.starts import in_order
from ablate.study import Study
from trials.errors import UserError


def keys(**changes: Any) -> dict[str, Any]:
    return {
        "study": "s",
        "tasks": ["rte", "mrpc", "mnli"],
        "backbones": ["roberta-base"],
        "targets": ["query"],
        "arms": [{"method": "lora"}, {"method": "tlora"}],
        "train": {"steps": 4},
        "overrides": [
            {"when": {"task": ["rte", "mrpc"]}, "train": {"start_from": {"task": "mnli"}}}
        ],
        **changes,
    }


def planned(**changes: Any) -> Plan:
    return plan(Study.from_dict(keys(**changes)))


def refused(**changes: Any) -> list[str]:
    with pytest.raises(UserError) as error:
        planned(**changes)
    return [str(problem) for problem in error.value.problems]


def test_a_cell_starts_from_the_same_arm_on_the_other_task() -> None:
    made = planned()
    for cell in made.cells:
        if cell.task == "mnli":
            assert cell.source is None
            assert cell.key in made.sources
            continue
        source = made.cell(str(cell.source))
        assert (source.task, source.arm, source.backbone) == ("mnli", cell.arm, cell.backbone)
        assert cell.template.recipe.start_from == "mnli"
    assert [c.task for c in made.in_order] == ["mnli", "rte", "mnli", "rte", "mrpc", "mrpc"]
    assert len(made.sources) == 2


def test_order_is_that_of_the_plan_where_nothing_waits() -> None:
    made = planned(overrides=[])
    assert in_order(made.cells) == made.cells
    assert made.sources == frozenset()


def test_a_later_override_may_take_it_back() -> None:
    back = {"when": {"task": "mrpc", "method": "tlora"}, "train": {"start_from": None}}
    made = planned(overrides=[*keys()["overrides"], back])
    waits = {(c.task, c.arm.method): c.source is not None for c in made.cells}
    assert not waits["mrpc", "tlora"]
    assert waits["mrpc", "lora"]
    assert waits["rte", "tlora"]


def test_without_it_nothing_about_a_trial_changes() -> None:
    """Ids that are in journals stay those of their trials."""
    alone = planned(overrides=[], tasks=["rte"])
    never = {"when": {"task": "rte"}, "train": {"start_from": None}}
    beside = planned(tasks=["mnli", "rte"], overrides=[never])
    (mine,) = (c for c in beside.cells if (c.task, c.arm.method) == ("rte", "lora"))
    assert mine.key == alone.cells[0].key
    assert mine.template == alone.cells[0].template
    assert "source" not in mine.template.to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"steps": 4, "start_from": {"task": "mnli"}}},
         "train.start_from.task: mnli would start from its own adapter; give start_from to the "
         "other tasks alone, in overrides"),
        ({"train": {"steps": 4, "start_from": {"task": "nmli"}}, "overrides": []},
         "train.start_from.task: no task of this study called 'nmli'; did you mean 'mnli'?"),
        ({"train": {"steps": 4, "start_from": {"tsak": "mnli"}}, "overrides": []},
         "train.start_from.tsak: unknown key 'tsak'; did you mean 'task'?"),
    ],
)  # fmt: skip
def test_mistakes_are_found_at_once(changes: dict[str, Any], message: str) -> None:
    assert message in refused(**changes)


def test_cycles_are_mistakes_each_once_with_their_place() -> None:
    texts = [{"when": {"task": a}, "train": {"start_from": {"task": b}}}
             for a, b in (("rte", "mrpc"), ("mrpc", "mnli"), ("mnli", "rte"))]  # fmt: skip
    (found,) = refused(overrides=texts)
    assert found == (
        "overrides[0].train.start_from.task: rte starts from mrpc, which starts from mnli, which "
        "starts from rte: none of them could be the first"
    )


def test_a_source_that_is_left_out_is_a_mistake() -> None:
    (found,) = refused(
        exclude=["task == 'mnli' and method == 'tlora'"],
        tasks=["rte", "mnli"],
        overrides=[{"when": {"task": "rte"}, "train": {"start_from": {"task": "mnli"}}}],
    )
    assert found.startswith("tlora on rte, roberta-base starts from its adapter on mnli")


FREEZE = {"steps": 4, "head": "freeze"}


def test_a_frozen_head_is_the_checkpoints_or_the_sources() -> None:
    made = planned(train=FREEZE)
    starts = {c.task: c.template.recipe.head_start for c in made.cells}
    assert starts == {"rte": "source", "mrpc": "source", "mnli": "backbone"}
    assert {c.template.recipe.head_start for c in planned().cells} == {"new"}


@pytest.mark.parametrize(
    ("method", "name", "train", "message"),
    [
        ("full", "dropout", {"dropout": {"adapter": 0.1}},
         "train.dropout.adapter: method 'full' has no input of an update to drop; an override with "
         "when: {method: full} can say 0.0"),
        ("bitfit", "dropout", {"dropout": {"adapter": 0.1}},
         "train.dropout.adapter: method 'bitfit' has no input of an update to drop; an override "
         "with when: {method: bitfit} can say 0.0"),
        ("full", "base", {"base_precision": "nf4"},
         "train.base_precision: method 'full' changes a copy of the backbone itself, which nf4 "
         "cannot take; an override with when: {method: full} can say same"),
    ],
)  # fmt: skip
def test_what_a_method_would_pass_over_is_said(
    method: str, name: str, train: dict[str, Any], message: str
) -> None:
    arms = [{"method": "lora"}, {"method": method}]
    base: dict[str, Any] = {"arms": arms, "overrides": [], "train": {"steps": 4, **train}}
    assert refused(**base) == [message]
    usual = {"dropout": {"dropout": {"adapter": 0.0}}, "base": {"base_precision": "same"}}[name]
    assert planned(**{**base, "overrides": [{"when": {"method": method}, "train": usual}]})
    assert planned(**{**base, "arms": [{"method": "lora"}]})


def test_the_place_of_what_is_passed_over_is_where_it_was_written() -> None:
    override = {"when": {"task": "rte"}, "train": {"dropout": {"adapter": 0.1}}}
    (found,) = refused(arms=[{"method": "full"}], overrides=[override])
    assert found.startswith("overrides[0].train.dropout.adapter: ")
    (found,) = refused(arms=[{"method": "full", "dropout.adapter": 0.1}], overrides=[])
    assert found.startswith("arms[0].dropout.adapter: ")


def test_what_is_tuned_for_a_method_that_does_not_read_it() -> None:
    def tune(**more: Any) -> dict[str, Any]:
        space = {"dropout.adapter": {"choices": [0.0, 0.1], **more}}
        return {"budget": {"trials": 2}, "space": space}

    arms = [{"method": "lora"}, {"method": "full"}]
    found = refused(arms=arms, tune=tune(), overrides=[])
    assert found == [
        "tune.space.dropout.adapter: method 'full' does not read it; say `when` it is tuned"
    ]
    assert planned(arms=arms, tune=tune(when={"method": "lora"}), overrides=[])
