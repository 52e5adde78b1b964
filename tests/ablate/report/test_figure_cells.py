"""Cells against their size: those that nothing beats are joined and marked."""

from __future__ import annotations

from typing import Any

import pytest
from drawn import panels, texts

SCORES = {"small": (100, 0.5), "middle": (1000, 0.7), "beaten": (2000, 0.6), "big": (10_000, 0.8)}


def rows(**more: Any) -> list[dict[str, Any]]:
    return [
        {"task": "cola", "arm": arm, "label": f"<{arm}>", "seed": seed, "score": mean + 0.01 * seed,
         "trainable_parameters": size, **more}
        for arm, (size, mean) in SCORES.items() for seed in range(3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("direction", "front"),
    [("higher", ["<small> ★", "<middle> ★", "<big> ★"]), ("lower", ["<small> ★"])],
)
def test_the_front_follows_the_metric_and_is_marked(direction: str, front: list[str]) -> None:
    (panel,) = panels("cost", rows(direction=direction))
    assert [text for text in texts(panel) if text.endswith("★")] == front
    assert panel.svg.count("stroke-dasharray") == 1
    assert "<small>" not in panel.svg


def test_equal_sizes_keep_the_better_one() -> None:
    given = [{**row, "trainable_parameters": 100} for row in rows()]
    (panel,) = panels("cost", given)
    assert [text for text in texts(panel) if text.endswith("★")] == ["<big> ★"]


def test_nothing_is_drawn_without_sizes() -> None:
    assert panels("cost", [{**row, "trainable_parameters": None} for row in rows()]) == ()
