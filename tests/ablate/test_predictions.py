"""Predictions read back: one row an example, and the seeds of a cell side by side."""

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mini_study import Ran

from ablate import api, frame
from ablate.predictions import Stored, by_example, errors, hits, read, scores, splits
from ablate.stats.cells import Cell, collect
from trials.errors import UserError
from trials.spec import predictions_file


def write(folder: Path, rows: Sequence[dict[str, Any]], split: str = "test") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / predictions_file(split), "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


ROWS = [
    {"id": "test-0", "label": "да", "prediction": "да", "outputs": [0.0, math.log(3)]},
    {"id": "test-1", "label": "да", "prediction": "нет", "outputs": [800.0, -800.0]},
]


def test_a_table_has_one_row_an_example_in_the_order_of_the_data(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    table = read(tmp_path, "test")
    assert list(table.index) == ["test-0", "test-1"]
    assert list(table.columns) == ["label", "prediction", "probability", "outputs", "score"]
    assert table["probability"].tolist() == pytest.approx([0.75, 1.0])
    assert table["outputs"].tolist() == [[0.0, math.log(3)], [800.0, -800.0]]
    assert hits(table).tolist() == [1.0, 0.0]


def test_a_regression_has_no_probability_and_has_errors(tmp_path: Path) -> None:
    write(tmp_path, [{"id": "a", "label": 2, "prediction": 1.5, "outputs": [1.5]}])
    table = read(tmp_path, "test")
    assert math.isnan(table["probability"].iloc[0])
    assert errors(table).tolist() == [-0.5]


def test_texts_without_outputs_are_predictions_too(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "label": ["x", "y"], "prediction": "x", "score": 100.0},
        {"id": "b", "label": ["z"], "prediction": "", "score": None},
    ]
    write(tmp_path, rows)
    table = read(tmp_path, "test")
    assert (table["label"].iloc[0], table["outputs"].iloc[0]) == (["x", "y"], None)
    assert scores(table).iloc[0] == 100.0
    assert math.isnan(scores(table).iloc[1])


def test_an_answer_hits_where_it_equals_a_gold_one_once_normalised(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "label": ["The cat", "a dog"], "prediction": "Dog!", "outputs": [1.0, 0.0]},
        {"id": "b", "label": [], "prediction": "", "outputs": [0.0, 2.0]},
        {"id": "c", "label": [], "prediction": "cat", "outputs": [3.0, 2.0]},
    ]
    write(tmp_path, rows)
    table = read(tmp_path, "test")
    assert hits(table).to_dict() == {"a": 1.0, "b": 1.0, "c": 0.0}
    assert table["probability"].isna().all()


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    write(tmp_path, ROWS, "validation")
    write(tmp_path, ROWS, "validation_mismatched")
    assert splits(tmp_path) == ("validation", "validation_mismatched")
    with pytest.raises(
        UserError, match=r"no predictions on 'validaton'; did you mean 'validation'"
    ):
        read(tmp_path, "validaton")


DAMAGES = {"cut": b"", "plain": b"no gzip", "labelless": gzip.compress(b'{"id": 1}\n', mtime=0)}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_the_users_to_know(tmp_path: Path, damage: bytes) -> None:
    write(tmp_path, ROWS)
    path = tmp_path / predictions_file("test")
    path.write_bytes(damage or path.read_bytes()[:-9])
    with pytest.raises(UserError, match="is damaged"):
        read(tmp_path, "test")


def cell(trials: dict[int, str], **changes: Any) -> Cell:
    return Cell(
        **{"task": "t", "backbone": "b", "arm": "a", "label": "A", "method": "a", "factors": {},
           "split": "test", "scores": dict.fromkeys(trials, 0.5), "trials": trials} | changes
    )  # fmt: skip


def test_seeds_stand_beside_one_another_by_example(tmp_path: Path) -> None:
    write(tmp_path / "x", ROWS)
    write(tmp_path / "y", [{**row, "prediction": "нет"} for row in ROWS])
    found = by_example(cell({0: "x", 4: "y", 7: "gone"}), tmp_path)
    assert found.missing == (7,)
    assert found.values.index.tolist() == [0, 4]
    assert found.values.columns.tolist() == ["test-0", "test-1"]
    assert found.values.to_numpy().tolist() == [[1.0, 0.0], [0.0, 0.0]]
    own = by_example(cell({0: "x"}), tmp_path, lambda table: table["probability"])
    assert own.values.to_numpy().tolist() == [[pytest.approx(0.75), 1.0]]


def test_a_cell_without_predictions_is_empty_and_says_which_seeds(tmp_path: Path) -> None:
    for nothing in (cell({1: "gone"}), cell({}, scores={1: 0.5}), cell({1: "x"}, split=None)):
        found = by_example(nothing, tmp_path)
        assert (found.values.shape, found.missing) == ((0, 0), (1,))


def test_a_reader_gives_label_ids_by_seed_of_what_is_there_and_whole(tmp_path: Path) -> None:
    write(tmp_path / "x", ROWS)
    write(tmp_path / "torn", ROWS)
    torn = tmp_path / "torn" / predictions_file("test")
    torn.write_bytes(torn.read_bytes()[:-9])
    stored = Stored(tmp_path, {"t": ["нет", "да"]})
    found = stored(cell({3: "x", 4: "torn", 5: "gone"}))
    assert list(found) == [3]
    assert (found[3].ids, found[3].num_labels) == (("test-0", "test-1"), 2)
    assert (found[3].labels.tolist(), found[3].said.tolist()) == ([1.0, 1.0], [1.0, 0.0])
    assert stored(cell({3: "x"}, split=None)) == {}


def test_a_reader_gives_numbers_of_a_regression(tmp_path: Path) -> None:
    write(tmp_path / "x", [{"id": "a", "label": 2, "prediction": 1.5, "outputs": [1.5]}])
    (found,) = Stored(tmp_path, {"t": []})(cell({0: "x"})).values()
    assert (found.labels.tolist(), found.said.tolist()) == ([2.0], [1.5])
    assert found.num_labels is None


def test_trials_of_other_examples_do_not_align(tmp_path: Path) -> None:
    write(tmp_path / "x", ROWS)
    write(tmp_path / "y", ROWS[:1])
    with pytest.raises(UserError, match="A on t were scored on other examples"):
        by_example(cell({0: "x", 1: "y"}), tmp_path)


def test_a_study_that_ran_pairs_its_arms_by_seed_and_example(ran: Ran) -> None:
    study = api.load(ran.file, store=str(ran.store), device="cpu")
    cells = collect(study.results())
    found = {c.method: by_example(c, ran.folder / "trials") for c in cells.values()}
    one, other = found["lora"].values, found["tlora"].values
    assert one.shape == other.shape
    assert one.columns.equals(other.columns)
    assert one.index.tolist() == other.index.tolist() == [0, 1]
    table = study.results()
    for c in cells.values():
        accuracy = table[
            (table["metric"] == "accuracy") & (table["split"] == c.split) & (table["arm"] == c.arm)
            & (table["stage"] == "confirm")
        ].set_index("seed")["score"]  # fmt: skip
        mean = found[c.method].values.mean(axis=1)
        assert mean.to_dict() == pytest.approx(accuracy.to_dict())
    trial = next(iter(next(iter(cells.values())).trials.values()))
    assert len(study.predictions(trial[:12], "test")) == one.shape[1]
    with pytest.raises(UserError, match="no predictions on 'train'"):
        study.predictions(trial, "train")


def test_a_table_without_trial_ids_has_no_trials() -> None:
    plain = frame.check(pd.DataFrame({"arm": ["a"], "seed": [0], "score": [0.5]}))
    (found,) = collect(plain).values()
    assert (found.scores, found.trials) == ({0: 0.5}, {})
