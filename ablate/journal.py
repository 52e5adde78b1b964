"""The append-only record of a study on disk, and its one writer.

A journal is a folder of numbered segments (`000001.jsonl`, ...), one event a line. Every writer
starts a segment of its own, so that a line torn by a crash stays the last of its file: it was
never acknowledged and is dropped. Any other damage is refused by file and line; a line carries a
check of its own text, and numbers run without a gap, so nothing can go missing unseen.
`ablate.quarantine` sets what is damaged aside.

Events and the state that they add up to are in `ablate.events` and `ablate.state`; their names
are given from here as well.
"""

import fcntl
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self

from ablate.events import (
    Entry,
    Event,
    asked,
    chosen,
    ended,
    extended,
    finished,
    looked,
    mended,
    planned,
    reported,
    retried,
    reused,
    revised,
    started,
)
from ablate.state import Ask, Chosen, Look, Mended, Revision, State, Trial, fold
from trials.errors import Problem, UserError
from trials.spec import Json, canonical_json

__all__ = [
    "SEGMENT_BYTES", "Ask", "Chosen", "Damaged", "Entry", "Event", "Held", "Journal", "Look",
    "Mended", "Revision", "State", "Trial", "asked", "chosen", "ended", "extended", "finished",
    "fold", "load", "lock", "looked", "mended", "parse", "planned", "read", "reported", "retried",
    "reused", "revised", "segments", "started", "stream", "whole_lines",
]  # fmt: skip

SEGMENT_BYTES = 8_000_000
"""A segment that has grown past this is closed and followed by a new one."""

_SEGMENT = re.compile(r"\d{6}\.jsonl")
_RESERVED = ("seq", "time", "event", "check")
_CHECK = b',"check":"'
_TAIL = len(_CHECK) + 16 + len(b'"}')
# A lost report is reported again by the resumed trial, a lost start shows in nothing.
_UNSYNCED = frozenset({"reported", "started"})


class Held(UserError):
    """Another process writes the journal; the message says which."""


class Damaged(UserError):
    """A line of a journal is not as it was written; the first problem says which, and why."""


def read(folder: Path) -> tuple[Event, ...]:
    """Every acknowledged event; empty where there is no journal. Needs no lease.

    Raises:
        UserError: a line is damaged, or the folder cannot be read.
    """
    return tuple(stream(folder))


def stream(folder: Path) -> Iterator[Event]:
    """As `read`, one event at a time."""
    for _, _, event in _located(folder):
        yield event


def load(folder: Path) -> State:
    """What the events of a journal add up to; empty where there is none. Needs no lease.

    Raises:
        UserError: a line is damaged or contradicts those before it, or the folder cannot be read.
    """
    state = State()
    for path, number, event in _located(folder):
        try:
            state.apply(event)
        except ValueError as error:
            raise _damaged(error, path, number) from None
    return state


def _located(folder: Path) -> Iterator[tuple[Path, int, Event]]:
    """Every acknowledged event with its file and line."""
    last = 0
    for path in segments(folder):
        for number, line in whole_lines(path):
            try:
                event = parse(line)
                if event.seq != last + 1:
                    raise ValueError(f"event {event.seq} where {last + 1} was due")
            except ValueError as error:
                raise _damaged(error, path, number) from None
            last = event.seq
            yield path, number, event


def _damaged(why: object, path: Path, number: int) -> Damaged:
    study = path.parent.parent.name
    hint = f"`ablate doctor {study} --mend` sets it aside, and the study goes on from before it"
    return Damaged(Problem(f"damaged: {why}", str(path), number), hint)


class Journal:
    """The one writer of a study's journal, to be closed after use (or used in `with`).

    Attributes:
        folder: `<store>/<study>/journal`.
        state: what the events add up to, those of earlier writers included.
        broken: why nothing more can be written; None while that is not so.
    """

    def __init__(
        self, folder: Path, state: State, lease: int, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.folder = folder
        self.state = state
        self.broken: UserError | None = None
        self._lease: int | None = lease
        self._segment_bytes = segment_bytes
        self._file: BinaryIO | None = None

    @classmethod
    def open(cls, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> Self:
        """Become the writer of a journal, which is made where there is none.

        Raises:
            UserError: another process writes it, it is damaged, or the store cannot be written.
        """
        lease = lock(folder)
        try:
            state = load(folder)
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
        if self.broken is not None:
            raise self.broken
        if self._lease is None:
            raise ValueError(f"the journal {self.folder} is closed")
        if clash := set(entry.data).intersection(_RESERVED):
            raise ValueError(f"{entry.kind}: reserved keys {sorted(clash)}")
        head = {"seq": self.state.last_seq + 1, "time": time.time(), "event": entry.kind}
        body = _body({**entry.data, **head})
        # From the text itself, so that the state here is the one that a reader will see.
        event = _event(body)
        self.state.apply(event)
        with self._closing():
            if self._file is None:
                self._file = self._next_segment()
            _write_all(self._file, _sealed(body) + b"\n")
            if self._file.tell() >= self._segment_bytes:
                self._end_segment()
        return event

    def _next_segment(self) -> BinaryIO:
        past = segments(self.folder)
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
        except UserError as error:
            self.broken = error
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


def lock(folder: Path) -> int:
    """Take a journal's lease, and say in it who holds it; the kernel gives it back at our death.

    Returns:
        A descriptor: to close it is to give the lease back.

    Raises:
        Held: another process has it.
        UserError: the store cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lease = os.open(folder / "lease", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(folder, lease)
    except BaseException:
        os.close(lease)
        raise
    return lease


def _take(folder: Path, lease: int) -> None:
    file = folder / "lease.json"
    try:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"study '{folder.parent.name}' is being run by {_holder(file)}"
        raise Held(message) from None
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


def segments(folder: Path) -> list[Path]:
    """The files of a journal, in order."""
    try:
        names = sorted(p.name for p in folder.iterdir() if _SEGMENT.fullmatch(p.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"journal {folder} cannot be read: {error.strerror}") from None
    return [folder / name for name in names]


def whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a segment, from 1, without one that a crash has torn.

    Raises:
        UserError: the file cannot be read, or does not end as one that a crash has cut off.
    """
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"journal {path} cannot be read: {error.strerror}") from None
    yield from enumerate(lines, start=1)
    if rest and not _torn(rest):
        raise _damaged("text after the event", path, len(lines) + 1)


def _torn(rest: bytes) -> bool:
    """Whether a last line without its newline is the beginning of an event, as a crash leaves.

    An event with something else in the newline's place was whole once, and acknowledged.
    """
    text = rest.decode(errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return True
    except RecursionError:
        return False
    return end == len(text)


def _body(value: Mapping[str, Json]) -> bytes:
    # Text of the outside world may hold half characters, which UTF-8 cannot.
    return canonical_json(value).encode(errors="replace")


def _sealed(body: bytes) -> bytes:
    """An event as a line: its text, and the check of it."""
    return body[:-1] + _CHECK + _check(body) + b'"}'


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode()


def parse(line: bytes) -> Event:
    """The event of a line without its newline.

    Raises:
        ValueError: the line is not as it was written.
    """
    body = line[:-_TAIL] + b"}"
    if line != _sealed(body):
        raise ValueError("the line does not match its check")
    return _event(body)


def _event(body: bytes) -> Event:
    try:
        value = json.loads(body)
        seq, seconds, kind = value.pop("seq"), value.pop("time"), value.pop("event")
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("the line holds no event") from None
    if type(seq) is not int or type(seconds) not in (int, float) or type(kind) is not str:
        raise ValueError("the line holds no event")
    return Event(seq, seconds, kind, value)


def _write_all(file: BinaryIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]
