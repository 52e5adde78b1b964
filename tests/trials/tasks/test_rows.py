"""Rows are checked one by one, and every mistake has its line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trials.tasks.lines import Mistakes
from trials.tasks.rows import Format, Rows, check_rows, read_split

CLASSES = Format(("a", "b"), "label", "classification", ("no", "yes"), ("topic",))
NUMBERS = Format(("a",), "label", "regression")


def check(
    rows: Sequence[dict[str, Any]], form: Format, split: str = "train"
) -> tuple[Rows, list[str]]:
    mistakes = Mistakes()
    found = check_rows(enumerate(rows, 1), split, "f", form, mistakes)
    return found, [str(problem) for problem in mistakes.problems]


def test_labels_are_ids_or_names_and_columns_are_kept_in_order() -> None:
    rows = [
        {"a": "x", "b": "", "label": "yes", "topic": "t", "other": 1},
        {"a": "y", "b": "z", "label": 0, "topic": None},
        {"a": "y", "b": "z", "label": 1, "topic": 7},
    ]
    found, problems = check(rows, CLASSES)
    assert problems == []
    assert found == Rows(
        ids=("train-0", "train-1", "train-2"),
        texts=(("x", "y", "y"), ("", "z", "z")),
        labels=(1, 0, 1),
        groups=(("t", None, "7"),),
    )
    assert found.take((2, 0)).ids == ("train-2", "train-0")
    assert found.take((2, 0)).labels == (1, 1)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"label": 2}, "f:2: label: must be 0 to 1 (no, yes), but got 2"),
        ({"label": -1}, "f:2: label: must be 0 to 1 (no, yes), but got -1"),
        ({"label": "yess"}, "f:2: label: no label called 'yess'; did you mean 'yes'?"),
        ({"label": 1.0}, "f:2: label: must be 0 to 1 or a label's name, but got 1.0"),
        ({"label": True}, "f:2: label: must be 0 to 1 or a label's name, but got true"),
        ({"label": None}, "f:2: label: must be 0 to 1 or a label's name, but got null"),
        ({"a": 5}, "f:2: a: must be text, but got 5"),
        ({"a": "\ud800"}, "f:2: a: holds half of a surrogate pair, which is no text"),
    ],
)
def test_a_wrong_value_is_named_with_line_and_column(changed: dict[str, Any], problem: str) -> None:
    good = {"a": "x", "b": "y", "label": 1, "topic": "t"}
    assert check([good, {**good, **changed}], CLASSES)[1] == [problem]


@pytest.mark.parametrize(
    ("labels", "values", "ids"),
    [
        (("1", "2", "5"), [5, 1, 2.0, "2"], (2, 0, 1, 1)),
        (("0.5", "1.0"), [1, 0.5], (1, 0)),
        (("-1", "1"), [-1, 1], (0, 1)),
        (("true", "false"), [False, True, "true"], (1, 0, 0)),
        (("1", "0"), [1, 0], (0, 1)),
        (("東京", "Київ"), ["Київ", 0], (1, 0)),
    ],
)
def test_labels_that_are_numbers_or_truth_values_are_what_rows_hold(
    labels: tuple[str, ...], values: list[Any], ids: tuple[int, ...]
) -> None:
    form = Format(("a",), "label", "classification", labels)
    for split in ("train", "test"):
        found, problems = check([{"a": "x", "label": value} for value in values], form, split)
        assert (found.labels, problems) == (ids, [])


@pytest.mark.parametrize(
    ("labels", "value", "problem"),
    [
        (("1", "2"), 0, "f:1: label: must be one of 1, 2, but got 0"),
        (("1", "2"), True, "f:1: label: must be one of 1, 2, but got true"),
        (("true", "false"), 1, "f:1: label: must be one of true, false, but got 1"),
        (("1", "2"), 10**400, "f:1: label: must be one of 1, 2, but got 1000000"),
        (("1", "b"), 2, "f:1: label: must be 0 to 1 (1, b), but got 2"),
        (("1", "1.0"), 2, "f:1: label: must be 0 to 1 (1, 1.0), but got 2"),
    ],
)
def test_a_number_that_names_no_label_is_refused(
    labels: tuple[str, ...], value: Any, problem: str
) -> None:
    form = Format(("a",), "label", "classification", labels)
    (found,) = check([{"a": "x", "label": value}], form)[1]
    assert found.startswith(problem)


def test_every_missing_column_is_named_with_the_nearest() -> None:
    _, problems = check([{"a": "x", "bb": "y", "lable": 1, "topics": 1}], CLASSES)
    assert problems == [
        "f:1: no column 'b'; did you mean 'bb'?",
        "f:1: no column 'topic'; did you mean 'topics'?",
        "f:1: no column 'label'; did you mean 'lable'?",
    ]


@pytest.mark.parametrize("value", ["1.5", None, True, float("nan"), float("inf"), 10**400])
def test_a_regression_takes_finite_numbers_alone(value: Any) -> None:
    found, problems = check([{"a": "x", "label": 2}], NUMBERS)
    assert found.labels == (2.0,)
    assert problems == []
    assert check([{"a": "x", "label": value}], NUMBERS)[1][0].startswith("f:1: label: must be ")


@pytest.mark.parametrize("form", [CLASSES, NUMBERS])
@pytest.mark.parametrize("row", [{}, {"label": None}, {"label": -1}])
def test_a_test_split_may_be_unlabelled_as_a_whole(form: Format, row: dict[str, Any]) -> None:
    full = {"a": "x", "b": "y", "topic": "t", **row}
    found, problems = check([full, full], form, "test")
    assert problems == []
    assert not found.labelled
    assert found.take((1,)).labels == ()
    assert check([full], form, "validation")[1] or form is NUMBERS


def test_a_test_split_that_is_labelled_in_part_is_refused() -> None:
    rows = [{"a": "x", "label": 0.5}, {"a": "x", "label": -1}, {"a": "x"}, {"a": "x"}]
    assert check(rows, NUMBERS, "test")[1] == [
        "f:3: 2 of 4 rows have no label; label all rows or none"
    ]
    assert check(rows[:2], NUMBERS, "test")[0].labels == (0.5, -1.0)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("\n")
    mistakes = Mistakes()
    read_split(path, "train", "data/train.jsonl", NUMBERS, mistakes)
    assert [str(p) for p in mistakes.problems] == ["data/train.jsonl: holds no row"]
