"""The store: one folder a study, found by name, never half a file."""

from pathlib import Path

import pytest

from ablate import store
from ablate.journal import State
from ablate.store import StudyFolder
from trials.errors import UserError


def a_store(root: Path, *names: str) -> Path:
    for name in names:
        (root / name / "journal").mkdir(parents=True)
    (root / "mlartifacts").mkdir(exist_ok=True)
    (root / "mlflow.db").write_text("")
    return root


def test_studies_are_folders_with_a_journal(tmp_path: Path) -> None:
    root = a_store(tmp_path / "store", "b", "a")
    assert [folder.name for folder in store.studies(root)] == ["a", "b"]
    assert store.studies(tmp_path / "nowhere") == []
    assert store.find(root, "a").journal == root / "a" / "journal"


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study called 'moons'.*moon"):
        store.find(a_store(tmp_path, "moon"), "moons")


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    store.require_writable(tmp_path / "new" / "store")
    assert not list((tmp_path / "new" / "store").iterdir())
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(UserError, match="cannot be written"):
            store.require_writable(place)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    store.write_text(path, "one")
    store.write_text(path, "zwei\n")
    assert path.read_text() == "zwei\n"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_study_remembers_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("study: s")
    monkeypatch.chdir(tmp_path)
    folder = StudyFolder(tmp_path / "store" / "s")
    store.remember_origin(folder, "s.yaml", ["confirm.seeds=3"])
    assert store.read_origin(folder) == (file, ["confirm.seeds=3"])
    file.unlink()
    with pytest.raises(UserError, match="not there any more"):
        store.read_origin(folder)


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"file": "a"}', "5"])
def test_an_origin_that_says_nothing(tmp_path: Path, text: str | None) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    if text is not None:
        folder.origin.write_text(text)
    with pytest.raises(UserError, match="does not say which file"):
        store.read_origin(folder)


def test_a_trial_by_the_beginning_of_its_id() -> None:
    state = State()
    state.trials = dict.fromkeys(("abcd", "abef", "cdef"))  # type: ignore[assignment]
    assert store.trial_by_prefix(state, "abc") == "abcd"
    assert store.trial_by_prefix(state, "c") == "cdef"
    with pytest.raises(UserError, match="2 trials' ids start with 'ab'"):
        store.trial_by_prefix(state, "ab")
    with pytest.raises(UserError, match="no trial's id starts with 'x'"):
        store.trial_by_prefix(state, "x")


def test_a_store_keeps_its_identity_where_it_moves(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = store.identity(tmp_path / "one")
    assert store.identity(tmp_path / "one") == first
    assert store.identity(tmp_path / "two") != first
    (tmp_path / "one").rename(tmp_path / "three")
    assert store.identity(tmp_path / "three") == first
    assert [p.name for p in (tmp_path / "three").iterdir()] == ["store.json"]
