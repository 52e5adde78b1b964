"""What MLflow is told, as plain values."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ablate import frame, tracking
from ablate.journal import Trial
from ablate.tracking.client import Point
from ablate.tracking.facts import CellInfo, StudyInfo
from ablate.tracking.records import batches, record, row_of, row_tags, table_rows


def test_reports_stay_whole_in_batches() -> None:
    def report(size: int) -> list[Point]:
        return [Point(f"k{i}", 0.0, 0, 0) for i in range(size)]

    assert [len(batch) for batch in batches([report(500), report(200), report(200)])] == [700, 200]
    assert [len(batch) for batch in batches([report(10), report(2000)])] == [10, 800, 800, 400]
    assert list(batches([])) == []


def test_a_long_row_comes_back_whole() -> None:
    row = {"reason": "é漢" * 6000, "score": 0.1}
    tags = row_tags(row)
    assert all(len(text) <= 5000 for text in tags.values())
    assert row_of({**row_tags({**row, "more": "x" * 9000}), **tags}) == row
    assert row_of({}) is None
    tags.pop("ablate.row.1")
    assert row_of(tags) is None


@pytest.mark.parametrize("source", ["other", None])
def test_a_trial_of_another_study_says_so_in_tag_and_table(source: str | None) -> None:
    spec = {"method": "lora", "stage": "confirm", "seed": 3, "hyperparameters": {}, "recipe": {}}
    trial = Trial("t", spec, "cell", None, 1, 1, False, status="finished", reused_from=source)
    trial.result_json = {"scores": {"test": {"accuracy": 0.5}}, "num_examples": {"test": 4}}
    cell = CellInfo(
        key="cell", task="t", backbone="b", arm="lora", label="LoRA", method="lora", factors={},
        nuisances=(), primary="accuracy", direction="higher", search_split="v", report_split="test",
    )  # fmt: skip
    study = StudyInfo(name="s", question="", revision=1, config={}, folder=Path())
    tags = record(trial, cell, study).tags
    assert tags.get("ablate.reused_from") == source
    (row,) = table_rows(row_of(tags) or {}, "t")
    assert row["reused_from"] == source


def test_importing_tracking_does_not_import_mlflow() -> None:
    code = "import sys, ablate.tracking; sys.exit('mlflow' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(frame.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    source = Path(tracking.__file__).parent
    importing = [
        p.name for p in source.glob("*.py") if re.search(r"(from|import) mlflow", p.read_text())
    ]
    assert importing == ["client.py"]
