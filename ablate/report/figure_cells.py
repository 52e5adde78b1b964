"""Cells side by side: score against trainable parameters, and the spread between seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from ablate.fronts import fronts
from ablate.report import canvas, words
from ablate.report.canvas import MUTED, Drawing
from ablate.report.scope import ArmKey, Record, Source, arm_key, at_panel, direction, metric_of

_PLOT = 250  # height of the plot itself, in units of the viewBox


def cost_panels(source: Source) -> Iterator[Drawing]:
    """Score against parameters; one panel per task whose cells know both."""
    for panel, cells in source.panels.items():
        known = [
            cell
            for cell in cells
            if words.finite(cell.get("mean")) is not None
            and (words.finite(cell.get("trainable_parameters")) or 0) > 0
        ]
        if len(known) > 1:
            metric = metric_of(source.findings, panel.task) or "score"
            alt = f"Mean {metric} on {panel.task} against trainable parameters"
            way = direction(at_panel(source.runs, panel))
            yield Drawing(panel, "", _cost(known, source.arms, metric, way), alt)


def _cost(cells: Sequence[Record], arms: Mapping[ArmKey, int], metric: str, way: str) -> Axes:
    below = 62 + 17 * len(cells)
    ax = canvas.axes(_PLOT + below + 26, top=26, bottom=below, left=48)
    for cell in cells:
        look = canvas.look(arms[arm_key(cell)], "")
        x = float(cell["trainable_parameters"])
        low, high = words.finite(cell.get("ci_low")), words.finite(cell.get("ci_high"))
        if low is not None and high is not None:
            ax.plot([x, x], [low, high], color=look.colour, linewidth=2.6, alpha=0.5, zorder=2)
        ax.plot([x], [cell["mean"]], look.marker, color=look.colour, markersize=8, zorder=3)
    front = _front(cells, higher=not way.startswith("lower"))
    steps = [(float(cell["trainable_parameters"]), float(cell["mean"])) for cell in front]
    ax.plot(*zip(*steps, strict=True), color=MUTED, linewidth=1.2, linestyle="--", zorder=1)
    ax.set_xscale("log")
    ax.margins(x=0.12, y=0.08)
    _parameter_ticks(ax)
    canvas.name_axis(ax, "trainable parameters, log scale")
    canvas.name_height(ax, f"{metric}{f'  ·  {way}' if way else ''}")
    best = {arm_key(cell) for cell in front}
    keys = [arm_key(cell) for cell in cells]
    looks = [canvas.look(arms[key], f"{key.label} ★" if key in best else key.label) for key in keys]
    canvas.legend(ax, looks, plot=_PLOT)
    return ax


def _front(cells: Sequence[Record], *, higher: bool) -> list[Record]:
    """The cells that no other beats by its mean with as few parameters, fewest first."""
    scores = {
        place: (float(cell["trainable_parameters"]), float(cell["mean"]))
        for place, cell in enumerate(cells)
    }
    front = fronts(scores, (False, higher))[0]
    return [cells[place] for place in sorted(front, key=scores.__getitem__)]


def _parameter_ticks(ax: Axes) -> None:
    """Ticks at 1, 2 and 5 of each power of ten where the range is short, as `200k`, `1M`."""
    low, high = ax.get_xlim()
    subs = (1.0,) if high / low > 300 else (1.0, 3.0) if high / low > 20 else (1.0, 2.0, 5.0)
    ax.xaxis.set_major_locator(LogLocator(base=10, subs=subs))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))


def short_count(value: float) -> str:
    """A number of parameters in thousands, millions or billions."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def spread_panels(source: Source) -> Iterator[Drawing]:
    """Standard deviation between seeds; one panel per task with a cell that has one."""
    for panel, cells in source.panels.items():
        if any(not words.missing(cell.get("sd")) for cell in cells):
            alt = f"Standard deviation between seeds on {panel.task}, by arm"
            yield Drawing(panel, "", _spread(cells, source.arms), alt)


def _spread(cells: Sequence[Record], arms: Mapping[ArmKey, int]) -> Axes:
    ax = canvas.row_axes(len(cells), row=40, left=18)
    decimals = words.decimals_for([cell.get("mean") for cell in cells])
    for place, cell in enumerate(cells):
        look = canvas.look(arms[arm_key(cell)], arm_key(cell).label)
        sd = words.finite(cell.get("sd"))
        aside = f"{words.number(sd, decimals)} · n {words.count(cell.get('n'))}"
        canvas.row_label(ax, place, look.label, aside)
        if sd is not None:
            ax.plot([0, sd], [place, place], color=look.colour, linewidth=3, alpha=0.45, zorder=2)
            ax.plot([sd], [place], look.marker, color=look.colour, markersize=8, zorder=3)
    ax.axvline(0, color=MUTED, linewidth=1.2, zorder=1)
    ax.set_xlim(left=0)
    ax.margins(x=0.06)
    canvas.name_axis(ax, "standard deviation between seeds")
    return ax
