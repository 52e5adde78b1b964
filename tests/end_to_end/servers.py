"""PostgreSQL and an MLflow server over it, for the time of a test."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import free_port, until

MISSING = "no PostgreSQL here: its server (initdb, postgres), and the extra `server`"


def are_here() -> bool:
    """Whether this machine has PostgreSQL's server, and what speaks to it."""
    from importlib.util import find_spec

    return all(map(program, ("initdb", "postgres"))) and find_spec("psycopg2") is not None


def program(name: str) -> str | None:
    """One of PostgreSQL's, which Debian keeps off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(found[0]) if found else None)


@dataclass
class Servers:
    """PostgreSQL and an MLflow server over it, on the loopback interface.

    Each is a process that may be killed by its name, `database` or `web`, and started again.

    Attributes:
        place: a folder for both.
        port: PostgreSQL's.
        web: MLflow's.
    """

    place: Path
    port: int = field(default_factory=free_port)
    web: int = field(default_factory=free_port)
    running: dict[str, Any] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.web}"

    @property
    def _as_whom(self) -> dict[str, Any]:
        """PostgreSQL does not run as root."""
        return {"user": "nobody", "group": "nogroup", "extra_groups": ()} if not os.getuid() else {}

    def start(self) -> None:
        self._make()
        self.start_database()
        self.start_web()

    def end(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def _make(self) -> None:
        data = self.place / "db"
        data.mkdir()
        if not os.getuid():
            self.place.chmod(0o755)
            shutil.chown(data, "nobody", "nogroup")
        subprocess.run(
            [str(program("initdb")), "-D", str(data), "-U", "mlflow", "-A", "trust", "--no-sync",
             "--no-instructions", "-E", "UTF8", "--no-locale"],
            check=True, capture_output=True, cwd=data, **self._as_whom,
        )  # fmt: skip

    def start_database(self) -> None:
        line = [str(program("postgres")), "-D", str(self.place / "db"), "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                "-c", "fsync=off"]  # fmt: skip
        self._start("database", line, **self._as_whom)
        until(lambda: answers(self.port), "PostgreSQL")
        until(self._takes_connections, "PostgreSQL's first connection")

    def _takes_connections(self) -> bool:
        import psycopg2

        where = {"host": "127.0.0.1", "port": self.port, "user": "mlflow", "dbname": "postgres"}
        try:
            psycopg2.connect(**where).close()
        except psycopg2.OperationalError:
            return False
        return True

    def start_web(self) -> None:
        files = self.place / "artifacts"
        files.mkdir(exist_ok=True)
        line = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                "--port", str(self.web), "--workers", "1",
                "--backend-store-uri", f"postgresql+psycopg2://mlflow@127.0.0.1:{self.port}/postgres",
                "--artifacts-destination", str(files)]  # fmt: skip
        self._start("web", line)
        until(lambda: self._has_ended("web") or self._is_healthy(), "MLflow")
        assert not self._has_ended("web"), (self.place / "web.log").read_text()[-2000:]

    def _is_healthy(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    def _has_ended(self, name: str) -> bool:
        return self.running[name].poll() is not None

    def _start(self, name: str, line: list[str], **options: Any) -> None:
        environment = {**os.environ, "TMPDIR": str(self.place), "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.place / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                line, stdout=log, stderr=log, cwd="/", env=environment,
                start_new_session=True, **options,
            )  # fmt: skip


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
