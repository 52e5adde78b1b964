"""Every figure of the report, with its panels, in the order in which the page shows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ablate.report import canvas, scope
from ablate.report.figure_cells import cost_panel, spread_panel
from ablate.report.figure_gains import gains_panel
from ablate.report.figure_search import nuisances, search_panel
from ablate.report.figure_seeds import seeds_panel
from ablate.report.scope import ArmKey, PanelKey, Record


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing: its file name, its heading, and an `<svg>` element ready for a page."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One question to the data, as small multiples with a common heading."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...] = field(default=())


TITLES = {
    "gains": (
        "How large is each gain?",
        "Difference to the baseline with its interval. Right of the line is better for the "
        "treatment. A hollow mark is a comparison that the runs leave undecided.",
    ),
    "seeds": (
        "Every seed, nothing hidden",
        "One point per finished run; thin lines join runs of the same seed. The bar above the "
        "points is the mean with its interval.",
    ),
    "cost": (
        "What does a parameter buy?",
        "Mean score against trainable parameters. Up and to the left is better.",
    ),
    "spread": (
        "How much is luck?",
        "Standard deviation between seeds. Shorter is steadier; a cell with one seed has none.",
    ),
    "search": (
        "Was every arm tuned fairly?",
        "Each mark is one set of values tried during search, on the split that chose. Crosses at "
        "the foot are tries without a score; hollow marks were stopped early; a ring marks the "
        "value that was chosen.",
    ),
}


def draw(frame: pd.DataFrame, findings: Record, about: Record) -> tuple[Figure, ...]:
    """All figures that the data allow; a figure without a panel is left out.

    Args:
        frame: one row per trial, split and metric.
        findings: the findings document.
        about: the study's context; read for its splits.
    """
    cells: Sequence[Record] = findings.get("cells") or []
    looks = {key: canvas.look(place, key.label) for key, place in scope.arms(cells).items()}
    panels = scope.grouped(cells)
    runs = scope.primary_rows(frame, findings, about)
    asks = scope.search_rows(frame, findings, about)
    drawings: dict[str, Iterable[tuple[PanelKey, str, str]]] = {
        "gains": _gains(findings),
        "seeds": _each(panels, lambda at, name: seeds_panel(panels[at], _at(runs, at), looks, name)),
        "cost": _each(panels, lambda _, name: cost_panel(panels[_], looks, name)),
        "spread": _each(panels, lambda at, name: spread_panel(panels[at], looks, name)),
        "search": _search(panels, asks, looks),
    }
    with canvas.drawing():
        figures = [_figure(name, list(found)) for name, found in drawings.items()]
    return tuple(figure for figure in figures if figure.panels)


Drawn = Iterable[tuple[PanelKey, str, str]]


def _figure(name: str, found: list[tuple[PanelKey, str, str]]) -> Figure:
    """The figure of this name from its (panel, heading, drawing) triples."""
    title, caption = TITLES[name]
    keys = [key for key, _, _ in found]
    panels = tuple(
        Panel(
            name=slug(name, place, key),
            title=scope.panel_title(key, keys) + aside,
            svg=drawing,
        )
        for place, (key, aside, drawing) in enumerate(found)
    )
    return Figure(name=name, title=title, caption=caption, panels=panels)


def slug(figure: str, place: int, key: PanelKey) -> str:
    """A file name and id that no label can turn into something else."""
    safe = re.sub(r"[^a-z0-9]+", "-", key.task.lower()).strip("-")[:40]
    return "-".join(part for part in (figure, str(place + 1), safe) if part)


def _at(rows: pd.DataFrame, panel: PanelKey) -> list[dict[str, Any]]:
    """The rows of one task on one backbone."""
    if rows.empty:
        return []
    found = rows[rows["task"] == panel.task]
    if panel.backbone and "backbone" in found.columns:
        found = found[found["backbone"] == panel.backbone]
    return scope.records(found)


def _each(panels: Iterable[PanelKey], make: Callable[[PanelKey, str], str]) -> Drawn:
    """One drawing per task and backbone; an empty drawing is left out."""
    place = 0
    for key in panels:
        if drawing := make(key, ""):
            yield key, "", drawing
            place += 1


def _gains(findings: Record) -> Drawn:
    yield from ()


def _search(panels: Any, asks: pd.DataFrame, looks: Mapping[ArmKey, canvas.Look]) -> Drawn:
    yield from ()
