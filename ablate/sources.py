"""Where a study's plain values come from: its file, the files it extends, and `--set`.

The values are merged before they are checked; every mistake still finds the file and line that
the user wrote.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.recipe import RECIPE_NAMES
from ablate.validation import Mistake
from trials import yaml
from trials.errors import Problem, UserError
from trials.paths import user_path
from trials.yaml import Document, Key

_WHOLE = frozenset({"sampler", "pruner", "budget", "targets", "split", "when"})
"""Mappings that are replaced as one: half of one and half of another would mean neither."""


@dataclass(frozen=True)
class Source:
    """The merged plain values of a study.

    Attributes:
        value: keys and values, `extends` resolved and `--set` applied.
        folder: relative paths are taken from here.
        file: the study's own file; None for a study from Python.
        documents: the files it was merged from, its own first.
        settings: key paths that `--set` gave, with the text of each.
    """

    value: Any
    folder: Path
    file: str | None = None
    documents: tuple[Document, ...] = ()
    settings: tuple[tuple[tuple[Key, ...], str], ...] = ()

    @classmethod
    def read(cls, path: Path, overrides: Sequence[str] = ()) -> "Source":
        """Read a study's file, what it extends, and apply `--set` texts.

        Raises:
            UserError: a file cannot be read or is no YAML, files extend each other in a circle,
                or a `--set` text is not `key=value`.
        """
        documents, value = _read_chain(path, ())
        source = cls(value, path.parent, str(path), documents)
        return source.with_settings(overrides)

    @classmethod
    def of(cls, value: Mapping[str, Any], folder: Path) -> "Source":
        """Values from Python, over those of the file that they extend.

        Raises:
            UserError: that file cannot be read.
        """
        own = Document(file="", value=value, _root=None)
        documents, merged = _extended(value, own, folder, ())
        return cls(merged, folder, None, documents[1:])

    def with_settings(self, texts: Sequence[str]) -> "Source":
        """The same values with `key=value` texts applied in order."""
        value = self.value if isinstance(self.value, Mapping) else {}
        settings: list[tuple[tuple[Key, ...], str]] = []
        problems: list[Problem] = []
        for text in texts:
            try:
                path, setting = _parse_setting(text)
                value = _set(value, path, setting, text)
            except UserError as error:
                problems += error.problems
            else:
                settings.append((path, text))
        if problems:
            raise UserError(*problems)
        value = value if texts else self.value
        return Source(value, self.folder, self.file, self.documents, tuple(settings))

    def problem(self, mistake: Mistake) -> Problem:
        """A mistake with the file and line where its key was written."""
        path, message = mistake.path, mistake.message
        key = yaml.dotted(path) or None
        for setting, text in reversed(self.settings):
            if path[: len(setting)] == setting:
                return Problem(message, file=f"--set {text}", key=key)
        best = None
        depth = -1
        for document in self.documents:
            found = _depth(document.value, path)
            if found > depth:
                best, depth = document, found
        return Problem(message, key=key) if best is None else best.problem(path, message)


def _read_chain(path: Path, seen: tuple[Path, ...]) -> tuple[tuple[Document, ...], Any]:
    document = yaml.load(path)
    seen = (*seen, path.resolve())
    return _extended(document.value, document, path.parent, seen)


def _extended(
    value: Any, document: Document, folder: Path, seen: tuple[Path, ...]
) -> tuple[tuple[Document, ...], Any]:
    """Values over those of the file that they extend."""
    if not isinstance(value, Mapping) or "extends" not in value:
        return (document,), value
    own = {key: item for key, item in value.items() if key != "extends"}
    extends = value["extends"]
    if extends is None:
        return (document,), own
    if not isinstance(extends, str):
        message = f"must be the path of a study file, but got {extends!r}"
        raise UserError(document.problem(("extends",), message))
    try:
        parent = user_path(extends, folder)
    except UserError as error:
        raise UserError(document.problem(("extends",), str(error))) from None
    if parent.resolve() in seen:
        raise UserError(document.problem(("extends",), f"{extends} extends this file in turn"))
    if not parent.is_file():
        raise UserError(document.problem(("extends",), f"there is no file {parent}"))
    documents, inherited = _read_chain(parent, seen)
    if not isinstance(inherited, Mapping):
        raise UserError(documents[0].problem((), "must hold keys and values"))
    return (document, *documents), _merge(rebased(inherited, parent.parent, folder), own)


def _merge(base: Mapping[Any, Any], over: Mapping[Any, Any], place: Key = "") -> dict[Any, Any]:
    """`base` with the keys of `over`; mappings are merged key by key, lists replaced."""
    result = dict(base)
    if place == "train":
        for name, other in (("epochs", "steps"), ("steps", "epochs")):
            if over.get(name) is not None and name not in base:
                result.pop(other, None)
    for key, value in over.items():
        old = result.get(key)
        whole = key in _WHOLE or place == "space"
        if isinstance(old, Mapping) and isinstance(value, Mapping) and not whole:
            result[key] = _merge(old, value, key)
        else:
            result[key] = value
    return result


def rebased(value: Mapping[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """Relative paths of a parent file, as seen from the folder of the file that extends it."""
    if old.resolve() == new.resolve():
        return dict(value)
    result = dict(value)
    for key in ("use", "tasks", "backbones"):
        entries = value.get(key)
        if isinstance(entries, list):
            result[key] = [
                _moved(entry, old, new)
                if isinstance(entry, str) and (key == "use" or is_path(entry, key))
                else entry
                for entry in entries
            ]
    return result


def _moved(entry: str, old: Path, new: Path) -> str:
    if Path(entry).is_absolute() or entry.startswith("~"):
        return entry
    moved = Path(os.path.relpath(old.resolve() / entry, new.resolve())).as_posix()
    return moved if moved.startswith(".") else f"./{moved}"


def is_path(reference: str, key: str) -> bool:
    """Whether an entry of `tasks` or `backbones` is a folder rather than a name.

    A hub id may hold one slash, so a backbone's folder starts with `.`, `~` or `/`.
    """
    if key == "tasks":
        return reference.startswith((".", "~")) or "/" in reference or os.sep in reference
    return reference.startswith((".", "~", "/"))


def _parse_setting(text: str) -> tuple[tuple[Key, ...], Any]:
    key, equals, value = text.partition("=")
    path = _setting_path(key.strip())
    if not equals or not path:
        raise UserError(Problem("expected key=value", file=f"--set {text}"))
    return path, yaml.parse(value, file=f"--set {text}").value


def _setting_path(key: str) -> tuple[Key, ...]:
    """`arms[0].rank` as a path; a dotted name of the search space is one step."""
    space = "tune.space."
    if key.startswith(space):
        rest = key.removeprefix(space)
        for name in RECIPE_NAMES:
            if "." in name and (rest == name or rest.startswith(f"{name}.")):
                return ("tune", "space", name, *_setting_path(rest[len(name) + 1 :]))
    steps = re.findall(r"[^.\[\]]+", key)
    return tuple(int(step) if step.isdigit() else step for step in steps)


def _set(value: Any, path: tuple[Key, ...], setting: Any, text: str) -> Any:
    if not path:
        return setting
    step, rest = path[0], path[1:]
    if isinstance(value, list):
        if not isinstance(step, int) or not 0 <= step < len(value):
            message = f"the list has entries 0 to {len(value) - 1}, not {step}"
            raise UserError(Problem(message, file=f"--set {text}"))
        return [*value[:step], _set(value[step], rest, setting, text), *value[step + 1 :]]
    if value is not None and not isinstance(value, Mapping):
        message = f"there is a plain value, so it has no key '{step}'"
        raise UserError(Problem(message, file=f"--set {text}"))
    old = dict(value or {})
    if step in ("epochs", "steps") and setting is not None and not rest:
        old.pop("steps" if step == "epochs" else "epochs", None)
    return {**old, step: _set(old.get(step), rest, setting, text)}


def _depth(value: Any, path: Sequence[Key]) -> int:
    """How many steps of a path exist."""
    for depth, step in enumerate(path):
        inside = isinstance(value, Mapping) and step in value
        if not inside and not (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        ):
            return depth
        value = value[step]
    return len(path)
