"""A task of one's own: a folder with `task.yaml`, train, validation and perhaps test rows.

Rows are JSON lines in `<split>.jsonl` or `<split>.jsonl.gz`. All mistakes of a folder are found at
once, those of `task.yaml` first.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trials import yaml
from trials.errors import Problem, UserError, nearest
from trials.tasks import hub
from trials.tasks.base import Definition, Hub, Rows, Span, Task
from trials.tasks.generation_keys import TEMPLATE_KEYS, read_generation, read_template
from trials.tasks.hub_keys import read_hub
from trials.tasks.kinds import task_of
from trials.tasks.lines import NEEDED, SPLITS, Mistakes, find_split
from trials.tasks.metrics import DIRECTIONS, KINDS, Kind, Metric, find, table
from trials.tasks.rows import Format, Portion, label_name, read_split
from trials.tasks.span_keys import read_span

DEFINITION_FILE = "task.yaml"
COMMON = ("task", "kind", "metrics", "primary")
OPTIONAL = ("direction", "group", "source", "hub")
REQUIRED = (*COMMON, "text", "label")
KEYS = (*REQUIRED, "labels", *OPTIONAL, "span")
KEYS_OF_TEXTS = (*COMMON, *TEMPLATE_KEYS, "generation", *OPTIONAL)


def load_folder(folder: Path, *, shown: str | None = None) -> Task:
    """Read a task from its folder; rows that it lacks and the hub has, from there.

    Args:
        folder: holds `task.yaml` and the rows.
        shown: how messages name it; its path when None.

    Raises:
        UserError: every mistake of `task.yaml` and of the rows, with file and line; of more than
            20 the first ones and how many more there are.
    """
    shown = str(folder) if shown is None else shown
    mistakes = Mistakes()
    definition, form, of_hub = None, Format(), False
    try:
        reader = _Reader(yaml.load(folder / DEFINITION_FILE, shown=f"{shown}/{DEFINITION_FILE}"))
        definition, form = reader.definition(), reader.format
        of_hub = "hub" in reader.values and not has_rows(folder)
        problems: Sequence[Problem] = reader.problems
    except UserError as error:
        problems = error.problems
    for problem in problems:
        mistakes.add(problem)
    rows = {} if of_hub else read_splits(folder, shown, form, mistakes)
    mistakes.raise_any()
    assert definition is not None  # without problems there is one
    if of_hub:
        return hub.read(definition, hub.files_of(definition, shown))
    return task_of(definition, rows)


def has_rows(folder: Path) -> bool:
    """Whether a folder holds rows of train or validation."""
    names = (f"{split}.jsonl{suffix}" for split in NEEDED for suffix in ("", ".gz"))
    return any((folder / name).is_file() for name in names)


def read_splits(
    folder: Path,
    shown: str,
    form: Format,
    mistakes: Mistakes,
    splits: Sequence[str] = SPLITS,
    portion: Callable[[str], Portion | None] = lambda split: None,
) -> dict[str, Rows]:
    """Read every split that a folder holds.

    Args:
        folder: holds the rows.
        shown: how messages name it.
        form: the columns to expect.
        mistakes: takes every mistake.
        splits: those that there may be.
        portion: which part of another split a split is; None for one with a file of its own.
    """
    rows = {}
    for split in splits:
        part = portion(split)
        path = find_split(folder, split if part is None else part.of, shown, mistakes)
        if path is not None:
            rows[split] = read_split(path, split, f"{shown}/{path.name}", form, mistakes, part)
    return rows


def read_definition(path: Path) -> Definition:
    """Read a `task.yaml` alone.

    Raises:
        UserError: every mistake of the file, with its line.
    """
    reader = _Reader(yaml.load(path))
    definition = reader.definition()
    if definition is None:
        raise UserError(*reader.problems)
    return definition


class _Reader:
    """Reads the keys of a `task.yaml` one by one; `format` is what of it is sound."""

    def __init__(self, document: yaml.Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        value = document.value
        self.values: Mapping[Any, Any] = value if isinstance(value, dict) else {}
        self.format = Format()
        self.own: dict[str, Any] = {}

    def definition(self) -> Definition | None:
        """The definition, or None when there are problems."""
        if not self._is_supported():
            return None
        kind: Any = self._choice("kind", KINDS)
        is_text = kind == "text_to_text"
        self._check_keys(*((KEYS_OF_TEXTS, COMMON) if is_text else (KEYS, REQUIRED)))
        columns = self._of_texts() if is_text else self._of_labels(kind)
        group = self._group()
        flat = tuple(name for names in group for name in names)
        self.format = replace(self.format, group=flat)
        fields = {
            "name": self._name(),
            "kind": kind,
            # A column by itself has always been written as its name, and digests hold it so.
            "group": tuple(names[0] if len(names) == 1 else names for names in group),
            "hub": self._hub((*columns, *flat)),
            **self._scoring(kind, self.format.labels),
            "source": self._text("source"),
            **self.own,
        }
        return None if self.problems else Definition(**fields)

    def _of_texts(self) -> Sequence[str]:
        """Read what is particular to texts; the columns that it names."""
        template = read_template(self.values, self._refuse)
        generation = read_generation(self.values, self._refuse)
        self.own = {"template": template, "generation": generation}
        self.format = Format(kind="text_to_text", template=template)
        return () if template is None else template.columns

    def _of_labels(self, kind: str | None) -> Sequence[str]:
        """Read what is particular to labels; the columns that it names."""
        text = self._names("text", least=2 if kind == "span" else 1, most=2)
        span = self._span(kind)
        labels = self._labels(kind)
        label = self._text("label") or None
        if label in text:
            self._refuse(("label",), f"'{label}' is a text column as well")
        may_lack = span is not None and span.no_answer is not None
        self.own = {"text": text, "label": label, "labels": labels, "span": span}
        self.format = Format(text, label, kind, labels, may_lack=may_lack)
        return (*text, label) if label else text

    def _group(self) -> tuple[tuple[str, ...], ...]:
        """The sets of columns that share their values; a name alone is a set of one."""
        value = self.values.get("group", [])
        sets = [value] if isinstance(value, str) else value
        lists = [[names] if isinstance(names, str) else names for names in _listed(sets)]
        flat = [name for names in lists for name in _listed(names)]
        if not isinstance(sets, list) or not all(isinstance(n, str) and n for n in flat):
            message = "must be a column, a list of columns, or a list of lists of columns"
            self._refuse(("group",), f"{message}, but got {value!r}")
        elif len(set(flat)) < len(flat):
            self._refuse(("group",), f"names something twice: {', '.join(flat)}")
        elif "group" in self.values and not all(lists):
            self._refuse(("group",), "holds an empty list")
        else:
            return tuple(map(tuple, lists))
        return ()

    def _hub(self, columns: Sequence[str]) -> Hub | None:
        if "hub" not in self.values:
            return None
        return read_hub(self.values["hub"], columns, self._refuse)

    def _span(self, kind: str | None) -> Span | None:
        if kind == "span":
            return read_span(self.values.get("span", {}), self._refuse)
        if "span" in self.values:
            self._refuse(("span",), "is for tasks of kind span; leave the key out")
        return None

    def _is_supported(self) -> bool:
        if self.values is not self.document.value:
            self._refuse((), "must hold keys and values, such as 'task: my_task'")
        return not self.problems

    def _check_keys(self, known: Sequence[str], required: Sequence[str]) -> None:
        for key in self.values:
            if key not in known:
                self._refuse((key,), f"no such key{nearest(key, known)}")
        for key in required:
            if key not in self.values:
                self._refuse((key,), "is missing")

    def _labels(self, kind: str | None) -> tuple[str, ...]:
        if kind in ("regression", "span") and "labels" in self.values:
            self._refuse(("labels",), f"a {kind} has no labels; leave the key out")
        elif kind == "classification" and "labels" not in self.values:
            self._refuse(("labels",), "is missing")
        elif kind == "classification":
            return self._label_names()
        return ()

    def _label_names(self) -> tuple[str, ...]:
        """The names as text; numbers and truth values are names that rows hold as they are."""
        value = self.values["labels"]
        if not isinstance(value, list) or not all(_is_plain(name) for name in value):
            self._refuse(("labels",), f"must be a list of names, but got {value!r}")
            return ()
        names = [label_name(name) for name in value]
        if len(set(names)) < len(names):
            self._refuse(("labels",), f"names something twice: {', '.join(names)}")
        elif len(names) < 2:
            self._refuse(("labels",), f"must be at least 2 names, but got {len(names)}")
        else:
            return tuple(names)
        return ()

    def _scoring(self, kind: Kind | None, labels: Sequence[str]) -> dict[str, Any]:
        metrics = self._names("metrics")
        found = [
            (name, self._metric(("metrics", i), name, kind, labels))
            for i, name in enumerate(metrics)
        ]
        primary = self._text("primary")
        if primary and metrics and primary not in metrics:
            listed = ", ".join(metrics)
            message = f"'{primary}' is not among metrics ({listed}){_close(primary, metrics)}"
            self._refuse(("primary",), message)
        own = next((m.direction for name, m in found if name == primary and m), None)
        given = self._choice("direction", DIRECTIONS) if "direction" in self.values else None
        if own and given and given != own:
            self._refuse(("direction",), f"of '{primary}' {own} is better, not {given}")
        direction = given or own or "higher"
        return {"metrics": metrics, "primary": primary, "direction": direction}

    def _metric(
        self, path: tuple[str | int, ...], name: str, kind: Kind | None, labels: Sequence[str]
    ) -> Metric | None:
        try:
            metric = find(name, kind)
        except UserError as error:
            for problem in error.problems:
                self._refuse(path, problem.message)
            return None
        if None not in (kind, metric.kind) and metric.kind != kind:
            fitting = ", ".join(table(kind))
            self._refuse(path, f"'{name}' is for {metric.kind}; a {kind} takes {fitting}")
        elif metric.binary and len(labels) > 2:
            self._refuse(path, f"'{name}' needs two labels, but there are {len(labels)}")
        return metric

    def _name(self) -> str:
        name = self._text("task")
        if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            self._refuse(("task",), f"must be letters, digits, '_', '-' and '.', not {name!r}")
        return name

    def _text(self, key: str) -> str:
        value = self.values.get(key, "")
        if isinstance(value, str) and (value or key not in self.values or key == "source"):
            return value
        self._refuse((key,), f"must be text, but got {value!r}")
        return ""

    def _choice(self, key: str, options: Sequence[str]) -> str | None:
        value = self.values.get(key)
        if value in options or key not in self.values:
            return value
        hint = _close(value, options)
        self._refuse((key,), f"must be {' or '.join(options)}, but got {value!r}{hint}")
        return None

    def _names(self, key: str, *, least: int = 1, most: int | None = None) -> tuple[str, ...]:
        """A list of different names; a single name counts as a list of one."""
        value = self.values.get(key, _ABSENT)
        names = [value] if isinstance(value, str) else value
        if value is _ABSENT:
            return ()
        if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
            self._refuse((key,), f"must be a list of names, but got {value!r}")
        elif len(set(names)) < len(names):
            self._refuse((key,), f"names something twice: {', '.join(names)}")
        elif len(names) < least or (most is not None and len(names) > most):
            number = f"{least} to {most}" if most else f"at least {least}"
            number = str(least) if least == most else number
            self._refuse((key,), f"must be {number} names, but got {len(names)}")
        else:
            return tuple(names)
        return ()

    def _refuse(self, path: Sequence[yaml.Key], message: str) -> None:
        self.problems.append(self.document.problem(path, message))


_ABSENT = object()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _close(name: object, options: Sequence[str]) -> str:
    """The nearest option, where the options are listed already."""
    hint = nearest(name, options)
    return hint if "did you mean" in hint else ""


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and bool(value))
