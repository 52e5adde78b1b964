"""What the runs of a study have to say beside its journal, as JSON lines: `<study>/log.jsonl`.

The journal has what a study came to. Here is what happened on the way: where it ran, which engines
and nodes came and went, which processes died, when tracking was away, and why trials failed. A line
has `time` (UTC), `level` (`info`, `warning`, `error`), `event`, and what belongs to the event.
"""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

Level = Literal["info", "warning", "error"]

MOST_BYTES = 50_000_000
"""A log that has grown past this is kept as `log.1.jsonl`, and the next one begun."""


class Say(Protocol):
    """Takes what there is to say."""

    def __call__(self, event: str, level: Level = "info", **fields: Any) -> None:
        """Say that something happened."""


def say_nothing(event: str, level: Level = "info", **fields: Any) -> None:
    """For whoever runs a study without a store to write to."""


class Log:
    """Appends to one file; a log that cannot be written stops nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, event: str, level: Level = "info", **fields: Any) -> None:
        """Write one line."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": moment, "level": level, "event": event, **fields}, default=str)
        try:
            if self.path.is_file() and self.path.stat().st_size > MOST_BYTES:
                self.path.replace(self.path.with_name("log.1.jsonl"))
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError:
            return


def read(path: Path, *, follow: bool = False, pause: float = 1.0) -> Iterator[dict[str, Any]]:
    """The lines of a log, oldest first; one that is torn or no JSON is passed over.

    Args:
        path: the file; nothing where there is none.
        follow: wait for more lines for ever.
        pause: seconds between two looks.
    """
    rest, position = b"", 0
    while True:
        if path.is_file():
            if path.stat().st_size < position:
                rest, position = b"", 0  # A new one was begun.
            with path.open("rb") as file:
                file.seek(position)
                new = file.read()
            position += len(new)
            *lines, rest = (rest + new).split(b"\n")
            yield from filter(None, map(_parsed, lines))
        if not follow:
            return
        time.sleep(pause)


def shown(line: Mapping[str, Any]) -> str:
    """One line for people, in local time; control characters are escaped."""
    fields = {k: v for k, v in line.items() if k not in ("time", "level", "event")}
    try:
        moment = datetime.fromisoformat(str(line.get("time"))).astimezone()
        begin = moment.strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        begin = str(line.get("time"))
    parts = [f"{key}={_plain(value)}" for key, value in fields.items() if value is not None]
    event = str(line.get("event")).replace("_", " ")
    return " ".join([_plain(begin), f"{line.get('level', ''):<7}", _plain(event), *parts])


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    escaped = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return json.dumps(escaped, ensure_ascii=False) if " " in escaped and "=" in escaped else escaped


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
