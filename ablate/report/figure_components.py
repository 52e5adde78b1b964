"""Where variance comes from: the standard deviation that each source brings, one row a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from ablate.report import canvas, rows, words
from ablate.report.canvas import MUTED, Drawing
from ablate.report.scope import PanelKey, Record, Source, decimals, panel_key


def panels(source: Source) -> Iterator[Drawing]:
    """One panel per task whose variance is split up."""
    groups: dict[PanelKey, list[Record]] = {}
    for item in source.findings.get("variance") or []:
        if "source" in item and item.get("task"):
            groups.setdefault(panel_key(item), []).append(item)
    for panel, group in groups.items():
        if any(words.finite(item.get("sd")) for item in group):
            alt = f"Standard deviation on {panel.task} by where it comes from"
            yield Drawing(panel, "", _panel(group, decimals(source.findings, panel.task)), alt)


def _panel(group: Sequence[Record], digits: int) -> Axes:
    ax = canvas.row_axes(len(group), row=44, left=18)
    for place, item in enumerate(group):
        sd = words.finite(item.get("sd"))
        told = words.status(item.get("status"))
        aside = f"{words.number(sd, digits)} · {words.percent(item.get('share'))}"
        name = rows.SOURCES.get(str(item.get("source")), str(item.get("source")))
        label = f"{name} · n {words.count(item.get('levels'))}"
        canvas.row_label(ax, place, label, aside, solid=True)
        colour = MUTED if told else canvas.look(place, "").colour
        if sd is not None:
            ax.plot([0, sd], [place, place], color=colour, linewidth=7, alpha=0.75, zorder=2)
    ax.axvline(0, color=MUTED, linewidth=1.2, zorder=1)
    ax.set_xlim(left=0)
    ax.margins(x=0.06)
    canvas.name_axis(ax, "standard deviation, in the metric's unit")
    return ax
