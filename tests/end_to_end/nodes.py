"""A Ray of several nodes on one machine, each with an address of its own on the loopback."""

import os
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from processes import SECONDS, free_port, until

ROOT = Path(__file__).parents[2]


@dataclass
class Nodes:
    """A head that trains nothing, and nodes of one CPU, which may be killed and replaced.

    Attributes:
        place: a short folder for Ray's sockets and of every process's temporary files.
        port: of the head.
        running: name of a node -> its process; the head is `head`.
    """

    place: Path
    port: int = field(default_factory=free_port)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    started: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Of every process of the test."""
        made = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT), "TMPDIR": str(self.place), "HOME": str(self.place),
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1",
        }  # fmt: skip
        for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
            made.pop(name, None)
        return made

    def start(self, count: int) -> None:
        self._start("head", "--head", f"--port={self.port}", "--num-cpus=0",
                    "--include-dashboard=false", f"--temp-dir={self.place / 'ray'}")  # fmt: skip
        until(lambda: self._answers(), "the head")
        for _ in range(count):
            self.add()

    def add(self) -> str:
        """Start one more node; its name."""
        self.started += 1
        name = f"node{self.started}"
        self._start(name, f"--address={self.address}", "--num-cpus=1")
        return name

    def kill(self, name: str) -> None:
        """As a machine that is switched off: Ray's own processes of the node first."""
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    def end(self) -> None:
        for name in reversed(list(self.running)):
            self.kill(name)

    def _start(self, name: str, *flags: str) -> None:
        line = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block",
                f"--node-ip-address=127.0.0.{self.started + 1}",
                "--object-store-memory=100000000", *flags]  # fmt: skip
        with (self.place / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                line, stdout=log, stderr=log, cwd=self.place, env=self.environment,
                start_new_session=True,
            )  # fmt: skip

    def _answers(self) -> bool:
        line = [sys.executable, "-m", "ray.scripts.scripts", "health-check",
                "--address", self.address]  # fmt: skip
        done = subprocess.run(line, env=self.environment, capture_output=True, check=False,
                              timeout=SECONDS)  # fmt: skip
        return done.returncode == 0
