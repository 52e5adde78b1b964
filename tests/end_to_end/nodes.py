"""A Ray of several nodes on one machine, each with an address of its own on the loopback."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from processes import SECONDS, free_port, offspring, until

ROOT = Path(__file__).parents[2]


class Network:
    """A bridge of this machine, and behind it a network namespace for each node.

    To be made by root. Nodes that are kept apart so see nothing of one another but through their
    own addresses; and a node's link can be cut.
    """

    def __init__(self) -> None:
        self.name = f"ab{os.getpid() % 10**6}"
        self.numbers: list[int] = []
        ip("link", "add", self.name, "type", "bridge")
        ip("address", "add", f"{self.address(0)}/24", "dev", self.name)
        ip("link", "set", self.name, "up")

    def address(self, number: int) -> str:
        """Of a node; the head is number 0, which stays with whoever made the network."""
        return f"10.177.0.{number + 1}"

    def enter(self, number: int) -> list[str]:
        """What a node's command line begins with; makes its namespace."""
        space, outside, inside = f"{self.name}n{number}", self._link(number), "eth0"
        ip("netns", "add", space)
        self.numbers.append(number)
        ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", space)
        ip("link", "set", outside, "master", self.name, "up")
        within = ("-n", space)
        ip(*within, "address", "add", f"{self.address(number)}/24", "dev", inside)
        for device in ("lo", inside):
            ip(*within, "link", "set", device, "up")
        return ["ip", "netns", "exec", space]

    def connect(self, number: int, *, up: bool) -> None:
        """Plug a node's cable in, or pull it out."""
        ip("link", "set", self._link(number), "up" if up else "down")

    def end(self) -> None:
        for number in self.numbers:
            with suppress(subprocess.CalledProcessError):
                ip("link", "delete", self._link(number))
            with suppress(subprocess.CalledProcessError):
                ip("netns", "delete", f"{self.name}n{number}")
        ip("link", "delete", self.name)

    def _link(self, number: int) -> str:
        return f"{self.name}v{number}"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def can_be_apart() -> bool:
    """Whether this process may make network namespaces."""
    if os.getuid() or shutil.which("ip") is None:
        return False
    try:
        Network().end()
    except subprocess.CalledProcessError:
        return False
    return True


@dataclass
class Nodes:
    """A head that trains nothing, and nodes of one CPU, which may be killed and replaced.

    Attributes:
        place: a short folder for Ray's sockets and of every process's temporary files.
        network: that nodes are kept apart in; None for addresses of the loopback interface.
        port: of the head.
        running: name of a node -> its process; the head is `head`.
    """

    place: Path
    network: Network | None = None
    port: int = field(default_factory=free_port)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    started: int = 0

    @property
    def address(self) -> str:
        return f"{self._ip(0)}:{self.port}"

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
        """As a machine that is switched off: all that it started, wherever it belongs by now."""
        process = self.running.pop(name)
        for pid in (process.pid, *offspring(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(30)

    def workers(self) -> list[str]:
        """Nodes that are there."""
        return sorted(n for n, p in self.running.items() if n != "head" and p.poll() is None)

    def refill(self, count: int) -> None:
        """Replace those that have gone: a node that was cut off too long ends itself."""
        for _ in range(count - len(self.workers())):
            self.add()

    def connect(self, name: str, *, up: bool) -> None:
        """Plug a node's cable in, or pull it out."""
        assert self.network is not None
        self.network.connect(int(name.removeprefix("node")), up=up)

    def end(self) -> None:
        for name in reversed(list(self.running)):
            self.kill(name)

    def _ip(self, number: int) -> str:
        return f"127.0.0.{number + 1}" if self.network is None else self.network.address(number)

    def _start(self, name: str, *flags: str) -> None:
        number = 0 if name == "head" else self.started
        enter = self.network.enter(number) if self.network is not None and number else []
        line = [*enter, sys.executable, "-m", "ray.scripts.scripts", "start", "--block",
                f"--node-ip-address={self._ip(number)}",
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
