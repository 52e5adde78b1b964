from collections.abc import Callable

import pandas as pd
import pytest

from ablate import frame
from ablate.stats.comparison import Comparison, against_baselines, arm_fields, matches
from trials.errors import UserError


def cells(*arms: tuple[str, int], search: bool = False) -> pd.DataFrame:
    stages = ["confirm", "search"] if search else ["confirm"]
    return frame.check(
        pd.DataFrame(
            [
                {"method": method, "rank": rank, "stage": stage, "seed": seed, "score": 0.5}
                for method, rank in arms
                for stage in stages
                for seed in (0, 1)
            ]
        )
    )


GRID = (("lora", 4), ("lora", 8), ("shim", 4), ("shim", 8), ("tlora", 32))


def test_arms_meet_the_baseline_at_their_own_rank() -> None:
    made = against_baselines(cells(*GRID[:4]), [{"method": "lora"}], kinds=["mean"])
    pairs = [(c.treatment, c.control) for c in made]
    assert pairs == [
        (("shim rank=4",), ("lora rank=4",)),
        (("shim rank=8",), ("lora rank=8",)),
    ]
    assert {c.confirmatory for c in made} == {False}


def test_an_arm_without_a_match_meets_the_best_by_search() -> None:
    made = against_baselines(cells(*GRID, search=True), [{"method": "lora"}], kinds=["mean"])
    last = made[-1]
    assert last.control == ("lora rank=4", "lora rank=8")
    assert last.pick == "control"
    assert "best by the search split" in (last.note or "")


def test_without_search_results_it_meets_each() -> None:
    made = against_baselines(cells(*GRID), [{"method": "lora"}], kinds=["mean"])
    assert [c.control for c in made[-2:]] == [("lora rank=4",), ("lora rank=8",)]


def test_match_says_which_factors_must_agree() -> None:
    made = against_baselines(cells(*GRID), [{"method": "lora"}], match=[], kinds=["mean"])
    assert {c.control for c in made} == {("lora rank=4", "lora rank=8")}


def test_a_margin_adds_equivalence() -> None:
    made = against_baselines(cells(*GRID[:4]), [{"method": "lora"}], margin=0.5)
    assert [c.kind for c in made[:3]] == ["mean", "variance", "equivalence"]
    assert made[2].margin == 0.5
    assert len({c.family for c in made}) == 3


def test_a_baseline_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"no arm matches the baseline method=lroa.*'lora'"):
        against_baselines(cells(*GRID), [{"method": "lroa"}])


def test_fields_and_patterns() -> None:
    fields = arm_fields(cells(*GRID))["lora rank=4"]
    assert fields == {"method": "lora", "rank": 4}
    assert matches(fields, {"rank": "4"})
    assert not matches(fields, {"rank": 8})
    assert not matches(fields, {"structure": "shim"})


@pytest.mark.parametrize(
    "options", [{"treatment": ()}, {"kind": "median"}, {"margin": 0.0}], ids=str
)
def test_comparisons_that_make_no_sense(options: dict[str, object]) -> None:
    base = {"id": "c", "task": "t", "backbone": "b", "treatment": ("a",), "control": ("b",)}
    with pytest.raises(ValueError, match=r"arms|kind|margin"):
        Comparison(**{**base, **options})


def test_the_table_fixture_is_checked(table: Callable[..., pd.DataFrame]) -> None:
    assert table({"lora": [0.1, None]})["status"].tolist() == ["finished", "diverged"]
