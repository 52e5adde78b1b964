"""A team's MLflow server over PostgreSQL: many drivers, names that clash, servers that go away."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from processes import SECONDS, end_all, free_port, until

from ablate.tracking import Owner, Tracker, Writer
from ablate.tracking.client import Client, Run

sys.path.insert(0, str(Path(__file__).parents[1] / "ablate" / "tracking"))

from tracked_stories import CELL, Story, spec  # noqa: E402

pytest.importorskip("psycopg2", reason="an MLflow server with PostgreSQL needs the extra `server`")

DRIVERS = 8
TRIALS = 4


def program(name: str) -> str | None:
    """One of PostgreSQL's, which Debian keeps off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(found[0]) if found else None)


pytestmark = [
    pytest.mark.slow,  # Two minutes of servers that are killed and come back.
    pytest.mark.skipif(
        not all(map(program, ("initdb", "postgres"))),
        reason="no initdb and postgres here: install PostgreSQL's server",
    ),
]


@dataclass
class Servers:
    """PostgreSQL and an MLflow server over it, on the loopback interface.

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

    def make(self) -> None:
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


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    place = Path(tempfile.mkdtemp(prefix="server-"))
    made = Servers(place)
    try:
        made.make()
        made.start_database()
        made.start_web()
        yield made
    finally:
        for name in list(made.running):
            made.kill(name)
        end_all(place)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def client(servers: Servers) -> Client:
    return Client(servers.uri)


def driver(servers: Servers, story: Story, owner: Owner) -> Writer:
    return Writer(
        lambda: Tracker(servers.uri, story.info.name, artifacts=None, owner=owner),
        story.state,
        lambda state: ([CELL], story.info),
        interval=0.05,
    )


def runs(client: Client, name: str) -> list[Run]:
    found = client.experiment(name)
    assert found is not None, name
    return list(client.runs([found.id]))


def trials(client: Client, name: str) -> dict[str, Run]:
    found = [run for run in runs(client, name) if "ablate.trial" in run.tags]
    assert len({run.tags["ablate.trial"] for run in found}) == len(found), "a trial has two runs"
    return {run.tags["ablate.trial"]: run for run in found}


def story_of(number: int, place: Path) -> Story:
    return Story(f"study-{number}", place / f"study-{number}")


def test_drivers_of_many_studies_share_a_server_that_is_killed(
    servers: Servers, client: Client, tmp_path: Path
) -> None:
    stories = [story_of(number, tmp_path) for number in range(DRIVERS)]
    mine = Owner("a" * 32, "ada")
    writers = [driver(servers, story, mine) for story in stories]
    specs = {s.info.name: [spec(100 * n + k) for k in range(TRIALS)] for n, s in enumerate(stories)}

    def tell(first: int, last: int) -> None:
        for story, writer in zip(stories, writers, strict=True):
            for item in specs[story.info.name][first:last]:
                story.plan(item)
                story.begin(item, 10, 20)
                writer.notify()
                story.finish(item)
                writer.notify()

    for writer in writers:
        writer.start()
    tell(0, 1)
    until(lambda: all(client.experiment(s.info.name) for s in stories), "every experiment")
    servers.kill("database")
    tell(1, 2)
    servers.start_database()
    tell(2, 3)
    servers.kill("web")
    tell(3, TRIALS)
    until(lambda: all(writer.problems for writer in writers), "word of the outage")
    servers.start_web()
    closed: list[bool] = [False] * DRIVERS

    def close(place: int) -> None:
        closed[place] = writers[place].close(SECONDS)

    ends = [threading.Thread(target=close, args=(n,)) for n in range(DRIVERS)]
    for end in ends:
        end.start()
    for end in ends:
        end.join()
    assert closed == [True] * DRIVERS, [writer.problems for writer in writers]
    for story in stories:
        name = story.info.name
        assert set(trials(client, name)) == {item.id for item in specs[name]}
        found = runs(client, name)
        assert {run.status for run in found} == {"FINISHED"}
        assert {run.tags["ablate.study"] for run in found} == {name}
        assert len(found) == TRIALS + 2, "its trials, its cell and itself"


def test_two_stores_with_a_study_of_one_name_keep_apart(
    servers: Servers, client: Client, tmp_path: Path
) -> None:
    ours = [Owner("b" * 32, "ben"), Owner("c" * 32, "cleo"), Owner("d" * 32, "cleo")]
    names = ["same", "same@cleo", f"same@cleo-{'d' * 6}"]
    for again in range(2):
        for number, (owner, name) in enumerate(zip(ours, names, strict=True)):
            story = Story("same", tmp_path / owner.store)
            items = [spec(900 + number), *([spec(950 + number)] if again else [])]
            story.plan(*items)
            for item in items:
                story.begin(item, 10)
                story.finish(item)
            tracker = Tracker(servers.uri, "same", artifacts=None, owner=owner)
            assert tracker.name == name
            story.sync(tracker)
            tracker.close()
            assert set(trials(client, name)) == {item.id for item in items}
            assert {run.tags["ablate.study"] for run in runs(client, name)} == {name}


def test_an_experiment_without_an_owner_is_its_first_drivers(
    servers: Servers, client: Client, tmp_path: Path
) -> None:
    """As versions before this one made them."""
    client.create_experiment("older", None, {"ablate.study": "older"})
    owner = Owner("e" * 32, "eve")
    assert Tracker(servers.uri, "older", artifacts=None, owner=owner).name == "older"
    other = replace(owner, store="f" * 32)
    assert Tracker(servers.uri, "older", artifacts=None, owner=other).name == "older@eve"


def test_files_go_to_the_servers_own_store(
    servers: Servers, client: Client, tmp_path: Path
) -> None:
    """A driver needs no password of it, and no path that the server sees."""
    story = Story("filed", tmp_path)
    tracker = Tracker(servers.uri, "filed", artifacts=None, owner=Owner("g" * 32, "gil"))
    story.sync(tracker)
    (whole,) = (r for r in runs(client, "filed") if r.tags["ablate.kind"] == "study")
    assert json.loads(client.read_text(whole.id, "study.json")) == story.info.config
    assert list((servers.place / "artifacts").rglob("study.json"))
