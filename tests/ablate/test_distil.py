"""From the best configurations to a study whose trials are the same."""

from pathlib import Path
from typing import Any

import pytest

from ablate.distil import Origin, distil
from ablate.plan import plan
from ablate.study import Study
from trials.errors import UserError

KEYS: dict[str, Any] = {
    "study": "first",
    "question": "Which?",
    "tasks": ["cola", "rte"],
    "backbones": ["tiny"],
    "targets": ["query", "value"],
    "arms": [
        {"method": "lora", "rank": {"each": [4, 8]}},
        {"method": "mtlora", "structure": "shim", "rank": 8, "label": "it's mine"},
    ],
    "baselines": [{"method": "lora"}, {"method": "mtlora"}],
    "train": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "schedule": {"warmup": 0.1}},
    "overrides": [{"when": {"task": "rte"}, "train": {"epochs": 5}}],
    "tune": {
        "budget": {"trials": 2},
        "space": {
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "alpha": {"choices": [8, 16]},
            "clip": {"choices": [None, 0.5]},
        },
    },
    "confirm": {"seeds": 3},
    "claims": [
        {"id": "c", "kind": "better", "treatment": {"method": "mtlora"},
         "control": {"method": "lora", "rank": 8}, "task": "cola"}
    ],
}  # fmt: skip


def keys(**changes: Any) -> dict[str, Any]:
    return {**KEYS, **changes}


def row(arm: str, task: str, study: str = "first", **values: Any) -> dict[str, Any]:
    """As `ablate.configurations` says it; a value of none is missing there."""
    tuned = {"learning_rate": 3e-3, "alpha": 16.0, "clip": 0.5, **values}
    return {
        "study": study, "arm": arm, "task": task, "backbone": "tiny", "label": arm,
        "trials": ["x"], **{f"tune.{name}": value for name, value in tuned.items()},
    }  # fmt: skip


def ids(study: dict[str, Any], chosen: list[dict[str, Any]]) -> set[str]:
    """The trials that confirmed configurations in their study."""
    made = plan(Study.from_dict(study))
    found = set()
    for item in chosen:
        cell = next(c for c in made.cells if (c.arm.id, c.task) == (item["arm"], item["task"]))
        values = {name: item[f"tune.{name}"] for name in cell.space}
        found |= {spec.id for spec in made.specs(cell, values, "confirm")}
    return found


def trials(study: dict[str, Any], folder: Path) -> set[str]:
    made = plan(Study.from_dict(study, folder=folder))
    return {spec.id for cell in made.cells for spec in made.specs(cell, {}, "confirm")}


def write(chosen: list[dict[str, Any]], folder: Path, *studies: dict[str, Any]) -> dict[str, Any]:
    origins = {
        study["study"]: Origin(Study.from_dict(study).to_json(), folder) for study in studies
    }
    return distil(chosen, origins, name="again", folder=folder)


def test_the_trials_are_those_that_were_confirmed(tmp_path: Path) -> None:
    """An arm on both tasks at other values, one on one task only, one without clipping."""
    chosen = [
        row("lora rank=4", "cola"),
        row("lora rank=4", "rte", learning_rate=1e-3, clip=None),
        row("mtlora structure=shim rank=8", "rte", alpha=8.0),
    ]
    made = write(chosen, tmp_path, keys())
    assert trials(made, tmp_path) == ids(keys(), chosen)
    assert len(trials(made, tmp_path)) == 9
    assert made["study"] == "again"
    assert "tune" not in made
    assert [arm["label"] for arm in made["arms"]] == [
        "lora r=4 for cola", "lora r=4 for rte", "it's mine",
    ]  # fmt: skip
    assert made["baselines"] == [{"method": "lora"}, {"method": "mtlora"}]


def test_the_same_values_on_two_tasks_are_one_arm(tmp_path: Path) -> None:
    chosen = [row("lora rank=4", "cola"), row("lora rank=4", "rte")]
    plain = keys(overrides=[])
    made = write(chosen, tmp_path, plain)
    assert len(made["arms"]) == 1
    assert trials(made, tmp_path) == ids(plain, chosen)
    assert "exclude" not in made
    assert "baselines" not in made


def test_tasks_that_nothing_was_chosen_for_are_left_out(tmp_path: Path) -> None:
    made = write([row("lora rank=8", "rte")], tmp_path, keys())
    assert made["tasks"] == ["rte"]


def test_of_two_studies_an_arm_states_what_differs(tmp_path: Path) -> None:
    other = keys(
        study="second", targets=["query"],
        train={"steps": 50, "batch_size": 4, "optimizer": {"weight_decay": 0.1}},
    )  # fmt: skip
    chosen = [row("lora rank=4", "cola"), row("lora rank=4", "cola", study="second", alpha=8.0)]
    made = write(chosen, tmp_path, keys(), other)
    assert trials(made, tmp_path) == ids(keys(), chosen[:1]) | ids(other, chosen[1:])
    same = [row("lora rank=4", "cola"), row("lora rank=4", "cola", study="second")]
    made = write(same, tmp_path, keys(), other)
    assert trials(made, tmp_path) == ids(keys(), same[:1]) | ids(other, same[1:])


def test_what_no_arm_can_state_is_named(tmp_path: Path) -> None:
    other = keys(study="second", train={"epochs": 2, "schedule": {"name": "cosine"}})
    chosen = [row("lora rank=4", "cola"), row("lora rank=8", "cola", study="second")]
    with pytest.raises(UserError, match=r"recipe.schedule is not that of the other"):
        write(chosen, tmp_path, keys(), other)
    with pytest.raises(UserError, match="confirm: studies 'first' and 'second' differ"):
        write(chosen, tmp_path, keys(), keys(study="second", confirm={"seeds": 4}))


def test_what_is_not_there_any_more_or_not_confirmed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not ask for lora rank=16 any more"):
        write([row("lora rank=16", "cola")], tmp_path, keys())
    with pytest.raises(UserError, match="has no confirmed trials yet"):
        write([{**row("lora rank=4", "cola"), "trials": []}], tmp_path, keys())


def test_paths_are_those_of_the_new_files_folder(tmp_path: Path) -> None:
    """The study lies in one folder, and what is written in another."""
    task = tmp_path / "here" / "mine"
    task.mkdir(parents=True)
    (task / "task.yaml").write_text(
        "task: mine\ntext: [text]\nlabel: label\nmetrics: [accuracy]\nprimary: accuracy\n"
    )
    study = keys(tasks=["./mine"], overrides=[], claims=[])
    origin = Origin(Study.from_dict(study, folder=tmp_path / "here").to_json(), tmp_path / "here")
    (tmp_path / "there").mkdir()
    chosen = [row("lora rank=4", "mine")]
    made = distil(chosen, {"first": origin}, name="again", folder=tmp_path / "there")
    assert made["tasks"] == ["../here/mine"]
    assert len(trials(made, tmp_path / "there")) == 3


def test_a_task_still_starts_from_the_adapters_of_another(tmp_path: Path) -> None:
    after = {"when": {"task": "rte"}, "train": {"start_from": {"task": "cola"}}}
    study = keys(overrides=[after])
    made = write([row("lora rank=4", "cola"), row("lora rank=4", "rte")], tmp_path, study)
    assert made["overrides"] == [after]
    (cell,) = (c for c in plan(Study.from_dict(made, folder=tmp_path)).cells if c.task == "rte")
    assert cell.template.recipe.start_from == "cola"


def test_a_source_that_was_chosen_otherwise_is_named(tmp_path: Path) -> None:
    """One arm is trained on both tasks, so both must have its values."""
    study = keys(overrides=[{"when": {"task": "rte"}, "train": {"start_from": {"task": "cola"}}}])
    chosen = [row("lora rank=4", "cola"), row("lora rank=4", "rte", learning_rate=1e-3)]
    with pytest.raises(UserError, match="start"):
        write(chosen, tmp_path, study)


def test_a_tuned_list_is_what_was_chosen(tmp_path: Path) -> None:
    """Tables tell a list as text."""
    space = {"freeze": {"choices": [["a_aux"], ["a_aux", "b_aux"]]}}
    study = keys(arms=[{"method": "lora_mini"}], baselines=[], claims=[],
                 tune={**KEYS["tune"], "space": space})  # fmt: skip
    chosen = {
        "study": "first", "arm": "lora_mini", "task": "cola", "backbone": "tiny",
        "label": "lora_mini", "trials": ["x"], "tune.freeze": "a_aux+b_aux",
    }  # fmt: skip
    made = write([chosen], tmp_path, study)
    assert made["arms"][0]["freeze"] == ["a_aux", "b_aux"]
