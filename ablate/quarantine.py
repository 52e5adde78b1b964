"""Sets aside what is damaged of a journal, so that its study goes on from what is not.

<study>/journal/quarantine/0001/000002.jsonl   a damaged line and all after it, as they were found
                                damage.json    where it was, and what was wrong

Nothing is guessed. The journal ends before the damaged line, as if its writer had died there, and
says so in an event of its own. What is decided since is decided again; trials that began and ended
in intact lines after the damage need no second training, for `salvaged` finds them.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ablate import journal
from ablate.journal import Damaged, Entry, Event, Journal, Mended
from trials.errors import UserError
from trials.spec import Progress, TrialResult

FOLDER = "quarantine"
NOTE = "damage.json"


def set_aside(folder: Path) -> Mended | None:
    """End a journal before its first damaged line, and keep the rest beside it.

    A process that dies here leaves the damage, or a journal that ends before it.

    Returns:
        What was set aside; None where nothing is damaged.

    Raises:
        UserError: another process writes the journal, or it cannot be read or written.
    """
    lease = journal.lock(folder)
    try:
        mended = _mend(folder)
        record = Journal(folder, journal.load(folder), lease)
    except BaseException:
        os.close(lease)
        raise
    with record:
        for place in _places(folder)[len(record.state.mended) :]:
            told = json.loads((place / NOTE).read_text(encoding="utf-8"))
            record.extend([*_looks(place), journal.mended(**told)])
    return mended


def salvaged(folder: Path) -> Mapping[str, tuple[Sequence[Progress], TrialResult]]:
    """Reports and results of trials that began and finished in intact lines that were set aside.

    One that began before a damaged line is left out: a report may be missing.
    """
    found: dict[str, tuple[Sequence[Progress], TrialResult]] = {}
    begun: dict[str, dict[int, Progress]] = {}
    for event in (event for place in _places(folder) for event in _events(place)):
        if event is None:
            begun.clear()
            continue
        trial = event.data.get("trial", "")
        if event.kind == "started":
            begun[trial] = {}
        elif event.kind == "reported" and trial in begun:
            progress = Progress.from_json(event.data["progress"])
            begun[trial][progress.step] = progress
        elif event.kind == "finished" and trial in begun:
            reports, result = begun.pop(trial), TrialResult.from_json(event.data["result"])
            if result.status == "finished":
                found[trial] = [reports[step] for step in sorted(reports)], result
    return found


def _mend(folder: Path) -> Mended | None:
    try:
        journal.load(folder)
    except Damaged as error:
        damage = _Damage.of(error)
    else:
        return None
    try:
        return _move(folder, damage)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"journal {folder} cannot be mended: {reason}") from None


@dataclass(frozen=True)
class _Damage:
    path: Path
    line: int
    reason: str

    @classmethod
    def of(cls, error: Damaged) -> "_Damage":
        first = error.problems[0]
        assert first.file is not None
        assert first.line is not None
        return cls(Path(first.file), first.line, first.message.removeprefix("damaged: "))


def _move(folder: Path, damage: _Damage) -> Mended:
    """Copy the damaged line and all after it, then take them out of the journal."""
    later = [path for path in journal.segments(folder) if path.name > damage.path.name]
    lines = damage.path.read_bytes().split(b"\n")
    first = damage.line - 1
    aside = {damage.path.name: b"\n".join(lines[first:])}
    aside |= {path.name: path.read_bytes() for path in later}
    num_lines = sum(len(data.split(b"\n")) - data.endswith(b"\n") for data in aside.values())
    mended = Mended(damage.path.name, damage.line, damage.reason, num_lines)
    place = _next_place(folder)
    for name, data in aside.items():
        _write(place / name, data)
    _write(place / NOTE, json.dumps(asdict(mended)).encode())
    # The last first: whatever is left when this is cut off is found again as a damage.
    for path in reversed(later):
        path.unlink()
    if first:
        _write(damage.path, b"\n".join([*lines[:first], b""]))
    else:
        damage.path.unlink()
    return mended


def _places(folder: Path) -> list[Path]:
    """What was set aside, oldest first; without what a process that died has only begun."""
    return sorted(note.parent for note in (folder / FOLDER).glob(f"*/{NOTE}"))


def _next_place(folder: Path) -> Path:
    (folder / FOLDER).mkdir(exist_ok=True)
    past = [int(path.name) for path in (folder / FOLDER).iterdir()]
    place = folder / FOLDER / f"{max(past, default=0) + 1:04d}"
    place.mkdir()
    return place


def _write(path: Path, data: bytes) -> None:
    waiting = path.with_name(f".{path.name}.new")
    with waiting.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    waiting.replace(path)


def _events(place: Path) -> Iterator[Event | None]:
    """The events that were set aside, in order; None wherever one may be missing before."""
    last = None
    for path in sorted(place.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            try:
                event = journal.parse(line) if line else None
            except ValueError:
                yield None
                continue
            if event is not None:
                if event.seq != last:
                    yield None
                yield event
                last = event.seq + 1


def _looks(place: Path) -> Iterator[Entry]:
    """Looks at the results that were set aside; those of a race are taken again by it."""
    for event in _events(place):
        if event is not None and event.kind == "looked" and event.data["batch"] is None:
            yield Entry("looked", event.data)
