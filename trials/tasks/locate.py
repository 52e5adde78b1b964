"""Find the rows of a task: a folder of one's own, a data root, the package, or the hub."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from trials import catalogue
from trials.errors import UserError
from trials.paths import user_path
from trials.tasks import hub
from trials.tasks.base import Benchmark, Definition, Task
from trials.tasks.folder import DEFINITION_FILE, has_rows, load_folder, read_definition, read_splits
from trials.tasks.kinds import task_of
from trials.tasks.lines import Mistakes

Stamp = tuple[tuple[str, int, int], ...]


def load(name_or_folder: str, *, roots: Sequence[Path] = (), base: Path | None = None) -> Task:
    """Load a task.

    Args:
        name_or_folder: a registered name; or a folder with a `task.yaml`, which holds a path
            separator or starts with a dot.
        roots: data roots; a registered task is read from `<root>/<name>/<split>.jsonl[.gz]` of
            the first root that has the folder, else from the package, else from the hub.
        base: what a relative folder starts from; the working directory when None.

    Raises:
        UserError: no such task or folder, mistakes in its files, or a hub out of reach.
    """
    if is_folder(name_or_folder):
        folder = user_path(name_or_folder, base or Path())
        if not (folder / DEFINITION_FILE).is_file():
            raise UserError(f"{name_or_folder}: no folder with a {DEFINITION_FILE}")
        return _from_folder(folder.resolve(), name_or_folder.rstrip("/\\"), _stamp(folder))
    definition, data = _registered(name_or_folder, base or Path())
    folder_name = definition.folder or definition.name
    places = [root / folder_name for root in roots] + ([data] if data else [])
    for place in places:
        if place.is_dir():
            return _from_place(definition, place.resolve(), str(place), _stamp(place))
    return _from_hub(definition)


def definition_of(name_or_folder: str, *, base: Path | None = None) -> Definition:
    """What is fixed of a task; reads no row.

    Args:
        name_or_folder, base: as for `load`.

    Raises:
        UserError: no such task or folder, or mistakes in its `task.yaml`.
    """
    if is_folder(name_or_folder):
        folder = user_path(name_or_folder, base or Path())
        return read_definition(folder / DEFINITION_FILE)
    return _registered(name_or_folder, base or Path())[0]


def is_here(name_or_folder: str, *, roots: Sequence[Path] = (), base: Path | None = None) -> bool:
    """Whether `load` reads a task's rows from this machine and not from the hub.

    Args:
        name_or_folder, roots, base: as for `load`.

    Raises:
        UserError: no such task.
    """
    if is_folder(name_or_folder):
        folder = user_path(name_or_folder, base or Path())
        try:
            return has_rows(folder) or read_definition(folder / DEFINITION_FILE).hub is None
        except UserError:
            return True  # `load` tells every mistake
    definition, data = _registered(name_or_folder, base or Path())
    places = (root / (definition.folder or definition.name) for root in roots)
    return data is not None or any(place.is_dir() for place in places)


def is_folder(name_or_folder: str) -> bool:
    """Whether a study's task is a folder rather than a registered name."""
    return name_or_folder.startswith(".") or bool({"/", os.sep} & set(name_or_folder))


def _registered(name: str, base: Path) -> tuple[Definition, Path | None]:
    try:
        found = catalogue.lookup("task", name)
    except UserError as error:
        if (base / name / DEFINITION_FILE).is_file():
            raise UserError(f"no task called '{name}'; for the folder write './{name}'") from error
        raise
    if not issubclass(found, Benchmark) or not hasattr(found, "definition"):
        raise UserError(f"task '{name}' of {found.__module__} is no Benchmark with a definition")
    return found.definition, found.data


def _stamp(folder: Path) -> Stamp:
    """What changes when a file of a folder does, so that a changed folder is read again."""
    states = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
    return tuple((name, state.st_size, state.st_mtime_ns) for name, state in states)


@lru_cache(maxsize=16)
def _from_folder(folder: Path, shown: str, stamp: Stamp) -> Task:
    return load_folder(folder, shown=shown)


@lru_cache(maxsize=16)
def _from_place(definition: Definition, folder: Path, shown: str, stamp: Stamp) -> Task:
    mistakes = Mistakes()
    rows = read_splits(
        folder, shown, definition.format, mistakes, definition.splits, definition.portion
    )
    mistakes.raise_any()
    return task_of(definition, rows)


@lru_cache(maxsize=16)
def _from_hub(definition: Definition) -> Task:
    folder = f"<root>/{definition.folder or definition.name}"
    instead = f"{hub.files_of(definition, folder)}, and give the root with --data or ABLATE_DATA"
    if definition.hub is None:
        raise UserError(f"task '{definition.name}' is in none of the data roots; {instead}")
    return hub.read(definition, instead)
