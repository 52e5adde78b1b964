"""The ledger: what counts as a look, and that none is lost or written twice."""

from pathlib import Path

import pandas as pd
import pytest

from ablate import frame, journal, ledger
from ablate.journal import Journal, State
from ablate.ledger import Ledger
from ablate.store import StudyFolder


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "s")


def results(*confirmed: str) -> pd.DataFrame:
    rows = [
        {"study": "s", "stage": "confirm", "task": "t", "arm": "a", "method": "a", "split": "test",
         "seed": n, "metric": "m", "score": 0.5, "trial_id": name}
        for n, name in enumerate(confirmed)
    ]  # fmt: skip
    return frame.check(pd.DataFrame(rows))


def entries(*names: str) -> list[dict[str, object]]:
    return [
        {"id": name, "n": 2, "estimate": 0.1, "p_value": 0.5, "p_adjusted": 1.0,
         "verdict": "undecided", "seeds": [0, 1]}
        for name in names
    ]  # fmt: skip


def look(folder: StudyFolder, *trials: str, tests: tuple[str, ...] = ("c",)) -> int:
    data = results(*trials)
    found = Ledger(folder, journal.fold(journal.read(folder.journal)))
    count = found.count(data)
    found.note(data, entries(*tests), at=float(len(found.looks)))
    return count


def test_reading_the_same_results_twice_is_one_look(folder: StudyFolder) -> None:
    seen = [("a", "b"), ("b", "a"), ("a", "b", "c"), ("a", "b", "c"), ("a", "b")]
    assert [look(folder, *trials) for trials in seen] == [1, 1, 2, 2, 2]
    assert [one.num_trials for one in ledger.pending(folder)] == [2, 3]


def test_another_test_on_the_same_results_is_recorded_too(folder: StudyFolder) -> None:
    assert [look(folder, "a"), look(folder, "a", tests=("c", "d"))] == [1, 1]
    assert [len(one.tests) for one in ledger.pending(folder)] == [1, 2]
    assert set(ledger.pending(folder)[0].tests[0]) == {
        "id", "n", "estimate", "p_value", "p_adjusted", "verdict",
    }  # fmt: skip


def test_no_results_are_no_look(folder: StudyFolder) -> None:
    nothing = frame.check(results("a").assign(status="missing", score=None))
    found = Ledger(folder, State())
    found.note(nothing, entries("c"), at=0.0)
    assert found.count(nothing) == 1
    assert not folder.ledger.exists()


def test_the_next_writer_takes_over_what_readers_left(folder: StudyFolder) -> None:
    look(folder, "a")
    look(folder, "a", "b")
    with Journal.open(folder.journal) as record:
        ledger.take_over(folder, record)
        assert ledger.pending(folder) == []
        assert [one.num_trials for one in record.state.looks] == [1, 2]
    assert look(folder, "a", "b") == 2
    assert look(folder, "a", "b", "c") == 3


def test_a_writer_that_died_in_between_writes_nothing_twice(folder: StudyFolder) -> None:
    look(folder, "a")
    left = folder.ledger.read_text()
    with Journal.open(folder.journal) as record:
        ledger.take_over(folder, record)
    folder.ledger.write_text(left)
    with Journal.open(folder.journal) as record:
        ledger.take_over(folder, record)
        assert len(record.state.looks) == 1


def test_a_writer_notes_its_own_look_in_the_journal(folder: StudyFolder) -> None:
    data = results("a")
    with Journal.open(folder.journal) as record:
        record.append(journal.ended("done"))
        Ledger(folder, record.state, record).note(data, entries("c"), at=5.0)
        # A look does not mean that the study goes on.
        assert record.state.ended == "done"
        assert [one.at for one in record.state.looks] == [5.0]
    assert not folder.ledger.exists()
