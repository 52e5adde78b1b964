"""Finite spaces, written out."""

from typing import Any

import pytest

from ablate.combinations import MAX_COMBINATIONS, combinations, multiples, points, size


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"choices": [8, "x", None]}, [8, "x", None]),
        ({"low": 1, "high": 3}, [1, 2, 3]),
        ({"low": 2, "high": 8, "step": 3}, [2, 5, 8]),
        ({"low": 1, "high": 4, "log": True, "step": None}, [1, 2, 3, 4]),
        ({"low": 0.1, "high": 0.3, "step": 0.1}, [0.1, 0.2, 0.3]),
        ({"low": 0.1, "high": 0.35, "step": 0.1}, [0.1, 0.2, 0.3]),
    ],
)
def test_the_values_of_a_nuisance(entry: dict[str, Any], expected: list[Any]) -> None:
    assert list(points(entry) or ()) == expected


def test_a_range_of_real_numbers_is_endless() -> None:
    entry = {"low": 0.1, "high": 0.3, "log": True, "step": None}
    assert points(entry) is None
    assert size({"a": {"choices": [1]}, "b": entry}) is None
    assert combinations({"b": entry}) is None


def test_every_combination_once_names_in_order() -> None:
    space = {"b": {"choices": [1, 2]}, "a": {"low": 1, "high": 2}}
    found = list(combinations(space) or ())
    assert found == [{"a": a, "b": b} for a in (1, 2) for b in (1, 2)]
    assert size(space) == 4
    assert list(found[0]) == ["a", "b"]


def test_nothing_tuned_is_one_combination() -> None:
    assert size({}) == 1
    assert list(combinations({}) or ()) == [{}]


def test_what_is_too_large_is_not_written_out() -> None:
    space = {"a": {"low": 1, "high": MAX_COMBINATIONS + 1}}
    assert size(space) == MAX_COMBINATIONS + 1
    assert combinations(space) is None
    assert len(multiples(0, 1e9, 0.1)) == MAX_COMBINATIONS + 1
