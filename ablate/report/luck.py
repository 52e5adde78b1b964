"""What the page says of the variance stage: sources of luck, and how to spend runs. Text only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ablate.report import rows, scope, words
from ablate.report.scope import Record

SOURCES = {
    "initialisation": "where training starts",
    "order": "order of the data, and dropout",
    "initialisation:order": "the two together",
    "repeat": "what no seed controls",
}
_BOTH_LAST = "the two together, and what no seed controls"
_FRESH = {
    "both": "both seeds fresh in each run",
    "initialisation": "one order for all runs",
    "order": "one initialisation for all runs",
    "repeat": "the same seeds again",
}


def table(findings: Record) -> list[dict[str, Any]]:
    """A row for each cell and source, as a standard deviation in the metric's unit."""
    return [row for found in findings.get("luck") or [] for row in _rows(found, findings)]


def _rows(found: Record, findings: Record) -> Iterator[dict[str, Any]]:
    digits = scope.decimals(findings, scope.text(found.get("task")))
    total = (words.finite(found.get("sd")) or 0.0) ** 2
    for source in found.get("sources") or []:
        name = str(source["name"])
        if name == "initialisation:order" and found.get("repeats") == 1:
            continue
        variance = words.finite(source.get("variance"))
        interval = words.interval(_root(source.get("low")), _root(source.get("high")), digits)
        few = source.get("status") == "insufficient_n"
        notes = [("warn", "too few levels: an interval only")] if few else rows.notes(source)
        notes += [("quiet", "estimated below zero, shown as zero")] if source["clipped"] else []
        share = variance / total if variance is not None and total > 0 else None
        last = name == "repeat" and found.get("repeats") == 1
        yield {
            "task": scope.text(found.get("task")),
            "label": scope.arm_key(found).label,
            "source": _BOTH_LAST if last else SOURCES[name],
            "sd": words.number(_root(variance), digits),
            "interval": interval,
            "share": words.percent(share),
            "levels": words.count(source.get("levels")),
            "notes": notes,
        }


def sentences(findings: Record) -> list[str]:
    """For each cell: what was run, whether repeats agree, which runs buy the error asked for."""
    return [
        " ".join(_sentences(found, scope.decimals(findings, scope.text(found.get("task")))))
        for found in findings.get("luck") or []
    ]


def _sentences(found: Record, digits: int) -> Iterator[str]:
    where = f"{scope.arm_key(found).label} on {scope.text(found.get('task'))}"
    if not found.get("sources"):
        yield f"{where}: too few runs of the variance stage have finished to tell anything."
        return
    crossed = f"{found['initialisations']} initialisations × {found['orders']} orders"
    repeats = f" × {found['repeats']} repeats" if found["repeats"] > 1 else ""
    lost = [
        words.plural(number, f"run {word}", f"runs {word}")
        for number, word in ((found["n_dropped"], "left out for balance"),
                             (found["num_failed"], "failed"))
        if number
    ]  # fmt: skip
    yield f"{where}: {crossed}{repeats}{f' ({words.listed(lost)})' if lost else ''}."
    if found.get("identical_repeats"):
        yield "Runs that share all seeds agree to the last bit."
    if words.finite(found.get("error")) is None:
        few = "Five initialisations and five orders tell more than intervals."
        yield few if found.get("status") == "insufficient_n" else "Nothing varies at all."
        return
    yield f"A run varies by a standard deviation of {words.number(found['sd'], digits)}."
    yield from _spending(found, digits + 1)


def _spending(found: Record, digits: int) -> Iterator[str]:
    error = words.number(found["error"], digits)
    best = found.get("allocation")
    if best is None:
        yield f"No design that was tried reaches a standard error of {error}."
    else:
        how = (
            f"{words.plural(best['num_initialisations'], 'initialisation')}, each with an order of "
            "its own"
            if best["paired"]
            else f"{best['num_initialisations']} initialisations × {best['num_orders']} orders"
        )
        again = f", {best['num_repeats']} repeats of each" if best["num_repeats"] > 1 else ""
        yield f"A standard error of {error} is cheapest with {how}{again}."
    others = [mix for mix in found.get("mixes") or [] if mix["fresh"] != "both"]
    told = [
        f"{_FRESH[mix['fresh']]}: "
        + (f"{words.count(mix['runs'])} runs" if mix["runs"] else
           f"never (not below {words.number(mix['floor'], digits)})")
        for mix in others
    ]  # fmt: skip
    yield f"With {'; with '.join(told)}."


def _root(variance: Any) -> float | None:
    real = words.finite(variance)
    return None if real is None else math.sqrt(max(real, 0.0))


def sources(findings: Record) -> list[dict[str, Any]]:
    """One flat record for each cell and source, for a table of numbers."""
    about = ("task", "backbone", "arm", "label", "metric", "split", "initialisations", "orders",
             "repeats", "n", "n_dropped", "num_failed", "identical_repeats", "sd",
             "error")  # fmt: skip
    return [
        {
            **{name: found.get(name) for name in about},
            **{f"source.{k}": v for k, v in source.items()},
        }
        for found in findings.get("luck") or []
        for source in found.get("sources") or []
    ]
