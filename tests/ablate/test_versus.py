"""Two sides on shared seeds, and what could not be paired."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate import frame
from ablate.versus import versus
from trials.errors import UserError


def rows(method: str, rank: int, scores: list[float | None], task: str = "cola") -> list[Any]:
    return [
        {
            "study": "s", "stage": "confirm", "split": "test", "task": task, "metric": "mcc",
            "arm": f"{method} rank={rank}", "label": f"{method} r={rank}", "method": method,
            "rank": rank, "seed": seed, "score": score,
            "status": "diverged" if score is None else "finished",
        }
        for seed, score in enumerate(scores)
    ]  # fmt: skip


LORA = [0.50, 0.52, 0.55, 0.53]
OTHER = [0.53, 0.54, 0.59, 0.55]


@pytest.fixture
def table() -> pd.DataFrame:
    found = [
        *rows("lora", 4, LORA), *rows("lora", 8, [s + 0.1 for s in LORA]),
        *rows("mtlora", 4, OTHER), *rows("mtlora", 8, [*(s + 0.1 for s in OTHER[:3]), None]),
        *rows("tlora", 16, [0.4, 0.4]),
    ]  # fmt: skip
    return frame.check(pd.DataFrame(found))


def compare(table: pd.DataFrame, *sides: str, **more: Any) -> dict[str, Any]:
    return versus(table, *sides, rng=np.random.default_rng(0), **more)


def test_one_arm_a_side_is_compared_as_it_is(table: pd.DataFrame) -> None:
    found = compare(table, "mtlora r=4", "lora rank=4")
    (pair,) = found["pairs"]
    assert (pair["treatment"], pair["control"]) == (["mtlora r=4"], ["lora r=4"])
    assert (pair["seeds"], pair["dropped"], found["unpaired"]) == ([0, 1, 2, 3], [], [])
    mean = next(item for item in pair["findings"] if item["kind"] == "mean")
    expected = stats.ttest_rel(OTHER, LORA)
    assert mean["paired"]
    assert mean["estimate"] == pytest.approx(np.mean(OTHER) - np.mean(LORA))
    assert mean["ci_low"] == pytest.approx(expected.confidence_interval(0.95).low)
    assert not mean["confirmatory"]
    assert {item["kind"] for item in pair["findings"]} == {"mean", "variance"}


def test_of_several_those_meet_that_agree(table: pd.DataFrame) -> None:
    """Rank 4 with 4 and 8 with 8, averaged per seed; seed 3 of one of them diverged."""
    (pair,) = compare(table, "mtlora", "method=lora", margin=0.2)["pairs"]
    assert pair["treatment"] == ["mtlora r=4", "mtlora r=8"]
    assert pair["seeds"] == [0, 1, 2]
    (lost,) = pair["dropped"]
    assert (lost["seed"], lost["side"], lost["reason"]) == (3, "treatment", "diverged")
    assert lost["arm"] == "mtlora rank=8"
    kinds = {item["kind"] for item in pair["findings"]}
    assert kinds == {"mean", "variance", "equivalence"}


def test_what_meets_nothing_is_said(table: pd.DataFrame) -> None:
    more = frame.check(pd.concat([table, frame.check(pd.DataFrame(rows("mtlora", 32, OTHER)))]))
    found = compare(more, "mtlora", "lora")
    assert [item["label"] for item in found["unpaired"]] == ["mtlora r=32"]
    assert found["unpaired"][0]["side"] == "treatment"
    with pytest.raises(UserError, match="name one arm on each side"):
        compare(table, "tlora", "lora")
    (pair,) = compare(table, "tlora", "lora r=4")["pairs"]
    assert pair["seeds"] == [0, 1]
    assert [(lost["seed"], lost["reason"]) for lost in pair["dropped"]] == [
        (2, "no score"), (3, "no score"),
    ]  # fmt: skip


def test_each_task_is_a_pair_of_its_own(table: pd.DataFrame) -> None:
    other = [*rows("lora", 4, LORA, "rte"), *rows("mtlora", 8, OTHER, "rte")]
    both = frame.check(pd.concat([table, frame.check(pd.DataFrame(other))]))
    found = compare(both, "mtlora", "lora")
    assert [pair["task"] for pair in found["pairs"]] == ["cola"]
    assert [(item["task"], item["label"]) for item in found["unpaired"]] == [
        ("rte", "mtlora r=8"), ("rte", "lora r=4"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        (("mtlroa", "lora"), "no arm matches 'mtlroa'; did you mean 'mtlora'"),
        (("rnak=4", "lora"), "no arm has a factor 'rnak'; did you mean 'rank'"),
        (("rank=4", "lora"), "lora r=4: on both sides"),
        (("method=lora,rank", "lora"), "expected KEY=VALUE"),
        (("method=lora,rank=5", "tlora"), "no arm matches 'method=lora,rank=5'"),
    ],
)
def test_mistakes(table: pd.DataFrame, sides: tuple[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        compare(table, *sides)
