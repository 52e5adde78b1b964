"""The tidy table: defaults, mistakes, factors, and what is written is what is read."""

from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from ablate import frame
from ablate.stats.document import schema
from trials.errors import UserError

ROWS = pd.DataFrame(
    {
        "method": ["lora", "lora", "mtlora", "mtlora"],
        "rank": [8, 8, 4, 4],
        "structure": [None, None, "shim", "shim"],
        "seed": [0, 1, 0, 1],
        "score": [0.1, 0.2, 0.3, None],
    }
)


def mistakes(table: pd.DataFrame) -> str:
    with pytest.raises(UserError) as caught:
        frame.check(table, source="results.csv")
    return str(caught.value)


def test_obvious_columns_are_completed() -> None:
    table = frame.check(ROWS)
    assert list(table.columns) == [
        *frame.FIXED_COLUMNS[:9], "rank", "structure", *frame.FIXED_COLUMNS[9:]
    ]  # fmt: skip
    first = table.iloc[0]
    assert (first["stage"], first["split"], first["direction"]) == (
        "confirm",
        "validation",
        "higher",
    )
    assert table["arm"].tolist()[::2] == ["lora rank=8", "mtlora rank=4 structure=shim"]
    assert table["primary"].all()
    assert not table["late"].any()


def test_a_missing_score_stays_missing_and_says_so() -> None:
    last = frame.check(ROWS).iloc[3]
    assert np.isnan(last["score"])
    assert (last["status"], last["reason"]) == ("missing", "no score")


def test_the_score_of_a_failed_trial_is_no_result() -> None:
    table = frame.check(ROWS.assign(score=0.5, status=["finished"] * 3 + ["diverged"]))
    assert table["score"].isna().tolist() == [False, False, False, True]


def test_checking_twice_changes_nothing() -> None:
    once = frame.check(ROWS)
    pd.testing.assert_frame_equal(frame.check(once), once)


def test_the_input_is_left_alone() -> None:
    before = ROWS.copy(deep=True)
    frame.check(ROWS)
    pd.testing.assert_frame_equal(ROWS, before)


def test_an_empty_table_is_a_table() -> None:
    table = frame.check(ROWS.iloc[:0])
    assert table.empty
    assert frame.factors(table) == ("rank", "structure")


def test_every_row_satisfies_the_shipped_schema() -> None:
    for row in frame.check(ROWS).to_dict("records"):
        plain = {key: frame.plain(value) for key, value in row.items()}
        jsonschema.validate(plain, schema("frame"))
    assert list(schema("frame")["properties"]) == list(frame.FIXED_COLUMNS)


def test_unknown_columns_are_factors_and_tuned_ones_are_not() -> None:
    table = frame.check(ROWS.assign(**{"tune.learning_rate": [1e-3, 2e-3, 3e-3, 4e-3]}))
    assert frame.factors(table) == ("rank", "structure")
    assert frame.nuisances(table) == ("tune.learning_rate",)


@pytest.mark.parametrize("column", ["arm", "label", "method"])
def test_one_naming_column_is_enough(column: str) -> None:
    table = frame.check(pd.DataFrame({column: ["a", "b"], "seed": [0, 0], "score": [0.1, 0.2]}))
    assert table[["arm", "label", "method"]].eq(["a"] * 3).all(axis=1).tolist() == [True, False]


def test_a_factor_alone_tells_arms_apart() -> None:
    table = frame.check(pd.DataFrame({"rank": [4, 8], "seed": [0, 0], "score": [0.1, 0.2]}))
    assert table["arm"].tolist() == ["rank=4", "rank=8"]


def test_all_mistakes_are_reported_at_once() -> None:
    wrong = ROWS.assign(seed=[0, 1.5, 0, 1], score=["x", 0.1, float("inf"), 0.2])
    text = mistakes(wrong)
    assert "results.csv: score: row 1: 'x' is not a finite number" in text
    assert "row 3: inf is not a finite number" in text
    assert "seed: row 2: 1.5 is not an integer" in text


def test_missing_columns_are_named_with_their_nearest() -> None:
    text = mistakes(pd.DataFrame({"sede": [1], "scor": [0.1]}))
    assert "score: the column is missing; did you mean 'scor'?" in text
    assert "seed: the column is missing; did you mean 'sede'?" in text


def test_something_must_distinguish_arms() -> None:
    assert "nothing distinguishes arms" in mistakes(pd.DataFrame({"seed": [1], "score": [0.1]}))


def test_a_column_may_be_there_once() -> None:
    table = pd.DataFrame([[1, 2, 3, "a"]], columns=["seed", "score", "score", "arm"])
    assert "score: the column is there twice" in mistakes(table)


def test_duplicate_rows_are_named() -> None:
    text = mistakes(pd.concat([ROWS, ROWS.iloc[[1]]]))
    assert "row 5 repeats row 2: stage confirm, split validation" in text
    assert "arm lora rank=8, metric score, seed 1" in text


def test_many_mistakes_of_a_kind_are_counted() -> None:
    table = pd.DataFrame({"arm": "a", "seed": range(9), "score": ["?"] * 9})
    assert "4 more rows: not a finite number" in mistakes(table)
    assert "3 more rows are repeated" in mistakes(pd.concat([ROWS] * 3).iloc[:13])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"status": "fnished"}, "unknown value 'fnished'; did you mean 'finished'?"),
        ({"direction": "up"}, "unknown value 'up'"),
        ({"stage": "tune"}, "unknown value 'tune'"),
        ({"primary": "maybe"}, "row 1: 'maybe' is neither true nor false"),
        ({"direction": ["higher", "higher", "lower", "lower"]}, "has several directions"),
        ({"metric": ["f1", "f1", "accuracy", "accuracy"]}, "several primary metrics"),
        ({"arm": "one"}, "takes several values within arm 'one'"),
        ({"wall_clock": [1.1, 2.2, 3.3, 4.4]}, "has another value in every row"),
        ({"grid_step": "fine"}, "row 1: 'fine' is not a finite number"),
    ],
)
def test_wrong_words_and_inconsistent_columns_are_refused(
    columns: dict[str, object], message: str
) -> None:
    assert message in mistakes(ROWS.assign(**columns))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_is_written_is_what_is_read(tmp_path: Path, suffix: str) -> None:
    table = frame.check(ROWS.assign(late=[False, True] * 2, freeze=["none", "none", "a+b", "a+b"]))
    frame.write(table, tmp_path / f"frame{suffix}")
    back = frame.check(frame.load(tmp_path / f"frame{suffix}"))
    for name in table.columns:
        assert [frame.plain(v) for v in back[name]] == [frame.plain(v) for v in table[name]], name


def test_a_factor_of_numbers_and_words_survives_parquet(tmp_path: Path) -> None:
    table = frame.check(ROWS.assign(rank=[8, 8, "auto", "auto"]))
    frame.write(table, tmp_path / "frame.parquet")
    back = frame.load(tmp_path / "frame.parquet")
    assert back["rank"].tolist() == ["8", "8", "auto", "auto"]


def test_csv_takes_words_for_truth_and_keeps_the_word_none(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("method,freeze,seed,score,late\nlora,None,0,0.5,True\nlora,a,0,nan,false\n")
    table = frame.check(frame.load(path))
    assert table["freeze"].tolist() == ["None", "a"]
    assert table["late"].tolist() == [True, False]
    assert table["status"].tolist() == ["finished", "missing"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_file_is_told_by_its_content(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "results.txt"
    path.write_text(f"method{separator}seed{separator}score\nlora{separator}0{separator}0.5\n")
    assert frame.load(path).to_dict("records") == [{"method": "lora", "seed": 0, "score": 0.5}]


def test_files_that_cannot_be_read_or_written_are_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but no table")
    for name in ("absent.csv", "broken.parquet"):
        with pytest.raises(UserError, match=name):
            frame.load(tmp_path / name)
    with pytest.raises(UserError, match=r"expected a \.csv or \.parquet file"):
        frame.write(frame.check(ROWS), tmp_path / "frame.txt")


def test_plain_values() -> None:
    values = [np.float64(8.0), np.nan, None, ["a_aux", "b_aux"], True, "x", 0.5]
    assert [frame.plain(v) for v in values] == [8, None, None, "a_aux+b_aux", True, "x", 0.5]


def test_a_tuned_list_is_told_as_a_factor_is() -> None:
    rows = [
        {"arm": "a", "seed": seed, "score": 0.5, "stage": "search", "tune.freeze": freeze}
        for seed in (0, 1)
        for freeze in (["a_aux"], ["a_aux", "b_aux"], None)
    ]
    table = frame.check(pd.DataFrame(rows))
    assert len(table) == 6
    assert set(table["tune.freeze"].dropna()) == {"a_aux", "a_aux+b_aux"}


def test_one_trial_told_twice_counts_once() -> None:
    twice = pd.concat([ROWS.assign(trial_id=list("abcd"))] * 2)
    assert len(frame.check(twice)) == 4
    assert "repeats row" in mistakes(twice.assign(trial_id=list("abcdefgh")))


def two_studies(first: list[int], second: list[int]) -> pd.DataFrame:
    """One arm in two studies of a store; the second took over what the first had trained."""
    rows = [
        {"study": study, "arm": "a", "method": "m", "seed": seed, "score": seed / 10,
         "trial_id": f"t{seed}",
         "reused_from": "one" if study == "two" and seed in first else None}
        for study, seeds in (("one", first), ("two", second))
        for seed in seeds
    ]  # fmt: skip
    return frame.check(pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ([0, 1], [0, 1], {"one": [0, 1]}),
        ([0, 1], [0, 1, 2], {"two": [0, 1, 2]}),
        ([0, 1, 2], [0, 1], {"one": [0, 1, 2]}),
        ([0, 1, 2], [2, 3], {"one": [0, 1, 2], "two": [3]}),
        ([0, 1], [2, 3], {"one": [0, 1], "two": [2, 3]}),
    ],
)
def test_a_trial_of_two_studies_is_one_measurement(
    first: list[int], second: list[int], kept: dict[str, list[int]]
) -> None:
    table = two_studies(first, second)
    found = {str(study): list(part["seed"]) for study, part in table.groupby("study")}
    assert found == kept
    assert table["trial_id"].is_unique


def test_a_trial_that_one_study_has_not_finished_is_the_measurement_of_another() -> None:
    """The first plans four trials and has finished one; the second has finished two of them."""
    rows = [
        {"study": study, "arm": "a", "method": "m", "seed": seed, "trial_id": f"t{seed}",
         "score": seed / 10 if seed < finished else None,
         "status": "finished" if seed < finished else "missing"}
        for study, planned, finished in (("one", 4, 1), ("two", 2, 2))
        for seed in range(planned)
    ]  # fmt: skip
    table = frame.check(pd.DataFrame(rows))
    assert table["trial_id"].is_unique
    found = table.dropna(subset="score")
    assert list(zip(found["study"], found["seed"], strict=True)) == [("two", 0), ("two", 1)]


def test_a_cell_whose_trials_all_stay_elsewhere_is_not_there_with_its_search() -> None:
    rows = [
        {"study": study, "arm": "a", "method": "m", "seed": 0, "score": 0.5, "stage": stage,
         "trial_id": identity, "tune.x": 1.0}
        for study, stage, identity in (
            ("one", "confirm", "c"), ("two", "confirm", "c"), ("two", "search", "s"),
            ("one", "search", "r"), ("one", "search", "q"),
        )
    ]  # fmt: skip
    rows[-1]["tune.x"] = 2.0
    table = frame.check(pd.DataFrame(rows))
    assert set(table["study"]) == {"one"}
    assert len(table) == 3


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("task", ["a"], "list"),
        ("primary", [], "list"),
        ("study", b"\x80", "bytes"),
        ("arm", {"a": 1}, "dict"),
        ("seed", 10**5000, "int"),
        ("label", "\ud800", "str"),
    ],
    ids=["list", "empty", "bytes", "mapping", "number", "half a character"],
)
def test_a_cell_that_is_no_single_value_is_named(column: str, value: object, kind: str) -> None:
    table = frame.check(ROWS).astype(object)
    table.at[1, column] = value
    with pytest.raises(UserError, match=rf"frame: {column}: row 2: '{kind}' is no plain value"):
        frame.check(table)
