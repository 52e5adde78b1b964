"""What MLflow is told: cells with their summary, and the files to keep."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mini_study import Ran

from ablate import api, tracked
from ablate.api import Ablation


@pytest.fixture
def study(ran: Ran, tmp_path: Path) -> Ablation:
    copy = ran.copy(tmp_path)
    return api.load(copy.file, store=str(copy.store), device="cpu")


def test_a_cell_is_described_with_its_summary(study: Ablation) -> None:
    state = study.state
    cells, about = tracked.describe(study.resolved, study.folder, state)
    assert [c.arm for c in cells] == [arm.id for arm in study.plan().arms]
    first = cells[0]
    assert (first.search_split, first.report_split) == ("validation", "test")
    assert first.primary == "mcc"
    assert first.nuisances == ("learning_rate",)
    assert "method" not in first.factors
    scores = [
        t.result_json["scores"]["test"]["mcc"]
        for t in state.trials.values()
        if t.cell == first.key and t.rank == 1 and t.result_json
    ]
    assert first.summary["mean"] == pytest.approx(np.mean(scores))
    assert first.summary["sd"] is None, "two seeds have a range and no sd"
    assert first.summary["n"] == 2
    assert about.name == "mini"
    assert about.stale == frozenset()
    assert about.revision == 1


def test_a_summary_counts_what_failed(study: Ablation) -> None:
    state = study.state
    key = study.plan().cells[0].key
    mine = [t for t in state.trials.values() if t.cell == key and t.rank == 1]
    mine[0].status = "crashed"
    summary = tracked.describe(study.resolved, study.folder, state)[0][0].summary
    assert (summary["n"], summary["num_failed"]) == (1, 1)
    mine[1].status = "crashed"
    summary = tracked.describe(study.resolved, study.folder, state)[0][0].summary
    assert summary == {"num_failed": 2.0}


def test_a_cell_is_summed_up_again_only_when_a_trial_of_it_has_ended(
    study: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer asks every second, of a thousand cells as of one."""
    state, asked = study.state, []
    real = tracked._cell
    monkeypatch.setattr(tracked, "_cell", lambda *given: asked.append(given[2].key) or real(*given))
    describe = tracked.Describer(study.resolved, study.folder)
    keys = [cell.key for cell in study.plan().cells]
    first, _ = describe(state)
    assert asked == keys
    assert describe(state)[0] == first
    assert asked == keys
    mine = [t for t in state.trials.values() if t.cell == keys[0] and t.rank == 1]
    mine[0].status = "crashed"
    again, _ = describe(state)
    assert asked == [*keys, keys[0]]
    assert again[0].summary["num_failed"] == 1
    assert again[1:] == first[1:]


@pytest.mark.parametrize("keep", ["all", "best", "none"])
def test_adapters_go_along_as_keep_says(ran: Ran, tmp_path: Path, keep: str) -> None:
    copy = ran.copy(tmp_path)
    study = api.load(copy.file, settings=[f"keep={keep}"], store=str(copy.store), device="cpu")
    state = study.state
    _, about = tracked.describe(study.resolved, study.folder, state)
    with_adapter = [
        t for t in state.trials
        if any(path.name.startswith("adapter") for path in about.keep_files(t))
    ]  # fmt: skip
    assert len(with_adapter) == {"all": 8, "best": 2, "none": 0}[keep]
    for identity in state.trials:
        names = {path.name for path in about.keep_files(identity)}
        assert any(name.startswith("predictions") for name in names)


def test_nothing_is_tracked_without_a_server(
    study: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(tracked, "Writer", refuse)
    with tracked.tracked(study.resolved, None, study.folder, study.state) as notify:
        notify()


class FakeWriter:
    """Remembers what it was told."""

    problems: list[str] = ["it is away"]

    def __init__(self, *given: Any, patience: float, on_change: Any) -> None:
        self.said: list[Any] = []
        on_change("it is away")
        on_change(None)
        FakeWriter.last = self  # type: ignore[attr-defined]

    def start(self) -> None:
        self.said.append("start")

    def notify(self) -> None:
        self.said.append("notify")

    def close(self, seconds: float, *, away: float, interrupted: bool) -> bool:
        self.said.append(("close", interrupted))
        return False


@pytest.mark.parametrize(
    ("ended", "raises", "interrupted"),
    [("done", False, False), ("failures", False, False), ("stopped", False, True),
     (None, False, True), ("done", True, True)],
)  # fmt: skip
def test_what_is_missing_is_said_and_how_it_ended(
    study: Ablation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ended: str | None,
    raises: bool,
    interrupted: bool,
) -> None:
    monkeypatch.setattr(tracked, "Writer", FakeWriter)
    state = study.state

    told: list[tuple[str, str, Any]] = []

    def say(event: str, level: str = "info", **fields: Any) -> None:
        told.append((event, level, fields.get("reason")))

    def go() -> None:
        with tracked.tracked(study.resolved, "http://a", study.folder, state, say) as notify:
            notify()
            state.ended = ended
            if raises:
                raise KeyboardInterrupt

    if raises:
        with pytest.raises(KeyboardInterrupt):
            go()
    else:
        go()
    said = FakeWriter.last.said  # type: ignore[attr-defined]
    assert said == ["start", "notify", ("close", interrupted)]
    assert "it is away" in capsys.readouterr().err
    assert told == [("tracking_away", "warning", "it is away"), ("tracking_back", "info", None)]


def test_an_owner_is_the_store_and_whoever_runs(
    study: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise OSError

    mine = tracked.owner(study.folder)
    monkeypatch.setattr(tracked.getpass, "getuser", nobody)
    same = tracked.owner(study.folder)
    assert same.store == mine.store
    assert same.user == str(os.getuid())
