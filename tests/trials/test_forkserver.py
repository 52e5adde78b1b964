"""A server of forks, its processes, and what ends them; every process here is real."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trials import forkserver
from trials.catalogue import complete
from trials.forkserver import Died, Server, Visitor, message
from trials.places import Assignment, Places
from trials.spec import Evaluate, Recipe, Splits, TrialSpec
from trials.training import checkpoint
from trials.training.engine import train
from trials.training.run import ADAPTER

PLACES = Places(data=(os.environ["ABLATE_DATA"],))
ENDS = 20.0
"""Seconds within which a process is gone that has to go."""


def assignment(folder: Path, seed: int = 0, steps: int = 4, **changes: Any) -> Assignment:
    spec = TrialSpec(
        task="tiny_acceptability",
        backbone="tiny",
        method="lora",
        hyperparameters=complete("lora", {"rank": 4}),
        targets=("query",),
        recipe=Recipe(steps=steps, batch_size=4, max_length=16, evaluate=Evaluate(every=2)),
        splits=Splits(search="validation", report="test"),
        seed=seed,
        stage="confirm",
    )
    made = Assignment(spec=spec, task=spec.task, backbone="tiny", places=PLACES, folder=str(folder))
    return dataclasses.replace(made, **changes)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(str(tmp_path_factory.mktemp("s")), "tiny", PLACES)
    yield made
    made.close()


@pytest.fixture
def visitor(server: Server) -> Iterator[Visitor]:
    assert server.address is not None
    made = Visitor(server.address)
    yield made
    made.close()


def forked(server: Server) -> set[int]:
    """The processes that a server has forked."""
    assert server._process is not None
    pid = server._process.pid
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def until(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + ENDS
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def without_times(told: dict[str, Any]) -> Any:
    """What a trial's message says of the trial itself."""
    plain = json.loads(json.dumps(told))
    for part in (plain["progress"] or {}, plain["result"]):
        for name in ("seconds", "peak_memory_bytes"):
            part.pop(name, None)
    return plain


def test_what_it_trains_is_what_any_process_trains(visitor: Visitor, tmp_path: Path) -> None:
    """Bit for bit, one trial after another in one process."""
    for seed in (0, 1):
        there = assignment(tmp_path / f"there{seed}", seed)
        visitor.begin(there, has_gpu=False)
        told = [visitor.next() for _ in range(3)]
        here = [message(e) for e in train(assignment(tmp_path / f"here{seed}", seed))]
        assert [without_times(t) for t in told] == [without_times(t) for t in here]
        assert told[-1]["result"]["status"] == "finished"
        adapters = [checkpoint.read(tmp_path / f"{w}{seed}" / ADAPTER) for w in ("here", "there")]
        assert adapters[0] is not None
        assert adapters[1] is not None
        assert all(adapters[0][0][k].equal(adapters[1][0][k]) for k in adapters[0][0])


def test_a_trial_that_is_left_makes_room_for_another(visitor: Visitor, tmp_path: Path) -> None:
    visitor.begin(assignment(tmp_path / "left"), has_gpu=False)
    assert visitor.next()["progress"]["step"] == 2
    visitor.leave()
    visitor.begin(assignment(tmp_path / "next", 1), has_gpu=False)
    told = [visitor.next() for _ in range(3)]
    assert [t["progress"] and t["progress"]["step"] for t in told] == [2, 4, None]
    assert not (tmp_path / "left" / ADAPTER).exists()


def test_a_trials_mistake_is_its_result(visitor: Visitor, tmp_path: Path) -> None:
    visitor.begin(assignment(tmp_path, backbone="./nowhere"), has_gpu=False)
    told = visitor.next()
    assert told["result"]["status"] == "crashed"
    assert "nowhere" in told["result"]["reason"]


def test_visitors_have_a_process_each_that_ends_with_them(server: Server, tmp_path: Path) -> None:
    """In the middle of its training too."""
    assert server.address is not None
    before = forked(server)
    one, other = Visitor(server.address), Visitor(server.address)
    assert until(lambda: len(forked(server) - before) == 2)
    own = forked(server) - before
    long = assignment(tmp_path / "long", steps=10**6)
    endless = dataclasses.replace(
        long.spec, recipe=dataclasses.replace(long.spec.recipe, evaluate=Evaluate(every=10**6))
    )
    one.begin(dataclasses.replace(long, spec=endless), has_gpu=False)
    one._say({"next": True})
    time.sleep(0.5)
    one.close()
    assert until(lambda: sum(map(is_alive, own)) == 1)
    other.close()
    assert until(lambda: not any(map(is_alive, own)))


def test_a_process_that_is_killed_is_noticed(server: Server, tmp_path: Path) -> None:
    assert server.address is not None
    before = forked(server)
    visitor = Visitor(server.address)
    visitor.begin(assignment(tmp_path), has_gpu=False)
    assert visitor.next()["progress"]["step"] == 2
    (pid,) = forked(server) - before
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Died):
        visitor.next()
    with pytest.raises(Died):
        visitor.begin(assignment(tmp_path), has_gpu=False)
    again = Visitor(server.address)
    again.begin(assignment(tmp_path), has_gpu=False)
    # The first report comes again, from the checkpoint.
    assert [again.next()["progress"]["step"] for _ in range(2)] == [2, 4]
    again.close()


def test_a_device_that_the_visitor_was_given_is_its_processs(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.address is not None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    before = forked(server)
    visitor = Visitor(server.address)
    visitor.begin(assignment(tmp_path, device="auto"), has_gpu=True)
    told = visitor.next()
    assert told["result"]["device"] == "cpu", "torch has none here"
    assert len(forked(server) - before) == 1
    visitor.close()


def test_a_server_ends_with_who_started_it(tmp_path: Path) -> None:
    """And its processes with it, though their visitors are still there."""
    code = (
        "import sys, time; from trials.forkserver import Server; "
        f"server = Server({str(tmp_path)!r}); print(server._process.pid, flush=True); "
        "time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    server = int(owner.stdout.readline())
    visitor = Visitor(str(tmp_path / "forks"))
    children = Path(f"/proc/{server}/task/{server}/children")
    assert until(lambda: bool(children.read_text().split()))
    (child,) = map(int, children.read_text().split())
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert until(lambda: not is_alive(server) and not is_alive(child))
    visitor.close()


def test_closing_ends_everything_and_may_be_done_twice(tmp_path: Path) -> None:
    server = Server(str(tmp_path))
    assert server.address is not None
    assert server._process is not None
    visitor = Visitor(server.address)
    assert until(lambda: bool(forked(server)))
    own = forked(server)
    server.close()
    server.close()
    assert server._process.returncode == 0
    assert until(lambda: not any(map(is_alive, own)))
    with pytest.raises(Died):
        visitor.next()
    visitor.close()


def test_where_there_can_be_none_there_is_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    assert Server(str(deep)).address is None
    monkeypatch.setattr(forkserver.sys, "platform", "darwin")
    server = Server(str(tmp_path))
    assert server.address is None
    server.close()


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unused:
        unused.bind(str(tmp_path / "forks"))
    with pytest.raises(OSError, match="refused"):
        Visitor(str(tmp_path / "forks"))
