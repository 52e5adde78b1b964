"""What stands beside the primary scores is on the page, and absent where there is none."""

from pathlib import Path
from typing import Any

from ablate.report import beside
from ablate.report.render import write

SUMMARY = {"n": 3, "mean": 0.5, "sd": 0.1, "ci_low": 0.4, "ci_high": 0.6, "status": "ok"}
ARM = {"backbone": "b", "arm": "lora", "label": "LoRA <rank 8>"}
BESIDE = {"task": "mnli", "split": "validation_mismatched", "metric": "accuracy", **ARM, **SUMMARY}
AVERAGE = {"average": "GLUE as in LoRA", "source": "table 2", **ARM, **SUMMARY, "n_dropped": 1}


def test_the_page_shows_other_scores_and_averages(study: Any, tmp_path: Path) -> None:
    findings = {**study.findings, "beside": [BESIDE], "averages": [AVERAGE]}
    page = write(study.frame, findings, study.about, tmp_path).read_text(encoding="utf-8")
    assert "validation_mismatched" in page
    assert "GLUE as in LoRA" in page
    assert "1 incomplete" in page
    assert "LoRA &lt;rank 8&gt;" in page
    table = (tmp_path / "tables" / "averages.csv").read_text(encoding="utf-8")
    assert table.startswith("average,source,")


def test_a_page_without_them_has_no_section(study: Any, tmp_path: Path) -> None:
    page = write(study.frame, study.findings, study.about, tmp_path).read_text(encoding="utf-8")
    assert 'id="averages"' not in page
    assert "Other metrics and splits" not in page


def test_backbones_are_named_where_there_are_several() -> None:
    other = {**AVERAGE, "backbone": "c"}
    assert [row["backbone"] for row in beside.averages({"averages": [AVERAGE]})] == [""]
    both = beside.averages({"averages": [AVERAGE, other]})
    assert [row["backbone"] for row in both] == ["b", "c"]


def test_digits_suit_the_metric() -> None:
    other = {**BESIDE, "metric": "mse", "mean": 120.0}
    shown = beside.scores({"beside": [BESIDE, other]})
    assert [row["mean"] for row in shown] == ["0.5000", "120.00"]
