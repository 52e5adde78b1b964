"""Search: what each try scored against the value that it tried, one panel per task and nuisance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from ablate.frame import NUISANCE_PREFIX
from ablate.report import canvas, words
from ablate.report.canvas import INK, SURFACE, Drawing
from ablate.report.scope import ArmKey, Record, Source, arm_key, at_panel, metric_of, text

_PLOT = 250


def panels(source: Source) -> Iterator[Drawing]:
    """One panel per task, backbone and tuned value that search varied."""
    names = [str(name) for name in source.asks.columns if str(name).startswith(NUISANCE_PREFIX)]
    for panel, cells in source.panels.items():
        rows = at_panel(source.asks, panel)
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
    for cell in tried:
        look = canvas.look(arms[arm_key(cell)], arm_key(cell).label)
        for row in rows:
            if arm_key(row) == arm_key(cell):
                _mark(ax, positions[text(row[name])], row, look)
        _chosen(ax, positions, cell, rows, name)
    ax.margins(x=0.06, y=0.1)
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
        return {name: float(place) for place, name in enumerate(names)}
    numbers = {text(value): float(value) for value in values}
    low, high = min(numbers.values()), max(numbers.values())
    if low > 0 and high / low > 8:
        ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: words.setting(float(value)))
    return numbers


def _mark(ax: Axes, x: float, row: Record, look: canvas.Look) -> None:
    """One try: filled when finished, hollow when stopped early, a cross when it failed.

    What has no score is marked at the foot.
    """
    style: dict[str, Any] = {"color": look.colour, "markersize": 7, "zorder": 3}
    marker = look.marker if row.get("status") in ("finished", "pruned") else "x"
    fill = look.colour if row.get("status") == "finished" else SURFACE
    if words.missing(row.get("score")):
        style["transform"] = ax.get_xaxis_transform()
    height = 0.025 if words.missing(row.get("score")) else row["score"]
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
