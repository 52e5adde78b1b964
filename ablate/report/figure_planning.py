"""Power curves: the chance to see what was assumed, against the number of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from matplotlib.axes import Axes

from ablate.report import canvas
from ablate.report.canvas import MUTED
from ablate.report.pdf import pdf
from ablate.report.svgtext import standalone, svg

_PLOT = 250


class Assumed(Protocol):
    """What the curves rest on (see `ablate.stats.planning.Assumptions`)."""

    @property
    def effect(self) -> float:
        """True mean difference."""

    @property
    def ratio(self) -> float:
        """Of the two arms' sds."""

    @property
    def margin(self) -> float:
        """Of equivalence."""

    @property
    def target(self) -> float:
        """Wanted power."""


class Point(Protocol):
    """The chances at one number of seeds."""

    @property
    def seeds(self) -> int:
        """In each arm."""

    @property
    def power_of_effect(self) -> float:
        """To see the mean difference."""

    @property
    def power_of_ratio(self) -> float:
        """To see the ratio of sds."""

    @property
    def power_of_margin(self) -> float:
        """To find equivalence."""


def write(assumed: Assumed, points: Sequence[Point], path: Path) -> None:
    """Write the figure as a PDF, or as an SVG that follows the reader's light or dark theme."""
    with canvas.drawing():
        ax = draw(assumed, points)
        made = standalone(svg(ax, "power", "Power against seeds")).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pdf(ax) if path.suffix == ".pdf" else made)


def draw(assumed: Assumed, points: Sequence[Point]) -> Axes:
    """One curve a question; the level line is the wanted power."""
    curves = (
        (f"mean difference of {assumed.effect:.4g}", [p.power_of_effect for p in points]),
        (f"ratio of sds of {assumed.ratio:g}", [p.power_of_ratio for p in points]),
        (f"equivalence within ±{assumed.margin:.4g}", [p.power_of_margin for p in points]),
    )
    below = 62 + 17 * len(curves)
    ax = canvas.axes(_PLOT + below + 26, top=26, bottom=below, left=48)
    ax.axhline(assumed.target, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    looks = [canvas.look(place, label) for place, (label, _) in enumerate(curves)]
    seeds = [point.seeds for point in points]
    for look, (_, chances) in zip(looks, curves, strict=True):
        ax.plot(seeds, chances, color=look.colour, linewidth=2, zorder=2)
        ax.plot(seeds[::6], chances[::6], look.marker, color=look.colour, markersize=6, zorder=3,
                linestyle="none")  # fmt: skip
    ax.set_ylim(-0.02, 1.02)
    canvas.name_axis(ax, "paired seeds")
    canvas.name_height(ax, "power")
    canvas.legend(ax, looks, plot=_PLOT)
    return ax
