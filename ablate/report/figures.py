"""Every figure of the report, with its panels, in the order in which the page shows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.axes import Axes

from ablate.report import (
    canvas,
    figure_cells,
    figure_components,
    figure_curves,
    figure_gains,
    figure_grid,
    figure_lattice,
    figure_power,
    figure_ranking,
    figure_search,
    figure_seeds,
)
from ablate.report.canvas import Drawing
from ablate.report.scope import PanelKey, Record, Source, panel_title, source
from ablate.report.svgtext import svg


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing: its file name, its heading, an `<svg>` element for a page, and its axes."""

    name: str
    title: str
    svg: str
    ax: Axes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One question to the data, as small multiples with a common heading."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]


_FIGURES: Mapping[str, tuple[Callable[[Source], Iterator[Drawing]], str, str]] = {
    "gains": (
        figure_gains.panels,
        "How large is each gain?",
        "Difference with its interval; right of the line favours the treatment. A filled mark is "
        "decided, a hollow mark is one that the runs leave undecided.",
    ),
    "seeds": (
        figure_seeds.panels,
        "Every seed, nothing hidden",
        "One mark per finished run; thin lines join the runs of one seed (up to "
        f"{figure_seeds.MOST_LINES} seeds; beyond, a tick per run). The bar above the marks is the "
        "mean with its interval.",
    ),
    "cost": (
        figure_cells.cost_panels,
        "What does a parameter buy?",
        "Mean score with its interval against the number of trainable parameters. The line joins "
        "arms that no other beats with as few parameters, which the key marks with a star.",
    ),
    "spread": (
        figure_cells.spread_panels,
        "How much is luck?",
        "Standard deviation between seeds. Shorter is steadier; a cell with one seed has none.",
    ),
    "components": (
        figure_components.panels,
        "Where does luck come from?",
        "The spread of all scores that goes with the arm, with the seed that arms share, and with "
        "neither, each with its share of the variance. Grey bars rest on too few arms or seeds.",
    ),
    "power": (
        figure_power.panels,
        "What could these seeds find?",
        "The smallest true difference that would be found with a chance of 80 % at the strictest "
        "level of its family, as seeds grow, were the spread what it was. The hollow mark is where "
        "the study stands.",
    ),
    "ranking": (
        figure_ranking.rank_panels,
        "Which arm leads over all tasks?",
        "Mean rank over tasks. A bar at the left joins arms that Nemenyi's test does not tell "
        "apart: their ranks differ by less than the critical difference.",
    ),
    "profiles": (
        figure_ranking.profile_panels,
        "How often is a score reached?",
        "Share of an arm's runs beyond each score, averaged over tasks. A curve that lies above "
        "another everywhere is better whatever score one asks for.",
    ),
    "curves": (
        figure_curves.score_panels,
        "How did training go?",
        "Mean score over the seeds that confirm, on the split that chooses; the band reaches from "
        "the lowest seed to the highest. Where a figure has more than eight arms, bands are left "
        "out.",
    ),
    "growth": (
        figure_curves.growth_panels,
        "What changed along the way?",
        "What a method reports of itself as it trains, such as the ranks of all its updates "
        "together: the mean over seeds, the band from the lowest to the highest.",
    ),
    "grid": (
        figure_grid.panels,
        "Does one factor depend on another?",
        "Mean and standard deviation where two factors cross; the stronger the shade, the higher "
        "the mean. Below it the test of whether the one factor's effect depends on the other.",
    ),
    "lattice": (
        figure_lattice.panels,
        "Which combination?",
        "One box per combination of parts, its filled squares the parts that it names, with its "
        "mean and standard deviation between seeds; lines join combinations that differ by one "
        "part. The stronger the shade, the higher the mean.",
    ),
    "search": (
        figure_search.panels,
        "Was every arm tuned fairly?",
        "Each mark is one try during search, scored on the split that chose. Hollow marks were "
        "stopped early, crosses failed (at the foot where they left no score), a ring marks the "
        "value that was chosen.",
    ),
}
NAMES = tuple(_FIGURES)


def draw(frame: pd.DataFrame, findings: Record, about: Record) -> tuple[Figure, ...]:
    """All figures that the data allow; a figure without a panel is left out.

    Args:
        frame: one row per trial, split and metric.
        findings: the findings document.
        about: the study's context; read for its splits.
    """
    given = source(frame, findings, about)
    with canvas.drawing():
        figures = [
            Figure(
                name=name,
                title=title,
                caption=caption,
                panels=_panels(name, list(panels(given))),
            )
            for name, (panels, title, caption) in _FIGURES.items()
        ]
    return tuple(figure for figure in figures if figure.panels)


def _panels(figure: str, drawings: list[Drawing]) -> tuple[Panel, ...]:
    """The drawings of one figure, named."""
    keys = [drawing.panel for drawing in drawings]
    panels = []
    for place, drawing in enumerate(drawings):
        name = slug(figure, place, drawing.panel)
        title = panel_title(drawing.panel, keys) + drawing.aside
        element = svg(drawing.ax, name, drawing.alt)
        panels.append(Panel(name=name, title=title, svg=element, ax=drawing.ax))
    return tuple(panels)


def slug(figure: str, place: int, panel: PanelKey) -> str:
    """A file name and id that no label can turn into something else."""
    safe = re.sub(r"[^a-z0-9]+", "-", panel.task.lower()).strip("-")[:40].strip("-")
    return "-".join(part for part in (figure, str(place + 1), safe) if part)
