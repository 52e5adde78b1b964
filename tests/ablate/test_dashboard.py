"""A study's searches opened with Optuna itself."""

import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from fake_training import FACTS, TUNE, conductor, drive, planned, some_crash, undisturbed

from ablate import dashboard
from ablate.journal import Journal, State
from ablate.plan import Plan
from trials.errors import UserError


def opened(file: Path, name: str) -> optuna.Study:
    storage: Any = f"sqlite:///{file}"
    if file.suffix == ".log":
        backend = optuna.storages.journal.JournalFileBackend(str(file))
        storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name=name, storage=storage)


def ran(folder: Path, **tune: Any) -> tuple[Plan, State]:
    made = planned(tune={**TUNE, **tune})
    return made, undisturbed(made, folder / "journal", some_crash)


@pytest.mark.parametrize("suffix", [".db", ".log"])
def test_optuna_reads_what_the_search_did(tmp_path: Path, suffix: str) -> None:
    made, state = ran(tmp_path)
    file = tmp_path / "new" / f"searches{suffix}"
    names = dashboard.write(made, state, FACTS, file)
    assert names == tuple(f"s: {cell.name}" for cell in made.cells)
    states = set()
    for name, cell in zip(names, made.cells, strict=True):
        study = opened(file, name)
        asks = state.asks[cell.key]
        assert study.direction.name == "MAXIMIZE"
        assert study.metric_names == ["accuracy"]
        assert study.user_attrs["arm"] == cell.arm.id
        assert [t.params for t in study.trials] == [dict(ask.values) for ask in asks]
        assert [t.user_attrs["trials"] for t in study.trials] == [list(a.trials) for a in asks]
        assert study.best_trial.number == state.chosen[cell.key][1].ask
        for trial, ask in zip(study.trials, asks, strict=True):
            (one,) = (state.trials[t] for t in ask.trials)
            expected = {"finished": "COMPLETE", "pruned": "PRUNED", "crashed": "FAIL"}
            assert trial.state.name == expected[one.status]
            assert trial.datetime_start is not None
            states.add(trial.state.name)
            if one.status == "crashed":
                assert trial.user_attrs["reason"] == "bad luck"
        assert any(t.intermediate_values for t in study.trials)
    assert states == {"COMPLETE", "PRUNED", "FAIL"}


def test_several_objectives_and_choices_that_are_no_scalars(tmp_path: Path) -> None:
    made, state = ran(
        tmp_path,
        objectives=["primary", "trainable_parameters"],
        pruner={"name": "none"},
        sampler={"name": "random"},
        space={"learning_rate": {"choices": [1e-3, 1e-2]}},
    )
    file = tmp_path / "a.sqlite3"
    for name in dashboard.write(made, state, FACTS, file):
        study = opened(file, name)
        assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
        assert study.metric_names == ["accuracy", "trainable_parameters"]
        assert study.best_trials


def test_a_search_that_goes_on_shows_what_runs(tmp_path: Path) -> None:
    made = planned()
    with Journal.open(tmp_path / "journal") as record:
        course = conductor(made, record)
        assert course.next() is not None
        (name,) = dashboard.write(made, record.state, FACTS, tmp_path / "a.log")
        assert [t.state.name for t in opened(tmp_path / "a.log", name).trials] == ["RUNNING"]
        drive(course, random.Random(0), 1)


def test_an_existing_file_and_a_study_without_a_search_are_refused(tmp_path: Path) -> None:
    made, state = ran(tmp_path)
    file = tmp_path / "a.db"
    file.write_text("mine")
    with pytest.raises(UserError, match=r"a\.db exists; name a new file"):
        dashboard.write(made, state, FACTS, file)
    assert file.read_text() == "mine"
    with pytest.raises(UserError, match="has asked nothing"):
        dashboard.write(planned(tune=None), State(), FACTS, tmp_path / "b.db")
