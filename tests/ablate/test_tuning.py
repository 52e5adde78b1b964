"""The searches of a study, proven before anything runs."""

import importlib.util
from typing import Any

import pytest

from ablate import tuning
from ablate.plan import Plan, plan
from ablate.state import Ask, Revision, State
from ablate.study import Study
from ablate.tally import TaskFacts
from trials.errors import UserError
from trials.spec import Splits

FACTS = {"tiny_acceptability": TaskFacts("accuracy", "higher", {"accuracy": "higher"}, {})}
SPACE = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "alpha": {"choices": [8, 16]}}


def planned(**tune: Any) -> Plan:
    study = Study.from_dict(
        {
            "study": "s",
            "tasks": ["tiny_acceptability"],
            "backbones": ["tiny"],
            "targets": ["query"],
            "arms": [{"method": "lora"}, {"method": "mtlora"}],
            "train": {"steps": 4},
            "tune": {"budget": {"trials": 4}, "space": SPACE, **tune},
        }
    )
    data = {"tiny_acceptability": ("d", Splits())}
    return plan(study, data=data, backbones={"tiny": "b"})


def mistakes(**tune: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        tuning.require(planned(**tune), FACTS)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "tune",
    [
        {},
        {"sampler": {"name": "tpe", "multivariate": True}},
        {"pruner": {"name": "hyperband", "reduction_factor": 2}},
        {"objectives": ["accuracy", "trainable_parameters", "seconds"]},
        {"objectives": ["primary"], "budget": {"gpu_seconds": 60}},
    ],
)
def test_what_can_be_searched_passes(tune: dict[str, Any]) -> None:
    tuning.require(planned(**tune), FACTS)


@pytest.mark.parametrize(
    ("tune", "expected"),
    [
        ({"sampler": {"name": "tpe", "multivariat": True}},
         "tune.sampler.multivariat: sampler 'tpe' has no option 'multivariat'; "
         "did you mean 'multivariate'?"),
        ({"pruner": {"name": "median", "n_startup": 2}},
         "tune.pruner.n_startup: pruner 'median' has no option 'n_startup'; "
         "did you mean 'n_startup_trials'?"),
        ({"pruner": {"name": "threshold"}}, "tune.pruner: pruner 'threshold': "),
        ({"sampler": {"name": "brute_force"}},
         "tune.space.learning_rate: sampler 'brute_force' needs choices or a step"),
        ({"objectives": ["primary", "acc"]},
         "tune.objectives[1]: task tiny_acceptability has no objective called 'acc'"),
        ({"objectives": ["primary", "seconds"], "pruner": {"name": "median"}},
         "tune.pruner: pruner 'median' compares one score; leave it out with several objectives"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_key_once(tune: dict[str, Any], expected: str) -> None:
    found = mistakes(**tune)
    assert len(found) == 1, found
    assert found[0].startswith(expected)


@pytest.mark.skipif(importlib.util.find_spec("cmaes") is not None, reason="cmaes is installed")
def test_a_sampler_whose_package_is_missing_says_what_to_install() -> None:
    (found,) = mistakes(sampler={"name": "cmaes"})
    assert found == "tune.sampler: sampler 'cmaes' needs the package 'cmaes': pip install cmaes"


def test_objectives_and_pruner_are_both_reported() -> None:
    found = mistakes(objectives=["acc"], pruner={"name": "median", "x": 1})
    assert [text.partition(":")[0] for text in found] == ["tune.objectives[0]", "tune.pruner.x"]


def test_keys_by_which_a_search_is_not_repeatable_are_in_the_plan() -> None:
    made = planned(objectives=["primary", "seconds"], budget={"gpu_seconds": 60})
    expected = ["objectives: seconds", "budget: gpu_seconds"]
    assert made.to_json()["measured"] == expected
    assert planned().to_json()["measured"] == []


def test_a_default_objective_leaves_cells_and_digests_as_they_were() -> None:
    plain, named = planned(), planned(objectives=["primary"])
    assert [c.key for c in plain.cells] == [c.key for c in named.cells]
    assert plain.revision_digest == named.revision_digest
    assert "warm_start" not in plain.study.to_json()["tune"]
    assert plain.study.to_json()["tune"]["budget"] == {"trials": 4}
    other = planned(objectives=["primary", "trainable_parameters"])
    assert not {c.key for c in plain.cells} & {c.key for c in other.cells}


def test_what_an_earlier_study_asked_and_never_planned_teaches_nothing() -> None:
    """What a kill between the two events leaves."""
    made = planned()
    cell = made.cells[0]
    contents = {"names": [cell.name], "cells": ["earlier"]}
    earlier = State(
        revisions=[Revision(1, {}, "d", (), False, {}, contents, 0.0)],
        asks={"earlier": [Ask(0, {"learning_rate": 1e-3, "alpha": 8}, ("a" * 64,))]},
    )
    assert tuning.warm(made, FACTS, State(), earlier) == {}
