"""What the page says of the search: one row a cell, and warnings. Text only, no statistic."""

from collections.abc import Iterator
from typing import Any

from ablate.report import scope, words
from ablate.report.scope import Record


def rows(findings: Record) -> list[dict[str, Any]]:
    """Of each tuned cell: its budget, its expected best, and what held on fresh seeds."""
    search = findings.get("search") or {}
    cells = [cell for cell in search.get("cells") or [] if cell.get("nuisances")]
    return [row for cell in cells for row in _rows(cell, scope.decimals(findings, cell["task"]))]


def warnings(findings: Record) -> list[str]:
    """What makes the comparison of tuned arms less than fair."""
    return [str(text) for text in (findings.get("search") or {}).get("warnings") or []]


def importance(findings: Record) -> list[dict[str, Any]]:
    """A row for each tuned value of each search that says which of them matters."""
    cells = (findings.get("search") or {}).get("cells") or []
    return [row for cell in cells for row in _importance(cell)]


def _importance(cell: Record) -> Iterator[dict[str, Any]]:
    found = cell.get("importance") or {}
    for item in found.get("values") or []:
        chance = item["share"] <= item["by_chance"]
        yield {
            "task": scope.text(cell.get("task")),
            "label": scope.arm_key(cell).label,
            "name": scope.text(item.get("name")),
            "share": words.percent(item.get("share")),
            "share_raw": words.finite(item.get("share")),
            "sd": words.percent(item.get("share_sd")),
            "chance": words.percent(item.get("by_chance")),
            "best": words.percent(item.get("among_best")),
            "n": words.count(found.get("n")),
            "ignored": found.get("num_ignored") or 0,
            "notes": [("warn", "no more than chance")] if chance else [],
        }


def common(findings: Record) -> int:
    """The asks at which expected bests are compared."""
    return int((findings.get("search") or {}).get("common_asks") or 0)


def _rows(cell: Record, decimals: int) -> Iterator[dict[str, Any]]:
    curve = cell.get("expected_best") or [None]
    ends = [
        f"{cell[name]} {words_for}"
        for name, words_for in (("pruned", "stopped early"), ("failed", "failed"),
                                ("repeated", "repeated"), ("reused", "taken over"))
        if cell.get(name)
    ]  # fmt: skip
    for item in cell.get("chosen") or [{}]:
        yield {
            "task": scope.text(cell.get("task")),
            "label": scope.arm_key(cell).label,
            "asks": f"{cell['asks']}",
            "ends": ", ".join(ends),
            "seconds": words.number(cell.get("device_seconds"), 0),
            "expected": words.number(curve[-1] if curve else None, decimals),
            "values": words.settings(item.get("values")),
            "search": words.number(item.get("search_score"), decimals),
            "confirm": words.number(item.get("confirm_mean"), decimals),
            "n": words.DASH if not item.get("n") else f"{item['n']}",
            "shrinkage": words.number(item.get("shrinkage"), decimals, signed=True),
        }
