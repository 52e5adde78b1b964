"""Best, level with the best, behind: by the study's own finding, else by all pairs."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate import frame
from ablate.stats.cells import collect
from ablate.stats.comparison import against_baselines
from ablate.stats.findings import analyse
from ablate.stats.multiplicity import holm
from ablate.stats.shape import is_skewed
from ablate.stats.standing import ALL_PAIRS, standings


def study(scores: dict[str, list[float | None]], **columns: Any) -> pd.DataFrame:
    rows = [
        {"task": "cola", "method": arm, "seed": seed, "score": score}
        for arm, values in scores.items()
        for seed, score in enumerate(values)
        if score is not None
    ]
    return frame.check(pd.DataFrame(rows).assign(**columns))


def places(data: pd.DataFrame, **baseline: str) -> dict[str, dict[str, Any]]:
    """Standing by arm, as the document has it."""
    compared = against_baselines(data, [baseline], kinds=("mean",)) if baseline else ()
    rng = np.random.default_rng(0)
    document = analyse(data, comparisons=compared, claims=(), rng=rng).to_json()
    return {cell["arm"]: cell["standing"] for cell in document["cells"]}


LUCK = np.random.default_rng(0).normal(size=(4, 10))


def arms(*means: float) -> dict[str, list[float | None]]:
    return {"abcd"[i]: list(mean + LUCK[i]) for i, mean in enumerate(means)}


def test_without_findings_all_pairs_are_one_family() -> None:
    from scipy import stats

    scores = arms(0.0, 0.3, 9.0, 9.4)
    found = places(study(scores))
    best = found["a"]["best"]
    assert found[best] == {"place": "best", "best": best, "by": None, "p_adjusted": None}
    other = ({"c", "d"} - {best}).pop()
    assert found[other]["place"] == "not_told_apart"
    assert {found[arm]["place"] for arm in "ab"} == {"behind"}
    names = list(scores)
    both = [(x, y) for i, x in enumerate(names) for y in names[i + 1 :]]
    gaps = {pair: np.subtract(scores[pair[0]], scores[pair[1]]) for pair in both}
    assert not any(is_skewed(gap) for gap in gaps.values())  # for these t alone speaks
    raw = [float(stats.ttest_1samp(gap, 0).pvalue) for gap in gaps.values()]
    expected = dict(zip(map(frozenset, both), holm(raw), strict=True))
    for arm in set(names) - {best}:
        assert found[arm]["by"] == ALL_PAIRS
        assert found[arm]["p_adjusted"] == pytest.approx(expected[frozenset((arm, best))])


def test_what_the_study_asks_decides() -> None:
    """The finding's own adjustment, not that of all pairs."""
    data = study(arms(0.0, 0.2, 0.1, 9.0))
    found = places(data, method="a")
    assert found["d"]["place"] == "best"
    assert found["a"]["place"] == "behind"
    assert found["a"]["by"].startswith("mean: d vs a on cola")
    assert found["b"]["by"] == ALL_PAIRS


def test_lower_is_better() -> None:
    found = places(study(arms(0.0, 9.0), direction="lower"))
    assert (found["a"]["place"], found["b"]["place"]) == ("best", "behind")


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_tell_nothing_apart(seeds: int) -> None:
    found = places(study({"a": [0.0, 0.1][:seeds], "b": [50.0, 50.2][:seeds]}))
    assert found["b"]["place"] == "best"
    assert found["a"]["place"] == "not_told_apart"


def test_equal_means_are_both_best_and_no_score_stands_nowhere() -> None:
    scores = {"a": [1.0, 2.0, 3.0], "b": [3.0, 2.0, 1.0], "c": [0.0, 0.0, 0.0], "d": [np.nan]}
    rows = [
        {"task": "cola", "method": arm, "seed": seed, "score": score,
         "status": "diverged" if arm == "d" else "finished"}
        for arm, values in scores.items() for seed, score in enumerate(values)
    ]  # fmt: skip
    found = places(frame.check(pd.DataFrame(rows)))
    assert [found[arm]["place"] for arm in "ab"] == ["best", "best"]
    assert found["d"] is None


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-50, 50), scale=st.floats(0.1, 10), order=st.permutations("abcd"))
def test_shift_scale_and_order_change_nothing(shift: float, scale: float, order: list[str]) -> None:
    base = arms(0.0, 0.5, 1.0, 2.5)
    changed = {arm: [shift + scale * x for x in base[arm] if x is not None] for arm in order}

    def seen(scores: dict[str, Any]) -> dict[str, str]:
        rng = np.random.default_rng(1)
        found = standings(collect(study(scores)), (), level=0.95, rng=rng)
        return {key[2]: standing.place for key, standing in found.items()}

    assert seen(base) == seen(changed)
