"""A run from its file to its report: what it leaves, and what a second one does."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from mini_study import Ran, keys, run_mini, scores, searched, state

from ablate import api, journal, runner
from ablate.profile import Profile
from ablate.runner import Options
from ablate.study import Study
from trials.errors import UserError

ALONE = Options(in_process=True, tracking=False)


def events(store: Path) -> list[str]:
    return [event.kind for event in journal.read(store / "mini" / "journal")]


def test_every_outcome_has_an_exit_status() -> None:
    assert runner.EXIT_STATUS == {"done": 0, "failures": 3, "stopped": 4}


def test_it_runs_to_its_end(ran: Ran) -> None:
    assert ran.outcome == "done"
    found = ran.state()
    assert found.ended == "done"
    assert len(found.trials) == 8
    assert {t.status for t in found.trials.values()} == {"finished"}
    assert all(sorted(t.reports) == [2, 4] for t in found.trials.values())
    stages = [t.spec_json["stage"] for t in found.trials.values()]
    assert (stages.count("search"), stages.count("confirm")) == (4, 4)
    for trial in found.trials.values():
        result = trial.result
        assert result is not None
        report = {"validation"} if trial.ask is not None else {"validation", "test"}
        assert set(result.scores) == report, "the search never reads the split that is shown"


def test_it_leaves_files_that_a_person_can_open(ran: Ran) -> None:
    folder = ran.folder
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["study"] == "mini"
    assert not plan["provisional"]
    assert (folder / "frame.parquet").is_file()
    assert (folder / "report" / "report.html").is_file()
    findings = json.loads((folder / "report" / "findings.json").read_text())
    assert findings["schema"] == 1
    assert json.loads((folder / "origin.json").read_text())["file"] == str(ran.file)
    for identity in ran.state().trials:
        inside = {path.name for path in (folder / "trials" / identity).iterdir()}
        assert "adapter.safetensors" in inside
        assert "predictions_validation.jsonl.gz" in inside
        assert "checkpoint.safetensors" not in inside, "of no use once the trial has ended"
    assert not (ran.store / "mlflow.db").exists()


def test_a_second_run_trains_nothing(ran: Ran, tmp_path: Path) -> None:
    copy = ran.copy(tmp_path)
    before = events(copy.store)
    study = api.load(copy.file, store=str(copy.store), device="cpu")
    assert study.run(ALONE) == "done"
    after = events(copy.store)
    assert after[: len(before)] == before
    assert set(after[len(before) :]) <= {"ended"}
    assert scores(state(copy.store)) == scores(ran.state())


def test_stopped_and_resumed_it_is_the_same_bit_for_bit(ran: Ran, tmp_path: Path) -> None:
    outcomes = [run_mini(tmp_path, limit=limit).outcome for limit in (1, 4, None)]
    assert outcomes == ["stopped", "stopped", "done"]
    whole, parts = ran.state(), state(tmp_path / "store")
    assert searched(parts) == searched(whole)
    assert scores(parts) == scores(whole)
    assert events(tmp_path / "store").count("finished") == 8
    assert events(tmp_path / "store").count("started") == 8
    assert len(parts.revisions) == 1


def test_a_stopped_study_has_a_report_already(tmp_path: Path) -> None:
    """Before the first confirmed trial, too."""
    assert run_mini(tmp_path, limit=1).outcome == "stopped"
    folder = tmp_path / "store" / "mini"
    assert (folder / "report" / "report.html").is_file()
    assert state(tmp_path / "store").ended == "stopped"


def test_a_failed_trial_is_an_outcome_of_its_own(tmp_path: Path) -> None:
    """A learning rate that overflows at once: every ask of both arms diverges."""
    space = {"learning_rate": {"choices": [1e30, 2e30]}}
    tune = {**keys()["tune"], "space": space}
    train = {**keys()["train"], "clip": None}
    made = run_mini(tmp_path, tune=tune, train=train)
    assert made.outcome == "failures"
    statuses = {t.status for t in made.state().trials.values()}
    assert statuses == {"diverged"}
    assert not made.state().chosen
    findings = json.loads((made.folder / "report" / "findings.json").read_text())
    assert (made.folder / "report" / "report.html").is_file()
    assert findings["claims"][0]["verdict"] == "undecided"


@pytest.mark.parametrize(("keep", "adapters"), [("best", 2), ("none", 0)])
def test_only_the_adapters_to_keep_stay(ran: Ran, tmp_path: Path, keep: str, adapters: int) -> None:
    copy = ran.copy(tmp_path)
    study = api.load(copy.file, settings=[f"keep={keep}"], store=str(copy.store), device="cpu")
    assert study.run(ALONE) == "done"
    found = list(copy.folder.glob("trials/*/adapter.safetensors"))
    assert len(found) == adapters
    predictions = list(copy.folder.glob("trials/*/predictions_test.jsonl.gz"))
    assert len(predictions) == 4, "predictions always stay"


def test_each_event_is_shown(tmp_path: Path) -> None:
    seen: list[str | None] = []
    study = api.load(keys(tune=None, confirm={"seeds": 1}), store=str(tmp_path), device="cpu")
    outcome = study.run(ALONE, lambda resolved, found: seen.append(found.ended))
    assert outcome == "done"
    assert seen[-1] == "done"
    assert seen.count(None) >= 2 * 4


def refused(tmp_path: Path, match: str, profile: dict[str, Any], **changes: Any) -> None:
    """Nothing may be left behind that looks like a study."""
    study = Study.from_dict(keys(**changes))
    options = dataclasses.replace(ALONE, tracking=profile.get("tracking_uri") is not None)
    where = Profile(**{"store": str(tmp_path / "store"), **profile})
    with pytest.raises(UserError, match=match):
        runner.run(study, where, options)
    assert not (tmp_path / "store" / "mini" / "journal").exists()


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(tmp_path, "cannot be written", {"store": str(tmp_path / "file" / "store")})


def test_a_tracking_server_that_is_away(tmp_path: Path) -> None:
    refused(tmp_path, "does not answer", {"tracking_uri": "http://127.0.0.1:9"})


def test_targets_that_match_nothing(tmp_path: Path) -> None:
    refused(tmp_path, "gate", {}, targets=["gate"])


def test_a_gpu_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not eight crashed trials."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(tmp_path, "cuda", {"device": "cuda"})


def test_two_runs_of_a_study_at_once_are_refused(ran: Ran, tmp_path: Path) -> None:
    copy = ran.copy(tmp_path)
    study = api.load(copy.file, store=str(copy.store), device="cpu")
    with (
        journal.Journal.open(copy.folder / "journal"),
        pytest.raises(UserError, match="is being run by"),
    ):
        study.run(ALONE)


def again(store: Path, name: str, **changes: Any) -> Any:
    """A study without a search, under another name in the same store."""
    study = api.load(keys(study=name, tune=None, **changes), store=str(store), device="cpu")
    assert study.run(ALONE) == "done"
    return study


def test_a_trial_of_another_study_is_taken_over_with_its_files(tmp_path: Path) -> None:
    one = [{"method": "lora", "rank": 4}]
    changes: dict[str, Any] = {"arms": one, "baselines": [], "claims": []}
    first = again(tmp_path / "store", "first", **changes)
    second = again(tmp_path / "store", "second", **changes, confirm={"seeds": 3})
    kinds = [e.kind for e in journal.read(second.folder.journal)]
    assert (kinds.count("reused"), kinds.count("started"), kinds.count("finished")) == (2, 1, 3)
    old, new = first.state.trials, second.state.trials
    for identity, trial in new.items():
        assert trial.reused_from == ("first" if identity in old else None)
        if identity in old:
            assert trial.result == old[identity].result
            assert trial.progress == old[identity].progress
        files = {path.name for path in second.folder.trial(identity).iterdir()}
        assert {"adapter.safetensors", "predictions_validation.jsonl.gz"} <= files
    table = second.results()
    shared = table[table["trial_id"].isin(list(old))]
    assert set(shared["reused_from"]) == {"first"}
    (standing,) = second.standings()
    assert standing.reused == 2
    assert (second.export(next(iter(old)), tmp_path / "out") / "adapter_config.json").is_file()
    own = again(tmp_path / "store", "third", **changes, reuse=False)
    assert not any(t.reused_from for t in own.state.trials.values())
    assert [e.kind for e in journal.read(own.folder.journal)].count("started") == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mini", "a study cannot start from itself"),
        ("nothing", "no study called 'nothing'"),
    ],
)
def test_a_study_to_start_from_must_be_there(tmp_path: Path, name: str, message: str) -> None:
    tune = {**keys()["tune"], "warm_start": name}
    study = api.load(keys(tune=tune), store=str(tmp_path / "store"), device="cpu")
    with pytest.raises(UserError, match=message):
        study.run(ALONE)


def test_a_search_starts_from_a_finished_study(ran: Ran, tmp_path: Path) -> None:
    copy = ran.copy(tmp_path)
    tune = {**keys()["tune"], "warm_start": "mini"}
    other = keys(study="later", tune=tune, arms=[{"method": "lora", "rank": 4}], claims=[])
    study = api.load(other, store=str(copy.store), device="cpu")
    assert study.run(Options(in_process=True, tracking=False, limit=1)) == "stopped"
    (revision,) = study.state.revisions
    ((key, told),) = revision.contents["warm"].items()
    assert key == study.plan().cells[0].key
    past = [ask.values for ask in copy.state().asks[next(iter(copy.state().asks))]]
    assert [item["values"] for item in told] == past
    assert study.run(ALONE) == "done", "resumed by the same asks"


def test_a_run_stops_at_what_it_may_cost_and_goes_on_without_the_limit(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"arms": [{"method": "lora", "rank": 4}], "claims": []}
    place = {"store": str(tmp_path / "store"), "device": "cpu"}
    mine = keys(tune=None, **changes)
    dear = api.load(mine, **place, price_per_gpu_hour=3600.0, max_cost=0.01)
    assert dear.run(ALONE) == "stopped"
    state = dear.state
    assert state.ended == "stopped"
    assert str(state.why).startswith("max_cost 0.01 is reached: ")
    assert len([t for t in state.trials.values() if t.final]) < 2
    assert dear.run(ALONE) == "stopped", "and again, before anything is trained"
    late = api.load(mine, **place, deadline="2020-01-01 00:00")
    assert late.run(ALONE) == "stopped"
    assert "the deadline 2020-01-01 00:00 has passed" in str(late.state.why)
    free = api.load(mine, **place)
    assert free.run(ALONE) == "done"
    assert free.state.why is None
