"""Power curves: a line a comparison, as the findings state it, with a mark at the seeds run."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest
from drawn import findings, panels, texts

from ablate import frame as table
from ablate.stats.comparison import against_baselines
from ablate.stats.power import CURVE_SEEDS


def rows(num_seeds: int = 5, arms: Any = ("lora", "<b>", "tlora")) -> pd.DataFrame:
    noise = (0.0, 0.03, -0.02, 0.01, -0.01)
    return table.check(
        pd.DataFrame(
            [
                {
                    "task": "cola", "method": arm, "seed": seed,
                    "score": 0.5 + noise[(seed * (place + 1)) % 5] * (place + 1),
                }
                for place, arm in enumerate(arms) for seed in range(num_seeds)
            ]
        )
    )  # fmt: skip


def answered(data: pd.DataFrame) -> dict[str, Any]:
    return findings(data, against_baselines(data, [{"method": "lora"}]))


def test_a_line_and_a_mark_for_each_comparison() -> None:
    data = rows()
    document = answered(data)
    (panel,) = panels("power", data, document)
    assert panel.title == "cola · n 5"
    keys = [text for text in texts(panel) if " · " in text]
    means = [f for f in document["findings"] if f["kind"] == "mean"]
    assert keys == [f"{f['treatment']['label']} · {f['detectable_effect']:.4f}" for f in means]
    assert "<b>" not in panel.svg
    num_marks, num_keys = 2, 2
    assert len(re.findall(r"<use [^>]* x=", panel.svg)) == num_marks + num_keys


def test_the_curve_meets_what_the_seeds_that_were_run_find() -> None:
    (first, *_) = [f for f in answered(rows())["findings"] if f["kind"] == "mean"]
    curve = dict(map(tuple, first["detectable"]))
    assert tuple(curve) == CURVE_SEEDS
    assert curve[5] == pytest.approx(first["detectable_effect"])
    assert list(curve.values()) == sorted(curve.values(), reverse=True)


def test_nothing_is_drawn_where_no_difference_has_a_spread() -> None:
    one = rows(1)
    assert panels("power", one, answered(one)) == ()
    alone = rows(5, ("lora",))
    assert panels("power", alone, findings(alone)) == ()
