"""The noise of the evaluation set as rows: what the findings hold, and nothing else."""

from __future__ import annotations

from typing import Any

from ablate.report import examples


def test_a_row_says_both_errors(whole: Any) -> None:
    row = examples.table(whole.findings)[0]
    assert (row["error_seeds"], row["error_examples"]) == ("0.0040", "0.0130")
    assert row["interval"] == "[+0.0040, +0.0590]"
    assert row["by_seed"] == "<0.001 to 0.200"
    assert (row["examples"], row["n"]) == ("277", "8")


def test_what_cannot_be_said_is_a_dash(whole: Any) -> None:
    first = whole.findings["findings"][0]
    seen = {"num_seeds": 1, "num_examples": 0, "estimate": None, "status": "insufficient_n"}
    findings = {**whole.findings, "findings": [{**first, "examples": seen}]}
    (row,) = examples.table(findings)
    assert (row["estimate"], row["interval"], row["by_seed"]) == ("–", "–", "–")
    assert row["notes"] == [("warn", "too few seeds")]


def test_without_predictions_there_is_no_row(study: Any) -> None:
    assert examples.table(study.findings) == []
