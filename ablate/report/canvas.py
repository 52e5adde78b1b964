"""What every figure shares: a themed SVG canvas, colours and markers of arms, and rows of labels.

Figures are drawn in placeholder colours, which `svg` swaps for CSS variables; so one drawing serves
the light page, the dark page and paper. Text stays text, ids are unique to the drawing, and neither
a date nor a random id gets in: the same data give the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

WIDTH = 400  # units of the viewBox, which are matplotlib's points: legible on a phone
SMALL = 11.0
HAIR = 1.0

INK, MUTED, GRID, SURFACE, BAD = "#010101", "#020202", "#030303", "#040404", "#060606"
_VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--line", SURFACE: "--surface", BAD: "--bad",
    **{f"#0501{index:02x}": f"--series-{index + 1}" for index in range(8)},
}  # fmt: skip
# (light, dark): the neutral tones of the page, then Okabe and Ito's eight colours, each moved just
# far enough to keep a contrast of 3:1 on its background.
_PALETTE = {
    "--ink": ("#17202b", "#e8edf2"),
    "--muted": ("#566270", "#9eabb8"),
    "--line": ("#dfe4ea", "#2c3640"),
    "--surface": ("#ffffff", "#161c23"),
    "--bad": ("#b84f00", "#ff8a3d"),
    "--series-1": ("#0072b2", "#4aa3df"),
    "--series-2": ("#d55e00", "#ee7733"),
    "--series-3": ("#008f68", "#1fbf92"),
    "--series-4": ("#b4588f", "#d98bbb"),
    "--series-5": ("#b97d00", "#e6a822"),
    "--series-6": ("#2f97cf", "#7cc7f2"),
    "--series-7": ("#444f5c", "#c3ccd6"),
    "--series-8": ("#8f8400", "#e8dd4f"),
}
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")
_SETTINGS = {
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


def palette_css(theme: int) -> str:
    """CSS declarations of the figures' variables; theme 0 is light and 1 is dark."""
    return "".join(f"{name}:{tones[theme]};" for name, tones in _PALETTE.items())


@contextmanager
def drawing() -> Iterator[None]:
    """Settings of matplotlib for our figures, for the time of drawing only."""
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # Text is left to the reader's fonts, so what the measuring font lacks does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def axes(height: float, *, top: float = 10, bottom: float = 44, left: float = 4) -> Axes:
    """Bare axes on a canvas 400 wide; height and margins in units of the viewBox."""
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
    return ax


def row_axes(num_rows: int, *, row: float = 40) -> Axes:
    """Axes with one horizontal row per item, first on top, its label above its marks."""
    ax = axes(row * num_rows + 60, top=6, bottom=44)
    ax.set_ylim(num_rows - 0.45, -0.62)
    ax.set_yticks([])
    ax.grid(visible=False, axis="y")
    return ax


def row_label(ax: Axes, position: float, label: str, aside: str = "") -> None:
    """A row's label at the left and a quieter remark at the right, above the row's marks."""
    place = blended_transform_factory(ax.transAxes, ax.transData)
    halo: dict[str, Any] = {"transform": place, "va": "center", "fontsize": SMALL}
    ax.text(0, position - 0.4, shortened(label, 58 - len(aside)), color=INK, ha="left", **halo)
    if aside:
        ax.text(1, position - 0.4, aside, color=MUTED, ha="right", **halo)


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


def legend(ax: Axes, looks: Sequence[Look], *, height: float, below: float = 46) -> None:
    """A key under the axes, one arm a line; `below` is the distance under the plot."""
    step = 16 / height
    for index, item in enumerate(looks):
        place = -(below / height) - step * index
        ax.plot(
            [0.012], [place], item.marker, color=item.colour, markersize=6,
            transform=ax.transAxes, clip_on=False,
        )  # fmt: skip
        ax.text(
            0.035, place, shortened(item.label, 56), transform=ax.transAxes, color=INK,
            fontsize=SMALL, va="center",
        )  # fmt: skip


def svg(ax: Axes, name: str, title: str) -> str:
    """The drawing as one inline `<svg>` element.

    Args:
        ax: drawn axes.
        name: unique on the page; made the prefix of every id.
        title: what the drawing shows, for readers who cannot see it.
    """
    buffer = io.StringIO()
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("these axes belong to no figure")
    blank = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=blank)
    return _inline(buffer.getvalue(), name, title)


def _inline(text: str, name: str, title: str) -> str:
    """Matplotlib's file as an element of a page: themed, responsive, its ids its own."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    text = re.sub(r"font: ([0-9.]+px)[^;\"]*", r"font: \1 var(--sans)", text)
    text = re.sub(r"(?<=: )#[0-9a-f]{6}(?=[;\"])", _variable, text)
    view = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg {view.group() if view else ""} role="img" aria-label="{_attribute(title)}">'
    return head + text[text.index(">") + 1 :].rstrip()


def _variable(match: re.Match[str]) -> str:
    name = _VARIABLES.get(match.group())
    return f"var({name})" if name else match.group()


def _attribute(text: str) -> str:
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(raw, safe)
    return text


def standalone(element: str) -> str:
    """An inline drawing as a file of its own that follows the reader's light or dark theme."""
    style = (
        f"<style>:root{{--sans:system-ui,sans-serif;background:var(--surface);{palette_css(0)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{palette_css(1)}}}}}</style>"
    )
    head = '<?xml version="1.0" encoding="utf-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" '
    opening, rest = element.removeprefix("<svg ").split(">", 1)
    return f"{head}{opening}>{style}{rest}\n"
