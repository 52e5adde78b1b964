"""Search: what each try scored against the value that it tried, one panel per task and nuisance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Affine2D

from ablate.frame import NUISANCE_PREFIX
from ablate.report import canvas, words
from ablate.report.canvas import INK, SURFACE, Drawing
from ablate.report.scope import ArmKey, Record, Source, arm_key, at_panel, metric_of, records, text

_PLOT = 250


def panels(source: Source) -> Iterator[Drawing]:
    """One panel per task, backbone and tuned value that search varied."""
    names = [str(name) for name in source.asks.columns if str(name).startswith(NUISANCE_PREFIX)]
    for panel, cells in source.panels.items():
        rows = records(at_panel(source.asks, panel))
        for name in names:
            tried = [row for row in rows if not words.missing(row.get(name))]
            if len({text(row[name]) for row in tried}) > 1:
                short = name.removeprefix(NUISANCE_PREFIX)
                metric = metric_of(source.findings, panel.task) or "score"
                alt = f"{metric} of each try on {panel.task} against {short}, by arm"
                ax = _panel(cells, tried, source.arms, name, metric)
                yield Drawing(panel, f" · {short}", ax, alt)


def _panel(
    cells: Sequence[Record],
    rows: Sequence[Record],
    arms: Mapping[ArmKey, int],
    name: str,
    metric: str,
) -> Axes:
    tried = [cell for cell in cells if any(arm_key(row) == arm_key(cell) for row in rows)]
    below = 62 + 17 * len(tried)
    ax = canvas.axes(_PLOT + below + 26, top=26, bottom=below, left=48)
    positions = _scale(ax, [row[name] for row in rows])
    for place, cell in enumerate(tried):
        look = canvas.look(arms[arm_key(cell)], arm_key(cell).label)
        for row in rows:
            if arm_key(row) == arm_key(cell):
                _mark(ax, positions[text(row[name])], row, look, 5 * (place - (len(tried) - 1) / 2))
        _chosen(ax, positions, cell, rows, name)
    ax.margins(y=0.1)
    canvas.name_axis(ax, name.removeprefix(NUISANCE_PREFIX))
    canvas.name_height(ax, f"{metric} during search")
    looks = [canvas.look(arms[arm_key(cell)], arm_key(cell).label) for cell in tried]
    canvas.legend(ax, looks, plot=_PLOT)
    return ax


def _scale(ax: Axes, values: Sequence[Any]) -> dict[str, float]:
    """Where each value lies: a log scale for wide positive ranges, places for what is no number."""
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        names = sorted({text(value) for value in values})
        ax.set_xticks(range(len(names)), [canvas.shortened(name, 14) for name in names])
        ax.set_xlim(-0.5, len(names) - 0.5)
        return {name: float(place) for place, name in enumerate(names)}
    numbers = {text(value): float(value) for value in values}
    low, high = min(numbers.values()), max(numbers.values())
    if low > 0 and high / low > 8:
        ax.set_xscale("log")
        room = (high / low) ** 0.07
        ax.set_xlim(low / room, high * room)
        ax.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 3)))
        ax.xaxis.set_major_formatter(lambda value, _: words.scientific(float(value)))
    else:
        room = 0.07 * (high - low)
        ax.set_xlim(low - room, high + room)
        ax.xaxis.set_major_formatter(lambda value, _: words.setting(float(value)))
    return numbers


def _mark(ax: Axes, x: float, row: Record, look: canvas.Look, shift: float) -> None:
    """One try: filled when finished, hollow when stopped early, a cross when it failed.

    What has no score is marked at the foot, moved aside by `shift` to lie beside its like.
    """
    style: dict[str, Any] = {"color": look.colour, "markersize": 7, "zorder": 3}
    marker = look.marker if row.get("status") in ("finished", "pruned") else "x"
    fill = look.colour if row.get("status") == "finished" else SURFACE
    score = words.finite(row.get("score"))
    if score is None:
        # The canvas has 72 units an inch and so has the drawing, whatever its resolution.
        style["transform"] = ax.get_xaxis_transform() + Affine2D().translate(shift, 0)
    height = 0.025 if score is None else score
    ax.plot([x], [height], marker, markerfacecolor=fill, markeredgewidth=1.5, **style)


def _chosen(
    ax: Axes, positions: Mapping[str, float], cell: Record, rows: Sequence[Record], name: str
) -> None:
    """A ring around the finished tries at the value that was chosen for this cell."""
    best = cell.get("best_values") or {}
    value = best.get(name, best.get(name.removeprefix(NUISANCE_PREFIX)))
    for row in rows:
        same = arm_key(row) == arm_key(cell) and text(row[name]) == text(value)
        if same and not words.missing(row.get("score")) and row.get("status") == "finished":
            ax.plot(
                [positions[text(row[name])]], [row["score"]], "o", markersize=14,
                markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.3, zorder=4,
            )  # fmt: skip
