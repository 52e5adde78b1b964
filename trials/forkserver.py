"""Processes that train one trial after another, forked from one that has the imports behind it.

Importing torch and transformers takes a process seconds, and reading a backbone some more. On one
machine a server does it once, beside whatever else is being started, and forks a process for each
visitor; memory that nobody changes is shared by all of them. It is like the standard library's
server of forks, but its visitors are no children of who started it: they meet at a socket.

A process ends with its visitor, the server with who started it, whatever ends those.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import suppress
from dataclasses import asdict, replace
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trials.places import Assignment, Places

if TYPE_CHECKING:
    from trials.training.engine import Event

Message = dict[str, Any]
"""`progress` (a report as JSON types, or None at the end) and `result`, as events have them."""

_AHEAD = ("trials.training.engine", "sklearn.metrics")
"""Modules whose imports a trial would wait for."""
_LONGEST_ADDRESS = 100
"""Bytes; Linux takes 107 for a socket's path."""
_OF_A_DEVICE = ("CUDA_", "NVIDIA_", "HIP_", "ROCR_")
"""What starts the names of variables that say which devices a process may use."""


class Died(RuntimeError):
    """The process that trained a visitor's trial is gone."""


class Server:
    """A server of forks, for whoever starts it.

    Attributes:
        address: where visitors come; None where this system has none.
    """

    def __init__(
        self, folder: str, backbone: str | None = None, places: Places | None = None
    ) -> None:
        """Start it; it is there at once for visitors, who wait until its imports are done.

        Args:
            folder: a folder of one's own, for the socket.
            backbone: a backbone to read ahead, on the CPU; None for none.
            places: where that is looked up.
        """
        address = str(Path(folder) / "forks")
        is_possible = sys.platform == "linux" and len(address.encode()) <= _LONGEST_ADDRESS
        self.address = address if is_possible else None
        self._process: subprocess.Popen[bytes] | None = None
        if not is_possible:
            return
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(address)
            listening.listen(128)
            ahead = json.dumps([backbone, asdict(places or Places())])
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listening.fileno()), ahead],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[listening.fileno()],
                # A key that stops its owner must not stop trials before they are saved.
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    "OMP_NUM_THREADS": "1",
                },
            )

    def close(self) -> None:
        """End it and every process that it forked."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()


class Visitor:
    """A process of one's own at a server, for one trial after another."""

    def __init__(self, address: str) -> None:
        """Come to a server.

        Raises:
            OSError: it is not there.
        """
        self._connection = Client(address, "AF_UNIX")
        own = {k: v for k, v in os.environ.items() if k.startswith(_OF_A_DEVICE)}
        self._say({"environment": own})

    def begin(self, assignment: Assignment, *, has_gpu: bool) -> None:
        """Hand over a trial.

        Args:
            assignment: the trial.
            has_gpu: whether the device `auto` may be a GPU.

        Raises:
            Died: the process is gone.
        """
        self._say({"assignment": assignment.to_json(), "has_gpu": has_gpu})

    def next(self) -> Message:
        """Let it train to its next evaluation, or its end.

        Raises:
            Died: the process is gone.
        """
        self._say({"next": True})
        try:
            message: Message = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise Died("the process that trained it died") from error
        return message

    def leave(self) -> None:
        """Stop the trial; the process stays for another.

        Raises:
            Died: the process is gone.
        """
        self._say({"leave": True})

    def close(self) -> None:
        """End the process."""
        self._connection.close()

    def _say(self, request: dict[str, Any]) -> None:
        try:
            self._connection.send_bytes(json.dumps(request).encode())
        except OSError as error:
            raise Died("the process that trained it died") from error


def message(event: Event) -> Message:
    """An engine's event as JSON types."""
    progress = None if event.progress is None else event.progress.to_json()
    return {"progress": progress, "result": event.result.to_json()}


def on_given_device(assignment: Assignment, *, has_gpu: bool) -> Assignment:
    """Decide what `auto` is: a GPU where the process was given one that torch can use."""
    if assignment.device != "auto":
        return assignment
    import torch

    return replace(assignment, device="cuda" if has_gpu and torch.cuda.is_available() else "cpu")


def _serve(listening: socket.socket, backbone: str | None, places: Places) -> None:
    """Fork a process for each visitor until standard input ends."""
    children: set[int] = set()
    _read_ahead(backbone, places)
    # What is there now lies in pages that collections of the children shall not touch.
    gc.collect()
    gc.freeze()
    waiting = select.poll()
    waiting.register(listening, select.POLLIN)
    waiting.register(sys.stdin, select.POLLIN)
    while True:
        ready = {fd for fd, _ in waiting.poll()}
        children -= {pid for pid in children if os.waitpid(pid, os.WNOHANG) != (0, 0)}
        if sys.stdin.fileno() in ready:
            break
        visitor, _ = listening.accept()
        pid = os.fork()
        if pid == 0:
            listening.close()
            with suppress(Exception):
                _host(Connection(visitor.detach()))
            os._exit(0)
        children.add(pid)
        visitor.close()
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _read_ahead(backbone: str | None, places: Places) -> None:
    from trials import backbones

    for module in _AHEAD:
        importlib.import_module(module)
    if backbone is not None:
        with suppress(Exception):  # The trial that needs it will say what is wrong.
            backbones.load(backbone, places.model_roots, places.base_folder, "cpu")


def _host(connection: Connection[bytes, bytes]) -> None:
    """Do what a visitor asks for until it goes."""
    from trials.training.engine import train

    threading.Thread(target=_end_with, args=(connection.fileno(),), daemon=True).start()
    events: Generator[Event] | None = None
    while True:
        request = json.loads(connection.recv_bytes())
        if "environment" in request:
            os.environ.update(request["environment"])
        elif "assignment" in request:
            given = Assignment.from_json(request["assignment"])
            events = train(on_given_device(given, has_gpu=request["has_gpu"]))
        elif events is not None and "next" in request:
            connection.send_bytes(json.dumps(message(next(events))).encode())
        elif events is not None:
            events.close()


def _end_with(visitor: int) -> None:
    """End this process, in the middle of a step if need be, when its visitor has gone."""
    gone = select.poll()
    gone.register(visitor, select.POLLRDHUP)
    gone.poll()
    os._exit(0)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given_socket:
        named, where = json.loads(sys.argv[2])
        _serve(given_socket, named, Places.from_json(where))
