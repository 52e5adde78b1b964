"""What a file is, told by its content whatever its name."""

import json
from pathlib import Path

import pandas as pd
import pytest

from ablate.exchange import Columns, read
from trials.errors import UserError

ROWS = [{"method": m, "seed": s, "score": 0.5 + s / 10} for m in ("a", "b") for s in (0, 1)]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.json", "t.jsonl", "table"])
def test_plain_tables_in_every_form(tmp_path: Path, name: str) -> None:
    table, file = pd.DataFrame(ROWS), tmp_path / name
    if name == "t.parquet":
        table.to_parquet(tmp_path / "other")
        file = tmp_path / "other"
    elif name == "t.jsonl":
        file.write_text("\n".join(json.dumps(row) for row in ROWS))
    elif name == "t.json":
        file.write_text(json.dumps(ROWS, indent=1))
    else:
        table.to_csv(file, index=False)
    found = read(file)
    assert found.origin == "a table"
    assert found.frame[["method", "seed", "score"]].to_dict("records") == ROWS


def test_columns_of_a_plain_table_may_be_named(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("model,run,acc,lr\na,0,0.5,1e-3\na,1,0.6,1e-3\n")
    said = Columns.parse(["method=model", "seed=run", "score=acc", "tune.learning_rate=lr"])
    (first, _) = read(file, said).frame.to_dict("records")
    assert (first["method"], first["metric"], first["tune.learning_rate"]) == ("a", "acc", 1e-3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{not json", "is no JSON"),
        (b'{"a": 1}\n{"b"\n', "is no JSON"),
        (b"[1, 2]", "expected a list of rows"),
        (b"[]", "expected a list of rows"),
        (b"SQLite format 3\0rubbish", "Optuna cannot read it"),
        (b"", "cannot be read as a table"),
        (b"\xff\xfe\x00", "cannot be read as a table"),
        (b"a,b\n1,2\n", "column is missing"),
    ],
)
def test_what_is_none_of_these_is_the_users_mistake(
    tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "given"
    file.write_bytes(content)
    with pytest.raises(UserError, match=told) as caught:
        read(file)
    assert all(problem.file == str(file) for problem in caught.value.problems)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(UserError, match="there is no file"):
        read(f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()
