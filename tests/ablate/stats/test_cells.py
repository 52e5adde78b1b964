from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ablate import frame
from ablate.stats.cells import best_by_search, collect, report_splits
from trials.errors import UserError

KEY = ("cola", "backbone", "lora")


def rows(*found: tuple[str, str, int, float | None], **columns: object) -> pd.DataFrame:
    """(stage, split, seed, score) of arm lora on cola."""
    names = ["stage", "split", "seed", "score"]
    return frame.check(
        pd.DataFrame(found, columns=names).assign(task="cola", method="lora", **columns)
    )


def test_only_confirmed_primary_scores_of_the_report_split_count() -> None:
    table = rows(
        ("confirm", "held_out", 0, 0.9),
        ("confirm", "test", 0, 0.5),
        ("search", "held_out", 7, 0.99),
    )
    cell = collect(table)[KEY]
    assert (cell.scores, cell.split) == ({0: 0.5}, "test")
    other = collect(table.assign(primary=False, metric="loss"))[KEY]
    assert other.scores == {}


def test_failed_missing_and_undefined_scores_are_told_apart(
    table: Callable[..., pd.DataFrame],
) -> None:
    found = table({"lora": [0.5, None, 0.4]})
    found.loc[2, "score"] = np.nan
    cell = collect(found)[("cola", "backbone", "lora")]
    assert cell.scores == {0: 0.5}
    assert cell.failed == {1: "diverged"}
    assert cell.not_a_number == {2}


def test_splits_that_leave_a_choice_are_refused() -> None:
    with pytest.raises(UserError, match="several splits: dev, dev2"):
        report_splits(rows(("confirm", "dev", 0, 0.5), ("confirm", "dev2", 0, 0.5)))
    assert report_splits(rows(("confirm", "dev", 0, 0.5))) == {"cola": "dev"}


def test_best_by_search_reads_nothing_else() -> None:
    table = frame.check(
        pd.DataFrame(
            {
                "arm": ["a", "a", "b", "b", "a", "b"],
                "stage": ["search"] * 4 + ["confirm"] * 2,
                "tune.lr": [1.0, 2.0, 1.0, 2.0, 2.0, 1.0],
                "seed": [1, 1, 1, 1, 2, 2],
                "score": [0.1, 0.6, 0.5, 0.2, 0.0, 0.9],
                "status": ["finished"] * 6,
            }
        )
    )
    assert best_by_search(table, ["a", "b"], "task", "backbone") == "a"
    lower = table.assign(direction="lower")
    assert best_by_search(lower, ["b", "a"], "task", "backbone") == "a"
    assert best_by_search(table, ["c"], "task", "backbone") is None
    pruned = table.assign(status=["finished", "pruned", *["finished"] * 4])
    assert best_by_search(frame.check(pruned), ["a", "b"], "task", "backbone") == "b"


def test_of_several_confirmed_configurations_the_search_names_the_one_that_counts() -> None:
    table = rows(
        ("search", "held_out", 1, 0.7),
        ("search", "held_out", 1, 0.6),
        ("confirm", "test", 2, 0.3),
        ("confirm", "test", 2, 0.9),
        **{"tune.lr": [1e-3, 1e-2, 1e-3, 1e-2]},
    )
    cell = collect(table)[KEY]
    assert cell.scores == {2: 0.3}
    assert cell.best_values == {"lr": 1e-3}
    with pytest.raises(UserError, match="no search result says which"):
        collect(frame.check(table[table["stage"] == "confirm"]))
