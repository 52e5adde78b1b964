"""Curves of confirmed trials: means over the seeds that finished, missing where none was."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from fake_training import FACTS, STEPS, nobody_crashes, planned, score, undisturbed

from ablate import tally
from ablate.curves import curves
from ablate.journal import State, Trial
from ablate.plan import Plan


def ran(folder: Path, fate: Any = nobody_crashes, **changes: Any) -> tuple[Plan, State]:
    made = planned(**changes)
    return made, undisturbed(made, folder / "journal", fate)


def best(made: Plan, state: State, place: int) -> list[Trial]:
    """The trials that confirm the best values of a cell."""
    cell = made.cells[place]
    return [state.trials[spec.id] for spec in tally.confirmation(made, state, cell)[0][1]]


def test_a_curve_is_the_mean_over_the_seeds_that_confirm_the_best_values(tmp_path: Path) -> None:
    made, state = ran(tmp_path, confirm={"seeds": 3, "top": 2})
    found = curves(made, state, FACTS)
    assert [(c["arm"], c["measure"], c["split"]) for c in found] == [
        ("lora rank=4", "accuracy", "held_out"), ("tlora rank=16", "accuracy", "held_out"),
    ]  # fmt: skip
    for place, curve in enumerate(found):
        assert curve["steps"] == list(STEPS)
        for at, step in enumerate(STEPS):
            own = [score(trial.spec, step) for trial in best(made, state, place)]
            own = [value for value in own if value >= 0.03]
            assert curve["n"][at] == len(own)
            assert curve["mean"][at] == pytest.approx(math.fsum(own) / len(own))
            assert (curve["low"][at], curve["high"][at]) == (min(own), max(own))
    json.dumps(found, allow_nan=False)


def test_seeds_that_failed_bend_no_curve(tmp_path: Path) -> None:
    def fate(spec: Any) -> int | None:
        lost = spec.stage == "confirm" and spec.hyperparameters["rank"] == 4
        return 4 if lost and spec.seed == min_seed else None

    min_seed = min(planned().confirm_seeds)
    made, state = ran(tmp_path, fate)
    lora, tlora = curves(made, state, FACTS)
    assert max(lora["n"]) == 2
    assert max(tlora["n"]) == 3


def test_a_figure_of_the_method_is_a_curve_of_its_own(tmp_path: Path) -> None:
    made, state = ran(tmp_path)
    for seed, trial in enumerate(best(made, state, 1)):
        for step, report in list(trial.reports.items()):
            trial.reports[step] = {**report, "extra": {"total_rank": float(step + seed)}}
    own = [curve for curve in curves(made, state, FACTS) if curve["split"] is None]
    (growth,) = own
    assert (growth["arm"], growth["measure"]) == ("tlora rank=16", "total_rank")
    assert growth["mean"] == [step + 1.0 for step in STEPS]
    assert growth["sd"] == [1.0] * len(STEPS)
    assert growth["low"] == [float(step) for step in STEPS]


def test_before_anything_has_finished_there_is_no_curve() -> None:
    assert curves(planned(), State(), FACTS) == []
