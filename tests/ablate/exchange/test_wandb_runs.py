"""Runs of a W&B project in the forms that people export."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablate.exchange import Columns, read, wandb_runs
from trials.errors import UserError


def run(method: str, rank: int, seed: int, state: str = "finished") -> dict[str, Any]:
    rate = 0.01 if method == "a" else 0.02
    return {
        "id": f"{method}{rank}{seed}", "name": f"sunny-{method}-{rank}-{seed}", "state": state,
        "config": {"method": method, "rank": rank, "seed": seed, "lr": rate,
                   "epochs": 3, "_wandb": {"x": 1}, "out": f"runs/{method}{rank}{seed}"},
        "summary": {"eval/acc": 0.7 + rank / 100 + seed / 1000, "loss": 0.5 - seed / 100,
                    "_runtime": 12.5 + seed, "_step": 100},
    }  # fmt: skip


RUNS = [run(m, r, s) for m, r in (("a", 4), ("b", 8)) for s in (0, 1, 2)]
SCORE = Columns.parse(["score=eval/acc"])


def page(runs: list[dict[str, Any]]) -> pd.DataFrame:
    """The table of runs as the page downloads it."""
    return pd.DataFrame(
        {
            "Name": one["name"], "State": one["state"], "Notes": "-", "User": "me", "Tags": "",
            "Created": "2026-01-01T00:00:00.000Z", "Runtime": 12, "Sweep": "",
            **{k: v for k, v in one["config"].items() if k != "_wandb"}, **one["summary"],
        }
        for one in runs
    )  # fmt: skip


def written(folder: Path, form: str, runs: list[dict[str, Any]]) -> Path:
    file = folder / "export"
    if form == "json":
        file.write_text(json.dumps(runs))
    elif form == "page":
        page(runs).to_csv(file, index=False)
    else:
        columns = ("summary", "config", "name")
        pd.DataFrame({k: [str(r[k]) for r in runs] for k in columns}).to_csv(file)
    return file


@pytest.mark.parametrize("form", ["json", "page", "dictionaries"])
def test_every_form_gives_the_same_rows(tmp_path: Path, form: str) -> None:
    found = read(written(tmp_path, form, RUNS), SCORE)
    assert found.origin == wandb_runs.ORIGIN
    table = found.frame
    assert set(table["stage"]) == {"confirm"}
    names = ["method", "rank", "seed", "score", "metric"]
    assert table[names].to_dict("records") == [
        {"method": one["config"]["method"], "rank": one["config"]["rank"],
         "seed": one["config"]["seed"], "score": one["summary"]["eval/acc"], "metric": "eval/acc"}
        for one in RUNS
    ]  # fmt: skip
    assert not {"out", "loss", "epochs", "Notes"} & set(table.columns)
    assert any("'eval/acc'" in note for note in found.notes)
    assert any("Higher scores were taken to be better" in note for note in found.notes)


def test_a_tuned_value_is_known_where_configuration_and_summary_are_apart(tmp_path: Path) -> None:
    table = read(written(tmp_path, "json", RUNS), SCORE).frame
    assert set(table["tune.lr"]) == {0.01, 0.02}
    assert "tune.lr" not in read(written(tmp_path, "page", RUNS), SCORE).frame


def test_several_tuned_values_at_one_seed_are_a_search(tmp_path: Path) -> None:
    again = [{**one, "id": one["id"] + "x", "config": {**one["config"], "lr": 0.5}} for one in RUNS]
    table = read(written(tmp_path, "json", RUNS + again), SCORE).frame
    assert set(table["stage"]) == {"search"}


def test_states_become_ours(tmp_path: Path) -> None:
    runs = [run("a", 4, s, state) for s, state in enumerate(("finished", "crashed", "running"))]
    table = read(written(tmp_path, "json", runs), SCORE).frame
    assert table["status"].tolist() == ["finished", "crashed", "missing"]
    assert table["score"].notna().tolist() == [True, False, False]
    assert table["trial_id"].tolist() == ["a40", "a41", "a42"]
    odd = [{**run("a", 4, 0), "state": "finishd"}]
    with pytest.raises(UserError, match=r"State: unknown state 'finishd'; did you mean 'finished'"):
        read(written(tmp_path, "json", odd), SCORE)


def test_what_only_the_user_can_know_is_asked_for(tmp_path: Path) -> None:
    runs = [{**one, "config": {"kind": one["config"]["method"]}} for one in RUNS]
    with pytest.raises(UserError) as caught:
        read(written(tmp_path, "json", runs))
    told = str(caught.value)
    assert "--column score=COLUMN: say which it is; there are eval/acc, loss" in told
    assert "there is no column 'seed'" in told
    with pytest.raises(UserError, match=r"no column 'eval/ac'; did you mean 'eval/acc'"):
        read(written(tmp_path, "json", RUNS), Columns.parse(["score=eval/ac"]))


def test_configuration_with_descriptions_and_nesting(tmp_path: Path) -> None:
    runs = [
        {**one, "config": {"opt": {"kind": {"value": one["config"]["method"], "desc": None}},
                           "seed": {"value": one["config"]["seed"], "desc": None}}}
        for one in RUNS
    ]  # fmt: skip
    runs = [{**one, "config": {"kind": {"value": m, "desc": None}, "seed": one["config"]["seed"],
                               "data": {"name": "rte"}}}
            for one, m in zip(runs, "aaabbb", strict=True)]  # fmt: skip
    table = read(written(tmp_path, "json", runs), SCORE).frame
    assert table["kind"].tolist() == list("aaabbb")


def test_a_chart_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "chart.csv"
    file.write_text('"Step","a - loss","a - loss__MIN","a - loss__MAX"\n1,2,2,2\n')
    with pytest.raises(UserError, match="export the table of runs"):
        read(file)


def test_dictionaries_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    file.write_text('name,config,summary\na,{},oops\nb,"{""x"": 1}",{}\n')
    with pytest.raises(UserError, match="summary: row 1: expected a dictionary, but got 'oops'"):
        read(file, SCORE)


def test_dictionaries_of_python_may_hold_what_is_not_finite(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    runs = [{**one, "summary": {**one["summary"], "loss": float("nan")}} for one in RUNS]
    columns = ("summary", "config", "name")
    table = pd.DataFrame({k: [str(r[k]) for r in runs] for k in columns})
    table.to_csv(file, index=False)
    assert "nan" in file.read_text()
    assert read(file, SCORE).frame["score"].notna().all()
