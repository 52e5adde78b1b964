"""Rows on the noise of the evaluation set: does a gain rest on the seeds or on the examples?"""

from __future__ import annotations

from typing import Any

from ablate.report import rows, scope, words
from ablate.report.scope import Record


def table(findings: Record) -> list[dict[str, Any]]:
    """A row for each comparison whose per-example predictions are stored."""
    found = [f for f in rows.mean_findings(findings) if f.get("examples")]
    panels = [scope.finding_panel(finding) for finding in found]
    made = []
    for finding, panel in zip(found, panels, strict=True):
        seen: Record = finding["examples"]
        digits = scope.decimals(findings, panel.task)
        within = rows.extent([finding, seen], "estimate", zero=True)
        made.append(
            {
                "task": scope.panel_title(panel, panels),
                "treatment": scope.arm_key(finding.get("treatment") or {}).label or words.DASH,
                "control": scope.arm_key(finding.get("control") or {}).label or words.DASH,
                "estimate": words.number(seen.get("estimate"), digits, signed=True),
                "raw": words.finite(seen.get("estimate")),
                "interval": words.interval(
                    seen.get("ci_low"), seen.get("ci_high"), digits, signed=True
                ),
                "bar": rows.bar(seen, "estimate", within, zero=True),
                "seeds_only": words.interval(
                    finding.get("ci_low"), finding.get("ci_high"), digits, signed=True
                ),
                "error_seeds": words.number(seen.get("error_seeds"), digits),
                "error_seeds_raw": words.finite(seen.get("error_seeds")),
                "error_examples": words.number(seen.get("error_examples"), digits),
                "error_examples_raw": words.finite(seen.get("error_examples")),
                "examples": words.count(seen.get("num_examples")),
                "n": words.count(seen.get("num_seeds")),
                "by_seed": _by_seed(seen.get("p_by_seed") or []),
                "notes": rows.notes({"status": seen.get("status")}),
            }
        )
    return made


def _by_seed(found: list[Any]) -> str:
    """McNemar's p at each seed: the least and the greatest."""
    known = [p for p in (words.finite(value) for value in found) if p is not None]
    if not known:
        return words.DASH
    ends = dict.fromkeys(words.p_value(end) for end in (min(known), max(known)))
    return " to ".join(ends)
