"""The keys of `hub`, and every mistake in them."""

from collections.abc import Sequence
from typing import Any

import pytest

from trials.tasks.definition import Hub
from trials.tasks.hub_keys import read_hub

COLUMNS = ("premise", "hypothesis", "label")


def read(value: Any) -> tuple[Hub | None, list[str]]:
    problems: list[str] = []

    def refuse(path: Sequence[Any], message: str) -> None:
        problems.append(f"{'.'.join(map(str, path))}: {message}")

    return read_hub(value, COLUMNS, refuse), problems


def test_an_id_alone_means_the_same_names() -> None:
    found, problems = read({"id": "me/weather"})
    assert problems == []
    assert found == Hub(path="me/weather")
    assert found.splits == (("train", "train"), ("validation", "validation"))


def test_every_key_is_kept() -> None:
    value = {
        "id": "me/weather",
        "config": "wet",
        "revision": "main",
        "columns": {"premise": "p"},
        "splits": {"train": "t", "validation": "v", "test": "x"},
    }
    assert read(value) == (
        Hub(
            path="me/weather",
            config="wet",
            revision="main",
            columns=(("premise", "p"),),
            splits=(("train", "t"), ("validation", "v"), ("test", "x")),
        ),
        [],
    )


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ("me/weather", ["hub: must hold keys, such as 'id: nyu-mll/glue'"]),
        ({"config": "x"}, ["hub: id is missing, such as 'id: nyu-mll/glue'"]),
        ({"id": "a", "colums": {}}, ["hub.colums: no such key; did you mean 'columns'?"]),
        (
            {"id": "a", "revision": 1234567},
            ["hub.revision: must be text, but got 1234567; put quotes around it"],
        ),
        (
            {"id": "a", "columns": {"premises": "x", "label": 3}},
            [
                "hub.columns.premises: the task has no such name; did you mean 'premise'?",
                "hub.columns.label: must be the hub's name, but got 3",
            ],
        ),
        (
            {"id": "a", "columns": ["x"]},
            ["hub.columns: must be pairs of your name and the hub's, but got ['x']"],
        ),
        (
            {"id": "a", "splits": {"train": "t"}},
            ["hub.splits: does not say which split is validation"],
        ),
    ],
)
def test_every_mistake_has_its_key(value: Any, problems: list[str]) -> None:
    assert read(value)[1] == problems
