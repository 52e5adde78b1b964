"""Time and steps, predicted from what the store has measured."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from mini_study import Ran, keys

from ablate import api
from ablate.api import Ablation


def study(store: Path, **changes: Any) -> Ablation:
    return api.load(keys(**changes), store=str(store), device="cpu")


def test_a_new_store_knows_steps_and_no_time(tmp_path: Path) -> None:
    for item in study(tmp_path).forecast():
        assert (item.trials, item.steps, item.seconds, item.basis) == (2 + 2, 4, None, None)


def test_epochs_count_the_rows_that_are_trained_on(tmp_path: Path) -> None:
    train = {"epochs": 0.5, "batch_size": 8, "max_length": 24}
    made = study(tmp_path, train=train)
    rows = len(made.resolved.tasks["tiny_acceptability"].rows(
        "train", made.resolved.plan.cells[0].template.splits))  # fmt: skip
    assert {item.steps for item in made.forecast()} == {math.ceil(math.ceil(rows / 8) / 2)}


def test_a_budget_of_seconds_is_what_a_search_will_take(ran: Ran) -> None:
    tune = {**keys()["tune"], "budget": {"gpu_seconds": 5000}}
    for item in study(ran.store, study="timed", tune=tune, claims=[]).forecast():
        assert item.trials == 2, "those that confirm; nobody knows how many asks there will be"
        assert item.seconds is not None
        assert 5000 < item.seconds < 6000


def test_a_study_that_ran_has_nothing_left(ran: Ran) -> None:
    for item in study(ran.store).forecast():
        assert item.trials == 0
        assert item.seconds == 0.0
        assert str(item.basis).startswith("4 trials of ")


def test_more_seeds_are_predicted_from_the_studys_own_past(ran: Ran) -> None:
    state = ran.state()
    for item in study(ran.store, confirm={"seeds": 5}).forecast():
        assert item.trials == 3
        mine = [t.result.seconds for t in state.trials.values()
                if t.spec_json["method"] == item.cell.arm.method and t.result]  # fmt: skip
        paces = sorted(seconds / 4 for seconds in mine if seconds is not None)
        expected = 3 * 4 * (paces[1] + paces[2]) / 2
        assert item.seconds == pytest.approx(expected)


def test_another_study_of_the_store_tells_what_this_one_does_not_know(ran: Ran) -> None:
    arms = [{"method": "lora", "rank": 8}, {"method": "mtlora", "rank": 4}]
    known, other = study(ran.store, study="new", arms=arms, claims=[]).forecast()
    assert known.basis == "4 trials of lora on tiny_acceptability"
    assert other.basis == "8 trials of any method on tiny_acceptability"
    assert (known.seconds or 0) > 0


def test_a_smoke_run_is_the_last_resort(tmp_path: Path, ran: Ran) -> None:
    made = study(tmp_path)
    made.folder.path.mkdir(parents=True)
    items = [{"cell": cell.key, "seconds_per_step": 0.5} for cell in made.plan().cells[:1]]
    made.folder.smoke.write_text(json.dumps(items))
    first, second = made.forecast()
    assert first.seconds == 4 * 4 * 0.5
    assert first.basis == "a smoke run, at most"
    assert second.seconds is None
