"""Stores that are full or read only: a clear stop, and the same command completes afterwards."""

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_training import conductor, drive, ends, planned, undisturbed
from mini_study import Ran, scores, state, write
from safetensors import SafetensorError

from ablate import cli, journal
from ablate.journal import Journal
from trials.errors import UserError
from trials.places import Assignment, Places
from trials.spec import TrialResult, TrialSpec
from trials.training.run import crashed

ROOM = "100k"
MORE_ROOM = "64m"
"""The mini study takes about a megabyte."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "ablate", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def run(file: Path, store: Path) -> int:
    return cli.main(
        ["run", str(file), "--store", str(store), "--in-process", "--device", "cpu",
         "--tracking-uri", f"sqlite:///{file.parent}/mlflow.db"]
    )  # fmt: skip


def test_a_study_stops_on_a_full_disk_and_the_same_command_completes(
    ran: Ran, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "mini.yaml")
    assert run(file, disk / "store") in (2, 4)
    said = capsys.readouterr()
    assert "No space left on device" in said.out + said.err
    assert not [t for t in state(disk / "store").trials.values() if t.status == "crashed"]
    remount(disk, f"size={MORE_ROOM}")
    assert run(file, disk / "store") == 0
    assert scores(state(disk / "store")) == scores(ran.state())


def test_a_read_only_store_is_refused(
    ran: Ran, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remount(disk, "ro")
    assert run(write(tmp_path / "mini.yaml"), disk / "store") == 2
    assert "cannot be written: Read-only file system" in capsys.readouterr().err


FULL = OSError(errno.ENOSPC, "No space left on device", "/store/x")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FULL, "nothing can be written: No space left on device (/store/x)"),
        (OSError(errno.EROFS, "Read-only file system"),
         "nothing can be written: Read-only file system"),
        (SafetensorError("Error while serializing: I/O error: No space left (os error 28)"),
         f"nothing can be written: {os.strerror(errno.ENOSPC)}"),
    ],
    ids=["full", "read only", "safetensors"],
)  # fmt: skip
def test_a_trial_without_room_has_not_failed(tmp_path: Path, error: Exception, reason: str) -> None:
    spec = TrialSpec.from_json(planned().cells[0].template.to_json())
    places = Places()
    folder = tmp_path / "trial"
    assignment = Assignment(spec=spec, task="t", backbone="b", places=places, folder=str(folder))
    result = crashed(error, assignment)
    assert (result.unwritable, result.reason) == (True, reason)
    assert not folder.exists()
    other = crashed(ValueError("no room for this"), assignment)
    assert not other.unwritable


def test_a_sweep_without_room_halts_and_continues(tmp_path: Path) -> None:
    made = planned(tune=None)
    whole = undisturbed(made, tmp_path / "whole")
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(made, record)
        given = course.next()
        assert given is not None
        full = TrialResult(status="crashed", reason="nothing can be written: No space left")
        course.finish(given.spec.id, full)
        assert course.halted == full.reason
        assert course.next() is None
        assert not course.done
        assert record.state.trials[given.spec.id].status == "running"
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(made, record)
        drive(course, random.Random(0), 1)
        assert course.done
        assert ends(record.state) == ends(whole)


def test_a_journal_that_cannot_be_written_halts_its_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(tmp_path / "s" / "journal") as record:
        course = conductor(planned(tune=None), record)

        def full(file: object, data: bytes) -> None:
            raise FULL

        monkeypatch.setattr(journal, "_write_all", full)
        with pytest.raises(UserError, match="cannot be written: No space left on device"):
            course.next()
        assert record.broken is not None
        assert course.look() == str(record.broken)
        with pytest.raises(UserError, match="No space left on device"):
            record.append(journal.ended("done"))
