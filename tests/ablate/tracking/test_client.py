"""A SQLite store is made whole or not at all; processes are really killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.tracking.client import Client

OPEN = "import sys; from ablate.tracking.client import Client; Client(sys.argv[1]).experiments()"


def halves(folder: Path) -> list[Path]:
    return [path for path in folder.glob(".mlflow.db-*") if not path.name.endswith("-journal")]


@pytest.mark.parametrize("size", [pytest.param(4096, marks=pytest.mark.slow), 300_000])
def test_a_process_killed_while_it_makes_the_schema_leaves_no_broken_store(
    size: int, tmp_path: Path
) -> None:
    """At its first table, and between two of its migrations."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    process = subprocess.Popen([sys.executable, "-c", OPEN, uri], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not any(path.stat().st_size >= size for path in halves(tmp_path)):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (tmp_path / "mlflow.db").exists()
    assert halves(tmp_path), "it was killed in the middle"
    assert [e.name for e in Client(uri).experiments()] == ["Default"]


def test_what_was_left_half_made_long_ago_is_removed(tmp_path: Path) -> None:
    old, new = tmp_path / ".mlflow.db-1", tmp_path / ".mlflow.db-2"
    for path in (old, new):
        path.write_text("half")
    os.utime(old, (0, 0))
    Client(f"sqlite:///{tmp_path}/mlflow.db").experiments()
    assert halves(tmp_path) == [new], "somebody may be making this one"


def test_a_store_that_is_there_stays(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    Client(uri).create_experiment("mine", None, {})
    before = (tmp_path / "mlflow.db").stat().st_ino
    assert {e.name for e in Client(uri).experiments()} == {"Default", "mine"}
    assert (tmp_path / "mlflow.db").stat().st_ino == before


def test_an_empty_file_is_no_store_yet(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert Client(f"sqlite:///{tmp_path}/mlflow.db").experiments()
    assert not halves(tmp_path)


def test_two_that_make_one_at_the_same_time_have_the_same(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    code = (
        "import sys; from ablate.tracking.client import Client; "
        "Client(sys.argv[1]).create_experiment(sys.argv[2], None, {})"
    )
    made = [subprocess.Popen([sys.executable, "-c", code, uri, name]) for name in ("one", "two")]
    assert [process.wait() for process in made] == [0, 0]
    assert {e.name for e in Client(uri).experiments()} == {"Default", "one", "two"}


def test_a_file_system_without_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert Client(f"sqlite:///{tmp_path}/mlflow.db").experiments()
    assert not halves(tmp_path)
