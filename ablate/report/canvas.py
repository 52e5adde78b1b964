"""What every figure shares: bare axes, colours and markers of arms, rows of labels, a key.

The colours are placeholders, which `ablate.report.svgtext` swaps for the variables of a theme.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from ablate.report.scope import PanelKey

WIDTH = 360  # units of the viewBox, which are matplotlib's points: legible on a phone
SMALL = 11.0
HAIR = 1.0

# Placeholders, see svgtext.
INK, MUTED, GRID, SURFACE, BAD = "#010101", "#020202", "#030303", "#040404", "#060606"
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "font.family": ["DejaVu Sans"],
    "font.size": SMALL,
    "axes.linewidth": HAIR,
    "lines.solid_capstyle": "round",
}


class Look(NamedTuple):
    """The colour and marker of one arm; together they differ for 64 arms."""

    colour: str
    marker: str
    label: str


def look(index: int, label: str) -> Look:
    """The look of the arm at this place in the study: colours repeat after 8, with a new marker."""
    shift = index // 8
    return Look(f"#0501{index % 8:02x}", _MARKERS[(index + shift) % 8], label)


@contextmanager
def drawing() -> Iterator[None]:
    """Settings of matplotlib for our figures, for the time of drawing only."""
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # Text is left to the reader's fonts, so what the measuring font lacks does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def axes(height: float, *, top: float = 10, bottom: float = 44, left: float = 4) -> Axes:
    """Bare axes on a canvas `WIDTH` wide; height and margins in units of the viewBox."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    figure.patch.set_visible(False)
    ax = figure.add_axes(
        (left / WIDTH, bottom / height, 1 - (left + 10) / WIDTH, 1 - (top + bottom) / height)
    )
    ax.patch.set_visible(False)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(GRID)
    ax.tick_params(length=0, labelcolor=MUTED, labelsize=SMALL, pad=4)
    ax.tick_params(which="minor", length=0, labelbottom=False, labelleft=False)
    ax.grid(visible=True, color=GRID, linewidth=HAIR, zorder=0)
    ax.set_axisbelow(True)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    return ax


def row_axes(num_rows: int, *, row: float = 40, left: float = 4) -> Axes:
    """Axes with one horizontal row per item, first on top, its label above its marks."""
    ax = axes(row * num_rows + 60, top=6, bottom=44, left=left)
    ax.set_ylim(num_rows - 0.45, -0.62)
    ax.set_yticks([])
    ax.grid(visible=False, axis="y")
    return ax


def row_label(
    ax: Axes, position: float, label: str, aside: str = "", *, solid: bool = False
) -> None:
    """A row's label at the left and a quieter remark at the right, above the row's marks.

    A solid label covers the lines behind it.
    """
    place = blended_transform_factory(ax.transAxes, ax.transData)
    look: dict[str, Any] = {"transform": place, "va": "center", "fontsize": SMALL}
    if solid:
        look["bbox"] = {"facecolor": SURFACE, "edgecolor": "none", "pad": 2}
    ax.text(0, position - 0.4, shortened(label, 54 - len(aside)), color=INK, ha="left", **look)
    if aside:
        ax.text(1, position - 0.4, aside, color=MUTED, ha="right", **look)


def shortened(text: str, limit: int) -> str:
    """The text on one line, cut in the middle when it is too long to fit."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) <= limit:
        return line
    head = limit * 2 // 3
    return f"{line[:head]}…{line[head + 1 - limit :]}"


def name_axis(ax: Axes, text: str) -> None:
    """The horizontal axis' title, quiet and left."""
    ax.set_xlabel(text, color=MUTED, fontsize=SMALL, loc="left", labelpad=5)


def name_height(ax: Axes, text: str) -> None:
    """The vertical axis' title, level and on top so that it is read without turning the head."""
    ax.set_title(shortened(text, 50), color=MUTED, fontsize=SMALL, loc="left", pad=9)


def legend(ax: Axes, looks: Sequence[Look], *, plot: float) -> None:
    """A key under axes that are `plot` units high, one arm a line."""
    for index, item in enumerate(looks):
        place = -(54 + 17 * index) / plot
        ax.plot(
            [0.012], [place], item.marker, color=item.colour, markersize=6,
            transform=ax.transAxes, clip_on=False,
        )  # fmt: skip
        ax.text(
            0.035, place, shortened(item.label, 46), transform=ax.transAxes, color=INK,
            fontsize=SMALL, va="center",
        )  # fmt: skip


class Drawing(NamedTuple):
    """One panel as drawn: where it belongs, a remark for its heading, and its text alternative."""

    panel: PanelKey
    aside: str
    ax: Axes
    alt: str
