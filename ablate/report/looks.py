"""The looks of a race as rows of text: what each one showed, and what followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablate.report import rows, scope, words
from ablate.report.rows import Extent, Row
from ablate.report.scope import Record

_THEN = {
    "decided": "decided: no more seeds",
    "futile": "more seeds would hardly decide it",
    "undecided": "the last look",
}


def table(findings: Record) -> list[Row]:
    """A row for each look of each question that the race was about.

    Those are the registered findings, or all where none was registered.
    """
    found = [finding for finding in rows.all_findings(findings) if finding.get("looks")]
    asked = [finding for finding in found if finding.get("confirmatory")] or found
    panels = [scope.finding_panel(finding) for finding in asked]
    return [row for finding in asked for row in _rows(finding, findings, panels)]


def _rows(finding: Record, findings: Record, panels: Sequence[scope.PanelKey]) -> Iterator[Row]:
    panel = scope.finding_panel(finding)
    digits = scope.decimals(findings, panel.task)
    looks: Sequence[Record] = finding["looks"]
    within = rows.extent(looks, "estimate", zero=True)
    then = _THEN.get(scope.text(finding.get("stopped")), "goes on")
    for look in looks:
        is_last = look is looks[-1]
        verdict = words.verdict(finding.get("verdict")) if is_last else None
        yield {
            "task": scope.panel_title(panel, panels),
            "treatment": scope.arm_key(finding.get("treatment") or {}).label or words.DASH,
            "control": scope.arm_key(finding.get("control") or {}).label or words.DASH,
            **_shown(look, within, digits),
            "then": then if is_last else "goes on",
            "verdict": verdict,
            "tone": "" if verdict is None else verdict.tone,
        }


def _shown(look: Record, within: Extent, digits: int) -> Row:
    lost = (words.finite(look.get("num_seeds")) or 0) - (words.finite(look.get("n")) or 0)
    return {
        "n": words.count(look.get("n")),
        "lost": words.count(lost) if lost else "",
        "estimate": words.number(look.get("estimate"), digits, signed=True),
        "interval": words.interval(look.get("ci_low"), look.get("ci_high"), digits, signed=True),
        "bar": rows.bar(look, "estimate", within, zero=True),
        "p": words.p_value(look.get("p_sequential")),
    }
