"""The page's section on the variance stage: rows, sentences, CSV."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.frame import check
from ablate.report import luck, view
from ablate.report.render import write
from ablate.stats.comparison import against_baselines
from ablate.stats.findings import analyse
from ablate.stats.luck import Spending


def frame(starts: int, orders: int, repeats: int, *, noise: float = 0.2) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    start, order = rng.normal(size=starts), 0.5 * rng.normal(size=orders)
    stage = [
        {"label": "<b>LoRA</b>", "method": "lora", "stage": "variance", "seed": i, "order_seed": j,
         "repeat": k, "score": 70 + start[i] + order[j] + noise * rng.normal()}
        for i in range(starts) for j in range(orders) for k in range(repeats)
    ]  # fmt: skip
    confirm = [
        {"label": "<b>LoRA</b>", "method": "lora", "seed": s, "score": 70 + rng.normal()}
        for s in range(3)
    ]  # fmt: skip
    return check(pd.DataFrame([*confirm, *stage]))


def document(table: pd.DataFrame, **spending: Any) -> dict[str, Any]:
    return analyse(
        table,
        comparisons=against_baselines(table, [{"method": "lora"}]),
        claims=(),
        rng=np.random.default_rng(0),
        spending=Spending(**spending),
    ).to_json()


def test_rows_and_sentences_of_a_whole_design() -> None:
    found = document(frame(6, 5, 2), error=0.5)
    table = luck.table(found)
    assert [row["source"] for row in table] == [
        "where training starts", "order of the data, and dropout", "the two together",
        "what no seed controls",
    ]  # fmt: skip
    assert sum(int(row["share"].split()[0]) for row in table) == pytest.approx(100, abs=2)
    (said,) = luck.sentences(found)
    assert "6 initialisations × 5 orders × 2 repeats." in said
    assert "A standard error of 0.50" in said
    assert "with the same seeds again: never (not below" in said
    assert "agree to the last bit" not in said


def test_a_design_without_repeats_or_with_few_levels() -> None:
    once = luck.table(document(frame(5, 5, 1)))
    assert [row["source"] for row in once][-1] == "the two together, and what no seed controls"
    assert len(once) == 3
    few = document(frame(3, 3, 2))
    assert {row["sd"] for row in luck.table(few)[:2]} == {"–"}
    assert ("warn", "too few levels: an interval only") in luck.table(few)[0]["notes"]
    assert "Five initialisations and five orders" in luck.sentences(few)[0]


def test_repeats_that_agree_are_said_to() -> None:
    rows = frame(5, 5, 2, noise=0.0)
    assert "agree to the last bit" in luck.sentences(document(rows))[0]


def test_the_page_has_the_section_and_the_numbers_as_csv(tmp_path: Path) -> None:
    table = frame(6, 5, 2)
    found = document(table)
    page = write(table, found, {"study": "s"}, tmp_path).read_text(encoding="utf-8")
    assert '<section id="luck">' in page
    assert "&lt;b&gt;LoRA&lt;/b&gt;" in page
    assert "<b>LoRA</b>" not in page
    rows = list(csv.DictReader(io.StringIO(view.csv_files(found)["luck"])))
    assert [float(row["source.variance"]) for row in rows] == [
        source["variance"] for source in found["luck"][0]["sources"]
    ]


def test_a_study_without_the_stage_has_no_section(tmp_path: Path) -> None:
    table = frame(6, 5, 2)
    table = table[table["stage"] == "confirm"]
    found = document(table)
    assert found["luck"] == []
    page = write(table, found, {"study": "s"}, tmp_path).read_text(encoding="utf-8")
    assert '<section id="luck">' not in page
