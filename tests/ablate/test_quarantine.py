"""Damage in a journal: set aside, said, and the study comes to the same end as without it."""

import json
import random
from pathlib import Path

import pytest
from fake_training import chosen, conductor, count, drive, ends, planned, search, undisturbed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate import journal, quarantine
from ablate.journal import Journal, State
from ablate.plan import Plan
from ablate.reuse import Library
from ablate.store import StudyFolder
from trials.errors import UserError


class Story:
    """One undisturbed study for all examples below."""

    def __init__(self, root: Path) -> None:
        self.plan: Plan = planned(confirm={"seeds": 2})
        self.folder = StudyFolder(root / "store" / "s")
        self.state = undisturbed(self.plan, self.folder.journal)
        with Journal.open(self.folder.journal) as record:
            record.append(journal.looked("t", 4, [{"id": "x"}], at=5.0))
            record.append(journal.ended("done"))
        self.text = (self.folder.journal / "000001.jsonl").read_bytes()
        self.second = (self.folder.journal / "000002.jsonl").read_bytes()

    def damaged(self, root: Path, line: int, byte: int, other: int) -> StudyFolder:
        """A copy whose line (from 0) has another byte at a place."""
        lines = self.text.splitlines(keepends=True)
        text = bytearray(lines[line])
        text[byte % len(text)] = other if other != text[byte % len(text)] else other ^ 1
        lines[line] = bytes(text)
        return self.copy(root, b"".join(lines))

    def copy(self, root: Path, text: bytes) -> StudyFolder:
        folder = StudyFolder(root / "store" / "s")
        folder.journal.mkdir(parents=True)
        (folder.journal / "000001.jsonl").write_bytes(text)
        (folder.journal / "000002.jsonl").write_bytes(self.second)
        return folder

    def resume(self, folder: StudyFolder) -> State:
        with Journal.open(folder.journal) as record:
            course = conductor(self.plan, record, elsewhere=Library(folder, others=False).take)
            drive(course, random.Random(0), 1)
            assert course.done
            return record.state


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("story"))


@given(data=st.data())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_byte_is_damaged_the_study_ends_as_without_it(
    story: Story, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    num_lines = story.text.count(b"\n")
    line = data.draw(st.integers(0, num_lines - 1), "line")
    byte, other = data.draw(st.integers(0, 10_000)), data.draw(st.integers(0, 255))
    folder = story.damaged(tmp_path_factory.mktemp("damaged"), line, byte, other)
    with pytest.raises(UserError, match=r"000001\.jsonl:\d+: damaged: .*(?s:.*)ablate doctor s"):
        journal.load(folder.journal)
    mended = quarantine.set_aside(folder.journal)
    assert mended is not None
    # A newline that became another byte joins a line to the next; one more newline parts it.
    assert (mended.segment, mended.line) == ("000001.jsonl", line + 1)
    left = journal.load(folder.journal)
    assert left.mended == [mended]
    assert [look.trials for look in left.looks] == ["t"], "an intact look counts"
    assert quarantine.set_aside(folder.journal) is None
    salvaged = set(quarantine.salvaged(folder.journal))
    state = story.resume(folder)
    assert ends(state) == ends(story.state)
    assert search(state) == search(story.state)
    assert chosen(state) == chosen(story.state)
    trained = {t for t, n in count(folder.journal, "started").items() if n}
    assert not salvaged & trained, "what ended in intact lines is not trained again"


def test_what_was_set_aside_is_there_as_it_was(story: Story, tmp_path: Path) -> None:
    lines = story.text.splitlines(keepends=True)
    folder = story.damaged(tmp_path, 10, 5, 0)
    before = (folder.journal / "000001.jsonl").read_bytes()
    mended = quarantine.set_aside(folder.journal)
    place = folder.journal / "quarantine" / "0001"
    assert (folder.journal / "000001.jsonl").read_bytes() == b"".join(lines[:10])
    assert b"".join(lines[:10]) + (place / "000001.jsonl").read_bytes() == before
    assert (place / "000002.jsonl").read_bytes() == story.second
    assert mended is not None
    assert mended.num_lines == len(lines) - 10 + 2
    assert mended.reason == "the line does not match its check"
    assert json.loads((place / "damage.json").read_text())["line"] == 11


def test_a_trial_that_began_before_the_damage_is_not_salvaged(story: Story, tmp_path: Path) -> None:
    events = journal.read(story.folder.journal)
    first = next(e for e in events if e.kind == "reported")
    folder = story.damaged(tmp_path, first.seq - 1, 5, 0)
    quarantine.set_aside(folder.journal)
    salvaged = quarantine.salvaged(folder.journal)
    assert first.data["trial"] not in salvaged
    finished = {t.id for t in story.state.trials.values() if t.status == "finished"}
    assert set(salvaged) == finished - {first.data["trial"]}
    for identity, (reports, result) in salvaged.items():
        whole = story.state.trials[identity]
        assert repr(list(reports)) == repr(list(whole.progress)), "NaN equals itself as text"
        assert result == whole.result


def test_a_missing_segment_sets_the_later_ones_aside(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "s" / "journal"
    for number in range(4):
        with Journal.open(folder) as record:
            record.append(journal.ended(str(number)))
    (folder / "000002.jsonl").unlink()
    mended = quarantine.set_aside(folder)
    assert mended is not None
    assert (mended.segment, mended.line, mended.num_lines) == ("000003.jsonl", 1, 2)
    assert mended.reason == "event 3 where 2 was due"
    assert journal.load(folder).last_seq == 2


def test_a_second_damage_before_the_first_is_said_as_well(story: Story, tmp_path: Path) -> None:
    folder = story.damaged(tmp_path, 30, 5, 0)
    quarantine.set_aside(folder.journal)
    text = (folder.journal / "000001.jsonl").read_bytes()
    (folder.journal / "000001.jsonl").write_bytes(text.replace(b'"seq":4', b'"seq":5', 1))
    quarantine.set_aside(folder.journal)
    assert [m.line for m in journal.load(folder.journal).mended] == [31, 4]
    assert ends(story.resume(folder)) == ends(story.state)


@pytest.mark.parametrize("survives", range(5))
def test_a_mending_that_is_cut_off_is_finished_by_the_next(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    folder = story.damaged(tmp_path, 20, 5, 0)
    lives = [survives]

    class Killed(BaseException):
        pass

    def mortal(path: Path, data: bytes) -> None:
        if not lives[0]:
            raise Killed
        lives[0] -= 1
        whole(path, data)

    whole = quarantine._write
    monkeypatch.setattr(quarantine, "_write", mortal)
    try:
        quarantine.set_aside(folder.journal)
    except Killed:
        monkeypatch.undo()
        quarantine.set_aside(folder.journal)
    assert journal.load(folder.journal).mended
    assert ends(story.resume(folder)) == ends(story.state)


def test_a_study_that_is_running_is_left_alone(story: Story, tmp_path: Path) -> None:
    folder = story.copy(tmp_path, story.text)
    with (
        Journal.open(folder.journal),
        pytest.raises(UserError, match="study 's' is being run by process"),
    ):
        quarantine.set_aside(folder.journal)


def test_a_journal_that_cannot_be_written_stays(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = story.damaged(tmp_path, 20, 5, 0)
    before = {p: p.read_bytes() for p in folder.journal.glob("*.jsonl")}

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quarantine, "_write", full)
    with pytest.raises(UserError, match="cannot be mended: No space left on device"):
        quarantine.set_aside(folder.journal)
    assert {p: p.read_bytes() for p in folder.journal.glob("*.jsonl")} == before


def test_an_intact_journal_is_not_touched(story: Story, tmp_path: Path) -> None:
    folder = story.copy(tmp_path, story.text)
    assert quarantine.set_aside(folder.journal) is None
    assert not (folder.journal / "quarantine").exists()
    assert quarantine.salvaged(folder.journal) == {}
