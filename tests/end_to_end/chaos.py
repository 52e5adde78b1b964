"""A study on several nodes while whatever it needs is killed, and what is left of it afterwards.

    python tests/end_to_end/chaos.py --seeds 1 2 3 [--apart]

For each seed: a Ray of a head and three nodes, an MLflow server over PostgreSQL, a study of 120
trials, and 20 kills (-9) of drivers, engines, nodes, the MLflow server and PostgreSQL, in an order
and at moments that the seed draws. With `--apart` (root only) each node has a network namespace
and an address of its own, and links are cut as well. A driver that ended is started again by the
same command, and nodes and servers come back after seconds. Then everything is compared with the
same study that was left alone. Prints a line for each seed, as JSON; the exit status is 1 if
anything was not right.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from nodes import ROOT, Network, Nodes, can_be_apart
from processes import SECONDS, end_all, processes_of
from servers import MISSING, Servers, are_here

from ablate import api, journal
from ablate.journal import State
from ablate.runner import Options
from ablate.tracking.client import Client, Run

NUM_NODES = 3
KINDS = {"engine": 7, "driver": 5, "node": 3, "web": 3, "database": 2}
KINDS_APART = {"engine": 6, "driver": 5, "node": 3, "cut": 2, "web": 2, "database": 2}
"""What is killed -> how often of 20 times."""

STUDY: dict[str, Any] = {
    "study": "chaos",
    "tasks": ["tiny_acceptability"],
    "backbones": ["tiny"],
    "targets": ["query", "value"],
    "arms": [
        {"method": "lora", "rank": {"each": [2, 4]}},
        {"method": "mtlora", "structure": "shim", "rank": 4},
        {"method": "triadaptlora", "rank": 4},
    ],
    "baselines": [{"method": "lora"}],
    "train": {
        "steps": 24, "batch_size": 8, "max_length": 24, "learning_rate": 5e-3,
        "evaluate": {"every": 6},
    },
}  # fmt: skip


@dataclass
class Chaos:
    """One study under one seed's kills.

    Attributes:
        place: a short folder for everything.
        seed: of what is killed and when.
        num_seeds: of each of the four arms.
        num_kills: altogether.
        pack: trials that share an engine.
        network: that nodes are kept apart in, if they are.
        killed: what was killed so far.
        drivers: how often the command was started.
        exits: exit statuses of drivers that ended by themselves.
    """

    place: Path
    seed: int
    num_seeds: int = 30
    num_kills: int = 20
    pack: int = 1
    network: Network | None = None
    killed: list[str] = field(default_factory=list)
    drivers: int = 0
    exits: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draws = random.Random(self.seed)
        self.nodes = Nodes(self.place, self.network)
        self.file = self.place / "chaos.yaml"
        self.file.write_text(json.dumps({**STUDY, "confirm": {"seeds": self.num_seeds}}))
        self.journal = self.place / "store" / "chaos" / "journal"

    @property
    def num_trials(self) -> int:
        return 4 * self.num_seeds

    def run(self, servers: Servers) -> None:
        """The study to its end, whatever is killed on the way."""
        self.nodes.start(NUM_NODES)
        driver = self._started(servers)
        for kind, due in self._plan():
            driver = self._until_finished(due, driver, servers)
            time.sleep(self.draws.uniform(0, 1.5))
            self.killed.append(kind)
            if kind == "driver":
                os.killpg(driver.pid, signal.SIGKILL)
                driver.wait(30)
                driver = self._started(servers)
            elif kind == "engine":
                self._kill_engine()
            elif kind == "node":
                self.nodes.kill(self.draws.choice(self.nodes.workers()))
                time.sleep(self.draws.uniform(0.5, 3))
            elif kind == "cut":
                name = self.draws.choice(self.nodes.workers())
                self.nodes.connect(name, up=False)
                time.sleep(self.draws.uniform(2, 40))
                self.nodes.connect(name, up=True)
            else:
                servers.kill(kind)
                time.sleep(self.draws.uniform(0.5, 3))
                servers.start_database() if kind == "database" else servers.start_web()
            self.nodes.refill(NUM_NODES)
        self._until_over(driver, servers)

    def _plan(self) -> Iterator[tuple[str, int]]:
        """What is killed, and after how many trials have finished."""
        kinds = list(Counter(KINDS if self.network is None else KINDS_APART).elements())
        self.draws.shuffle(kinds)
        kinds = (kinds * -(-self.num_kills // len(kinds)))[: self.num_kills]
        most = int(0.9 * self.num_trials)
        dues = sorted(self.draws.sample(range(most), self.num_kills))
        return zip(kinds, dues, strict=True)

    def _started(self, servers: Servers) -> "subprocess.Popen[bytes]":
        self.drivers += 1
        line = [
            sys.executable, str(ROOT / "ablate_peft.py"), "run", str(self.file),
            "--store", str(self.place / "store"), "--address", self.nodes.address,
            "--tracking-uri", servers.uri, "--device", "cpu", "--pack", str(self.pack),
        ]  # fmt: skip
        # A server that was killed a moment ago must not keep a driver from starting.
        line += ["--spool"]
        with (self.place / "driver.log").open("ab") as log:
            return subprocess.Popen(
                line, stdout=log, stderr=log, cwd=self.place, env=self.nodes.environment,
                start_new_session=True,
            )  # fmt: skip

    def _until_finished(
        self, due: int, driver: "subprocess.Popen[bytes]", servers: Servers
    ) -> "subprocess.Popen[bytes]":
        """Wait for so many finished trials; the driver, which may be another by then."""
        limit = time.monotonic() + SECONDS
        while self._num_finished() < due:
            assert time.monotonic() < limit, f"no progress: {self.killed}\n{self._said()}"
            driver = self._kept_running(driver, servers)
            time.sleep(0.2)
        return self._kept_running(driver, servers)

    def _kept_running(
        self, driver: "subprocess.Popen[bytes]", servers: Servers
    ) -> "subprocess.Popen[bytes]":
        status = driver.poll()
        if status is None:
            return driver
        self.exits.append(status)
        assert len(self.exits) <= self.num_kills, f"exit statuses {self.exits}\n{self._said()}"
        return self._started(servers)

    def _until_over(self, driver: "subprocess.Popen[bytes]", servers: Servers) -> None:
        """To an exit status of 0, by the same command again where it is another."""
        while driver.wait(SECONDS) != 0:
            driver = self._kept_running(driver, servers)

    def _num_finished(self) -> int:
        """Lines, not a fold: this is asked five times a second."""
        parts = self.journal.glob("*.jsonl") if self.journal.is_dir() else ()
        return sum(path.read_bytes().count(b'"event":"finished"') for path in parts)

    def _kill_engine(self) -> None:
        """Any process of Ray's that has an actor: one that trains, or is about to."""
        found = sorted(
            pid
            for pid, line in processes_of(self.place).items()
            if line.startswith("ray::") and "IDLE" not in line
        )
        if not found:
            self.killed[-1] = "engine (none was there)"
            return
        with suppress(ProcessLookupError):
            os.kill(self.draws.choice(found), signal.SIGKILL)

    def _said(self) -> str:
        file = self.place / "driver.log"
        return file.read_text(errors="replace")[-3000:] if file.is_file() else ""

    def state(self) -> State:
        return journal.fold(journal.read(self.journal))

    def faults(self, servers: Servers, alone: State) -> list[str]:
        """What is not as if nothing had been killed; to be asked while Ray is still up."""
        found = list(self._of_journal(alone)) + list(self._of_tracking(servers))
        until_gone = time.monotonic() + 30
        while (left := self._left()) and time.monotonic() < until_gone:
            time.sleep(0.5)
        found += [f"a process is left: {line}" for line in left]
        self.nodes.end()
        until_gone = time.monotonic() + 60
        while (left := list(processes_of(self.place).values())) and time.monotonic() < until_gone:
            time.sleep(0.5)
        found += [f"a process outlived its node: {line}" for line in left]
        trials = self.place / "store" / "chaos" / "trials"
        found += [f"a checkpoint is left: {p}" for p in trials.rglob("*checkpoint*")]
        return found

    def _left(self) -> list[str]:
        """Drivers and engines: nobody trains any more."""
        return [
            line
            for line in processes_of(self.place).values()
            if "ablate_peft" in line or (line.startswith("ray::") and "IDLE" not in line)
        ]

    def _of_journal(self, alone: State) -> Iterator[str]:
        found = self.state()
        if set(found.trials) != set(alone.trials):
            yield f"{len(found.trials)} trials instead of {len(alone.trials)}"
        for identity, trial in alone.trials.items():
            other = found.trials.get(identity)
            if other is None or other.status != "finished":
                yield f"{identity}: {None if other is None else other.status}"
            elif self.pack == 1 and _scores(other) != _scores(trial):
                yield f"{identity}: {_scores(other)} instead of {_scores(trial)}"
        ended = Counter(e.data["trial"] for e in journal.read(self.journal) if e.kind == "finished")
        yield from (f"{i}: finished {n} times" for i, n in ended.items() if n != 1)

    def _of_tracking(self, servers: Servers) -> Iterator[str]:
        runs = self._runs(servers)
        kinds = Counter(run.tags.get("ablate.kind") for run in runs)
        expected = {"study": 1, "cell": 4, "trial": self.num_trials}
        if dict(kinds) != expected:
            yield f"MLflow has {dict(kinds)} instead of {expected}"
        twice = Counter(run.tags.get("ablate.trial") for run in runs if "ablate.trial" in run.tags)
        yield from (f"{i}: {n} runs" for i, n in twice.items() if n != 1)
        statuses = Counter(run.status for run in runs)
        if set(statuses) != {"FINISHED"}:
            yield f"MLflow has runs that are {dict(statuses)}"

    def _runs(self, servers: Servers) -> list[Run]:
        client = Client(servers.uri)
        experiment = client.experiment("chaos")
        return [] if experiment is None else list(client.runs([experiment.id]))


def _scores(trial: journal.Trial) -> Any:
    return (trial.result_json or {}).get("scores")


def undisturbed(place: Path, num_seeds: int) -> State:
    """The same study in this process."""
    file = place / "chaos.yaml"
    file.write_text(json.dumps({**STUDY, "confirm": {"seeds": num_seeds}}))
    study = api.load(file, store=str(place / "store"), device="cpu")
    assert study.run(Options(in_process=True, tracking=False)) == "done"
    return study.state


@contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """A short one for sockets; nothing that names it may outlive it."""
    place = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield place
    finally:
        end_all(place)
        shutil.rmtree(place, ignore_errors=True)


def told(
    seed: int, alone: State, num_seeds: int, num_kills: int, *, pack: int = 1, apart: bool = False
) -> dict[str, Any]:
    """Run one seed; what was killed, how long it took, and what is wrong."""
    began = time.monotonic()
    with folder("pg-") as beside, folder("ch-") as place, network(apart) as between:
        servers = Servers(beside)
        servers.start()
        try:
            chaos = Chaos(place, seed, num_seeds, num_kills, pack, between)
            chaos.run(servers)
            return {
                "seed": seed,
                "trials": chaos.num_trials,
                "kills": dict(Counter(chaos.killed)),
                "drivers": chaos.drivers,
                "other_exits": chaos.exits,
                "seconds": round(time.monotonic() - began),
                "faults": chaos.faults(servers, alone),
            }
        finally:
            servers.end()


@contextmanager
def network(apart: bool) -> Iterator[Network | None]:
    """One for the time of a study, if it is wanted."""
    made = Network() if apart else None
    try:
        yield made
    finally:
        if made is not None:
            made.end()


def main() -> int:
    """Run the seeds that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 11)))
    parser.add_argument("--trials", type=int, default=120, help="a multiple of 4")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pack", type=int, default=1, help="above 1 scores are not compared")
    parser.add_argument("--apart", action="store_true", help="a network namespace for each node")
    given = parser.parse_args()
    if not are_here():
        parser.error(MISSING)
    if given.apart and not can_be_apart():
        parser.error("--apart makes network namespaces, which this user may not")
    num_seeds = given.trials // 4
    with folder("alone-") as place:
        alone = undisturbed(place, num_seeds)
    faults = 0
    for seed in given.seeds:
        one = told(seed, alone, num_seeds, given.kills, pack=given.pack, apart=given.apart)
        faults += len(one["faults"])
        sys.stdout.write(json.dumps(one) + "\n")
        sys.stdout.flush()
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
