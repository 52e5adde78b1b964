"""Another metric in the place of the primary one."""

import pandas as pd
import pytest

from ablate import frame
from ablate.stats.metric import shown_by
from trials.errors import UserError


def table() -> pd.DataFrame:
    """Two tasks, of which one has two metrics; a search by the primary one, and a lost run."""
    rows = []
    for task, metrics in (("cola", ("mcc", "accuracy")), ("stsb", ("pearson",))):
        for stage, split in (("search", "held_out"), ("confirm", "validation")):
            for seed in range(2):
                rows += [
                    {"task": task, "method": "lora", "stage": stage, "split": split, "seed": seed,
                     "metric": metric, "primary": place == 0, "score": 0.1 * place + seed,
                     "direction": "higher", "status": "finished"}
                    for place, metric in enumerate(metrics)
                ]  # fmt: skip
    rows.append({**rows[4], "seed": 2, "score": None, "status": "diverged"})
    return frame.check(pd.DataFrame(rows))


def test_what_was_confirmed_is_shown_by_it_and_what_was_chosen_is_not() -> None:
    before = table()
    shown = shown_by(before, "accuracy")
    assert set(shown["task"]) == {"cola"}
    chosen = shown[shown["primary"]]
    found = {(r.stage, r.metric, r.status) for r in chosen.itertuples()}
    assert found == {
        ("search", "mcc", "finished"),
        ("confirm", "accuracy", "finished"),
        ("confirm", "accuracy", "diverged"),
    }
    pd.testing.assert_frame_equal(before, table(), obj="what was given")


def test_the_primary_metric_itself_changes_nothing() -> None:
    before = table()
    own = before[before["task"] == "cola"].reset_index(drop=True)
    pd.testing.assert_frame_equal(shown_by(before, "mcc"), own)


def test_a_metric_that_no_task_has() -> None:
    with pytest.raises(UserError, match="metric 'acuracy'; did you mean 'accuracy'"):
        shown_by(table(), "acuracy")
