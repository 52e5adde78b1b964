"""Rows of what stands beside the primary scores: other metrics and splits, papers' averages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ablate.report import rows, scope, words
from ablate.report.scope import Record

Row = dict[str, Any]


def scores(findings: Record) -> list[Row]:
    """A row for each cell, split and metric beside the primary one."""
    found = findings.get("beside") or []
    panels = [scope.panel_key(item) for item in found]
    return [
        {
            "task": scope.panel_title(panel, panels),
            "split": scope.text(item.get("split")),
            "metric": scope.text(item.get("metric")),
            **_summary(
                item,
                _digits((i for i in found if i.get("metric") == item.get("metric")), findings),
            ),
        }
        for item, panel in zip(found, panels, strict=True)
    ]


def averages(findings: Record) -> list[Row]:
    """A row for each average, backbone and arm; bars of all share a scale."""
    found = findings.get("averages") or []
    backbones = {scope.text(item.get("backbone")) for item in found}
    within = rows.extent(found, "mean", zero=False)
    return [
        {
            "average": scope.text(item.get("average")),
            "source": scope.text(item.get("source")),
            "backbone": scope.text(item.get("backbone")) if len(backbones) > 1 else "",
            "bar": rows.bar(item, "mean", within, zero=False),
            "dropped": item.get("n_dropped") or 0,
            **_summary(item, _digits(found, findings)),
        }
        for item in found
    ]


def _digits(found: Iterable[Record], findings: Record) -> int:
    asked = scope.asked_decimals(findings)
    return words.decimals_for([item.get("mean") for item in found]) if asked is None else asked


def _summary(item: Record, digits: int) -> Row:
    return {
        "label": scope.arm_key(item).label,
        "mean": words.number(item.get("mean"), digits),
        "mean_raw": words.finite(item.get("mean")),
        "sd": words.number(item.get("sd"), digits),
        "interval": words.interval(item.get("ci_low"), item.get("ci_high"), digits),
        "n": words.count(item.get("n")),
        "notes": rows.notes(item),
    }
