"""What the end-to-end tests share."""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

SECONDS = 600.0
"""How long anything is waited for."""


def free_port() -> int:
    with closing(socket.socket()) as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def until(so: Callable[[], object], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not so():
        assert time.monotonic() < end, f"{what} has not come"
        time.sleep(0.2)


def end_all(place: Path) -> None:
    """End, by id, every process that was started with this folder for its temporary files."""
    name = f"TMPDIR={place}\0".encode()
    for _ in range(3):
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if name in (entry / "environ").read_bytes() + b"\0":
                    os.kill(int(entry.name), signal.SIGKILL)
        time.sleep(0.2)
