"""Which class of task does what a kind needs."""

from collections.abc import Mapping

from trials.tasks.base import Definition, Rows, Task
from trials.tasks.metrics import Kind
from trials.tasks.texts import TextTask

OWN: Mapping[Kind, type[Task]] = {"text_to_text": TextTask}
"""The kinds whose rows are encoded, read and scored in a way of their own."""


def make(definition: Definition, splits: Mapping[str, Rows], origin: str | None = None) -> Task:
    """A task of its kind; arguments as the attributes of `Task`."""
    return OWN.get(definition.kind, Task)(definition, splits, origin)
