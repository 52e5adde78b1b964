"""Forest plot: each comparison's estimate with its interval, one panel per task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from ablate.report import canvas, words
from ablate.report.canvas import BAD, MUTED, SURFACE, Drawing
from ablate.report.scope import PanelKey, Record, Source, arm_key, decimals, finding_panel

UNSETTLED = ("undecided", "")
_NUMBERS = ("estimate", "ci_low", "ci_high")


def panels(source: Source) -> Iterator[Drawing]:
    """One panel per task that has a comparison with an estimate."""
    groups: dict[tuple[PanelKey, str], list[Record]] = {}
    for finding in source.findings.get("findings") or []:
        if finding.get("kind") != "variance" and words.finite(finding.get("estimate")) is not None:
            unit = str(finding.get("unit") or "")
            groups.setdefault((finding_panel(finding), unit), []).append(finding)
    for (panel, unit), group in groups.items():
        alt = f"Forest plot of {words.plural(len(group), 'comparison')} on {panel.task}"
        digits = decimals(source.findings, panel.task)
        yield Drawing(panel, "", _panel(group, unit, digits), alt)


def _panel(group: Sequence[Record], unit: str, digits: int) -> Axes:
    """Rows in the given order; the line is no difference."""
    ax = canvas.row_axes(len(group), row=44)
    numbers = [words.finite(f.get(name)) for f in group for name in _NUMBERS]
    values = [number for number in numbers if number is not None]
    ax.axvline(0, color=MUTED, linewidth=1.2, zorder=1)
    controls = {arm_key(finding.get("control") or {}).label for finding in group}
    for place, finding in enumerate(group):
        _row(ax, place, finding, digits, name_control=len(controls) > 1)
    low, high = min([0.0, *values]), max([0.0, *values])
    room = (high - low or 1.0) * 0.08
    ax.set_xlim(low - room, high + room)
    against = f" to {canvas.shortened(controls.pop(), 28)}" if len(controls) == 1 else ""
    canvas.name_axis(ax, f"difference{against}{f', {unit}' if unit else ''}")
    return ax


def _row(ax: Axes, place: int, finding: Record, digits: int, *, name_control: bool) -> None:
    treatment, control = (arm_key(finding.get(side) or {}) for side in ("treatment", "control"))
    estimate, verdict = finding["estimate"], str(finding.get("verdict") or "")
    aside = words.number(estimate, digits, signed=True)
    label = f"{treatment.label} vs {control.label}" if name_control else treatment.label
    if finding.get("kind") == "equivalence":
        label += " · equivalence"
    canvas.row_label(ax, place, label, aside, solid=True)
    colour = BAD if verdict == "worse" else canvas.look(0, "").colour
    if verdict in UNSETTLED:
        colour = MUTED
    low, high = words.finite(finding.get("ci_low")), words.finite(finding.get("ci_high"))
    if low is not None and high is not None:
        ax.plot([low, high], [place, place], color=colour, linewidth=3.2, alpha=0.55, zorder=2)
    fill = SURFACE if verdict in UNSETTLED else colour
    ax.plot(
        [estimate], [place], "o", markerfacecolor=fill, markeredgecolor=colour, markersize=8,
        markeredgewidth=1.6, zorder=3,
    )  # fmt: skip
