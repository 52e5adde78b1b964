"""Curves over training: the score that chooses, and what methods report of themselves, by arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes

from ablate.report import canvas, words
from ablate.report.canvas import Drawing
from ablate.report.scope import ArmKey, PanelKey, Record, Source, arm_key, panel_key, text

_PLOT = 250  # height of the plot itself, in units of the viewBox
_MARKS = 16  # about so many marks on a line, however often it was measured
_FADED = 8  # with more arms than this, bands give way to lines


def score_panels(source: Source) -> Iterator[Drawing]:
    """The score on the split that chooses; one panel per task."""
    for (panel, measure), group in _grouped(source, of_score=True).items():
        split = text(group[0].get("split"))
        alt = f"{measure} on {panel.task}, {split}, over training steps, by arm"
        yield Drawing(panel, f" · {split}", _panel(group, source.arms, measure), alt)


def growth_panels(source: Source) -> Iterator[Drawing]:
    """What methods report of themselves, such as the total rank; one panel per task and measure."""
    for (panel, measure), group in _grouped(source, of_score=False).items():
        named = measure.replace("_", " ")
        alt = f"{named} on {panel.task} over training steps, by arm"
        yield Drawing(panel, f" · {named}", _panel(group, source.arms, named), alt)


def _grouped(source: Source, *, of_score: bool) -> dict[tuple[PanelKey, str], list[Record]]:
    """Curves with more than one step that share axes."""
    groups: dict[tuple[PanelKey, str], list[Record]] = {}
    for curve in source.findings.get("curves") or []:
        known = arm_key(curve) in source.arms and len(curve["steps"]) > 1
        if known and (curve.get("split") is not None) == of_score:
            groups.setdefault((panel_key(curve), text(curve["measure"])), []).append(curve)
    return groups


def _panel(curves: Sequence[Record], arms: Mapping[ArmKey, int], measure: str) -> Axes:
    below = 62 + 17 * len(curves)
    ax = canvas.axes(_PLOT + below + 26, top=26, bottom=below, left=48)
    looks = []
    for curve in curves:
        key = arm_key(curve)
        look = canvas.look(arms[key], f"{key.label} · n {_seeds(curve)}")
        looks.append(look)
        if len(curves) <= _FADED:
            low, high = ([_gap(value) for value in curve[end]] for end in ("low", "high"))
            ax.fill_between(
                curve["steps"], low, high, color=look.colour, alpha=0.16, linewidth=0, zorder=1
            )
        ax.plot(
            curve["steps"], [_gap(mean) for mean in curve["mean"]], look.marker,
            color=look.colour, linestyle="-", linewidth=1.6, markersize=4.5, zorder=3,
            markevery=1 + len(curve["steps"]) // _MARKS,
        )  # fmt: skip
    ax.margins(x=0.03, y=0.06)
    canvas.name_axis(ax, "training steps")
    canvas.name_height(ax, measure)
    canvas.legend(ax, looks, plot=_PLOT)
    return ax


def _gap(value: object) -> float:
    """A number, or what matplotlib leaves a gap for."""
    number = words.finite(value)
    return float("nan") if number is None else number


def _seeds(curve: Record) -> str:
    """How many seeds a curve has: one number, or the fewest and the most over its steps."""
    fewest, most = min(curve["n"]), max(curve["n"])
    return f"{most}" if fewest == most else f"{fewest} to {most}"
