"""Everything that the page says, arranged for the template; text only, no statistic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ablate.frame import FAILED_STATUSES
from ablate.report import (
    beside,
    caveats,
    checklist,
    examples,
    looks,
    luck,
    methods,
    over_tasks,
    rows,
    scope,
    tables,
    tuning,
    words,
)
from ablate.report.figures import Figure
from ablate.report.scope import Record


def page(
    frame: pd.DataFrame, findings: Record, about: Record, figures: Sequence[Figure]
) -> dict[str, Any]:
    """The template's variables.

    Args:
        frame: one row per trial, split and metric.
        findings: the findings document.
        about: the study's context (see `render.write`).
        figures: what `figures.draw` drew.
    """
    compared = rows.comparisons(rows.mean_findings(findings), findings)
    return {
        "study": scope.text(about.get("study")) or "study",
        "question": scope.text(about.get("question")),
        "generated_at": scope.text(about.get("generated_at") or about.get("generated")),
        "version": scope.text(about.get("version")),
        "mlflow": scope.text(about.get("mlflow") or about.get("mlflow_uri")),
        "level": scope.level(findings),
        "facts": _facts(frame, findings, about),
        "claims": rows.claims(findings),
        "tally": _tally([row for row in compared if row["aside"] != words.KINDS["interaction"]]),
        "caveats": caveats.caveats(frame, findings, about),
        "comparisons": compared,
        "unit": _common(row["unit"] for row in compared),
        "looks": looks.table(findings),
        "variance": rows.comparisons(rows.variance_findings(findings), findings),
        "components": rows.components(findings),
        "luck": luck.table(findings),
        "luck_said": luck.sentences(findings),
        "cells": rows.cells(findings),
        "beside": beside.scores(findings),
        "averages": beside.averages(findings),
        "over_tasks": over_tasks.groups(findings),
        "examples": examples.table(findings),
        "tuning": tuning.rows(findings),
        "importance": tuning.importance(findings),
        "tuning_warnings": tuning.warnings(findings),
        "common_asks": words.plural(tuning.common(findings), "ask"),
        "failures": rows.failures(frame, findings),
        "pruned": _num_asks(frame, ("pruned",)),
        "failed_asks": _num_asks(frame, sorted(FAILED_STATUSES)),
        "revisions": [_revision(revision) for revision in about.get("revisions") or []],
        "late": _late(findings),
        "methods": methods.paragraphs(findings, about),
        "checklist": checklist.answers(frame, findings, about),
        "environment": [rows.entry(entry) for entry in about.get("environment") or []],
        "glossary": words.GLOSSARY,
        "figures": figures,
        "dash": words.DASH,
    }


def csv_files(findings: Record) -> dict[str, str]:
    """The tables of the page as CSV text, by file name."""
    return {
        "cells": tables.cells_csv(findings.get("cells") or []),
        "comparisons": tables.findings_csv(rows.mean_findings(findings)),
        "variance": tables.findings_csv(rows.variance_findings(findings)),
        "beside": tables.text(findings.get("beside") or [], ()),
        "averages": tables.text(findings.get("averages") or [], ()),
        "components": tables.text(rows.sources(findings), ()),
        "luck": tables.text(luck.sources(findings), ()),
        "over_tasks": tables.over_tasks_csv(findings.get("over_tasks") or []),
        "pairs": tables.pairs_csv(findings.get("over_tasks") or []),
    }


def _facts(frame: pd.DataFrame, findings: Record, about: Record) -> list[tuple[str, str]]:
    """The size of the study in a few (name, value) pairs."""
    cells: Sequence[Record] = findings.get("cells") or []
    tasks = list(dict.fromkeys(scope.text(cell.get("task")) for cell in cells))
    backbones = list(dict.fromkeys(t for c in cells if (t := scope.text(c.get("backbone")))))
    runs = caveats.confirm_runs(frame)
    finished = int((runs["status"] == "finished").sum())
    shown = dict.fromkeys(scope.split_of(findings, about, task, "report") for task in tasks)
    pairs = [
        ("Backbone", words.listed(backbones)),
        ("Tasks" if len(tasks) > 1 else "Task", _few(tasks)),
        ("Arms", f"{len(scope.arms(cells))}"),
        ("Seeds", f"{runs['seed'].nunique()}"),
        ("Finished runs", f"{finished:,} of {len(runs):,}"),
        ("Reported on", words.listed(filter(None, shown))),
        ("Spent", scope.text(about.get("spent"))),
    ]
    return [(name, value) for name, value in pairs if value]


def _common(units: Iterable[str]) -> str:
    """The unit that all rows share; empty when they differ."""
    found = set(units)
    return found.pop() if len(found) == 1 else ""


def _few(names: Sequence[str]) -> str:
    return words.listed(names) if len(names) <= 4 else str(len(names))


def _tally(compared: Sequence[Mapping[str, Any]]) -> list[tuple[words.Verdict, int]]:
    """How many comparisons ended in each verdict, the most frequent first."""
    return Counter(row["verdict"] for row in compared).most_common()


def _num_asks(frame: pd.DataFrame, states: Sequence[str]) -> int:
    """Search trials that ended in one of these states."""
    found = frame[(frame["stage"] == "search") & frame["status"].isin(states)]
    return int(found["trial_id"].nunique()) if "trial_id" in found.columns else len(found)


def _revision(revision: Record) -> dict[str, Any]:
    return {
        "number": scope.text(revision.get("revision")),
        "when": scope.text(revision.get("when")),
        "added": [str(text) for text in revision.get("added") or []],
        "late": bool(revision.get("after_results")),
    }


def _late(findings: Record) -> list[str]:
    """Cells that were added after results were seen."""
    cells = [cell for cell in findings.get("cells") or [] if cell.get("late")]
    return [f"{scope.arm_key(cell).label} on {scope.text(cell.get('task'))}" for cell in cells]
