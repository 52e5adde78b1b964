"""What belongs to what: the arms and panels of a study, and the rows of a frame behind each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from ablate.frame import CONFIRM_STAGES
from ablate.report.words import decimals_for, finite, missing

Record = Mapping[str, Any]


class ArmKey(NamedTuple):
    """An arm with its factors settled, as cells, findings and rows of the frame name it."""

    arm: str
    label: str


class PanelKey(NamedTuple):
    """A task on a backbone: what shares one picture. The backbone is empty where it is unknown."""

    task: str
    backbone: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """What figures are drawn from.

    Attributes:
        findings: the findings document.
        panels: its cells by task and backbone.
        arms: every arm and its place in the study.
        runs: confirm rows on the split and metric that report.
        asks: search rows on the split and metric that chose.
    """

    findings: Record
    panels: Mapping[PanelKey, Sequence[Record]]
    arms: Mapping[ArmKey, int]
    runs: pd.DataFrame
    asks: pd.DataFrame


def source(frame: pd.DataFrame, findings: Record, about: Record) -> Source:
    """Arrange a frame and its findings by panel and arm."""
    cells = findings.get("cells") or []
    return Source(
        findings=findings,
        panels=grouped(cells),
        arms=arms(cells),
        runs=primary_rows(frame, findings, about),
        asks=search_rows(frame, findings, about),
    )


def at_panel(rows: pd.DataFrame, panel: PanelKey) -> pd.DataFrame:
    """The rows of one task on one backbone."""
    if rows.empty:
        return rows
    found = rows[rows["task"] == panel.task]
    if panel.backbone and "backbone" in found.columns:
        found = found[found["backbone"] == panel.backbone]
    return found


def direction(rows: pd.DataFrame) -> str:
    """Which way is better, as the rows say; empty where they do not."""
    named = rows["direction"].dropna().unique() if "direction" in rows.columns else ()
    for way in (str(name).lower() for name in named):
        if way:
            low = way.startswith(("min", "low", "down", "-"))
            return "lower is better" if low else "higher is better"
    return ""


def text(value: Any) -> str:
    """The value as text; empty when it is missing."""
    return "" if missing(value) else str(value)


def arm_key(record: Record) -> ArmKey:
    """The arm that a cell, a row, or one side of a finding is about."""
    label = text(record.get("label")) or text(record.get("arm"))
    return ArmKey(text(record.get("arm")) or label, label)


def panel_key(record: Record) -> PanelKey:
    """The task and backbone that a cell or a row is about."""
    return PanelKey(text(record.get("task")), text(record.get("backbone")))


def finding_panel(finding: Record) -> PanelKey:
    """The task and backbone that a finding is about; "all tasks" where it spans them."""
    backbone = finding.get("backbone") or (finding.get("treatment") or {}).get("backbone")
    return PanelKey(text(finding.get("task")) or "all tasks", text(backbone))


def arms(cells: Iterable[Record]) -> dict[ArmKey, int]:
    """Every arm and its place, in the order in which the study names them."""
    return {key: place for place, key in enumerate(dict.fromkeys(arm_key(c) for c in cells))}


def grouped(cells: Iterable[Record]) -> dict[PanelKey, list[Record]]:
    """Cells by panel, in order of appearance."""
    panels: dict[PanelKey, list[Record]] = {}
    for cell in cells:
        panels.setdefault(panel_key(cell), []).append(cell)
    return panels


def panel_title(panel: PanelKey, panels: Iterable[PanelKey]) -> str:
    """The task, with the backbone where the panels have more than one."""
    backbones = {each.backbone for each in panels if each.backbone}
    return f"{panel.task} · {panel.backbone}" if len(backbones) > 1 else panel.task


def of_task(setting: Any, task: str) -> Any:
    """A study-wide setting, or that of one task where tasks differ."""
    return setting.get(task) if isinstance(setting, Mapping) else setting


def split_of(findings: Record, about: Record, task: str, role: str) -> str:
    """The split that chose (`search`) or that reports (`report`) for a task; empty if unknown."""
    own = _of_cells(findings, task, "split") if role == "report" else ""
    if own:
        return own
    for source in (findings.get("split"), about.get("splits")):
        named = of_task(source, task) if not _has_roles(source) else source
        if isinstance(named, Mapping):
            named = of_task(named.get(role), task)
        elif role == "search":
            named = None
        if isinstance(named, str) and named not in ("", "mixed"):
            return named
    return ""


def _has_roles(source: Any) -> bool:
    return isinstance(source, Mapping) and bool({"search", "report"} & set(source))


def metric_of(findings: Record, task: str) -> str:
    """The metric that the findings on a task are about; empty if unknown."""
    named = _of_cells(findings, task, "metric") or text(of_task(findings.get("metric"), task))
    return "" if named == "mixed" else named


def level(findings: Record) -> str:
    """The confidence of the document's intervals, as `95 %`; empty if unknown."""
    known = finite(findings.get("level"))
    return "" if known is None else f"{known * 100:g} %"


def _of_cells(findings: Record, task: str, field: str) -> str:
    """What the cells of a task say of themselves, where they agree; else empty."""
    cells: Sequence[Record] = findings.get("cells") or []
    named = {text(cell.get(field)) for cell in cells if text(cell.get("task")) == task}
    return named.pop() if len(named) == 1 else ""


def primary_rows(frame: pd.DataFrame, findings: Record, about: Record) -> pd.DataFrame:
    """Rows of confirm stages on the reported split and metric, whatever became of the trial."""
    return _rows(frame, findings, about, stages=CONFIRM_STAGES, role="report")


def search_rows(frame: pd.DataFrame, findings: Record, about: Record) -> pd.DataFrame:
    """Rows of the search stage on the split and metric that chose."""
    return _rows(frame, findings, about, stages=("search",), role="search")


def _rows(
    frame: pd.DataFrame, findings: Record, about: Record, *, stages: Sequence[str], role: str
) -> pd.DataFrame:
    if "stage" in frame.columns:
        frame = frame[frame["stage"].isin(stages)]
    parts = [
        _of_panel(part, findings, about, str(task), role)
        for task, part in frame.groupby("task", sort=False)
    ]
    return pd.concat(parts) if parts else frame


def _of_panel(
    part: pd.DataFrame, findings: Record, about: Record, task: str, role: str
) -> pd.DataFrame:
    """One task's rows on its own split and metric; rows without either stay (failed trials)."""
    for column, wanted in (
        ("split", split_of(findings, about, task, role)),
        ("metric", metric_of(findings, task)),
    ):
        # A split may be named in words that the frame does not use ("a tenth of train").
        if wanted and column in part.columns and (part[column] == wanted).any():
            part = part[(part[column] == wanted) | part[column].isna()]
    if not metric_of(findings, task) and "primary" in part.columns:
        part = part[part["primary"].astype("boolean").fillna(True)]
    return part


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries of plain values."""
    found = rows.astype(object).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in found]


def lookup(cells: Sequence[Record], panel: PanelKey, side: Record | None) -> Record:
    """The cell of one side of a finding; empty where the side is an average of cells."""
    key = arm_key(side or {})
    for cell in cells:
        same_task = text(cell.get("task")) == panel.task
        if same_task and arm_key(cell) == key and panel.backbone in ("", panel_key(cell).backbone):
            return cell
    return {}


def asked_decimals(findings: Record) -> int | None:
    """Decimals that the study asks for; None where it leaves them to the size of its scores."""
    asked = finite(findings.get("digits"))
    return None if asked is None else int(asked)


def decimals(findings: Record, task: str) -> int:
    """Decimals for the scores and differences of one task, or of all tasks where it has no cell.

    Those that the study asks for, else what suits their size.
    """
    asked = asked_decimals(findings)
    if asked is not None:
        return asked
    cells: Sequence[Record] = findings.get("cells") or []
    own = [cell.get("mean") for cell in cells if text(cell.get("task")) == task]
    means = own or [cell.get("mean") for cell in cells]
    gaps = [
        finding.get("estimate")
        for finding in findings.get("findings") or []
        if finding_panel(finding).task == task
    ]
    return min(decimals_for(means), decimals_for(gaps))
