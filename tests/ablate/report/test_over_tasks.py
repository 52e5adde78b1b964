"""What all arms show over all tasks, as rows and as CSV."""

import csv
import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate import frame
from ablate.report import over_tasks, rows, tables
from ablate.stats.findings import analyse


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made = [
        {"task": f"t{t}", "method": m, "seed": s, "score": rng.normal(i, 1)}
        for t in range(5) for i, m in enumerate(("lora", "shim")) for s in range(6)
    ]  # fmt: skip
    data = frame.check(pd.DataFrame(made))
    return analyse(data, comparisons=(), claims=(), rng=rng).to_json()


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_line_an_arm(document: dict[str, Any]) -> None:
    lines = read(tables.over_tasks_csv(document["over_tasks"]))
    (seen,) = document["over_tasks"]
    assert [line["arm"] for line in lines] == ["lora", "shim"]
    assert [float(line["mean_rank"]) for line in lines] == [a["mean_rank"] for a in seen["arms"]]
    assert float(lines[1]["iqm.low"]) == seen["arms"][1]["iqm"]["low"]
    assert "profile" not in lines[0]


def test_a_line_a_pair(document: dict[str, Any]) -> None:
    (line,) = read(tables.pairs_csv(document["over_tasks"]))
    (pair,) = document["over_tasks"][0]["pairs"]
    assert (line["treatment"], line["control"]) == ("shim", "lora")
    assert float(line["p_adjusted"]) == pair["p_adjusted"]


def test_sources_over_tasks_stand_below_those_of_each_task(document: dict[str, Any]) -> None:
    found = rows.components(document)
    assert len(found) == 5 * 3 + 4
    assert [row["source"] for row in found[-4:]] == [
        "which task", "luck of one arm on one task", "which seed, for all arms alike",
        "luck of one arm at one seed",
    ]  # fmt: skip
    assert {row["task"] for row in found[-4:]} == {"all tasks"}


def test_few_levels_show_their_interval(document: dict[str, Any]) -> None:
    arm = rows.components(document)[0]
    assert arm["sd"] == arm["interval"]
    assert arm["sd"].startswith("[")
    assert ("warn", "too few levels: an interval only") in arm["notes"]
    assert ("warn", "too few seeds") not in arm["notes"]
    assert arm["sd_raw"] is None


def test_rows_of_arms_and_pairs(document: dict[str, Any]) -> None:
    (group,) = over_tasks.groups(document)
    (seen,) = document["over_tasks"]
    assert [row["rank_raw"] for row in group["arms"]] == [a["mean_rank"] for a in seen["arms"]]
    assert group["arms"][1]["iqm"] == f"{seen['arms'][1]['iqm']['estimate']:.3f}"
    (pair,) = group["pairs"]
    assert (pair["treatment"], pair["control"], pair["n"]) == ("shim", "lora", "6")
    assert "Friedman's test over tasks: p" in group["test"]
    assert (group["tasks"], group["more"], group["backbone"]) == ("5 tasks", "", "")


def test_pairs_of_many_arms_stay_in_their_file(document: dict[str, Any]) -> None:
    (seen,) = document["over_tasks"]
    many = {**seen, "pairs": seen["pairs"] * (over_tasks.MOST_PAIRS + 1)}
    (group,) = over_tasks.groups({**document, "over_tasks": [many]})
    assert (group["pairs"], group["more"]) == ([], "67")
