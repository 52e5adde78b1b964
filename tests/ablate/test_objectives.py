"""What a search makes better, read from results and reports."""

from typing import Any

import pytest

from ablate.objectives import objectives
from ablate.tally import TaskFacts

FACTS = TaskFacts(
    "accuracy", "higher", {"accuracy": "higher", "ter": "lower"}, {"accuracy": True, "ter": False}
)
RESULT: dict[str, Any] = {
    "scores": {"held_out": {"accuracy": 0.9, "ter": 0.4}, "validation": {"accuracy": 0.1}},
    "adapter_parameters": 1234,
    "seconds": 5.5,
    "peak_memory_bytes": None,
}
REPORT: dict[str, Any] = {"primary": 0.8, "scores": {"accuracy": 0.8, "ter": None}}


@pytest.mark.parametrize(
    ("name", "direction", "value", "reported"),
    [
        ("primary", "higher", 0.9, 0.8),
        ("accuracy", "higher", 0.9, 0.8),
        ("ter", "lower", 0.4, None),
        ("trainable_parameters", "lower", 1234.0, None),
        ("seconds", "lower", 5.5, None),
        ("peak_memory_bytes", "lower", None, None),
    ],
)
def test_an_objective_reads_its_own_value(
    name: str, direction: str, value: float | None, reported: float | None
) -> None:
    (aim,) = objectives((name,), FACTS)
    assert aim.direction == direction
    assert aim.of(RESULT, "held_out") == value
    assert aim.reported(REPORT) == reported


def test_the_split_that_is_reported_is_never_read() -> None:
    (aim,) = objectives(("primary",), FACTS)
    assert aim.of({"scores": {"validation": {"accuracy": 0.1}}}, "held_out") is None


def test_an_unknown_objective_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="called 'acuracy'; did you mean 'accuracy'"):
        objectives(("primary", "acuracy"), FACTS)
