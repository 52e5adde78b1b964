"""Ranks with their critical difference, and profiles, as the findings state them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn import findings, panels, texts
from hypothesis import given
from hypothesis import strategies as st

from ablate.report import figure_ranking
from ablate.stats.ranking import critical_difference


def rows(num_tasks: int = 6, **columns: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(5)
    return [
        {"task": f"t{t}", "method": arm, "seed": s, "score": rng.normal(2 * i, 1), **columns}
        for t in range(num_tasks) for i, arm in enumerate(("lora", "<b>", "shim", "mini"))
        for s in range(4)
    ]  # fmt: skip


def test_arms_stand_by_rank_with_the_critical_difference_above() -> None:
    document = findings(rows())
    (panel,) = panels("ranking", rows(), document)
    (one,) = document["over_tasks"]
    said = texts(panel)
    gap = critical_difference(4, 6, alpha=0.05)
    assert said[said.index("critical difference") + 1] == f"{gap:.2f}"
    ranks = {arm["label"]: arm["mean_rank"] for arm in one["arms"]}
    order = [text for text in said if text in ranks]
    assert order == sorted(ranks, key=ranks.__getitem__)
    assert all(f"{rank:.2f}" in said for rank in ranks.values())
    assert "<b>" not in panel.svg
    assert panel.title == "all tasks · 6 tasks"


@pytest.mark.parametrize(
    ("ranks", "gap", "expected"),
    [
        ([1.0, 2.0, 3.0], 0.5, []),
        ([1.0, 2.0, 3.0], 1.5, [(0, 1), (1, 2)]),
        ([1.0, 1.2, 3.0], 2.5, [(0, 2)]),
        ([1.0, 1.1, 1.2, 4.0, 4.1], 1.0, [(0, 2), (3, 4)]),
        ([2.0, 2.0], 0.1, [(0, 1)]),
    ],
)
def test_groups(ranks: list[float], gap: float, expected: list[tuple[int, int]]) -> None:
    assert figure_ranking.groups(ranks, gap) == expected


@given(st.lists(st.integers(0, 40), min_size=2, max_size=12), st.integers(1, 20))
def test_a_group_holds_exactly_what_is_within_the_difference(given: list[int], gap: int) -> None:
    ranks = sorted(map(float, given))
    found = figure_ranking.groups(ranks, gap)
    for i, low in enumerate(ranks):
        for j in range(i + 1, len(ranks)):
            together = any(first <= i and j <= last for first, last in found)
            assert together == (ranks[j] - low < gap)


def test_profiles_are_the_shares_of_the_findings() -> None:
    (panel,) = panels("profiles", rows())
    assert "share of runs above it, mean over tasks" in texts(panel)
    (lower,) = panels("profiles", rows(direction="lower"))
    assert "share of runs below it, mean over tasks" in texts(lower)


def test_one_task_is_not_ranked() -> None:
    assert panels("ranking", rows(1)) == panels("profiles", rows(1)) == ()
