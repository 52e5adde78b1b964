"""Keeps what was read of a tracking store as Parquet files, so that it is read once.

<place>/index.json           per study: what the store looked like when it was read, a digest of it;
                             stretches of a file's tables, and what it looked like when they were
        <study>.runs.parquet   its runs
        <study>.table.parquet  its table
        <name>.parquet         what was computed from the tables, one part a study

Files are replaced whole, and count only where their digests agree: whoever reads while another
process writes sees one state or the other, or reads the store again.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ablate import frame
from ablate.tracking import parquet
from ablate.tracking.known import RUNS, Known
from ablate.tracking.stretches import Stretches, from_json, to_json
from ablate.tracking.uris import sqlite_file
from trials.spec import Json

FORMAT = 3
"""Raised when the files, or the rows that follow from a run, change their meaning."""

_USERS = "~/.cache"


@dataclass(frozen=True)
class Entry:
    """One study in the index.

    Attributes:
        mark: what the store looked like when it was read; None where that cannot be told.
        digest: of what was read.
    """

    mark: Json
    digest: str


@dataclass
class Cache:
    """The files of one store.

    Attributes:
        folder: where they are; made when the first is written.
        entries: of the index, by experiment.
        looked: what the store looked like when its stretches were looked at.
        stretches: of a SQLite file.
    """

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    looked: Json = None
    stretches: Stretches = field(default_factory=dict)
    _changed: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def of(cls, uri: str) -> "Cache":
        """The cache of a store, as the last process left it."""
        folder = place(uri)
        return cls(folder, *_read_index(folder))

    def known(self, experiment: str) -> Known | None:
        """What is known of a study; None where that is nothing, or cannot be used."""
        entry = self.entries.get(experiment)
        runs = parquet.load(self._file(experiment, "runs"))
        table = parquet.load(self._file(experiment, "table"))
        if entry is None or runs is None or table is None:
            return None
        if not runs[1].get("digest") == table[1].get("digest") == entry.digest:
            return None
        if list(runs[0].columns) != list(RUNS):
            return None
        return Known(runs[0], frame.restored(table[0]))

    def table(self, experiment: str) -> pd.DataFrame | None:
        """The table alone."""
        entry, found = self.entries.get(experiment), parquet.load(self._file(experiment, "table"))
        if entry is None or found is None or found[1].get("digest") != entry.digest:
            return None
        return frame.restored(found[0])

    def keep(self, experiment: str, known: Known, entry: Entry) -> None:
        """Write what is known of a study; `note` it as well."""
        self._make()
        about: dict[str, Json] = {"digest": entry.digest}
        parquet.save(self._file(experiment, "runs"), known.runs, about)
        parquet.save(self._file(experiment, "table"), known.table, about)

    def note(self, experiment: str, entry: Entry) -> None:
        """Put a study into the index, which `close` writes."""
        self.entries[experiment] = self._changed[experiment] = entry

    def look(self, mark: Json, stretches: Stretches, other: Collection[str]) -> None:
        """Note how the store's stretches are now.

        What was read when they were looked at before is as good as read now, but for experiments
        that the stretches which are not as they were speak of.
        """
        if self.looked is not None:
            for experiment, entry in self.entries.items():
                if entry.mark == self.looked and experiment not in other:
                    self._changed[experiment] = Entry(mark, entry.digest)
        self.entries = {**self.entries, **self._changed}
        self.looked, self.stretches = mark, stretches

    def close(self) -> None:
        """Write the index, with what other processes wrote of other studies meanwhile."""
        if not self._changed:
            return
        self._make()
        entries = {**_read_index(self.folder)[0], **self._changed}
        content = {
            "format": FORMAT,
            "studies": {name: [entry.mark, entry.digest] for name, entry in entries.items()},
            "looked": self.looked,
            "stretches": to_json(self.stretches),
        }
        part = self.folder / f".index.{os.getpid()}-{os.urandom(4).hex()}"
        part.write_text(json.dumps(content), encoding="utf-8")
        part.replace(self.folder / "index.json")

    def computed(self, name: str) -> tuple[pd.DataFrame, Mapping[str, str]]:
        """What was computed from the tables, and the digest of each study's when it was."""
        found = parquet.load(self.folder / f"{name}.parquet")
        if found is None or found[1].get("format") != FORMAT:
            return pd.DataFrame(), {}
        return found[0], found[1]["digests"]

    def keep_computed(self, name: str, values: pd.DataFrame, digests: Mapping[str, str]) -> None:
        """Write what was computed."""
        self._make()
        about: dict[str, Json] = {"format": FORMAT, "digests": dict(digests)}
        parquet.save(self.folder / f"{name}.parquet", values, about)

    def _file(self, experiment: str, kind: str) -> Path:
        return self.folder / f"{experiment}.{kind}.parquet"

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _read_index(folder: Path) -> tuple[dict[str, Entry], Json, Stretches]:
    try:
        content = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            return {}, None, {}
        entries = {name: Entry(*of_study) for name, of_study in content["studies"].items()}
        return entries, content["looked"], from_json(content["stretches"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, None, {}


def place(uri: str) -> Path:
    """Where a store's cache is: beside a SQLite file, else in the user's cache folder."""
    file = sqlite_file(uri)
    if file is not None:
        beside = file.absolute().with_name(f"{file.name}.cache")
        if os.access(beside if beside.exists() else beside.parent, os.W_OK):
            return beside
    # Another user may be shown other runs: who asks is part of the name, unreadably.
    asker = "\0".join([uri, os.environ.get("MLFLOW_TRACKING_USERNAME", "")])
    name = hashlib.sha256(asker.encode()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or _USERS).expanduser()
    return root / "ablate" / name
