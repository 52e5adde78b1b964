"""What is fixed of a task, and how it is registered."""

from dataclasses import replace
from pathlib import Path

import pytest

from trials import catalogue
from trials.tasks.definition import Benchmark, Definition, Hub, benchmark

WEATHER = Definition(
    name="weather",
    kind="classification",
    text=("a", "b"),
    label="label",
    labels=("no", "yes"),
    metrics=("accuracy",),
    primary="accuracy",
)


@pytest.mark.parametrize(
    "same",
    [
        replace(WEATHER, name="other"),
        replace(WEATHER, source="elsewhere"),
        replace(WEATHER, folder="weather2", hub=Hub(path="me/weather")),
    ],
)
def test_where_rows_come_from_is_no_part_of_the_identity(same: Definition) -> None:
    assert same.identity == WEATHER.identity


@pytest.mark.parametrize(
    "other",
    [
        replace(WEATHER, labels=("yes", "no")),
        replace(WEATHER, group=("a",)),
        replace(WEATHER, text=("b", "a")),
        replace(WEATHER, metrics=("accuracy", "f1")),
    ],
)
def test_what_can_change_a_number_is(other: Definition) -> None:
    assert other.identity != WEATHER.identity


def test_a_registered_definition_is_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue.tasks()  # What is imported later would be forgotten with the copy.
    monkeypatch.setitem(catalogue._registry, "task", dict(catalogue._registry["task"]))
    registered = benchmark(WEATHER, module=__name__, folder=Path("here"))
    found = catalogue.lookup("task", "weather")
    assert found is registered
    assert issubclass(registered, Benchmark)
    assert (registered.name, registered.definition, registered.data) == (
        "weather",
        WEATHER,
        Path("here"),
    )
