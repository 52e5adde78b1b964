from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ablate.stats.cells import Cell
from ablate.stats.comparison import Comparison
from ablate.stats.evaluation import Said
from ablate.stats.findings import analyse

CLAIM = Comparison("c", "cola", "backbone", ("shim",), ("lora",))
LABELS = np.tile([0.0, 1.0], 20)


def said(wrong: int) -> Said:
    """Forty examples, of which the first few are wrong."""
    flipped = np.where(np.arange(40) < wrong, 1 - LABELS, LABELS)
    return Said(tuple(str(i) for i in range(40)), LABELS, flipped, 2)


WRONG = {"lora": [8, 9, 7, 10], "shim": [4, 5, 6, 3]}


def analysed(table: Callable[..., pd.DataFrame], read: Callable[[Cell], Mapping[int, Said]]):
    data = table({arm: [1 - w / 40 for w in wrong] for arm, wrong in WRONG.items()},
                 metric="accuracy")  # fmt: skip
    found = analyse(
        data, comparisons=[CLAIM, replace(CLAIM, id="v", kind="variance")], claims=(),
        rng=np.random.default_rng(0), predictions=read,
    )  # fmt: skip
    return {finding.id: finding for finding in found.findings}


def test_findings_say_what_resampled_examples_show(table: Callable[..., pd.DataFrame]) -> None:
    found = analysed(table, lambda cell: dict(enumerate(map(said, WRONG[cell.arm]))))
    seen = found["c"].details["examples"]
    assert seen["estimate"] == pytest.approx(found["c"].estimate)
    assert (seen["num_seeds"], seen["num_examples"], seen["status"]) == (4, 40, "ok")
    assert seen["ci_low"] < seen["estimate"] < seen["ci_high"]
    assert "examples" not in found["v"].details


def test_seeds_without_predictions_are_left_out(table: Callable[..., pd.DataFrame]) -> None:
    kept = {"lora": {0, 1, 2}, "shim": {1, 2, 3}}
    found = analysed(
        table,
        lambda cell: {s: said(w) for s, w in enumerate(WRONG[cell.arm]) if s in kept[cell.arm]},
    )
    assert found["c"].details["examples"]["num_seeds"] == 2
    assert "examples" not in analysed(table, lambda cell: {})["c"].details


def test_arms_scored_on_other_examples_are_not_compared(
    table: Callable[..., pd.DataFrame],
) -> None:
    def read(cell: Cell) -> Mapping[int, Said]:
        made = [said(w) for w in WRONG[cell.arm]]
        renamed = tuple(f"{cell.arm}-{i}" for i in range(40))
        return {seed: replace(one, ids=renamed) for seed, one in enumerate(made)}

    assert "examples" not in analysed(table, read)["c"].details
