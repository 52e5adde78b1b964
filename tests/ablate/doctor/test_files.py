"""The files of trials beside the journal: missing, damaged, of no use, or not ours."""

import json
from pathlib import Path

import pytest

from ablate import journal
from ablate.doctor.files import is_whole, trial_files
from ablate.doctor.finding import Finding
from ablate.journal import Journal, State
from ablate.store import StudyFolder
from trials.spec import TrialResult

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def tensors(path: Path) -> Path:
    """A file of one tensor, written by hand."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """One finished trial with its files, one that was cut off, one that waits."""
    folder = StudyFolder(tmp_path / "store" / "s")
    files = {"adapter": "adapter.safetensors", "predictions_test": "predictions_test.jsonl.gz"}
    with Journal.open(folder.journal) as record:
        for name in (A, B, C):
            record.append(journal.planned(name, {"seed": 1}, cell="c", revision=1))
        record.append(journal.started(A, 1))
        record.append(journal.finished(A, TrialResult(status="finished", files=files)))
        record.append(journal.started(B, 1))
    tensors(folder.trial(A) / "adapter.safetensors")
    (folder.trial(A) / "predictions_test.jsonl.gz").write_bytes(b"")
    tensors(folder.trial(B) / "checkpoint.safetensors")
    return folder


def look(folder: StudyFolder, keep: str | None = "all", *, mend: bool = False) -> list[Finding]:
    state: State = journal.load(folder.journal)
    return list(trial_files(folder, state, keep=keep, mend=mend))


def test_files_that_are_as_the_journal_says(folder: StudyFolder) -> None:
    (one,) = look(folder)
    assert (one.status, one.text) == (
        "ok", "files of 3 trials are those that the journal names",
    )  # fmt: skip


def test_a_missing_file_is_named_and_cannot_be_mended(folder: StudyFolder) -> None:
    (folder.trial(A) / "predictions_test.jsonl.gz").unlink()
    (one,) = look(folder, mend=True)
    assert one.status == "broken"
    assert one.text.startswith("missing: aaaaaaaaaaaa/predictions_test.jsonl.gz; this cannot")


@pytest.mark.parametrize(("keep", "status"), [("all", "broken"), ("best", "ok"), (None, "ok")])
def test_an_adapter_is_missed_where_all_are_kept(
    folder: StudyFolder, keep: str | None, status: str
) -> None:
    (folder.trial(A) / "adapter.safetensors").unlink()
    assert look(folder, keep)[0].status == status


def test_a_damaged_adapter_is_named(folder: StudyFolder) -> None:
    adapter = folder.trial(A) / "adapter.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:-1])
    (one,) = look(folder, mend=True)
    assert (one.status, "not readable: aaaaaaaaaaaa/adapter" in one.text) == ("broken", True)
    assert adapter.exists(), "what is left of it is the user's"


@pytest.mark.parametrize("name", ["damaged checkpoint", "old checkpoint", "temporary"])
def test_what_is_of_no_use_is_removed_when_asked(folder: StudyFolder, name: str) -> None:
    checkpoint = folder.trial(B) / "checkpoint.safetensors"
    useless = {
        "damaged checkpoint": checkpoint,
        "old checkpoint": folder.trial(A) / "checkpoint.safetensors",
        "temporary": folder.trial(B) / ".checkpoint.safetensors.12345",
    }[name]
    if name == "damaged checkpoint":
        checkpoint.write_bytes(b"half")
    else:
        tensors(useless)
    first, _ = look(folder)
    assert (first.status, first.remedy) == ("warning", "--mend removes them")
    assert first.text.startswith("1 file of no use: ")
    assert useless.exists()
    first, last = look(folder, mend=True)
    assert (first.status, last.status) == ("mended", "ok")
    assert not useless.exists()
    assert [finding.status for finding in look(folder)] == ["ok"]
    assert checkpoint.exists() == (name != "damaged checkpoint")


def test_strangers_are_named_and_left(folder: StudyFolder) -> None:
    (folder.trial("f" * 64)).mkdir()
    (folder.trial(A) / "model.pkl").write_bytes(b"\x80\x04.")
    known, code, last = look(folder, mend=True)
    assert (known.status, code.status, last.status) == ("warning", "warning", "ok")
    assert "does not know: ffffffffffff" in known.text
    assert "model.pkl" in code.text
    assert (folder.trial(A) / "model.pkl").exists()


def test_whole_is_from_the_first_byte_to_the_last(tmp_path: Path) -> None:
    path = tensors(tmp_path / "x.safetensors")
    whole = path.read_bytes()
    assert is_whole(path)
    for changed in (b"", whole[:5], whole[:-1], whole + b"\0", b"\x80\x04K\x01.", whole[8:]):
        path.write_bytes(changed)
        assert not is_whole(path), changed
    assert not is_whole(tmp_path / "none.safetensors")
