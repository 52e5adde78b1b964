"""Where a SQLite store has changed, without reading it: digests of stretches of its tables.

No table says when a row was changed. SQLite joins what answers need of a stretch of rows into one
text, which takes a fraction of the time that reading the rows does; of the stretches whose text
is another than before, it is known which experiments they speak of.
"""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ablate.tracking.sqlite import METRIC_KEYS, TAG_KEYS, File, query
from trials.spec import Json

ROWS = 50_000
"""Of a stretch; with another number, what is kept of a store has another meaning."""

_TEXTS = {
    "tags": (TAG_KEYS, "ifnull(t.value, char(29))"),
    "latest_metrics": (METRIC_KEYS, "printf('%!.17g', t.value) || t.is_nan"),
}
"""Table -> which of its rows count, and what of a row beside run and key."""


@dataclass(frozen=True)
class Stretch:
    """Some rows of a table.

    Attributes:
        digest: of what answers need of them.
        experiments: that they speak of, as ids.
    """

    digest: str
    experiments: tuple[str, ...]


Stretches = Mapping[str, Stretch]
"""Name of a stretch -> it."""


def look(file: File, before: Stretches) -> tuple[Stretches, frozenset[str]]:
    """The stretches of a store, and the experiments of those that are not as they were.

    Args:
        file: the store.
        before: its stretches at an earlier time.

    Raises:
        StoreError: it cannot be read.
    """
    with ThreadPoolExecutor() as pool:
        # SQLite works without the interpreter's lock.
        parts = [pool.submit(_runs, file)]
        parts += [pool.submit(_table, file, table, before) for table in _TEXTS]
        now = {name: stretch for part in parts for name, stretch in part.result().items()}
    other = [
        stretch
        for name in before.keys() | now.keys()
        if before.get(name) != now.get(name)
        for stretch in (before.get(name), now.get(name))
        if stretch is not None
    ]
    return now, frozenset(experiment for stretch in other for experiment in stretch.experiments)


def to_json(stretches: Stretches) -> dict[str, Json]:
    """As plain JSON types."""
    return {name: [one.digest, list(one.experiments)] for name, one in stretches.items()}


def from_json(value: Any) -> Stretches:
    """The inverse of `to_json`; raises what plain code raises on anything else."""
    return {name: Stretch(digest, tuple(found)) for name, (digest, found) in value.items()}


def _runs(file: File) -> dict[str, Stretch]:
    """One for each experiment: which runs it has, and which of them are deleted."""
    text = (
        "SELECT experiment_id, CAST(group_concat(run_uuid || lifecycle_stage || "
        "ifnull(start_time, ''), char(30)) AS BLOB) FROM runs GROUP BY experiment_id"
    )
    with closing(file.open()) as connection:
        found = query(connection, text)
    return {f"runs/{place}": Stretch(_digest(told), (str(place),)) for place, told in found}


def _table(file: File, table: str, before: Stretches) -> dict[str, Stretch]:
    keys, value = _TEXTS[table]
    where = f"t.rowid >= ? AND t.rowid < ? AND ({keys.format(key='t.key')})"
    told = (
        f"SELECT CAST(group_concat(t.run_uuid || char(31) || t.key || char(31) || {value}, "
        f"char(30)) AS BLOB) FROM {table} t NOT INDEXED WHERE {where}"
    )
    # The rows first, and the run of each: never all runs, and the rows of each.
    named = (
        f"SELECT DISTINCT r.experiment_id FROM {table} t NOT INDEXED CROSS JOIN runs r "
        f"ON r.run_uuid = t.run_uuid WHERE {where}"
    )
    made = {}
    with closing(file.open()) as connection:
        last = query(connection, f"SELECT max(rowid) FROM {table}")[0][0]
        for first in range(0, 0 if last is None else last + 1, ROWS):
            name, span = f"{table}/{first // ROWS}", (first, first + ROWS)
            digest = _digest(query(connection, told, span)[0][0])
            same = before.get(name)
            if same is None or same.digest != digest:
                places = query(connection, named, span)
                same = Stretch(digest, tuple(sorted(str(place) for (place,) in places)))
            made[name] = same
    return made


def _digest(text: bytes | None) -> str:
    return hashlib.blake2b(text or b"", digest_size=16).hexdigest()
