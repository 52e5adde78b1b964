"""Reads studies back from MLflow, as the table that statistics take."""

from collections.abc import Sequence

import pandas as pd

from ablate import frame
from ablate.tracking import records
from ablate.tracking.client import Client, Experiment, StoreError
from ablate.tracking.uris import redact, sqlite_file
from trials.errors import UserError, nearest


def runs(uri: str, experiment: str | Sequence[str] | None = None) -> pd.DataFrame:
    """The trials of studies, one row per trial, split and metric.

    Trials that a study does not ask for any more are left out, and those that have not started
    are not there: MLflow has not heard of them.

    Args:
        uri: tracking URI.
        experiment: one or more studies; None for all there are.

    Returns:
        A checked table (see `ablate.frame`).

    Raises:
        UserError: there is no such store or study, it has no trials yet, or the store does not
            answer.
    """
    try:
        return _read(uri, [experiment] if isinstance(experiment, str) else experiment)
    except StoreError as error:
        raise UserError(f"tracking store {redact(uri)} cannot be read: {error}") from None


def _read(uri: str, names: Sequence[str] | None) -> pd.DataFrame:
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        # Connecting would make an empty store.
        raise UserError(f"no tracking store at {redact(uri)}: nothing was tracked there yet")
    client = Client(uri)
    chosen = _chosen(client, names, redact(uri))
    found = client.runs(chosen, f"tags.`{records.KIND}` = 'trial'") if chosen else ()
    rows = [
        row
        for run in found
        if run.tags.get("ablate.stale") != "true"
        and (content := records.row_of(run.tags)) is not None
        for row in records.table_rows(content, run.tags[records.TRIAL])
    ]
    if not rows:
        raise UserError(f"no trials in {redact(uri)} yet")
    return frame.check(pd.DataFrame(rows), source=redact(uri))


def _chosen(client: Client, names: Sequence[str] | None, place: str) -> list[str]:
    """Ids of the experiments of studies."""
    found: dict[str, Experiment] = {
        item.tags[records.STUDY]: item
        for item in client.experiments()
        if records.STUDY in item.tags
    }
    if names is None:
        return [item.id for item in found.values()]
    unknown = [name for name in names if name not in found]
    if unknown:
        raise UserError(
            *(f"no study called '{name}' in {place}{nearest(name, found)}" for name in unknown)
        )
    return [found[name].id for name in names]
