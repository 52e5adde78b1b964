"""`best`: chosen on one split, shown on another, and never a number that is not there."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate import frame
from ablate.best import Choice, best, choose
from ablate.configurations import configurations
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
    with pytest.raises(UserError, match="no column called 'cheapest'"):
        best(two_arms, where="cheapest == true")
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


# by, cheapest, pareto; the split that chooses


@pytest.fixture
def ladder() -> pd.DataFrame:
    """Ranks 2, 4 and 8 of two methods; more parameters for each rank."""
    parts = []
    for method, lead in (("lora", 0.0), ("mtlora", -0.2)):
        for rank, score in ((2, 0.50), (4, 0.59), (8, 0.60)):
            shifts = (-0.02, 0.0, 0.02, 0.01) if method == "lora" else (0.0, 0.02, 0.01, -0.02)
            scores = [score + lead + shift for shift in shifts]
            parts.append(
                confirm(f"{method} {rank}", 1e-3, scores, trainable_parameters=100.0 * rank)  # type: ignore[arg-type]
            )
    return table(*parts)


def test_by_a_factor_is_the_best_of_each_of_its_levels(ladder: pd.DataFrame) -> None:
    found = best(ladder, by="rank")
    assert list(zip(found["rank"], found["method"], strict=True)) == [
        (2, "lora"), (4, "lora"), (8, "lora"),
    ]  # fmt: skip
    assert list(best(ladder, by="method")["label"]) == ["LORA 8", "MTLORA 8"]
    assert list(best(ladder, by="method", top=2)["rank"]) == [8, 4, 8, 4]
    assert set(best(ladder, by="learning_rate")["label"]) == {"LORA 8"}
    found = best(ladder, by="method", where="rank < 8 and trainable_parameters < 1e6")
    assert list(found["rank"]) == [4, 4]


def test_the_cheapest_within_noise_is_marked(ladder: pd.DataFrame) -> None:
    """Standard error of the best: 0.01708 / 2; rank 4 is 0.01 behind, rank 2 is 0.1."""
    near = best(ladder.assign(score=ladder["score"].where(ladder["rank"] != 4,
                                                          ladder["score"] + 0.005)))  # fmt: skip
    assert list(near.loc[near["within_noise"], "rank"]) == [8, 4]
    assert list(near.loc[near["cheapest"], "rank"]) == [4]
    assert list(best(ladder, cheapest=True)["rank"]) == [8], "0.01 is more than 0.0085"


def test_the_cheapest_of_equal_costs_is_the_better(ladder: pd.DataFrame) -> None:
    same = ladder.assign(trainable_parameters=5.0, score=ladder["score"] + ladder["rank"] / 1e5)
    found = best(same[same["rank"] != 2], cheapest=True)
    assert list(found["rank"]) == [8]


def test_the_front_keeps_what_only_looks_beaten(ladder: pd.DataFrame) -> None:
    found = best(ladder).set_index("label")["pareto"]
    assert list(found[["LORA 2", "LORA 4", "LORA 8"]]) == ["front"] * 3
    assert set(found[["MTLORA 2", "MTLORA 4", "MTLORA 8"]]) == {"dominated"}
    assert set(best(ladder, front=True)["method"]) == {"lora"}
    noisy = ladder["score"] + 0.15 * (-1.0) ** ladder["seed"] * (ladder["method"] == "mtlora")
    found = best(ladder.assign(score=noisy)).set_index("label")["pareto"]
    assert set(found[["MTLORA 2", "MTLORA 4", "MTLORA 8"]]) == {"unproven"}


def test_the_front_against_another_cost(ladder: pd.DataFrame) -> None:
    found = best(ladder.assign(seconds=10.0 - ladder["rank"]), against="seconds")
    assert list(found.loc[found["pareto"] == "front", "label"]) == ["LORA 8"]
    assert list(best(ladder, against="seconds")["pareto"].isna()) == [True] * 6
    with pytest.raises(UserError, match="no cost called 'second'; did you mean 'seconds'"):
        best(ladder, against="second")


def test_it_is_chosen_on_the_search_split_and_shown_on_the_report_split() -> None:
    """What is best on the one is worse on the other."""
    found = best(
        table(
            confirm("lora 8", 1e-3, [0.50, 0.52, 0.54]),
            confirm("lora 8", 1e-3, [0.80, 0.82, 0.84], split="held_out"),
            confirm("mtlora 8", 1e-3, [0.60, 0.62, 0.64]),
            confirm("mtlora 8", 1e-3, [0.70, 0.72, 0.74], split="held_out"),
        )
    )
    assert list(found["method"]) == ["lora", "mtlora"]
    np.testing.assert_allclose(found["mean"], [0.52, 0.62])
    assert set(found["split"]) == {"test"}
    assert set(found["ranked_on"]) == {"held_out"}
    assert list(found["within_noise"]) == [True, False]


def test_where_one_has_no_scores_on_the_search_split_all_are_ranked_by_what_is_shown() -> None:
    found = best(
        table(
            confirm("lora 8", 1e-3, [0.50, 0.52, 0.54]),
            confirm("lora 8", 1e-3, [0.80, 0.82, 0.84], split="held_out"),
            confirm("mtlora 8", 1e-3, [0.60, 0.62, 0.64]),
        )
    )
    assert list(found["method"]) == ["mtlora", "lora"]
    assert set(found["ranked_on"]) == {"test"}
    assert list(found["pareto"]) == ["front", "unproven"], "by what is shown, too"


def test_two_studies_that_show_a_task_on_different_splits_are_not_ranked_together() -> None:
    found = best(
        table(
            confirm("lora 8", 1e-3, [0.50, 0.52, 0.54], study="a"),
            confirm("mtlora 8", 1e-3, [0.60, 0.62, 0.64], study="b", split="validation"),
        )
    )
    assert list(found["split"]) == ["test", "validation"]
    assert list(found["within_noise"]) == [True, True]


def test_the_trial_to_export_is_of_the_configuration_shown() -> None:
    """A second configuration was confirmed, and one of its seeds scores higher."""
    found = best(
        table(
            search("lora 8", {1e-3: 0.9, 1e-2: 0.5}),
            [{**row, "trial_id": f"a{row['seed']}"} for row in confirm("lora 8", 1e-3, [0.5, 0.6])],
            [{**row, "trial_id": f"b{row['seed']}"} for row in confirm("lora 8", 1e-2, [0.9, 0.9])],
        )
    )
    assert list(found["trial"]) == ["a2"]


def test_a_trial_that_two_studies_show_counts_once() -> None:
    """The second study reuses three trials of the first and adds one; the third has them all."""
    rows = confirm("lora 8", 1e-3, [0.50, 0.52, 0.54, 0.56])
    rows = [{**row, "trial_id": f"t{row['seed']}"} for row in rows]
    first = [{**row, "study": "first"} for row in rows[:3]]
    second = [{**row, "study": "second"} for row in rows]
    third = [{**row, "study": "third"} for row in rows]
    other = [{**row, "study": "other", "trial_id": f"o{row['seed']}"} for row in rows]
    found = best(table(first, second, third, other))
    assert list(zip(found["study"], found["n"], strict=True)) == [("second", 4), ("other", 4)]


def test_what_a_study_has_not_trained_yet_hides_nothing_of_another() -> None:
    rows = confirm("lora 8", 1e-3, [0.50, 0.52, 0.54, 0.56])
    rows = [{**row, "trial_id": f"t{row['seed']}"} for row in rows]
    waiting = {"status": "missing", "score": None}
    first = [{**row, "study": "first", **(waiting if row["seed"] > 2 else {})} for row in rows]
    second = [{**row, "study": "second"} for row in rows[:3]]
    apart = pd.concat([configurations(table(first)), configurations(table(second))])
    for found in (choose(apart, Choice()), best(table(first, second))):
        counts = dict(zip(found["study"], found["n"], strict=True))
        assert (counts["second"], counts.get("first", 0)) == (3, 0)
