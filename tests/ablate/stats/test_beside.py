"""Other metrics and splits are summarised, and the split that chose is not."""

import numpy as np
import pandas as pd
import pytest

from ablate import frame
from ablate.stats.beside import scores_beside
from ablate.stats.cells import collect

PARTS = (
    ("held_out", "accuracy", True),
    ("validation", "accuracy", True),
    ("validation", "f1", False),
    ("validation_mismatched", "accuracy", True),
)


def table(*, rates: tuple[float, ...] = ()) -> pd.DataFrame:
    rows = [
        {"task": "mnli", "arm": "lora", "method": "lora", "stage": "confirm", "split": split,
         "metric": metric, "primary": primary, "seed": seed, "score": 0.1 * seed + 0.01 * place,
         **({"tune.rate": rate} if rates else {})}
        for rate in rates or (0.0,)
        for place, (split, metric, primary) in enumerate(PARTS)
        for seed in range(4)
    ]  # fmt: skip
    return frame.check(pd.DataFrame(rows))


def test_other_metrics_and_splits_have_mean_interval_and_n() -> None:
    found = scores_beside(collect(table()), level=0.95)
    named = [(item["split"], item["metric"]) for item in found]
    assert named == [("validation", "f1"), ("validation_mismatched", "accuracy")]
    assert [item["mean"] for item in found] == pytest.approx([0.17, 0.18])
    assert all(item["n"] == 4 and item["status"] == "ok" for item in found)
    assert found[0]["ci_low"] < found[0]["mean"] < found[0]["ci_high"]


def test_a_seed_without_the_score_is_left_out_and_n_says_so() -> None:
    data = table()
    data.loc[(data["metric"] == "f1") & (data["seed"] == 1), "score"] = np.nan
    found = scores_beside(collect(data), level=0.95)
    assert [(item["metric"], item["seeds"]) for item in found] == [
        ("f1", [0, 2, 3]),
        ("accuracy", [0, 1, 2, 3]),
    ]


def test_only_the_configuration_that_search_ranked_first_counts() -> None:
    data = table(rates=(1.0, 2.0))
    worse = data["tune.rate"] == 2.0
    data.loc[worse, "score"] = data.loc[worse, "score"] + 5
    searched = data[(data["split"] == "held_out") & (data["seed"] == 0)].assign(stage="search")
    searched["score"] = [0.9, 0.1]
    both = frame.check(pd.concat([data, searched]))
    found = scores_beside(collect(both), level=0.95)
    assert [item["mean"] for item in found] == pytest.approx([0.17, 0.18])
