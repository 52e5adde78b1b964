"""The page's words on the search."""

from typing import Any

from ablate.report import tuning

CELL: dict[str, Any] = {
    "task": "t", "arm": "lora", "label": "LoRA", "nuisances": ["learning_rate"], "asks": 6,
    "complete": 3, "pruned": 2, "failed": 1, "repeated": 0, "reused": 0, "device_seconds": 12.4,
    "expected_best": [0.5, 0.61234],
    "chosen": [{"rank": 1, "values": {"learning_rate": 1e-3}, "search_score": 0.7,
                "confirm_mean": 0.65, "n": 3, "shrinkage": 0.05}],
}  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    cells = [{**CELL, **changes}, {**CELL, "nuisances": []}]
    return {"search": {"cells": cells, "warnings": ["w"], "common_asks": 2}, "cells": []}


def test_a_cell_is_one_row_and_one_that_was_not_tuned_is_none() -> None:
    (row,) = tuning.rows(document())
    assert row["label"] == "LoRA"
    assert row["ends"] == "2 stopped early, 1 failed"
    assert row["asks"] == "6"
    assert row["expected"].startswith("0.61")
    assert row["shrinkage"].startswith("+0.05")
    assert row["n"] == "3"


def test_a_cell_of_which_nothing_was_chosen_has_dashes() -> None:
    (row,) = tuning.rows(document(chosen=[], expected_best=[None, None]))
    assert {row[key] for key in ("expected", "search", "confirm", "shrinkage", "n")} == {"–"}


def test_findings_without_a_search_say_nothing() -> None:
    assert tuning.rows({}) == []
    assert tuning.warnings({}) == []
    assert tuning.common({}) == 0
    assert tuning.warnings(document()) == ["w"]


def test_a_row_for_each_tuned_value_and_a_warning_where_chance_does_as_well() -> None:
    values = [
        {"name": "dropout", "share": 0.05, "share_sd": 0.01, "by_chance": 0.4, "among_best": 0.2},
        {"name": "rate", "share": 0.8, "share_sd": 0.02, "by_chance": 0.4, "among_best": None},
    ]
    found = {"n": 12, "num_ignored": 3, "num_best": 5, "values": values, "status": "ok"}
    noise, rate = tuning.importance(document(importance=found))
    assert (noise["share"], noise["sd"], noise["chance"]) == ("5 %", "1 %", "40 %")
    assert noise["notes"] == [("warn", "no more than chance")]
    assert (rate["notes"], rate["best"], rate["n"], rate["ignored"]) == ([], "–", "12", 3)
    assert tuning.importance(document(importance=None)) == tuning.importance({}) == []
