"""Reads the runs of a SQLite store straight from its file, a hundred times as fast as MLflow does.

Only reads, in one transaction, so that what is read belongs together. A file whose tables are not
those that this knows is refused, and read through MLflow then.
"""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ablate.tracking import records
from ablate.tracking.client import StoreError
from ablate.tracking.contents import OTHER_KEYS, ROW_KEYS, SPLITS, Content
from trials.spec import Json

_NEEDED = {
    "experiments": {"experiment_id", "lifecycle_stage"},
    "experiment_tags": {"experiment_id", "key", "value"},
    "runs": {"run_uuid", "experiment_id", "lifecycle_stage", "start_time"},
    "tags": {"run_uuid", "key", "value"},
    "latest_metrics": {"run_uuid", "key", "value", "is_nan"},
}
_WAIT_SECONDS = 20.0
_FEW = 0.2
"""Share of a store's runs up to which they are looked up one by one."""

_COUNTER = slice(24, 28)
_WAL = 18
"""Where the header has the file's change counter, and whether a log is written ahead."""


class Unknown(Exception):
    """The file's tables are not those that this version of ablate reads."""


class File:
    """One SQLite store."""

    def __init__(self, path: Path) -> None:
        """Open it for reading.

        Raises:
            Unknown: its tables are not the expected ones.
            StoreError: it cannot be read.
        """
        self._path = path
        with closing(self.open()) as connection:
            for table, needed in _NEEDED.items():
                rows = query(connection, f"SELECT name FROM pragma_table_info('{table}')")
                if not needed <= {name for (name,) in rows}:
                    raise Unknown(table)
            rows = query(connection, "SELECT name FROM pragma_table_info('experiments')")
            self._has_workspaces = ("workspace",) in rows

    def studies(self) -> dict[str, str]:
        """Experiment ids of the studies that are not deleted, by study."""
        where = " AND e.workspace = 'default'" if self._has_workspaces else ""
        with closing(self.open()) as connection:
            rows = query(
                connection,
                "SELECT t.value, e.experiment_id FROM experiments e JOIN experiment_tags t "
                "ON t.experiment_id = e.experiment_id AND t.key = ? "
                f"WHERE e.lifecycle_stage = 'active'{where} ORDER BY e.experiment_id",
                [records.STUDY],
            )
        return {str(study): str(experiment) for study, experiment in rows}

    def mark(self) -> Json:
        """Changes with every change of the file; None where that cannot be told.

        To be taken before reading: what is written meanwhile then shows as a change.
        """
        try:
            about = self._path.stat()
            with self._path.open("rb") as file:
                header = file.read(100)
        except OSError as error:
            raise StoreError(f"cannot be read: {error.strerror}") from None
        if header[_WAL : _WAL + 1] != b"\1":
            # Its counter does not count what still stands in the log.
            return None
        counter = int.from_bytes(header[_COUNTER], "big")
        return [about.st_ino, about.st_size, about.st_mtime_ns, counter]

    def contents(self, experiments: Sequence[str]) -> Iterator[tuple[str, Content]]:
        """Every trial's run of experiments that is not deleted, with its experiment."""
        ours = f"""r.lifecycle_stage = 'active' AND r.experiment_id IN
            ({", ".join(str(int(experiment)) for experiment in experiments)})"""
        with closing(self.open()) as connection:
            connection.execute("BEGIN")
            text = f"SELECT run_uuid, experiment_id, start_time FROM runs r WHERE {ours}"
            runs = {run: (str(place), int(start or 0)) for run, place, start in
                    query(connection, text)}  # fmt: skip
            total = query(connection, "SELECT count(*) FROM runs")[0][0]
            few = ours if len(runs) < _FEW * total else None
            tags: dict[str, dict[str, str]] = {run: {} for run in runs}
            for run, key, value in query(connection, _query("tags", "value", TAG_KEYS, few)):
                if run in tags:
                    tags[run][key] = value
            metrics: dict[str, dict[str, float]] = {run: {} for run in runs}
            wanted = _query("latest_metrics", "value, is_nan", METRIC_KEYS, few)
            for run, key, value, is_nan in query(connection, wanted):
                if run in metrics:
                    metrics[run][key] = math.nan if is_nan else float(value)
        for run, (experiment, start) in runs.items():
            if tags[run].get(records.KIND) == "trial":
                yield experiment, Content(run, start, tags[run], metrics[run])

    def open(self) -> sqlite3.Connection:
        """A connection that only reads.

        Raises:
            StoreError: there can be none.
        """
        try:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            return sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"cannot be read: {error}") from None


def query(
    connection: sqlite3.Connection, text: str, values: Sequence[str | int] = ()
) -> list[tuple[Any, ...]]:
    """All rows that a query finds.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        return connection.execute(text, values).fetchall()
    except sqlite3.Error as error:
        raise StoreError(f"cannot be read: {error}") from None


def _prefixes(*prefixes: str) -> str:
    """Keys with a prefix; cheaper than LIKE."""
    return " OR ".join(f"substr({{key}}, 1, {len(prefix)}) = '{prefix}'" for prefix in prefixes)


TAG_KEYS = f"{_prefixes(ROW_KEYS)} OR {{key}} IN {OTHER_KEYS}"
METRIC_KEYS = _prefixes(*(f"{split}/" for split in SPLITS))
"""Which tags and metrics answers need, as a condition on a `{key}`."""


def _query(table: str, columns: str, keys: str, few: str | None) -> str:
    """Rows of a table with certain keys: of all runs in the table's own order, of a few by run.

    Of all runs the index of keys would be slower: it names rows all over the table.
    """
    if few is None:
        where = keys.format(key="key")
        return f"SELECT run_uuid, key, {columns} FROM {table} NOT INDEXED WHERE {where}"
    return (
        f"SELECT t.run_uuid, t.key, {columns} FROM runs r JOIN {table} t "
        f"ON t.run_uuid = r.run_uuid WHERE {few} AND ({keys.format(key='+t.key')})"
    )
