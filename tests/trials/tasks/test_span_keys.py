"""What the `span` of a `task.yaml` may hold."""

from collections.abc import Sequence
from typing import Any

import pytest

from trials.tasks.base import Span
from trials.tasks.span_keys import read_span


def read(value: Any) -> tuple[Span, list[str]]:
    told: list[str] = []

    def refuse(path: Sequence[Any], message: str) -> None:
        told.append(f"{'.'.join(map(str, path))}: {message}")

    return read_span(value, refuse), told


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, Span()),
        ({"stride": 0, "max_answer": 1}, Span(stride=0, max_answer=1)),
        ({"no_answer": -2.5}, Span(no_answer=-2.5)),
        ({"no_answer": 0}, Span(no_answer=0)),
        ({"no_answer": "search"}, Span(no_answer="search")),
        ({"no_answer": None}, Span()),
    ],
)
def test_sound_keys_are_read(value: Any, expected: Span) -> None:
    assert read(value) == (expected, [])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "span: must hold keys"),
        ({"strides": 3}, "span.strides: no such key; did you mean 'stride'?"),
        ({"stride": 2.0}, "span.stride: must be a whole number of tokens, at least 0, but got 2.0"),
        ({"stride": True}, "span.stride: must be a whole number"),
        ({"max_answer": 0}, "span.max_answer: must be a whole number of tokens, at least 1"),
        ({"no_answer": float("nan")}, "span.no_answer: must be a number, or search, but got nan"),
        ({"no_answer": True}, "span.no_answer: must be a number, or search, but got True"),
        ({"no_answer": "chosen"}, "span.no_answer: must be a number, or search, but got 'chosen'"),
    ],
)
def test_a_mistake_leaves_the_default(value: Any, told: str) -> None:
    span, problems = read(value)
    assert span == Span()
    assert len(problems) == 1
    assert problems[0].startswith(told)
