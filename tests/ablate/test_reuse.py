"""Trials of other studies of the store: found, their files at hand, damage passed over."""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_training import nobody_crashes, planned, undisturbed

from ablate import runner
from ablate.journal import State, Trial
from ablate.reuse import Library
from ablate.store import StudyFolder
from trials.spec import TrialResult

FILES = {"adapter": "adapter.safetensors", "predictions_validation": "p/v.jsonl.gz"}


@pytest.fixture
def other(tmp_path: Path) -> tuple[StudyFolder, State]:
    """A study whose first trial left files."""
    folder = StudyFolder(tmp_path / "store" / "other")
    folder.path.mkdir(parents=True)
    state = undisturbed(planned(study="other", tune=None), folder.journal, nobody_crashes)
    return folder, state


def with_files(folder: StudyFolder, state: State, monkeypatch: pytest.MonkeyPatch) -> str:
    identity = next(iter(state.trials))
    for name, path in FILES.items():
        file = folder.trial(identity) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    finished = TrialResult(status="finished", scores={"v": {"accuracy": 0.5}}, files=FILES)
    monkeypatch.setattr("ablate.state.Trial.result", property(lambda trial: finished))
    return identity


def test_a_finished_trial_comes_with_its_reports_and_files(
    other: tuple[StudyFolder, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, state = other
    identity = with_files(folder, state, monkeypatch)
    own = StudyFolder(folder.path.parent / "mine")
    found = Library(own).take(identity)
    assert found is not None
    assert found.study == "other"
    assert list(found.reports) == list(state.trials[identity].progress)
    assert found.result.files == FILES
    for name, path in FILES.items():
        assert (own.trial(identity) / path).read_text() == name
    (folder.trial(identity) / FILES["adapter"]).unlink()
    assert (own.trial(identity) / FILES["adapter"]).is_file(), "the other study may tidy up"


def needy_files(folder: StudyFolder, identity: str) -> list[Path]:
    return list(StudyFolder(folder.path.parent / "needy").trial(identity).rglob("*"))


def test_what_the_other_study_did_not_keep_is_not_promised(
    other: tuple[StudyFolder, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, state = other
    identity = with_files(folder, state, monkeypatch)
    (folder.trial(identity) / FILES["adapter"]).unlink()
    found = Library(StudyFolder(folder.path.parent / "mine")).take(identity)
    assert found is not None
    assert set(found.result.files) == {"predictions_validation"}
    needy = Library(StudyFolder(folder.path.parent / "needy"))
    assert needy.take(identity, {"adapter"}) is None, "what others start from is trained again"
    assert not needy_files(folder, identity)
    assert needy.take(identity, {"predictions_validation"}) is not None


def test_nothing_is_taken_from_oneself_or_where_nothing_is(
    other: tuple[StudyFolder, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, state = other
    identity = with_files(folder, state, monkeypatch)
    assert Library(folder).take(identity) is None
    mine = Library(StudyFolder(folder.path.parent / "mine"))
    assert mine.take("0" * 64) is None
    folder.trial("f" * 64).mkdir()
    assert mine.take("f" * 64) is None, "a folder is no result"


def test_a_damaged_journal_of_another_study_stops_nothing(
    other: tuple[StudyFolder, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, state = other
    identity = with_files(folder, state, monkeypatch)
    segment = next(folder.journal.glob("*.jsonl"))
    segment.write_bytes(b"{}\n" + segment.read_bytes())
    assert Library(StudyFolder(folder.path.parent / "mine")).take(identity) is None


def test_only_what_others_start_from_is_of_no_use_without_its_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, set[str]] = {}
    others: list[bool] = []

    def begin(self: Library, own: StudyFolder, **more: bool) -> None:
        others.append(more["others"])

    def take(self: Library, identity: str, needed: Iterable[str] = ()) -> None:
        asked[identity] = set(needed)

    monkeypatch.setattr(Library, "__init__", begin)
    monkeypatch.setattr(Library, "take", take)
    stages = {"begins": ("source", "confirm"), "searches": ("source", "search"),
              "ends": ("other", "confirm")}  # fmt: skip
    trials = {
        name: Trial(name, {"stage": stage}, cell, None, None, 1, False)
        for name, (cell, stage) in stages.items()
    }
    plan: Any = SimpleNamespace(study=SimpleNamespace(reuse=True), sources={"source"})
    elsewhere = runner._elsewhere(plan, StudyFolder(tmp_path), State(trials=trials))
    for name in stages:
        elsewhere(name)
    assert asked == {"begins": {"adapter"}, "searches": set(), "ends": set()}
    plan.study.reuse = False
    runner._elsewhere(plan, StudyFolder(tmp_path), State(trials=trials))
    assert others == [True, False]
