"""What `ablate check FOLDER` tells of a folder."""

from collections.abc import Callable
from pathlib import Path

from trials.tasks.check import check_folder

ROW = {"premise": "It is day.", "hypothesis": "It rains.", "label": 0}
OTHER = {"premise": "It is night.", "hypothesis": "It rains a lot.", "label": "yes"}


def test_counts_balance_duplicates_and_lengths(write_folder: Callable[..., Path]) -> None:
    unlabelled = {"premise": "One", "hypothesis": "two"}
    folder = write_folder(train=[ROW, ROW, OTHER], validation=[ROW], test=[unlabelled])
    report = check_folder(folder)
    train, validation, test = report.splits
    assert (train.num_rows, train.labels, train.num_repeated) == (3, {"no": 2, "yes": 1}, 1)
    assert (train.words, test.words) == ((5, 5, 7), (2, 2, 2))
    assert (validation.num_repeated, test.labels) == (0, {})
    assert report.shared == {
        ("train", "validation"): 1,
        ("train", "test"): 0,
        ("validation", "test"): 0,
    }
    assert report.held_out == 1
    assert report.lines() == (
        f"task weather, digest {report.digest[:12]}",
        "train: 3 rows; no 2, yes 1; 1 repeated; 5 to 7 words, 5 in the median",
        "validation: 1 rows; no 1, yes 0; 0 repeated; 5 to 5 words, 5 in the median",
        "test: 1 rows; no public labels; 0 repeated; 2 to 2 words, 2 in the median",
        "by default held_out chooses and validation shows",
        "a part held out of train would have 1 rows",
        "warning: 1 rows of validation also stand in train",
    )


def test_a_regression_tells_its_range(write_folder: Callable[..., Path]) -> None:
    definition = (
        "task: warmth\nkind: regression\ntext: [a]\nlabel: d\nmetrics: [mse]\nprimary: mse\n"
    )
    rows = [{"a": "one", "d": 1}, {"a": "one", "d": 4}]
    report = check_folder(write_folder(definition, rows, rows))
    assert report.splits[0].labels == {"lowest": 1.0, "mean": 2.5, "highest": 4.0}
    assert report.held_out == 0
    assert "a part held out of train would have no rows" in report.lines()
