"""Each kind of task with what it is at work: how its rows are encoded, read and scored."""

from collections.abc import Mapping

from trials.tasks.base import Task
from trials.tasks.definition import Definition
from trials.tasks.metrics import Kind
from trials.tasks.rows import Rows
from trials.tasks.span import SpanTask
from trials.tasks.texts import TextTask

TASKS: Mapping[Kind, type[Task]] = {
    "classification": Task,
    "regression": Task,
    "span": SpanTask,
    "text_to_text": TextTask,
}


def task_of(definition: Definition, splits: Mapping[str, Rows], origin: str | None = None) -> Task:
    """A definition with its rows, at work.

    Args:
        definition: what is fixed.
        splits, origin: as `Task` has them.
    """
    return TASKS[definition.kind](definition, splits, origin)
