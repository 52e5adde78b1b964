"""Optuna's trials, from a storage and from the table that it prints of itself."""

import random
import sqlite3
from pathlib import Path

import optuna
import pytest

from ablate.exchange import Columns, Imported, optuna_table, read
from trials.errors import UserError

optuna.logging.set_verbosity(optuna.logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def searched(file: Path, name: str = "study", *, direction: str = "minimize") -> optuna.Study:
    """Ten random asks, of which one is pruned and one fails."""
    study = optuna.create_study(
        storage=f"sqlite:///{file}", study_name=name, direction=direction,
        sampler=optuna.samplers.RandomSampler(seed=1),
    )  # fmt: skip

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        trial.suggest_categorical("kind", ["a", "b"])
        if trial.number == 3:
            raise optuna.TrialPruned
        if trial.number == 4:
            raise ValueError("bad luck")
        return rate

    study.optimize(objective, n_trials=10, catch=(ValueError,))
    return study


def crossed(file: Path) -> None:
    """Methods and seeds as parameters of a grid, as ablations are often written."""
    grid = {"method": ["old", "new"], "seed": [0, 1, 2]}
    study = optuna.create_study(
        storage=f"sqlite:///{file}", sampler=optuna.samplers.GridSampler(grid, seed=0),
        direction="maximize",
    )  # fmt: skip
    study.set_metric_names(["accuracy"])

    def objective(trial: optuna.Trial) -> float:
        method = trial.suggest_categorical("method", grid["method"])
        seed = trial.suggest_categorical("seed", grid["seed"])
        return (method == "new") + random.Random(int(seed)).random()

    study.optimize(objective)


def test_a_search_is_a_search(tmp_path: Path) -> None:
    study = searched(tmp_path / "a.db")
    found = read(tmp_path / "a.db")
    assert found.origin == optuna_table.ORIGIN
    table = found.frame.set_index("trial_id")
    assert set(table["stage"]) == {"search"}
    assert set(table["direction"]) == {"lower"}
    assert set(table["arm"]) == {"study"}
    assert table.loc["study/3", "status"] == "pruned"
    assert table.loc["study/4", "status"] == "crashed"
    done = [t for t in study.trials if t.state.name == "COMPLETE"]
    for trial in done:
        row = table.loc[f"study/{trial.number}"]
        assert row["score"] == trial.value
        assert row["tune.lr"] == trial.params["lr"]
        assert row["tune.kind"] == trial.params["kind"]
    assert table["score"].notna().sum() == len(done) == 8
    assert any("keeps no seed" in note for note in found.notes)


def test_methods_and_seeds_as_parameters_confirm(tmp_path: Path) -> None:
    crossed(tmp_path / "a.db")
    table = read(f"sqlite:///{tmp_path}/a.db").frame
    assert set(table["stage"]) == {"confirm"}
    assert set(table["metric"]) == {"accuracy"}
    assert table.groupby("method")["seed"].apply(sorted).tolist() == [[0, 1, 2]] * 2


def test_a_table_of_trials_says_the_same_but_for_the_direction(tmp_path: Path) -> None:
    study = searched(tmp_path / "a.db")
    file = tmp_path / "trials.csv"
    study.trials_dataframe().to_csv(file)
    with pytest.raises(UserError, match="--value direction=higher"):
        read(file)

    def told(found: Imported) -> list[tuple[object, ...]]:
        names = ["status", "score", "tune.lr", "tune.kind", "seed", "stage", "direction"]
        return list(found.frame[names].fillna(-1.0).itertuples(index=False, name=None))

    again = told(read(file, Columns.parse([], ["direction=lower"])))
    assert [row[:1] + row[3:] for row in again] == [
        row[:1] + row[3:] for row in told(read(tmp_path / "a.db"))
    ]


def test_a_parameter_may_be_a_factor(tmp_path: Path) -> None:
    searched(tmp_path / "a.db")
    table = read(tmp_path / "a.db", Columns.parse(["kind=params_kind"])).frame
    assert "tune.kind" not in table
    assert set(table["kind"]) == {"a", "b"}


def test_several_studies_are_several_arms(tmp_path: Path) -> None:
    searched(tmp_path / "a.db", "one")
    searched(tmp_path / "a.db", "two")
    assert set(read(tmp_path / "a.db").frame["arm"]) == {"one", "two"}


def test_several_objectives_are_several_metrics(tmp_path: Path) -> None:
    study = optuna.create_study(
        storage=f"sqlite:///{tmp_path}/a.db", directions=["maximize", "minimize"],
        sampler=optuna.samplers.RandomSampler(seed=1),
    )  # fmt: skip
    study.set_metric_names(["accuracy", "seconds"])
    study.optimize(lambda t: (t.suggest_float("x", 0, 1), 2.0), n_trials=3)
    rows = read(tmp_path / "a.db").frame
    assert rows.groupby("metric")[["direction", "primary"]].first().to_dict("index") == {
        "accuracy": {"direction": "higher", "primary": True},
        "seconds": {"direction": "lower", "primary": False},
    }


def test_a_journal_is_a_storage(tmp_path: Path) -> None:
    file = tmp_path / "journal.log"
    backend = optuna.storages.journal.JournalFileBackend(str(file))
    study = optuna.create_study(storage=optuna.storages.JournalStorage(backend))
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=2)
    assert len(read(file).frame) == 2


def test_values_that_repeat_are_counted_not_refused(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/a.db")
    for _ in range(3):
        study.enqueue_trial({"x": 1})
    study.optimize(lambda t: float(t.suggest_int("x", 0, 5)), n_trials=3)
    assert read(tmp_path / "a.db").frame["seed"].tolist() == [0, 1, 2]


def test_sqlite_files_of_others_are_refused_by_name(tmp_path: Path) -> None:
    for name, tables, told in (
        ("mlflow.db", ["experiments", "runs"], "--from mlflow"),
        ("other.db", ["things"], "no tables of Optuna"),
    ):
        connection = sqlite3.connect(tmp_path / name)
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (x)")
        connection.commit()
        connection.close()
        with pytest.raises(UserError, match=told):
            read(tmp_path / name)
    optuna.create_study(storage=f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(UserError, match="no study with a trial"):
        read(tmp_path / "empty.db")


def test_mistakes_of_a_table(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("number,value,state,params_x\n0,1.0,DONE,1\n")
    with pytest.raises(UserError) as caught:
        read(file, Columns.parse(["rank=params_y"]))
    told = str(caught.value)
    assert "--column rank: there is no column 'params_y'; did you mean 'params_x'?" in told
    assert "state: unknown value 'DONE'" in told
    assert "direction=higher" in told
