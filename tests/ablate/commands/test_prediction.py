"""Time and money, in the words of a plan."""

from typing import Any

import pytest

from ablate.commands.prediction import Prediction
from ablate.forecast import Expected
from ablate.profile import Profile

CELL: Any = None


def lines(*cells: Expected, **profile: Any) -> str:
    return "\n".join(Prediction(list(cells), Profile(**profile)).lines())


def expected(trials: int, steps: int | None, seconds: float | None) -> Expected:
    basis = None if seconds is None else "9 trials of lora"
    return Expected(CELL, trials, steps, None, seconds, basis)


def test_what_is_known_is_added_up_and_priced() -> None:
    said = lines(expected(4, 100, 1800.0), expected(2, 100, 1800.0), price_per_gpu_hour=4.0)
    assert "left      6 trials, 600 steps, at most" in said
    assert "time      1:00:00 of device time at most, by 9 trials of lora" in said
    assert "cost      4.00 at 4 per GPU-hour (1.00 hours)" in said
    assert "warning" not in said
    said = lines(expected(4, 100, 3600.0), price_per_gpu_hour=4.0, gpus_per_trial=0.5)
    assert "cost      2.00 at 4 per GPU-hour (0.50 hours)" in said, "two trials share a GPU"


def test_a_limit_that_will_be_met_is_said() -> None:
    said = lines(expected(4, 100, 3600.0), price_per_gpu_hour=4.0, max_cost=3.0)
    assert "warning   max_cost 3 stops the run before its end" in said


@pytest.mark.parametrize("steps", [None, 100])
def test_what_is_not_known_stays_unknown(steps: int | None) -> None:
    made = Prediction([expected(4, steps, None), expected(2, 100, 7.0)], Profile())
    assert made.seconds is None
    assert made.cost is None
    assert "time      unknown: nothing like 1 of 2 cells" in "\n".join(made.lines())


def test_cells_with_nothing_left_need_no_past() -> None:
    assert Prediction([expected(0, None, None)], Profile()).seconds == 0
