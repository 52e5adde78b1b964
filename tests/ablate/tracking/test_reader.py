"""Reading back: the table from MLflow is the table from the journal."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tracked_stories import CELL, Story, crashed, done, eventful, spec, track, trial_runs

from ablate import frame, journal, tally
from ablate.best import best
from ablate.plan import Plan, plan
from ablate.study import Study
from ablate.tally import TaskFacts
from ablate.tracking import CellInfo, runs
from ablate.tracking.client import Client
from trials.errors import UserError
from trials.spec import TrialResult


def test_the_table_has_every_column_of_the_frame(client: Client, tmp_path: Path) -> None:
    story = eventful("table", tmp_path)
    story.sync(track(client, story))
    found = runs(client.uri, "table")
    assert set(found.columns) >= set(frame.FIXED_COLUMNS)
    assert list(frame.factors(found)) == ["rank", "freeze"]
    assert list(frame.nuisances(found)) == ["tune.learning_rate", "tune.alpha"]
    finished = found[found["trial_id"] == spec(1).id]
    assert len(finished) == 3
    shown = finished[finished["metric"] == "accuracy"].iloc[0]
    assert (shown["split"], shown["score"], shown["grid_step"]) == ("validation", 0.75, 0.01)
    assert not shown["primary"]
    assert (shown["freeze"], shown["tune.learning_rate"]) == ("a+b", 0.002)
    assert shown["environment"] == "python=3.11 torch=2.9", "where it ran is no part of it"
    failed = found[found["trial_id"] == spec(2).id].iloc[0]
    assert (failed["status"], failed["reason"]) == ("crashed", "a wheel came off")
    assert failed["split"] == "validation"
    assert found["score"].isna().sum() == 2
    story.info = replace(story.info, stale=frozenset({spec(2).id}))
    story.sync(track(client, story))
    assert spec(2).id not in set(runs(client.uri, "table")["trial_id"])
    with pytest.raises(UserError, match="no study called 'tabel'; did you mean|no study called"):
        runs(client.uri, "tabel")


def test_a_new_label_reaches_runs_and_table(client: Client, story: Story) -> None:
    item = spec(1)
    story.plan(item)
    story.begin(item)
    story.finish(item)
    story.sync(track(client, story))
    story.cells = [replace(CELL, label="LoRA")]
    story.sync(track(client, story))
    assert trial_runs(client, story)[item.id].name == "LoRA · seed 1"
    assert set(runs(client.uri, story.info.name)["label"]) == {"LoRA"}


def test_no_store_is_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing was tracked"):
        runs(f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []


STUDY = {
    "study": "equal",
    "question": "Is it the same table?",
    "tasks": ["cola"],
    "backbones": ["bert-base-uncased"],
    "targets": ["query", "value"],
    "arms": [
        {"method": "lora", "rank": {"each": [4, 8]}},
        {"method": "lora_mini", "rank": 8, "freeze": ["a_aux", "b_aux"]},
    ],
    "baselines": [{"method": "lora"}],
    "train": {"epochs": 1, "batch_size": 8, "max_length": 64, "learning_rate": 1e-3},
    "tune": {
        "budget": {"trials": 2},
        "space": {
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "alpha": {"choices": [8, 16]},
        },
    },
    "confirm": {"seeds": 3},
}
FACTS = TaskFacts("mcc", "higher", {"mcc": "higher", "loss": "lower"}, {"accuracy": True})


def scored(seed: int, stage: str) -> TrialResult:
    split = "held_out" if stage == "search" else "validation"
    if seed == 1:
        return crashed()
    scores = {"mcc": 0.1 + seed / 7, "accuracy": 0.75, "loss": float("nan") if seed == 2 else 1 / 3}
    return replace(done(), scores={split: scores}, num_examples={split: 97})


def whole_story(folder: Path) -> tuple[Plan, Story]:
    """A study that has run to its end, with a failed seed and a score that is no number."""
    planned = plan(Study.from_dict(STUDY))
    story = Story("equal", folder)
    for cell in planned.cells:
        for number, (rate, alpha) in enumerate(((2e-4, 8), (3e-3, 16))):
            values = {"learning_rate": rate, "alpha": alpha}
            specs = list(planned.specs(cell, values, "search"))
            story.tell(journal.asked(cell.key, number, values, [item.id for item in specs]))
            story.run(specs, cell.key, scored, ask=number)
        story.tell(journal.chosen(cell.key, 1, 1, values))
        story.run(planned.specs(cell, values, "confirm"), cell.key, scored, rank=1)
    splits = planned.cells[0].template.splits
    story.cells = [
        CellInfo(
            key=cell.key,
            task=cell.task,
            backbone=cell.backbone,
            arm=cell.arm.id,
            label=cell.arm.label,
            method=cell.arm.method,
            factors={k: v for k, v in cell.arm.typed.items() if k != "method"},
            nuisances=tuple(cell.space),
            primary=FACTS.primary,
            direction=FACTS.direction,
            search_split=splits.search,
            report_split=splits.report,
            directions=FACTS.directions,
            grid=FACTS.grid,
        )
        for cell in planned.cells
    ]
    return planned, story


def test_the_table_from_mlflow_is_the_table_from_the_journal(
    client: Client, tmp_path: Path
) -> None:
    planned, story = whole_story(tmp_path)
    story.sync(track(client, story))
    order = ["trial_id", "split", "metric"]
    expected = tally.frame(planned, story.state, {"cola": FACTS}).sort_values(order)
    found = runs(client.uri, "equal").sort_values(order)
    assert len(expected) > 15
    assert list(found.columns) == list(expected.columns)
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), expected.reset_index(drop=True), check_dtype=False
    )


def test_best_of_the_table_from_mlflow(client: Client, tmp_path: Path) -> None:
    _, story = whole_story(tmp_path)
    story.sync(track(client, story))
    found = best(runs(client.uri, "equal"))
    assert list(found["n"]) == [2, 2, 2]
    assert list(found["num_failed"]) == [1, 1, 1]


def test_a_trial_moves_with_its_cell(client: Client, story: Story) -> None:
    """A cell whose search changed has another key; its confirmed trials stay what they were."""
    story.plan(spec(1))
    story.begin(spec(1))
    story.finish(spec(1))
    story.sync(track(client, story))
    story.cells = [replace(CELL, key="c2", label="moved")]
    story.info = replace(story.info, moved={spec(1).id: "c2"})
    story.sync(track(client, story))
    assert set(runs(client.uri, story.info.name)["label"]) == {"moved"}
    assert trial_runs(client, story)[spec(1).id].tags["ablate.cell"] == "c2"


def test_a_store_that_does_not_answer_is_the_users_to_mend() -> None:
    with pytest.raises(UserError, match=r"tracking store http://\*\*\*@127.0.0.1:9 cannot be read"):
        runs("http://me:word@127.0.0.1:9")
