"""Whether every node of a cluster runs what the driver runs, asked before anything trains."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trials.errors import UserError

Versions = Mapping[str, str | None]

ANSWER_SECONDS = 120.0
"""How long a node may take to start a process."""
_LOOK_SECONDS = 10.0


def reader() -> Callable[[], Versions]:
    """What reads the versions of the process that calls it.

    It travels by content, for a node may not have this package.
    """

    def read() -> dict[str, str | None]:
        import hashlib
        import importlib.util
        import sys
        from importlib.metadata import PackageNotFoundError, version
        from pathlib import Path

        def installed(name: str) -> str | None:
            try:
                # Builds of one version for other devices are told apart by what follows the plus.
                return version(name).partition("+")[0]
            except PackageNotFoundError:
                return None

        made = hashlib.sha256()
        is_here = True
        for package in ("ablate", "trials"):
            spec = importlib.util.find_spec(package)
            is_here = is_here and spec is not None and spec.origin is not None
            if spec is None or spec.origin is None:
                continue
            home = Path(spec.origin).parent
            for path in sorted(home.rglob("*.py")):
                made.update(path.relative_to(home).as_posix().encode() + path.read_bytes())
        return {
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "ray": installed("ray"),
            "torch": installed("torch"),
            "ablate": f"source {made.hexdigest()[:12]}" if is_here else None,
        }

    return read


def differences(here: Versions, there: Mapping[str, Versions | str]) -> list[str]:
    """What is not the same on a node, one message a node.

    Args:
        here: the driver's.
        there: by node; a text says why a node has not answered.
    """
    problems = []
    for node, found in there.items():
        if isinstance(found, str):
            problems.append(f"node {node} does not answer: {found}")
            continue
        wrong = [
            f"{name} {found.get(name) or 'is missing'} (here {expected or 'missing'})"
            for name, expected in here.items()
            if found.get(name) != expected
        ]
        if wrong:
            problems.append(f"node {node}: {', '.join(wrong)}")
    return problems


class Nodes:
    """The nodes of the connected cluster, as far as they have been asked."""

    def __init__(self) -> None:
        self._read = reader()
        self._here = self._read()
        self._asked: dict[str, tuple[str, Any, float]] = {}
        self._next_look = 0.0

    def require(self) -> None:
        """Ask every node that there is, and wait for the answers.

        Raises:
            UserError: every node that differs or does not answer.
        """
        self._ask_new()
        answers = {name: _answer(ref, ANSWER_SECONDS) for name, ref, _ in self._asked.values()}
        self._asked = {node: (name, None, 0.0) for node, (name, _, _) in self._asked.items()}
        problems = differences(self._here, answers)
        if problems:
            raise UserError(
                "the cluster does not run what this process runs; install the same versions on "
                "every node, or let `ablate run --detach` bring the package along",
                *problems,
            )

    def look(self) -> tuple[list[str], list[str]]:
        """Ask nodes that joined since the last look; waits for none.

        Returns:
            The nodes that joined, and what is wrong with those that have answered.
        """
        now = time.monotonic()
        if now < self._next_look:
            return [], []
        self._next_look = now + _LOOK_SECONDS
        joined = self._ask_new()
        answers: dict[str, Versions | str] = {}
        for node, (name, ref, asked) in self._asked.items():
            late = now - asked > ANSWER_SECONDS
            if ref is not None and (late or ray.wait([ref], timeout=0)[0]):
                self._asked[node] = (name, None, 0.0)
                # A node that has gone again is no mistake of anybody's.
                answers |= {name: found} if not isinstance(found := _answer(ref, 0), str) else {}
        return joined, differences(self._here, answers)

    def _ask_new(self) -> list[str]:
        joined = []
        for node in ray.nodes():
            identity = node["NodeID"]
            if node["Alive"] and identity not in self._asked:
                there = NodeAffinitySchedulingStrategy(identity, soft=False)
                task = ray.remote(self._read).options(num_cpus=0, scheduling_strategy=there)
                name = f"{node['NodeManagerAddress']} ({identity[:8]})"
                self._asked[identity] = (name, task.remote(), time.monotonic())
                joined.append(name)
        return joined


def _answer(ref: Any, timeout: float) -> Versions | str:
    try:
        found: Versions = ray.get(ref, timeout=timeout)
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines()
        return lines[0][:200] if lines else type(error).__name__
    return found
