"""The append-only record of a study, and the state that it adds up to.

A journal is a folder of numbered segments (`000001.jsonl`, ...), one event a line. Every writer
starts a segment of its own, so that a line torn by a crash stays the last of its file: it was
never acknowledged and is dropped. Any other damage is refused by file and line; a line carries a
check of its own text, and numbers run without a gap, so nothing can go missing unseen.
"""

import fcntl
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from trials.errors import Problem, UserError
from trials.spec import FAILED, Progress, TrialResult, TrialSpec, canonical_json

Json = Any
SEGMENT_BYTES = 8_000_000
"""A segment that has grown past this is closed and followed by a new one."""

_SEGMENT = re.compile(r"\d{6}\.jsonl")
_RESERVED = ("seq", "time", "event", "check")
_CHECK = b',"check":"'
_TAIL = len(_CHECK) + 16 + len(b'"}')
# A lost report is reported again by the resumed trial, a lost start shows in nothing.
_UNSYNCED = frozenset({"reported", "started"})


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
    contents: Mapping[str, Sequence[Json]],
) -> Entry:
    """The study as it is from now on.

    `added` says in words what the revision brought; `contents` holds its `cells`, `seeds` and
    `claims`, from which follows what was there before results were seen.
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


def finished(trial: str, result: TrialResult) -> Entry:
    """A trial ended, with whatever final status."""
    return Entry("finished", {"trial": trial, "result": result.to_json()})


def retried(trial: str) -> Entry:
    """A failed trial waits again."""
    return Entry("retried", dict(locals()))


def ended(reason: str) -> Entry:
    """The writer stopped on its own account."""
    return Entry("ended", dict(locals()))


@dataclass(frozen=True)
class Ask:
    """One set of nuisance values of a cell and the trials that measure it."""

    number: int
    values: Mapping[str, Json]
    trials: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """Values that go on to confirmation."""

    rank: int
    ask: int
    values: Mapping[str, Json]


@dataclass(frozen=True)
class Revision:
    """A version of the study, and when it came."""

    revision: int
    study: Mapping[str, Json]
    digest: str
    added: tuple[str, ...]
    after_results: bool
    plan_counts: Mapping[str, int]
    contents: Mapping[str, Sequence[Json]]
    time: float


@dataclass(slots=True)
class Trial:
    """One trial as the journal knows it.

    Mutable, and its parts stay JSON until asked for: a study may hold 50,000 of them.

    Attributes:
        id: content id of the spec.
        spec_json: the spec as plain JSON; `spec` builds the object.
        attempts: number of the latest attempt; 0 before the first.
        status: `waiting`, `running`, or the final status of the result.
        reports: step -> latest report at that step, as plain JSON; `progress` builds the objects.
        result_json: the result as plain JSON; `result` builds the object.
        started_at: unix seconds of the first start since it last waited.
    """

    id: str
    spec_json: Mapping[str, Json]
    cell: str
    ask: int | None
    rank: int | None
    revision: int
    late: bool
    attempts: int = 0
    status: str = "waiting"
    reports: dict[int, Mapping[str, Json]] = field(default_factory=dict)
    result_json: Mapping[str, Json] | None = None
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def spec(self) -> TrialSpec:
        """The recipe, built anew at each reading."""
        return TrialSpec.from_json(self.spec_json)

    @property
    def progress(self) -> tuple[Progress, ...]:
        """The reports in step order; a resumed trial's second report of a step replaces."""
        return tuple(Progress.from_json(self.reports[step]) for step in sorted(self.reports))

    @property
    def result(self) -> TrialResult | None:
        """What the trial left behind; None until it is final."""
        return None if self.result_json is None else TrialResult.from_json(self.result_json)

    @property
    def final(self) -> bool:
        """Whether the trial has ended, in whatever way."""
        return self.status not in ("waiting", "running")


@dataclass
class State:
    """What all events so far add up to.

    Attributes:
        trials: by id, in the order planned.
        asks: cell -> its asks by number.
        chosen: cell -> rank -> the values chosen last for that rank.
        revisions: the versions of the study, oldest first.
        ended: why the last writer stopped; None while it runs or when it was killed.
        last_seq: number of the latest event.
    """

    trials: dict[str, Trial] = field(default_factory=dict)
    asks: dict[str, list[Ask]] = field(default_factory=dict)
    chosen: dict[str, dict[int, Chosen]] = field(default_factory=dict)
    revisions: list[Revision] = field(default_factory=list)
    ended: str | None = None
    last_seq: int = 0

    def apply(self, event: Event) -> None:
        """Take in one more event; nothing changes when it is refused.

        Raises:
            ValueError: the event is out of order, unknown, incomplete or contradicts the state.
        """
        if event.seq <= self.last_seq:
            raise ValueError(f"event {event.seq} follows event {self.last_seq}")
        if event.kind not in _HANDLERS:
            raise ValueError(f"event {event.seq}: unknown event '{event.kind}'")
        try:
            _HANDLERS[event.kind](self, event)
        except (KeyError, TypeError) as error:
            message = f"event {event.seq} ({event.kind}) is incomplete: {error}"
            raise ValueError(message) from None
        if event.kind != "ended":
            self.ended = None
        self.last_seq = event.seq

    def open_trials(self) -> tuple[Trial, ...]:
        """The trials that started and have not ended: running, or cut off with their driver."""
        return tuple(t for t in self.trials.values() if t.status == "running")

    def _known(self, event: Event) -> Trial:
        trial = self.trials.get(event.data["trial"])
        if trial is None:
            raise ValueError(f"event {event.seq}: trial {event.data['trial']} was never planned")
        return trial

    def _revised(self, event: Event) -> None:
        data = {f.name: event.data[f.name] for f in fields(Revision) if f.name != "time"}
        data["added"] = tuple(data["added"])
        self.revisions.append(Revision(**data, time=event.time))

    def _asked(self, event: Event) -> None:
        data = event.data
        ask = Ask(data["ask"], data["values"], tuple(data["trials"]))
        expected = len(self.asks.get(data["cell"], ()))
        if ask.number != expected:
            raise ValueError(f"event {event.seq}: ask {ask.number} where {expected} was due")
        self.asks.setdefault(data["cell"], []).append(ask)

    def _chosen(self, event: Event) -> None:
        data = event.data
        choice = Chosen(data["rank"], data["ask"], data["values"])
        self.chosen.setdefault(data["cell"], {})[choice.rank] = choice

    def _planned(self, event: Event) -> None:
        data = event.data
        trial = Trial(
            id=data["trial"],
            spec_json=data["spec"],
            cell=data["cell"],
            ask=data["ask"],
            rank=data["rank"],
            revision=data["revision"],
            late=data["late"],
        )
        # The same content is the same trial: planned again, it keeps what it has.
        self.trials.setdefault(trial.id, trial)

    def _started(self, event: Event) -> None:
        trial, attempt = self._known(event), event.data["attempt"]
        if trial.final:
            raise ValueError(f"event {event.seq}: trial {trial.id} starts, but is {trial.status}")
        trial.attempts = attempt
        trial.status = "running"
        trial.started_at = event.time if trial.started_at is None else trial.started_at

    def _reported(self, event: Event) -> None:
        trial, progress = self._known(event), event.data["progress"]
        # A report may still be on its way when its trial is stopped; the record stands.
        if not trial.final:
            trial.reports[progress["step"]] = progress

    def _finished(self, event: Event) -> None:
        trial, result = self._known(event), event.data["result"]
        if trial.final:
            raise ValueError(f"event {event.seq}: trial {trial.id} ends, but is {trial.status}")
        trial.status = result["status"]
        trial.result_json = result
        trial.finished_at = event.time

    def _retried(self, event: Event) -> None:
        trial = self._known(event)
        if trial.status not in FAILED:
            raise ValueError(f"event {event.seq}: trial {trial.id} did not fail: {trial.status}")
        trial.status = "waiting"
        trial.result_json = trial.started_at = trial.finished_at = None

    def _ended(self, event: Event) -> None:
        self.ended = event.data["reason"]


_HANDLERS = {
    "revised": State._revised,
    "asked": State._asked,
    "chosen": State._chosen,
    "planned": State._planned,
    "started": State._started,
    "reported": State._reported,
    "finished": State._finished,
    "retried": State._retried,
    "ended": State._ended,
}


def fold(events: Iterable[Event]) -> State:
    """The state after these events.

    Raises:
        ValueError: an event contradicts those before it.
    """
    state = State()
    for event in events:
        state.apply(event)
    return state


def read(folder: Path) -> tuple[Event, ...]:
    """Every acknowledged event; empty where there is no journal. Needs no lease.

    Raises:
        UserError: a line is damaged, or the folder cannot be read.
    """
    return tuple(stream(folder))


def stream(folder: Path) -> Iterator[Event]:
    """As `read`, one event at a time."""
    last = 0
    for path in _segments(folder):
        for number, line in _whole_lines(path):
            try:
                event = _parse(line)
                if event.seq != last + 1:
                    raise ValueError(f"event {event.seq} where {last + 1} was due")
            except ValueError as error:
                raise UserError(Problem(f"damaged: {error}", str(path), number)) from None
            last = event.seq
            yield event


class Journal:
    """The one writer of a study's journal, to be closed after use (or used in `with`).

    Attributes:
        folder: `<store>/<study>/journal`.
        state: what the events add up to, those of earlier writers included.
    """

    def __init__(self, folder: Path, state: State, lease: int, segment_bytes: int) -> None:
        self.folder = folder
        self.state = state
        self._lease: int | None = lease
        self._segment_bytes = segment_bytes
        self._file: BinaryIO | None = None

    @classmethod
    def open(cls, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> Self:
        """Become the writer of a journal, which is made where there is none.

        Raises:
            UserError: another process writes it, it is damaged, or the store cannot be written.
        """
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lease = os.open(folder / "lease", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(folder, lease)
            try:
                state = fold(stream(folder))
            except ValueError as error:
                raise UserError(Problem(f"damaged: {error}", str(folder))) from None
        except BaseException:
            os.close(lease)
            raise
        return cls(folder, state, lease, segment_bytes)

    def append(self, entry: Entry) -> Event:
        """Write one event, on disk when this returns unless it is a start or a report.

        Raises:
            ValueError: the event contradicts the state (nothing is written), or is not JSON.
            UserError: the store cannot be written; the journal is then closed.
        """
        return self.extend((entry,))[0]

    def extend(self, entries: Iterable[Entry]) -> tuple[Event, ...]:
        """Write many events and wait for the disk once; as `append` otherwise."""
        events: list[Event] = []
        try:
            for entry in entries:
                events.append(self._put(entry))
        finally:
            if any(event.kind not in _UNSYNCED for event in events):
                self._sync()
        return tuple(events)

    def close(self) -> None:
        """Give the lease back; a second call does nothing."""
        if self._lease is None:
            return
        try:
            self._end_segment()
        finally:
            with suppress(OSError):
                (self.folder / "lease.json").unlink()
            os.close(self._lease)
            self._lease = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, entry: Entry) -> Event:
        if self._lease is None:
            raise ValueError(f"the journal {self.folder} is closed")
        if clash := set(entry.data).intersection(_RESERVED):
            raise ValueError(f"{entry.kind}: reserved keys {sorted(clash)}")
        head = {"seq": self.state.last_seq + 1, "time": time.time(), "event": entry.kind}
        line = _line({**entry.data, **head})
        # From the text itself, so that the state here is the one that a reader will see.
        event = _parse(line)
        self.state.apply(event)
        with self._closing():
            if self._file is None:
                self._file = self._next_segment()
            _write_all(self._file, line + b"\n")
            if self._file.tell() >= self._segment_bytes:
                self._end_segment()
        return event

    def _next_segment(self) -> BinaryIO:
        past = _segments(self.folder)
        number = int(past[-1].stem) + 1 if past else 1
        file = (self.folder / f"{number:06d}.jsonl").open("xb", buffering=0)
        # Without this a power cut can lose the name of a file whose contents were synced.
        descriptor = os.open(self.folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        return file

    def _sync(self) -> None:
        if self._file is not None:
            with self._closing():
                os.fsync(self._file.fileno())

    def _end_segment(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with _writing(self.folder), file:
                os.fsync(file.fileno())

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """After a failed write the state is ahead of the file, so nothing more may follow."""
        try:
            with _writing(self.folder):
                yield
        except UserError:
            with suppress(UserError):
                self.close()
            raise


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        store = folder.parent.parent
        raise UserError(f"store {store} cannot be written: {error.strerror or error}") from None


def _take(folder: Path, lease: int) -> None:
    """Lock the lease and say who holds it; the kernel unlocks it when its holder dies."""
    file = folder / "lease.json"
    try:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"study '{folder.parent.name}' is being run by {_holder(file)}"
        raise UserError(message) from None
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
    with _writing(folder):
        draft = file.with_suffix(".json.new")
        draft.write_text(canonical_json(holder), encoding="utf-8")
        draft.replace(file)


def _holder(file: Path) -> str:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        since = datetime.fromtimestamp(value["since"]).astimezone().isoformat(" ", "seconds")
        return f"process {value['pid']} on host {value['host']} since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _segments(folder: Path) -> list[Path]:
    try:
        names = sorted(p.name for p in folder.iterdir() if _SEGMENT.fullmatch(p.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"journal {folder} cannot be read: {error.strerror}") from None
    return [folder / name for name in names]


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"journal {path} cannot be read: {error.strerror}") from None
    yield from enumerate(lines, start=1)
    if rest and not _torn(rest):
        raise UserError(Problem("damaged: text after the event", str(path), len(lines) + 1))


def _torn(rest: bytes) -> bool:
    """Whether a last line without its newline is the beginning of an event, as a crash leaves.

    An event with something else in the newline's place was whole once, and acknowledged.
    """
    text = rest.decode(errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return True
    return end == len(text)


def _line(value: Mapping[str, Json]) -> bytes:
    # Text of the outside world may hold half characters, which UTF-8 cannot.
    body = canonical_json(value).encode(errors="replace")
    return body[:-1] + _CHECK + _check(body) + b'"}'


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode()


def _parse(line: bytes) -> Event:
    body = line[:-_TAIL] + b"}"
    if line != body[:-1] + _CHECK + _check(body) + b'"}':
        raise ValueError("the line does not match its check")
    value = json.loads(body)
    seq, seconds, kind = value.pop("seq"), value.pop("time"), value.pop("event")
    return Event(seq, seconds, kind, value)


def _write_all(file: BinaryIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]
