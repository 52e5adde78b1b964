"""Find the rows of a task: a folder of one's own, a data root, the package, or the hub."""

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from trials import catalogue
from trials.errors import UserError
from trials.tasks.base import Benchmark, Definition, Hub, Rows, Task
from trials.tasks.folder import DEFINITION_FILE, load_folder, read_splits
from trials.tasks.lines import Mistakes
from trials.tasks.rows import check_rows

PROBE_SECONDS = 5.0
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
        folder = (base or Path()) / Path(name_or_folder).expanduser()
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
    rows = read_splits(folder, shown, definition.format, mistakes, definition.splits)
    mistakes.raise_any()
    return Task(definition, rows)


@lru_cache(maxsize=16)
def _from_hub(definition: Definition) -> Task:
    if definition.hub is None:
        raise UserError(
            f"task '{definition.name}' is in none of the data roots{_layout(definition)}"
        )
    _require_reachable(definition)
    mistakes = Mistakes()
    rows = {
        split: _hub_rows(definition, definition.hub, split, hub_split, mistakes)
        for split, hub_split in definition.hub.splits
    }
    mistakes.raise_any()
    return Task(definition, rows)


def _hub_rows(
    definition: Definition, hub: Hub, split: str, hub_split: str, mistakes: Mistakes
) -> Rows:
    import datasets

    try:
        found = datasets.load_dataset(hub.path, hub.config, split=hub_split)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"task '{definition.name}': the hub's {hub.path} cannot be read ({reason})"
            f"{_layout(definition)}"
        ) from error
    shown = f"{hub.path}/{hub.config or ''}[{hub_split}]"
    return check_rows(_as_lines(found), split, shown, definition.format, mistakes)


def _as_lines(found: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    names = list(found.column_names)
    columns = found[:]
    for number, values in enumerate(zip(*(columns[name] for name in names), strict=True), 1):
        yield number, dict(zip(names, values, strict=True))


def _require_reachable(definition: Definition) -> None:
    """Ask the hub for a sign of life, since its client may try for minutes.

    With `HF_HUB_OFFLINE` set the hub's local cache is read and nothing is asked.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    request = urllib.request.Request(endpoint, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()  # an answer all the same
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(
            f"task '{definition.name}' is in none of the data roots and {endpoint} cannot be "
            f"reached ({getattr(error, 'reason', error)}){_layout(definition)}, or set "
            "HF_HUB_OFFLINE=1 to read what the hub's client has in its cache"
        ) from None


def _layout(definition: Definition) -> str:
    folder = definition.folder or definition.name
    columns = ", ".join((*definition.text, definition.label))
    return (
        f"; put its rows into <root>/{folder}/train.jsonl[.gz] and validation.jsonl[.gz] with "
        f"the columns {columns}, and give the root with --data or ABLATE_DATA"
    )
