"""A team's MLflow server over PostgreSQL: many drivers, names that clash, servers that go away."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from processes import SECONDS, end_all, until
from servers import MISSING, Servers, are_here

from ablate import journal
from ablate.tracking import Owner, Tracker, Writer
from ablate.tracking.client import Client, Run

sys.path.insert(0, str(Path(__file__).parents[1] / "ablate" / "tracking"))

from tracked_stories import CELL, Story, spec  # noqa: E402

ROOT = Path(__file__).parents[2]
DRIVERS = 8
TRIALS = 4
SECRET = "geheim-4711"

pytestmark = [
    pytest.mark.slow,  # Two minutes of servers that are killed and come back.
    pytest.mark.skipif(not are_here(), reason=MISSING),
]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    place = Path(tempfile.mkdtemp(prefix="server-"))
    made = Servers(place)
    try:
        made.start()
        yield made
    finally:
        made.end()
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


def test_eight_drivers_at_once_see_no_others_runs_and_tell_no_secret(
    servers: Servers, client: Client, tmp_path: Path
) -> None:
    """Each a process of its own, with a password that the server does not ask for."""
    place = servers.uri.replace("http://", f"http://me:{SECRET}@")
    names = [f"driver-{number}" for number in range(DRIVERS)]
    drivers = [started(tmp_path / name, name, place) for name in names]
    said = [driver.communicate(timeout=SECONDS) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0] * DRIVERS, said
    for name in names:
        state = journal.fold(journal.read(tmp_path / name / "store" / name / "journal"))
        assert {trial.status for trial in state.trials.values()} == {"finished"}
        assert set(trials(client, name)) == set(state.trials)
        found = runs(client, name)
        assert len(found) == len(state.trials) + 2
        assert {run.status for run in found} == {"FINISHED"}
        assert {run.tags["ablate.study"] for run in found} == {name}
    assert SECRET not in "".join(part for both in said for part in both)
    files = [path for root in (tmp_path, servers.place) for path in root.rglob("*")]
    assert [p for p in files if p.is_file() and SECRET.encode() in p.read_bytes()] == []


def started(place: Path, name: str, uri: str) -> "subprocess.Popen[str]":
    place.mkdir()
    keys = {
        "study": name,
        "tasks": ["tiny_acceptability"],
        "backbones": ["tiny"],
        "targets": ["query", "value"],
        "arms": [{"method": "lora", "rank": 4}],
        "train": {"steps": 4, "batch_size": 8, "max_length": 24, "learning_rate": 1e-3},
        "confirm": {"seeds": 3},
    }
    (place / "study.yaml").write_text(json.dumps(keys))
    line = [
        sys.executable, str(ROOT / "ablate_peft.py"), "run", str(place / "study.yaml"),
        "--store", str(place / "store"), "--tracking-uri", uri, "--in-process", "--device", "cpu",
    ]  # fmt: skip
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(place)},
    )  # fmt: skip


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
