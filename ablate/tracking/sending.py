"""Sends one trial to its run: what is missing there, in an order that survives being cut off.

A trial's run gets its final status and time last, so a run that has them needs no more values.
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ablate.journal import Trial
from ablate.tracking import records
from ablate.tracking.client import MAX_PARAMS, MAX_TAGS, Client, Point, Run
from ablate.tracking.facts import CellInfo, StudyInfo
from trials.spec import digest


@dataclass(slots=True)
class Sent:
    """What the store has of one run, as far as it is known.

    Attributes:
        name, status, end: of the run; `end` in unix milliseconds.
        tags: digest of the tags that were sent.
        told: the tags that were sent, until the run has ended; then they only take memory.
        steps: steps whose reports are there; None before anybody looked.
        found: the run as it was found in the store, until it is compared for the first time.
        signature: of the trial when everything of it was sent; None while something is due.
        values: a cell's summary.
        cell: a cell as it was sent; None while something is due.
    """

    run: str
    start: int
    name: str
    status: str
    end: int | None = None
    tags: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    steps: set[int] | None = None
    found: Run | None = None
    signature: tuple[object, ...] | None = None
    values: Mapping[str, float] | None = None
    cell: CellInfo | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A trial to be sent, and what it belongs to.

    Attributes:
        signature: changes whenever the trial has something to send.
        cell: None where the study does not ask for the trial any more.
    """

    trial: Trial
    signature: tuple[object, ...]
    cell: CellInfo | None
    study: StudyInfo
    parent: str


def known(run: Run) -> Sent:
    """A run that was found in the store."""
    return Sent(
        run=run.id,
        start=run.start,
        name=run.name,
        status=run.status,
        end=run.end,
        found=run,
        values=run.metrics,
    )


def made(run: Run, tags: Mapping[str, str]) -> Sent:
    """A run that has just been made with these tags."""
    return Sent(
        run=run.id,
        start=run.start,
        name=run.name,
        status=run.status,
        tags=digest(tags),
        told=dict(tags),
        steps=set(),
        values={},
    )


def send_trial(client: Client, experiment: str, sent: Sent | None, job: Job) -> Sent:
    """Bring a trial's run up to date.

    Args:
        client: the store.
        experiment: id of the experiment.
        sent: the trial's run; None where it has none yet. It is brought up to date as well.
        job: the trial.

    Raises:
        StoreError: something could not be sent.
    """
    want = records.record(job.trial, job.cell, job.study)
    is_new = sent is None
    if sent is None:
        start = _now() if want.start is None else want.start
        tags = {**want.tags, records.PARENT: job.parent}
        sent = made(client.create(experiment, want.name, start, tags), want.tags)
    _rename(client, sent, want)
    is_ended = want.end is not None and (sent.status, sent.end) == (want.status, want.end)
    points = [] if is_ended else _due_points(client, sent, job.trial)
    params, tags = _due_params(sent, job.trial, is_new), due_tags(sent, want.tags)
    if is_new or points or params or tags:
        # Whoever reads asks for what was sent since; see `ablate.tracking.server`.
        points = [*points, [Point(records.SENT, float(_now()), _now(), 0)]]
    send(client, sent.run, points, params, tags)
    if want.end is None:
        sent.steps = (sent.steps or set()) | set(job.trial.reports)
    elif not is_ended:
        _send_files(client, sent.run, job)
        client.end(sent.run, want.status, want.end)
        sent.status, sent.end = want.status, want.end
        # Should the trial be retried, the store is asked; until then they only take memory.
        sent.steps = None
    sent.tags, sent.told = digest(want.tags), want.tags if want.end is None else {}
    sent.found, sent.signature = None, job.signature
    return sent


def send(
    client: Client,
    run: str,
    reports: Iterable[list[Point]],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    """Send values in as few requests as MLflow's limits allow."""
    parts = itertools.zip_longest(
        records.batches(reports), _chunks(params, MAX_PARAMS), _chunks(tags, MAX_TAGS)
    )
    for points, some_params, some_tags in parts:
        client.log(run, points=points or (), params=some_params, tags=some_tags)


def due_tags(sent: Sent, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that the store does not have."""
    if sent.found is not None:
        return {name: text for name, text in tags.items() if sent.found.tags.get(name) != text}
    if sent.tags == digest(tags):
        return {}
    return {name: text for name, text in tags.items() if sent.told.get(name) != text}


def _rename(client: Client, sent: Sent, want: records.Record) -> None:
    """Bring name and, unless the trial has ended, status up to date."""
    if want.end is None and sent.status != want.status:
        client.update(sent.run, status=want.status)
        sent.status = want.status
    if sent.name != want.name:
        client.update(sent.run, name=want.name)
        sent.name = want.name


def _due_params(sent: Sent, trial: Trial, is_new: bool) -> dict[str, str]:
    """A parameter is written once: MLflow refuses another value."""
    if sent.found is None:
        return records.params(trial) if is_new else {}
    there = sent.found.params
    return {name: text for name, text in records.params(trial).items() if name not in there}


def _due_points(client: Client, sent: Sent, trial: Trial) -> list[list[Point]]:
    """The reports that the store does not have, and the result of a trial that has ended.

    The first report of a step stays. A trial that was cut off and resumed reports a step twice,
    at other times; asking the store which steps it has keeps one point a step.
    """
    if sent.steps is None:
        has_any = sent.found is None or records.MARKER in sent.found.metrics
        sent.steps = client.steps(sent.run, records.MARKER) if has_any and trial.reports else set()
    due = [step for step in sorted(trial.reports) if step not in sent.steps]
    reports = [records.report_points(trial.reports[step], sent.start) for step in due]
    return [*reports, records.result_points(trial)] if trial.final else reports


def _send_files(client: Client, run: str, job: Job) -> None:
    root = job.study.folder / "trials" / job.trial.id
    for path in job.study.keep_files(job.trial.id):
        if path.exists():
            client.file(run, path, _folder_of(path, root))


def _folder_of(path: Path, root: Path) -> str | None:
    """Where a file goes among the run's: as it lies in the trial's folder."""
    if not path.is_relative_to(root) or path == root:
        return None
    inside = path.relative_to(root)
    folder = inside if path.is_dir() else inside.parent
    return None if folder == Path() else folder.as_posix()


def _chunks(values: Mapping[str, str], size: int) -> Iterator[dict[str, str]]:
    items = list(values.items())
    return (dict(items[i : i + size]) for i in range(0, len(items), size))


def _now() -> int:
    return records.milliseconds(time.time())
