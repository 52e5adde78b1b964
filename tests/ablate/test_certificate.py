"""What a reader judges the fairness of a search by."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from fake_training import FACTS, TUNE, conductor, drive, nobody_crashes, planned, undisturbed

from ablate.certificate import certificate
from ablate.journal import Journal, State
from ablate.plan import Plan
from ablate.stats.document import schema
from ablate.stats.tuning_curve import expected_best
from trials.spec import TrialResult


def ran(folder: Path, fate: Any = nobody_crashes, **changes: Any) -> tuple[Plan, State]:
    made = planned(**changes)
    return made, undisturbed(made, folder / "journal", fate)


def test_each_cell_says_what_it_was_given_and_found(tmp_path: Path) -> None:
    def fate(spec: Any) -> int | None:
        return 2 if spec.stage == "search" and spec.hyperparameters["rank"] == 16 else None

    made, state = ran(tmp_path, fate)
    found = certificate(made, state, FACTS)
    assert found["common_asks"] == 6
    assert found["curves_at"] == [1, 2, 3, 4, 5, 6]
    lora, tlora = found["cells"]
    assert (lora["arm"], lora["asks"], lora["nuisances"]) == ("lora rank=4", 6, ["learning_rate"])
    assert lora["complete"] + lora["pruned"] == 6
    trials = [state.trials[t] for ask in state.asks[made.cells[0].key] for t in ask.trials]
    scores = [t.result_json["scores"]["held_out"]["accuracy"] for t in trials  # type: ignore[index]
              if t.status == "finished"]  # fmt: skip
    assert lora["complete"] == len(scores)
    assert lora["device_seconds"] == 3.0 * len(scores) + 1.0 * lora["pruned"]
    assert lora["expected_best"] == expected_best(scores, 6 - len(scores), most=6)
    assert (tlora["complete"], tlora["failed"], tlora["expected_best"]) == (0, 6, [None] * 6)
    assert tlora["chosen"] == []
    json.dumps(found, allow_nan=False)


def test_what_another_study_trained_took_no_time_of_this_one(tmp_path: Path) -> None:
    made, state = ran(tmp_path)
    before = certificate(made, state, FACTS)["cells"][0]
    trial = state.trials[state.asks[made.cells[0].key][0].trials[0]]
    trial.reused_from = "other"
    after = certificate(made, state, FACTS)["cells"][0]
    assert trial.result_json is not None
    assert after["reused"] == before["reused"] + 1
    assert after["device_seconds"] == before["device_seconds"] - trial.result_json["seconds"]


def test_shrinkage_compares_search_and_fresh_seeds_on_one_split(tmp_path: Path) -> None:
    made, state = ran(tmp_path, confirm={"seeds": 3, "top": 2})
    for cell, row in zip(made.cells, certificate(made, state, FACTS)["cells"], strict=True):
        assert [item["rank"] for item in row["chosen"]] == [1, 2]
        for item in row["chosen"]:
            ask = state.asks[cell.key][item["ask"]]
            (searched,) = (state.trials[t].result_json for t in ask.trials)
            fresh = [
                t.result_json["scores"]["held_out"]["accuracy"]  # type: ignore[index]
                for t in state.trials.values()
                if t.cell == cell.key and t.rank == item["rank"]
            ]
            assert item["n"] == len(fresh) == 3
            assert item["search_score"] == searched["scores"]["held_out"]["accuracy"]  # type: ignore[index]
            assert item["confirm_mean"] == pytest.approx(sum(fresh) / 3)
            assert item["shrinkage"] == pytest.approx(item["search_score"] - item["confirm_mean"])
            assert item["values"] == ask.values


def test_before_anything_is_confirmed_shrinkage_is_absent(tmp_path: Path) -> None:
    made = planned()
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(made, record)
        while (given := course.next()) is not None and given.spec.stage == "search":
            scores = {"held_out": {"accuracy": 0.5}}
            course.finish(given.spec.id, TrialResult(status="finished", scores=scores))
        (item,) = certificate(made, record.state, FACTS)["cells"][0]["chosen"]
    assert item["search_score"] == 0.5
    assert (item["confirm_mean"], item["n"], item["shrinkage"]) == (None, 0, None)


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ({"low": 1e-4, "high": 1e-2, "log": True}, 9.9e-3,
         {"end": "high", "try": [1e-4, 0.1]}),
        ({"low": 1e-4, "high": 1e-2, "log": True}, 1e-4, {"end": "low", "try": [1e-5, 1e-2]}),
        ({"low": 1e-4, "high": 1e-2, "log": True}, 1e-3, None),
        ({"choices": [1e-4, 1e-3, 1e-2]}, 1e-2, {"end": "high", "try": [1e-4, 0.1]}),
        ({"choices": [1e-4, 1e-3, 1e-2]}, 1e-3, None),
    ],
)  # fmt: skip
def test_a_best_value_at_an_edge_names_the_wider_range(
    tmp_path: Path, entry: dict[str, Any], value: float, expected: Any
) -> None:
    made = planned(tune={**TUNE, "space": {"learning_rate": entry}})
    edges = chosen_edges(tmp_path, made, {"learning_rate": value})
    wanted = [] if expected is None else [{"nuisance": "learning_rate", "value": value, **expected}]
    assert edges == wanted


def chosen_edges(folder: Path, made: Plan, values: dict[str, Any]) -> list[Any]:
    from ablate import journal

    with Journal.open(folder / "journal") as record:
        conductor(made, record)
        cell = made.cells[0]
        record.append(journal.asked(cell.key, 0, values, ()))
        record.append(journal.chosen(cell.key, 1, 0, values))
        found = certificate(made, record.state, FACTS)["cells"][0]["edges"]
    assert isinstance(found, list)
    return found


def test_no_range_is_offered_that_the_field_may_not_have(tmp_path: Path) -> None:
    """Dropout ends at 0, and a rank is a whole number."""
    space = {"dropout.adapter": {"low": 0.0, "high": 0.5}}
    made = planned(tune={**TUNE, "space": space})
    assert chosen_edges(tmp_path / "a", made, {"dropout.adapter": 0.0}) == []
    made = planned(tune={**TUNE, "space": {"batch_size": {"low": 2, "high": 16, "log": True}}})
    (edge,) = chosen_edges(tmp_path / "b", made, {"batch_size": 16})
    assert edge["try"] == [2, 45]


def test_unequal_budgets_and_untuned_sides_are_warned_of(tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-2, "when": {"method": "lora"}}}
    made, state = ran(tmp_path, tune={**TUNE, "space": space}, baselines=[{"method": "tlora"}])
    (warning,) = [w for w in certificate(made, state, FACTS)["warnings"] if "was tuned" in w]
    labels = {cell.arm.method: cell.arm.label for cell in made.cells}
    assert warning.startswith(f"{labels['lora']} was tuned and {labels['tlora']} was not")
    with Journal.open(tmp_path / "cut") as record:
        course = conductor(planned(), record)
        for _ in range(3):
            given = course.next()
            assert given is not None
            course.finish(given.spec.id, TrialResult(status="crashed", reason="x"))
        found = certificate(planned(), record.state, FACTS)
    assert found["common_asks"] == 1
    assert any(w.startswith("Asks differ: 1 of ") for w in found["warnings"])


def test_it_is_what_the_schema_says(tmp_path: Path) -> None:
    import jsonschema

    made, state = ran(tmp_path)
    rules = schema("findings")
    document = json.loads(json.dumps(certificate(made, state, FACTS)))
    jsonschema.validate(document, {"$ref": "#/$defs/search", "$defs": rules["$defs"]})


def test_it_does_not_depend_on_what_ended_first(tmp_path: Path) -> None:
    made, state = ran(tmp_path)
    with Journal.open(tmp_path / "other") as record:
        drive(conductor(made, record), random.Random(7), 4, nobody_crashes)
        assert certificate(made, record.state, FACTS) == certificate(made, state, FACTS)
