"""`best`: chosen on one split, shown on another, and never a number that is not there."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate import frame
from ablate.best import best
from trials.errors import UserError

SEEDS = (1, 2, 3, 4)


def confirm(arm: str, rate: float, scores: list[float | None], **more: Any) -> list[dict[str, Any]]:
    method, _, rank = arm.partition(" ")
    return [
        {
            "study": "s", "stage": "confirm", "split": "test", "task": "cola", "metric": "mcc",
            "arm": arm, "label": arm.upper(), "method": method, "rank": float(rank or 8),
            "tune.learning_rate": rate, "seed": seed, "score": score,
            "status": "finished" if score is not None else "diverged",
            "reason": None if score is not None else "NaN", "trainable_parameters": 100.0,
            **more,
        }
        for seed, score in zip(SEEDS, scores, strict=False)
    ]  # fmt: skip


def search(arm: str, rates: dict[float, float], **more: Any) -> list[dict[str, Any]]:
    return [
        confirm(arm, rate, [score], stage="search", split="held_out", **more)[0]
        for rate, score in rates.items()
    ]


def table(*rows: list[dict[str, Any]]) -> pd.DataFrame:
    return frame.check(pd.DataFrame([row for group in rows for row in group]))


@pytest.fixture
def two_arms() -> pd.DataFrame:
    return table(
        search("lora 8", {1e-3: 0.9, 1e-2: 0.5}),
        confirm("lora 8", 1e-3, [0.50, 0.52, 0.54, 0.56]),
        search("mtlora 4", {1e-3: 0.1, 1e-2: 0.2}),
        confirm("mtlora 4", 1e-2, [0.60, 0.62, 0.64, None]),
    )


def test_it_ranks_by_what_the_report_split_shows_not_by_the_search(two_arms: pd.DataFrame) -> None:
    found = best(two_arms)
    assert list(found["label"]) == ["MTLORA 4", "LORA 8"]
    assert list(found["tune.learning_rate"]) == [1e-2, 1e-3]
    assert list(found["n"]) == [3, 4]
    assert list(found["num_failed"]) == [1, 0]
    assert set(found["chosen_by"]) == {"search split mean"}
    np.testing.assert_allclose(found["mean"], [0.62, 0.53])
    # t quantile of 2 degrees of freedom, 4.302653, times 0.02 / sqrt(3).
    np.testing.assert_allclose(found["ci_high"][0] - found["mean"][0], 0.0496828, atol=1e-6)


def test_of_several_confirmed_configurations_the_search_picks_the_one_shown() -> None:
    found = best(
        table(
            search("lora 8", {1e-3: 0.9, 1e-2: 0.5}),
            confirm("lora 8", 1e-3, [0.50, 0.52, 0.54]),
            confirm("lora 8", 1e-2, [0.90, 0.92, 0.94]),
        )
    )
    assert list(found["tune.learning_rate"]) == [1e-3]
    np.testing.assert_allclose(found["mean"], [0.52])


def test_lower_is_better_turns_the_ranking_and_the_search() -> None:
    found = best(
        table(
            search("lora 8", {1e-3: 0.9, 1e-2: 0.5}, direction="lower"),
            search("mtlora 4", {1e-3: 0.1}, direction="lower"),
            confirm("mtlora 4", 1e-3, [3.0, 3.1, 3.2], direction="lower"),
            confirm("tlora 4", 1e-3, [1.0, 1.1, 1.2], direction="lower"),
        )
    )
    assert list(found["label"]) == ["TLORA 4", "MTLORA 4", "LORA 8"]
    assert list(found["chosen_by"])[0] == "nothing to choose"
    assert found["tune.learning_rate"][2] == 1e-2, "of a cell that is only searched"
    assert found["n"][2] == 0
    assert np.isnan(found["mean"][2])


def test_one_standard_error_rule() -> None:
    """The best has mean 0.62 and standard error 0.02 / sqrt(3) = 0.01155."""
    found = best(
        table(
            confirm("lora 8", 1e-3, [0.60, 0.62, 0.64]),
            confirm("tlora 8", 1e-3, [0.61, 0.61, 0.61]),
            confirm("mtlora 8", 1e-3, [0.60, 0.60, 0.60]),
        )
    )
    assert list(found["within_noise"]) == [True, True, False]


def test_noise_of_one_seed_is_unknown() -> None:
    found = best(table(confirm("lora 8", 1e-3, [0.62]), confirm("tlora 8", 1e-3, [0.61])))
    assert found["within_noise"][0]
    assert pd.isna(found["within_noise"][1])
    assert found["ci_low"].isna().all()


def test_where_reads_factors_tuned_values_and_summaries(two_arms: pd.DataFrame) -> None:
    assert list(best(two_arms, where="rank <= 4")["method"]) == ["mtlora"]
    assert list(best(two_arms, where="learning_rate < 0.005")["method"]) == ["lora"]
    assert list(best(two_arms, where="mean > 0.6 or arm == 'lora 8'")["n"]) == [3, 4]
    assert best(two_arms, where="rank > 100").empty


def test_where_names_the_nearest_column(two_arms: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="no column called 'rnak'; did you mean 'rank'"):
        best(two_arms, where="rnak <= 4")
    with pytest.raises(UserError, match="is not allowed"):
        best(two_arms, where="__import__('os')")


def test_by_another_column(two_arms: pd.DataFrame) -> None:
    assert list(best(two_arms, by="sd")["method"]) == ["mtlora", "lora"]
    assert list(best(two_arms, by="label")["method"]) == ["lora", "mtlora"]
    assert list(best(two_arms, by="num_failed")["method"]) == ["lora", "mtlora"]
    assert list(best(two_arms, by="rank")["rank"]) == [4, 8]
    with pytest.raises(UserError, match="no column called 'meen'; did you mean 'mean'"):
        best(two_arms, by="meen")


def test_top_counts_within_each_task(two_arms: pd.DataFrame) -> None:
    both = pd.concat([two_arms, two_arms.assign(task="mrpc", metric="f1")])
    found = best(frame.check(both), top=1)
    assert list(zip(found["task"], found["method"], strict=True)) == [
        ("cola", "mtlora"), ("mrpc", "mtlora"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="top must be at least 1"):
        best(two_arms, top=0)


def test_two_studies_are_not_pooled(two_arms: pd.DataFrame) -> None:
    both = frame.check(pd.concat([two_arms, two_arms.assign(study="t")]))
    found = best(both)
    assert sorted(zip(found["study"], found["n"], strict=True)) == [
        ("s", 3), ("s", 4), ("t", 3), ("t", 4),
    ]  # fmt: skip
