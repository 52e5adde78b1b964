"""Rows of a split: read from JSON lines, checked one by one, kept by column.

Every mistake of a file is found in one pass and named with its line.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from trials.errors import Problem, nearest
from trials.tasks.generation import Template, Unfit
from trials.tasks.gold import read_answers
from trials.tasks.lines import Mistakes, brief, parse_lines

_MISSING = object()


@dataclass(frozen=True)
class Rows:
    """The used columns of some examples, in order.

    Attributes:
        ids: name of each example, `<split>-<row>` with rows counted from 0.
        texts: (text columns, rows); of text to text the prompts.
        labels: ids of the labels (classification), numbers (regression), gold answers (span) or
            references (text to text); empty where they are not public.
        groups: (group columns, rows) as canonical text; None links a row to nothing.
    """

    ids: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    labels: tuple[Any, ...]
    groups: tuple[tuple[str | None, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> bool:
        """Whether the labels are public."""
        return len(self.labels) > 0

    def take(self, indices: Sequence[int]) -> "Rows":
        """The rows at these positions, in this order."""
        return Rows(
            ids=tuple(self.ids[i] for i in indices),
            texts=tuple(tuple(column[i] for i in indices) for column in self.texts),
            labels=tuple(self.labels[i] for i in indices) if self.labelled else (),
            groups=tuple(tuple(column[i] for i in indices) for column in self.groups),
        )


@dataclass(frozen=True)
class Format:
    """Which columns rows must have. What a faulty `task.yaml` leaves open is not checked.

    Attributes:
        text: text columns.
        label: label column; None when unknown.
        kind: one of `trials.tasks.metrics.KINDS`; None when unknown.
        labels: label names in id order; empty where there are none or when unknown.
        group: columns whose shared values tie rows together.
        may_lack: whether the label of a row may be that there is no answer.
        template: how a row becomes a prompt and its references, in place of text and label; None
            for a kind that has none, or when unknown.
        adapt: from a row as a data set has it to more columns; None where none are missing.
    """

    text: tuple[str, ...] = ()
    label: str | None = None
    kind: str | None = None
    labels: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    may_lack: bool = False
    template: Template | None = None
    adapt: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Portion:
    """A split that is a part of another one's rows.

    Attributes:
        split: its name.
        of: the split that its rows are of; they keep their ids.
        column: what tells them apart.
        value: what the column holds in them.
    """

    split: str
    of: str
    column: str
    value: str


def read_split(
    path: Path,
    split: str,
    shown: str,
    form: Format,
    mistakes: Mistakes,
    portion: Portion | None = None,
) -> Rows:
    """Read and check one file of JSON lines.

    Args:
        path: `.jsonl`, or `.jsonl.gz` of the same text.
        split: the split it holds.
        shown: how messages name the file.
        form: the columns to expect.
        mistakes: takes every mistake of the file.
        portion: which of the rows the split has; None for all.
    """
    return check_rows(parse_lines(path, shown, mistakes), split, shown, form, mistakes, portion)


def check_rows(
    lines: Iterable[tuple[int, Mapping[str, Any]]],
    split: str,
    shown: str,
    form: Format,
    mistakes: Mistakes,
    portion: Portion | None = None,
) -> Rows:
    """Check rows and keep their used columns.

    A test split none of whose rows has a label (missing, null or -1) is unlabelled.

    Args:
        lines: (line, row) pairs.
        split: the split they make up.
        shown: how messages name their source.
        form: the columns to expect.
        mistakes: takes every mistake.
        portion: which of the rows the split has; None for all.
    """
    checker = _Checker(split if portion is None else portion.of, shown, form, mistakes)
    num_before = len(mistakes.problems)
    for place, (line, row) in enumerate(lines):
        if portion is None or row.get(portion.column) == portion.value:
            checker.add(line, row, place)
    if not checker.num_rows and len(mistakes.problems) == num_before:
        mistakes.add(Problem("holds no row", file=shown))
    return checker.finish()


class _Checker:
    """Takes rows one by one; a faulty row is noted and does not stop the rest."""

    def __init__(self, split: str, shown: str, form: Format, mistakes: Mistakes) -> None:
        self.split, self.shown, self.form, self.mistakes = split, shown, form, mistakes
        self.ids: list[str] = []
        self.texts: list[list[str]] = [[] for _ in form.text]
        if form.template is not None:
            self.texts = [[]]
        self.groups: list[list[str | None]] = [[] for _ in form.group]
        self.labels: list[Any] = []
        self.num_unlabelled = 0
        self.blank_lines: list[int] = []
        self.ids_by_name = {name: i for i, name in enumerate(form.labels)}
        self.ids_by_value = _values(form.labels)

    @property
    def num_rows(self) -> int:
        return len(self.ids)

    def add(self, line: int, row: Mapping[str, Any], place: int) -> None:
        self.ids.append(f"{self.split}-{place}")
        if self.form.adapt is not None:
            try:
                row = {**row, **self.form.adapt(row)}
            except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
                self._refuse(line, f"is no row of this data set: {type(error).__name__}: {error}")
                return
        for column, values in zip(self.form.text, self.texts, strict=False):
            self._add_text(line, row, column, values)
        for column, group in zip(self.form.group, self.groups, strict=True):
            value = row.get(column, _MISSING)
            if value is _MISSING:
                self._refuse(line, _no_column(column, row))
            group.append(_group_value(value))
        if self.form.template is not None:
            self._add_rendered(line, row, self.form.template)
        elif self.form.label is not None:
            self._add_label(line, row, self.form.label)

    def finish(self) -> Rows:
        labels = self.labels
        if self.num_unlabelled == self.num_rows:
            labels = []
        elif self.blank_lines:
            share = f"{len(self.blank_lines)} of {self.num_rows} rows"
            message = f"{share} have no label; label all rows or none"
            self._refuse(self.blank_lines[0], message)
        return Rows(
            ids=tuple(self.ids),
            texts=tuple(map(tuple, self.texts)),
            labels=tuple(labels),
            groups=tuple(map(tuple, self.groups)),
        )

    def _add_text(self, line: int, row: Mapping[str, Any], column: str, values: list[str]) -> None:
        value = row.get(column, _MISSING)
        if value is _MISSING:
            self._refuse(line, _no_column(column, row))
        elif not isinstance(value, str):
            self._refuse(line, f"must be text, but got {brief(value)}", column)
        elif not value.isascii() and not _encodable(value):
            self._refuse(line, "holds half of a surrogate pair, which is no text", column)
        else:
            values.append(value)

    def _add_rendered(self, line: int, row: Mapping[str, Any], template: Template) -> None:
        try:
            self.texts[0].append(template.source(row))
            self.labels.append(template.references(row))
        except Unfit as error:
            if len(self.texts[0]) == self.num_rows and error.hidden and self.split == "test":
                self.num_unlabelled += 1
                self.blank_lines.append(line)
            elif error.column not in row:
                self._refuse(line, _no_column(error.column, row))
            else:
                self._refuse(line, str(error), error.column)

    def _add_label(self, line: int, row: Mapping[str, Any], column: str) -> None:
        value = row.get(column, _MISSING)
        if self.split == "test" and self._is_hidden(value):
            self.num_unlabelled += 1
            if value == -1 and self.form.kind == "regression":
                self.labels.append(-1.0)
            else:
                self.blank_lines.append(line)
            return
        if value is _MISSING:
            self._refuse(line, _no_column(column, row))
            return
        label, wrong = self._label(value, row)
        if wrong is not None:
            self._refuse(line, wrong, column)
        self.labels.append(label)

    def _is_hidden(self, value: Any) -> bool:
        """Whether a value says that the label is not public; -1 may be a label's own name."""
        minus_one = value == -1 and _comparable(value) not in self.ids_by_value
        return value is _MISSING or value is None or minus_one

    def _label(self, value: Any, row: Mapping[str, Any]) -> tuple[Any, str | None]:
        if self.form.kind == "span":
            context = row.get(self.form.text[-1]) if self.form.text else None
            return read_answers(value, context, may_lack=self.form.may_lack)
        if self.form.kind == "regression":
            return _number(value)
        if self.form.kind is None or not self.form.labels:
            return 0, None
        last = len(self.form.labels) - 1
        if isinstance(value, str):
            if value in self.ids_by_name:
                return self.ids_by_name[value], None
            return 0, f"no label called {value!r}{_nearest(value, self.form.labels)}"
        if self.ids_by_value:
            known = self.ids_by_value.get(_comparable(value))
            expected = f"must be one of {', '.join(self.form.labels)}, but got {brief(value)}"
            return known or 0, expected if known is None else None
        if isinstance(value, bool) or not isinstance(value, int):
            return 0, f"must be 0 to {last} or a label's name, but got {brief(value)}"
        if not 0 <= value <= last:
            return 0, f"must be 0 to {last} ({', '.join(self.form.labels)}), but got {value}"
        return value, None

    def _refuse(self, line: int, message: str, key: str | None = None) -> None:
        self.mistakes.add(Problem(message, file=self.shown, line=line, key=key))


def label_name(value: str | float) -> str:
    """The name of a label that a `task.yaml` writes as text, a number or a truth value."""
    return value if isinstance(value, str) else json.dumps(value)


def _values(names: Sequence[str]) -> dict[Any, int]:
    """What rows hold for labels whose names are all numbers, or truth values; empty for others.

    A 2 in a row then is the label called 2, which need not be the one with id 2.
    """
    try:
        values = [_comparable(json.loads(name)) for name in names]
    except ValueError:
        return {}
    kinds = {kind for kind, _ in values}
    if len(kinds) > 1 or None in kinds or len(set(values)) < len(values):
        return {}
    return {value: i for i, value in enumerate(values)}


def _comparable(value: Any) -> tuple[str | None, Any]:
    """A JSON value such that 1 and 1.0 are the same, and 1 and true are not."""
    if isinstance(value, bool):
        return "truth", value
    if isinstance(value, int | float):
        with suppress(OverflowError):
            return "number", float(value)
    return None, None


def _number(value: Any) -> tuple[float, str | None]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0, f"must be a number, but got {brief(value)}"
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    return number, None if math.isfinite(number) else f"must be finite, but got {brief(value)}"


def _group_value(value: Any) -> str | None:
    if value is None or value is _MISSING:
        return None
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_column(column: str, row: Mapping[str, Any]) -> str:
    return f"no column '{column}'{_nearest(column, tuple(row))}"


@lru_cache(maxsize=1024)  # the same mistake stands in every row of a file
def _nearest(name: str, options: tuple[str, ...]) -> str:
    return nearest(name, options)
