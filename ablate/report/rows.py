"""Findings and cells as rows of text, ready for the page's tables and cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ablate.frame import CONFIRM_STAGES
from ablate.report import scope, words
from ablate.report.scope import ArmKey, PanelKey, Record
from ablate.report.words import Verdict

Row = dict[str, Any]
SOURCES = {
    "arm": "which arm",
    "task": "which task",
    "arm_by_task": "luck of one arm on one task",
    "seed": "which seed, for all arms alike",
    "residual": "luck of one arm at one seed",
}
_REASONS = {"not_robust": "The result changes when failed runs count as the worst."}


class Bar(NamedTuple):
    """An interval drawn in a table cell; places in percent of its width, None where unknown."""

    low: str | None
    width: str | None
    dot: str | None
    zero: str | None


class Extent(NamedTuple):
    """The values at the two ends of the bars that are compared with each other."""

    low: float
    high: float


def extent(records: Iterable[Record], middle: str, *, zero: bool) -> Extent:
    """The range that holds every value and interval, with some room; with zero where asked."""
    found = [
        number
        for record in records
        for name in (middle, "ci_low", "ci_high")
        if (number := words.finite(record.get(name))) is not None
    ]
    found += [0.0] if zero or not found else []
    low, high = min(found), max(found)
    room = (high - low or 1.0) * 0.06
    return Extent(low - room, high + room)


def bar(record: Record, middle: str, within: Extent, *, zero: bool) -> Bar:
    """The bar of one interval within an extent."""

    def place(value: float) -> float:
        return 100 * (value - within.low) / (within.high - within.low)

    low, high = words.finite(record.get("ci_low")), words.finite(record.get("ci_high"))
    dot = words.finite(record.get(middle))
    whole = low is not None and high is not None
    return Bar(
        low=f"{place(low):.2f}" if whole and low is not None else None,
        width=f"{place(high) - place(low):.2f}" if low is not None and high is not None else None,
        dot=None if dot is None else f"{place(dot):.2f}",
        zero=f"{place(0.0):.2f}" if zero else None,
    )


def comparisons(found: Sequence[Record], findings: Record) -> list[Row]:
    """Rows of findings; bars of one task and unit share a scale."""
    groups: dict[tuple[PanelKey, str, bool], list[Record]] = {}
    for finding in found:
        groups.setdefault(_scale_of(finding), []).append(finding)
    extents = {key: extent(group, "estimate", zero=True) for key, group in groups.items()}
    titles = [scope.finding_panel(finding) for finding in found]
    digits = {task: scope.decimals(findings, task) for task in {panel.task for panel in titles}}
    return [
        _comparison(finding, findings, extents[_scale_of(finding)], titles, digits)
        for finding in found
    ]


def _scale_of(finding: Record) -> tuple[PanelKey, str, bool]:
    """What findings must share for their bars to be comparable by eye."""
    of_spread = finding.get("kind") == "variance"
    return scope.finding_panel(finding), scope.text(finding.get("unit")), of_spread


def _comparison(
    finding: Record,
    findings: Record,
    within: Extent,
    panels: Sequence[PanelKey],
    digits_of: Mapping[str, int],
) -> Row:
    panel = scope.finding_panel(finding)
    digits = digits_of[panel.task]
    cells: Sequence[Record] = findings.get("cells") or []
    sides = {name: finding.get(name) or {} for name in ("treatment", "control")}
    return {
        "id": scope.text(finding.get("id")),
        "task": scope.panel_title(panel, panels),
        "aside": _aside(finding),
        "kind": words.KINDS.get(str(finding.get("kind")), scope.text(finding.get("kind"))),
        "treatment": scope.arm_key(sides["treatment"]).label or words.DASH,
        "control": scope.arm_key(sides["control"]).label or words.DASH,
        "estimate": words.number(finding.get("estimate"), digits, signed=True),
        "interval": words.interval(
            finding.get("ci_low"), finding.get("ci_high"), digits, signed=True
        ),
        "raw": words.finite(finding.get("estimate")),
        "bar": bar(finding, "estimate", within, zero=True),
        "unit": scope.text(finding.get("unit")),
        "sds": [
            words.number(
                finding.get(f"sd_{name}", scope.lookup(cells, panel, side).get("sd")), digits
            )
            for name, side in sides.items()
        ],
        "level": _own_level(finding, findings),
        "remark": scope.text(finding.get("note")),
        "verdict": words.verdict(finding.get("verdict")),
        **_evidence(finding, digits),
    }


def _aside(finding: Record) -> str:
    """The kind of a finding where neither the table nor its task tells."""
    kind = scope.text(finding.get("kind"))
    plain = ("mean", "variance") if finding.get("task") else ("mean", "variance", "across_tasks")
    name = "" if kind in plain else words.KINDS.get(kind, kind.replace("_", " "))
    margin = words.finite(finding.get("margin"))
    return name if margin is None else f"{name}, margin {words.setting(margin)}"


def _own_level(finding: Record, findings: Record) -> str:
    """The confidence of a finding's interval where it is not the document's."""
    level = words.finite(finding.get("level"))
    usual = level is None or level == words.finite(findings.get("level"))
    return "" if usual or level is None else f"{level * 100:g} %"


def _evidence(finding: Record, digits: int) -> Row:
    """How much stands behind a finding, and what weakens it."""
    adjusted = finding.get("p_adjusted")
    shown = finding.get("p_value") if words.missing(adjusted) else adjusted
    return {
        "n": words.count(finding.get("n")),
        "n_of": "runs" if finding.get("kind") == "interaction" else "",
        "lost": _lost(finding),
        "p": words.p_value(shown),
        "p_raw": words.finite(shown),
        "adjusted": not words.missing(adjusted),
        "effect": words.number(finding.get("effect_size"), 2, signed=True),
        "effect_kind": _effect_kind(finding),
        "effect_raw": words.finite(finding.get("effect_size")),
        "needed": _needed(finding.get("seeds_needed")),
        "notes": [*notes(finding), *_examples(finding, digits, signed=True)],
    }


def _examples(record: Record, digits: int, *, signed: bool) -> list[tuple[str, str]]:
    """Of a single seed, what the examples of the evaluation set alone allow."""
    noise = record.get("example_noise")
    if record.get("n") != 1 or not noise:
        return []
    told = words.interval(noise["low"], noise["high"], digits, signed=signed)
    return [("quiet", f"{told} by its {words.count(noise['num_examples'])} examples alone")]


def _effect_kind(finding: Record) -> str:
    kind = scope.text(finding.get("effect_size_kind"))
    return words.EFFECTS.get(kind, kind)


def _lost(finding: Record) -> str:
    """Seeds that the comparison left out: those without a partner, else those that failed."""
    for name in ("n_dropped", "num_failed"):
        if finding.get(name):
            return f"{words.count(finding[name])} {'dropped' if name == 'n_dropped' else 'failed'}"
    return ""


def _needed(value: Any) -> str:
    return words.DASH if words.finite(value) is None else words.count(value)


def notes(record: Record) -> list[tuple[str, str]]:
    """Remarks on a finding or a cell as (tone, text)."""
    notes = []
    if warning := words.status(record.get("status")):
        notes.append(("warn", warning))
    if record.get("late"):
        notes.append(("warn", "added late"))
    if record.get("confirmatory") is False:
        notes.append(("quiet", "exploratory"))
    if record.get("sequential"):
        notes.append(("quiet", "sequential"))
    if record.get("paired") is False:
        notes.append(("quiet", "unpaired"))
    if beside := scope.text(record.get("family")).partition(": ")[2]:
        notes.append(("quiet", beside))
    return notes


def cells(findings: Record) -> list[Row]:
    """A row for each cell; bars of one task share a scale."""
    panels = scope.grouped(findings.get("cells") or [])
    places = scope.arms(findings.get("cells") or [])
    rows = []
    for panel, group in panels.items():
        within = extent(group, "mean", zero=False)
        digits = scope.decimals(findings, panel.task)
        title = scope.panel_title(panel, panels)
        rows += [_cell(cell, title, places, within, digits) for cell in group]
    return rows


def _cell(
    cell: Record, title: str, places: Mapping[ArmKey, int], within: Extent, digits: int
) -> Row:
    return {
        "task": title,
        "label": scope.arm_key(cell).label,
        "series": places[scope.arm_key(cell)] % 8 + 1,
        "mean": words.number(cell.get("mean"), digits),
        "mean_raw": words.finite(cell.get("mean")),
        "sd": words.number(cell.get("sd"), digits),
        "sd_raw": words.finite(cell.get("sd")),
        "interval": words.interval(cell.get("ci_low"), cell.get("ci_high"), digits),
        "bar": bar(cell, "mean", within, zero=False),
        "n": words.count(cell.get("n")),
        "failed": cell.get("num_failed") or 0,
        "values": words.settings(cell.get("best_values")),
        "parameters": words.count(cell.get("trainable_parameters")),
        "parameters_raw": words.finite(cell.get("trainable_parameters")),
        "notes": [*notes(cell), *_examples(cell, digits, signed=False)],
    }


def claims(findings: Record) -> list[Row]:
    """A card for each claim, with the rows of the findings that it rests on."""
    by_id = {row["id"]: row for row in comparisons(all_findings(findings), findings)}
    return [_claim(claim, by_id) for claim in findings.get("claims") or []]


def _claim(claim: Record, by_id: Mapping[str, Row]) -> Row:
    identities = [str(identity) for identity in claim.get("findings") or []]
    rest = [by_id[identity] for identity in identities if identity in by_id]
    rest.sort(key=lambda row: row["kind"] != words.KINDS["across_tasks"])
    verdict: Verdict = words.verdict(claim.get("verdict"))
    return {
        "id": scope.text(claim.get("id")),
        "sentence": scope.text(claim.get("sentence")) or scope.text(claim.get("id")),
        "verdict": verdict,
        "reason": scope.text(claim.get("reason")) or _REASONS.get(str(claim.get("verdict")), ""),
        "needed": _needed(claim.get("seeds_needed")),
        "open": claim.get("verdict") in ("undecided", "not_robust"),
        "late": bool(claim.get("late")) or any(("warn", "added late") in r["notes"] for r in rest),
        "lead": rest[0] if rest else None,
        "others": rest[1:],
    }


def all_findings(findings: Record) -> list[Record]:
    """Comparisons and variance findings together, each once."""
    return [*mean_findings(findings), *variance_findings(findings)]


def mean_findings(findings: Record) -> list[Record]:
    """Every finding that is not about spread."""
    return [f for f in findings.get("findings") or [] if f.get("kind") != "variance"]


def variance_findings(findings: Record) -> list[Record]:
    """Every finding about spread, wherever the document lists it."""
    listed = [item for item in findings.get("variance") or [] if "source" not in item]
    known = {finding.get("id") for finding in listed}
    among = [f for f in findings.get("findings") or [] if f.get("kind") == "variance"]
    return listed + [finding for finding in among if finding.get("id") not in known]


def sources(findings: Record) -> list[Record]:
    """Where variance comes from: on each task, then over all tasks of each backbone."""
    over_tasks = [one for group in findings.get("over_tasks") or [] for one in group["variance"]]
    return [item for item in findings.get("variance") or [] if "source" in item] + over_tasks


def components(findings: Record) -> list[Row]:
    """A row for each source of variance; its interval stands where few levels allow no more."""
    found = sources(findings)
    panels = [_panel_of(item) for item in found]
    return [
        _component(item, scope.panel_title(panel, panels), scope.decimals(findings, panel.task))
        for item, panel in zip(found, panels, strict=True)
    ]


def _panel_of(item: Record) -> PanelKey:
    panel = scope.panel_key(item)
    return panel if panel.task else PanelKey("all tasks", panel.backbone)


def _component(item: Record, title: str, digits: int) -> Row:
    few = item.get("status") == "insufficient_n"
    interval = words.interval(item.get("ci_low"), item.get("ci_high"), digits)
    said = [] if few else notes(item)
    said += [("warn", "too few levels: an interval only")] if few else []
    said += [("quiet", "estimated below zero, shown as zero")] if item.get("clipped") else []
    return {
        "task": title,
        "source": SOURCES.get(str(item.get("source")), scope.text(item.get("source"))),
        "sd": interval if words.missing(item.get("sd")) else words.number(item["sd"], digits),
        "sd_raw": words.finite(item.get("sd")),
        "interval": interval,
        "share": words.percent(item.get("share")),
        "share_raw": words.finite(item.get("share")),
        "levels": words.count(item.get("levels")),
        "notes": said,
    }


def failures(frame: pd.DataFrame, findings: Record) -> list[Row]:
    """Every confirm trial without a result, from the findings and from the frame, each once."""
    lost = frame[frame["stage"].isin(CONFIRM_STAGES) & (frame["status"] != "finished")]
    labels = {scope.text(c.get("arm")): scope.arm_key(c).label for c in findings.get("cells") or []}
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for record in (*(findings.get("missing") or []), *scope.records(lost)):
        if record.get("stage", "confirm") in CONFIRM_STAGES:
            item = found.setdefault(_trial_of(record), {})
            item.update({k: v for k, v in record.items() if k not in item or not item[k]})
    for item in found.values():
        if not scope.text(item.get("label")):
            item["label"] = labels.get(scope.text(item.get("arm")), "")
    return [
        {
            "task": scope.text(item.get("task")),
            "label": scope.arm_key(item).label,
            "seed": words.setting(item.get("seed")),
            "state": words.state(item.get("status")),
            "reason": scope.text(item.get("reason")) or words.DASH,
            "trial": scope.text(item.get("trial_id"))[:12] or words.DASH,
        }
        for item in found.values()
    ]


def _trial_of(record: Record) -> tuple[str, ...]:
    """What tells one trial from another where only some records carry an id."""
    seed = words.finite(record.get("seed"))
    return scope.text(record.get("task")), scope.text(record.get("arm")), str(seed)


def entry(given: Any) -> str:
    """One line of the environment, whether given as text or as named values."""
    if isinstance(given, Mapping):
        return " · ".join(f"{name} {words.setting(value)}" for name, value in given.items())
    return str(given)
