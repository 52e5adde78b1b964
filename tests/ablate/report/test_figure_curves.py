"""Curves: a line an arm, its seeds in the key, a gap where nothing was measured."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from drawn import findings, panels, texts

from ablate import frame as table

ARMS = ("plain", "<b>grown</b>")


def rows(arms: Any = ARMS) -> Any:
    made = [
        {"task": "cola", "arm": arm, "method": "m", "label": arm, "seed": seed, "score": 0.5}
        for arm in arms
        for seed in range(3)
    ]
    return table.check(pd.DataFrame(made))


def curve(arm: str, measure: str, split: str | None, mean: list[Any]) -> dict[str, Any]:
    size = len(mean)
    ends = {end: [None if m is None else m + by for m in mean] for end, by in
            (("low", -0.1), ("high", 0.1))}  # fmt: skip
    return {
        "task": "cola", "backbone": "backbone", "arm": arm, "label": arm, "measure": measure,
        "split": split, "steps": [10 * (i + 1) for i in range(size)], "mean": mean,
        "n": [3] * (size - 1) + [2], "sd": [None] * size, **ends,
    }  # fmt: skip


def drawn(name: str, curves: list[dict[str, Any]], arms: Any = ARMS) -> Any:
    data = rows(arms)
    return panels(name, data, {**findings(data), "curves": curves})


def test_scores_and_own_figures_are_two_figures() -> None:
    given = [
        curve("plain", "accuracy", "held_out", [0.5, 0.6, 0.7]),
        curve("<b>grown</b>", "accuracy", "held_out", [0.4, 0.6, 0.8]),
        curve("<b>grown</b>", "total_rank", None, [4.0, 8.0, 12.0]),
    ]
    (scores,) = drawn("curves", given)
    assert scores.title == "cola · held_out"
    said = texts(scores)
    assert {"accuracy", "training steps"} <= set(said)
    assert [text for text in said if "· n" in text] == [
        "plain · n 2 to 3",
        "<b>grown</b> · n 2 to 3",
    ]
    assert "<b>" not in scores.svg
    num_points, num_keys, num_bands = 6, 2, 2
    assert scores.svg.count("<use ") == num_points + num_keys + num_bands
    assert scores.svg.count("fill-opacity: 0.16") == num_bands
    (growth,) = drawn("growth", given)
    assert growth.title == "cola · total rank"
    assert [text for text in texts(growth) if "· n" in text] == ["<b>grown</b> · n 2 to 3"]


def test_what_was_not_measured_is_a_gap() -> None:
    (panel,) = drawn("curves", [curve("plain", "mcc", "dev", [0.5, None, 0.7, 0.8])])
    num_points, num_keys = 3, 1
    assert len(re.findall(r"<use [^>]* x=", panel.svg)) == num_points + num_keys


def test_bands_give_way_to_lines_when_there_are_many() -> None:
    arms = [f"arm {i}" for i in range(9)]
    given = [curve(arm, "accuracy", "dev", [0.5, 0.6]) for arm in arms]
    (panel,) = drawn("curves", given, arms)
    assert panel.svg.count("fill-opacity: 0.16") == 0
    assert panel.svg.count("<use ") == 9 * 2 + 9


def test_nothing_is_drawn_of_one_step_or_of_an_unknown_arm() -> None:
    given = [
        curve("plain", "accuracy", "dev", [0.5]),
        curve("gone", "accuracy", "dev", [0.5, 0.6]),
    ]
    assert drawn("curves", given) == ()
    assert drawn("growth", given) == ()
