"""A smoke run proves every cell and leaves no trace in the record."""

import json
from pathlib import Path
from typing import Any

import pytest
from mini_study import keys

from ablate import api, cli, smoke
from ablate.smoke import read


def test_every_cell_is_trained_scored_saved_and_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = [{"method": "lora", "rank": 4}, {"method": "adapter"}]
    changes: dict[str, Any] = {"arms": arms, "claims": [], "baselines": []}
    file = tmp_path / "mini.yaml"
    file.write_text(json.dumps(keys(**changes)))
    status = cli.main(["run", str(file), "--smoke", "--store", str(tmp_path / "store"),
                       "--device", "cpu"])  # fmt: skip
    said = capsys.readouterr().out
    assert status == 0, said
    study = api.load(file, store=str(tmp_path / "store"), device="cpu")
    assert not study.folder.journal.exists()
    assert [path.name for path in study.folder.path.iterdir()] == ["smoke.json"]
    lora, adapter = json.loads(study.folder.smoke.read_text())
    assert (lora["status"], lora["export"]) == ("finished", "peft LoRA")
    assert adapter["status"] == "finished"
    assert "adapter" in adapter["export"], "a method of another form says so"
    assert "2 of 2 cells come through two steps" in said
    assert dict(read(study.folder)).keys() == {cell.key for cell in study.plan().cells}
    assert all(item.seconds is not None for item in study.forecast())


def test_a_cell_that_does_not_come_through_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trials.spec import TrialResult
    from trials.training import engine

    class Event:
        progress = None
        result = TrialResult(status="crashed", reason="no such thing")

    monkeypatch.setattr(engine, "train", lambda assignment: iter([Event]))
    study = api.load(keys(), store=str(tmp_path / "store"), device="cpu")
    made = study.smoke()
    assert {(item.status, item.reason, item.seconds_per_step) for item in made} == {
        ("crashed", "no such thing", None)
    }
    assert not list(read(study.folder))


def test_a_cell_that_starts_from_another_starts_from_what_that_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trials.spec import TrialResult
    from trials.training import engine

    second, first = "tiny_paraphrase", "tiny_acceptability"
    changes: dict[str, Any] = {
        "tasks": [second, first], "arms": [{"method": "lora"}], "claims": [], "baselines": [],
        "tune": None,
        "overrides": [{"when": {"task": second}, "train": {"start_from": {"task": first}}}],
    }  # fmt: skip
    given: list[Any] = []

    class Event:
        progress = None
        result = TrialResult(status="finished", files={})

    monkeypatch.setattr(engine, "train", lambda one: iter([given.append(one), Event][1:]))
    monkeypatch.setattr(smoke, "_exported", lambda *_: "peft LoRA")
    study = api.load(keys(**changes), store=str(tmp_path / "store"), device="cpu")
    assert [item.status for item in study.smoke()] == ["finished", "finished"]
    assert [one.spec.task for one in given] == [first, second]
    assert given[0].spec.source is None
    assert given[1].spec.source == given[0].spec.id
    assert given[1].source == given[0].folder

    Event.result = TrialResult(status="crashed", reason="no such thing")
    given.clear()
    of_first, of_second = study.smoke()
    assert (of_first.status, of_first.reason) == ("crashed", "no such thing")
    assert str(of_second.reason).endswith(", which it starts from, failed")
    assert len(given) == 1
