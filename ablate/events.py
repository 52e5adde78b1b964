"""What can happen to a study: the events of its journal, before and after they are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trials.spec import Json, Progress, TrialResult


@dataclass(frozen=True)
class Entry:
    """An event before the journal has given it a number and a time."""

    kind: str
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal: its place in the record, unix seconds, and what happened."""

    seq: int
    time: float
    kind: str
    data: Mapping[str, Json]


def revised(
    *,
    revision: int,
    study: Mapping[str, Json],
    digest: str,
    added: Sequence[str],
    after_results: bool,
    plan_counts: Mapping[str, int],
    contents: Mapping[str, Json],
) -> Entry:
    """The study as it is from now on.

    `added` says in words what the revision brought; `contents` holds its `cells`, `seeds`,
    `claims` and, of a race, `looks`, from which follows what was there before results were seen;
    `warm`, what searches are told before their first ask; and `measured`, the keys by which they
    may not be repeatable.
    """
    return Entry("revised", dict(locals()))


def asked(cell: str, ask: int, values: Mapping[str, Json], trials: Sequence[str]) -> Entry:
    """The tuner of a cell proposed values, which these trials measure."""
    return Entry("asked", dict(locals()))


def chosen(cell: str, rank: int, ask: int, values: Mapping[str, Json]) -> Entry:
    """The values at this rank of a cell (1 is best) go on to confirmation."""
    return Entry("chosen", dict(locals()))


def planned(
    trial: str,
    spec: Mapping[str, Json],
    *,
    cell: str,
    revision: int,
    ask: int | None = None,
    rank: int | None = None,
    late: bool = False,
) -> Entry:
    """A trial belongs to the study; `late` when it was added after results were seen."""
    return Entry("planned", dict(locals()))


def started(trial: str, attempt: int) -> Entry:
    """A trial began, or went on from its checkpoint."""
    return Entry("started", dict(locals()))


def reported(trial: str, progress: Progress) -> Entry:
    """A running trial was evaluated."""
    return Entry("reported", {"trial": trial, "progress": progress.to_json()})


def reused(trial: str, study: str) -> Entry:
    """Another study of the store finished this very trial; its reports and end follow."""
    return Entry("reused", dict(locals()))


def finished(trial: str, result: TrialResult) -> Entry:
    """A trial ended, with whatever final status."""
    return Entry("finished", {"trial": trial, "result": result.to_json()})


def looked(
    trials: str,
    num_trials: int,
    tests: Sequence[Mapping[str, Json]],
    *,
    at: float,
    batch: int | None = None,
) -> Entry:
    """Somebody, or a race, looked at results: the ledger's entry.

    `trials` is the digest of those that were there to see, `tests` what was tested on them, `at`
    when in unix seconds, `batch` the revision whose race took the look; None for a report.
    """
    return Entry("looked", dict(locals()))


def extended(cells: Mapping[str, int]) -> Entry:
    """These cells train as many seeds as said from now on, for a race has not decided yet."""
    return Entry("extended", dict(locals()))


def retried(trial: str) -> Entry:
    """A failed trial waits again."""
    return Entry("retried", dict(locals()))


def mended(segment: str, line: int, reason: str, num_lines: int) -> Entry:
    """The journal was damaged from this line of a segment on; so many lines were set aside."""
    return Entry("mended", dict(locals()))


def ended(reason: str, why: str | None = None) -> Entry:
    """The writer stopped on its own account; `why` says which limit it had reached."""
    return Entry("ended", {"reason": reason} if why is None else {"reason": reason, "why": why})
