"""Rows from the Hugging Face hub, by `datasets`: one commit for all splits, columns by our names.

A revision that is a branch or a tag, or none, is asked for its commit before anything is read, and
every split is read from that commit. What was read is the task's `origin`.
"""

import http.client
import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from trials.errors import UserError, nearest
from trials.tasks.base import Definition, Hub, Rows, Task
from trials.tasks.kinds import task_of
from trials.tasks.lines import Mistakes
from trials.tasks.rows import check_rows

PROBE_SECONDS = 5.0
_log = logging.getLogger(__name__)


def read(definition: Definition, instead: str) -> Task:
    """Read a task's rows from where its definition says the hub has them.

    Args:
        definition: has a `hub`.
        instead: which files would do in place of the hub, for messages.

    Raises:
        UserError: the hub is out of reach or has no such data set, revision, split or column;
            or every mistake of its rows.
    """
    place = definition.hub
    assert place is not None
    _require_reachable(definition, instead)
    commit = _commit(definition, place, instead)
    mistakes = Mistakes()
    rows = {
        split: _rows(definition, place, commit, split, theirs, instead, mistakes)
        for split, theirs in place.splits
    }
    mistakes.raise_any()
    origin = _shown(place, commit)
    _log.info("task %s: read from %s", definition.name, origin)
    return task_of(definition, rows, origin)


def files_of(definition: Definition, folder: str) -> str:
    """Which files would do in place of the hub, as messages say it."""
    columns = ", ".join(definition.columns)
    return (
        f"put its rows into {folder}/train.jsonl[.gz] and validation.jsonl[.gz] with the columns "
        f"{columns}"
    )


def _rows(
    definition: Definition,
    place: Hub,
    commit: str | None,
    split: str,
    theirs: str,
    instead: str,
    mistakes: Mistakes,
) -> Rows:
    import datasets

    try:
        found = datasets.load_dataset(place.path, place.config, split=theirs, revision=commit)
    except Exception as error:
        raise _unreadable(definition, place, error, instead) from error
    _require_columns(definition, place, list(found.column_names))
    shown = f"{place.path}/{place.config or ''}[{theirs}]"
    lines = _as_lines(found, dict(place.columns), _names(definition, place, found))
    portion = definition.portion(split)
    return check_rows(lines, split, shown, definition.format, mistakes, portion)


def _as_lines(
    found: Any, renamed: Mapping[str, str], labels: Mapping[str, list[str]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row counted from 1, row by our names) pairs."""
    columns = found[:]
    ours = {name: name for name in found.column_names} | dict(renamed)
    values = [columns[theirs] for theirs in ours.values()]
    for number, row in enumerate(zip(*values, strict=True), 1):
        line = dict(zip(ours, row, strict=True))
        for column, names in labels.items():
            if isinstance(line[column], int) and 0 <= line[column] < len(names):
                line[column] = names[line[column]]
        yield number, line


def _names(definition: Definition, place: Hub, found: Any) -> dict[str, list[str]]:
    """The hub's own label names, where they are ours: its order of them may be another."""
    theirs = dict(place.columns).get(definition.label, definition.label)
    feature = (getattr(found, "features", None) or {}).get(theirs)
    names = list(getattr(feature, "names", None) or ())
    same = bool(names) and set(names) == set(definition.labels)
    return {definition.label: names} if same else {}


def _require_columns(definition: Definition, place: Hub, known: list[str]) -> None:
    problems = [
        f"task '{definition.name}': hub.columns.{ours}: {place.path} has no column "
        f"'{theirs}'{nearest(theirs, known)}"
        for ours, theirs in place.columns
        if theirs not in known
    ]
    if problems:
        raise UserError(*problems)


def _commit(definition: Definition, place: Hub, instead: str) -> str | None:
    """The commit that a revision stands for; the revision itself where the hub is not asked."""
    revision = place.revision
    if _is_offline() or (revision and re.fullmatch(r"[0-9a-f]{40}", revision)):
        return revision
    import huggingface_hub

    try:
        return str(huggingface_hub.HfApi().dataset_info(place.path, revision=revision).sha)
    except Exception as error:
        raise _unreadable(definition, place, error, instead) from error


def _unreadable(definition: Definition, place: Hub, error: Exception, instead: str) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(
        f"task '{definition.name}': the hub's {place.path} cannot be read ({reason}); {instead}"
    )


def _shown(place: Hub, commit: str | None) -> str:
    config = "" if place.config is None else f", configuration {place.config}"
    return f"{place.path}{config}, at {commit or 'a commit that is not known offline'}"


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def _require_reachable(definition: Definition, instead: str) -> None:
    """Ask the hub for a sign of life, since its client may try for minutes.

    With `HF_HUB_OFFLINE` set the hub's local cache is read and nothing is asked.
    """
    if _is_offline():
        return
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    request = urllib.request.Request(endpoint, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()  # an answer all the same
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(
            f"task '{definition.name}': its rows are not on this machine and {endpoint} cannot be "
            f"reached ({getattr(error, 'reason', error)}); {instead}, or set HF_HUB_OFFLINE=1 to "
            "read what the hub's client has in its cache"
        ) from None
