"""Names for somebody else's columns: what is said is done, what is wrong is told at once."""

import pandas as pd
import pytest

from ablate.exchange import Columns
from trials.errors import UserError

TABLE = pd.DataFrame({"model": ["a", "b"], "eval/acc": [0.5, 0.6], "run": [1, 2], "note": "x"})


def test_columns_are_renamed_filled_and_dropped() -> None:
    said = Columns.parse(["score=eval/acc", "method=model"], ["seed=3", "task=rte"], ["note"])
    made = said.apply(TABLE, source="t.csv")
    assert made.columns.tolist() == ["run", "score", "method", "metric", "seed", "task"]
    assert made["score"].tolist() == [0.5, 0.6]
    assert set(made["metric"]) == {"eval/acc"}, "a score is called what its column was"
    assert set(made["seed"]) == {3}
    assert TABLE.shape == (2, 4), "the input is left alone"


def test_a_metric_that_is_given_stays() -> None:
    said = Columns.parse(["score=eval/acc"], ["metric=accuracy"])
    assert set(said.apply(TABLE, source="t")["metric"]) == {"accuracy"}


def test_one_column_may_serve_twice() -> None:
    made = Columns.parse(["method=model", "label=model"]).apply(TABLE, source="t")
    assert made["method"].tolist() == made["label"].tolist() == ["a", "b"]


def test_values_are_read_as_yaml() -> None:
    assert Columns.parse([], ["a=1", "b=true", "c=x", "d=1.5"]).values == {
        "a": 1, "b": True, "c": "x", "d": 1.5,
    }  # fmt: skip


def test_all_mistakes_at_once() -> None:
    with pytest.raises(UserError) as caught:
        Columns.parse(["score", "a=b", "a=c", "d=e"], ["=3", "d=1"])
    assert str(caught.value).splitlines() == [
        "--column score: expected NAME=COLUMN",
        "--column a=c: 'a' is given twice",
        "--value =3: expected NAME=VALUE",
        "--value: 'd' has a column and a value; give one",
    ]
    with pytest.raises(UserError) as caught:
        Columns.parse(["score=eval/ac"], [], ["no"]).apply(TABLE, source="t.csv")
    assert str(caught.value).splitlines() == [
        "t.csv: --column score: there is no column 'eval/ac'; did you mean 'eval/acc'?",
        "t.csv: --drop: there is no column 'no'; did you mean 'note'?",
    ]
