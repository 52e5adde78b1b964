"""GLUE's nine tasks fit their data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trials import catalogue
from trials.spec import Splits
from trials.tasks.glue import GLUE, REVISION
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
    assert set(definition.format.group) <= set(definition.text)
    assert tuple(dict(definition.hub.splits)) == ("train", "validation", *definition.beside)
    assert definition.hub.revision == REVISION


@pytest.mark.parametrize("name", NAMES)
def test_the_shared_rows_load_and_divide(name: str, shared_data: Path) -> None:
    task = load(name, roots=[shared_data])
    splits = task.resolve_splits()
    assert splits == Splits(search="held_out", report="validation")
    train, held = task.rows("train", splits), task.rows("held_out", splits)
    whole = task.splits["train"]
    assert len(train) + len(held) == len(whole)
    assert len(held) >= min(200, len(whole) // 5)
    for ours, theirs in zip(task.linked(train), task.linked(held), strict=True):
        assert not set().union(*ours) & set().union(*theirs)
    if task.definition.labels:
        for label in range(task.head.outputs):
            share = whole.labels.count(label) / len(whole)
            assert held.labels.count(label) / len(held) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    ("name", "metrics", "primary"),
    [
        ("cola", ("mcc", "accuracy"), "mcc"),
        ("mrpc", ("accuracy", "f1"), "accuracy"),
        ("qqp", ("accuracy", "f1"), "accuracy"),
        ("stsb", ("pearson", "spearman"), "pearson"),
        ("mnli", ("accuracy",), "accuracy"),
        ("wnli", ("accuracy",), "accuracy"),
    ],
)
def test_every_metric_of_the_papers_is_scored(
    name: str, metrics: tuple[str, ...], primary: str
) -> None:
    definition = GLUE[NAMES.index(name)]
    assert (definition.metrics, definition.primary) == (metrics, primary)


def test_both_validation_splits_of_mnli_are_read_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "mnli"
    folder.mkdir()
    for split in ("train", "validation"):
        row = {"premise": f"It rains, {split}.", "hypothesis": "It is wet.", "label": 0}
        (folder / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    without = load("mnli", roots=[tmp_path])
    assert without.shown(Splits()) == ("validation",)
    (folder / "validation_mismatched.jsonl").write_text(json.dumps(row | {"label": 1}) + "\n")
    both = load("mnli", roots=[tmp_path])
    assert both.available == ("train", "validation", "validation_mismatched")
    assert both.resolve_splits() == Splits(search="held_out", report="validation")
    assert both.shown(Splits()) == ("validation", "validation_mismatched")
    assert both.rows("validation_mismatched", Splits()).labels == (1,)
    assert both.digest != without.digest


def test_a_question_of_qqp_is_on_one_side_in_whichever_column_it_stands() -> None:
    assert GLUE[NAMES.index("qqp")].links == (("question1", "question2"),)


def test_importing_a_task_loads_nothing_heavy() -> None:
    code = "import sys, trials.catalogue as c; c.tasks(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "numpy", "scipy", "sklearn", "datasets", "transformers"}
    assert not heavy & set(loaded.stdout.split())
