"""Every kind has a class of its own, or the common one."""

import pytest

from trials.tasks.base import Definition, Task
from trials.tasks.kinds import TASKS, task_of
from trials.tasks.metrics import KINDS, Kind, table
from trials.tasks.span import SpanTask


def test_every_kind_is_at_work() -> None:
    assert set(TASKS) == set(KINDS)
    assert all(table(kind) for kind in KINDS)


@pytest.mark.parametrize(("kind", "expected"), [("regression", Task), ("span", SpanTask)])
def test_a_definition_decides(kind: Kind, expected: type[Task]) -> None:
    definition = Definition(
        name="x", kind=kind, text=("a", "b"), label="c", metrics=("f1",), primary="f1"
    )
    made = task_of(definition, {}, "somewhere")
    assert type(made) is expected
    assert (made.definition, made.origin) == (definition, "somewhere")
