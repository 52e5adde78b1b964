"""Boxes shaded by a number: one hue from light to strong, so that no colour has to be told apart.

The shade is an opacity over the page's surface, which serves the light and the dark theme alike and
leaves text in ink legible on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ablate.report import canvas, words
from ablate.report.canvas import GRID, INK, MUTED, SURFACE
from ablate.report.scope import Record, arm_key

_LIGHT, _STRONG = 0.08, 0.6
_STEPS = 5
WHOLE = canvas.WIDTH - 14  # what the margins of bare axes leave


class Range(NamedTuple):
    """The lowest and the highest number that boxes of one drawing are shaded by."""

    low: float
    high: float

    def shade(self, value: float) -> float:
        """The opacity for a number; half way where all are the same."""
        part = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return _LIGHT + (_STRONG - _LIGHT) * part


def range_of(cells: Iterable[Record]) -> Range | None:
    """The range of the cells' means; None where no cell has one."""
    means = [mean for cell in cells if (mean := words.finite(cell.get("mean"))) is not None]
    return Range(min(means), max(means)) if means else None


def board(height: float) -> Axes:
    """Axes without lines whose units are those of the viewBox, from the top left."""
    ax = canvas.axes(height, top=2, bottom=2)
    ax.set_axis_off()
    ax.set_xlim(0, WHOLE)
    ax.set_ylim(height - 4, 0)
    return ax


def box(ax: Axes, x: float, y: float, size: tuple[float, float], opacity: float | None) -> None:
    """A box with its top left corner at (x, y); without an opacity it is empty."""
    frame: dict[str, Any] = {"linewidth": 1, "zorder": 2}
    ax.add_patch(Rectangle((x, y), *size, facecolor=SURFACE, edgecolor=GRID, **frame))
    if opacity is not None:
        tone = canvas.look(0, "").colour
        ax.add_patch(Rectangle((x, y), *size, facecolor=tone, alpha=opacity, linewidth=0, zorder=3))


def numbers(ax: Axes, x: float, y: float, cell: Record, decimals: int) -> None:
    """A cell's mean, and below it its standard deviation, or its seeds where it has none."""
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "zorder": 4}
    ax.text(x, y, words.number(cell.get("mean"), decimals), fontsize=canvas.SMALL, **style)
    sd = words.finite(cell.get("sd"))
    below = f"± {words.number(sd, decimals)}" if sd is not None else f"n {words.count(cell['n'])}"
    ax.text(x, y + 14, below, fontsize=canvas.SMALL - 1.5, **style)


def key(ax: Axes, y: float, span: Range, decimals: int, name: str) -> None:
    """What the shades mean: the lowest and highest mean at the ends of a scale."""
    style: dict[str, Any] = {"va": "center", "color": MUTED, "fontsize": canvas.SMALL}
    same = span.low == span.high
    low, high = (words.number(end, decimals) for end in span)
    ax.text(0, y, canvas.shortened(name, 30), ha="left", **style)
    ax.text(WHOLE - 118, y, "" if same else low, ha="right", **style)
    for step in range(_STEPS):
        value = span.low + (span.high - span.low) * step / (_STEPS - 1)
        box(ax, WHOLE - 112 + 12 * step, y - 6, (12, 12), span.shade(value))
    ax.text(WHOLE - 46, y, high, ha="left", **style)


def seeds(cells: Sequence[Record]) -> str:
    """How many seeds the cells have: one number, or the fewest and the most."""
    found = sorted({int(cell.get("n") or 0) for cell in cells})
    ends = f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"
    return f"n {ends}"


def apart(cells: Iterable[Record], names: Iterable[str]) -> dict[str, list[Record]]:
    """Cells of one method that differ by the named factors alone, by what their others say.

    Returns:
        The other factors that vary, in words -> the cells; the words are empty where none does.
    """
    given, left = list(cells), set(names)
    rest = {arm_key(cell): _rest(cell, left) for cell in given}
    varying = [
        name
        for name in dict.fromkeys(name for factors in rest.values() for name in factors)
        if len({str(factors.get(name)) for factors in rest.values()}) > 1
    ]
    groups: dict[str, list[Record]] = {}
    for cell in given:
        own = rest[arm_key(cell)]
        said = [f"{name} {words.setting(own.get(name))}" for name in varying]
        groups.setdefault(", ".join(said), []).append(cell)
    return groups


def _rest(cell: Record, left: set[str]) -> Mapping[str, Any]:
    factors: Mapping[str, Any] = cell.get("factors") or {}
    return {name: value for name, value in factors.items() if name not in left}
