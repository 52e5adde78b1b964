"""Whether MLflow shows what the journal says: every trial once, with its status and numbers."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.doctor.finding import Finding, count, some
from ablate.journal import State, Trial
from ablate.tracking import CellInfo, StoreError, StudyInfo, Tracker, records
from ablate.tracking.client import Client, Run
from ablate.tracking.uris import sqlite_file
from trials.errors import UserError

PART = "MLflow and journal"
_CLOSE = 1e-9
"""Relative difference that a database may make of a number."""


@dataclass(frozen=True)
class Difference:
    """One thing in which a store and a journal differ.

    Attributes:
        what: in words.
        run: the run that is wrong and cannot be corrected; None where one is missing or behind.
    """

    what: str
    run: str | None


def tracked(
    uri: str,
    state: State,
    cells: Sequence[CellInfo],
    study: StudyInfo,
    *,
    awaited: Collection[str] = (),
    mend: bool,
) -> Finding:
    """Compare a tracking store with a study's journal, which nobody may be writing.

    Args:
        uri: of the store.
        state: the journal's.
        cells, study: what MLflow is to know of them.
        awaited: ids of trials that were set aside with a damage, to be taken over by the next run.
        mend: whether wrong runs are deleted (MLflow can bring them back) and sent again.
    """
    file = sqlite_file(uri)
    remedy = "--mend sends what the journal has; so does the next run"
    if file is not None and not file.is_file():
        text = f"{file} is not there: nothing was tracked"
        return Finding(PART, "warning", text, "a run that tracks sends what the journal has")
    try:
        client = Client(uri)
        found = list(differences(client, state, study, awaited))
        if found and mend:
            _send(client, uri, state, cells, study, found)
            left = list(differences(client, state, study, awaited))
            if not left:
                return Finding(PART, "mended", f"sent again: {_words(found)}")
            found, remedy = left, "this could not be mended: look at the runs in MLflow"
    except (StoreError, UserError) as error:
        return Finding(PART, "broken", str(error))
    if found:
        return Finding(PART, "broken", _words(found), remedy)
    runs = sum(trial.status != "waiting" for trial in state.trials.values())
    return Finding(PART, "ok", f"{count(runs, 'trial')}, each in one run with its own numbers")


def differences(
    client: Client, state: State, study: StudyInfo, awaited: Collection[str] = ()
) -> Iterator[Difference]:
    """Runs that are missing, twice, unknown, open, or with other values than the journal has."""
    experiment = client.experiment(study.name)
    runs = [] if experiment is None else client.runs([experiment.id])
    ours = [run for run in runs if run.tags.get(records.KIND) == "trial"]
    of_trial: dict[str, Run] = {}
    for run in ours:
        identity = run.tags.get(records.TRIAL, "")
        if identity not in state.trials and identity in awaited:
            continue
        if identity not in state.trials:
            yield Difference(f"the journal does not know trial {identity[:12]}", run.id)
        elif identity in of_trial:
            yield Difference(f"trial {identity[:12]} has two runs", run.id)
        else:
            of_trial[identity] = run
    for trial in state.trials.values():
        run_of = of_trial.get(trial.id)
        if run_of is not None:
            yield from _of_run(client, trial, run_of)
        elif trial.status != "waiting":
            yield Difference(f"trial {trial.id[:12]} has no run", None)


def _of_run(client: Client, trial: Trial, run: Run) -> Iterator[Difference]:
    name = f"trial {trial.id[:12]}"
    want = records.run_status(trial.status)
    if not trial.final:
        if run.status == "RUNNING":
            yield Difference(f"{name} is shown as running, and nobody runs it", None)
        return
    if run.status != want:
        yield Difference(f"{name} is shown as {run.status}, and is {trial.status}", run.id)
        return
    other = [
        point.key
        for point in records.result_points(trial)
        if not math.isclose(run.metrics.get(point.key, math.nan), point.value, rel_tol=_CLOSE)
    ]
    if other:
        yield Difference(f"{name} has other values of {some(other)}", run.id)
    elif client.steps(run.id, records.MARKER) != set(trial.reports):
        yield Difference(f"{name} has other steps on its curves", run.id)


def _send(
    client: Client,
    uri: str,
    state: State,
    cells: Sequence[CellInfo],
    study: StudyInfo,
    found: Sequence[Difference],
) -> None:
    for run in {item.run: None for item in found if item.run is not None}:
        client.delete(run)
    tracker = Tracker(uri, study.name, artifacts=None, client=client)
    tracker.sync(state, cells, study)
    tracker.close(interrupted=state.ended in (None, "stopped"))


def _words(found: Sequence[Difference]) -> str:
    counted: Mapping[str, int] = Counter(item.what for item in found)
    return some(list(counted))
