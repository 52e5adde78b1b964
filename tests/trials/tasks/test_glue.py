"""GLUE's nine tasks fit their data."""

import subprocess
import sys
from pathlib import Path

import pytest

from trials import catalogue
from trials.spec import Splits
from trials.tasks.glue import GLUE
from trials.tasks.locate import load
from trials.tasks.metrics import METRICS

NAMES = [definition.name for definition in GLUE]


def test_the_nine_tasks_are_registered() -> None:
    assert set(NAMES) <= set(catalogue.tasks())
    assert NAMES == ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]


@pytest.mark.parametrize("definition", GLUE, ids=NAMES)
def test_a_definition_agrees_with_itself(definition: catalogue.Any) -> None:
    assert definition.primary in definition.metrics
    assert METRICS[definition.primary].direction == definition.direction
    assert {METRICS[name].kind for name in definition.metrics} == {definition.kind}
    assert (definition.kind == "regression") == (definition.labels == ())
    assert set(definition.group) <= set(definition.text)
    assert "test" not in dict(definition.hub.splits)


@pytest.mark.parametrize("name", NAMES)
def test_the_shared_rows_load_and_divide(name: str, shared_data: Path) -> None:
    task = load(name, roots=[shared_data])
    splits = task.resolve_splits()
    assert splits == Splits(search="held_out", report="validation")
    train, held = task.rows("train", splits), task.rows("held_out", splits)
    whole = task.splits["train"]
    assert len(train) + len(held) == len(whole)
    assert len(held) >= min(200, len(whole) // 5)
    for column in range(len(whole.groups)):
        assert not set(train.groups[column]) & set(held.groups[column])
    if task.definition.labels:
        for label in range(task.num_outputs):
            share = whole.labels.count(label) / len(whole)
            assert held.labels.count(label) / len(held) == pytest.approx(share, abs=0.02)


def test_importing_a_task_loads_nothing_heavy() -> None:
    code = "import sys, trials.catalogue as c; c.tasks(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "numpy", "scipy", "sklearn", "datasets", "transformers"}
    assert not heavy & set(loaded.stdout.split())
