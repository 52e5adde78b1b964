"""Rows of what all arms show over all tasks: ranks, interquartile means, every pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.report import rows, scope, words
from ablate.report.scope import PanelKey, Record

Row = dict[str, Any]
MOST_PAIRS = 66  # of twelve arms; beyond that the CSV file has them


def groups(findings: Record) -> list[Row]:
    """What each backbone's section says."""
    found = findings.get("over_tasks") or []
    return [
        {
            "backbone": scope.text(one.get("backbone")) if len(found) > 1 else "",
            "tasks": words.plural(len(one["tasks"]), "task"),
            "metric": scope.text(one.get("metric")),
            "test": _test(one["ranking"]),
            "arms": _arms(one, findings),
            "pairs": _pairs(one, findings) if len(one["pairs"]) <= MOST_PAIRS else [],
            "more": words.count(len(one["pairs"])) if len(one["pairs"]) > MOST_PAIRS else "",
        }
        for one in found
    ]


def _test(ranking: Record) -> str:
    """Friedman's test in a sentence."""
    if ranking.get("p_chi_square") is None:
        return "" if ranking.get("status") == "ok" else f"{words.status(ranking['status'])}."
    few = ranking.get("status") == "insufficient_n"
    parts = [
        f"Friedman's test over tasks: p {words.p_value(ranking['p_chi_square'])}",
        f"Iman and Davenport's: p {words.p_value(ranking.get('p_f'))}",
    ]
    gap = words.finite(ranking.get("critical_difference"))
    if gap is not None:
        parts.append(f"two arms differ where their mean ranks are {words.number(gap, 2)} apart")
    warning = " Too few tasks for any of these to say much." if few else ""
    return f"{'; '.join(parts)}.{warning}"


def _digits(one: Record, findings: Record) -> int:
    return scope.decimals(findings, PanelKey("all tasks", scope.text(one.get("backbone"))).task)


def _arms(one: Record, findings: Record) -> list[Row]:
    means = [_interval(arm.get("iqm") or {}) for arm in one["arms"]]
    within = rows.extent(means, "estimate", zero=False)
    digits = _digits(one, findings)
    most = max(int(mean.get("n") or 0) for mean in means)
    return [
        {
            "label": scope.arm_key(arm).label,
            "rank": words.number(arm.get("mean_rank"), 2),
            "rank_raw": words.finite(arm.get("mean_rank")),
            "iqm": words.number(mean.get("estimate"), digits),
            "iqm_raw": words.finite(mean.get("estimate")),
            "interval": words.interval(mean.get("ci_low"), mean.get("ci_high"), digits),
            "bar": rows.bar(mean, "estimate", within, zero=False),
            "n": words.count(mean.get("n")),
            "notes": _notes(mean, most),
        }
        for arm, mean in zip(one["arms"], means, strict=True)
    ]


def _notes(mean: Record, most: int) -> list[tuple[str, str]]:
    """Warnings; where an arm lacks runs, its tasks no longer weigh as those of the others."""
    fewer = 0 < int(mean.get("n") or 0) < most
    return rows.notes({"status": mean.get("status")}) + (
        [("warn", "fewer runs than others: tasks weigh differently")] if fewer else []
    )


def _interval(iqm: Record) -> Record:
    """An interquartile mean under the names that every interval has."""
    return {**iqm, "ci_low": iqm.get("low"), "ci_high": iqm.get("high")}


def _pairs(one: Record, findings: Record) -> list[Row]:
    found: Sequence[Record] = one["pairs"]
    labels: Mapping[str, str] = {
        scope.text(arm.get("arm")): scope.arm_key(arm).label for arm in one["arms"]
    }
    within = rows.extent(found, "estimate", zero=True)
    digits = _digits(one, findings)
    return [
        {
            "treatment": labels.get(pair["treatment"], pair["treatment"]),
            "control": labels.get(pair["control"], pair["control"]),
            "estimate": words.number(pair.get("estimate"), digits, signed=True),
            "raw": words.finite(pair.get("estimate")),
            "interval": words.interval(pair.get("ci_low"), pair.get("ci_high"), digits,
                                       signed=True),
            "bar": rows.bar(pair, "estimate", within, zero=True),
            "p": words.p_value(pair.get("p_adjusted")),
            "p_raw": words.finite(pair.get("p_adjusted")),
            "n": words.count(pair.get("n")),
            "notes": rows.notes({"status": pair.get("status")}),
        }
        for pair in found
    ]  # fmt: skip
