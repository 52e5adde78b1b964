"""Power: the smallest true difference that more seeds would find, one line per comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from ablate.report import canvas, shades, words
from ablate.report.canvas import SURFACE, Drawing
from ablate.report.scope import PanelKey, Record, Source, arm_key, decimals, finding_panel, text

_PLOT = 250


def panels(source: Source) -> Iterator[Drawing]:
    """One panel per task, and per unit, with a comparison whose differences have a spread."""
    groups: dict[tuple[PanelKey, str], list[Record]] = {}
    for finding in source.findings.get("findings") or []:
        if finding.get("detectable") and finding.get("kind") in ("mean", "across_tasks"):
            unit = text(finding.get("unit"))
            groups.setdefault((finding_panel(finding), unit), []).append(finding)
    for (panel, unit), group in groups.items():
        alt = f"Smallest difference found on {panel.task} against the number of seeds"
        digits = decimals(source.findings, panel.task)
        aside = f" · {shades.seeds(group)}"
        yield Drawing(panel, aside, _panel(group, source, unit, digits), alt)


def _panel(group: Sequence[Record], source: Source, unit: str, digits: int) -> Axes:
    below = 62 + 17 * len(group)
    ax = canvas.axes(_PLOT + below + 26, top=26, bottom=below, left=48)
    controls = {arm_key(finding.get("control") or {}).label for finding in group}
    looks, most = [], 2
    for finding in group:
        treatment, control = (arm_key(finding.get(s) or {}) for s in ("treatment", "control"))
        look = canvas.look(source.arms.get(treatment, 0), "")
        seeds, effects = zip(*finding["detectable"], strict=True)
        ax.plot(seeds, effects, color=look.colour, linewidth=1.8, zorder=2)
        own = words.finite(finding.get("detectable_effect"))
        if own is not None:
            ax.plot(
                [finding["n"]], [own], look.marker, markerfacecolor=SURFACE,
                markeredgecolor=look.colour, markeredgewidth=1.6, markersize=8, zorder=3,
            )  # fmt: skip
        versus = f" vs {control.label}" if len(controls) > 1 else ""
        label = canvas.shortened(f"{treatment.label}{versus}", 36)
        looks.append(look._replace(label=f"{label} · {words.number(own, digits)}"))
        most = max(most, *seeds)
    ax.set_xscale("log")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_locator(FixedLocator([n for n in (3, 5, 10, 20, 50, 100) if n <= most]))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    canvas.name_axis(ax, "seeds, both scales logarithmic")
    canvas.name_height(ax, f"smallest difference found{f', {unit}' if unit else ''}")
    canvas.legend(ax, looks, plot=_PLOT)
    return ax
