"""The journal as the doctor finds it."""

from pathlib import Path

import pytest

from ablate import journal
from ablate.doctor.record import is_running, journal_of
from ablate.journal import Journal
from ablate.store import StudyFolder
from trials.spec import TrialResult


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "store" / "s")
    with Journal.open(folder.journal) as record:
        for number, name in enumerate(("a" * 64, "b" * 64)):
            record.append(journal.planned(name, {"seed": number}, cell="c", revision=1))
            record.append(journal.started(name, 1))
        record.append(journal.finished("a" * 64, TrialResult(status="finished")))
    return folder


def test_a_whole_journal(folder: StudyFolder) -> None:
    state, (whole, driver) = journal_of(folder, mend=False)
    assert state is not None
    assert (whole.status, whole.text) == (
        "ok", "5 events, every line as it was written: 1 of 2 trials ended",
    )  # fmt: skip
    assert (driver.part, driver.text) == ("driver", "1 trial cut off; the next run continues")


def test_who_runs_it_is_named(folder: StudyFolder) -> None:
    assert is_running(folder) is None
    with Journal.open(folder.journal):
        running = is_running(folder)
        assert running is not None
        assert running.startswith("study 's' is being run by process ")
        _, (_, driver) = journal_of(folder, mend=False)
        assert driver.text == running
    assert is_running(folder) is None
    assert not (folder.journal / "lease.json").exists()


def test_a_damaged_journal_is_named_then_mended(folder: StudyFolder) -> None:
    segment = folder.journal / "000001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b"finished", b"finishes", 1))
    state, (one,) = journal_of(folder, mend=False)
    assert state is None
    assert one.status == "broken"
    assert one.text == f"{segment}:5: damaged: the line does not match its check"
    assert one.remedy is not None
    assert one.remedy.startswith("`ablate doctor s --mend` sets it aside")
    state, (mended, whole, _) = journal_of(folder, mend=True)
    assert state is not None
    assert (mended.status, whole.status) == ("mended", "ok")
    assert mended.text.startswith("000001.jsonl, line 5: the line does not match its check; 1 line")
    assert (folder.journal / "quarantine" / "0001" / "000001.jsonl").is_file()
    _, (whole, _) = journal_of(folder, mend=True)
    assert whole.status == "ok"
