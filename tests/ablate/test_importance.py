"""Which tuned value matters: planted answers, scales, chance, and when nothing can be said."""

import math
from typing import Any

import numpy as np
import pytest

from ablate.importance import FEWEST, importance

pytest.importorskip("sklearn")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "warmup": {"choices": [0, 100, 200]},
}


def drawn(rng: np.random.Generator, number: int) -> list[dict[str, Any]]:
    return [
        {
            "learning_rate": float(10 ** rng.uniform(-5, -1)),
            "dropout": float(rng.uniform(0, 0.5)),
            "warmup": [0, 100, 200][int(rng.integers(3))],
        }
        for _ in range(number)
    ]


def judged(asks: list[tuple[dict[str, Any], float]], **more: Any) -> Any:
    return importance(SPACE, asks, **{"num_ignored": 0, "higher": True, **more})


def test_the_value_that_matters_is_found_on_its_own_scale(rng: np.random.Generator) -> None:
    """Half of the effect lies below 1e-3, where a linear scale has a hundredth of its length."""
    asks = [(v, math.log10(v["learning_rate"]) + 0.1 * rng.normal()) for v in drawn(rng, 40)]
    found = judged(asks, num_ignored=3)
    assert (found.status, found.n, found.num_ignored) == ("ok", 40, 3)
    by_name = {value["name"]: value for value in found.values}
    assert list(by_name) == sorted(SPACE)
    rate = by_name["learning_rate"]
    assert rate["share"] > 0.8
    assert rate["share"] > rate["by_chance"]
    assert rate["among_best"] == max(value["among_best"] for value in found.values)
    for name in ("dropout", "warmup"):
        assert by_name[name]["share"] < 0.1
        assert by_name[name]["share"] <= by_name[name]["by_chance"], "no more than chance"
    assert sum(value["share"] for value in found.values) <= 1
    assert judged(asks, num_ignored=3) == found, "the same asks say the same"


def test_lower_scores_turn_the_best_over_and_no_share(rng: np.random.Generator) -> None:
    values = drawn(rng, 20)
    up = judged([(v, v["dropout"]) for v in values])
    down = judged([(v, -v["dropout"]) for v in values], higher=False)
    assert [v["among_best"] for v in up.values] == [v["among_best"] for v in down.values]
    for one, other in zip(up.values, down.values, strict=True):
        assert one["share"] == pytest.approx(other["share"], abs=1e-9)


def test_when_nothing_can_be_said(rng: np.random.Generator) -> None:
    few = judged([(v, v["dropout"]) for v in drawn(rng, FEWEST - 1)])
    assert (few.status, few.n, few.values) == ("insufficient_n", FEWEST - 1, ())
    same = judged([(v, 1.0) for v in drawn(rng, 20)])
    assert (same.status, same.values) == ("degenerate_zero_variance", ())
    lost = judged([(v, math.nan) for v in drawn(rng, 20)])
    assert (lost.n, lost.num_ignored) == (0, 20)
    alone = importance({"dropout": SPACE["dropout"]}, [], num_ignored=0, higher=True)
    assert alone is None, "one value has nothing to be compared with"
