"""Which nuisance values a cell may have, named in the plan before anything runs."""

from typing import Any

import pytest

from ablate import constraints
from ablate.plan import Plan, plan
from ablate.study import Study
from trials.errors import UserError

MINI = {"method": "lora_mini", "rank": 8, "b": 32}
SPACE = {"a": {"choices": [4, 16, 32]}, "learning_rate": {"choices": [1e-3, 1e-2]}}


def planned(space: Any = SPACE, **tune: Any) -> Plan:
    return plan(
        Study.from_dict(
            {
                "study": "s",
                "tasks": ["tiny_acceptability", "tiny_paraphrase"],
                "backbones": ["tiny"],
                "targets": ["query"],
                "arms": [{"method": "lora"}, MINI],
                "train": {"steps": 4},
                "tune": {"budget": {"trials": 40}, "space": space, **tune},
            }
        )
    )


def test_each_excluded_combination_is_named_with_its_reason() -> None:
    rule = "task != 'tiny_paraphrase' or learning_rate < 1e-2"
    made = planned(constraints=["rank <= a", rule])
    found = [(i["cell"], i["values"], i["reason"]) for i in made.to_json()["infeasible"]]
    mini, lora = "lora_mini rank=8 b=32 on {}, tiny", "lora on {}, tiny"
    assert found == [
        (mini.format("tiny_acceptability"), {"a": 4, "learning_rate": 1e-3}, "rank <= a"),
        (mini.format("tiny_acceptability"), {"a": 4, "learning_rate": 1e-2}, "rank <= a"),
        (lora.format("tiny_paraphrase"), {"learning_rate": 1e-2}, rule),
        (mini.format("tiny_paraphrase"), {"a": 4, "learning_rate": 1e-3}, "rank <= a"),
        (mini.format("tiny_paraphrase"), {"a": 4, "learning_rate": 1e-2}, "rank <= a"),
        (mini.format("tiny_paraphrase"), {"a": 16, "learning_rate": 1e-2}, rule),
        (mini.format("tiny_paraphrase"), {"a": 32, "learning_rate": 1e-2}, rule),
    ]


def test_a_grid_counts_the_combinations_that_hold() -> None:
    made = planned(constraints=["rank <= a"], sampler={"name": "grid"})
    assert [made.num_asks(cell) for cell in made.cells] == [2, 4, 2, 4]
    assert made.counts.search == 12


def test_a_cell_without_any_value_that_holds_is_left_out() -> None:
    made = planned({"a": {"choices": [2, 4]}}, constraints=["rank <= a"])
    assert [cell.arm.method for cell in made.cells] == ["lora", "lora"]
    assert [reason for _, reason in made.excluded] == [
        "no values of its nuisances hold: rank <= a"
    ] * 2
    with pytest.raises(UserError, match="every combination of arm, task and backbone is excluded"):
        planned({"learning_rate": {"choices": [1e-3]}}, constraints=["learning_rate < 1e-3"])


def test_an_endless_space_is_not_listed_but_judged_draw_by_draw() -> None:
    made = planned({"a": {"choices": [4, 16]}, "learning_rate": {"low": 1e-4, "high": 1e-2}},
                   constraints=["rank <= a"])  # fmt: skip
    assert made.to_json()["infeasible"] == []
    mini = made.cells[1]
    assert made.violated(mini, {"a": 4, "learning_rate": 1e-3}) == "rank <= a"
    assert made.violated(mini, {"a": 16, "learning_rate": 1e-3}) is None


def test_a_large_space_is_not_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constraints, "MOST_LISTED", 5)
    made = planned(constraints=["rank <= a"])
    assert made.infeasible(made.cells[1]) == ()
