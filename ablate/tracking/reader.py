"""Reads studies back from MLflow, as the table that statistics take.

What was read is kept (`ablate.tracking.cache`), and read again where the store has changed.
"""

import gc
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import pandas as pd

from ablate import frame
from ablate.tracking import records
from ablate.tracking.cache import Cache, Entry
from ablate.tracking.client import Client, StoreError
from ablate.tracking.contents import Content
from ablate.tracking.known import Known, listed, nothing, updated
from ablate.tracking.server import Server
from ablate.tracking.sqlite import File, Unknown
from ablate.tracking.stretches import look
from ablate.tracking.uris import redact, sqlite_file
from trials.errors import UserError, nearest
from trials.spec import Json

Studies = str | Sequence[str] | None
Compute = Callable[[pd.DataFrame], pd.DataFrame]

_FEW_STUDIES = 4
"""So many are read faster than it is seen whether they have changed."""


def runs(uri: str, experiment: Studies = None, *, refresh: bool = False) -> pd.DataFrame:
    """The trials of studies, one row per trial, split and metric.

    Trials that a study does not ask for any more are left out, and those that have not started
    are not there: MLflow has not heard of them.

    Args:
        uri: tracking URI.
        experiment: one or more studies; None for all there are.
        refresh: read everything anew.

    Returns:
        A checked table (see `ablate.frame`).

    Raises:
        UserError: there is no such store or study, it has no trials yet, or the store does not
            answer.
    """
    reading = _Reading(uri, experiment, refresh=refresh)
    return frame.joined(reading.tables())


def computed(
    uri: str, experiment: Studies, compute: Compute, name: str, *, refresh: bool = False
) -> pd.DataFrame:
    """What a function makes of each study's table, kept until the table changes.

    Args:
        uri, experiment, refresh: as for `runs`.
        compute: from the table of one study to a table of less.
        name: what it is kept as; another one when the function changes.

    Returns:
        The parts of all studies, one below the other.

    Raises:
        UserError: as for `runs`.
    """
    reading = _Reading(uri, experiment, refresh=refresh)
    return reading.computed(compute, name)


def study_keys(uri: str, study: str) -> dict[str, Json]:
    """The keys of a study's file, with every default filled in, as they were last tracked.

    Raises:
        UserError: there is no such study, or its file is not there.
    """
    try:
        client = Client(uri)
        chosen = Server(client).studies()
        if study not in chosen:
            raise UserError(f"no study called '{study}' in {redact(uri)}{nearest(study, chosen)}")
        where = f"tags.`{records.KIND}` = 'study'"
        parents = client.runs([chosen[study]], where)
        if not parents:
            raise UserError(f"study '{study}' has no parent run in {redact(uri)}")
        return dict(json.loads(client.read_text(parents[0].id, records.CONFIG_FILE)))
    except (StoreError, ValueError) as error:
        raise UserError(f"the keys of study '{study}' cannot be read: {error}") from None


class _Reading:
    """One look at a store: what is known of some studies, brought up to date."""

    def __init__(self, uri: str, studies: Studies, *, refresh: bool) -> None:
        self._uri, self._place = uri, redact(uri)
        self._cache = Cache.of(uri)
        if refresh:
            self._cache.entries.clear()
        self._tables: dict[str, pd.DataFrame] = {}
        names = [studies] if isinstance(studies, str) else studies
        try:
            self._source = self._open()
            self._chosen = self._choose(self._source.studies(), names)
            self._read(self._chosen)
        except StoreError as error:
            raise UserError(f"tracking store {self._place} cannot be read: {error}") from None

    def tables(self) -> list[pd.DataFrame]:
        """The tables of the studies that have one."""
        found = [self._table(experiment) for experiment in self._chosen]
        return self._some([table for table in found if len(table)])

    def computed(self, compute: Compute, name: str) -> pd.DataFrame:
        """What a function makes of each table; see `computed`."""
        before, digests = self._cache.computed(name)
        now = {experiment: self._cache.entries[experiment].digest for experiment in self._chosen}
        due = [item for item in self._chosen if digests.get(item) != now[item]]
        made = [
            compute(table).assign(experiment=item)
            for item in due
            if len(table := self._table(item))
        ]
        if due:
            others = before[~before["experiment"].isin(due)] if len(before) else before
            parts = [part for part in (others, *made) if len(part)]
            before = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
            with suppress(OSError):
                self._cache.keep_computed(name, before, {**digests, **now})
        if not len(before):
            return self._some([])[0]
        order = {experiment: rank for rank, experiment in enumerate(self._chosen)}
        chosen = before[before["experiment"].isin(order)]
        ranks = chosen["experiment"].map(order).sort_values(kind="stable").index
        return self._some([chosen.loc[ranks]])[0].drop(columns="experiment").reset_index(drop=True)

    def _open(self) -> File | Server:
        file = sqlite_file(self._uri)
        if file is None:
            return Server(Client(self._uri))
        if not file.exists():
            # Connecting would make an empty store.
            raise UserError(f"no tracking store at {self._place}: nothing was tracked there yet")
        try:
            return File(file)
        except Unknown:
            return Server(Client(self._uri))

    def _choose(self, found: dict[str, str], names: Sequence[str] | None) -> list[str]:
        """Ids of the experiments of studies."""
        unknown = [] if names is None else [name for name in names if name not in found]
        if unknown:
            raise UserError(
                *(
                    f"no study called '{name}' in {self._place}{nearest(name, found)}"
                    for name in unknown
                )
            )
        chosen = found if names is None else names
        return list(dict.fromkeys(found[name] for name in chosen))

    def _read(self, experiments: Sequence[str]) -> None:
        if isinstance(self._source, File):
            self._read_file(self._source, experiments)
        else:
            self._read_server(self._source, experiments)
        # Without a place to keep it, everything is read again the next time.
        with suppress(OSError):
            self._cache.close()

    def _read_file(self, file: File, experiments: Sequence[str]) -> None:
        mark = file.mark()
        due = self._due(experiments, mark)
        if mark is not None and mark != self._cache.looked and len(due) > _FEW_STUDIES:
            found = look(file, self._cache.stretches)
            # What was written meanwhile would be in the stretches, and not in what was read before.
            if file.mark() == mark:
                self._cache.look(mark, *found)
                due = self._due(experiments, mark)
        entries = self._cache.entries
        read: dict[str, dict[str, Content]] = {experiment: {} for experiment in due}
        with _uncollected():
            for experiment, content in file.contents(due) if due else ():
                read[experiment][content.run] = content
            digests = {
                experiment: listed({run: content.digest for run, content in contents.items()})
                for experiment, contents in read.items()
            }
        for experiment, contents in read.items():
            digest = digests[experiment]
            entry = Entry(mark, digest)
            if experiment in entries and entries[experiment].digest == digest:
                self._cache.note(experiment, entry)
                continue
            known = self._cache.known(experiment) or nothing()
            gone = set(known.runs["run"]) - contents.keys()
            fetch = partial(map, contents.__getitem__)
            after = updated(known, contents, gone, fetch, now=_now(), source=self._place)
            self._keep(experiment, after, entry)

    def _due(self, experiments: Sequence[str], mark: Json) -> list[str]:
        """Those that are not known as they are at a mark of the file."""
        entries = self._cache.entries
        return [
            e for e in experiments if e not in entries or mark is None or entries[e].mark != mark
        ]

    def _read_server(self, server: Server, experiments: Sequence[str]) -> None:
        entries = self._cache.entries
        # A mark of the file's own reader says nothing here.
        seen = [e for e in experiments if e in entries and isinstance(entries[e].mark, dict)]
        known = {e: found for e in seen if (found := self._cache.known(e)) is not None}
        now = _now()
        marks = {e: (entries[e].mark, found.runs) for e, found in known.items()}
        for experiment, news in server.news(experiments, marks, now=now).items():
            before = known.get(experiment) or nothing()
            fetch = partial(server.fetch, experiments=[experiment])
            after = updated(before, news.contents, news.gone, fetch, now=now, source=self._place)
            self._keep(experiment, after, Entry(news.mark, after.digest))

    def _keep(self, experiment: str, known: Known, entry: Entry) -> None:
        self._tables[experiment] = known.table
        with suppress(OSError):
            self._cache.keep(experiment, known, entry)
        self._cache.note(experiment, entry)

    def _table(self, experiment: str) -> pd.DataFrame:
        if experiment not in self._tables:
            found = self._cache.table(experiment)
            if found is None:
                # Another process is writing it, or somebody removed it.
                del self._cache.entries[experiment]
                self._read([experiment])
                return self._tables[experiment]
            self._tables[experiment] = found
        return self._tables[experiment]

    def _some(self, tables: list[pd.DataFrame]) -> list[pd.DataFrame]:
        if not sum(map(len, tables)):
            raise UserError(f"no trials in {self._place} yet")
        return tables


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for garbage: of a hundred thousand runs none is, and looking takes longer."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _now() -> int:
    return time.time_ns() // 1_000_000
