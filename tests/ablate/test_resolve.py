"""References become digests and places; what is wrong is said before anything runs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mini_study import keys

from ablate import resolve
from ablate.profile import Profile
from ablate.store import StudyFolder
from ablate.study import Study
from trials.errors import UserError
from trials.families import Head
from trials.places import Assignment
from trials.spec import Splits

ROWS = [{"sentence": f"a cat {n}", "label": n % 2} for n in range(40)]


def a_task(folder: Path, **changes: Any) -> Path:
    """A folder with a task of one's own."""
    folder.mkdir(parents=True)
    definition = {
        "task": "mine", "kind": "classification", "source": "here", "text": ["sentence"],
        "label": "label", "labels": ["no", "yes"], "metrics": ["accuracy"], "primary": "accuracy",
    }  # fmt: skip
    (folder / "task.yaml").write_text(json.dumps({**definition, **changes}))
    for split in ("train", "validation"):
        lines = "".join(json.dumps(row) + "\n" for row in ROWS)
        (folder / f"{split}.jsonl").write_text(lines)
    return folder


def resolved(folder: Path, profile: Profile | None = None, **changes: Any) -> resolve.Resolved:
    study = Study.from_dict({**keys(claims=[]), **changes}, folder=folder)
    return resolve.resolve(study, profile or Profile(), hub=False)


def test_what_the_package_ships_is_at_hand(tmp_path: Path) -> None:
    found = resolved(tmp_path)
    assert not found.unresolved
    assert not found.plan.provisional
    assert found.facts["tiny_acceptability"].primary == "mcc"
    assert found.facts["tiny_acceptability"].direction == "higher"
    assert found.facts["tiny_acceptability"].grid == {"mcc": False, "accuracy": True}
    cell = found.plan.cells[0]
    assert cell.template.splits == Splits(search="validation", report="test")


def test_what_is_not_on_this_machine_stays_provisional(tmp_path: Path) -> None:
    found = resolved(tmp_path, tasks=["mrpc"], backbones=["somebody/some-encoder"])
    assert found.plan.provisional
    assert len(found.unresolved) == 2
    assert found.facts["mrpc"].direction == "higher"


def test_a_folder_whose_rows_are_on_the_hub_stays_provisional(tmp_path: Path) -> None:
    folder = a_task(tmp_path / "mine", hub={"id": "me/mine"}, labels=["a", "b", "c"])
    here = resolved(tmp_path, tasks=["./mine"])
    assert not here.unresolved
    assert here.to_json()["data"]["mine"]["rows"] == {"train": 40, "validation": 40}
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").unlink()
    away = resolved(tmp_path, tasks=["./mine"])
    assert away.unresolved == ("task './mine' is not on this machine",)
    assert away.to_json()["data"] == {}
    assert away.facts["mine"].head == Head(3)
    assert resolve.check_targets(away)[away.plan.cells[0].key][1] == 3 * 128 + 3


def test_ids_follow_the_data_and_nothing_of_the_machine(tmp_path: Path) -> None:
    a_task(tmp_path / "one" / "mine")
    a_task(tmp_path / "two" / "mine")
    one, two = (resolved(tmp_path / n, tasks=["./mine"]).plan for n in ("one", "two"))
    assert [c.key for c in one.cells] == [c.key for c in two.cells]
    (tmp_path / "two" / "mine" / "train.jsonl").write_text(
        "".join(json.dumps({**row, "label": 1 - row["label"]}) + "\n" for row in ROWS)
    )
    changed = resolved(tmp_path / "two", tasks=["./mine"]).plan
    assert {c.key for c in changed.cells}.isdisjoint(c.key for c in one.cells)


def test_a_folder_of_ones_own_is_a_task(tmp_path: Path) -> None:
    a_task(tmp_path / "mine")
    found = resolved(tmp_path, tasks=["./mine"])
    assert list(found.tasks) == ["mine"]
    assert found.plan.cells[0].template.splits == Splits(search="held_out", report="validation")


def test_an_assignment_says_where_everything_is(tmp_path: Path) -> None:
    a_task(tmp_path / "mine")
    found = resolved(tmp_path, Profile(models=(str(tmp_path),)), tasks=["./mine"])
    cell = found.plan.cells[0]
    spec = found.plan.spec(cell, {"learning_rate": 1e-3}, 3, "confirm")
    made = resolve.assignment(found, StudyFolder(tmp_path / "s"), "cpu", 2, spec)
    assert made.task == "./mine"
    assert made.places.base == str(tmp_path.resolve())
    assert made.places.models == (str(tmp_path),)
    assert made.folder == str(tmp_path / "s" / "trials" / spec.id)
    assert (made.device, made.threads) == ("cpu", 2)
    assert Assignment.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_a_malformed_line_is_named_by_file_and_number(tmp_path: Path) -> None:
    folder = a_task(tmp_path / "mine")
    lines = (folder / "train.jsonl").read_text().splitlines()
    lines[4] = '{"sentence": "a cat"'
    lines[8] = '{"sentence": "a cat", "label": 7}'
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError) as caught:
        resolved(tmp_path, tasks=["./mine"])
    text = str(caught.value)
    assert "train.jsonl:5" in text
    assert "train.jsonl:9" in text
    assert "7" in text


def test_every_missing_thing_at_once(tmp_path: Path) -> None:
    a_task(tmp_path / "one", task="one")
    a_task(tmp_path / "two", task="two")
    for name in ("one", "two"):
        (tmp_path / name / "train.jsonl").unlink()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        resolved(tmp_path, tasks=["./one", "./two"], backbones=["./empty"])
    assert len(caught.value.problems) >= 3


def test_targets_are_counted_before_anything_runs(tmp_path: Path) -> None:
    found = resolved(tmp_path)
    counts = resolve.check_targets(found)
    assert set(counts) == {cell.key for cell in found.plan.cells}
    assert all(adapter > 0 and head > 0 for adapter, head in counts.values())


def test_targets_that_match_nothing(tmp_path: Path) -> None:
    arms = [{"method": "lora"}, {"method": "lora", "targets": ["query"]}]
    with pytest.raises(UserError, match="gate") as caught:
        resolve.check_targets(resolved(tmp_path, targets=["gate"], arms=arms, baselines=[]))
    assert len(caught.value.problems) == 1, "said once, not once a cell"


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, False),
        ({"targets": ["query", "value"]}, False),
        ({"targets": {"modules": [r".*attention\.self\.query"]}}, True),
        ({"arms": [{"method": "bitfit"}], "baselines": []}, True),
        ({"arms": [{"method": "full"}], "baselines": []}, True),
    ],
)
def test_a_model_is_built_only_where_names_prove_nothing(
    changes: Any, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = resolved(tmp_path, **changes)
    built: list[Any] = []
    monkeypatch.setattr(resolve, "check_targets", built.append)
    resolve.require_targets(found)
    assert bool(built) is asked


def test_what_names_do_not_show_is_refused_as_by_a_model(tmp_path: Path) -> None:
    arms = [{"method": "lora", "rank": 4}]
    with pytest.raises(UserError, match="target 'gate' matches no module"):
        resolve.require_targets(resolved(tmp_path, targets=["gate"], arms=arms, baselines=[]))


def test_a_driver_starts_without_torch(tmp_path: Path) -> None:
    """Its imports would take longer than everything else before the first trial."""
    code = (
        "import sys; from ablate import api, resolve, runner; "
        "study = api.load('demo'); "
        "found = resolve.resolve(study.study, study.profile, hub=True); "
        "resolve.require_targets(found); "
        "print(sorted({'torch', 'transformers', 'mlflow', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
